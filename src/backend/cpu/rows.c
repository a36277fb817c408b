/* Ops on rows and single numbers: embedding, gathering, activations. */
#include "backend/cpu/cpu.h"

#include "base/fmath.h"

#include <string.h>

#define SPAN 4096 /* numbers of one piece of work of a flat op */

CPU_CLONES static void scale_span(float *x, int64_t n, float scale)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] *= scale;
}

void cpu_embed(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
               int64_t vocab_begin, int64_t rows, float scale)
{
    const char *bytes = table;
    const int32_t *token = cpu_of(b)->batch->token;
    size_t row_bytes = (size_t)D * dtype_bytes(b->dtype);
    int threads = threads_for(cpu_of(b), T * D);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < T; t++) {
        int64_t row = token[t] - vocab_begin;
        if (row < 0 || row >= rows) {
            memset(out + t * D, 0, (size_t)D * sizeof *out);
            continue;
        }
        dtype_widen(out + t * D, bytes + (size_t)row * row_bytes, b->dtype, (size_t)D);
        if (scale != 1.0f) scale_span(out + t * D, D, scale);
    }
}

void cpu_gather_rows(struct backend *b, void *out, const void *x, const int32_t *rows, int64_t R,
                     size_t row_bytes)
{
    (void)b;
    for (int64_t r = 0; r < R; r++)
        memcpy((char *)out + (size_t)r * row_bytes, (const char *)x + (size_t)rows[r] * row_bytes,
               row_bytes);
}

CPU_CLONES static void softcap_span(float *x, int64_t n, float cap)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] = cap * fm_tanh(x[i] / cap);
}

FM_INLINE float silu(float x)
{
    return x / (1.0f + fm_exp(-x));
}

FM_INLINE float gelu_tanh(float x)
{
    float inner = 0.79788456f * fmaf(0.044715f * x * x, x, x); /* sqrt(2 / pi) */
    return 0.5f * x * (1.0f + fm_tanh(inner));
}

/* out = act(gate) * up */
CPU_CLONES static void glu_span(float *out, const float *gate, const float *up, int64_t n,
                                enum activation act)
{
    switch (act) {
    case ACT_SILU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = silu(gate[i]) * up[i];
        break;
    case ACT_GELU_TANH:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = gelu_tanh(gate[i]) * up[i];
        break;
    case ACT_RELU:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = (gate[i] < 0.0f ? 0.0f : gate[i]) * up[i];
        break;
    }
}

void cpu_softcap(struct backend *b, float *x, int64_t n, float cap)
{
    int threads = threads_for(cpu_of(b), 4 * n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; i += SPAN) softcap_span(x + i, n - i < SPAN ? n - i : SPAN, cap);
}

void cpu_glu(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
             enum activation act)
{
    const float *in = gate_up;
    int64_t pieces = (F + SPAN - 1) / SPAN;
    int threads = threads_for(cpu_of(b), 4 * T * F);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < T * pieces; i++) {
        int64_t t = i / pieces, f = i % pieces * SPAN, n = F - f < SPAN ? F - f : SPAN;
        const float *gate = in + t * 2 * F + f;
        glu_span((float *)out + t * F + f, gate, gate + F, n, act);
    }
}
