/* RMSNorm.  The sum of squares runs in 16 lanes (column i in lane i mod 16), added at the end as a
 * tree: the same bits at every vector width. */
#include "backend/cpu/cpu.h"

#include <math.h>

#define LANES 16

CPU_CLONES static float sum_of_squares(const float *x, int64_t n)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) lane[j] = fmaf(x[i + j], x[i + j], lane[j]);
    }
    for (int j = 0; i + j < n; j++) lane[j] = fmaf(x[i + j], x[i + j], lane[j]);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

CPU_CLONES static void scale_row(float *out, const float *x, const float *w, int64_t n, float r,
                                 float w_offset)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * r * (w[i] + w_offset);
}

CPU_CLONES static void add_row(float *x, const float *delta, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] += delta[i];
}

void norm_row(float *out, const float *x, const float *w, int64_t n, float eps, float w_offset)
{
    float r = 1.0f / sqrtf(sum_of_squares(x, n) / (float)n + eps);
    scale_row(out, x, w, n, r, w_offset);
}

void cpu_rmsnorm(struct backend *b, void *out, enum dtype out_type, const float *x, const float *w,
                 int64_t T, int64_t D, float eps, float w_offset)
{
    ENSURE(out_type == DTYPE_ID_F32);
    int threads = threads_for(cpu_of(b), T * D);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < T; t++) norm_row((float *)out + t * D, x + t * D, w, D, eps, w_offset);
}

void cpu_residual_rmsnorm(struct backend *b, void *out, float *x, const float *delta,
                          const float *w, int64_t T, int64_t D, float eps, float w_offset)
{
    int threads = threads_for(cpu_of(b), T * D);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < T; t++) {
        add_row(x + t * D, delta + t * D, D);
        norm_row((float *)out + t * D, x + t * D, w, D, eps, w_offset);
    }
}
