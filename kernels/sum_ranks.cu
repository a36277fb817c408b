/* x [n] = parts[0] + parts[1] + ... of parts [P, n], added in this order: the cpu's bits. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

template <bool whole>
static __global__ void sum_ranks_kernel(float *x, const float *parts, int P, int64_t n)
{
    constexpr int N = vector_of<float>;
    int64_t i = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (i >= n) return;
    float sum[N];
    load_some<whole>(sum, parts + i, n - i);
    for (int p = 1; p < P; p++) {
        float v[N];
        load_some<whole>(v, parts + p * n + i, n - i);
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += v[j];
    }
    store_some<whole>(x + i, sum, n - i);
}

extern "C" cudaError_t k_sum_ranks(float *x, const float *parts, int P, int64_t n,
                                   cudaStream_t stream)
{
    if (n == 0) return cudaSuccess;
    constexpr int N = vector_of<float>;
    dim3 grid(static_cast<unsigned>(ceil_div(n, THREADS * N)));
    if (n % N == 0 && is_aligned(x) && is_aligned(parts))
        LAUNCH(sum_ranks_kernel<true>, grid, THREADS, 0, stream, x, parts, P, n);
    else
        LAUNCH(sum_ranks_kernel<false>, grid, THREADS, 0, stream, x, parts, P, n);
    return cudaGetLastError();
}
