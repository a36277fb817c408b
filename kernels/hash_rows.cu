/* hash [rows] of rows of row_bytes bytes (an even number): equal bits, equal hash; unequal bits,
 * another one but for chance.  Block: one row.  Integer sums: any order. */
#include "kernels.h"
#include "launch.cuh"

#define THREADS 32

/* Of a word and its place; the finisher of splitmix64. */
static __device__ uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static __global__ void hash_rows_kernel(uint64_t *hash, const uint16_t *x, int64_t words)
{
    __shared__ uint64_t part[THREADS];
    const uint16_t *row = x + static_cast<int64_t>(blockIdx.x) * words;
    uint64_t sum = 0;
    for (int64_t i = threadIdx.x; i < words; i += THREADS)
        sum += mix(static_cast<uint64_t>(i) << 16 | row[i]);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) hash[blockIdx.x] = part[0];
}

extern "C" cudaError_t k_hash_rows(uint64_t *hash, const void *x, int64_t rows, size_t row_bytes,
                                   cudaStream_t stream)
{
    if (rows == 0) return cudaSuccess;
    LAUNCH(hash_rows_kernel, dim3(static_cast<unsigned>(rows)), THREADS, 0, stream, hash,
           static_cast<const uint16_t *>(x), static_cast<int64_t>(row_bytes / 2));
    return cudaGetLastError();
}
