/* Page dst = page src, in every layer.  Pages are whole numbers of 16 bytes: PAGE_TOKENS numbers of
 * each head and column. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

static __global__ void kv_copy_kernel(uint8_t *kv, size_t layer_bytes, size_t page_bytes,
                                      int32_t dst, int32_t src)
{
    size_t layer = blockIdx.x;
    size_t i = (static_cast<size_t>(blockIdx.y) * THREADS + threadIdx.x) * sizeof(uint4);
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
    LAUNCH(kv_copy_kernel,
           grid_of_rows(L, static_cast<int64_t>(page_bytes), THREADS * sizeof(uint4)), THREADS, 0,
           stream, static_cast<uint8_t *>(kv), layer_bytes, page_bytes, dst, src);
    return cudaGetLastError();
}
