/* NCCL: who talks to whom, and sums across the tensor group. */
#include "cuda.h"

#include <string.h>

/* Collective over c.  Every rank has its device by now, and none has failed. */
static int join(ncclComm_t *ranks, struct comm *c, const char *what, struct err *e)
{
    int size = comm_size(c), rank = comm_rank(c);
    if (size == 1) return 0;
    ncclUniqueId id;
    memset(&id, 0, sizeof id);
    if (rank == 0) NCCL_CHECK(ncclGetUniqueId(&id));
    comm_bcast(c, &id, sizeof id, 0);
    ncclResult_t status = ncclCommInitRank(ranks, size, id, rank);
    if (status == ncclSuccess) return 0;
    *ranks = NULL;
    return err_set(e, "NCCL cannot join the %d %s: %s (%s)", size, what, ncclGetErrorString(status),
                   ncclGetLastError(NULL));
}

/* The same result on all ranks that share a communicator with this one, and with those. */
static int agree(struct backend *b, int rc, struct err *e)
{
    rc = comm_agree(b->tensor, rc, e);
    return b->shard ? comm_agree(b->shard, rc, e) : rc;
}

int cuda_ranks_begin(struct backend *b, int rc, struct err *e)
{
    struct cuda *cuda = cuda_of(b);
    TRY(agree(b, rc, e));
    TRY(agree(b, join(&cuda->ranks, b->tensor, "ranks of a tensor group", e), e));
    return b->shard ? join(&cuda->shards, b->shard, "groups", e) : 0;
}

static void leave(ncclComm_t *ranks)
{
    if (*ranks) NCCL_CHECK(ncclCommDestroy(*ranks));
    *ranks = NULL;
}

void cuda_ranks_end(struct backend *b)
{
    leave(&cuda_of(b)->ranks);
    leave(&cuda_of(b)->shards);
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
