#include "text/normalize.h"

#include "base/json.h"
#include "base/mem.h"
#include "text/bytes.h"
#include "text/steps.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* NFC changes nothing in a text without unstable characters: those that change by themselves, that
 * combine with what stands before them, or that are reordered.  All lie in this range. */
#define UNSTABLE_FIRST    0x300
#define UNSTABLE_END      0x30000
#define MAX_DECOMPOSITION 4 /* code points, canonical */

static void mark_unstable(uint8_t *bits, uint32_t c)
{
    bits[c / 8] |= (uint8_t)(1u << c % 8);
}

/* A character's canonical decomposition: what follows its first character may combine; and unless
 * it is put together again, the character itself is unstable. */
static void mark_decomposition(uint8_t *bits, uint32_t c)
{
    utf8proc_int32_t parts[MAX_DECOMPOSITION];
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, MAX_DECOMPOSITION,
                                                 UTF8PROC_DECOMPOSE, NULL);
    if (n < 1 || (n == 1 && parts[0] == (utf8proc_int32_t)c)) return;
    for (utf8proc_ssize_t i = 1; i < n; i++)
        if (parts[i] >= UNSTABLE_FIRST && parts[i] < UNSTABLE_END)
            mark_unstable(bits, (uint32_t)parts[i]);
    n = utf8proc_normalize_utf32(parts, n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    if (n != 1 || parts[0] != (utf8proc_int32_t)c) mark_unstable(bits, c);
}

static uint8_t *find_unstable(void)
{
    uint8_t *bits = mem_calloc(UNSTABLE_END / 8, 1);
    for (uint32_t c = 0x1100; c < 0x1200; c++) mark_unstable(bits, c); /* Hangul jamo */
    for (uint32_t c = 0xC0; c < UNSTABLE_END; c++) {
        const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
        if (p->combining_class) mark_unstable(bits, c);
        if (p->decomp_seqindex != UINT16_MAX) mark_decomposition(bits, c);
    }
    return bits;
}

static bool is_stable(const uint8_t *unstable, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        if ((unsigned char)text[i] < 0xCC) { /* below U+0300 */
            i++;
            continue;
        }
        uint32_t c = utf8_next(text, &i);
        if (c < UNSTABLE_END && (unstable[c / 8] >> c % 8 & 1)) return false;
    }
    return true;
}

/* A run of combining marks in canonical order: by class, stable.  The library would sort it by
 * exchanging neighbours, which is quadratic in the run. */
static int compare_keys(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void order_marks(utf8proc_int32_t *c, size_t n)
{
    uint64_t *keys = mem_calloc(n, sizeof *keys); /* class, place in the run, code point */
    for (size_t i = 0; i < n; i++)
        keys[i] = (uint64_t)utf8proc_get_property(c[i])->combining_class << 53 | (uint64_t)i << 21 |
                  (uint64_t)c[i];
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) c[i] = (utf8proc_int32_t)(keys[i] & 0x1FFFFF);
    free(keys);
}

static void order_all_marks(utf8proc_int32_t *c, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && utf8proc_get_property(c[end])->combining_class) end++;
        if (end > i + 1) order_marks(c + i, end - i);
        i = end > i ? end : i + 1;
    }
}

/* Compose code points that are in canonical order. */
static void append_composed(utf8proc_int32_t *c, size_t n, struct bytes *out)
{
    utf8proc_ssize_t left =
        utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (utf8proc_ssize_t i = 0; i < left; i++) {
        ARRAY_RESERVE(*out, out->n + 4);
        out->n += utf8_put((uint32_t)c[i], out->items + out->n);
    }
}

/* U+11A7 stands one before the Hangul final consonants; the library takes it for one and drops it,
 * so that it has to come first. */
#define NO_FINAL 0x11A7

/* Canonical composition of all of text into out. */
static void compose(const char *text, size_t n, struct bytes *out)
{
    struct {
        utf8proc_int32_t *items;
        size_t n, cap;
    } c = {0};
    for (size_t i = 0; i < n;) {
        ARRAY_RESERVE(c, c.n + MAX_DECOMPOSITION);
        c.n += (size_t)utf8proc_decompose_char((utf8proc_int32_t)utf8_next(text, &i), c.items + c.n,
                                               MAX_DECOMPOSITION, UTF8PROC_DECOMPOSE, NULL);
    }
    order_all_marks(c.items, c.n);
    out->n = 0;
    for (size_t start = 0, end; start < c.n; start = end) {
        for (end = start + 1; end < c.n && c.items[end] != NO_FINAL;) end++;
        append_composed(c.items + start, end - start, out);
    }
    free(c.items);
}

/* A step that replaces may be followed by others that replace what it wrote: a short file could ask
 * for texts of any length. */
static size_t longest(size_t n)
{
    return 16 * n + 4096;
}

/* Stops where out becomes longer than `most` bytes. */
static void replace(const struct normalizer_step *s, const char *text, size_t n, size_t most,
                    struct bytes *out)
{
    const char *end = text + n;
    out->n = 0;
    for (const char *hit;
         out->n <= most && (hit = memmem(text, (size_t)(end - text), s->from, s->n_from));
         text = hit + s->n_from) {
        bytes_append(out, text, (size_t)(hit - text));
        bytes_append(out, s->to, s->n_to);
    }
    bytes_append(out, text, (size_t)(end - text));
}

const char *normalize(const struct normalizer *s, struct normalizer_scratch *w, const char *text,
                      size_t *n, bool no_prefix, struct err *e)
{
    struct bytes *out = &w->a, *spare = &w->b;
    const size_t most = longest(*n);
    for (size_t i = 0; i < s->n && *n; i++) {
        const struct normalizer_step *step = &s->items[i];
        switch (step->kind) {
        case NORMALIZE_NFC:
            if (is_stable(s->unstable, text, *n)) continue;
            compose(text, *n, out);
            break;
        case NORMALIZE_PREPEND:
            if (no_prefix) continue;
            out->n = 0;
            bytes_append(out, step->to, step->n_to);
            bytes_append(out, text, *n);
            break;
        case NORMALIZE_REPLACE:
            if (!memmem(text, *n, step->from, step->n_from)) continue;
            replace(step, text, *n, most, out);
            break;
        }
        if (out->n > most) {
            err_set(e, "tokenizer: its normalizer makes a text more than 16 times as long");
            return NULL;
        }
        text = out->items;
        *n = out->n;
        struct bytes *used = out;
        out = spare;
        spare = used;
    }
    return *n ? text : ""; /* where all is replaced by nothing there may be no memory yet */
}

static int open_replace(struct normalizer_step *step, const json_t *json, const char *where,
                        struct err *e)
{
    const json_t *pattern = json_object_get(json, "pattern");
    const char *from, *to;
    if (!json_object_get(pattern, "String"))
        return err_set(e, "%s: normalizer Replace: only a pattern of kind String is supported",
                       where);
    TRY(json_get_str(pattern, where, "String", &from, e));
    TRY(json_get_str(json, where, "content", &to, e));
    if (!*from) return err_set(e, "%s: normalizer Replace: the pattern is empty", where);
    *step = (struct normalizer_step){.kind = NORMALIZE_REPLACE,
                                     .from = mem_strdup(from),
                                     .n_from = strlen(from),
                                     .to = mem_strdup(to),
                                     .n_to = strlen(to)};
    return 0;
}

static int open_step(struct normalizer *s, const struct step *from, const char *where,
                     struct err *e)
{
    struct normalizer_step step = {.kind = NORMALIZE_NFC};
    if (strcmp(from->type, "NFC") == 0) {
        if (!s->unstable) s->unstable = find_unstable();
    } else if (strcmp(from->type, "Prepend") == 0) {
        const char *prefix;
        TRY(json_get_str(from->json, where, "prepend", &prefix, e));
        step.kind = NORMALIZE_PREPEND;
        step.to = mem_strdup(prefix);
        step.n_to = strlen(prefix);
    } else if (strcmp(from->type, "Replace") == 0) {
        TRY(open_replace(&step, from->json, where, e));
    } else {
        return err_set(
            e, "%s: normalizer '%s' is not supported (supported: Sequence, NFC, Prepend, Replace)",
            where, from->type);
    }
    ARRAY_PUSH(*s, step);
    return 0;
}

int normalizer_open(struct normalizer *s, const json_t *json, const char *where, struct err *e)
{
    struct steps steps;
    *s = (struct normalizer){0};
    TRY(steps_unroll(json, "normalizers", where, &steps, e));
    int rc = 0;
    for (size_t i = 0; i < steps.n && rc == 0; i++) rc = open_step(s, &steps.items[i], where, e);
    free(steps.items);
    if (rc < 0) normalizer_close(s);
    return rc;
}

void normalizer_close(struct normalizer *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->items[i].from);
        free(s->items[i].to);
    }
    free(s->items);
    free(s->unstable);
    *s = (struct normalizer){0};
}

void normalizer_scratch_free(struct normalizer_scratch *w)
{
    free(w->a.items);
    free(w->b.items);
    *w = (struct normalizer_scratch){0};
}
