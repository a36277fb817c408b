/* The vector types of CUDA, with its alignments, for C and C++. */
#pragma once

#include <stdint.h>

#define GPU_VECTOR_2(name, type, bytes)                                                            \
    typedef struct __attribute__((aligned(bytes))) name {                                          \
        type x, y;                                                                                 \
    } name
#define GPU_VECTOR_3(name, type)                                                                   \
    typedef struct name {                                                                          \
        type x, y, z;                                                                              \
    } name
#define GPU_VECTOR_4(name, type, bytes)                                                            \
    typedef struct __attribute__((aligned(bytes))) name {                                          \
        type x, y, z, w;                                                                           \
    } name

GPU_VECTOR_2(uchar2, unsigned char, 2);
GPU_VECTOR_4(uchar4, unsigned char, 4);
GPU_VECTOR_2(ushort2, unsigned short, 4);
GPU_VECTOR_4(ushort4, unsigned short, 8);
GPU_VECTOR_2(int2, int, 8);
GPU_VECTOR_3(int3, int);
GPU_VECTOR_4(int4, int, 16);
GPU_VECTOR_2(uint2, unsigned int, 8);
GPU_VECTOR_3(uint3, unsigned int);
GPU_VECTOR_4(uint4, unsigned int, 16);
GPU_VECTOR_2(float2, float, 8);
GPU_VECTOR_3(float3, float);
GPU_VECTOR_4(float4, float, 16);
GPU_VECTOR_2(double2, double, 16);
GPU_VECTOR_2(longlong2, long long, 16);
GPU_VECTOR_2(ulonglong2, unsigned long long, 16);

#undef GPU_VECTOR_2
#undef GPU_VECTOR_3
#undef GPU_VECTOR_4

typedef struct dim3 {
    unsigned int x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned int a = 1, unsigned int b = 1, unsigned int c = 1) : x(a), y(b), z(c) {}
#endif
} dim3;
