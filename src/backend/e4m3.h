/* Numbers of 8 bits: sign, 4 bits of exponent (bias 7), 3 of fraction, as OCP's E4M3 has them: no
 * infinities, one NaN of either sign (0x7f), largest 448, subnormals in steps of 2^-9.  Host and
 * kernels share these two functions; tests/golden/test_e4m3.c tries every number of f32. */
#pragma once

#include "base/fmath.h"

#define E4M3_MOST 448.0f

/* To nearest, ties to even; beyond 448, infinity included, the largest of its sign; NaN: 0x7f. */
FM_INLINE uint8_t e4m3_narrow(float x)
{
    uint32_t u = fm_bits(x), sign = u >> 24 & 0x80u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fu;
    if (magnitude >= 0x43e00000u) return (uint8_t)(sign | 0x7eu);
    if (magnitude < 0x3c800000u) { /* below 2^-6: the last bit of a sum with 2^14 is worth 2^-9 */
        float shifted = fm_from_bits(magnitude) + 16384.0f;
        return (uint8_t)(sign | (fm_bits(shifted) - 0x46800000u));
    }
    uint32_t near = magnitude - (120u << 23); /* the bias becomes 7 */
    return (uint8_t)(sign | (near + 0x7ffffu + (near >> 20 & 1u)) >> 20);
}

/* Exact. */
FM_INLINE float e4m3_widen(uint8_t v)
{
    uint32_t sign = (uint32_t)(v & 0x80u) << 24, magnitude = v & 0x7fu;
    if (magnitude == 0x7fu) return fm_from_bits(sign | 0x7fc00000u);
    if (magnitude >= 8) return fm_from_bits(sign | ((magnitude << 20) + (120u << 23)));
    float subnormal = (float)magnitude * 0.001953125f; /* 2^-9 */
    return sign ? -subnormal : subnormal;
}
