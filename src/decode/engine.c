#include "decode/engine.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOGITS_SLICE_BYTES                                                                         \
    (64u << 20) /* logits are held for a slice of the batch, never for all of it */

struct engine {
    struct model *model;
    struct kvcache *kv;
    struct engine_config config;
    int64_t slice; /* rows of one logits slice */

    /* The prompt. */
    int64_t prompt_index, n_prompt, tokens_sampled;
    struct page_list prompt_pages;
    float *first_logits; /* backend memory [V_local]: of the prompt's last position */

    /* Host arrays of max_rows: a forward pass, or the start of steps that the device takes. */
    int32_t *token, *position, *rows;
    struct segment *segments;
    struct draw *draws;
    int32_t *drawn;    /* [steps_ahead, max_rows] */
    float *logprob;    /* likewise */
    float *logits;     /* backend memory [slice, V_local] */
    int64_t step_rows; /* of the device's steps */
};

static int64_t slice_rows(size_t row_bytes, int64_t max_rows)
{
    int64_t rows = (int64_t)(LOGITS_SLICE_BYTES / row_bytes);
    if (rows < 16) rows = 16;
    return rows < max_rows ? rows : max_rows;
}

static size_t logits_row_bytes(const struct shard *s)
{
    return (size_t)s->V_local * sizeof(float);
}

size_t engine_workspace_bytes(const struct shard *s, int64_t max_rows)
{
    size_t row = logits_row_bytes(s);
    return row * (size_t)(1 + slice_rows(row, max_rows));
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

struct engine *engine_create(struct model *m, struct kvcache *k, const struct engine_config *c,
                             struct err *e)
{
    struct engine *g = mem_calloc(1, sizeof *g);
    struct backend *b = m->backend;
    size_t rows = (size_t)m->max_rows, row_bytes = logits_row_bytes(&m->shard);
    size_t cells = rows * (size_t)b->steps_ahead;
    g->model = m;
    g->kv = k;
    g->config = *c;
    g->config.sample.V = m->arch.V;
    g->config.sample.vocab_begin = m->shard.vocab_begin;
    g->config.sample.V_local = m->shard.V_local;
    g->slice = slice_rows(row_bytes, m->max_rows);
    g->token = mem_calloc(rows, sizeof *g->token);
    g->position = mem_calloc(rows, sizeof *g->position);
    g->rows = mem_calloc(rows, sizeof *g->rows);
    g->drawn = mem_calloc(cells, sizeof *g->drawn);
    g->logprob = mem_calloc(cells, sizeof *g->logprob);
    g->segments = mem_calloc(rows, sizeof *g->segments);
    g->draws = mem_calloc(rows, sizeof *g->draws);
    g->first_logits = b->ops->alloc(b, row_bytes);
    g->logits = b->ops->alloc(b, (size_t)g->slice * row_bytes);
    struct workload w =
        engine_workload(&m->arch, &m->shard, b->activation, m->max_positions, m->max_rows, c);
    int rc = b->ops->reserve(b, &w, e);
    if (rc == 0 && (!g->first_logits || !g->logits))
        rc = err_set(e, "no memory for logits: %lld rows of %zu bytes", (long long)g->slice,
                     row_bytes);
    if (rc == 0) return g;
    engine_destroy(g);
    return NULL;
}

void engine_destroy(struct engine *g)
{
    if (!g) return;
    struct backend *b = g->model->backend;
    page_list_free(&g->prompt_pages, g->kv);
    b->ops->free(b, g->first_logits);
    b->ops->free(b, g->logits);
    free(g->token);
    free(g->position);
    free(g->rows);
    free(g->drawn);
    free(g->logprob);
    free(g->segments);
    free(g->draws);
    free(g);
}

int64_t engine_prompt_tokens(const struct engine *g)
{
    return g->n_prompt;
}
int64_t engine_tokens_sampled(const struct engine *g)
{
    return g->tokens_sampled;
}

/* T tokens of one sequence from first_position on (own: NULL for the prompt); returns their final
 * hidden states. */
static const void *run_chunk(struct engine *g, const int32_t *tokens, int64_t first_position,
                             int64_t T, const struct page_list *own)
{
    for (int64_t t = 0; t < T; t++) {
        g->token[t] = tokens[t];
        g->position[t] = to_i32(first_position + t);
    }
    g->segments[0] = (struct segment){.prefix_pages = g->prompt_pages.items,
                                      .prefix_len = g->n_prompt,
                                      .own_pages = own ? own->items : NULL,
                                      .first_position = first_position,
                                      .n_rows = T};
    struct batch batch = {
        .token = g->token, .position = g->position, .segments = g->segments, .T = T, .S = 1};
    return model_run(g->model, &batch);
}

/* The prompt in chunks of at most max_rows; logits of its last position into first_logits. */
static void prefill(struct engine *g, const int32_t *ids)
{
    struct model *m = g->model;
    const void *last = NULL;
    for (int64_t at = 0; at < g->n_prompt; at += m->max_rows) {
        int64_t T = g->n_prompt - at < m->max_rows ? g->n_prompt - at : m->max_rows;
        last = model_row(m, run_chunk(g, ids + at, at, T, NULL), T - 1);
    }
    model_logits(m, last, 1, g->first_logits);
    m->stats.logits_rows++;
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

int engine_begin(struct engine *g, int64_t prompt_index, const int32_t *ids, int64_t n,
                 struct err *e)
{
    TRY(engine_check(g, ids, n, e));
    g->tokens_sampled = 0;
    g->prompt_index = prompt_index;
    g->n_prompt = n;
    if (page_list_grow(&g->prompt_pages, g->kv, n) < 0) {
        page_list_shrink(&g->prompt_pages, g->kv, 0);
        return err_set(e, "the prompt's %lld tokens do not fit the budget of %lld", (long long)n,
                       (long long)(kvcache_budget(g->kv) * PAGE_TOKENS));
    }
    prefill(g, ids);
    return 0;
}

void engine_end(struct engine *g)
{
    page_list_shrink(&g->prompt_pages, g->kv, 0);
}

static bool is_end(const struct engine *g, int32_t token)
{
    for (int i = 0; i < g->config.n_end; i++)
        if (g->config.end[i] == token) return !g->config.ignore_eos;
    return false;
}

/* Append a drawn token; a sequence that completes gives its pages back. */
static int append(struct engine *g, struct sequence *s, int32_t token, float logprob, struct err *e)
{
    if (token < 0)
        return err_set(
            e, "prompt %lld, candidate %d: the logits at response position %lld are not finite",
            (long long)g->prompt_index, s->candidate, (long long)s->n_tokens);
    ENSURE(s->n_tokens < s->capacity);
    s->tokens[s->n_tokens++] = token;
    s->logprob_sum += (double)logprob;
    g->tokens_sampled++;
    if (is_end(g, token))
        s->status = SEQUENCE_FINISHED;
    else if (s->n_tokens == g->config.max_new_tokens)
        s->status = SEQUENCE_TRUNCATED;
    else
        return 0;
    sequence_release(s, g->kv);
    return 0;
}

static void fill_draws(struct engine *g, struct sequence *const *live, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        g->draws[i] = (struct draw){.seed = g->config.seed,
                                    .prompt = (uint32_t)g->prompt_index,
                                    .candidate = (uint32_t)live[i]->candidate,
                                    .position = (uint32_t)live[i]->n_tokens};
}

/* First tokens: every candidate draws from the same logits. */
static int first_step(struct engine *g, struct sequence *const *live, int64_t n, struct err *e)
{
    struct backend *b = g->model->backend;
    size_t row_bytes = logits_row_bytes(&g->model->shard);
    memset(g->rows, 0, (size_t)n * sizeof *g->rows);
    for (int64_t at = 0; at < n; at += g->slice) {
        int64_t rows = n - at < g->slice ? n - at : g->slice;
        b->ops->gather_rows(b, g->logits, g->first_logits, g->rows, rows, row_bytes);
        fill_draws(g, live + at, rows);
        b->ops->sample(b, g->logits, rows, &g->config.sample, g->draws, g->drawn, g->logprob);
        for (int64_t i = 0; i < rows; i++)
            TRY(append(g, live[at + i], g->drawn[i], g->logprob[i], e));
    }
    return 0;
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

/* The start of the steps of n sequences, and room for their KV. */
static struct decode make_decode(struct engine *g, struct sequence *const *live, int64_t n,
                                 int64_t steps)
{
    fill_draws(g, live, n);
    for (int64_t i = 0; i < n; i++) {
        struct sequence *s = live[i];
        ENSURE(s->kv_tokens == s->n_tokens - 1);
        ENSURE(page_list_grow(&s->pages, g->kv, s->kv_tokens + steps) == 0);
        g->token[i] = s->tokens[s->n_tokens - 1];
        g->segments[i] = (struct segment){.prefix_pages = g->prompt_pages.items,
                                          .prefix_len = g->n_prompt,
                                          .own_pages = s->pages.items,
                                          .first_position = g->n_prompt + s->kv_tokens,
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

/* At most max_rows sequences that have at least one token: `steps` times its KV is written, the
 * next one drawn.  What a sequence draws after its end is forgotten. */
static int decode_steps(struct engine *g, struct sequence *const *live, int64_t n, int64_t steps,
                        struct err *e)
{
    struct model *m = g->model;
    struct backend *b = m->backend;
    struct decode decode = make_decode(g, live, n, steps);
    int64_t T = g->step_rows = b->ops->decode_begin(b, m->kv, &decode);
    double keys = 0;
    for (int64_t i = 0; i < n; i++) keys += (double)(g->segments[i].first_position + 1);
    for (int64_t k = 0; k < steps; k++) {
        b->ops->graph(b, (uint64_t)T, issue_step, g);
        model_count(m, T, keys + (double)(k * n));
        m->stats.logits_rows += T;
    }
    b->ops->decode_end(b, g->drawn, g->logprob);
    for (int64_t i = 0; i < n; i++) {
        live[i]->kv_tokens += steps;
        for (int64_t k = 0; k < steps && live[i]->status == SEQUENCE_LIVE; k++)
            TRY(append(g, live[i], g->drawn[k * n + i], g->logprob[k * n + i], e));
    }
    return 0;
}

int engine_step(struct engine *g, struct sequence *const *live, int64_t n, int64_t steps,
                struct err *e)
{
    int64_t at = 0;
    while (at < n) {
        bool first = live[at]->n_tokens == 0;
        int64_t run = 1;
        while (at + run < n && run < g->model->max_rows && (live[at + run]->n_tokens == 0) == first)
            run++;
        TRY(first ? first_step(g, live + at, run, e) : decode_steps(g, live + at, run, steps, e));
        at += run;
    }
    return 0;
}

int engine_restore(struct engine *g, struct sequence *s)
{
    int64_t kv_tokens = sequence_kv_tokens(s->n_tokens), max_rows = g->model->max_rows;
    ENSURE(s->kv_tokens == 0);
    if (page_list_grow(&s->pages, g->kv, kv_tokens) < 0) {
        page_list_shrink(&s->pages, g->kv, 0);
        return -1;
    }
    for (int64_t at = 0; at < kv_tokens; at += max_rows)
        run_chunk(g, s->tokens + at, g->n_prompt + at,
                  kv_tokens - at < max_rows ? kv_tokens - at : max_rows, &s->pages);
    s->kv_tokens = kv_tokens;
    return 0;
}
