/* out [T, N] = sum [T, stride] * row_scale [T] * column_scale [N] + bias [N], in f32, rounded once:
 * what a product of quantised rows and columns leaves to do.
 *
 * A kernel of its own since cuBLASLt multiplies by such scales (OUTER_VEC_32F) on sm_90 alone, not
 * on sm_89 and not on sm_100 or later.  What that costs: the product writes 4 bytes for each number
 * of out and this kernel reads them, 8 bytes more than a product that ends so by itself; while
 * 4 T N bytes fit the second-level cache they do not reach memory.  Bytes: 4 read and one number of
 * out written, for each number. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

/* Block: THREADS pieces of 16 bytes of one row of out. */
template <typename T, bool whole>
static __global__ void scale_rows_kernel(T *out, const float *sum, int64_t stride,
                                         const float *row_scale, const float *column_scale,
                                         const float *bias, int64_t N)
{
    constexpr int n = vector_of<T>;
    int64_t t = blockIdx.x;
    int64_t i = (static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x) * n;
    if (i >= N) return;
    float v[n], by[n], b[n] = {}, row = row_scale[t];
    load_some<whole>(v, sum + t * stride + i, N - i);
    load_some<whole>(by, column_scale + i, N - i);
    if (bias) load_some<whole>(b, bias + i, N - i);
#pragma unroll
    for (int j = 0; j < n; j++) v[j] = v[j] * row * by[j] + b[j];
    store_some<whole>(out + t * N + i, v, N - i);
}

extern "C" cudaError_t k_scale_rows(void *out, enum dtype out_type, const float *sum,
                                    int64_t stride, const float *row_scale,
                                    const float *column_scale, const float *bias, int64_t T,
                                    int64_t N, cudaStream_t stream)
{
    if (T == 0) return cudaSuccess;
    bool whole = is_whole(N, out_type) && stride % vector_of<float> == 0 && is_aligned(out) &&
                 is_aligned(sum) && is_aligned(column_scale) && (!bias || is_aligned(bias));
    return launch_for(out_type, whole, [&](auto type, auto is_whole) {
        using A = typename decltype(type)::type;
        LAUNCH((scale_rows_kernel<A, decltype(is_whole)::value>),
               grid_of_rows(T, N, THREADS * vector_of<A>), THREADS, 0, stream,
               static_cast<A *>(out), sum, stride, row_scale, column_scale, bias, N);
    });
}
