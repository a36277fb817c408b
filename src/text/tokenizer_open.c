/* Reading tokenizer.json: the order in which the parts need each other, and the added tokens. */
#include "base/json.h"
#include "base/mem.h"
#include "text/internal.h"
#include "text/steps.h"

#include <stdlib.h>
#include <string.h>

/* Ids beyond this are taken for a broken file: tables are as long as the largest id. */
#define MAX_IDS (1 << 22)

static int read_id(const json_t *v, const char *where, const char *content, int32_t *out,
                   struct err *e)
{
    if (!json_is_integer(v))
        return err_set(e, "%s: the id of token '%.80s' is no integer", where, content);
    json_int_t id = json_integer_value(v);
    if (id < 0 || id >= MAX_IDS)
        return err_set(e, "%s: token '%.80s' has id %lld, expected 0..%d", where, content,
                       (long long)id, MAX_IDS - 1);
    *out = (int32_t)id;
    return 0;
}

/* Size of the tables: the largest id + 1 over model and added tokens. */
static int count_ids(const json_t *vocab, const json_t *added, const char *where, int32_t *out,
                     struct err *e)
{
    const char *content;
    json_t *v;
    size_t i;
    int32_t id = 0, n = 0;
    json_object_foreach((json_t *)vocab, content, v)
    {
        TRY(read_id(v, where, content, &id, e));
        if (id >= n) n = id + 1;
    }
    json_array_foreach(added, i, v)
    {
        TRY(json_get_str(v, where, "content", &content, e));
        TRY(read_id(json_object_get(v, "id"), where, content, &id, e));
        if (id >= n) n = id + 1;
    }
    if (n == 0) return err_set(e, "%s: model: the vocabulary is empty", where);
    *out = n;
    return 0;
}

static int set_name(struct tokenizer *t, int32_t id, const char *content, const char *where,
                    struct err *e)
{
    const char *other = vocab_get(&t->names, id, NULL);
    int32_t found = vocab_find(&t->names, content, strlen(content));
    if (found == id) return 0;
    if (other)
        return err_set(e, "%s: tokens '%.80s' and '%.80s' have the same id %d", where, other,
                       content, id);
    if (found >= 0)
        return err_set(e, "%s: token '%.80s' has two ids, %d and %d", where, content, found, id);
    vocab_set(&t->names, id, content, strlen(content));
    return 0;
}

static int open_names(struct tokenizer *t, const json_t *file, const char *where, struct err *e)
{
    const json_t *vocab = json_object_get(json_object_get(file, "model"), "vocab");
    const json_t *added = json_object_get(file, "added_tokens");
    int32_t n_ids = 0, id = 0;
    if (!json_is_object(vocab)) return err_set(e, "%s: model: vocab is no object", where);
    TRY(count_ids(vocab, added, where, &n_ids, e));
    vocab_init(&t->names, n_ids, json_object_size(vocab) + json_array_size(added));
    const char *content;
    json_t *v;
    json_object_foreach((json_t *)vocab, content, v)
    {
        TRY(read_id(v, where, content, &id, e));
        TRY(set_name(t, id, content, where, e));
    }
    return 0;
}

static int add_token(struct tokenizer *t, const json_t *json, const char *where, struct err *e)
{
    struct added_token token = {0};
    const char *content;
    bool is_normalized;
    TRY(json_get_str(json, where, "content", &content, e));
    TRY(read_id(json_object_get(json, "id"), where, content, &token.id, e));
    TRY(json_get_bool_or(json, where, "special", false, &token.is_special, e));
    TRY(json_get_bool_or(json, where, "single_word", false, &token.is_single_word, e));
    TRY(json_get_bool_or(json, where, "lstrip", false, &token.strips_left, e));
    TRY(json_get_bool_or(json, where, "rstrip", false, &token.strips_right, e));
    TRY(json_get_bool_or(json, where, "normalized", !token.is_special, &is_normalized, e));
    TRY(set_name(t, token.id, content, where, e));
    t->is_added[token.id] = 1;
    if (token.is_special) t->is_special[token.id] = 1;

    struct normalizer_scratch w = {0};
    token.n = strlen(content);
    if (is_normalized) content = normalize(&t->normalizer, &w, content, &token.n, false, e);
    if (content) token.content = mem_strndup(content, token.n);
    normalizer_scratch_free(&w);
    if (!content) return -1;
    if (is_normalized)
        ARRAY_PUSH(t->added_normalized, token);
    else
        ARRAY_PUSH(t->added_raw, token);
    return 0;
}

/* Special tokens first: of two tokens with the same content the special one counts. */
int tokenizer_open_added(struct tokenizer *t, const json_t *list, const char *where, struct err *e)
{
    t->is_added = mem_calloc((size_t)t->names.n_ids, 1);
    t->is_special = mem_calloc((size_t)t->names.n_ids, 1);
    for (int pass = 0; pass < 2; pass++) {
        const json_t *token;
        size_t i;
        json_array_foreach(list, i, token)
        {
            bool is_special;
            TRY(json_get_bool_or(token, where, "special", false, &is_special, e));
            if (is_special == (pass == 0)) TRY(add_token(t, token, where, e));
        }
    }
    added_sort(&t->added_raw);
    added_sort(&t->added_normalized);
    return 0;
}

static int read_file(struct tokenizer *t, const json_t *file, const char *where, const char *folder,
                     struct err *e)
{
    const json_t *model = json_object_get(file, "model");
    const char *type;
    TRY(json_get_str_or(model, where, "type", "BPE", &type, e));
    if (!model || strcmp(type, "BPE") != 0)
        return err_set(e, "%s: model '%s' is not supported (supported: BPE)", where,
                       model ? type : "none");
    TRY(normalizer_open(&t->normalizer, json_object_get(file, "normalizer"), where, e));
    TRY(pretokenizer_open(&t->pretokenizer, json_object_get(file, "pre_tokenizer"), where, e));
    TRY(open_names(t, file, where, e));
    TRY(bpe_open(&t->bpe, model, where, &t->names, t->pretokenizer.is_byte_level, e));
    TRY(tokenizer_open_added(t, json_object_get(file, "added_tokens"), where, e));
    TRY(decoder_open(&t->decoder, json_object_get(file, "decoder"), where, &t->names, e));
    TRY(postprocessor_open(t, json_object_get(file, "post_processor"), where, folder, e));
    tokenizer_fill_hashes(t, file);
    return 0;
}

struct tokenizer *tokenizer_open(const char *folder, struct err *e)
{
    struct tokenizer *t = NULL;
    char *path = mem_printf("%s/tokenizer.json", folder);
    json_t *file = json_open(path, e);
    if (file) {
        t = mem_calloc(1, sizeof *t);
        if (read_file(t, file, path, folder, e) < 0) {
            tokenizer_destroy(t);
            t = NULL;
        }
    }
    json_decref(file);
    free(path);
    return t;
}

static void hash_part(struct hash *h, const json_t *file, const char *key)
{
    char *text =
        json_dumps(json_object_get(file, key), JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    hash_add_text(h, text ? text : "");
    free(text);
}

static int compare_ranks(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Merges by rank: the table's order depends on ids alone, yet ranks may have gaps. */
static void hash_merges(struct hash *h, const struct bpe *b)
{
    struct {
        struct merge *items;
        size_t n, cap;
    } merges = {0};
    for (size_t i = 0; i <= b->merges_mask; i++)
        if (b->merges[i].pair != NO_PAIR) ARRAY_PUSH(merges, b->merges[i]);
    if (merges.n) qsort(merges.items, merges.n, sizeof *merges.items, compare_ranks);
    for (size_t i = 0; i < merges.n; i++) hash_add(h, &merges.items[i].pair, sizeof(uint64_t));
    free(merges.items);
}

static void hash_model(struct tokenizer *t)
{
    struct hash *h = hash_create();
    const struct bpe *b = &t->bpe;
    const uint8_t flags[] = {b->is_byte_level, b->has_fallback, b->ignore_merges, b->fuse_unknown};
    hash_add(h, flags, sizeof flags);
    hash_add(h, &b->unknown, sizeof b->unknown);
    for (int32_t id = 0; id < b->words.n_ids; id++) {
        size_t n = 0;
        const char *word = vocab_get(&b->words, id, &n);
        if (!word) continue;
        hash_add(h, &id, sizeof id);
        hash_add_text(h, word);
    }
    hash_merges(h, b);
    hash_finish(h, t->model_hash);
}

void tokenizer_fill_hashes(struct tokenizer *t, const json_t *file)
{
    hash_model(t);
    struct hash *h = hash_create();
    hash_add_text(h, t->model_hash);
    hash_part(h, file, "added_tokens");
    hash_part(h, file, "normalizer");
    hash_part(h, file, "pre_tokenizer");
    hash_finish(h, t->hash);
}
