/* What a .cu file sees of CUDA when the host's compiler compiles it for the emulated GPU. */
#pragma once

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include "gpu/intrinsics.h"
#include "gpu/launch.h"
#include "gpu/warp.h"

/* As nvcc has it: with a kernel, a pointer to a pointer of any type. */
template <typename... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value)
{
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

template <typename... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void (*kernel)(P...),
                                                          int block_threads, size_t shared_bytes)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks, reinterpret_cast<const void *>(kernel), block_threads, shared_bytes);
}

template <typename T> cudaError_t cudaMalloc(T **p, size_t bytes)
{
    return cudaMalloc(reinterpret_cast<void **>(p), bytes);
}

template <typename T> cudaError_t cudaMallocHost(T **p, size_t bytes)
{
    return cudaMallocHost(reinterpret_cast<void **>(p), bytes);
}
