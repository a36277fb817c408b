/* The next step's batch from what was drawn, S rows. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

static __global__ void advance_kernel(int32_t *token, int32_t *position, uint32_t *draw_position,
                                      const int32_t *drawn, int64_t S)
{
    int64_t s = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (s >= S) return;
    token[s] = drawn[s] < 0 ? 0 : drawn[s];
    position[s]++;
    draw_position[s]++;
}

extern "C" cudaError_t k_advance(int32_t *token, int32_t *position, uint32_t *draw_position,
                                 const int32_t *drawn, int64_t S, cudaStream_t stream)
{
    if (S == 0) return cudaSuccess;
    LAUNCH(advance_kernel, dim3(static_cast<unsigned>(ceil_div(S, THREADS))), THREADS, 0, stream,
           token, position, draw_position, drawn, S);
    return cudaGetLastError();
}
