/* Page dst = page src, in every layer.  Pages are whole numbers of 16 bytes: PAGE_TOKENS numbers of
 * each head and column. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

static __global__ void kv_copy_kernel(uint8_t *kv, int64_t blocks_per_layer, size_t layer_bytes,
                                      size_t page_bytes, int32_t dst, int32_t src)
{
    size_t layer = blockIdx.x / blocks_per_layer;
    size_t i = ((blockIdx.x % blocks_per_layer) * THREADS + threadIdx.x) * sizeof(uint4);
    if (i >= page_bytes) return;
    uint8_t *base = kv + layer * layer_bytes + i;
    *reinterpret_cast<uint4 *>(base + static_cast<size_t>(dst) * page_bytes) =
        *reinterpret_cast<const uint4 *>(base + static_cast<size_t>(src) * page_bytes);
}

extern "C" cudaError_t k_kv_copy(void *kv, int64_t L, size_t layer_bytes, size_t page_bytes,
                                 int32_t dst, int32_t src, cudaStream_t stream)
{
    if (L == 0 || page_bytes == 0) return cudaSuccess;
    if (!is_aligned(kv) || layer_bytes % 16 != 0 || page_bytes % 16 != 0)
        return cudaErrorInvalidValue;
    int64_t blocks_per_layer = ceil_div(static_cast<int64_t>(page_bytes / sizeof(uint4)), THREADS);
    LAUNCH(kv_copy_kernel, dim3(static_cast<unsigned>(L * blocks_per_layer)), THREADS, 0, stream,
           static_cast<uint8_t *>(kv), blocks_per_layer, layer_bytes, page_bytes, dst, src);
    return cudaGetLastError();
}
