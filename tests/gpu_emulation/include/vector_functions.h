/* make_float4 and its like. */
#pragma once

#include <vector_types.h>

#define GPU_MAKE_2(name, type)                                                                     \
    static inline name make_##name(type x, type y)                                                 \
    {                                                                                              \
        return name{x, y};                                                                         \
    }
#define GPU_MAKE_3(name, type)                                                                     \
    static inline name make_##name(type x, type y, type z)                                         \
    {                                                                                              \
        return name{x, y, z};                                                                      \
    }
#define GPU_MAKE_4(name, type)                                                                     \
    static inline name make_##name(type x, type y, type z, type w)                                 \
    {                                                                                              \
        return name{x, y, z, w};                                                                   \
    }

GPU_MAKE_2(uchar2, unsigned char)
GPU_MAKE_4(uchar4, unsigned char)
GPU_MAKE_2(ushort2, unsigned short)
GPU_MAKE_4(ushort4, unsigned short)
GPU_MAKE_2(int2, int)
GPU_MAKE_3(int3, int)
GPU_MAKE_4(int4, int)
GPU_MAKE_2(uint2, unsigned int)
GPU_MAKE_3(uint3, unsigned int)
GPU_MAKE_4(uint4, unsigned int)
GPU_MAKE_2(float2, float)
GPU_MAKE_3(float3, float)
GPU_MAKE_4(float4, float)
GPU_MAKE_2(double2, double)
GPU_MAKE_2(longlong2, long long)
GPU_MAKE_2(ulonglong2, unsigned long long)

#undef GPU_MAKE_2
#undef GPU_MAKE_3
#undef GPU_MAKE_4
