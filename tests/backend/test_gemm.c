/* GEMM against its oracle, its invariance, and how weights are filled. */
#include "backend/fixture.h"

#include "base/mem.h"

static float bf16_near(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &u, sizeof u);
    return x;
}

/* A random weight and the numbers that it stores. */
static struct weight *random_weight(struct backend *b, int64_t N, int64_t K, float **stored,
                                    uint64_t seed)
{
    struct err e = {{0}};
    float *rows = mem_calloc((size_t)(N * K), sizeof *rows);
    fill_random(rows, N * K, seed);
    struct weight *w = b->ops->weight_create(b, N, K, &e);
    assert_non_null(w);
    for (int64_t n = 0, piece = 1; n < N;
         n += piece, piece = piece * 3 % 41 + 1) { /* pieces of uneven size */
        if (piece > N - n) piece = N - n;
        assert_int_equal(b->ops->weight_fill(b, w, rows + n * K, DTYPE_ID_F32, piece, &e), 0);
    }
    assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
    for (int64_t i = 0; i < N * K && b->dtype == DTYPE_ID_BF16; i++) rows[i] = bf16_near(rows[i]);
    *stored = rows;
    return w;
}

static const int64_t shapes[][2] = {{64, 64},  {172, 64}, {1, 5},    {17, 300},
                                    {33, 257}, {160, 96}, {100, 768}};

static void check_shape(struct backend *b, int64_t N, int64_t K)
{
    float *stored, *x = random_tensor(b, 131 * K, 2), *bias = random_tensor(b, N, 3);
    float *out = b->ops->alloc(b, (size_t)(131 * N) * sizeof *out);
    double *want = mem_calloc((size_t)(131 * N), sizeof *want);
    struct weight *w = random_weight(b, N, K, &stored, 1);
    for (int64_t i = 0; i < 131 * K && b->dtype == DTYPE_ID_BF16; i++) x[i] = bf16_near(x[i]);
    static const int64_t rows[] = {1, 2, 7, 131};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[80];
        snprintf(name, sizeof name, "gemm %s %lld x %lld, %lld rows", dtype_name(b->dtype),
                 (long long)N, (long long)K, (long long)rows[i]);
        b->ops->gemm(b, out, DTYPE_ID_F32, x, w, i % 2 ? bias : NULL, rows[i]);
        ref_gemm(want, x, stored, i % 2 ? bias : NULL, rows[i], N, K);
        assert_true(close_to(name, out, want, rows[i] * N, 1e-12));
    }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, x);
    b->ops->free(b, bias);
    b->ops->free(b, out);
    free(want);
    free(stored);
}

static void test_oracle(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        struct backend *b = backend_for_test(d ? DTYPE_ID_BF16 : DTYPE_ID_F32, 2);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_shape(b, shapes[i][0], shapes[i][1]);
        backend_destroy(b);
    }
}

/* One row in every place of batches of many sizes, by 1, 2, 3 threads: always the same bits. */
static void check_invariance(enum dtype dtype, int64_t N, int64_t K)
{
    static const int64_t sizes[] = {1,  2,  3,  4,  5,  6,  7,   8,   13, 16,
                                    31, 48, 64, 95, 96, 97, 128, 200, 513};
    float *anchor_out = mem_calloc((size_t)N, sizeof *anchor_out);
    for (int threads = 1; threads <= 3; threads++) {
        struct backend *b = backend_for_test(dtype, threads);
        float *stored, *x = random_tensor(b, 513 * K, 5), *out = random_tensor(b, 513 * N, 6),
                       *anchor = random_tensor(b, K, 7);
        struct weight *w = random_weight(b, N, K, &stored, 8);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int64_t place = 0; place < sizes[i]; place = place * 2 + 1) {
                memcpy(x + place * K, anchor, (size_t)K * sizeof *x);
                b->ops->gemm(b, out, DTYPE_ID_F32, x, w, NULL, sizes[i]);
                if (threads == 1 && i == 0) memcpy(anchor_out, out, (size_t)N * sizeof *out);
                assert_memory_equal(out + place * N, anchor_out, (size_t)N * sizeof *out);
                fill_random(x + place * K, K, (uint64_t)place + 100);
            }
        b->ops->weight_destroy(b, w);
        b->ops->free(b, x);
        b->ops->free(b, out);
        b->ops->free(b, anchor);
        free(stored);
        backend_destroy(b);
    }
    free(anchor_out);
}

static void test_invariance(void **state)
{
    (void)state;
    static const int64_t some[][2] = {{64, 64}, {172, 64}, {264, 768}, {48, 2048}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        check_invariance(DTYPE_ID_F32, some[i][0], some[i][1]);
        check_invariance(DTYPE_ID_BF16, some[i][0], some[i][1]);
    }
}

/* Halves widen exactly: the same numbers from any source type give the same bits. */
static void test_sources(void **state)
{
    (void)state;
    enum { N = 20, K = 40 };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    static const uint16_t bf16[] = {0x3f80, 0xbfc0, 0x4049, 0x0000, 0x8000, 0x3c23};
    static const uint16_t f16[] = {0x3c00, 0xbe00, 0x0001, 0x83ff, 0x7bff, 0x0400};
    static const double bf16_value[] = {1, -1.5, 3.140625, 0, 0, 0x1.46p-7};
    static const double f16_value[] = {1, -1.5, 0x1p-24, -0x3ffp-24, 65504, 0x1p-14};
    for (int half = 0; half < 2; half++) {
        struct err e = {{0}};
        uint16_t rows[N * K];
        double want[N];
        float x[K] = {0}, out[N];
        x[3] = 1;
        for (int i = 0; i < N * K; i++) rows[i] = (half ? f16 : bf16)[i % 6];
        for (int n = 0; n < N; n++) want[n] = (half ? f16_value : bf16_value)[(n * K + 3) % 6];
        struct weight *w = b->ops->weight_create(b, N, K, &e);
        assert_int_equal(
            b->ops->weight_fill(b, w, rows, half ? DTYPE_ID_F16 : DTYPE_ID_BF16, N, &e), 0);
        assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
        b->ops->gemm(b, out, DTYPE_ID_F32, x, w, NULL, 1);
        for (int n = 0; n < N; n++) assert_true((double)out[n] == want[n]);
        b->ops->weight_destroy(b, w);
    }
    backend_destroy(b);
}

static void test_refusals(void **state)
{
    (void)state;
    struct err e = {{0}};
    assert_null(backend_cpu_create(world, DTYPE_ID_F16, 1, &e));
    assert_non_null(strstr(e.text, "f16"));
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    float rows[30] = {0};
    assert_null(b->ops->weight_create(b, 0, 5, &e));
    struct weight *w = b->ops->weight_create(b, 5, 5, &e);
    assert_int_equal(b->ops->weight_fill(b, w, rows, DTYPE_NONE, 1, &e), -1);
    assert_int_equal(b->ops->weight_fill(b, w, rows, DTYPE_ID_F32, 4, &e), 0);
    assert_int_equal(b->ops->weight_finish(b, w, &e), -1);
    assert_string_equal(e.text, "a weight of 5 rows was given 4");
    assert_int_equal(b->ops->weight_fill(b, w, rows, DTYPE_ID_F32, 2, &e), -1);
    b->ops->weight_destroy(b, w);
    b->ops->weight_destroy(b, NULL);
    backend_destroy(b);
    backend_destroy(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_oracle),
    cmocka_unit_test(test_invariance),
    cmocka_unit_test(test_sources),
    cmocka_unit_test(test_refusals),
};
RUN_TESTS(tests)
