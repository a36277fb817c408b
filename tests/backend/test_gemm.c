/* GEMM against its oracle, its invariance, and how weights are filled. */
#include "backend/fixture.h"

/* A random weight and the numbers that it stores. */
static struct weight *random_weight(struct backend *b, int64_t N, int64_t K, float **stored,
                                    uint64_t seed)
{
    struct err e = {{0}};
    float *rows = host_memory(N * K, sizeof *rows);
    void *narrow = host_memory(N * K, dtype_bytes(b->dtype));
    fill_random(rows, N * K, seed);
    struct weight *w = b->ops->weight_create(b, b->dtype, N, K, &e);
    if (!w) fail_msg("%s", e.text);
    for (int64_t n = 0, piece = 1; n < N;
         n += piece, piece = piece * 3 % 41 + 1) { /* pieces of uneven size */
        if (piece > N - n) piece = N - n;
        assert_int_equal(b->ops->weight_fill(b, w, rows + n * K, DTYPE_ID_F32, piece, &e), 0);
    }
    assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
    dtype_narrow(narrow, rows, b->dtype, (size_t)(N * K));
    dtype_widen(rows, narrow, b->dtype, (size_t)(N * K));
    free(narrow);
    *stored = rows;
    return w;
}

static const int64_t shapes[][2] = {{64, 64},  {172, 64}, {1, 5},    {17, 300},
                                    {33, 257}, {160, 96}, {100, 768}};

/* Rows beyond 64 take more than one call where the device has few. */
static void check_shape(struct backend *b, int64_t N, int64_t K, enum dtype out_type)
{
    enum { MOST = 131 };
    float *stored, *x = random_numbers(MOST * K, b->dtype, 2),
                   *bias = random_numbers(N, DTYPE_ID_F32, 3),
                   *got = host_memory(MOST * N, sizeof *got);
    void *dx = put(b, x, MOST * K, b->activation), *dbias = put(b, bias, N, DTYPE_ID_F32),
         *out = device_memory(b, MOST * N, out_type);
    double *want = host_memory(MOST * N, sizeof *want);
    struct weight *w = random_weight(b, N, K, &stored, 1);
    static const int64_t rows[] = {1, 2, 7, MOST};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[80];
        snprintf(name, sizeof name, "gemm %s to %s, %lld x %lld, %lld rows", dtype_name(b->dtype),
                 dtype_name(out_type), (long long)N, (long long)K, (long long)rows[i]);
        b->ops->gemm(b, out, out_type, dx, w, i % 2 ? dbias : NULL, rows[i]);
        get(b, got, out, rows[i] * N, out_type);
        ref_gemm(want, x, stored, i % 2 ? bias : NULL, rows[i], N, K);
        assert_true(result_close(name, got, want, rows[i], N, out_type, 1e-12));
    }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, dx);
    b->ops->free(b, dbias);
    b->ops->free(b, out);
    free(x);
    free(bias);
    free(got);
    free(want);
    free(stored);
}

static void test_oracle(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++) {
        struct backend *b = backend_for_test(*d, 2);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            check_shape(b, shapes[i][0], shapes[i][1], DTYPE_ID_F32);
            if (b->activation != DTYPE_ID_F32)
                check_shape(b, shapes[i][0], shapes[i][1], b->activation);
        }
        backend_destroy(b);
    }
}

/* One row in every place of batches of many sizes: always the same bits. */
static void check_rows(struct backend *b, int64_t N, int64_t K, enum dtype out_type, bool first,
                       char *anchor_out)
{
    static const int64_t sizes[] = {1,  2,  3,  4,  5,  6,  7,   8,   13, 16,
                                    31, 48, 64, 95, 96, 97, 128, 200, 513};
    int64_t most = is_emulated(b) ? 97 : 513;
    size_t out_bytes = (size_t)N * dtype_bytes(out_type);
    float *stored, *anchor = random_numbers(K, b->dtype, 7),
                   *other = random_numbers(K, b->dtype, 9);
    void *x = put_random(b, most * K, b->activation, 5),
         *out = device_memory(b, most * N, out_type);
    char *got = host_memory(N, dtype_bytes(out_type));
    struct weight *w = random_weight(b, N, K, &stored, 8);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && sizes[i] <= most; i++)
        for (int64_t place = 0; place < sizes[i]; place = place * 2 + 1) {
            put_at(b, x, place * K, anchor, K, b->activation);
            b->ops->gemm(b, out, out_type, x, w, NULL, sizes[i]);
            b->ops->download(b, got, (char *)out + (size_t)place * out_bytes, out_bytes);
            if (first && i == 0) memcpy(anchor_out, got, out_bytes);
            assert_memory_equal(got, anchor_out, out_bytes);
            put_at(b, x, place * K, other, K, b->activation);
        }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, x);
    b->ops->free(b, out);
    free(anchor);
    free(other);
    free(got);
    free(stored);
}

/* By 1, 2, 3 threads, or as often on a GPU. */
static void check_invariance(enum dtype dtype, int64_t N, int64_t K)
{
    char *anchor = host_memory(N, 2 * sizeof(float));
    for (int threads = 1; threads <= 3; threads++) {
        struct backend *b = backend_for_test(dtype, threads);
        check_rows(b, N, K, DTYPE_ID_F32, threads == 1, anchor);
        if (b->activation != DTYPE_ID_F32)
            check_rows(b, N, K, b->activation, threads == 1, anchor + (size_t)N * sizeof(float));
        bool emulated = is_emulated(b);
        backend_destroy(b);
        if (emulated) break;
    }
    free(anchor);
}

static void test_invariance(void **state)
{
    (void)state;
    static const int64_t some[][2] = {{64, 64}, {172, 64}, {264, 768}, {48, 2048}};
    size_t n = tests_cuda() ? 2 : sizeof some / sizeof *some;
    for (const enum dtype *d = types_for_test(); *d; d++)
        for (size_t i = 0; i < n; i++) check_invariance(*d, some[i][0], some[i][1]);
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
        float x[K] = {0}, got[N];
        x[3] = 1;
        for (int i = 0; i < N * K; i++) rows[i] = (half ? f16 : bf16)[i % 6];
        for (int n = 0; n < N; n++) want[n] = (half ? f16_value : bf16_value)[(n * K + 3) % 6];
        struct weight *w = b->ops->weight_create(b, b->dtype, N, K, &e);
        void *dx = put(b, x, K, DTYPE_ID_F32), *out = device_memory(b, N, DTYPE_ID_F32);
        assert_int_equal(
            b->ops->weight_fill(b, w, rows, half ? DTYPE_ID_F16 : DTYPE_ID_BF16, N, &e), 0);
        assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
        b->ops->gemm(b, out, DTYPE_ID_F32, dx, w, NULL, 1);
        get(b, got, out, N, DTYPE_ID_F32);
        for (int n = 0; n < N; n++) assert_true((double)got[n] == want[n]);
        b->ops->weight_destroy(b, w);
        b->ops->free(b, dx);
        b->ops->free(b, out);
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
    assert_null(b->ops->weight_create(b, b->dtype, 0, 5, &e));
    struct weight *w = b->ops->weight_create(b, b->dtype, 5, 5, &e);
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
