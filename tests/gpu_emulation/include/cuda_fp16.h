/* IEEE binary16.  Conversions round to nearest even; arithmetic is done in f32 and rounded once. */
#pragma once

#include <vector_types.h>

#ifdef __cplusplus

#include <cmath>
#include <cstdint>
#include <cstring>

struct __half_raw {
    unsigned short x;
};

struct __half {
    uint16_t bits;

    __half() = default;
    __half(__half_raw raw) : bits(raw.x) {}
    __half(float f) : bits(from_float(f)) {}
    operator float() const
    {
        uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16, rest = bits & 0x7fff;
        if (rest >= 0x7c00) return of_bits(sign | 0x7f800000 | rest << 13);
        float f = rest >= 0x400 ? of_bits((rest << 13) + (112u << 23))
                                : static_cast<float>(rest) * 0x1p-24f;
        return sign ? -f : f;
    }

  private:
    static float of_bits(uint32_t u)
    {
        float f;
        memcpy(&f, &u, sizeof f);
        return f;
    }
    static uint16_t from_float(float f)
    {
        if (f != f) return 0x7fff; /* the one NaN that conversions give */
        uint16_t sign = std::signbit(f) ? 0x8000 : 0;
        float magnitude = fabsf(f);
        if (magnitude >= 65520.0f) return sign | 0x7c00; /* halfway to 2^16, and beyond */
        /* As a multiple of the last place that this exponent has: an integer after rounding, whose
         * bits are the number's, the carry into the exponent included. */
        int exponent = magnitude < 0x1p-14f ? -14 : ilogbf(magnitude);
        int units = static_cast<int>(rintf(ldexpf(magnitude, 10 - exponent)));
        return static_cast<uint16_t>(sign | (units + ((exponent + 14) << 10)));
    }
};

struct __attribute__((aligned(4))) __half2 {
    __half x, y;
};

static inline float __half2float(__half v)
{
    return v;
}
static inline __half __float2half(float f)
{
    return f;
}
static inline __half __float2half_rn(float f)
{
    return f;
}
static inline unsigned short __half_as_ushort(__half v)
{
    return v.bits;
}
static inline __half __ushort_as_half(unsigned short bits)
{
    return __half_raw{bits};
}

static inline __half2 make_half2(__half x, __half y)
{
    return {x, y};
}
static inline __half2 __halves2half2(__half x, __half y)
{
    return {x, y};
}
static inline __half2 __floats2half2_rn(float x, float y)
{
    return {x, y};
}
static inline __half2 __float22half2_rn(float2 v)
{
    return {v.x, v.y};
}
static inline float2 __half22float2(__half2 v)
{
    return {v.x, v.y};
}
static inline float __low2float(__half2 v)
{
    return v.x;
}
static inline float __high2float(__half2 v)
{
    return v.y;
}
static inline __half __low2half(__half2 v)
{
    return v.x;
}
static inline __half __high2half(__half2 v)
{
    return v.y;
}

#endif
