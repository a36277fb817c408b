/* hash [rows] of rows of row_bytes bytes (an even number): equal bits, equal hash; unequal bits,
 * another one but for chance.  Thread: every `pieces`-th number of one row, PIECE at most, so that
 * neighbours read neighbours and short rows share a block.  Integer sums: any order. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256
#define PIECE   128

/* Of a word and its place; the finisher of splitmix64. */
static __device__ uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static __global__ void hash_rows_kernel(unsigned long long *hash, const uint16_t *x, int64_t rows,
                                        int64_t words, int64_t pieces)
{
    int64_t thread = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    int64_t row = thread / pieces;
    if (row >= rows) return;
    unsigned long long sum = 0;
    for (int64_t i = thread % pieces; i < words; i += pieces)
        sum += mix(static_cast<uint64_t>(i) << 16 | x[row * words + i]);
    atomicAdd(&hash[row], sum);
}

extern "C" cudaError_t k_hash_rows(uint64_t *hash, const void *x, int64_t rows, size_t row_bytes,
                                   cudaStream_t stream)
{
    if (rows == 0) return cudaSuccess;
    int64_t words = static_cast<int64_t>(row_bytes / 2), pieces = ceil_div(words, PIECE);
    cudaError_t error = cudaMemsetAsync(hash, 0, static_cast<size_t>(rows) * sizeof *hash, stream);
    if (error != cudaSuccess || pieces == 0) return error;
    LAUNCH(hash_rows_kernel, dim3(static_cast<unsigned>(ceil_div(rows * pieces, THREADS))), THREADS,
           0, stream, reinterpret_cast<unsigned long long *>(hash),
           static_cast<const uint16_t *>(x), rows, words, pieces);
    return cudaGetLastError();
}
