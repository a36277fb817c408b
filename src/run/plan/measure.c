#include "run/plan/measure.h"

#include "backend/backend.h"
#include "base/clock.h"
#include "base/mem.h"
#include "run/worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRY_FOR_S    0.25                /* of each measurement; the fastest pass counts */
#define STREAM_BYTES ((size_t)256 << 20) /* well beyond the caches */
#define STREAM_WIDTH 4096
#define GEMM_WIDTH   2048

static int cpus_of_this(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Wait for what was issued. */
static void wait_for(struct backend *b, const void *p)
{
    char byte[4];
    b->ops->download(b, byte, p, sizeof byte);
}

struct stream {
    float *x, *delta, *w;
    void *out;
    int64_t T;
};

/* x += delta; out = norm(x): reads x and delta, writes x and out. */
static void pass_stream(struct backend *b, void *arg)
{
    struct stream *s = arg;
    b->ops->residual_rmsnorm(b, s->out, s->x, s->delta, s->w, s->T, STREAM_WIDTH, 1e-5f, 0.0f);
    wait_for(b, s->out);
}

struct product {
    struct weight *w;
    void *x;
    float *out;
    int64_t T;
};

static void pass_gemm(struct backend *b, void *arg)
{
    struct product *g = arg;
    b->ops->gemm(b, g->out, DTYPE_ID_F32, g->x, g->w, NULL, g->T);
    wait_for(b, g->out);
}

/* Seconds of the fastest pass. */
static double fastest(struct backend *b, void (*pass)(struct backend *, void *), void *arg)
{
    double best = 1e30, end = clock_s() + TRY_FOR_S;
    pass(b, arg); /* libraries set themselves up */
    do {
        double t0 = clock_s();
        pass(b, arg);
        double t = clock_s() - t0;
        if (t < best) best = t;
    } while (clock_s() < end);
    return best;
}

static int measure_stream(struct backend *b, double *bytes_per_s, struct err *e)
{
    size_t act = dtype_bytes(b->activation);
    struct stream s = {.T = (int64_t)(STREAM_BYTES / (STREAM_WIDTH * (3 * sizeof(float) + act)))};
    size_t n = (size_t)s.T * STREAM_WIDTH;
    s.x = b->ops->alloc(b, n * sizeof(float));
    s.delta = b->ops->alloc(b, n * sizeof(float));
    s.out = b->ops->alloc(b, n * act);
    s.w = b->ops->alloc(b, STREAM_WIDTH * sizeof(float));
    bool there = s.x && s.delta && s.out && s.w;
    if (there)
        *bytes_per_s = (double)n * (double)(3 * sizeof(float) + act) / fastest(b, pass_stream, &s);
    b->ops->free(b, s.x);
    b->ops->free(b, s.delta);
    b->ops->free(b, s.out);
    b->ops->free(b, s.w);
    return there ? 0 : err_set(e, "no memory to measure the bandwidth of %s", b->device);
}

static int measure_gemm(struct backend *b, double *flops_per_s, struct err *e)
{
    int64_t D = GEMM_WIDTH;
    struct product g = {.T = b->max_rows};
    float *rows = mem_calloc((size_t)(D * D), sizeof *rows);
    for (int64_t i = 0; i < D * D; i++) rows[i] = (float)(i % 7 - 3) * 0.01f;
    g.w = b->ops->weight_create(b, b->dtype, D, D, e);
    int rc = g.w ? b->ops->weight_fill(b, g.w, rows, DTYPE_ID_F32, D, e) : -1;
    if (rc == 0) rc = b->ops->weight_finish(b, g.w, e);
    free(rows);
    g.x = b->ops->alloc(b, (size_t)(g.T * D) * dtype_bytes(b->activation));
    g.out = b->ops->alloc(b, (size_t)(g.T * D) * sizeof *g.out);
    if (rc == 0 && (!g.x || !g.out))
        rc = err_set(e, "no memory to measure the products of %s", b->device);
    if (rc == 0) *flops_per_s = 2.0 * (double)(g.T * D) * (double)D / fastest(b, pass_gemm, &g);
    b->ops->weight_destroy(b, g.w);
    b->ops->free(b, g.x);
    b->ops->free(b, g.out);
    return rc;
}

static void fill(struct hardware *h, struct backend *b, int64_t ranks, double bytes_per_s,
                 double flops_per_s)
{
    h->is_cuda = strcmp(b->ops->name, "cpu") != 0;
    int cpus = cpus_of_this(), share = h->is_cuda || ranks < 1 ? 1 : to_int(ranks);
    if (share > cpus) share = cpus;
    const char *asked = getenv("OMP_NUM_THREADS");
    int threads = asked ? (int)strtol(asked, NULL, 10) : 0;
    h->threads = threads > 0 ? threads : cpus / share;
    h->dtype = b->dtype;
    h->activation = b->activation;
    h->max_rows = b->max_rows;
    h->kv_page_bytes = b->ops->kv_page_bytes;
    h->workspace_bytes = b->ops->workspace_bytes;
    /* The ranks have the whole machine's rates together; a rank has no more than its threads give.
     */
    double part = h->is_cuda ? 1.0 : 1.0 / share, alone = (double)h->threads / cpus;
    double compute = h->is_cuda || part < alone ? part : alone;
    snprintf(h->name, sizeof h->name, "this machine (%s)", b->device);
    enum figure_source rates = bytes_per_s > 0 ? FIGURE_MEASURED : FIGURE_NONE;
    h->figures[FIGURE_BANDWIDTH] = (struct figure){bytes_per_s * part, rates};
    h->figures[FIGURE_COMPUTE] = (struct figure){flops_per_s * compute, rates};
    h->figures[FIGURE_MEMORY] =
        (struct figure){(double)b->ops->free_bytes(b) * part, FIGURE_MEASURED};
    if (!h->is_cuda) h->figures[FIGURE_RANKS_PER_NODE] = (struct figure){share, FIGURE_MEASURED};
}

int measure_this(struct hardware *h, const struct job *j, int64_t ranks, bool rates, struct err *e)
{
    struct backend_config c = worker_backend_config(j, cpus_of_this());
    struct comm *world = comm_alone(), *tensor = comm_alone();
    struct backend *b = backend_open(&c, world, tensor, NULL, e);
    double bytes_per_s = 0, flops_per_s = 0;
    int rc = b ? 0 : -1;
    if (rc == 0 && rates) rc = measure_stream(b, &bytes_per_s, e);
    if (rc == 0 && rates) rc = measure_gemm(b, &flops_per_s, e);
    if (rc == 0) fill(h, b, ranks, bytes_per_s, flops_per_s);
    backend_destroy(b);
    comm_destroy(tensor);
    comm_destroy(world);
    return rc;
}
