/* Sampling over a divided vocabulary: the same tokens as one rank alone, and the right frequencies.
 */
#include "backend/fixture.h"
#include "golden/sampling.h"

#define ROWS 5000
#define FEW  1000 /* of the emulated GPU on several ranks */
#ifdef __SANITIZE_ADDRESS__
#define DRAWS 100000 /* the sanitizers look for other things than frequencies, and are slow */
#else
#define DRAWS 1000000
#endif

/* This rank's columns of a vocabulary of `ids`, padded so that all ranks have as many. */
static void divide(struct sample_params *p, int64_t ids)
{
    int64_t ranks = comm_size(world);
    p->V = ids;
    p->V_local = (ids + ranks - 1) / ranks + 3; /* an odd share: blocks of draws straddle ranks */
    p->vocab_begin = p->V_local * comm_rank(world);
}

static void copy_shard(float *out, const float *row, const struct sample_params *p)
{
    for (int64_t i = 0; i < p->V_local; i++)
        out[i] = p->vocab_begin + i < p->V ? row[p->vocab_begin + i] : 1e30f;
}

/* Any logits, any filter: token and log-probability have the bits that one rank gives. */
static void test_same_tokens(void **state)
{
    (void)state;
    enum { S = 33, IDS = 1001 };
    static const float cases[][4] = {{1, 0, 1, 0},       {0, 0, 1, 0},     {1, 50, 1, 0},
                                     {0.6f, 0, 0.9f, 0}, {1, 0, 1, 0.02f}, {1, 40, 0.7f, 0.01f},
                                     {3, 900, 0.99f, 0}, {1, 7, 1, 0}};
    struct comm *alone = comm_split(world, comm_rank(world));
    struct err e = {{0}};
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1),
                   *one = test_backend_open(alone, DTYPE_ID_F32, 1, &e);
    float *whole = mem_calloc(S * IDS, sizeof *whole),
          *part = mem_calloc(S * (IDS + 3), sizeof *part);
    struct draw draws[S];
    for (uint32_t s = 0; s < S; s++) draws[s] = (struct draw){9, 1, s, 4};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct sample_params p = {.temperature = cases[c][0],
                                  .top_k = (int64_t)cases[c][1],
                                  .top_p = cases[c][2],
                                  .min_p = cases[c][3]};
        struct sample_params p_one = p;
        divide(&p, IDS);
        p_one.V = p_one.V_local = IDS;
        fill_random(whole, S * IDS, c);
        for (int64_t i = 0; i < S * IDS; i++) /* ties; a few rows with equal logits only */
            whole[i] = i / IDS % 8 == 7 ? 1.0f : roundf(whole[i] * 60) / 10;
        whole[5 * IDS + 1000] = NAN;
        for (int64_t s = 0; s < S; s++) copy_shard(part + s * p.V_local, whole + s * IDS, &p);
        int32_t token[S], token_one[S];
        float logprob[S], logprob_one[S], given[S];
        void *logits = put(b, part, S * p.V_local, DTYPE_ID_F32),
             *logits_one = put(one, whole, S * IDS, DTYPE_ID_F32);
        b->ops->sample(b, logits, S, &p, draws, token, logprob);
        one->ops->sample(one, logits_one, S, &p_one, draws, token_one, logprob_one);
        assert_memory_equal(token, token_one, sizeof token);
        assert_memory_equal(logprob, logprob_one, sizeof logprob);
        assert_int_equal(token[5], -1);
        b->ops->logprob(b, logits, S, &p, token, given);
        assert_memory_equal(logprob, given, sizeof logprob);
        b->ops->free(b, logits);
        one->ops->free(one, logits_one);
    }
    free(whole);
    free(part);
    backend_destroy(b);
    backend_destroy(one);
    comm_destroy(alone);
}

/* Chi-square as a standard normal (Wilson and Hilferty); ids of less than 8 expected draws are one
 * class. */
static double chi_square_z(const int64_t *seen, const double *p, int64_t n)
{
    double chi = 0, rest_want = 0, rest_seen = 0, classes = 0;
    for (int v = 0; v < GOLDEN_IDS; v++) {
        double want = p[v] * (double)n, got = (double)seen[v];
        if (want < 8) {
            rest_want += want;
            rest_seen += got;
            continue;
        }
        chi += (got - want) * (got - want) / want;
        classes++;
    }
    if (rest_want >= 1) {
        chi += (rest_seen - rest_want) * (rest_seen - rest_want) / rest_want;
        classes++;
    }
    double df = classes - 1;
    if (df < 1) return 0;
    return (cbrt(chi / df) - (1 - 2 / (9 * df))) / sqrt(2 / (9 * df));
}

static void draw_case(struct backend *b, const struct golden_case *c, uint32_t prompt, int64_t n,
                      int64_t *seen)
{
    int64_t rows = n < ROWS ? n : ROWS;
    struct sample_params p = c->p;
    divide(&p, GOLDEN_IDS);
    float *x = mem_calloc((size_t)(rows * p.V_local), sizeof *x),
          *logprob = mem_calloc((size_t)rows, sizeof *logprob);
    struct draw *draws = mem_calloc((size_t)rows, sizeof *draws);
    int32_t *token = mem_calloc((size_t)rows, sizeof *token);
    for (int64_t s = 0; s < rows; s++) copy_shard(x + s * p.V_local, c->logits, &p);
    void *logits = put(b, x, rows * p.V_local, DTYPE_ID_F32);
    for (uint32_t position = 0; position < n / rows; position++) {
        for (uint32_t s = 0; s < rows; s++) draws[s] = (struct draw){20, prompt, s, position};
        b->ops->sample(b, logits, rows, &p, draws, token, logprob);
        for (int64_t s = 0; s < rows; s++) {
            assert_true(token[s] >= 0 && token[s] < GOLDEN_IDS);
            seen[token[s]]++;
        }
    }
    b->ops->free(b, logits);
    free(x);
    free(logprob);
    free(draws);
    free(token);
}

/* On one rank a million draws of each filter and combination against transformers' distribution. */
static void test_frequencies(void **state)
{
    (void)state;
    struct golden_sampling g = golden_sampling_open(TESTS_DIR "/golden/sampling.json");
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    size_t kinds =
        g.n / 3; /* the first six cases are each filter and all together; logits in turn */
    for (size_t i = 0; i < 6; i++) {
        const struct golden_case *c = &g.items[i % 3 * kinds + i];
        int64_t seen[GOLDEN_IDS] = {0};
        /* On more ranks, and there, the bits are those of one rank (above). */
        bool is_few = is_emulated(b), is_divided = comm_size(world) > 1;
        int64_t n = is_few || is_divided ? ROWS : DRAWS;
        if (is_few && is_divided) n = FEW;
        draw_case(b, c, (uint32_t)i, n, seen);
        for (int v = 0; v < GOLDEN_IDS; v++) assert_true(c->probability[v] > 0 || seen[v] == 0);
        double z = chi_square_z(seen, c->probability, n);
        if (comm_rank(world) == 0)
            printf("  temperature %.1f top-k %3d top-p %.2f min-p %.2f: %3d kept, z %5.2f\n",
                   (double)c->p.temperature, (int)c->p.top_k, (double)c->p.top_p,
                   (double)c->p.min_p, c->n_kept, z);
        assert_true(z < 4.5);
    }
    free(g.items);
    backend_destroy(b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_same_tokens),
    cmocka_unit_test(test_frequencies),
};
RUN_TESTS(tests)
