/* Sampling's kernels against the cpu's sampling: the same tokens and log-probabilities, bit for
 * bit, for the same logits, whichever filters are on and however many ranks share a row.
 *
 * Ranks are played one after another: what they would exchange is copied between their workspaces.
 */
#include "sample.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "kernel_test.h"
#include "ref/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RANKS_MAX 4
#if defined __SANITIZE_ADDRESS__ || defined SPECREJ_WATCHED
#define SLOW 10 /* fewer draws where many take minutes */
#elif defined SPECREJ_EMULATED
#define SLOW 4
#else
#define SLOW 1
#endif
#define PADDING_LOGIT 1000.0f /* would win if it were looked at */

/* ---- S rows, drawn by `ranks` ranks ---- */

struct outcome {
    int32_t *token;
    float *logprob;
};

static struct outcome outcome_create(int64_t S)
{
    return (struct outcome){mem_calloc((size_t)S, sizeof(int32_t)),
                            mem_calloc((size_t)S, sizeof(float))};
}

static void outcome_destroy(struct outcome *o)
{
    free(o->token);
    free(o->logprob);
}

/* What a rank holds of the logits [S, V]: its columns, then padding. */
static float *shard_of(const float *logits, int64_t S, int64_t V, int64_t begin, int64_t V_local)
{
    float *x = mem_calloc((size_t)(S * V_local), sizeof *x), *device;
    for (int64_t s = 0; s < S; s++)
        for (int64_t i = 0; i < V_local; i++)
            x[s * V_local + i] = begin + i < V ? logits[s * V + begin + i] : PADDING_LOGIT;
    device = on_device(x, (size_t)(S * V_local) * sizeof *x);
    free(x);
    return device;
}

/* What NCCL does between two stages. */
static void exchange(const struct k_exchange *x, int ranks)
{
    uint64_t *sum = NULL;
    for (int r = 0; r < ranks; r++) {
        assert_int_equal(x[r].kind, x[0].kind);
        assert_int_equal(x[r].bytes, x[0].bytes);
    }
    if (x[0].kind == K_EXCHANGE_GATHER)
        for (int to = 0; to < ranks; to++)
            for (int from = 0; from < ranks; from++)
                CHECK(cudaMemcpy((char *)x[to].receive + (size_t)from * x[0].bytes, x[from].send,
                                 x[0].bytes, cudaMemcpyDeviceToDevice));
    if (x[0].kind != K_EXCHANGE_SUM) return;
    uint64_t *part = mem_calloc(1, x[0].bytes);
    sum = mem_calloc(1, x[0].bytes);
    for (int r = 0; r < ranks; r++) {
        CHECK(cudaMemcpy(part, x[r].send, x[0].bytes, cudaMemcpyDeviceToHost));
        for (size_t i = 0; i < x[0].bytes / sizeof *sum; i++) sum[i] += part[i];
    }
    for (int r = 0; r < ranks; r++)
        CHECK(cudaMemcpy(x[r].receive, sum, x[0].bytes, cudaMemcpyHostToDevice));
    free(sum);
    free(part);
}

/* given: log-probabilities of these tokens.  V_local: columns of a rank, with padding. */
static void run_device(struct outcome *out, const float *logits, int64_t S,
                       const struct sample_params *p, const struct draw *draws,
                       const int32_t *given, int ranks, int64_t V_local)
{
    struct k_sample k[RANKS_MAX];
    struct draw *device_draws = on_device(draws, (size_t)S * sizeof *draws);
    int32_t *device_given = given ? on_device(given, (size_t)S * sizeof *given) : NULL;
    assert_true(ranks <= RANKS_MAX);
    for (int r = 0; r < ranks; r++) {
        int64_t begin = r * V_local;
        k[r] = (struct k_sample){.logits = shard_of(logits, S, p->V, begin, V_local),
                                 .S = S,
                                 .temperature = p->temperature,
                                 .top_k = p->top_k,
                                 .top_p = p->top_p,
                                 .min_p = p->min_p,
                                 .V = p->V,
                                 .vocab_begin = begin,
                                 .V_local = V_local,
                                 .ranks = ranks,
                                 .draws = device_draws,
                                 .given = device_given};
        size_t bytes = k_sample_workspace(&k[r]);
        CHECK(cudaMalloc(&k[r].workspace, bytes));
        CHECK(cudaMemset(k[r].workspace, 0xff, bytes));
        k[r].token = given ? NULL : on_device(NULL, (size_t)S * sizeof *k[r].token);
        k[r].logprob = on_device(NULL, (size_t)S * sizeof *k[r].logprob);
    }
    int stages = k_sample_stages(&k[0]);
    for (int i = 0; i < stages; i++) {
        struct k_exchange x[RANKS_MAX];
        for (int r = 0; r < ranks; r++) CHECK(k_sample_stage(&k[r], i, &x[r], NULL));
        assert_true(ranks > 1 || x[0].kind == K_EXCHANGE_NONE);
        exchange(x, ranks);
    }
    CHECK(cudaDeviceSynchronize());
    for (int r = 0; r < ranks; r++) {
        struct outcome again = outcome_create(S), *o = r == 0 ? out : &again;
        if (!given)
            CHECK(cudaMemcpy(o->token, k[r].token, (size_t)S * sizeof *o->token,
                             cudaMemcpyDeviceToHost));
        CHECK(cudaMemcpy(o->logprob, k[r].logprob, (size_t)S * sizeof *o->logprob,
                         cudaMemcpyDeviceToHost));
        if (r > 0 && !given)
            assert_memory_equal(o->token, out->token, (size_t)S * sizeof *o->token);
        if (r > 0) assert_memory_equal(o->logprob, out->logprob, (size_t)S * sizeof *o->logprob);
        outcome_destroy(&again);
        cudaFree((void *)(uintptr_t)k[r].logits);
        cudaFree(k[r].workspace);
        cudaFree(k[r].token);
        cudaFree(k[r].logprob);
    }
    cudaFree(device_draws);
    cudaFree(device_given);
}

static bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* The cpu's outcome against the device's; of up to 1000 rows also the log-probabilities of its
 * tokens when they are given. */
static void check(const char *what, const float *logits, int64_t S, struct sample_params p,
                  const struct draw *draws, int ranks, int64_t V_local)
{
    struct err e = {{0}};
    struct backend *b = backend_cpu_create(world, DTYPE_ID_F32, 2, &e);
    if (!b) fail_msg("%s", e.text);
    struct outcome want = outcome_create(S), got = outcome_create(S), given = outcome_create(S);
    p.vocab_begin = 0;
    p.V_local = p.V;
    b->ops->sample(b, logits, S, &p, draws, want.token, want.logprob);
    run_device(&got, logits, S, &p, draws, NULL, ranks, V_local);
    if (S <= 1000) run_device(&given, logits, S, &p, draws, want.token, ranks, V_local);
    for (int64_t s = 0; s < S; s++)
        if (got.token[s] != want.token[s] || !same_float(got.logprob[s], want.logprob[s]) ||
            (S <= 1000 && !same_float(given.logprob[s], want.logprob[s])))
            fail_msg(
                "%s: t %g top-k %ld top-p %g min-p %g V %ld, %d ranks: row %ld of %ld: token %d "
                "logprob %.9g, given %.9g; cpu: %d %.9g",
                what, (double)p.temperature, (long)p.top_k, (double)p.top_p, (double)p.min_p,
                (long)p.V, ranks, (long)s, (long)S, got.token[s], (double)got.logprob[s],
                (double)given.logprob[s], want.token[s], (double)want.logprob[s]);
    outcome_destroy(&want);
    outcome_destroy(&got);
    outcome_destroy(&given);
    backend_destroy(b);
}

/* ---- inputs ---- */

static struct draw draw_of(int64_t i)
{
    return (struct draw){77 + (uint64_t)i % 3, (uint32_t)i % 5, (uint32_t)i, (uint32_t)i * 7};
}

enum kind {
    SMOOTH,
    PEAKED,
    TIES,     /* few different values */
    EQUAL,    /* one value */
    DOMINANT, /* one id has nearly all weight */
    RISING,   /* each id better than the one before: the lists' worst case */
    FALLING,
    MOSTLY_OUT, /* -inf but for a few */
    ZEROS,      /* 0 and -0 */
    KINDS
};
static const char *const kind_name[KINDS] = {"smooth", "peaked",  "ties",       "equal", "dominant",
                                             "rising", "falling", "mostly out", "zeros"};

static void fill_row(float *x, int64_t V, enum kind kind, uint64_t seed)
{
    fill_random(x, V, seed);
    for (int64_t i = 0; i < V; i++) switch (kind) {
        case SMOOTH:
            x[i] *= 2;
            break;
        case PEAKED:
            x[i] *= 12;
            break;
        case TIES:
            x[i] = floorf(x[i] * 3);
            break;
        case EQUAL:
            x[i] = -3.25f;
            break;
        case DOMINANT:
            x[i] = i == (int64_t)(seed % (uint64_t)V) ? 60.0f : x[i];
            break;
        case RISING:
            x[i] = (float)i * 1e-3f;
            break;
        case FALLING:
            x[i] = (float)-i * 1e-3f;
            break;
        case MOSTLY_OUT:
            x[i] = i % 97 == (int64_t)(seed % 97) ? x[i] : -INFINITY;
            break;
        case ZEROS:
            x[i] = x[i] < 0 ? -0.0f : 0.0f;
            break;
        case KINDS:
            break;
        }
}

static const float filters[][4] = {
    /* temperature, top-k, top-p, min-p */
    {0, 0, 1, 0},       {1, 0, 1, 0},           {0.5f, 0, 1, 0}, {1, 50, 1, 0},
    {1, 1, 1, 0},       {1.5f, 300, 1, 0},      {1, 1024, 1, 0}, {1, 1025, 1, 0},
    {1, 0, 0.9f, 0},    {2, 0, 0.05f, 0},       {1, 0, 1, 0.1f}, {0.7f, 40, 0.8f, 0},
    {1, 40, 0.8f, .1f}, {1, 0, 0.999f, .01f},   {1, 20, 0, 0},   {1, 0, 1, 1},
    {1, 2000, 0.7f, 0}, {1, 1 << 30, 1, 0},     {1, 0, 0, 0},    {1e-39f, 0, 1, 0},
    {0.01f, 5, 1, 0},   {100, 1500, 0.5f, .2f},
};
#define FILTERS (sizeof filters / sizeof *filters)

static struct sample_params params_of(const float *f, int64_t V)
{
    return (struct sample_params){
        .temperature = f[0], .top_k = (int64_t)f[1], .top_p = f[2], .min_p = f[3], .V = V};
}

/* Every filter on rows of every kind; several shapes of vocabulary and shard. */
static void check_shape(int64_t S, int64_t V, int ranks, int64_t V_local)
{
    float *x = mem_calloc((size_t)(S * V), sizeof *x);
    struct draw *draws = mem_calloc((size_t)S, sizeof *draws);
    for (size_t f = 0; f < FILTERS; f++) {
        for (int64_t s = 0; s < S; s++) {
            fill_row(x + s * V, V, (enum kind)((size_t)s % KINDS), (uint64_t)s + 1000 * f);
            draws[s] = draw_of(s + 31 * (int64_t)f);
        }
        check("kinds", x, S, params_of(filters[f], V), draws, ranks, V_local);
    }
    free(x);
    free(draws);
}

static void test_one_rank(void **state)
{
    (void)state;
    check_shape(KINDS, 301, 1, 301);
    check_shape(KINDS, 1000, 1, 1024);
    check_shape(KINDS, 5003, 1, 5003);
    check_shape(2 * KINDS, 7, 1, 7);
    check_shape(3, 1, 1, 1);
}

static void test_ranks(void **state)
{
    (void)state;
    check_shape(KINDS, 301, 2, 151);
    check_shape(KINDS, 1003, 4, 251); /* ranks begin anywhere in a group of four ids */
    check_shape(KINDS, 1003, 4, 400); /* the last rank has nothing but padding */
    check_shape(KINDS, 2500, 3, 834);
    check_shape(KINDS, 5, 4, 2);
}

/* A vocabulary as large as the largest of today, and one beyond: lists overflow, many parts. */
static void test_large(void **state)
{
    (void)state;
    check_shape(KINDS, 12500, 1, 12544);
    float *x = mem_calloc(262147, sizeof *x);
    struct draw draw = draw_of(5);
    for (size_t f = 1; f < FILTERS; f += 3) {
        fill_row(x, 262147, (enum kind)(f % KINDS), f);
        check(kind_name[f % KINDS], x, 1, params_of(filters[f], 262147), &draw, 1, 262147);
    }
    free(x);
}

static void test_broken(void **state)
{
    (void)state;
    enum { S = 6, V = 301 };
    float *x = mem_calloc(S * V, sizeof *x);
    struct draw draws[S];
    for (int s = 0; s < S; s++) draws[s] = draw_of(s);
    for (size_t f = 0; f < FILTERS; f++)
        for (int ranks = 1; ranks <= 2; ranks++) {
            for (int s = 0; s < S; s++) fill_row(x + s * V, V, PEAKED, (uint64_t)s);
            x[0 * V + 300] = NAN;
            for (int v = 0; v < V; v++) x[1 * V + v] = -INFINITY;
            x[2 * V + 17] = INFINITY;
            for (int v = 0; v < V; v++)
                if (v != 200) x[3 * V + v] = -INFINITY;
            for (int v = 0; v < V; v++) x[5 * V + v] = NAN;
            check("broken", x, S, params_of(filters[f], V), draws, ranks, ranks == 1 ? V : 152);
        }
    free(x);
}

/* 10^5 draws over four ways of sampling, from a few hundred distributions; fewer where that is
 * slow. */
static void test_many_draws(void **state)
{
    (void)state;
    enum { V = 40, MOST = 40000 };
    static const struct {
        float filter[4];
        int64_t draws;
    } ways[] = {{{1, 0, 1, 0}, MOST},
                {{1, 10, 1, 0}, MOST},
                {{1, 8, 0.9f, .02f}, 15000},
                {{0.8f, 0, 0.9f, 0}, 5000}};
    float *x = mem_calloc((size_t)MOST * V, sizeof *x);
    struct draw *draws = mem_calloc(MOST, sizeof *draws);
    for (int64_t s = 0; s < MOST; s++) {
        fill_row(x + s * V, V, (enum kind)(s % KINDS), (uint64_t)s % 50);
        draws[s] = (struct draw){(uint64_t)s % 7, (uint32_t)s % 11, (uint32_t)s, (uint32_t)s / 3};
    }
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++)
        check("many", x, ways[w].draws / SLOW, params_of(ways[w].filter, V), draws, 1, V);
    free(x);
    free(draws);
}

/* A row's outcome does not depend on the rows beside it, nor on how many blocks share it; the
 * workspace of many rows serves fewer; positions may lie apart from the draws. */
static void test_alone(void **state)
{
    (void)state;
    enum { S = 530, V = 9000, CHECKED = 3 }; /* blocks for a row: 1, alone 3 */
    float *x = mem_calloc((size_t)S * V, sizeof *x);
    struct draw *draws = mem_calloc(S, sizeof *draws);
    struct outcome all = outcome_create(S), one = outcome_create(1);
    for (int64_t s = 0; s < S; s++) {
        fill_row(x + s * V, V, s % 2 ? SMOOTH : PEAKED, (uint64_t)s);
        draws[s] = draw_of(s);
    }
#ifdef SPECREJ_WATCHED /* the other ways' launches are watched in the tests beside this one */
    static const size_t ways[] = {3};
#else
    static const size_t ways[] = {1, 3, 8};
#endif
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct sample_params p = params_of(filters[ways[w]], V);
        run_device(&all, x, S, &p, draws, NULL, 1, V);
        for (int64_t s = 0; s < S; s += S / CHECKED) {
            run_device(&one, x + s * V, 1, &p, draws + s, NULL, 1, V);
            assert_int_equal(one.token[0], all.token[s]);
            assert_true(same_float(one.logprob[0], all.logprob[s]));
        }
    }
    outcome_destroy(&all);
    outcome_destroy(&one);
    free(x);
    free(draws);
}

/* What is set aside before anything is taken is enough. */
static void test_workspace(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 7, 64, 511, 1024},
                         widths[] = {1, 301, 32000, 262147, 1 << 21};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)
            for (size_t f = 0; f < FILTERS; f++)
                for (int ranks = 1; ranks <= 8; ranks++) {
                    struct sample_params p = params_of(filters[f], ranks * widths[j]);
                    struct workload w = {.max_rows = 1024,
                                         .ranks = ranks,
                                         .draws = rows[i],
                                         .V_local = widths[j],
                                         .top_k = p.top_k};
                    struct k_sample k = {.S = rows[i],
                                         .temperature = p.temperature,
                                         .top_k = p.top_k,
                                         .top_p = p.top_p,
                                         .V = p.V,
                                         .V_local = widths[j],
                                         .ranks = ranks};
                    size_t bytes[WORK_PARTS];
                    workload_parts(&w, bytes);
                    assert_true(k_sample_workspace(&k) <= bytes[WORK_SAMPLE]);
                }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_workspace),  cmocka_unit_test(test_one_rank),
    cmocka_unit_test(test_ranks),      cmocka_unit_test(test_broken),
    cmocka_unit_test(test_alone),      cmocka_unit_test(test_large),
    cmocka_unit_test(test_many_draws),
};
RUN_KERNEL_TESTS(tests)
