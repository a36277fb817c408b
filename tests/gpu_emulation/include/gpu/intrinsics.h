/* What CUDA C++ offers a single thread: atomics, arithmetic, bits. */
#pragma once

#include "launch.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

/* ---- atomics: as threads change only where they meet, plain accesses ---- */

namespace gpu
{

template <typename T, typename F> __attribute__((no_sanitize_thread)) T atomic(T *p, F change)
{
    perhaps_yield();
    T old = *p;
    *p = change(old);
    return old;
}

} // namespace gpu

#define GPU_ATOMIC(name, type, expression)                                                         \
    static inline type name(type *p, type v)                                                       \
    {                                                                                              \
        return gpu::atomic(p, [v]([[maybe_unused]] type old) -> type { return expression; });      \
    }
#define GPU_ATOMIC_INTEGER(type)                                                                   \
    GPU_ATOMIC(atomicMax, type, old > v ? old : v)                                                 \
    GPU_ATOMIC(atomicMin, type, old < v ? old : v)                                                 \
    GPU_ATOMIC(atomicAnd, type, old &v)                                                            \
    GPU_ATOMIC(atomicOr, type, old | v)                                                            \
    GPU_ATOMIC(atomicXor, type, old ^ v)                                                           \
    GPU_ATOMIC(atomicExch, type, v)                                                                \
    static inline type atomicCAS(type *p, type expected, type v)                                   \
    {                                                                                              \
        return gpu::atomic(p, [=](type old) { return old == expected ? v : old; });                \
    }

/* Signed sums wrap, as the hardware's do. */
GPU_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(v)))
GPU_ATOMIC(atomicSub, int, static_cast<int>(static_cast<unsigned>(old) - static_cast<unsigned>(v)))
GPU_ATOMIC(atomicAdd, unsigned, old + v)
GPU_ATOMIC(atomicSub, unsigned, old - v)
GPU_ATOMIC(atomicAdd, unsigned long long, old + v)
GPU_ATOMIC(atomicAdd, float, old + v)
GPU_ATOMIC(atomicAdd, double, old + v)
GPU_ATOMIC(atomicExch, float, v)
GPU_ATOMIC(atomicInc, unsigned, old >= v ? 0 : old + 1)
GPU_ATOMIC_INTEGER(int)
GPU_ATOMIC_INTEGER(unsigned)
GPU_ATOMIC_INTEGER(unsigned long long)

#undef GPU_ATOMIC
#undef GPU_ATOMIC_INTEGER

/* ---- bits ---- */

static inline unsigned __float_as_uint(float f)
{
    unsigned u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float __uint_as_float(unsigned u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline int __float_as_int(float f)
{
    return static_cast<int>(__float_as_uint(f));
}
static inline float __int_as_float(int i)
{
    return __uint_as_float(static_cast<unsigned>(i));
}
static inline int __ffs(int i)
{
    return __builtin_ffs(i);
}
static inline int __ffsll(long long i)
{
    return __builtin_ffsll(i);
}
static inline int __popc(unsigned u)
{
    return __builtin_popcount(u);
}
static inline int __popcll(unsigned long long u)
{
    return __builtin_popcountll(u);
}
static inline int __clz(int i)
{
    return i ? __builtin_clz(static_cast<unsigned>(i)) : 32;
}
static inline int __clzll(long long i)
{
    return i ? __builtin_clzll(static_cast<unsigned long long>(i)) : 64;
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

/* ---- loads and stores with a cache policy ---- */

template <typename T> T __ldg(const T *p)
{
    return *p;
}
template <typename T> T __ldcs(const T *p)
{
    return *p;
}
template <typename T> T __ldcg(const T *p)
{
    return *p;
}
template <typename T> void __stcs(T *p, T v)
{
    *p = v;
}
template <typename T> void __stcg(T *p, T v)
{
    *p = v;
}

/* ---- arithmetic: IEEE, never contracted; approximations are the exact functions here ---- */

static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fsub_rn(float a, float b)
{
    return a - b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
static inline float __frcp_rn(float a)
{
    return 1.0f / a;
}
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float __saturatef(float a)
{
    return a > 0 ? a < 1 ? a : 1.0f : 0.0f;
}
static inline float gpu_rsqrtf(float a)
{
    return 1.0f / sqrtf(a);
}
/* The host's are calls, as they may meet NaN. */
static inline float gpu_fmaxf(float a, float b)
{
    return a > b || b != b ? a : b;
}
static inline float gpu_fminf(float a, float b)
{
    return a < b || b != b ? a : b;
}
/* Names that a host's <cmath> may have declared otherwise. */
#define rsqrtf  gpu_rsqrtf
#define fmaxf   gpu_fmaxf
#define fminf   gpu_fminf
#define __expf  expf
#define __logf  logf
#define __log2f log2f

/* To integers: what does not fit becomes the nearest that does, NaN becomes 0. */
static inline int __float2int_rz(float a)
{
    if (!(a == a)) return 0;
    return a >= 2147483648.0f ? INT32_MAX : a < -2147483648.0f ? INT32_MIN : static_cast<int>(a);
}
static inline int __float2int_rn(float a)
{
    return __float2int_rz(rintf(a));
}
static inline int __float2int_rd(float a)
{
    return __float2int_rz(floorf(a));
}
static inline int __float2int_ru(float a)
{
    return __float2int_rz(ceilf(a));
}
static inline unsigned __float2uint_rz(float a)
{
    if (!(a > 0)) return 0;
    return a >= 4294967296.0f ? UINT32_MAX : static_cast<unsigned>(a);
}
static inline unsigned __float2uint_rn(float a)
{
    return __float2uint_rz(rintf(a));
}
static inline float __int2float_rn(int a)
{
    return static_cast<float>(a);
}
static inline float __uint2float_rn(unsigned a)
{
    return static_cast<float>(a);
}

#define GPU_MIN_MAX(type)                                                                          \
    static inline type min(type a, type b)                                                         \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline type max(type a, type b)                                                         \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
GPU_MIN_MAX(int)
GPU_MIN_MAX(unsigned)
GPU_MIN_MAX(long)
GPU_MIN_MAX(unsigned long)
GPU_MIN_MAX(long long)
GPU_MIN_MAX(unsigned long long)
#undef GPU_MIN_MAX
static inline float min(float a, float b)
{
    return fminf(a, b);
}
static inline float max(float a, float b)
{
    return fmaxf(a, b);
}
