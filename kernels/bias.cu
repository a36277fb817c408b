/* out [T, N] = x [T, N] f32 + bias [N] f32, rounded once. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

/* Block: THREADS pieces of 16 bytes of one row. */
template <typename T, bool whole>
static __global__ void add_bias_kernel(T *out, const float *x, const float *bias, int64_t N)
{
    constexpr int n = vector_of<T>;
    int64_t t = blockIdx.x;
    int64_t i = (static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x) * n;
    if (i >= N) return;
    float v[n], b[n];
    load_some<whole>(v, x + t * N + i, N - i);
    load_some<whole>(b, bias + i, N - i);
#pragma unroll
    for (int j = 0; j < n; j++) v[j] += b[j];
    store_some<whole>(out + t * N + i, v, N - i);
}

extern "C" cudaError_t k_add_bias(void *out, enum dtype out_type, const float *x, const float *bias,
                                  int64_t T, int64_t N, cudaStream_t stream)
{
    if (T == 0) return cudaSuccess;
    bool whole = is_whole(N, out_type) && is_aligned(out) && is_aligned(x) && is_aligned(bias);
    return launch_for(out_type, whole, [&](auto type, auto is_whole) {
        using A = typename decltype(type)::type;
        LAUNCH((add_bias_kernel<A, decltype(is_whole)::value>),
               grid_of_rows(T, N, THREADS * vector_of<A>), THREADS, 0, stream,
               static_cast<A *>(out), x, bias, N);
    });
}
