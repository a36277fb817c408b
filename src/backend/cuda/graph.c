/* Recorded steps.
 *
 * A step is recorded when it is issued for the second time and replayed from then on.  It is the
 * same step where key, body and argument are, and everything else that its launches depend on: the
 * rows, attention's grid, and where device memory lies (`generation`). */
#include "cuda.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MOST 128 /* recordings kept; then all are forgotten */

struct identity {
    uint64_t key, generation;
    void (*body)(void *);
    void *arg;
    int64_t T;
    struct k_attention_grid grid;
};

struct recording {
    struct identity id;
    cudaGraphExec_t steps; /* NULL: issued once, not yet recorded */
    double gemm_flops;     /* what a replay adds to the statistics */
    int64_t gemm_rows, gemm_rows_padded;
};

struct graphs {
    struct recording *items;
    size_t n, cap;
};

static bool same(const struct identity *a, const struct identity *b)
{
    return a->key == b->key && a->generation == b->generation && a->body == b->body &&
           a->arg == b->arg && a->T == b->T && memcmp(&a->grid, &b->grid, sizeof a->grid) == 0;
}

static void forget(struct backend *b)
{
    struct graphs *g = cuda_of(b)->graphs;
    cuda_wait(b);
    for (size_t i = 0; i < g->n; i++)
        if (g->items[i].steps) CUDA_CHECK(cudaGraphExecDestroy(g->items[i].steps));
    g->n = 0;
}

void cuda_graphs_free(struct backend *b)
{
    struct graphs *g = cuda_of(b)->graphs;
    if (!g) return;
    forget(b);
    free(g->items);
    free(g);
    cuda_of(b)->graphs = NULL;
}

static void record(struct backend *b, struct recording *r)
{
    struct cuda *cuda = cuda_of(b);
    cudaGraph_t graph;
    double flops = b->stats.gemm_flops;
    int64_t rows = b->stats.gemm_rows, padded = b->stats.gemm_rows_padded;
    CUDA_CHECK(cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal));
    cuda->recording = true;
    r->id.body(r->id.arg);
    cuda->recording = false;
    CUDA_CHECK(cudaStreamEndCapture(cuda->stream, &graph));
    CUDA_CHECK(cudaGraphInstantiate(&r->steps, graph, 0));
    CUDA_CHECK(cudaGraphDestroy(graph));
    r->gemm_flops = b->stats.gemm_flops - flops;
    r->gemm_rows = b->stats.gemm_rows - rows;
    r->gemm_rows_padded = b->stats.gemm_rows_padded - padded;
    b->stats.gemm_flops = flops;
    b->stats.gemm_rows = rows;
    b->stats.gemm_rows_padded = padded;
}

static void replay(struct backend *b, const struct recording *r)
{
    CUDA_CHECK(cudaGraphLaunch(r->steps, cuda_of(b)->stream));
    b->stats.gemm_flops += r->gemm_flops;
    b->stats.gemm_rows += r->gemm_rows;
    b->stats.gemm_rows_padded += r->gemm_rows_padded;
}

void cuda_graph(struct backend *b, uint64_t key, void (*body)(void *), void *arg)
{
    struct cuda *cuda = cuda_of(b);
    const struct cuda_batch *batch = cuda_batch_of(b);
    struct identity id = {.key = key,
                          .generation = cuda->generation,
                          .body = body,
                          .arg = arg,
                          .T = batch->k.T,
                          .grid = batch->grid};
    if (!cuda->graphs) cuda->graphs = mem_calloc(1, sizeof *cuda->graphs);
    struct graphs *g = cuda->graphs;
    if (g->n == MOST || (g->n > 0 && g->items[0].id.generation != cuda->generation)) forget(b);
    for (size_t i = 0; i < g->n; i++) {
        struct recording *r = &g->items[i];
        if (!same(&r->id, &id)) continue;
        if (!r->steps) record(b, r);
        replay(b, r);
        return;
    }
    body(arg); /* takes the memory that it needs: the identity is that of the next time */
    id.generation = cuda->generation;
    if (g->n > 0 && g->items[0].id.generation != cuda->generation) forget(b);
    ARRAY_PUSH(*g, ((struct recording){.id = id}));
}
