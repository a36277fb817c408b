/* Sums across the tensor group, by NCCL. */
#include "cuda.h"

#include <string.h>

/* Collective over b->tensor.  Every rank has its device by now, and none has failed. */
int cuda_ranks_begin(struct backend *b, struct err *e)
{
    struct cuda *cuda = cuda_of(b);
    int size = comm_size(b->tensor), rank = comm_rank(b->tensor);
    if (size == 1) return 0;
    ncclUniqueId id;
    memset(&id, 0, sizeof id);
    if (rank == 0) NCCL_CHECK(ncclGetUniqueId(&id));
    comm_bcast(b->tensor, &id, sizeof id, 0);
    ncclResult_t status = ncclCommInitRank(&cuda->ranks, size, id, rank);
    if (status == ncclSuccess) return 0;
    cuda->ranks = NULL;
    return err_set(e, "NCCL cannot join the %d ranks of a tensor group: %s (%s)", size,
                   ncclGetErrorString(status), ncclGetLastError(NULL));
}

void cuda_ranks_end(struct backend *b)
{
    struct cuda *cuda = cuda_of(b);
    if (!cuda->ranks) return;
    NCCL_CHECK(ncclCommDestroy(cuda->ranks));
    cuda->ranks = NULL;
}

void cuda_sum_ranks(struct backend *b, float *x, int64_t n)
{
    struct cuda *cuda = cuda_of(b);
    if (!cuda->ranks || n == 0) return;
    size_t count = (size_t)n;
    if (!cuda->reproducible) {
        NCCL_CHECK(ncclAllReduce(x, x, count, ncclFloat32, ncclSum, cuda->ranks, cuda->stream));
        return;
    }
    int size = comm_size(b->tensor);
    float *parts = cuda_need(b, &cuda->gather, (size_t)size * count * sizeof *parts);
    NCCL_CHECK(ncclAllGather(x, parts, count, ncclFloat32, cuda->ranks, cuda->stream));
    CUDA_CHECK(k_sum_ranks(x, parts, size, n, cuda->stream));
}
