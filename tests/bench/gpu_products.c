/* What batch-invariant products cost: the backend's families of algorithms (cuda/gemm.h) against
 * the library's own best for each number of rows, for the matrices of a layer and the vocabulary,
 * in bf16.  See gpu_bench.h.
 *
 * The library's best is the fastest of the first 8 that its heuristic proposes for that shape and
 * number of rows, split sums allowed; cost is ours / the library's - 1. */
#include "gpu_bench.h"

#include "backend/cuda/gemm.h"
#include "backend/cuda/module.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct cuda_module backend_cuda_module;

enum { PROPOSALS = 8 };

struct matrix {
    const char *name;
    int64_t N, K;
    enum dtype out_type;
};

struct product {
    struct backend *backend;
    const struct gemm_shape *shape;
    const cublasLtMatmulAlgo_t *algorithm; /* NULL: as the backend does it */
    char *x, *out;                         /* device memory: most rows */
    int64_t rows;
};

static int launch(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct product *p = arg;
    (void)turn;
    (void)stream; /* the backend's */
    if (p->algorithm)
        return (int)gemm_call(p->backend, p->shape, p->algorithm, p->out, p->x, memory, p->rows);
    gemm_run(p->backend, p->shape, p->out, p->x, memory, p->rows);
    return 0;
}

static int propose(const struct product *p, cublasLtMatmulHeuristicResult_t found[PROPOSALS])
{
    const struct gemm *g = cuda_of(p->backend)->gemm;
    const struct gemm_shape *s = p->shape;
    cublasLtMatmulPreference_t preference;
    uint64_t workspace = g->workspace_bytes;
    int n = 0;
    CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&preference));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
    gemm_set_rows(s, p->rows);
    CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(g->library, s->desc, s->w, s->x, s->out, s->out,
                                                preference, PROPOSALS, found, &n));
    CUBLAS_CHECK(cublasLtMatmulPreferenceDestroy(preference));
    return n;
}

/* Microseconds of the library's best; *n: of how many that run. */
static double library_us(const struct gpu_bench *b, const struct gpu_work *w, struct product *p,
                         int *n)
{
    cublasLtMatmulHeuristicResult_t found[PROPOSALS];
    int proposed = propose(p, found), best = -1, launches;
    double least = 0;
    *n = 0;
    for (int i = 0; i < proposed; i++) {
        if (found[i].state != CUBLAS_STATUS_SUCCESS ||
            !gemm_possible(p->backend, p->shape, &found[i].algo, p->rows))
            continue;
        p->algorithm = &found[i].algo;
        double us = gpu_bench_time_us(b, w, b->quick ? 1 : 3, &launches);
        if (best < 0 || us < least) {
            best = i;
            least = us;
        }
        ++*n;
    }
    if (best < 0) DIE("cuBLASLt proposes nothing for %s, %lld rows", w->name, (long long)p->rows);
    p->algorithm = &found[best].algo;
    least = gpu_bench_time_us(b, w, b->quick ? 1 : GPU_BENCH_RUNS, &launches);
    p->algorithm = NULL;
    return least;
}

static void measure(const struct gpu_bench *b, const struct matrix *m, struct product *p)
{
    int launches, proposals;
    double rows = (double)p->rows, N = (double)m->N, K = (double)m->K;
    struct gpu_work w = {.name = m->name,
                         .rows = p->rows,
                         .bytes =
                             2 * N * K + 2 * rows * K + rows * N * (double)dtype_bytes(m->out_type),
                         .flops = 2 * rows * N * K,
                         .turn_bytes = gpu_bench_aligned((size_t)(m->N * m->K) * 2),
                         .launch = launch,
                         .arg = p};
    if (!gpu_bench_has_time(b, m->name, "", p->rows)) return;
    double ours = gpu_bench_time_us(b, &w, b->quick ? 1 : GPU_BENCH_RUNS, &launches),
           library = library_us(b, &w, p, &proposals),
           floor_us = gpu_bench_floor_us(b, w.bytes, w.flops);
    printf("%s,%lld,%lld,%s,%lld,%.3f,%.3f,%d,%.4f,%.0f,%.0f,", m->name, (long long)m->N,
           (long long)m->K, dtype_name(m->out_type), (long long)p->rows, ours, library, proposals,
           ours / library - 1, w.bytes, w.flops);
    if (floor_us > 0)
        printf("%.4f,%.5f\n", floor_us, floor_us / ours);
    else
        printf(",\n");
    fflush(stdout);
}

static void measure_matrix(const struct gpu_bench *b, struct backend *backend,
                           const struct matrix *m)
{
    struct err e;
    double begun = clock_s();
    struct product p = {.backend = backend};
    if ((size_t)(m->N * m->K) * 2 > b->bytes)
        DIE("%s does not fit into %zu bytes", m->name, b->bytes);
    p.shape = gemm_shape_of(backend, m->N, m->K, DTYPE_ID_BF16, m->out_type, b->memory, &e);
    if (!p.shape) DIE("%s", e.text);
    int64_t most = gemm_ladder[p.shape->rungs - 1];
    printf("# %s: %d rungs%s, found in %.2f s\n", m->name, p.shape->rungs,
           p.shape->fixed_rows ? ", no family: rows go in blocks" : "", clock_s() - begun);
    size_t x_bytes = (size_t)(most * m->K) * 2;
    ENSURE(x_bytes <= b->bytes);
    p.x = gpu_bench_copy(NULL, x_bytes);
    p.out = gpu_bench_copy(NULL, (size_t)(most * m->N) * dtype_bytes(m->out_type));
    CHECK(cudaMemcpy(p.x, b->memory, x_bytes, cudaMemcpyDeviceToDevice));
    for (int i = 0; i < p.shape->rungs; i++) {
        p.rows = gemm_ladder[i];
        measure(b, m, &p);
    }
    CHECK(cudaFree(p.x));
    CHECK(cudaFree(p.out));
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct gpu_bench b;
    struct err e;
    int device;
    struct backend_config config = {.dtype = DTYPE_ID_BF16, .reproducible = true};
    gpu_bench_begin(&b, argc, argv);
    struct backend *backend =
        backend_cuda_module.find_device(0, &device, &e) < 0
            ? NULL
            : backend_cuda_module.create(&config, device, world, world, NULL, &e);
    if (!backend) DIE("%s", e.text);
    cudaStream_t own = b.stream;
    b.stream = cuda_of(backend)->stream;
    const struct gpu_shape *s = &b.shape;
    const struct matrix matrices[] = {
        {"qkv", (s->H + 2 * s->G) * s->E, s->D, DTYPE_ID_BF16},
        {"o", s->D, s->H * s->E, DTYPE_ID_F32},
        {"gate_up", 2 * s->F, s->D, DTYPE_ID_BF16},
        {"down", s->D, s->F, DTYPE_ID_F32},
        {"vocabulary", s->V, s->D, DTYPE_ID_F32},
    };
    printf("matrix,N,K,out,rows,ours_us,library_us,proposals,cost,bytes,flops,floor_us,ratio\n");
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
        measure_matrix(&b, backend, &matrices[i]);
    b.stream = own;
    backend_destroy(backend);
    gpu_bench_end(&b);
    comm_stop(world);
    return 0;
}
