/* How a kernel is declared and launched, on a GPU and on the emulated one (tests/gpu_emulation).
 *
 *     static __global__ void scale_kernel(float *x, float by, int64_t n) { ... }
 *     LAUNCH(scale_kernel, grid, block, 0, stream, x, 2.0f, n);
 *     LAUNCH((other_kernel<__half, 4>), grid, block, shared_bytes, stream, x, n);
 *     return cudaGetLastError();
 *
 * Nothing else in a .cu file is static: the emulation fills a file's static variables, which it
 * takes for `__shared__` ones, with 0xff before each block.
 * More than 48 KiB of dynamic shared memory has to be asked for first, on both:
 * cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes). */
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

#ifdef SPECREJ_EMULATED

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    gpu::launch(#kernel, grid, block, shared_bytes, stream, kernel, ##__VA_ARGS__)

/* The block's dynamic shared memory as `type *name`, aligned to 128 bytes. */
#define DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(gpu::dynamic_shared())

#else

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)

#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];                         \
    type *const name = reinterpret_cast<type *>(dynamic_shared_bytes)

#endif
