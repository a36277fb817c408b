/* Ops on rows against their oracles; each row computed alone gives the same bits. */
#include "backend/fixture.h"

/* Row `row` of x [T, width] of a type, where it lies. */
static void *row_at(void *x, int64_t row, int64_t width, enum dtype type)
{
    return (char *)x + (size_t)(row * width) * dtype_bytes(type);
}

/* Have n numbers of backend memory the same bits? */
static bool same_bits(struct backend *b, const void *x, const void *y, int64_t n, enum dtype type)
{
    size_t bytes = (size_t)n * dtype_bytes(type);
    char *p = host_memory(2 * n, dtype_bytes(type));
    b->ops->download(b, p, x, bytes);
    b->ops->download(b, p + bytes, y, bytes);
    bool same = memcmp(p, p + bytes, bytes) == 0;
    free(p);
    return same;
}

static void check_rmsnorm(struct backend *b, int64_t D, enum dtype out_type)
{
    enum { T = 9 };
    float *x = random_numbers(T * D, DTYPE_ID_F32, 1),
          *delta = random_numbers(T * D, DTYPE_ID_F32, 2), *w = random_numbers(D, DTYPE_ID_F32, 3),
          *got = host_memory(T * D, sizeof *got);
    void *dx = put(b, x, T * D, DTYPE_ID_F32), *ddelta = put(b, delta, T * D, DTYPE_ID_F32),
         *dw = put(b, w, D, DTYPE_ID_F32), *out = put_random(b, T * D, out_type, 4),
         *alone = put_random(b, D, DTYPE_ID_F32, 5);
    double *want = host_memory(T * D, sizeof *want);
    char name[64];
    snprintf(name, sizeof name, "rmsnorm to %s, %lld columns", dtype_name(out_type), (long long)D);
    b->ops->rmsnorm(b, out, out_type, dx, dw, T, D, 1e-5f, 1.0f);
    get(b, got, out, T * D, out_type);
    ref_rmsnorm(want, x, w, T, D, (double)1e-5f, 1);
    assert_true(result_close(name, got, want, T, D, out_type, 1e-13));
    b->ops->rmsnorm(b, alone, out_type, row_at(dx, 5, D, DTYPE_ID_F32), dw, 1, D, 1e-5f, 1.0f);
    assert_true(same_bits(b, alone, row_at(out, 5, D, out_type), D, out_type));
    void *copy = put(b, x + 5 * D, D, DTYPE_ID_F32);
    b->ops->rmsnorm(b, alone, DTYPE_ID_F32, copy, dw, 1, D, 1e-5f, 0.0f);
    b->ops->rmsnorm(b, copy, DTYPE_ID_F32, copy, dw, 1, D, 1e-5f, 0.0f); /* in place */
    assert_true(same_bits(b, copy, alone, D, DTYPE_ID_F32));

    if (out_type == b->activation) {
        b->ops->residual_rmsnorm(b, out, dx, ddelta, dw, T, D, 1e-6f, 0.0f);
        for (int64_t i = 0; i < T * D; i++) x[i] += delta[i];
        get(b, got, dx, T * D, DTYPE_ID_F32);
        assert_memory_equal(got, x, (size_t)(T * D) * sizeof *x);
        ref_rmsnorm(want, x, w, T, D, (double)1e-6f, 0);
        get(b, got, out, T * D, out_type);
        assert_true(result_close("  after the residual", got, want, T, D, out_type, 1e-13));
    }
    void *const memory[] = {dx, ddelta, dw, out, alone, copy};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) b->ops->free(b, memory[i]);
    free(x);
    free(delta);
    free(w);
    free(got);
    free(want);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 16, 64, 100, 768, 2050};
    for (const enum dtype *d = types_for_test(); *d; d++) {
        struct backend *b = backend_for_test(*d, 2);
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            check_rmsnorm(b, widths[i], b->activation);
            if (b->activation != DTYPE_ID_F32) check_rmsnorm(b, widths[i], DTYPE_ID_F32);
        }
        backend_destroy(b);
    }
}

static void check_activations(struct backend *b)
{
    enum { T = 3, F = 5003 };
    static const char *const names[] = {"silu", "gelu", "relu"};
    enum dtype type = b->activation;
    float *x = random_numbers(T * 2 * F, type, 1), *got = host_memory(T * 2 * F, sizeof *got);
    double *want = host_memory(T * 2 * F, sizeof *want);
    for (int64_t i = 0; i < T * 2 * F; i++) x[i] *= 8;
    void *dx = put(b, x, T * 2 * F, type), *out = device_memory(b, T * F, type),
         *pair = device_memory(b, 2, type);
    for (int act = ACT_SILU; act <= ACT_RELU; act++) {
        b->ops->glu(b, out, dx, T, F, (enum activation)act);
        get(b, got, out, T * F, type);
        for (int64_t t = 0; t < T; t++)
            for (int64_t f = 0; f < F; f++)
                want[t * F + f] = ref_activation((double)x[t * 2 * F + f], (enum activation)act) *
                                  (double)x[t * 2 * F + F + f];
        assert_true(result_close(names[act], got, want, T, F, type, 1e-13));
        float alone[2] = {x[1], x[F + 1]}, number; /* elsewhere in the vector: the same bits */
        put_at(b, pair, 0, alone, 2, type);
        b->ops->glu(b, pair, pair, 1, 1, (enum activation)act);
        get(b, &number, pair, 1, type);
        assert_true(number == got[1]);
    }
    void *y = put(b, x, T * 2 * F, DTYPE_ID_F32);
    b->ops->softcap(b, y, T * 2 * F, 5.0f);
    get(b, got, y, T * 2 * F, DTYPE_ID_F32);
    for (int64_t i = 0; i < T * 2 * F; i++) want[i] = 5 * tanh((double)x[i] / 5);
    assert_true(close_to("softcap", got, want, T * 2 * F, 1e-13));
    b->ops->free(b, dx);
    b->ops->free(b, out);
    b->ops->free(b, pair);
    b->ops->free(b, y);
    free(x);
    free(got);
    free(want);
}

static void test_activations(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++) {
        struct backend *b = backend_for_test(*d, 2);
        check_activations(b);
        backend_destroy(b);
    }
}

static void test_extremes(void **state)
{
    (void)state;
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    float x[] = {-1000, 1000, INFINITY, NAN, 0, 1, 1, 1, 1, 1}, out[5];
    void *dx = put(b, x, 10, DTYPE_ID_F32), *dout = device_memory(b, 5, DTYPE_ID_F32);
    b->ops->glu(b, dout, dx, 1, 5, ACT_GELU_TANH);
    get(b, out, dout, 5, DTYPE_ID_F32);
    assert_true(out[0] == 0 && out[1] == 1000 && out[2] == INFINITY && isnan(out[3]) &&
                out[4] == 0);
    float y[] = {-1000, 1000, NAN, 1, 1, 1};
    put_at(b, dx, 0, y, 6, DTYPE_ID_F32);
    b->ops->glu(b, dout, dx, 1, 3, ACT_SILU);
    get(b, out, dout, 3, DTYPE_ID_F32);
    assert_true(out[0] == 0 && out[1] == 1000 && isnan(out[2]));
    float z[] = {-INFINITY, INFINITY, NAN};
    put_at(b, dx, 0, z, 3, DTYPE_ID_F32);
    b->ops->softcap(b, dx, 3, 30.0f);
    get(b, z, dx, 3, DTYPE_ID_F32);
    assert_true(z[0] == -30 && z[1] == 30 && isnan(z[2]));
    b->ops->free(b, dx);
    b->ops->free(b, dout);
    backend_destroy(b);
}

static void test_embed(void **state)
{
    (void)state;
    enum { ROWS = 6, D = 33 };
    static const int32_t token[] = {12, 9, 10, 15, 16, 0};
    for (const enum dtype *type = types_for_test(); *type; type++) {
        struct backend *b = backend_for_test(*type, 2);
        float wide[ROWS * D], out[6 * D];
        for (int i = 0; i < ROWS * D; i++) wide[i] = 1.0f + (float)(i % 128) / 128.0f;
        void *table = put(b, wide, ROWS * D, *type), *dout = device_memory(b, 6 * D, DTYPE_ID_F32);
        b->ops->batch_begin(b, NULL, &(struct batch){.token = token, .T = 6});
        b->ops->embed(b, dout, table, 6, D, 10, ROWS, 3.0f);
        get(b, out, dout, 6 * D, DTYPE_ID_F32);
        for (int t = 0; t < 6; t++)
            for (int d = 0; d < D; d++) {
                bool mine = token[t] >= 10 && token[t] < 16;
                assert_true(out[t * D + d] == (mine ? wide[(token[t] - 10) * D + d] * 3.0f : 0.0f));
            }
        static const int32_t rows[] = {5, 0, 5};
        size_t row_bytes = D * dtype_bytes(*type);
        b->ops->gather_rows(b, dout, table, rows, 3, row_bytes);
        for (int r = 0; r < 3; r++)
            assert_true(same_bits(b, row_at(dout, r, D, *type), row_at(table, rows[r], D, *type), D,
                                  *type));
        b->ops->free(b, table);
        b->ops->free(b, dout);
        backend_destroy(b);
    }
}

static void test_memory(void **state)
{
    (void)state;
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    size_t before = b->ops->free_bytes(b);
    assert_true(before > 1 << 20);
    b->ranks_on_device *= 2;
    assert_true(b->ops->free_bytes(b) < before / 4 * 3);
    unsigned char *p = b->ops->alloc(b, 100), host[100];
    b->ops->download(b, host, p, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(host[i], 0);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(host, 7, sizeof host);
    b->ops->upload(b, p, host, 50);
    b->ops->download(b, host, p, 100);
    assert_int_equal(host[49], 7);
    assert_int_equal(host[50], 0);
    b->ops->free(b, p);
    assert_null(b->ops->alloc(b, SIZE_MAX));
    backend_destroy(b);
}

/* More bytes than pass the way at once. */
static void test_long_copies(void **state)
{
    (void)state;
    enum { N = 5000001 };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    float *x = host_memory(N, sizeof *x), *back = host_memory(N, sizeof *back);
    for (int64_t i = 0; i < N; i++) x[i] = (float)i;
    void *p = put(b, x, N, DTYPE_ID_F32);
    get(b, back, p, N, DTYPE_ID_F32);
    assert_memory_equal(x, back, N * sizeof *x);
    b->ops->free(b, p);
    free(x);
    free(back);
    backend_destroy(b);
}

/* The host's limits; a device has its own memory. */
static void test_slurm_limit(void **state)
{
    (void)state;
    if (tests_cuda()) skip();
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    b->ranks_on_device *= 2;
    setenv("SLURM_MEM_PER_NODE", "100000000", 1);
    size_t unlimited = b->ops->free_bytes(b);
    setenv("SLURM_MEM_PER_NODE", "400", 1);
    assert_true(b->ops->free_bytes(b) <= (size_t)200 << 20 && b->ops->free_bytes(b) < unlimited);
    unsetenv("SLURM_MEM_PER_NODE");
    backend_destroy(b);
}

static void test_dtypes(void **state)
{
    (void)state;
    assert_int_equal(dtype_bytes(DTYPE_ID_F32), 4);
    assert_int_equal(dtype_bytes(DTYPE_ID_BF16), 2);
    assert_int_equal(dtype_bytes(DTYPE_ID_F16), 2);
    assert_int_equal(dtype_bytes(DTYPE_NONE), 0);
    assert_string_equal(dtype_name(DTYPE_ID_BF16), "bf16");
    static const uint16_t f16[] = {0x7c00, 0xfc00, 0x7e00, 0x8000, 0x0001, 0x3555};
    float wide[6];
    dtype_widen(wide, f16, DTYPE_ID_F16, 6);
    assert_true(wide[0] == INFINITY && wide[1] == -INFINITY && isnan(wide[2]) && signbit(wide[3]));
    assert_true(wide[4] == 0x1p-24f && wide[5] == 0x1.554p-2f);
}

/* Every half comes back; between two neighbours the nearer is taken, the even one in the middle. */
static void test_narrowing(void **state)
{
    (void)state;
    for (enum dtype type = DTYPE_ID_BF16; type <= DTYPE_ID_F16; type++)
        for (uint32_t i = 0; i < 0x10000; i++) {
            uint16_t half = (uint16_t)i, above = (uint16_t)(i + 1), got;
            float x, y;
            dtype_widen(&x, &half, type, 1);
            dtype_widen(&y, &above, type, 1);
            dtype_narrow(&got, &x, type, 1);
            if (isnan(x)) {
                dtype_widen(&y, &got, type, 1);
                assert_true(isnan(y));
                continue;
            }
            assert_int_equal(got, half);
            if (isnan(y) || isinf(x) || i == 0x7fff) continue;
            if (isinf(y)) y = type == DTYPE_ID_F16 ? copysignf(65536, y) : y;
            if (isinf(y)) continue;
            float middle = x + (y - x) / 2;
            dtype_narrow(&got, &middle, type, 1);
            assert_int_equal(got, i % 2 ? above : half);
            middle = nextafterf(middle, x);
            dtype_narrow(&got, &middle, type, 1);
            assert_int_equal(got, half);
        }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rmsnorm),     cmocka_unit_test(test_activations),
    cmocka_unit_test(test_extremes),    cmocka_unit_test(test_embed),
    cmocka_unit_test(test_memory),      cmocka_unit_test(test_long_copies),
    cmocka_unit_test(test_slurm_limit), cmocka_unit_test(test_dtypes),
    cmocka_unit_test(test_narrowing),
};
RUN_TESTS(tests)
