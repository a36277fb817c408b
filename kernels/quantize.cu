/* out [rows, stride] e4m3 = x [rows, K] / scale, scale [rows] f32 = amax / 448 with amax the row's
 * largest magnitude; zeros in columns beyond K.
 *
 * What makes a row's bits: amax, which is the same in any order, and e4m3_narrow(x * (448 / amax))
 * number by number.  An amax below 2^-100 (a row of zeros) counts as 2^-100, so that no quotient
 * overflows.  NaN stays NaN and does not count; a row with an infinity has the scale infinity and
 * NaN in its place: its products are NaN.
 *
 * One block a row.  A thread has the columns 8 (thread + j threads) + {0..7}; rows beyond KEPT
 * numbers are read again.  Bytes: x once, a byte for each number, four for each row. */
#include "kernels.h"
#include "ptx.cuh"
#include "rows.cuh"

#define THREADS 1024 /* at most */
#define N       8    /* numbers of a vector */
#define VECTORS 2    /* that a thread keeps in registers */
#define KEPT    (N * VECTORS * THREADS)
#define LEAST   0x1p-100f /* of amax */

/* The largest of the block's numbers, in every thread; all call, once. */
static __device__ __forceinline__ float most_of_block(float x)
{
    __shared__ float of_warp[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (int bit = 1; bit < 32; bit *= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, bit));
    if (lane == 0) of_warp[warp] = x;
    __syncthreads();
    x = lane < warps ? of_warp[lane] : 0.0f;
    for (int bit = 1; bit < 32; bit *= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, bit));
    return x;
}

static __device__ __forceinline__ float most_of_vector(float most, const float (&v)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) most = fmaxf(most, fabsf(v[i])); /* fmaxf passes over NaN */
    return most;
}

static __device__ __forceinline__ void store_quantized(uint8_t *out, const float (&v)[N], float by)
{
    uint32_t word[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const float *x = v + 4 * i;
        word[i] = e4m3_pair(x[0] * by, x[1] * by) | e4m3_pair(x[2] * by, x[3] * by) << 16;
    }
    __stcg(reinterpret_cast<uint2 *>(out), make_uint2(word[0], word[1]));
}

template <typename T, bool whole>
static __global__ void __launch_bounds__(THREADS)
    quantize_kernel(uint8_t *out, float *scale, const T *x, int64_t K, int64_t stride)
{
    int64_t step = static_cast<int64_t>(N) * blockDim.x,
            first = static_cast<int64_t>(N) * threadIdx.x;
    int64_t beyond = first + VECTORS * step;
    x += static_cast<int64_t>(blockIdx.x) * K;
    out += static_cast<int64_t>(blockIdx.x) * stride;

    float kept[VECTORS][N] = {}, most = 0.0f;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        int64_t k = first + j * step;
        if (k < K) load_some<whole>(kept[j], x + k, K - k);
    }
#pragma unroll
    for (int j = 0; j < VECTORS; j++) most = most_of_vector(most, kept[j]);
    for (int64_t k = beyond; k < K; k += step) {
        float v[N];
        load_some<whole>(v, x + k, K - k);
        most = most_of_vector(most, v);
    }
    most = fmaxf(most_of_block(most), LEAST);
    if (threadIdx.x == 0) scale[blockIdx.x] = most / E4M3_MOST;
    float by = E4M3_MOST / most;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        int64_t k = first + j * step;
        if (k < stride) store_quantized(out + k, kept[j], by);
    }
    for (int64_t k = beyond; k < stride; k += step) {
        float v[N] = {};
        if (k < K) load_some<whole>(v, x + k, K - k);
        store_quantized(out + k, v, by);
    }
}

extern "C" cudaError_t k_quantize(void *out, float *scale, const void *x, enum dtype x_type,
                                  int64_t rows, int64_t K, int64_t stride, cudaStream_t stream)
{
    if (rows == 0) return cudaSuccess;
    int64_t threads = ceil_div(ceil_div(stride, N), 32) * 32;
    if (threads > THREADS) threads = THREADS;
    return launch_for(x_type, K % N == 0 && is_aligned(x), [&](auto type, auto is_whole) {
        using A = typename decltype(type)::type;
        LAUNCH((quantize_kernel<A, decltype(is_whole)::value>), dim3(static_cast<unsigned>(rows)),
               dim3(static_cast<unsigned>(threads)), 0, stream, static_cast<uint8_t *>(out), scale,
               static_cast<const A *>(x), K, stride);
    });
}
