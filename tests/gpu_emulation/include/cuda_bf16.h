/* bfloat16: the upper half of a float.  Conversions round to nearest even; arithmetic is done in
 * f32 and rounded once, as the documentation has it. */
#pragma once

#include <vector_types.h>

#ifdef __cplusplus

#include <cstdint>
#include <cstring>

struct __nv_bfloat16_raw {
    unsigned short x;
};

struct __nv_bfloat16 {
    uint16_t bits;

    __nv_bfloat16() = default;
    __nv_bfloat16(__nv_bfloat16_raw raw) : bits(raw.x) {}
    __nv_bfloat16(float f)
    {
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        if (f != f)
            bits = 0x7fff; /* the one NaN that conversions give */
        else
            bits = static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    operator float() const
    {
        uint32_t u = static_cast<uint32_t>(bits) << 16;
        float f;
        memcpy(&f, &u, sizeof f);
        return f;
    }
};

struct __attribute__((aligned(4))) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 v)
{
    return v;
}
static inline __nv_bfloat16 __float2bfloat16(float f)
{
    return f;
}
static inline __nv_bfloat16 __float2bfloat16_rn(float f)
{
    return f;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v)
{
    return v.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return __nv_bfloat16_raw{bits};
}

static inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
    return {x, y};
}
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
    return {x, y};
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return {x, y};
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 v)
{
    return {v.x, v.y};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return {v.x, v.y};
}
static inline float __low2float(__nv_bfloat162 v)
{
    return v.x;
}
static inline float __high2float(__nv_bfloat162 v)
{
    return v.y;
}
static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v)
{
    return v.x;
}
static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v)
{
    return v.y;
}

#endif
