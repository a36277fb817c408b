/* Sampling on one rank: exactly the law of backend.h, number by number. */
#include "backend/fixture.h"

#define IDS     301
#define COLUMNS 320 /* with padding */

static struct sample_params params(float temperature, int64_t top_k, float top_p, float min_p)
{
    return (struct sample_params){temperature, top_k, top_p, min_p, IDS, 0, COLUMNS};
}

/* Logits with padding that would win if it were looked at. */
static void fill_logits(float *x, int64_t S, uint64_t seed, float spread)
{
    fill_random(x, S * COLUMNS, seed);
    for (int64_t i = 0; i < S * COLUMNS; i++) x[i] = i % COLUMNS < IDS ? x[i] * spread : 1000.0f;
}

/* The ops over rows that stand on the host. */
static void sample(struct backend *b, const float *x, int64_t S, const struct sample_params *p,
                   const struct draw *draws, int32_t *token, float *logprob)
{
    void *logits = put(b, x, S * p->V_local, DTYPE_ID_F32);
    b->ops->sample(b, logits, S, p, draws, token, logprob);
    b->ops->free(b, logits);
}

static void logprobs(struct backend *b, const float *x, int64_t S, const struct sample_params *p,
                     const int32_t *token, float *logprob)
{
    void *logits = put(b, x, S * p->V_local, DTYPE_ID_F32);
    b->ops->logprob(b, logits, S, p, token, logprob);
    b->ops->free(b, logits);
}

static struct draw draw_of(int64_t i)
{
    return (struct draw){77 + (uint64_t)i % 3, (uint32_t)i % 5, (uint32_t)i, (uint32_t)i * 7};
}

/* argmin E / weight over ids that the filters keep, by the letter. */
static int32_t naive_token(const float *x, const double *prob, float temperature, struct draw d)
{
    float max = -INFINITY, least = INFINITY, inverse = 1.0f / temperature;
    int32_t best = -1;
    for (int v = 0; v < IDS; v++) max = x[v] > max ? x[v] : max;
    for (int v = 0; v < IDS; v++) {
        float time = draw_exponential(draw_word(d, (uint32_t)v)) / fm_exp((x[v] - max) * inverse);
        if (prob[v] > 0 && time < least) {
            least = time;
            best = v;
        }
    }
    return best;
}

static void test_law(void **state)
{
    (void)state;
    enum { S = 64 };
    static const float cases[][4] = {
        {1, 0, 1, 0},      {0.5f, 0, 1, 0},     {1, 50, 1, 0},      {1, 1, 1, 0},
        {1.5f, 300, 1, 0}, {1, 400, 1, 0},      {1, 0, 0.9f, 0},    {2, 0, 0.05f, 0},
        {1, 0, 1, 0.1f},   {0.7f, 40, 0.8f, 0}, {1, 40, 0.8f, .1f}, {1, 0, 0.999f, .01f},
        {1, 20, 0, 0},     {1, 0, 1, 1},
    };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    float *x = random_numbers(S * COLUMNS, DTYPE_ID_F32, 1), logprob[S], again[S];
    struct draw draws[S];
    int32_t token[S];
    for (int s = 0; s < S; s++) draws[s] = draw_of(s);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sample_params p =
            params(cases[c][0], (int64_t)cases[c][1], cases[c][2], cases[c][3]);
        fill_logits(x, S, c, c % 2 ? 8 : 2);
        sample(b, x, S, &p, draws, token, logprob);
        logprobs(b, x, S, &p, token, again);
        assert_memory_equal(logprob, again, sizeof again);
        for (int s = 0; s < S; s++) {
            double prob[IDS];
            ref_distribution(prob, x + s * COLUMNS, IDS, &p);
            assert_int_equal(token[s], naive_token(x + s * COLUMNS, prob, p.temperature, draws[s]));
            double want = ref_logprob(x + s * COLUMNS, IDS, token[s]);
            assert_true(fabs((double)logprob[s] - want) < 2e-6 * (1 + fabs(want)));
            int32_t alone; /* the row by itself */
            float alone_logprob;
            sample(b, x + s * COLUMNS, 1, &p, &draws[s], &alone, &alone_logprob);
            assert_int_equal(alone, token[s]);
            assert_true(alone_logprob == logprob[s]);
        }
    }
    free(x);
    backend_destroy(b);
}

static void test_ties(void **state)
{
    (void)state;
    enum { S = 2000 };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    float *x = random_numbers(S * COLUMNS, DTYPE_ID_F32, 1), logprob[S];
    struct draw draws[S];
    int32_t token[S];
    int seen[IDS];
    for (int s = 0; s < S; s++) draws[s] = draw_of(s);
    for (int64_t i = 0; i < S * COLUMNS; i++)
        x[i] = i % COLUMNS < 10 ? (i % 2 ? -0.0f : 0.0f) : -50.0f;
    static const struct {
        float temperature;
        int64_t top_k;
        float top_p;
        int kept;
    } cases[] = {{1, 3, 1, 3}, {1, 0, 0.35f, 4}, {1, 5, 0.35f, 2},
                 {0, 0, 1, 1}, {1, 0, 1, 10},    {1e-39f, 0, 1, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sample_params p = params(cases[c].temperature, cases[c].top_k, cases[c].top_p, 0);
        memset(seen, 0, sizeof seen);
        sample(b, x, S, &p, draws, token, logprob);
        for (int s = 0; s < S; s++) seen[token[s]]++;
        for (int v = 0; v < 10; v++) assert_int_equal(seen[v] > 0, v < cases[c].kept);
    }
    free(x);
    backend_destroy(b);
}

/* Broken rows say so and leave their neighbours alone. */
static void test_broken(void **state)
{
    (void)state;
    enum { S = 5 };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    float *x = random_numbers(S * COLUMNS, DTYPE_ID_F32, 1), logprob[S], clean_logprob;
    struct draw draws[S] = {draw_of(0), draw_of(1), draw_of(2), draw_of(3), draw_of(4)};
    int32_t token[S], clean;
    static const float cases[][3] = {{0, 0, 1}, {1, 0, 1}, {1, 20, 1}, {1, 0, 0.5f}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sample_params p = params(cases[c][0], (int64_t)cases[c][1], cases[c][2], 0);
        fill_logits(x, S, c, 3);
        x[0 * COLUMNS + 300] = NAN;
        for (int v = 0; v < IDS; v++) x[1 * COLUMNS + v] = -INFINITY;
        x[2 * COLUMNS + 17] = INFINITY;
        for (int v = 0; v < IDS; v++)
            if (v != 200) x[3 * COLUMNS + v] = -INFINITY;
        sample(b, x, S, &p, draws, token, logprob);
        sample(b, x + 4 * COLUMNS, 1, &p, draws + 4, &clean, &clean_logprob);
        for (int s = 0; s < 3; s++) assert_true(token[s] == -1 && isnan(logprob[s]));
        assert_true(token[3] == 200 && logprob[3] == 0);
        assert_true(token[4] == clean && logprob[4] == clean_logprob);
    }
    int32_t none[] = {-1};
    struct sample_params p = params(1, 0, 1, 0);
    logprobs(b, x + 4 * COLUMNS, 1, &p, none, logprob);
    assert_true(isnan(logprob[0]));
    free(x);
    backend_destroy(b);
}

/* Do pairs of draws that differ in one field go together more often than chance?  Chi-square of the
 * 8 x 8 table against the product of their probabilities, 63 degrees of freedom: 126 has
 * probability 4e-6. */
static double pair_chi_square(struct backend *b, const struct draw *first,
                              const struct draw *second, int64_t n)
{
    static const double p[8] = {0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05};
    struct sample_params params8 = {.temperature = 1, .top_p = 1, .V = 8, .V_local = 8};
    float *x = random_numbers(n * 8, DTYPE_ID_F32, 1),
          *logprob = mem_calloc((size_t)n, sizeof *logprob);
    int32_t *a = mem_calloc((size_t)n, sizeof *a), *c = mem_calloc((size_t)n, sizeof *c);
    double table[8][8] = {{0}}, chi = 0;
    for (int64_t i = 0; i < n * 8; i++) x[i] = logf((float)p[i % 8]);
    sample(b, x, n, &params8, first, a, logprob);
    sample(b, x, n, &params8, second, c, logprob);
    for (int64_t i = 0; i < n; i++) table[a[i]][c[i]]++;
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            double want = (double)n * p[i] * p[j];
            chi += (table[i][j] - want) * (table[i][j] - want) / want;
        }
    free(x);
    free(logprob);
    free(a);
    free(c);
    return chi;
}

static void test_independence(void **state)
{
    (void)state;
    enum { N = 100000 };
    static const char *const fields[] = {"candidates", "positions", "seeds", "prompts"};
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    struct draw *first = mem_calloc(N, sizeof *first), *second = mem_calloc(N, sizeof *second);
    for (int f = 0; f < 4; f++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t at = 2 * i;
            first[i] =
                (struct draw){f == 2 ? at : 5, f == 3 ? at : 0, f == 0 ? at : 1, f == 1 ? at : 2};
            second[i] = first[i];
            second[i].candidate += f == 0;
            second[i].position += f == 1;
            second[i].seed += f == 2;
            second[i].prompt += f == 3;
        }
        double chi = pair_chi_square(b, first, second, is_emulated(b) ? 5000 : N);
        printf("  neighbouring %-10s chi-square %.1f on 63 degrees of freedom\n", fields[f], chi);
        assert_true(chi < 126);
    }
    free(first);
    free(second);
    backend_destroy(b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_law),
    cmocka_unit_test(test_ties),
    cmocka_unit_test(test_broken),
    cmocka_unit_test(test_independence),
};
RUN_TESTS(tests)
