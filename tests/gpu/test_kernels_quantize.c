/* The kernels before and after a product of e4m3, bit for bit what their rules say. */
#include "kernels.h"

#include "backend/backend.h"
#include "backend/e4m3.h"
#include "base/mem.h"
#include "kernel_test.h"
#include "ref/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const enum dtype types[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16};
#define TYPES (sizeof types / sizeof *types)

/* `bytes` of 0xff: what is not written shows. */
static void *unwritten(size_t bytes)
{
    void *p;
    CHECK(cudaMalloc(&p, bytes));
    CHECK(cudaMemset(p, 0xff, bytes));
    return p;
}

static void *from_device(void *device, size_t bytes)
{
    void *host = mem_calloc(1, bytes);
    CHECK(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    CHECK(cudaFree(device));
    return host;
}

/* Numbers of f32, rounded to `type`; x becomes what that type holds. */
static void *to_device(float *x, int64_t n, enum dtype type)
{
    void *narrow = mem_calloc((size_t)n, dtype_bytes(type)), *p;
    dtype_narrow(narrow, x, type, (size_t)n);
    dtype_widen(x, narrow, type, (size_t)n);
    p = on_device(narrow, (size_t)n * dtype_bytes(type));
    free(narrow);
    return p;
}

/* ---- quantize ---- */

enum { ROWS = 7 };

/* Rows of many sizes, and among them what is special. */
static float *rows_of(int64_t K, enum dtype type)
{
    static const int power[ROWS] = {0, -9, 5, 0, -110, 1, 2};
    float *x = mem_calloc((size_t)(ROWS * K), sizeof *x);
    fill_random(x, ROWS * K, (uint64_t)K);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t k = 0; k < K; k++) {
            x[r * K + k] = ldexpf(x[r * K + k], power[r]);
            if (r == 3) x[r * K + k] = k % 2 ? -0.0f : 0.0f;
        }
    if (type == DTYPE_ID_F16) /* -110 is not for it */
        for (int64_t k = 0; k < K; k++) x[4 * K + k] = k % 3 ? 0x1p-24f : -65504.0f;
    x[5 * K + K / 2] = NAN;
    x[6 * K + K - 1] = -INFINITY;
    return x;
}

static void assert_row(const uint8_t *got, float scale, const float *x, int64_t K, int64_t stride)
{
    float most = 0x1p-100f;
    for (int64_t k = 0; k < K; k++) most = fmaxf(most, fabsf(x[k]));
    assert_true(scale == most / 448.0f);
    for (int64_t k = 0; k < stride; k++) {
        uint8_t want = k < K ? e4m3_narrow(x[k] * (448.0f / most)) : 0;
        if (want == 0x7f && got[k] == 0xff) continue; /* NaN has a sign on some devices */
        if (got[k] != want)
            fail_msg("%g of a row up to %g, column %d: code %d and not %d",
                     (double)(k < K ? x[k] : 0), (double)most, (int)k, got[k], want);
    }
}

static void check_quantize(int64_t K, int64_t stride, enum dtype type)
{
    float *x = rows_of(K, type);
    void *dx = to_device(x, ROWS * K, type);
    for (int64_t rows = 1; rows <= ROWS; rows += ROWS - 1) { /* a row alone, and all */
        void *out = unwritten((size_t)(rows * stride));
        float *scale = unwritten((size_t)rows * sizeof *scale);
        CHECK(k_quantize(out, scale, dx, type, rows, K, stride, NULL));
        CHECK(cudaDeviceSynchronize());
        uint8_t *got = from_device(out, (size_t)(rows * stride));
        float *got_scale = from_device(scale, (size_t)rows * sizeof *scale);
        for (int64_t r = 0; r < rows; r++)
            assert_row(got + r * stride, got_scale[r], x + r * K, K, stride);
        free(got);
        free(got_scale);
    }
    CHECK(cudaFree(dx));
    free(x);
}

/* Among them rows that the threads read again, and padded ones. */
static void test_quantize(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 16, 40, 100, 768, 1111, 8200, 16384, 16385, 20000};
    for (size_t t = 0; t < TYPES; t++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            check_quantize(widths[i], (widths[i] + 15) / 16 * 16, types[t]);
    CHECK(k_quantize(NULL, NULL, NULL, DTYPE_ID_BF16, 0, 16, 16, NULL));
}

/* The device's own conversion against the host's: the largest number is 448, so that no number is
 * changed before it. */
static void test_every_bf16(void **state)
{
    (void)state;
    enum { FIRST = 0x3a00, LAST = 0x43e0, K = LAST - FIRST + 1 }; /* 2^-11 to 448 */
    uint16_t half[K];
    float x[K];
    for (int i = 0; i < K; i++) half[i] = (uint16_t)((FIRST + i) | (i % 2 ? 0x8000 : 0));
    dtype_widen(x, half, DTYPE_ID_BF16, K);
    assert_true(x[K - 1] == 448.0f);
    int64_t stride = (K + 15) / 16 * 16;
    void *dx = on_device(half, sizeof half), *out = unwritten((size_t)stride);
    float *scale = unwritten(sizeof *scale);
    CHECK(k_quantize(out, scale, dx, DTYPE_ID_BF16, 1, K, stride, NULL));
    CHECK(cudaDeviceSynchronize());
    uint8_t *got = from_device(out, (size_t)stride);
    float *got_scale = from_device(scale, sizeof *scale);
    assert_true(*got_scale == 1.0f);
    assert_row(got, *got_scale, x, K, stride);
    CHECK(cudaFree(dx));
    free(got);
    free(got_scale);
}

/* ---- scale_rows ---- */

static void check_scale(int64_t T, int64_t N, int64_t stride, enum dtype type, bool has_bias)
{
    float *sum = mem_calloc((size_t)(T * stride), sizeof *sum),
          *row = mem_calloc((size_t)T, sizeof *row),
          *column = mem_calloc((size_t)N, sizeof *column),
          *bias = mem_calloc((size_t)N, sizeof *bias),
          *want = mem_calloc((size_t)(T * N), sizeof *want);
    fill_random(sum, T * stride, 1);
    fill_random(row, T, 2);
    fill_random(column, N, 3);
    fill_random(bias, N, 4);
    for (int64_t t = 0; t < T; t++)
        for (int64_t n = 0; n < N; n++)
            want[t * N + n] =
                sum[t * stride + n] * row[t] * column[n] + (has_bias ? bias[n] : 0.0f);
    void *d_sum = on_device(sum, (size_t)(T * stride) * sizeof *sum),
         *d_row = on_device(row, (size_t)T * sizeof *row),
         *d_column = on_device(column, (size_t)N * sizeof *column),
         *d_bias = on_device(bias, (size_t)N * sizeof *bias);
    size_t bytes = (size_t)(T * N) * dtype_bytes(type);
    bool in_place = type == DTYPE_ID_F32 && stride == N;
    void *out = in_place ? d_sum : unwritten(bytes), *rounded = mem_calloc(1, bytes);
    CHECK(k_scale_rows(out, type, d_sum, stride, d_row, d_column, has_bias ? d_bias : NULL, T, N,
                       NULL));
    CHECK(cudaDeviceSynchronize());
    void *got = from_device(out, bytes);
    dtype_narrow(rounded, want, type, (size_t)(T * N));
    assert_memory_equal(got, rounded, bytes);
    if (!in_place) CHECK(cudaFree(d_sum));
    void *const device[] = {d_row, d_column, d_bias};
    void *const host[] = {sum, row, column, bias, want, rounded, got};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) CHECK(cudaFree(device[i]));
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) free(host[i]);
}

static void test_scale_rows(void **state)
{
    (void)state;
    static const int64_t widths[][2] = {{16, 16}, {5, 16}, {100, 112}, {172, 176}, {2064, 2064}};
    for (size_t t = 0; t < TYPES; t++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            for (int bias = 0; bias < 2; bias++)
                check_scale(3, widths[i][0], widths[i][1], types[t], bias);
    CHECK(k_scale_rows(NULL, DTYPE_ID_F32, NULL, 16, NULL, NULL, NULL, 0, 16, NULL));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_quantize),
    cmocka_unit_test(test_every_bf16),
    cmocka_unit_test(test_scale_rows),
};
RUN_KERNEL_TESTS(tests)
