/* Pages to or from memory where each lies in one piece: of the device, on their way to another
 * rank, or pinned memory of the host, where a thread's accesses cross the bus.  Pages are whole
 * numbers of 16 bytes (kv_copy.cu). */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 512
#define AHEAD   4 /* accesses of a thread that are under way together */

/* Blocks (x, layer of the launch): every gridDim.x-th of the pages. */
static __global__ void kv_pages_kernel(uint8_t *kv, const struct kv_place *places, int64_t n,
                                       int64_t first_layer, size_t layer_bytes, size_t page_bytes,
                                       bool to_flat)
{
    size_t layer = static_cast<size_t>(first_layer) + blockIdx.y;
    int64_t units = static_cast<int64_t>(page_bytes / sizeof(uint4));
    for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
        uint8_t *flat = static_cast<uint8_t *>(places[i].p) + layer * page_bytes;
        uint8_t *page = kv + layer * layer_bytes + static_cast<size_t>(places[i].page) * page_bytes;
        const uint4 *from = reinterpret_cast<const uint4 *>(to_flat ? page : flat);
        uint4 *to = reinterpret_cast<uint4 *>(to_flat ? flat : page);
        for (int64_t u = threadIdx.x; u < units; u += AHEAD * THREADS) {
            uint4 part[AHEAD];
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (u + a * THREADS < units) part[a] = from[u + a * THREADS];
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
                if (u + a * THREADS < units) to[u + a * THREADS] = part[a];
        }
    }
}

extern "C" cudaError_t k_kv_pages(struct k_kv_layers kv, const struct kv_place *places, int64_t n,
                                  bool to_flat, int64_t most_blocks, cudaStream_t stream)
{
    if (n == 0 || kv.n_layers == 0 || kv.page_bytes == 0) return cudaSuccess;
    if (!is_aligned(kv.data) || kv.layer_bytes % 16 != 0 || kv.page_bytes % 16 != 0)
        return cudaErrorInvalidValue;
    dim3 grid(static_cast<unsigned>(n < most_blocks ? n : most_blocks),
              static_cast<unsigned>(kv.n_layers));
    LAUNCH(kv_pages_kernel, grid, THREADS, 0, stream, static_cast<uint8_t *>(kv.data), places, n,
           kv.first_layer, kv.layer_bytes, kv.page_bytes, to_flat);
    return cudaGetLastError();
}
