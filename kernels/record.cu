/* What a decode step drew, to its row of the history.  One block: the step's number is read by all
 * threads before one of them moves it on. */
#include "kernels.h"
#include "launch.cuh"

#define THREADS 256

static __global__ void record_kernel(int32_t *history_token, float *history_logprob, int32_t *step,
                                     const int32_t *token, const float *logprob, int64_t S)
{
    int64_t row = *step;
    for (int64_t s = threadIdx.x; s < S; s += THREADS) {
        history_token[row * S + s] = token[s];
        history_logprob[row * S + s] = logprob[s];
    }
    __syncthreads();
    if (threadIdx.x == 0) *step = static_cast<int32_t>(row) + 1;
}

extern "C" cudaError_t k_record(int32_t *history_token, float *history_logprob, int32_t *step,
                                const int32_t *token, const float *logprob, int64_t S,
                                cudaStream_t stream)
{
    LAUNCH(record_kernel, dim3(1), THREADS, 0, stream, history_token, history_logprob, step, token,
           logprob, S);
    return cudaGetLastError();
}
