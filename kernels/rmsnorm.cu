/* out = x / sqrt(mean(x^2) + eps) * (w + w_offset), after x += delta where there is one.
 *
 * One block a row.  A thread has the columns 4 (thread + j threads) + {0..3}, j = 0, 1, ...,
 * squared and added in this order; then the threads' sums (sum_of_block).  How many threads depends
 * on D alone, so a row's bits do too. Bytes: x, delta and out once each (x twice with delta); rows
 * beyond KEPT numbers are read again. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 1024 /* at most */
#define VECTORS 4    /* that a thread keeps in registers */
#define KEPT    (4 * VECTORS * THREADS)

static __device__ __forceinline__ void scale(float (&v)[4], const float (&w)[4], float r,
                                             float w_offset)
{
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = v[i] * r * (w[i] + w_offset);
}

static __device__ __forceinline__ void add(float (&v)[4], const float (&more)[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] += more[i];
}

static __device__ __forceinline__ float add_squares(float sum, const float (&v)[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++) sum = fmaf(v[i], v[i], sum);
    return sum;
}

template <typename T, bool residual, bool whole>
static __global__ void __launch_bounds__(THREADS)
    rmsnorm_kernel(T *out, float *x, const float *delta, const float *w, int64_t D, float eps,
                   float w_offset)
{
    int64_t row = static_cast<int64_t>(blockIdx.x) * D, stride = 4 * blockDim.x;
    int64_t first = 4 * threadIdx.x, beyond = first + VECTORS * stride;
    out += row;
    x += row;
    if (residual) delta += row;

    float kept[VECTORS][4] = {}, more[VECTORS][4] = {}, weight[VECTORS][4] = {}, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) { /* all loads on their way before the first is needed */
        int64_t d = first + j * stride;
        if (d < D) load_some<whole>(kept[j], x + d, D - d);
        if (residual && d < D) load_some<whole>(more[j], delta + d, D - d);
        if (d < D) load_some<whole>(weight[j], w + d, D - d);
    }
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        int64_t d = first + j * stride;
        if (residual) add(kept[j], more[j]);
        if (residual && d < D) store_some<whole>(x + d, kept[j], D - d);
        sum = add_squares(sum, kept[j]);
    }
    for (int64_t d = beyond; d < D; d += stride) {
        float v[4], u[4] = {};
        load_some<whole>(v, x + d, D - d);
        if (residual) load_some<whole>(u, delta + d, D - d);
        if (residual) add(v, u);
        if (residual) store_some<whole>(x + d, v, D - d);
        sum = add_squares(sum, v);
    }
    float r = 1.0f / sqrtf(sum_of_block(sum) / static_cast<float>(D) + eps);
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        int64_t d = first + j * stride;
        scale(kept[j], weight[j], r, w_offset);
        if (d < D) store_some<whole>(out + d, kept[j], D - d);
    }
    for (int64_t d = beyond; d < D; d += stride) {
        float v[4], u[4];
        load_some<whole>(v, x + d, D - d);
        load_some<whole>(u, w + d, D - d);
        scale(v, u, r, w_offset);
        store_some<whole>(out + d, v, D - d);
    }
}

template <bool residual>
static cudaError_t rmsnorm(void *out, enum dtype out_type, float *x, const float *delta,
                           const float *w, int64_t T, int64_t D, float eps, float w_offset,
                           cudaStream_t stream)
{
    if (T == 0) return cudaSuccess;
    int64_t threads = ceil_div(ceil_div(D, 8), 32) * 32; /* two vectors for each */
    if (threads > THREADS) threads = THREADS;
    bool whole = D % 4 == 0 && is_aligned(out) && is_aligned(x) && is_aligned(w) &&
                 (!residual || is_aligned(delta));
    return launch_for(out_type, whole, [&](auto type, auto is_whole) {
        using A = typename decltype(type)::type;
        LAUNCH((rmsnorm_kernel<A, residual, decltype(is_whole)::value>),
               dim3(static_cast<unsigned>(T)), dim3(static_cast<unsigned>(threads)), 0, stream,
               static_cast<A *>(out), x, delta, w, D, eps, w_offset);
    });
}

extern "C" cudaError_t k_rmsnorm(void *out, enum dtype out_type, const float *x, const float *w,
                                 int64_t T, int64_t D, float eps, float w_offset,
                                 cudaStream_t stream)
{
    /* Without delta nothing is written to x. */
    return rmsnorm<false>(out, out_type, const_cast<float *>(x), NULL, w, T, D, eps, w_offset,
                          stream);
}

extern "C" cudaError_t k_residual_rmsnorm(void *out, enum dtype out_type, float *x,
                                          const float *delta, const float *w, int64_t T, int64_t D,
                                          float eps, float w_offset, cudaStream_t stream)
{
    return rmsnorm<true>(out, out_type, x, delta, w, T, D, eps, w_offset, stream);
}
