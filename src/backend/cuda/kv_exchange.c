/* KV pages between the groups' ranks of one shard, by NCCL: no byte passes the host.
 *
 * A page's layers lie apart, so pages are gathered into one piece for each peer, sent and received
 * in one NCCL group, and scattered.  What does not fit the memory for it goes in rounds.  Both ends
 * of a way count its pages alike, so that the k-th round of one is the k-th of the other. */
#include "cuda.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifndef KV_EXCHANGE_BYTES /* less on the emulated GPU: rounds */
#define KV_EXCHANGE_BYTES WORK_EXCHANGE_BYTES
#endif

/* Ways of a rank: to each peer, then from each. */
struct exchange {
    const struct kv_move *moves;
    int64_t n;
    int ranks;
    int64_t most; /* pages of a way in a round: the same on all ranks */
    size_t page_bytes;
    char *memory;     /* device: the round's pages, way by way */
    int64_t *pages;   /* [2 ranks] of each way in this round */
    int64_t *first;   /* [2 ranks] its first page's place in memory */
    int64_t *counted; /* [2 ranks] moves seen so far */
    struct kv_place *places;
};

static int way_of(const struct exchange *x, const struct kv_move *m)
{
    ENSURE(m->peer >= 0 && m->peer < x->ranks);
    return m->arrives ? x->ranks + m->peer : m->peer;
}

/* The round's pages of each way, and their places; false: there are none. */
static bool plan_round(struct exchange *x, int64_t round)
{
    size_t ways = 2 * (size_t)x->ranks;
    int64_t n = 0, first = round * x->most;
    memset(x->pages, 0, ways * sizeof *x->pages);
    memset(x->counted, 0, ways * sizeof *x->counted);
    for (int64_t i = 0; i < x->n; i++) {
        int way = way_of(x, &x->moves[i]);
        int64_t k = x->counted[way]++ - first;
        x->pages[way] += k >= 0 && k < x->most;
    }
    for (size_t w = 0; w < ways; n += x->pages[w++]) x->first[w] = n;
    memset(x->counted, 0, ways * sizeof *x->counted);
    for (int64_t i = 0; i < x->n; i++) {
        int way = way_of(x, &x->moves[i]);
        int64_t k = x->counted[way]++ - first, at = x->first[way] + k;
        if (k < 0 || k >= x->most) continue;
        x->places[at] = (struct kv_place){.p = x->memory + (size_t)at * x->page_bytes,
                                          .page = x->moves[i].page};
    }
    return n > 0;
}

/* All ways at once: none waits for another. */
static void send_and_receive(struct backend *b, const struct exchange *x)
{
    struct cuda *cuda = cuda_of(b);
    NCCL_CHECK(ncclGroupStart());
    for (int way = 0; way < 2 * x->ranks; way++) {
        char *p = x->memory + (size_t)x->first[way] * x->page_bytes;
        size_t bytes = (size_t)x->pages[way] * x->page_bytes;
        if (bytes == 0) continue;
        if (way < x->ranks)
            NCCL_CHECK(ncclSend(p, bytes, ncclUint8, way, cuda->shards, cuda->stream));
        else
            NCCL_CHECK(ncclRecv(p, bytes, ncclUint8, way - x->ranks, cuda->shards, cuda->stream));
    }
    NCCL_CHECK(ncclGroupEnd());
}

static void run_round(struct backend *b, const struct kv_pool *kv, const struct exchange *x)
{
    cudaStream_t stream = cuda_of(b)->stream;
    int last = 2 * x->ranks - 1;
    int64_t leaving = x->first[x->ranks], n = x->first[last] + x->pages[last];
    const struct kv_place *places = cuda_kv_places(b, kv, x->places, n);
    CUDA_CHECK(k_kv_pages(cuda_kv_layers(kv), places, leaving, true, leaving, stream));
    send_and_receive(b, x);
    CUDA_CHECK(
        k_kv_pages(cuda_kv_layers(kv), places + leaving, n - leaving, false, n - leaving, stream));
}

void cuda_kv_exchange(struct backend *b, struct kv_pool *kv, const struct kv_move *moves, int64_t n)
{
    if (n == 0) return;
    ENSURE(cuda_of(b)->shards);
    size_t page_bytes = cuda_kv_page_bytes(b, kv->shape);
    struct exchange x = {
        .moves = moves, .n = n, .ranks = comm_size(b->shard), .page_bytes = page_bytes};
    size_t ways = 2 * (size_t)x.ranks, peers = (size_t)x.ranks - 1;
    x.most = workload_exchange_pages(KV_EXCHANGE_BYTES, x.ranks - 1, page_bytes);
    x.memory = cuda_need(b, &cuda_of(b)->exchange, 2 * peers * (size_t)x.most * page_bytes);
    x.pages = mem_calloc(3 * ways, sizeof *x.pages);
    x.first = x.pages + ways;
    x.counted = x.first + ways;
    x.places = mem_calloc((size_t)n, sizeof *x.places);
    for (int64_t round = 0; plan_round(&x, round); round++) run_round(b, kv, &x);
    free(x.pages);
    free(x.places);
}
