/* out [T, D] f32 = table[token - vocab_begin] * scale; zeros for a token of another rank.
 * Bytes: D of the table and 4 D of the output a token.  The cpu's bits. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

/* Block: THREADS pieces of 16 bytes of one row of the table. */
template <typename T, bool whole>
static __global__ void embed_kernel(float *out, const T *table, const int32_t *token, int64_t D,
                                    int64_t vocab_begin, int64_t rows, float scale)
{
    constexpr int N = vector_of<T>;
    int64_t t = blockIdx.x;
    int64_t d = (static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x) * N;
    if (d >= D) return;
    int64_t row = token[t] - vocab_begin;
    float v[N] = {0};
    if (row >= 0 && row < rows) load_some<whole>(v, table + row * D + d, D - d);
#pragma unroll
    for (int i = 0; i < N; i++) v[i] *= scale;
    store_some<whole>(out + t * D + d, v, D - d);
}

extern "C" cudaError_t k_embed(float *out, const void *table, enum dtype table_type,
                               struct k_batch batch, int64_t D, int64_t vocab_begin, int64_t rows,
                               float scale, cudaStream_t stream)
{
    if (batch.T == 0) return cudaSuccess;
    bool whole = is_whole(D, table_type) && is_aligned(out) && is_aligned(table);
    return launch_for(table_type, whole, [&](auto type, auto is_whole) {
        using T = typename decltype(type)::type;
        LAUNCH((embed_kernel<T, decltype(is_whole)::value>),
               grid_of_rows(batch.T, D, THREADS * vector_of<T>), THREADS, 0, stream, out,
               static_cast<const T *>(table), batch.token, D, vocab_begin, rows, scale);
    });
}
