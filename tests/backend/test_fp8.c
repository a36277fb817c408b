/* Products of FP8: against the sums of the rounded operands, against those of the operands as they
 * were, and a row's bits whatever goes along.  Where FP8 is not to be had, that it is refused. */
#include "backend/fixture.h"

static bool opens(enum dtype dtype, struct err *e)
{
    struct backend *b = test_backend_open(world, dtype, 1, e);
    backend_destroy(b);
    return b != NULL;
}

static void test_refused(void **state)
{
    (void)state;
    struct err e = {{0}};
    assert_null(backend_cpu_create(world, DTYPE_ID_FP8, 1, &e));
    assert_non_null(strstr(e.text, "dtype fp8 is not for the cpu backend"));
    assert_non_null(strstr(e.text, "set dtype: f32 or bf16"));
    if (!tests_cuda()) return;
    setenv("SPECREJ_EMULATION_CAPABILITY", "80", 1);
    struct backend *b = backend_for_test(DTYPE_NONE, 1); /* what suits the device is never FP8 */
    assert_int_equal(b->dtype, DTYPE_ID_BF16);
    bool emulated = is_emulated(b);
    backend_destroy(b);
    if (emulated) {
        assert_false(opens(DTYPE_ID_FP8, &e));
        assert_non_null(strstr(e.text, "dtype fp8 needs compute capability 8.9 or later; CUDA"));
        assert_non_null(strstr(e.text, "has 8.0: set dtype: bf16"));
        setenv("SPECREJ_EMULATION_CAPABILITY", "89", 1);
        assert_true(opens(DTYPE_ID_FP8, &e));
    }
    unsetenv("SPECREJ_EMULATION_CAPABILITY");
}

/* NULL, and a word: no FP8 here. */
static struct backend *fp8_backend(void)
{
    struct err e = {{0}};
    struct backend *b = tests_cuda() ? test_backend_open(world, DTYPE_ID_FP8, 1, &e) : NULL;
    if (!b) printf("  skipped: %s\n", tests_cuda() ? e.text : "the cpu has no fp8");
    return b;
}

/* Random rows of sizes that differ by powers of two, as `type` holds them; caller frees. */
static float *uneven_rows(int64_t rows, int64_t K, enum dtype type, uint64_t seed)
{
    float *x = random_numbers(rows * K, type, seed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < K; k++) x[r * K + k] = ldexpf(x[r * K + k], (int)(r * 5 % 13) - 6);
    return x;
}

/* What FP8 makes of rows [rows, K]: code times scale, in double. */
static double *rounded_rows(const float *x, int64_t rows, int64_t K)
{
    double *out = host_memory(rows * K, sizeof *out);
    for (int64_t r = 0; r < rows; r++) {
        float most = 0;
        for (int64_t k = 0; k < K; k++) most = fmaxf(most, fabsf(x[r * K + k]));
        for (int64_t k = 0; k < K; k++) {
            float v = x[r * K + k] * (448.0f / most);
            uint8_t code;
            dtype_narrow(&code, &v, DTYPE_ID_FP8, 1);
            dtype_widen(&v, &code, DTYPE_ID_FP8, 1);
            out[r * K + k] = (double)v * (double)(most / 448.0f);
        }
    }
    return out;
}

static void multiply(double *out, const double *x, const double *w, const float *bias, int64_t T,
                     int64_t N, int64_t K)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t n = 0; n < N; n++) {
            double sum = bias ? (double)bias[n] : 0;
            for (int64_t k = 0; k < K; k++) sum += x[t * K + k] * w[n * K + k];
            out[t * N + n] = sum;
        }
}

static struct weight *weight_of(struct backend *b, const float *rows, int64_t N, int64_t K)
{
    struct err e = {{0}};
    struct weight *w = b->ops->weight_create(b, DTYPE_ID_FP8, N, K, &e);
    if (!w) fail_msg("%s", e.text);
    for (int64_t n = 0, piece = 1; n < N; n += piece, piece = piece * 3 % 41 + 1) {
        if (piece > N - n) piece = N - n;
        assert_int_equal(b->ops->weight_fill(b, w, rows + n * K, DTYPE_ID_F32, piece, &e), 0);
    }
    assert_int_equal(b->ops->weight_finish(b, w, &e), 0);
    assert_int_equal(b->ops->weight_bytes(w), dtype_matrix_bytes(DTYPE_ID_FP8, N, K));
    return w;
}

/* Numbers as sums see them: the error in norm before rounding.  A tensor core's own sums have fewer
 * bits than f32, without fast accumulation too; how far off they are, no device has told yet. */
static double sums_tolerance(const struct backend *b)
{
    double norm = is_emulated(b) ? 1e-5 : 1e-3;
    return norm * norm;
}

/* Of e4m3's three bits of fraction: the same share of every product, so that all shapes have about
 * the same error in norm.  Measured on the emulated device: 3.4 to 4.4 %. */
#define ROUNDING 0.05

static void check_product(struct backend *b, int64_t N, int64_t K, int64_t T, bool has_bias)
{
    float *x = uneven_rows(T, K, b->activation, 1), *w = uneven_rows(N, K, DTYPE_ID_F32, 2),
          *bias = has_bias ? random_numbers(N, DTYPE_ID_F32, 3) : NULL,
          *got = host_memory(T * N, sizeof *got);
    double *x8 = rounded_rows(x, T, K), *w8 = rounded_rows(w, N, K),
           *want = host_memory(T * N, sizeof *want), *exact = host_memory(T * N, sizeof *exact);
    void *dx = put(b, x, T * K, b->activation),
         *dbias = has_bias ? put(b, bias, N, DTYPE_ID_F32) : NULL,
         *out = device_memory(b, T * N, DTYPE_ID_F32);
    struct weight *weight = weight_of(b, w, N, K);
    multiply(want, x8, w8, bias, T, N, K);
    ref_gemm(exact, x, w, bias, T, N, K);
    char name[80];
    snprintf(name, sizeof name, "fp8 %lld x %lld, %lld rows%s", (long long)N, (long long)K,
             (long long)T, has_bias ? ", bias" : "");
    b->ops->gemm(b, out, DTYPE_ID_F32, dx, weight, dbias, T);
    get(b, got, out, T * N, DTYPE_ID_F32);
    assert_true(close_to(name, got, want, T * N, sums_tolerance(b)));
    printf("  %-44s %.2f %% in norm from the numbers as they were\n", "",
           100 * sqrt(nmse(got, exact, T * N)));
    if (T * N > 1000) assert_true(sqrt(nmse(got, exact, T * N)) < ROUNDING);
    b->ops->gemm(b, out, b->activation, dx, weight, dbias, T);
    get(b, got, out, T * N, b->activation);
    assert_true(result_close(name, got, want, T, N, b->activation, 0));
    b->ops->weight_destroy(b, weight);
    void *const device[] = {dx, dbias, out};
    void *const host[] = {x, w, bias, got, x8, w8, want, exact};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) b->ops->free(b, device[i]);
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) free(host[i]);
}

/* Sides that are multiples of 16 and others, more rows than one call of the library takes. */
static void test_products(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{64, 64},  {172, 64}, {1, 5},    {17, 300},
                                        {33, 257}, {160, 96}, {100, 768}};
    struct backend *b = fp8_backend();
    if (!b) return;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_product(b, shapes[i][0], shapes[i][1], 1, false);
        check_product(b, shapes[i][0], shapes[i][1], 7, true);
        check_product(b, shapes[i][0], shapes[i][1], 131, i % 2);
    }
    backend_destroy(b);
}

/* Row 0 of x alone has these bits, in every place of batches of many sizes. */
static void check_rows(struct backend *b, int64_t N, int64_t K, enum dtype out_type)
{
    static const int64_t sizes[] = {2, 3, 5, 8, 16, 31, 48, 64, 95, 97, 200, 513};
    int64_t most = is_emulated(b) ? 97 : 513;
    size_t row = (size_t)N * dtype_bytes(out_type);
    float *rows = uneven_rows(N, K, DTYPE_ID_F32, 1), *anchor = random_numbers(K, b->activation, 2),
          *other = random_numbers(K, b->activation, 3);
    void *x = put_random(b, most * K, b->activation, 4),
         *out = device_memory(b, most * N, out_type);
    char *want = host_memory(1, row), *got = host_memory(1, row);
    struct weight *w = weight_of(b, rows, N, K);
    put_at(b, x, 0, anchor, K, b->activation);
    b->ops->gemm(b, out, out_type, x, w, NULL, 1);
    b->ops->download(b, want, out, row);
    put_at(b, x, 0, other, K, b->activation);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && sizes[i] <= most; i++)
        for (int64_t place = 0; place < sizes[i]; place = place * 2 + 1) {
            put_at(b, x, place * K, anchor, K, b->activation);
            b->ops->gemm(b, out, out_type, x, w, NULL, sizes[i]);
            b->ops->download(b, got, (char *)out + (size_t)place * row, row);
            assert_memory_equal(got, want, row);
            put_at(b, x, place * K, other, K, b->activation);
        }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, x);
    b->ops->free(b, out);
    free(rows);
    free(anchor);
    free(other);
    free(want);
    free(got);
}

static void test_invariance(void **state)
{
    (void)state;
    struct backend *b = fp8_backend();
    if (!b) return;
    check_rows(b, 64, 64, DTYPE_ID_F32);
    check_rows(b, 172, 100, b->activation);
    backend_destroy(b);
}

/* Rows of zeros and rows with numbers that are none stay among themselves. */
static void test_special_rows(void **state)
{
    (void)state;
    enum { N = 20, K = 40, T = 4 };
    struct backend *b = fp8_backend();
    if (!b) return;
    float *rows = uneven_rows(N, K, DTYPE_ID_F32, 1), *x = random_numbers(T * K, b->activation, 2),
          *bias = random_numbers(N, DTYPE_ID_F32, 3), got[T * N];
    for (int k = 0; k < K; k++) x[k] = 0;
    for (int k = 0; k < K; k++) rows[2 * K + k] = 0;
    x[K + 7] = NAN;
    x[2 * K + 7] = INFINITY;
    void *dx = put(b, x, T * K, b->activation), *dbias = put(b, bias, N, DTYPE_ID_F32),
         *out = device_memory(b, T * N, DTYPE_ID_F32);
    struct weight *w = weight_of(b, rows, N, K);
    b->ops->gemm(b, out, DTYPE_ID_F32, dx, w, dbias, T);
    get(b, got, out, T * N, DTYPE_ID_F32);
    for (int n = 0; n < N; n++) {
        assert_true(got[n] == bias[n]);
        assert_true(isnan(got[N + n]) && isnan(got[2 * N + n]));
        assert_true(n == 2 ? got[3 * N + n] == bias[n] : isfinite(got[3 * N + n]));
    }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, dx);
    b->ops->free(b, dbias);
    b->ops->free(b, out);
    free(rows);
    free(x);
    free(bias);
    backend_destroy(b);
}

/* What products need was taken with the weight. */
static void test_workspace(void **state)
{
    (void)state;
    enum { N = 72, K = 40 };
    struct backend *b = fp8_backend();
    if (!b) return;
    float *rows = uneven_rows(N, K, DTYPE_ID_F32, 1);
    struct weight *w = weight_of(b, rows, N, K);
    void *x = put_random(b, b->max_rows * K, b->activation, 2),
         *out = device_memory(b, b->max_rows * N, b->activation);
    size_t free_bytes = b->ops->free_bytes(b);
    b->ops->gemm(b, out, b->activation, x, w, NULL, b->max_rows);
    if (is_emulated(b)) assert_int_equal(b->ops->free_bytes(b), free_bytes); /* nobody else's */
    b->ops->weight_destroy(b, w);
    b->ops->free(b, x);
    b->ops->free(b, out);
    free(rows);
    backend_destroy(b);
}

/* bf16 beside FP8 is what it is beside bf16; rows of every type give the same matrix. */
static void test_types(void **state)
{
    (void)state;
    enum { N = 32, K = 48 };
    static const enum dtype from[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16};
    struct err e = {{0}};
    struct backend *b = fp8_backend();
    if (!b) return;
    assert_int_equal(b->activation, DTYPE_ID_BF16);
    float *rows = host_memory(N * K, sizeof *rows), *x = random_numbers(K, DTYPE_ID_BF16, 2),
          got[N], first[N];
    for (int i = 0; i < N * K; i++) rows[i] = (float)(i * 37 % 255 - 127) / 64; /* exact in all */
    void *dx = put(b, x, K, DTYPE_ID_BF16), *out = device_memory(b, N, DTYPE_ID_F32);
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        void *narrow = host_memory(N * K, dtype_bytes(from[i]));
        dtype_narrow(narrow, rows, from[i], N * K);
        struct weight *w = b->ops->weight_create(b, DTYPE_ID_FP8, N, K, &e);
        assert_int_equal(b->ops->weight_fill(b, w, narrow, from[i], N, &e), 0);
        assert_int_equal(b->ops->weight_fill(b, w, narrow, DTYPE_ID_FP8, 0, &e), -1);
        assert_string_equal(e.text, "weights of type fp8 cannot be read");
        b->ops->gemm(b, out, DTYPE_ID_F32, dx, w, NULL, 1);
        get(b, i ? got : first, out, N, DTYPE_ID_F32);
        if (i) assert_memory_equal(got, first, sizeof first);
        b->ops->weight_destroy(b, w);
        free(narrow);
    }
    double want[N];
    struct weight *w = b->ops->weight_create(b, DTYPE_ID_BF16, N, K, &e);
    assert_int_equal(b->ops->weight_fill(b, w, rows, DTYPE_ID_F32, N, &e), 0);
    b->ops->gemm(b, out, DTYPE_ID_F32, dx, w, NULL, 1);
    get(b, got, out, N, DTYPE_ID_F32);
    ref_gemm(want, x, rows, NULL, 1, N, K);
    assert_true(close_to("bf16 beside fp8", got, want, N, 1e-12));
    b->ops->weight_destroy(b, w);
    b->ops->free(b, dx);
    b->ops->free(b, out);
    free(rows);
    free(x);
    backend_destroy(b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_refused),    cmocka_unit_test(test_products),
    cmocka_unit_test(test_invariance), cmocka_unit_test(test_special_rows),
    cmocka_unit_test(test_types),      cmocka_unit_test(test_workspace),
};
RUN_TESTS(tests)
