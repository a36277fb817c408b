/* Decoders of tokenizer.json: ByteLevel; Metaspace; or Replace, ByteFallback, Fuse and Strip in
 * this order.
 *
 * Bytes that make no UTF-8 come out as they are, so that a text may be cut anywhere and decoded in
 * parts; who needs text withholds the incomplete tail and repairs the rest. */
#include "text/decode.h"

#include "base/json.h"
#include "base/mem.h"
#include "text/bytelevel.h"
#include "text/bytes.h"
#include "text/steps.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* How one token's content becomes bytes. */
struct recipe {
    bool is_byte_level, has_fallback, is_fused;
    struct replacement {
        const char *from, *to; /* borrowed from the file */
    } * items;
    size_t n, cap;
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte that "<0xE2>" stands for, or -1. */
static int fallback_byte(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* Stops where the text becomes longer than `most` bytes: what one step writes, the next may replace
 * again. */
static void replace_in(struct bytes *text, const struct replacement *r, size_t most,
                       struct bytes *spare)
{
    size_t n_from = strlen(r->from), n_to = strlen(r->to);
    spare->n = 0;
    for (size_t i = 0; i < text->n && spare->n <= most;) {
        bool is_hit = text->n - i >= n_from && memcmp(text->items + i, r->from, n_from) == 0;
        if (is_hit)
            bytes_append(spare, r->to, n_to);
        else
            bytes_append(spare, text->items + i, 1);
        i += is_hit ? n_from : 1;
    }
    bytes_swap(text, spare);
}

/* Replace text by what the token `name` decodes to. */
static void cook(const struct recipe *r, const char *name, size_t n, size_t most,
                 struct bytes *text, struct bytes *spare)
{
    if (r->is_byte_level && bytelevel_read(name, n, text)) return;
    text->n = 0;
    bytes_append(text, name, n);
    for (size_t i = 0; i < r->n && text->n <= most; i++)
        replace_in(text, &r->items[i], most, spare);
    int byte = r->has_fallback ? fallback_byte(text->items, text->n) : -1;
    if (byte < 0) return;
    text->items[0] = (char)byte;
    text->n = 1;
}

/* All tokens together become at most 16 times as long as they are written. */
static int fill(struct decoder *d, const struct recipe *r, const struct vocab *names,
                const char *where, struct err *e)
{
    struct bytes pool = {0}, text = {0}, spare = {0};
    const size_t most = 16 * names->pool_n + 4096;
    ARRAY_RESERVE(pool, 1); /* never NULL, though all tokens may become nothing */
    d->start = mem_calloc((size_t)names->n_ids + 1, sizeof *d->start);
    for (int32_t id = 0; id < names->n_ids && pool.n <= most; id++) {
        size_t n = 0;
        const char *name = vocab_get(names, id, &n);
        d->start[id] = pool.n;
        if (!name) continue;
        cook(r, name, n, most, &text, &spare);
        bytes_append(&pool, text.items, text.n);
    }
    d->start[names->n_ids] = pool.n;
    d->pool = pool.items;
    free(text.items);
    free(spare.items);
    if (pool.n <= most) return 0;
    return err_set(e, "%s: decoder: it makes the tokens more than 16 times as long", where);
}

static int read_character(const char *text, const char *what, const char *where, char out[5],
                          size_t *n, struct err *e)
{
    *n = strlen(text);
    if (*n == 0 || *n != utf8_width(*text))
        return err_set(e, "%s: decoder: %s '%s' is not one character", where, what, text);
    memcpy(out, text, *n);
    return 0;
}

static int read_replace(struct recipe *r, const json_t *json, const char *where, struct err *e)
{
    const json_t *pattern = json_object_get(json, "pattern");
    struct replacement item;
    if (!json_object_get(pattern, "String"))
        return err_set(e, "%s: decoder Replace: only a pattern of kind String is supported", where);
    TRY(json_get_str(pattern, where, "String", &item.from, e));
    TRY(json_get_str(json, where, "content", &item.to, e));
    if (!*item.from) return err_set(e, "%s: decoder Replace: the pattern is empty", where);
    ARRAY_PUSH(*r, item);
    return 0;
}

static int read_strip(struct decoder *d, const json_t *json, const char *where, struct err *e)
{
    const char *content;
    int64_t stop;
    TRY(json_get_str(json, where, "content", &content, e));
    TRY(json_get_i64_or(json, where, "start", 0, &d->strip_max, e));
    TRY(json_get_i64_or(json, where, "stop", 0, &stop, e));
    if (stop != 0)
        return err_set(e,
                       "%s: decoder Strip: stop %lld is not supported, the end of a text that "
                       "is being generated is not known",
                       where, (long long)stop);
    return read_character(content, "content", where, d->strip, &d->n_strip, e);
}

/* A space is what the mark becomes; as the dummy prefix it falls away. */
static int read_metaspace(struct decoder *d, struct recipe *r, const json_t *json,
                          const char *where, struct err *e)
{
    const char *mark, *scheme;
    bool has_prefix;
    TRY(json_get_str_or(json, where, "replacement", "\xE2\x96\x81", &mark, e));
    TRY(json_get_bool_or(json, where, "add_prefix_space", true, &has_prefix, e));
    TRY(json_get_str_or(json, where, "prepend_scheme", has_prefix ? "always" : "never", &scheme,
                        e));
    TRY(read_character(mark, "replacement", where, d->mark, &d->n_mark, e));
    ARRAY_PUSH(*r, ((struct replacement){.from = mark, .to = " "}));
    if (strcmp(scheme, "never") == 0) d->n_mark = 0;
    return 0;
}

static int read_step(struct decoder *d, struct recipe *r, const struct step *step, size_t n_steps,
                     const char *where, struct err *e)
{
    const char *type = step->type;
    if (n_steps == 1 && strcmp(type, "ByteLevel") == 0) return r->is_byte_level = true, 0;
    if (n_steps == 1 && strcmp(type, "Metaspace") == 0)
        return read_metaspace(d, r, step->json, where, e);
    if (!r->has_fallback && !r->is_fused && strcmp(type, "Replace") == 0)
        return read_replace(r, step->json, where, e);
    if (!r->is_fused && strcmp(type, "ByteFallback") == 0) return r->has_fallback = true, 0;
    if (strcmp(type, "Fuse") == 0) return r->is_fused = true, 0;
    if (r->is_fused && !d->n_strip && strcmp(type, "Strip") == 0)
        return read_strip(d, step->json, where, e);
    return err_set(e,
                   "%s: decoder '%s' is not supported here (supported: ByteLevel; Metaspace; "
                   "Replace, ByteFallback, Fuse, Strip in this order)",
                   where, type);
}

int decoder_open(struct decoder *d, const json_t *json, const char *where,
                 const struct vocab *names, struct err *e)
{
    struct recipe recipe = {0};
    struct steps steps;
    *d = (struct decoder){0};
    TRY(steps_unroll(json, "decoders", where, &steps, e));
    int rc = steps.n ? 0 : err_set(e, "%s: there is no decoder", where);
    for (size_t i = 0; i < steps.n && rc == 0; i++)
        rc = read_step(d, &recipe, &steps.items[i], steps.n, where, e);
    if (rc == 0) rc = fill(d, &recipe, names, where, e);
    free(recipe.items);
    free(steps.items);
    return rc;
}

void decoder_close(struct decoder *d)
{
    free(d->start);
    free(d->pool);
    *d = (struct decoder){0};
}

/* The first token without its marks, the others of its characters as they are. */
static void append_unmarked(struct bytes *out, const struct decoder *d, const char *name, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool is_mark = n - i >= d->n_mark && memcmp(name + i, d->mark, d->n_mark) == 0;
        if (!is_mark) bytes_append(out, name + i, 1);
        i += is_mark ? d->n_mark : 1;
    }
}

void decode(const struct decoder *d, const struct vocab *names, const int32_t *ids, size_t n,
            const uint8_t *is_skipped, struct bytes *out)
{
    int64_t strips = d->strip_max;
    bool is_first = true;
    for (size_t i = 0; i < n; i++) {
        int32_t id = ids[i];
        if (is_skipped && is_skipped[id]) continue;
        const char *text = d->pool + d->start[id];
        size_t length = d->start[id + 1] - d->start[id];
        for (; strips > 0 && length; strips--) {
            if (length < d->n_strip || memcmp(text, d->strip, d->n_strip) != 0) {
                strips = 0;
                break;
            }
            text += d->n_strip;
            length -= d->n_strip;
        }
        size_t n_name = 0;
        const char *name = is_first && d->n_mark ? vocab_get(names, id, &n_name) : NULL;
        if (name)
            append_unmarked(out, d, name, n_name);
        else
            bytes_append(out, text, length);
        is_first = false;
    }
}
