/* Ops on rows: calls of the kernels. */
#include "cuda.h"

#include <string.h>

void cuda_embed(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
                int64_t vocab_begin, int64_t rows, float scale)
{
    const struct cuda_batch *batch = cuda_batch_of(b);
    ENSURE(T == batch->k.T);
    CUDA_CHECK(k_embed(out, table, dtype_beside(b->dtype), batch->k, D, vocab_begin, rows, scale,
                       cuda_of(b)->stream));
}

void cuda_rmsnorm(struct backend *b, void *out, enum dtype out_type, const float *x, const float *w,
                  int64_t T, int64_t D, float eps, float w_offset)
{
    CUDA_CHECK(k_rmsnorm(out, out_type, x, w, T, D, eps, w_offset, cuda_of(b)->stream));
}

void cuda_residual_rmsnorm(struct backend *b, void *out, float *x, const float *delta,
                           const float *w, int64_t T, int64_t D, float eps, float w_offset)
{
    CUDA_CHECK(k_residual_rmsnorm(out, b->activation, x, delta, w, T, D, eps, w_offset,
                                  cuda_of(b)->stream));
}

void cuda_softcap(struct backend *b, float *x, int64_t n, float cap)
{
    CUDA_CHECK(k_softcap(x, n, cap, cuda_of(b)->stream));
}

void cuda_glu(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
              enum activation act)
{
    CUDA_CHECK(k_glu(out, gate_up, b->activation, T, F, act, cuda_of(b)->stream));
}

void cuda_gather_rows(struct backend *b, void *out, const void *x, const int32_t *rows, int64_t R,
                      size_t row_bytes)
{
    struct cuda *cuda = cuda_of(b);
    size_t bytes = (size_t)R * sizeof *rows;
    int32_t *on_device = cuda_need(b, &cuda->rows, bytes);
    cuda_upload(b, on_device, rows, bytes);
    CUDA_CHECK(k_gather_rows(out, x, on_device, R, row_bytes, cuda->stream));
}
