/* out [R, row_bytes] = x[rows], copied in units as large as row and places allow. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

/* Block: THREADS units of one row. */
template <typename U>
static __global__ void gather_rows_kernel(U *out, const U *x, const int32_t *rows, int64_t units)
{
    int64_t r = blockIdx.x;
    int64_t i = static_cast<int64_t>(blockIdx.y) * THREADS + threadIdx.x;
    if (i < units) out[r * units + i] = x[rows[r] * units + i];
}

template <typename U>
static void gather_units(void *out, const void *x, const int32_t *rows, int64_t R, size_t row_bytes,
                         cudaStream_t stream)
{
    int64_t units = static_cast<int64_t>(row_bytes / sizeof(U));
    LAUNCH(gather_rows_kernel<U>, grid_of_rows(R, units, THREADS), THREADS, 0, stream,
           static_cast<U *>(out), static_cast<const U *>(x), rows, units);
}

extern "C" cudaError_t k_gather_rows(void *out, const void *x, const int32_t *rows, int64_t R,
                                     size_t row_bytes, cudaStream_t stream)
{
    if (R == 0 || row_bytes == 0) return cudaSuccess;
    uintptr_t places =
        reinterpret_cast<uintptr_t>(out) | reinterpret_cast<uintptr_t>(x) | row_bytes;
    if (places % 16 == 0)
        gather_units<uint4>(out, x, rows, R, row_bytes, stream);
    else if (places % 4 == 0)
        gather_units<uint32_t>(out, x, rows, R, row_bytes, stream);
    else
        gather_units<uint8_t>(out, x, rows, R, row_bytes, stream);
    return cudaGetLastError();
}
