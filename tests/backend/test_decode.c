/* Steps without the host: what decode_begin, graph, decode_draw, decode_advance and decode_end give
 * is bit for bit what the same tokens give one batch at a time, whoever goes along, however many
 * rows are padded, and however often a step was run before. */
#include "backend/fixture.h"

enum { D = 32, H = 4, G = 2, E = 8, V = 50, COLUMNS = 64, MAX_POSITION = 128, PREFIX = 19 };
enum { MOST = 20, OWN_PAGES = 3, MAX_ROWS = 24, MAX_STEPS = 12 };

/* A model of one layer without its MLP. */
struct tiny {
    struct backend *b;
    struct weight *qkv, *o, *head;
    struct kv_pool *kv;
    void *table, *rope, *norm, *x, *normed, *qkv_rows, *mixed, *delta, *logits;
    int32_t prefix_pages[2], own_pages[MOST][OWN_PAGES];
    int64_t T; /* rows of the step that issue_step gives */
};

static struct weight *weight_of(struct backend *b, int64_t N, int64_t K, uint64_t seed)
{
    struct err e = {{0}};
    float *rows = random_numbers(N * K, DTYPE_ID_F32, seed);
    struct weight *w = b->ops->weight_create(b, b->dtype, N, K, &e);
    if (!w) fail_msg("%s", e.text);
    assert_int_equal(b->ops->weight_fill(b, w, rows, DTYPE_ID_F32, N, &e), 0);
    assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
    free(rows);
    return w;
}

static void tiny_begin(struct tiny *m, enum dtype type)
{
    struct err e = {{0}};
    struct backend *b = backend_for_test(type, 2);
    *m = (struct tiny){.b = b};
    m->qkv = weight_of(b, (H + 2 * G) * E, D, 1);
    m->o = weight_of(b, D, H * E, 2);
    m->head = weight_of(b, COLUMNS, D, 3);
    m->kv = b->ops->kv_create(b, (struct kv_shape){1, G, E, H}, 2 + MOST * OWN_PAGES, &e);
    if (!m->kv) fail_msg("%s", e.text);
    m->table = put_random(b, V * D, b->dtype, 4);
    m->rope = put_random(b, MAX_POSITION * E, DTYPE_ID_F32, 5);
    m->norm = put_random(b, D, DTYPE_ID_F32, 6);
    m->x = device_memory(b, MAX_ROWS * D, DTYPE_ID_F32);
    m->delta = device_memory(b, MAX_ROWS * D, DTYPE_ID_F32);
    m->logits = device_memory(b, MAX_ROWS * COLUMNS, DTYPE_ID_F32);
    m->normed = device_memory(b, MAX_ROWS * D, b->activation);
    m->qkv_rows = device_memory(b, MAX_ROWS * (H + 2 * G) * E, b->activation);
    m->mixed = device_memory(b, MAX_ROWS * H * E, b->activation);
    for (int32_t i = 0; i < 2; i++) m->prefix_pages[i] = i;
    for (int32_t s = 0; s < MOST; s++)
        for (int32_t i = 0; i < OWN_PAGES; i++)
            m->own_pages[s][i] = 2 + (s * 7 % MOST) * OWN_PAGES + i;
}

static void tiny_end(struct tiny *m)
{
    struct backend *b = m->b;
    void *const memory[] = {m->table,  m->rope,   m->norm,     m->x,    m->delta,
                            m->logits, m->normed, m->qkv_rows, m->mixed};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) b->ops->free(b, memory[i]);
    b->ops->weight_destroy(b, m->qkv);
    b->ops->weight_destroy(b, m->o);
    b->ops->weight_destroy(b, m->head);
    b->ops->kv_destroy(b, m->kv);
    backend_destroy(b);
}

/* Logits of the batch's T rows. */
static void forward(struct tiny *m, int64_t T)
{
    struct backend *b = m->b;
    struct attention_params p = {.H = H, .G = G, .E = E, .scale = 0.3f};
    b->ops->embed(b, m->x, m->table, T, D, 0, V, 1.0f);
    b->ops->rmsnorm(b, m->normed, b->activation, m->x, m->norm, T, D, 1e-5f, 1.0f);
    b->ops->gemm(b, m->qkv_rows, b->activation, m->normed, m->qkv, NULL, T);
    b->ops->rope_kv_write(b, m->qkv_rows, m->kv, &p, m->rope, NULL, NULL, 0, 0);
    b->ops->attention(b, m->mixed, m->qkv_rows, m->kv, &p);
    b->ops->gemm(b, m->delta, DTYPE_ID_F32, m->mixed, m->o, NULL, T);
    b->ops->residual_rmsnorm(b, m->normed, m->x, m->delta, m->norm, T, D, 1e-5f, 1.0f);
    b->ops->gemm(b, m->logits, DTYPE_ID_F32, m->normed, m->head, NULL, T);
}

static const struct sample_params sampling = {
    .temperature = 1, .top_k = 20, .top_p = 0.9f, .V = V, .V_local = COLUMNS};

/* In two draws, as a caller with little room for logits does. */
static void issue_step(void *arg)
{
    struct tiny *m = arg;
    int64_t half = (m->T + 1) / 2;
    forward(m, m->T);
    m->b->ops->decode_draw(m->b, m->logits, 0, half, &sampling);
    if (half < m->T)
        m->b->ops->decode_draw(m->b, (float *)m->logits + half * COLUMNS, half, m->T - half,
                               &sampling);
    m->b->ops->decode_advance(m->b);
}

/* One sequence on its way. */
struct path {
    int32_t sequence, n_own; /* own tokens whose KV is written */
    int32_t token;           /* the newest */
};

static struct segment segment_of(struct tiny *m, const struct path *p, int64_t row)
{
    return (struct segment){.prefix_pages = m->prefix_pages,
                            .prefix_len = PREFIX,
                            .own_pages = m->own_pages[p->sequence],
                            .first_position = PREFIX + p->n_own,
                            .row = row,
                            .n_rows = 1};
}

static struct draw draw_of(const struct path *p)
{
    return (struct draw){3, 1, (uint32_t)p->sequence, (uint32_t)p->n_own};
}

/* The prefix's KV. */
static void prefill(struct tiny *m)
{
    int32_t token[PREFIX], position[PREFIX];
    for (int32_t i = 0; i < PREFIX; i++) token[i] = i * 3 % V, position[i] = i;
    struct segment s = {.prefix_pages = m->prefix_pages, .prefix_len = PREFIX, .n_rows = PREFIX};
    struct batch batch = {token, position, &s, PREFIX, 1};
    m->b->ops->batch_begin(m->b, m->kv, &batch);
    forward(m, PREFIX);
}

static void start(struct path *p)
{
    for (int32_t s = 0; s < MOST; s++) p[s] = (struct path){s, 0, s * 11 % V};
}

/* What every sequence draws alone, a batch for each token. */
static void walk_alone(struct tiny *m, int64_t steps, int32_t *tokens, float *logprobs)
{
    struct path p[MOST];
    struct backend *b = m->b;
    start(p);
    for (int64_t k = 0; k < steps; k++)
        for (int s = 0; s < MOST; s++) {
            int32_t position = PREFIX + p[s].n_own;
            struct segment segment = segment_of(m, &p[s], 0);
            struct draw draw = draw_of(&p[s]);
            b->ops->batch_begin(b, m->kv, &(struct batch){&p[s].token, &position, &segment, 1, 1});
            forward(m, 1);
            b->ops->sample(b, m->logits, 1, &sampling, &draw, &tokens[k * MOST + s],
                           &logprobs[k * MOST + s]);
            p[s].token = tokens[k * MOST + s];
            p[s].n_own++;
        }
}

/* The sequences 0 .. n - 1 by `steps` steps on the device; what they draw must be there. */
static void walk_together(struct tiny *m, struct path *p, int64_t n, int64_t steps,
                          const int32_t *tokens, const float *logprobs)
{
    struct segment segments[MOST];
    struct draw draws[MOST];
    int32_t newest[MOST], token[MAX_STEPS * MOST];
    float logprob[MAX_STEPS * MOST];
    struct backend *b = m->b;
    for (int64_t s = 0; s < n; s++) {
        segments[s] = segment_of(m, &p[s], s);
        draws[s] = draw_of(&p[s]);
        newest[s] = p[s].token;
    }
    struct decode d = {n, segments, newest, draws, steps, MAX_ROWS};
    m->T = b->ops->decode_begin(b, m->kv, &d);
    assert_true(m->T >= n && m->T <= MAX_ROWS);
    for (int64_t k = 0; k < steps; k++) b->ops->graph(b, (uint64_t)m->T, issue_step, m);
    b->ops->decode_end(b, token, logprob);
    for (int64_t k = 0; k < steps; k++)
        for (int64_t s = 0; s < n; s++) {
            int64_t at = p[s].n_own + k;
            assert_int_equal(token[k * n + s], tokens[at * MOST + s]);
            assert_memory_equal(&logprob[k * n + s], &logprobs[at * MOST + s], sizeof(float));
        }
    for (int64_t s = 0; s < n; s++) {
        p[s].token = token[(steps - 1) * n + s];
        p[s].n_own += (int32_t)steps;
    }
}

/* Fewer and fewer sequences, as rounds leave them: every rung up to MAX_ROWS, pages begun in the
 * middle of a run of steps. */
static void check_shrinking(enum dtype type)
{
    static const int64_t live[] = {20, 17, 16, 13, 9, 8, 5, 4, 3, 2, 1};
    enum { RUNS = sizeof live / sizeof *live, TOKENS = 44 };
    struct tiny m;
    int32_t *tokens = host_memory(TOKENS * MOST, sizeof *tokens);
    float *logprobs = host_memory(TOKENS * MOST, sizeof *logprobs);
    struct path p[MOST];
    tiny_begin(&m, type);
    prefill(&m);
    walk_alone(&m, TOKENS, tokens, logprobs);
    for (int again = 0; again < 2; again++) {
        start(p);
        for (int i = 0; i < RUNS; i++) {
            int64_t steps = m.b->steps_ahead < 4 ? m.b->steps_ahead : 4;
            walk_together(&m, p, live[i], steps, tokens, logprobs);
        }
    }
    /* Memory that a recording may name goes away and comes back. */
    m.b->ops->free(m.b, m.x);
    m.x = device_memory(m.b, MAX_ROWS * D, DTYPE_ID_F32);
    start(p);
    for (int i = 0; i < 3; i++) walk_together(&m, p, 5, 1, tokens, logprobs);
    free(tokens);
    free(logprobs);
    tiny_end(&m);
}

static void test_shrinking(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++) check_shrinking(*d);
}

/* A row that breaks draws -1 in that step and leaves the others alone. */
static void test_broken_row(void **state)
{
    (void)state;
    struct tiny m;
    struct path p[MOST];
    tiny_begin(&m, DTYPE_ID_F32);
    float nan_row[D];
    for (int d = 0; d < D; d++) nan_row[d] = NAN;
    put_at(m.b, m.table, 7 * D, nan_row, D, m.b->dtype);
    prefill(&m);
    start(p);
    p[1].token = 7;
    struct segment segments[3];
    struct draw draws[3];
    int32_t newest[3], token[3];
    float logprob[3];
    for (int64_t s = 0; s < 3; s++) {
        segments[s] = segment_of(&m, &p[s], s);
        draws[s] = draw_of(&p[s]);
        newest[s] = p[s].token;
    }
    struct decode d = {3, segments, newest, draws, 1, MAX_ROWS};
    m.T = m.b->ops->decode_begin(m.b, m.kv, &d);
    m.b->ops->graph(m.b, 0, issue_step, &m);
    m.b->ops->decode_end(m.b, token, logprob);
    assert_true(token[0] >= 0 && token[1] == -1 && token[2] >= 0);
    assert_true(!isnan(logprob[0]) && isnan(logprob[1]) && !isnan(logprob[2]));
    tiny_end(&m);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_shrinking),
    cmocka_unit_test(test_broken_row),
};
RUN_TESTS(tests)
