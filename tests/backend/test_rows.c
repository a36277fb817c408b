/* Ops on rows against their oracles; each row computed alone gives the same bits. */
#include "backend/fixture.h"

#include "base/mem.h"

#include <math.h>

static void test_rmsnorm(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 16, 64, 100, 768, 2050};
    enum { T = 9 };
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int64_t D = widths[i];
        float *x = random_tensor(b, T * D, 1), *delta = random_tensor(b, T * D, 2),
              *w = random_tensor(b, D, 3);
        float *out = random_tensor(b, T * D, 4), *alone = random_tensor(b, D, 5);
        double *want = mem_calloc((size_t)(T * D), sizeof *want);
        char name[64];
        snprintf(name, sizeof name, "rmsnorm, %lld columns", (long long)D);
        b->ops->rmsnorm(b, out, DTYPE_ID_F32, x, w, T, D, 1e-5f, 1.0f);
        ref_rmsnorm(want, x, w, T, D, (double)1e-5f, 1);
        assert_true(close_to(name, out, want, T * D, 1e-13));
        b->ops->rmsnorm(b, alone, DTYPE_ID_F32, x + 5 * D, w, 1, D, 1e-5f, 1.0f);
        assert_memory_equal(alone, out + 5 * D, (size_t)D * sizeof *out);
        b->ops->rmsnorm(b, alone, DTYPE_ID_F32, alone, w, 1, D, 1e-5f, 0.0f); /* in place */

        memcpy(alone, x + 7 * D, (size_t)D * sizeof *x);
        b->ops->residual_rmsnorm(b, out, x, delta, w, T, D, 1e-6f, 0.0f);
        for (int64_t d = 0; d < D; d++) assert_true(x[7 * D + d] == alone[d] + delta[7 * D + d]);
        ref_rmsnorm(want, x, w, T, D, (double)1e-6f, 0);
        assert_true(close_to("  after the residual", out, want, T * D, 1e-13));
        b->ops->free(b, x);
        b->ops->free(b, delta);
        b->ops->free(b, w);
        b->ops->free(b, out);
        b->ops->free(b, alone);
        free(want);
    }
    backend_destroy(b);
}

static void test_activations(void **state)
{
    (void)state;
    enum { T = 3, F = 5003 };
    static const char *const names[] = {"silu", "gelu", "relu"};
    struct backend *b = backend_for_test(DTYPE_ID_F32, 2);
    float *x = random_tensor(b, T * 2 * F, 1), *out = random_tensor(b, T * F, 2),
          *y = random_tensor(b, T * 2 * F, 3);
    double *want = mem_calloc(T * 2 * F, sizeof *want);
    for (int64_t i = 0; i < T * 2 * F; i++) x[i] *= 12;
    for (int act = ACT_SILU; act <= ACT_RELU; act++) {
        b->ops->glu(b, out, x, T, F, (enum activation)act);
        for (int64_t t = 0; t < T; t++)
            for (int64_t f = 0; f < F; f++)
                want[t * F + f] = ref_activation((double)x[t * 2 * F + f], (enum activation)act) *
                                  (double)x[t * 2 * F + F + f];
        assert_true(close_to(names[act], out, want, T * F, 1e-13));
        float alone[2] = {x[1], x[F + 1]}, number; /* elsewhere in the vector: the same bits */
        b->ops->glu(b, &number, alone, 1, 1, (enum activation)act);
        assert_true(number == out[1]);
    }
    memcpy(y, x, T * 2 * F * sizeof *x);
    b->ops->softcap(b, y, T * 2 * F, 5.0f);
    for (int64_t i = 0; i < T * 2 * F; i++) want[i] = 5 * tanh((double)x[i] / 5);
    assert_true(close_to("softcap", y, want, T * 2 * F, 1e-13));
    b->ops->free(b, x);
    b->ops->free(b, y);
    b->ops->free(b, out);
    free(want);
    backend_destroy(b);
}

static void test_extremes(void **state)
{
    (void)state;
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    float x[] = {-1000, 1000, INFINITY, NAN, 0, 1, 1, 1, 1, 1}, out[5];
    b->ops->glu(b, out, x, 1, 5, ACT_GELU_TANH);
    assert_true(out[0] == 0 && out[1] == 1000 && out[2] == INFINITY && isnan(out[3]) &&
                out[4] == 0);
    float y[] = {-1000, 1000, NAN, 1, 1, 1};
    b->ops->glu(b, out, y, 1, 3, ACT_SILU);
    assert_true(out[0] == 0 && out[1] == 1000 && isnan(out[2]));
    float z[] = {-INFINITY, INFINITY, NAN};
    b->ops->softcap(b, z, 3, 30.0f);
    assert_true(z[0] == -30 && z[1] == 30 && isnan(z[2]));
    backend_destroy(b);
}

static void test_embed(void **state)
{
    (void)state;
    enum { ROWS = 6, D = 33 };
    static const int32_t token[] = {12, 9, 10, 15, 16, 0};
    for (int half = 0; half < 2; half++) {
        struct backend *b = backend_for_test(half ? DTYPE_ID_BF16 : DTYPE_ID_F32, 2);
        float wide[ROWS * D], out[6 * D];
        uint16_t narrow[ROWS * D];
        for (int i = 0; i < ROWS * D; i++) {
            uint32_t bits = 0x3f800000u + ((uint32_t)i << 16);
            narrow[i] = (uint16_t)(bits >> 16);
            memcpy(&wide[i], &bits, sizeof bits);
        }
        b->ops->batch_begin(b, NULL, &(struct batch){.token = token, .T = 6});
        b->ops->embed(b, out, half ? (void *)narrow : (void *)wide, 6, D, 10, ROWS, 3.0f);
        for (int t = 0; t < 6; t++)
            for (int d = 0; d < D; d++) {
                bool mine = token[t] >= 10 && token[t] < 16;
                assert_true(out[t * D + d] == (mine ? wide[(token[t] - 10) * D + d] * 3.0f : 0.0f));
            }
        static const int32_t rows[] = {5, 0, 5};
        float gathered[3 * D];
        b->ops->gather_rows(b, gathered, wide, rows, 3, D * sizeof *wide);
        for (int r = 0; r < 3; r++)
            assert_memory_equal(gathered + r * D, wide + rows[r] * D, D * sizeof *wide);
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
    for (int i = 0; i < 100; i++) assert_int_equal(p[i], 0);
    assert_int_equal((uintptr_t)p % 64, 0);
    memset(host, 7, sizeof host);
    b->ops->upload(b, p, host, 50);
    b->ops->download(b, host, p, 100);
    assert_int_equal(host[49], 7);
    assert_int_equal(host[50], 0);
    b->ops->free(b, p);
    assert_null(b->ops->alloc(b, SIZE_MAX));
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

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rmsnorm),  cmocka_unit_test(test_activations),
    cmocka_unit_test(test_extremes), cmocka_unit_test(test_embed),
    cmocka_unit_test(test_memory),   cmocka_unit_test(test_dtypes),
};
RUN_TESTS(tests)
