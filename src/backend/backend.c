#include "backend/backend.h"

#include "backend/e4m3.h"

#include <string.h>

size_t dtype_bytes(enum dtype d)
{
    switch (d) {
    case DTYPE_ID_F32:
        return 4;
    case DTYPE_ID_BF16:
    case DTYPE_ID_F16:
        return 2;
    case DTYPE_ID_FP8:
        return 1;
    case DTYPE_NONE:
        break;
    }
    return 0;
}

const char *dtype_name(enum dtype d)
{
    switch (d) {
    case DTYPE_ID_F32:
        return "f32";
    case DTYPE_ID_BF16:
        return "bf16";
    case DTYPE_ID_F16:
        return "f16";
    case DTYPE_ID_FP8:
        return "fp8";
    case DTYPE_NONE:
        break;
    }
    return "none";
}

enum dtype dtype_beside(enum dtype d)
{
    return d == DTYPE_ID_FP8 ? DTYPE_ID_BF16 : d;
}

size_t dtype_matrix_bytes(enum dtype d, int64_t N, int64_t K)
{
    if (d != DTYPE_ID_FP8) return (size_t)N * (size_t)K * dtype_bytes(d);
    size_t rows = ((size_t)N + 15) / 16 * 16, columns = ((size_t)K + 15) / 16 * 16;
    return rows * (columns + sizeof(float));
}

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static float f16_widen(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, mantissa = h & 0x3ffu;
    int exponent = (h >> 10) & 31;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent) return from_bits(sign | (uint32_t)(exponent + 112) << 23 | mantissa << 13);
    float subnormal = (float)mantissa * 5.9604644775390625e-8f; /* 2^-24 */
    return sign ? -subnormal : subnormal;
}

void dtype_widen(float *out, const void *in, enum dtype from, size_t n)
{
    const uint16_t *half = in;
    const uint8_t *quarter = in;
    switch (from) {
    case DTYPE_ID_F32:
        memcpy(out, in, n * sizeof *out);
        break;
    case DTYPE_ID_BF16:
        for (size_t i = 0; i < n; i++) out[i] = from_bits((uint32_t)half[i] << 16);
        break;
    case DTYPE_ID_F16:
        for (size_t i = 0; i < n; i++) out[i] = f16_widen(half[i]);
        break;
    case DTYPE_ID_FP8:
        for (size_t i = 0; i < n; i++) out[i] = e4m3_widen(quarter[i]);
        break;
    case DTYPE_NONE:
        DIE("no such type of number");
    }
}

static uint32_t to_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static uint16_t bf16_narrow(float x)
{
    uint32_t u = to_bits(x);
    if (x != x) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static uint16_t f16_narrow(float x)
{
    uint32_t u = to_bits(x), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more */
    if (magnitude < 0x38800000u) { /* below 2^-14: the sum's last bit is worth 2^-24 */
        float shifted = from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (to_bits(shifted) - 0x3f000000u));
    }
    uint32_t near = magnitude - 0x38000000u;
    return (uint16_t)(sign | (near + 0xfffu + (near >> 13 & 1u)) >> 13);
}

void dtype_narrow(void *out, const float *in, enum dtype to, size_t n)
{
    uint16_t *half = out;
    uint8_t *quarter = out;
    switch (to) {
    case DTYPE_ID_F32:
        memcpy(out, in, n * sizeof *in);
        break;
    case DTYPE_ID_BF16:
        for (size_t i = 0; i < n; i++) half[i] = bf16_narrow(in[i]);
        break;
    case DTYPE_ID_F16:
        for (size_t i = 0; i < n; i++) half[i] = f16_narrow(in[i]);
        break;
    case DTYPE_ID_FP8:
        for (size_t i = 0; i < n; i++) quarter[i] = e4m3_narrow(in[i]);
        break;
    case DTYPE_NONE:
        DIE("no such type of number");
    }
}

void backend_destroy(struct backend *b)
{
    if (b) b->ops->destroy(b);
}
