#include "decode/engine.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PLACES_SOUGHT 16 /* of a prompt: each is a pass, and thousands may break together */
#define LOGITS_SLICE_BYTES                                                                         \
    (64u << 20) /* logits are held for a slice of the batch, never for all of it */

struct engine {
    struct model *model;
    struct engine_config config;
    int64_t slice; /* rows of one logits slice */

    /* Backend memory [V_local] each, of the prompts' last positions; those that no prompt has. */
    float **first_logits;
    int64_t n_first_logits;
    struct decoding *parts; /* of the step under way, borrowed; the parts of its rows, in order */
    int32_t *part_of;       /* [max_rows] */
    struct sequence **live; /* [max_rows] */

    /* Host arrays of max_rows: a forward pass, or the start of steps that the device takes. */
    int32_t *token, *position, *rows;
    struct segment *segments;
    struct draw *draws;
    int32_t *drawn;    /* [steps_ahead, max_rows] */
    float *logprob;    /* likewise */
    float *logits;     /* backend memory [slice, V_local] */
    int64_t step_rows; /* of the device's steps */
};

/* 2^k or 3 * 2^k of them: a device cuts its products at such numbers, and a few rows beyond one
 * would read the whole vocabulary projection again. */
static int64_t slice_rows(size_t row_bytes, int64_t max_rows)
{
    int64_t most = (int64_t)(LOGITS_SLICE_BYTES / row_bytes), rows = 16;
    while (2 * rows <= most) rows *= 2;
    if (rows / 2 * 3 <= most) rows = rows / 2 * 3;
    return rows < max_rows ? rows : max_rows;
}

static size_t logits_row_bytes(const struct shard *s)
{
    return (size_t)s->V_local * sizeof(float);
}

size_t engine_workspace_bytes(const struct shard *s, int64_t max_rows, int64_t prompts)
{
    size_t row = logits_row_bytes(s);
    return row * (size_t)(prompts + slice_rows(row, max_rows));
}

struct workload engine_workload(const struct arch *a, const struct shard *s, enum dtype activation,
                                int64_t max_positions, int64_t max_rows,
                                const struct engine_config *c)
{
    struct workload w = model_workload(a, s, activation, max_positions, max_rows);
    w.draws = slice_rows(logits_row_bytes(s), max_rows);
    w.V_local = s->V_local;
    w.top_k = c->sample.top_k;
    w.peers = c->peers;
    w.page_bytes = (size_t)(2 * a->L * s->G_local * PAGE_TOKENS * a->E) * dtype_bytes(activation);
    return w;
}

static int take_logits(struct engine *g, struct err *e)
{
    struct backend *b = g->model->backend;
    size_t row_bytes = logits_row_bytes(&g->model->shard);
    bool got = (g->logits = b->ops->alloc(b, (size_t)g->slice * row_bytes)) != NULL;
    g->first_logits = mem_calloc((size_t)g->config.prompts, sizeof(float *));
    for (; got && g->n_first_logits < g->config.prompts; g->n_first_logits += got)
        got = (g->first_logits[g->n_first_logits] = b->ops->alloc(b, row_bytes)) != NULL;
    if (got) return 0;
    return err_set(e, "no memory for logits: %lld rows of %zu bytes",
                   (long long)(g->slice + g->config.prompts), row_bytes);
}

struct engine *engine_create(struct model *m, const struct engine_config *c, struct err *e)
{
    struct engine *g = mem_calloc(1, sizeof *g);
    struct backend *b = m->backend;
    size_t rows = (size_t)m->max_rows, row_bytes = logits_row_bytes(&m->shard);
    size_t cells = rows * (size_t)b->steps_ahead;
    g->model = m;
    g->config = *c;
    if (c->prompts < 1) g->config.prompts = 1;
    g->config.sample.V = m->arch.V;
    g->config.sample.vocab_begin = m->shard.vocab_begin;
    g->config.sample.V_local = m->shard.V_local;
    g->slice = slice_rows(row_bytes, m->max_rows);
    g->token = mem_calloc(rows, sizeof *g->token);
    g->position = mem_calloc(rows, sizeof *g->position);
    g->rows = mem_calloc(rows, sizeof *g->rows);
    g->part_of = mem_calloc(rows, sizeof *g->part_of);
    g->live = mem_calloc(rows, sizeof(struct sequence *));
    g->drawn = mem_calloc(cells, sizeof *g->drawn);
    g->logprob = mem_calloc(cells, sizeof *g->logprob);
    g->segments = mem_calloc(rows, sizeof *g->segments);
    g->draws = mem_calloc(rows, sizeof *g->draws);
    struct workload w =
        engine_workload(&m->arch, &m->shard, b->activation, m->max_positions, m->max_rows, c);
    if (take_logits(g, e) == 0 && b->ops->reserve(b, &w, e) == 0) return g;
    engine_destroy(g);
    return NULL;
}

void engine_destroy(struct engine *g)
{
    if (!g) return;
    struct backend *b = g->model->backend;
    for (int64_t i = 0; i < g->n_first_logits; i++) b->ops->free(b, g->first_logits[i]);
    b->ops->free(b, g->logits);
    free(g->first_logits);
    free(g->token);
    free(g->position);
    free(g->rows);
    free(g->part_of);
    free(g->live);
    free(g->drawn);
    free(g->logprob);
    free(g->segments);
    free(g->draws);
    free(g);
}

/* T tokens of one sequence from first_position on (own: NULL for the prompt); returns their final
 * hidden states. */
static const void *run_chunk(struct engine *g, struct engine_prompt *p, const int32_t *tokens,
                             int64_t first_position, int64_t T, const struct page_list *own)
{
    struct model_stats before = g->model->stats;
    for (int64_t t = 0; t < T; t++) {
        g->token[t] = tokens[t];
        g->position[t] = to_i32(first_position + t);
    }
    g->segments[0] = (struct segment){.prefix_pages = p->pages.items,
                                      .prefix_len = p->n_ids,
                                      .own_pages = own ? own->items : NULL,
                                      .first_position = first_position,
                                      .n_rows = T};
    struct batch batch = {
        .token = g->token, .position = g->position, .segments = g->segments, .T = T, .S = 1};
    const void *hidden = model_run(g->model, &batch);
    model_stats_add(&p->stats, &before, &g->model->stats);
    return hidden;
}

/* The prompt in chunks of at most max_rows; logits of its last position into first_logits. */
static void prefill(struct engine *g, struct engine_prompt *p)
{
    struct model *m = g->model;
    const void *last = NULL;
    for (int64_t at = 0; at < p->n_ids; at += m->max_rows) {
        int64_t T = p->n_ids - at < m->max_rows ? p->n_ids - at : m->max_rows;
        last = model_row(m, run_chunk(g, p, p->ids + at, at, T, NULL), T - 1);
    }
    model_logits(m, last, 1, p->first_logits);
    m->stats.logits_rows++;
    p->stats.logits_rows++;
}

int engine_check(const struct engine *g, const int32_t *ids, int64_t n, struct err *e)
{
    int64_t most = g->model->max_positions - g->config.max_new_tokens, V = g->model->arch.V;
    if (n < 1) return err_set(e, "the prompt has no tokens");
    if (n > most)
        return err_set(e,
                       "the prompt has %lld tokens; with max_new_tokens %lld the context holds "
                       "prompts of %lld",
                       (long long)n, (long long)g->config.max_new_tokens, (long long)most);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return err_set(e, "prompt token %lld has id %d, outside the model's vocabulary of %lld",
                           (long long)i, ids[i], (long long)V);
    return 0;
}

int engine_begin(struct engine *g, struct engine_prompt *p, struct kvcache *k, int64_t prompt_index,
                 const int32_t *ids, int64_t n, struct err *e)
{
    *p = (struct engine_prompt){.kv = k, .index = prompt_index, .ids = ids, .n_ids = n};
    TRY(engine_check(g, ids, n, e));
    if (engine_recall(g, p) == 0) return 0;
    return err_set(e, "the prompt's %lld tokens do not fit the budget of %lld", (long long)n,
                   (long long)(kvcache_budget(k) * PAGE_TOKENS));
}

void engine_end(struct engine *g, struct engine_prompt *p)
{
    engine_drop(g, p);
    if (p->kv) page_list_free(&p->pages, p->kv);
}

void engine_drop(struct engine *g, struct engine_prompt *p)
{
    if (!p->first_logits) return;
    page_list_shrink(&p->pages, p->kv, 0);
    g->first_logits[g->n_first_logits++] = p->first_logits;
    p->first_logits = NULL;
}

int engine_recall(struct engine *g, struct engine_prompt *p)
{
    ENSURE(!p->first_logits && g->n_first_logits > 0);
    if (page_list_grow(&p->pages, p->kv, p->n_ids) < 0) {
        page_list_shrink(&p->pages, p->kv, 0);
        return -1;
    }
    p->first_logits = g->first_logits[--g->n_first_logits];
    prefill(g, p);
    return 0;
}

static bool is_end(const struct engine *g, int32_t token)
{
    for (int i = 0; i < g->config.n_end; i++)
        if (g->config.end[i] == token) return !g->config.ignore_eos;
    return false;
}

/* Where the logits of the next token of s stopped being finite: its newest token, or the prompt's
 * last one, goes through the model once more.  The KV before it is there still. */
static struct model_place find_fault(struct engine *g, struct engine_prompt *p,
                                     const struct sequence *s)
{
    bool first = s->n_tokens == 0;
    if (first && p->first_broken_at.part != MODEL_UNKNOWN) return p->first_broken_at;
    if (p->places_sought == MAX_PLACES_SOUGHT) return (struct model_place){0};
    p->places_sought++;
    int32_t token = first ? p->ids[p->n_ids - 1] : s->tokens[s->n_tokens - 1];
    int32_t position = to_i32(p->n_ids + s->n_tokens - 1);
    struct segment segment = {.prefix_pages = p->pages.items,
                              .prefix_len = p->n_ids,
                              .own_pages = first ? NULL : s->pages.items,
                              .first_position = position,
                              .n_rows = 1};
    struct batch batch = {
        .token = &token, .position = &position, .segments = &segment, .T = 1, .S = 1};
    struct model_place place = model_find_fault(g->model, &batch, g->logits);
    if (first) p->first_broken_at = place;
    return place;
}

static uint64_t add_draw(uint64_t sum, const struct sequence *s, int32_t token, float logprob)
{
    uint32_t bits = 0;
    if (token >= 0) memcpy(&bits, &logprob, sizeof bits); /* a NaN may have any */
    sum = hash_mix(sum, (uint64_t)(uint32_t)s->candidate << 32 | (uint32_t)token);
    return hash_mix(sum, (uint64_t)s->n_tokens << 32 | bits);
}

/* Append a drawn token; a sequence that completes, or breaks, gives its pages back. */
static void append(struct engine *g, struct decoding *part, struct sequence *s, int32_t token,
                   float logprob)
{
    struct engine_prompt *p = part->prompt;
    p->checksum = add_draw(p->checksum, s, token, logprob);
    if (token < 0) {
        s->broken_at = find_fault(g, p, s);
        s->status = SEQUENCE_BROKEN;
        part->n_broken++;
        sequence_release(s, p->kv);
        return;
    }
    ENSURE(s->n_tokens < s->capacity);
    s->tokens[s->n_tokens++] = token;
    s->logprob_sum += (double)logprob;
    p->tokens_sampled++;
    if (is_end(g, token))
        s->status = SEQUENCE_FINISHED;
    else if (s->n_tokens == g->config.max_new_tokens)
        s->status = SEQUENCE_TRUNCATED;
    else
        return;
    sequence_release(s, p->kv);
}

static struct draw draw_of(const struct engine *g, const struct engine_prompt *p,
                           const struct sequence *s)
{
    return (struct draw){.seed = g->config.seed,
                         .prompt = (uint32_t)p->index,
                         .candidate = (uint32_t)s->candidate,
                         .position = (uint32_t)s->n_tokens};
}

/* First tokens of a prompt's candidates, which all draw from the same logits. */
static void first_step(struct engine *g, struct decoding *part, struct sequence *const *live,
                       int64_t n)
{
    struct backend *b = g->model->backend;
    size_t row_bytes = logits_row_bytes(&g->model->shard);
    memset(g->rows, 0, (size_t)n * sizeof *g->rows);
    for (int64_t at = 0; at < n; at += g->slice) {
        int64_t rows = n - at < g->slice ? n - at : g->slice;
        b->ops->gather_rows(b, g->logits, part->prompt->first_logits, g->rows, rows, row_bytes);
        for (int64_t i = 0; i < rows; i++) g->draws[i] = draw_of(g, part->prompt, live[at + i]);
        b->ops->sample(b, g->logits, rows, &g->config.sample, g->draws, g->drawn, g->logprob);
        for (int64_t i = 0; i < rows; i++)
            append(g, part, live[at + i], g->drawn[i], g->logprob[i]);
    }
}

int64_t engine_steps(const struct engine *g, struct sequence *const *live, int64_t n,
                     int64_t at_most)
{
    int64_t steps = g->model->backend->steps_ahead;
    if (steps > at_most) steps = at_most;
    for (int64_t i = 0; i < n && steps > 1; i++) {
        int64_t have = live[i]->n_tokens;
        if (have == 0) return 1;
        int64_t on_page = PAGE_TOKENS - (have - 1) % PAGE_TOKENS,
                left = g->config.max_new_tokens - have;
        if (on_page < steps) steps = on_page;
        if (left < steps) steps = left;
    }
    return steps;
}

/* One step of step_rows rows on the device, from the newest tokens to the next ones. */
static void issue_step(void *arg)
{
    struct engine *g = arg;
    struct model *m = g->model;
    struct backend *b = m->backend;
    int64_t T = g->step_rows;
    const void *hidden = model_forward(m, T);
    for (int64_t at = 0; at < T; at += g->slice) {
        int64_t rows = T - at < g->slice ? T - at : g->slice;
        model_logits(m, model_row(m, hidden, at), rows, g->logits);
        b->ops->decode_draw(b, g->logits, at, rows, &g->config.sample);
    }
    b->ops->decode_advance(b);
}

/* The start of the steps of the n sequences in g->live, and room for their KV. */
static struct decode make_decode(struct engine *g, int64_t n, int64_t steps)
{
    for (int64_t i = 0; i < n; i++) {
        struct sequence *s = g->live[i];
        const struct engine_prompt *p = g->parts[g->part_of[i]].prompt;
        ENSURE(s->kv_tokens == s->n_tokens - 1);
        ENSURE(page_list_grow(&s->pages, p->kv, s->kv_tokens + steps) == 0);
        g->draws[i] = draw_of(g, p, s);
        g->token[i] = s->tokens[s->n_tokens - 1];
        g->segments[i] = (struct segment){.prefix_pages = p->pages.items,
                                          .prefix_len = p->n_ids,
                                          .own_pages = s->pages.items,
                                          .first_position = p->n_ids + s->kv_tokens,
                                          .row = i,
                                          .n_rows = 1};
    }
    return (struct decode){.S = n,
                           .segments = g->segments,
                           .token = g->token,
                           .draws = g->draws,
                           .steps = steps,
                           .max_rows = g->model->max_rows};
}

/* Each prompt's part of one pass over T rows, n of them sequences: its keys, and of the rest, what
 * its rows are of all.  Cumulated and rounded, so that the parts add up. */
static void count_parts(struct engine *g, int64_t n, int64_t T, int64_t steps)
{
    for (int64_t i = 0, end; i < n; i = end) {
        struct model_stats *stats = &g->parts[g->part_of[i]].prompt->stats;
        double keys = 0;
        for (end = i; end < n && g->part_of[end] == g->part_of[i]; end++)
            keys += (double)(g->segments[end].first_position + 1);
        int64_t rows = T * end / n - T * i / n, own = end - i;
        stats->rows += steps * rows;
        stats->logits_rows += steps * rows;
        stats->forwards += (double)steps * (double)own / (double)n;
        stats->attended_keys += (double)steps * keys + (double)(own * (steps * (steps - 1) / 2));
    }
}

/* At most max_rows sequences that have at least one token, in g->live: `steps` times its KV is
 * written, the next one drawn.  What a sequence draws after its end is forgotten. */
static void decode_steps(struct engine *g, int64_t n, int64_t steps)
{
    struct model *m = g->model;
    struct backend *b = m->backend;
    struct decode decode = make_decode(g, n, steps);
    int64_t T = g->step_rows = b->ops->decode_begin(b, m->kv, &decode);
    double keys = 0;
    for (int64_t i = 0; i < n; i++) keys += (double)(g->segments[i].first_position + 1);
    for (int64_t k = 0; k < steps; k++) {
        b->ops->graph(b, (uint64_t)T, issue_step, g);
        model_count(m, T, keys + (double)(k * n));
        m->stats.logits_rows += T;
    }
    count_parts(g, n, T, steps);
    b->ops->decode_end(b, g->drawn, g->logprob);
    for (int64_t i = 0; i < n; i++) {
        struct sequence *s = g->live[i];
        s->kv_tokens += steps;
        for (int64_t k = 0; k < steps && s->status == SEQUENCE_LIVE; k++)
            append(g, &g->parts[g->part_of[i]], s, g->drawn[k * n + i], g->logprob[k * n + i]);
    }
}

/* Sequences of a part from `at` on that are alike: first tokens, or later ones; how many. */
static int64_t run_of(const struct engine *g, const struct decoding *part, int64_t at)
{
    bool first = part->live[at]->n_tokens == 0;
    int64_t run = 1;
    while (at + run < part->n && run < g->model->max_rows &&
           (part->live[at + run]->n_tokens == 0) == first)
        run++;
    return run;
}

/* Later tokens go together, whosever they are; first tokens need no pass. */
void engine_step(struct engine *g, struct decoding *parts, int64_t n_parts, int64_t steps)
{
    int64_t n = 0;
    g->parts = parts;
    for (int64_t p = 0; p < n_parts; p++) {
        struct decoding *part = &parts[p];
        part->n_broken = 0;
        for (int64_t at = 0, run; at < part->n; at += run) {
            run = run_of(g, part, at);
            if (part->live[at]->n_tokens == 0) {
                first_step(g, part, part->live + at, run);
                continue;
            }
            for (int64_t i = 0; i < run; i++) {
                g->live[n] = part->live[at + i];
                g->part_of[n++] = to_i32(p);
                if (n < g->model->max_rows) continue;
                decode_steps(g, n, steps);
                n = 0;
            }
        }
    }
    if (n > 0) decode_steps(g, n, steps);
    g->parts = NULL;
}

int engine_restore(struct engine *g, struct engine_prompt *p, struct sequence *s)
{
    int64_t kv_tokens = sequence_kv_tokens(s->n_tokens), max_rows = g->model->max_rows;
    ENSURE(s->kv_tokens == 0);
    if (page_list_grow(&s->pages, p->kv, kv_tokens) < 0) {
        page_list_shrink(&s->pages, p->kv, 0);
        return -1;
    }
    for (int64_t at = 0; at < kv_tokens; at += max_rows)
        run_chunk(g, p, s->tokens + at, p->n_ids + at,
                  kv_tokens - at < max_rows ? kv_tokens - at : max_rows, &s->pages);
    s->kv_tokens = kv_tokens;
    return 0;
}
