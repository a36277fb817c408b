#include "run/selftest.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CHANGED "%s: self-test: the anchor's bits changed %s; results would not be reproducible"

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

/* Run what was added; its hidden states. */
static const void *run(struct trial *t)
{
    struct batch batch = {
        .token = t->token, .position = t->position, .segments = t->segments, .T = t->T, .S = t->S};
    const void *hidden = model_run(t->m, &batch);
    t->T = t->S = 0;
    return hidden;
}

/* The same; the hidden state of row `row` into out [D] act. */
static void run_row(struct trial *t, int64_t row, char *out)
{
    struct backend *b = t->m->backend;
    b->ops->download(b, out, model_row(t->m, run(t), row), row_bytes(t));
}

static void own_in_chunks(struct trial *t, int64_t s, int64_t chunk, char *out)
{
    for (int64_t at = 0; at < t->n_own; at += chunk) {
        int64_t n = t->n_own - at < chunk ? t->n_own - at : chunk;
        add(t, s, at, n);
        run_row(t, n - 1, out);
    }
}

/* The own tokens of the other sequences, as many of these at a time as there are rows for. */
static void fill_others(struct trial *t)
{
    for (int64_t s = 1; s <= t->n_others; s++) {
        if (t->T + t->n_own > t->m->max_rows) run(t);
        add(t, s, 0, t->n_own);
    }
    if (t->T > 0) run(t);
}

static int compare(const struct trial *t, const char *want, const char *got, const char *name,
                   const char *how, struct err *e)
{
    if (memcmp(want, got, row_bytes(t)) == 0) return 0;
    return err_set(e, CHANGED, name, how);
}

/* The last own token of every sequence in one step, the anchor at `place`. */
static void step_together(struct trial *t, int64_t place, char *out)
{
    int64_t other = 1;
    for (int64_t i = 0; i <= t->n_others; i++) add(t, i == place ? 0 : other++, t->n_own - 1, 1);
    run_row(t, place, out);
}

#define HEAD_ROWS 8

/* Logits of the anchor's row, the last of `rows`, into out, and the token drawn from them. */
static void draw_anchor(const struct trial *t, const void *hidden, int64_t rows, float *logits,
                        float *out, int32_t *token, float *logprob)
{
    struct model *m = t->m;
    struct backend *b = m->backend;
    struct sample_params p = {.temperature = 1, .top_k = 50, .top_p = 0.9f, .V = m->arch.V};
    p.vocab_begin = m->shard.vocab_begin;
    p.V_local = m->shard.V_local;
    struct draw draws[HEAD_ROWS];
    int32_t tokens[HEAD_ROWS];
    float logprobs[HEAD_ROWS];
    for (int64_t i = 0; i < rows; i++) draws[i] = (struct draw){.candidate = (uint32_t)(rows - i)};
    model_logits(m, hidden, rows, logits);
    b->ops->download(b, out, logits + (rows - 1) * p.V_local, (size_t)p.V_local * sizeof *out);
    b->ops->sample(b, logits, rows, &p, draws, tokens, logprobs);
    *token = tokens[rows - 1];
    *logprob = logprobs[rows - 1];
}

/* The vocabulary projection and the draw, alone and behind other rows. */
static int head_trial(struct trial *t, const char *name, struct hash *fingerprint, struct err *e)
{
    struct model *m = t->m;
    struct backend *b = m->backend;
    if (!m->weights.lm_head) return 0;
    int64_t rows = t->n_others < HEAD_ROWS - 1 ? t->n_others + 1 : HEAD_ROWS;
    size_t row_bytes = (size_t)m->shard.V_local * sizeof(float);
    float *logits = b->ops->alloc(b, (size_t)rows * row_bytes);
    if (!logits) quit("out of memory: %lld rows of logits", (long long)rows); /* on all ranks */
    float *host = mem_calloc(2, row_bytes), *together = host, *alone = host + m->shard.V_local;
    float logprob[2];
    int32_t token[2];
    for (int64_t s = rows - 1; s >= 0; s--) add(t, s, t->n_own - 1, 1);
    const void *hidden = run(t);
    draw_anchor(t, hidden, rows, logits, together, &token[0], &logprob[0]);
    draw_anchor(t, model_row(m, hidden, rows - 1), 1, logits, alone, &token[1], &logprob[1]);
    int rc = 0;
    if (memcmp(together, alone, row_bytes) != 0 || token[0] != token[1] ||
        memcmp(&logprob[0], &logprob[1], sizeof *logprob) != 0)
        rc = err_set(e, CHANGED, name, "in the vocabulary projection among other rows");
    hash_add(fingerprint, &token[0], sizeof *token); /* the same on every rank */
    hash_add(fingerprint, &logprob[0], sizeof *logprob);
    b->ops->free(b, logits);
    free(host);
    return rc;
}

static int trials(struct trial *t, const char *name, struct hash *fingerprint, struct err *e)
{
    int64_t half = (t->n_prefix + 1) / 2;
    char *anchor = t->host, *other = t->host + row_bytes(t);
    add(t, -1, 0, t->n_prefix);
    run_row(t, t->n_prefix - 1, anchor);
    hash_add(fingerprint, anchor, row_bytes(t));
    add(t, -1, 0, half);
    run_row(t, 0, other);
    if (half < t->n_prefix) {
        add(t, -1, half, t->n_prefix - half);
        run_row(t, t->n_prefix - half - 1, other);
        TRY(compare(t, anchor, other, name, "when the prompt was computed in two parts", e));
    }
    own_in_chunks(t, 0, 1, anchor);
    hash_add(fingerprint, anchor, row_bytes(t));
    own_in_chunks(t, 0, t->n_own, other);
    TRY(compare(t, anchor, other, name, "between decoding and one chunk", e));
    fill_others(t);
    for (int64_t place = 0; place <= t->n_others; place = place * 2 + 1) {
        step_together(t, place, other);
        TRY(compare(t, anchor, other, name, "among other sequences", e));
    }
    return head_trial(t, name, fingerprint, e);
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
