/* From a shape to the instance of the kernel that serves it; one .cu per type includes this. */
#pragma once

#include "attention_walk.cuh"

namespace attention
{

constexpr int WIDE_WARPS = 4;

/* Whether the device's blocks may have so much shared memory. */
inline cudaError_t device_allows(bool &allows, size_t bytes)
{
    int device, most;
    cudaError_t e = cudaGetDevice(&device);
    if (e == cudaSuccess)
        e = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    allows = e == cudaSuccess && bytes <= (size_t)most;
    return e;
}

/* Calls f.template with<EP>() for the least EP that holds E columns. */
template <typename F> cudaError_t with_columns(int E, F f)
{
    if (E < 8 || E % 8 || E > 256) return cudaErrorInvalidValue;
    if (E <= 16) return f.template with<16>();
    if (E <= 32) return f.template with<32>();
    if (E <= 64) return f.template with<64>();
    if (E <= 96) return f.template with<96>();
    if (E <= 128) return f.template with<128>();
    return f.template with<256>();
}

template <typename T> struct Prepare {
    /* All that a multiprocessor has: several blocks at a time, and nothing is read through L1. */
    template <int EP, int WARPS> static cudaError_t one()
    {
        cudaError_t e = cudaFuncSetAttribute(attention_kernel<T, EP, WARPS>,
                                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             (int)Block<T, EP, WARPS>::SHARED_BYTES);
        if (e != cudaSuccess) return e;
        return cudaFuncSetAttribute(attention_kernel<T, EP, WARPS>,
                                    cudaFuncAttributePreferredSharedMemoryCarveout, 100);
    }
    template <int EP> cudaError_t with() const
    {
        bool wide;
        cudaError_t e = device_allows(wide, Block<T, EP, WIDE_WARPS>::SHARED_BYTES);
        if (e == cudaSuccess) e = one<EP, 1>();
        if (e == cudaSuccess && wide) e = one<EP, WIDE_WARPS>();
        return e;
    }
};

template <typename T> struct Launch {
    const Arguments &a;
    int items, tokens;
    bool wide;
    cudaStream_t stream;

    template <int EP, int WARPS> cudaError_t one() const
    {
        using B = Block<T, EP, WARPS>;
        int rows = tokens * (a.H / a.G);
        dim3 grid((unsigned)items, (unsigned)(a.G * ((rows + B::ROWS - 1) / B::ROWS)));
        LAUNCH((attention_kernel<T, EP, WARPS>), grid, dim3(B::THREADS), B::SHARED_BYTES, stream, a,
               wide);
        return cudaGetLastError();
    }
    template <int EP> cudaError_t with() const
    {
        bool allows = false;
        if (wide) {
            cudaError_t e = device_allows(allows, Block<T, EP, WIDE_WARPS>::SHARED_BYTES);
            if (e != cudaSuccess) return e;
        }
        return allows ? one<EP, WIDE_WARPS>() : one<EP, 1>();
    }
};

/* What each type's .cu defines. */
template <typename T> cudaError_t prepare(int E);
template <typename T>
cudaError_t launch(const Arguments &a, int items, int tokens, bool wide, cudaStream_t stream);

#define ATTENTION_DECLARE(T)                                                                       \
    template <> cudaError_t prepare<T>(int E);                                                     \
    template <>                                                                                    \
    cudaError_t launch<T>(const Arguments &a, int items, int tokens, bool wide,                    \
                          cudaStream_t stream);
ATTENTION_DECLARE(float)
ATTENTION_DECLARE(__nv_bfloat16)
ATTENTION_DECLARE(__half)
#undef ATTENTION_DECLARE

#define ATTENTION_INSTANCES(T)                                                                     \
    template <> cudaError_t attention::prepare<T>(int E)                                           \
    {                                                                                              \
        return with_columns(E, Prepare<T>());                                                      \
    }                                                                                              \
    template <>                                                                                    \
    cudaError_t attention::launch<T>(const Arguments &a, int items, int tokens, bool wide,         \
                                     cudaStream_t stream)                                          \
    {                                                                                              \
        return with_columns(a.E, Launch<T>{a, items, tokens, wide, stream});                       \
    }

} // namespace attention
