#include "run/selftest.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PREFIX 37
#define MAX_OWN    21
#define MAX_OTHERS 40

struct trial {
    struct model *m;
    struct kvcache *k;
    int64_t n_prefix, n_own, n_others;
    struct page_list prefix, own[MAX_OTHERS + 1];
    int32_t *token, *position;
    struct segment segments[MAX_OTHERS + 1];
    int64_t T, S;
    char *host; /* two hidden rows [D] act */
};

static int32_t token_at(const struct trial *t, int64_t sequence, int64_t position)
{
    return (int32_t)((position * 7919 + sequence * 104729 + 3) % t->m->arch.V);
}

/* Rows of sequence s (0: the anchor) for own tokens [at, at + n), or of the prefix when s < 0. */
static void add(struct trial *t, int64_t s, int64_t at, int64_t n)
{
    int64_t base = s < 0 ? 0 : t->n_prefix;
    t->segments[t->S++] = (struct segment){.prefix_pages = t->prefix.items,
                                           .prefix_len = t->n_prefix,
                                           .own_pages = s < 0 ? NULL : t->own[s].items,
                                           .first_position = base + at,
                                           .row = t->T,
                                           .n_rows = n};
    for (int64_t i = 0; i < n; i++) {
        t->token[t->T] = token_at(t, s < 0 ? 0 : s, base + at + i);
        t->position[t->T++] = to_i32(base + at + i);
    }
}

static size_t row_bytes(const struct trial *t)
{
    return (size_t)t->m->arch.D * dtype_bytes(t->m->backend->activation);
}

/* Run what was added; hidden state of row `row` into out [D] act. */
static void run(struct trial *t, int64_t row, char *out)
{
    struct batch batch = {
        .token = t->token, .position = t->position, .segments = t->segments, .T = t->T, .S = t->S};
    struct backend *b = t->m->backend;
    const void *hidden = model_run(t->m, &batch);
    b->ops->download(b, out, model_row(t->m, hidden, row), row_bytes(t));
    t->T = t->S = 0;
}

static void own_in_chunks(struct trial *t, int64_t s, int64_t chunk, char *out)
{
    for (int64_t at = 0; at < t->n_own; at += chunk) {
        int64_t n = t->n_own - at < chunk ? t->n_own - at : chunk;
        add(t, s, at, n);
        run(t, n - 1, out);
    }
}

static int compare(const struct trial *t, const char *want, const char *got, const char *name,
                   const char *how, struct err *e)
{
    if (memcmp(want, got, row_bytes(t)) == 0) return 0;
    return err_set(e,
                   "%s: self-test: the anchor's bits changed %s; results would not be reproducible",
                   name, how);
}

/* The last own token of every sequence in one step, the anchor at `place`. */
static void step_together(struct trial *t, int64_t place, char *out)
{
    int64_t other = 1;
    for (int64_t i = 0; i <= t->n_others; i++) add(t, i == place ? 0 : other++, t->n_own - 1, 1);
    run(t, place, out);
}

static int trials(struct trial *t, const char *name, struct hash *fingerprint, struct err *e)
{
    int64_t half = (t->n_prefix + 1) / 2;
    char *anchor = t->host, *other = t->host + row_bytes(t);
    add(t, -1, 0, t->n_prefix);
    run(t, t->n_prefix - 1, anchor);
    hash_add(fingerprint, anchor, row_bytes(t));
    add(t, -1, 0, half);
    run(t, 0, other);
    if (half < t->n_prefix) {
        add(t, -1, half, t->n_prefix - half);
        run(t, t->n_prefix - half - 1, other);
        TRY(compare(t, anchor, other, name, "when the prompt was computed in two parts", e));
    }
    own_in_chunks(t, 0, 1, anchor);
    hash_add(fingerprint, anchor, row_bytes(t));
    own_in_chunks(t, 0, t->n_own, other);
    TRY(compare(t, anchor, other, name, "between decoding and one chunk", e));
    for (int64_t s = 1; s <= t->n_others; s++) own_in_chunks(t, s, t->n_own, other);
    for (int64_t place = 0; place <= t->n_others; place = place * 2 + 1) {
        step_together(t, place, other);
        TRY(compare(t, anchor, other, name, "among other sequences", e));
    }
    return 0;
}

int selftest_run(struct model *m, struct kvcache *k, const char *name, struct hash *fingerprint,
                 struct err *e)
{
    struct trial t = {.m = m, .k = k, .n_prefix = MAX_PREFIX, .n_own = MAX_OWN};
    if (t.n_prefix > (m->max_positions + 1) / 2) t.n_prefix = (m->max_positions + 1) / 2;
    if (t.n_own > m->max_positions - t.n_prefix) t.n_own = m->max_positions - t.n_prefix;
    if (t.n_own < 1)
        return err_set(e, "%s: a context of %lld positions is too short", name,
                       (long long)m->max_positions);
    t.n_others = (kvcache_free(k) - pages_of(t.n_prefix)) / pages_of(t.n_own) - 1;
    if (t.n_others > MAX_OTHERS) t.n_others = MAX_OTHERS;
    if (t.n_others >= m->max_rows) t.n_others = m->max_rows - 1;
    if (t.n_others < 0)
        return err_set(e, "%s: a pool of %lld pages is too small", name,
                       (long long)kvcache_free(k));
    t.token = mem_calloc((size_t)m->max_rows, sizeof *t.token);
    t.position = mem_calloc((size_t)m->max_rows, sizeof *t.position);
    t.host = mem_calloc(2, row_bytes(&t));
    ENSURE(page_list_grow(&t.prefix, k, t.n_prefix) == 0);
    for (int64_t s = 0; s <= t.n_others; s++) ENSURE(page_list_grow(&t.own[s], k, t.n_own) == 0);
    int rc = trials(&t, name, fingerprint, e);
    for (int64_t s = 0; s <= t.n_others; s++) page_list_free(&t.own[s], k);
    page_list_free(&t.prefix, k);
    free(t.token);
    free(t.position);
    free(t.host);
    return rc;
}
