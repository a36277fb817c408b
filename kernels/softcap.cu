/* x [n] f32 = cap * tanh(x / cap), in place.  The cpu's bits. */
#include "kernels.h"
#include "rows.cuh"

#include "base/fmath.h"

#define THREADS 256

template <bool whole> static __global__ void softcap_kernel(float *x, int64_t n, float cap)
{
    constexpr int N = vector_of<float>;
    int64_t i = (static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x) * N;
    if (i >= n) return;
    float v[N];
    load_some<whole>(v, x + i, n - i);
#pragma unroll
    for (int j = 0; j < N; j++) v[j] = cap * fm_tanh(v[j] / cap);
    store_some<whole>(x + i, v, n - i);
}

extern "C" cudaError_t k_softcap(float *x, int64_t n, float cap, cudaStream_t stream)
{
    if (n == 0) return cudaSuccess;
    constexpr int N = vector_of<float>;
    dim3 grid(static_cast<unsigned>(ceil_div(n, THREADS * N)));
    if (n % N == 0 && is_aligned(x))
        LAUNCH(softcap_kernel<true>, grid, THREADS, 0, stream, x, n, cap);
    else
        LAUNCH(softcap_kernel<false>, grid, THREADS, 0, stream, x, n, cap);
    return cudaGetLastError();
}
