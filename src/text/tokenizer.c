/* Encoding: added tokens are cut out, what is left is normalised, cut again, split into words and
 * merged. */
#include "text/tokenizer.h"

#include "base/mem.h"
#include "text/internal.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t) return;
    vocab_free(&t->names);
    added_free(&t->added_raw);
    added_free(&t->added_normalized);
    normalizer_close(&t->normalizer);
    pretokenizer_close(&t->pretokenizer);
    bpe_close(&t->bpe);
    decoder_close(&t->decoder);
    free(t->prefix.items);
    free(t->suffix.items);
    free(t->is_added);
    free(t->is_special);
    free(t);
}

/* One call of tokenizer_encode. */
struct encoding {
    const struct tokenizer *t;
    unsigned flags;
    struct normalizer_scratch normalizer;
    struct pretokenizer_scratch pretokenizer;
    struct bpe_scratch bpe;
    struct ids *out;
};

/* Plain normalised text.  is_start: its first byte is the first of the whole text. */
static int encode_plain(struct encoding *c, const char *text, size_t n, bool is_start,
                        struct err *e)
{
    const char *words;
    TRY(pretokenize(&c->t->pretokenizer, &c->pretokenizer, text, n, is_start,
                    c->flags & TOKENIZE_PIECE, &words, e));
    for (size_t i = 0; i < c->pretokenizer.words.n; i++) {
        struct word word = c->pretokenizer.words.items[i];
        bpe_encode(&c->t->bpe, &c->bpe, words + word.start, word.n, c->out);
    }
    return 0;
}

/* Text between two raw added tokens: normalise, then look for the normalised ones. */
static int encode_between(struct encoding *c, const char *text, size_t n, bool is_start,
                          struct err *e)
{
    bool no_prefix = is_start && (c->flags & TOKENIZE_PIECE);
    text = normalize(&c->t->normalizer, &c->normalizer, text, &n, no_prefix, e);
    if (!text) return -1;
    struct added_cut cut = {.text = text, .n = n, .skips_special = c->flags & TOKENIZE_NO_SPECIAL};
    for (struct added_part part; added_next(&c->t->added_normalized, &cut, &part);) {
        if (part.id >= 0)
            ARRAY_PUSH(*c->out, part.id);
        else
            TRY(encode_plain(c, text + part.start, part.end - part.start,
                             is_start && part.start == 0, e));
    }
    return 0;
}

static int encode_all(struct encoding *c, const char *text, size_t n, struct err *e)
{
    struct added_cut cut = {.text = text, .n = n, .skips_special = c->flags & TOKENIZE_NO_SPECIAL};
    for (struct added_part part; added_next(&c->t->added_raw, &cut, &part);) {
        if (part.id >= 0)
            ARRAY_PUSH(*c->out, part.id);
        else
            TRY(encode_between(c, text + part.start, part.end - part.start, part.start == 0, e));
    }
    return 0;
}

static void append_ids(struct ids *out, const struct ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) ARRAY_PUSH(*out, ids->items[i]);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                     struct ids *out, struct err *e)
{
    /* A normalizer may make a text 16 times as long, and a little (normalize.c); positions are 32
     * bits. */
    if (n > INT32_MAX / 17) return err_set(e, "text of %zu bytes is too long to tokenize", n);
    size_t valid = utf8_valid(text, n), before = out->n;
    if (valid < n) return err_set(e, "invalid UTF-8 at byte %zu of the text", valid);
    struct encoding c = {.t = t, .flags = flags, .out = out};
    if (flags & TOKENIZE_BOS) append_ids(out, &t->prefix);
    int rc = encode_all(&c, text, n, e);
    if (flags & TOKENIZE_BOS) append_ids(out, &t->suffix);
    if (rc < 0) out->n = before;
    normalizer_scratch_free(&c.normalizer);
    pretokenizer_scratch_free(&c.pretokenizer);
    bpe_scratch_free(&c.bpe);
    return rc;
}

int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                     struct bytes *out, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!tokenizer_content(t, ids[i]))
            return err_set(e, "id %d at position %zu is no token of the vocabulary (%d ids)",
                           ids[i], i, t->names.n_ids);
    decode(&t->decoder, &t->names, ids, n, skip_special ? t->is_special : NULL, out);
    return 0;
}

int64_t tokenizer_vocab_size(const struct tokenizer *t)
{
    return t->names.n_ids;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *content)
{
    return vocab_find(&t->names, content, strlen(content));
}

const char *tokenizer_content(const struct tokenizer *t, int32_t id)
{
    return vocab_get(&t->names, id, NULL);
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->names.n_ids && t->is_special[id];
}

bool tokenizer_is_byte_level(const struct tokenizer *t)
{
    return t->bpe.is_byte_level;
}

void tokenizer_hash(const struct tokenizer *t, char out[HASH_HEX])
{
    memcpy(out, t->hash, HASH_HEX);
}
