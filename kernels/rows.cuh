/* What the kernels over rows share: numbers of `enum dtype` as f32, 16 bytes at a time where they
 * lie so, sums of a block in one fixed order, and the launch of a kernel for a type.
 *
 * An op gives the same bits whichever way its numbers are read: only the instructions differ. */
#pragma once

#include "launch.cuh"

#include "backend/types.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>

#define FULL_WARP 0xffffffffu

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- one number ---- */

static __device__ __forceinline__ float widen(float x)
{
    return x;
}
static __device__ __forceinline__ float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}
static __device__ __forceinline__ float widen(__half x)
{
    return __half2float(x);
}

/* To nearest, ties to even. */
template <typename T> static __device__ __forceinline__ T narrow(float x)
{
    if constexpr (std::is_same_v<T, __nv_bfloat16>)
        return __float2bfloat16_rn(x);
    else if constexpr (std::is_same_v<T, __half>)
        return __float2half_rn(x);
    else
        return x;
}

/* ---- N numbers ---- */

/* As many as one access of 16 bytes takes. */
template <typename T> constexpr int vector_of = 16 / static_cast<int>(sizeof(T));

/* The access of N numbers: 8 bytes, or pieces of 16. */
template <typename T, int N> using access_of = std::conditional_t<N * sizeof(T) == 8, uint2, uint4>;

/* p aligned to 16 bytes (8 where all N take no more). */
template <typename T, int N>
static __device__ __forceinline__ void load_vector(float (&v)[N], const T *p)
{
    using access = access_of<T, N>;
    static_assert(N * sizeof(T) % sizeof(access) == 0, "whole accesses");
    constexpr int n = sizeof(access) / sizeof(T);
#pragma unroll
    for (int i = 0; i < N; i += n) {
        access bits = *reinterpret_cast<const access *>(p + i);
        T x[n];
        memcpy(x, &bits, sizeof bits);
#pragma unroll
        for (int j = 0; j < n; j++) v[i + j] = widen(x[j]);
    }
}

/* 32 bits of a vector. */
template <typename T> static __device__ __forceinline__ uint32_t word_of(const float *v)
{
    uint32_t word;
    if constexpr (std::is_same_v<T, __nv_bfloat16>) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(v[0], v[1]);
        memcpy(&word, &pair, sizeof word);
    } else if constexpr (std::is_same_v<T, __half>) {
        __half2 pair = __floats2half2_rn(v[0], v[1]);
        memcpy(&word, &pair, sizeof word);
    } else {
        word = __float_as_uint(v[0]);
    }
    return word;
}

/* As load_vector.  Past L1, which also keeps the compiler from taking an access apart. */
template <typename T, int N>
static __device__ __forceinline__ void store_vector(T *p, const float (&v)[N])
{
    using access = access_of<T, N>;
    static_assert(N * sizeof(T) % sizeof(access) == 0, "whole accesses");
    constexpr int n = sizeof(access) / sizeof(T), word = 4 / sizeof(T);
#pragma unroll
    for (int i = 0; i < N; i += n) {
        const float *x = v + i;
        access bits;
        bits.x = word_of<T>(x);
        bits.y = word_of<T>(x + word);
        if constexpr (sizeof(access) == 16) {
            bits.z = word_of<T>(x + 2 * word);
            bits.w = word_of<T>(x + 3 * word);
        }
        __stcg(reinterpret_cast<access *>(p + i), bits);
    }
}

/* Of the N numbers at p those below `n` (the rest: 0); `whole`: N of them, aligned as above. */
template <bool whole, typename T, int N>
static __device__ __forceinline__ void load_some(float (&v)[N], const T *p, int64_t n)
{
    if constexpr (whole) {
        load_vector(v, p);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = i < n ? widen(p[i]) : 0.0f;
    }
}

template <bool whole, typename T, int N>
static __device__ __forceinline__ void store_some(T *p, const float (&v)[N], int64_t n)
{
    if constexpr (whole) {
        store_vector(p, v);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++)
            if (i < n) p[i] = narrow<T>(v[i]);
    }
}

static inline bool is_aligned(const void *p)
{
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/* ---- sums: neighbours first, then neighbours of neighbours; every lane has the same bits ---- */

/* Over the `lanes` (a power of two) lanes that share lane / lanes.  All of the warp call. */
static __device__ __forceinline__ float sum_of_lanes(float x, int lanes)
{
    for (int bit = 1; bit < lanes; bit *= 2) x += __shfl_xor_sync(FULL_WARP, x, bit);
    return x;
}

/* Over the block: its threads a multiple of 32; all call.  Once per kernel: the shared memory is
 * not free again. */
static __device__ __forceinline__ float sum_of_block(float x)
{
    __shared__ float of_warp[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = sum_of_lanes(x, 32);
    if (lane == 0) of_warp[warp] = x;
    __syncthreads();
    return sum_of_lanes(lane < warps ? of_warp[lane] : 0.0f, 32);
}

/* ---- launching ---- */

/* Blocks (row, piece of the row): each does `per_block` of a row's n numbers. */
static inline dim3 grid_of_rows(int64_t rows, int64_t n, int64_t per_block)
{
    return dim3(static_cast<unsigned>(rows), static_cast<unsigned>(ceil_div(n, per_block)));
}

/* n numbers of type t, from a place aligned to 16 bytes on, end at such a place too. */
static inline bool is_whole(int64_t n, enum dtype t)
{
    return n % (t == DTYPE_ID_F32 ? vector_of<float> : vector_of<__half>) == 0;
}

template <typename T> struct type_tag {
    using type = T;
};

/* launch(type_tag<T>{}, std::bool_constant<whole>{}) with T the type that `t` names. */
template <typename F> static inline cudaError_t launch_for(enum dtype t, bool whole, F launch)
{
    auto launch_type = [&](auto type) {
        if (whole)
            launch(type, std::true_type{});
        else
            launch(type, std::false_type{});
    };
    switch (t) {
    case DTYPE_ID_F32:
        launch_type(type_tag<float>{});
        break;
    case DTYPE_ID_BF16:
        launch_type(type_tag<__nv_bfloat16>{});
        break;
    case DTYPE_ID_F16:
        launch_type(type_tag<__half>{});
        break;
    default:
        return cudaErrorInvalidValue;
    }
    return cudaGetLastError();
}
