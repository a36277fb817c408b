/* What this machine can do, for floors: the fastest products and the fastest read of memory, by
 * numbers of threads.
 *
 *     bench_ceilings [most threads]
 *
 * CSV: name, threads, value, unit.  gemm_f32 and gemm_bf16: the best of several shapes, by this
 * backend's kernels and by oneDNN's, also those that it may not use because a row's bits are not
 * kept; bf16 only where the processor multiplies it.  memory_read: one pass over memory beyond the
 * caches.  Best of several, on the clock. */
#include "backend/cpu/onednn.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ref/compare.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 7, MOST_ROWS = 512 };

static const int64_t shapes[][2] = {{768, 768}, {2304, 768}, {2048, 2048}, {2048, 768}};
static const int64_t rows[] = {16, 64, 128, MOST_ROWS};

struct operands {
    float *x, *out, *w;
};

static struct operands operands_of(int64_t N, int64_t K)
{
    struct operands o = {mem_calloc((size_t)(MOST_ROWS * K), sizeof(float)),
                         mem_calloc((size_t)(MOST_ROWS * N), sizeof(float)),
                         mem_calloc((size_t)(N * K), sizeof(float))};
    fill_random(o.x, MOST_ROWS * K, 1);
    fill_random(o.w, N * K, 2);
    return o;
}

static void operands_free(struct operands *o)
{
    free(o->x);
    free(o->out);
    free(o->w);
}

static double rate(double flops, double s)
{
    return flops / s * 1e-9;
}

static double own_gemm(struct backend *b, int64_t N, int64_t K)
{
    struct err e;
    struct operands o = operands_of(N, K);
    struct weight *w = b->ops->weight_create(b, b->dtype, N, K, &e);
    if (!w || b->ops->weight_fill(b, w, o.w, DTYPE_ID_F32, N, &e) < 0) DIE("%s", e.text);
    double best = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < REPEATS; k++) {
            double start = clock_s();
            b->ops->gemm(b, o.out, DTYPE_ID_F32, o.x, w, NULL, rows[i]);
            double r = rate(2.0 * (double)(rows[i] * N * K), clock_s() - start);
            if (r > best) best = r;
        }
    b->ops->weight_destroy(b, w);
    operands_free(&o);
    return best;
}

static double library_gemm(struct onednn *library, int64_t N, int64_t K)
{
    if (!onednn_multiplies(library, N, K)) return 0;
    struct operands o = operands_of(N, K);
    size_t bytes;
    struct onednn_weight *w = onednn_weight_create(library, N, K, &bytes);
    if (!w) DIE("no memory for a weight of %zu bytes", bytes);
    for (int64_t n = 0; n < N; n++) onednn_weight_row(library, w, o.w + n * K);
    double best = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < REPEATS; k++) {
            double start = clock_s();
            onednn_gemm(library, o.out, o.x, w, rows[i]);
            double r = rate(2.0 * (double)(rows[i] * N * K), clock_s() - start);
            if (r > best) best = r;
        }
    onednn_weight_destroy(w);
    operands_free(&o);
    return best;
}

static void print_gemm(struct comm *world, enum dtype dtype, int threads)
{
    struct err e;
    struct backend *b = backend_cpu_create(world, dtype, threads, &e);
    if (!b) DIE("%s", e.text);
    omp_set_num_threads(threads);
    struct onednn *library = onednn_create(dtype, true);
    double own = 0, theirs = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double r = own_gemm(b, shapes[i][0], shapes[i][1]);
        if (r > own) own = r;
        r = library ? library_gemm(library, shapes[i][0], shapes[i][1]) : 0;
        if (r > theirs) theirs = r;
    }
    printf("gemm_%s,%d,%.1f,GFLOP/s\n", dtype_name(dtype), threads, own > theirs ? own : theirs);
    printf("gemm_%s_own,%d,%.1f,GFLOP/s\n", dtype_name(dtype), threads, own);
    printf("gemm_%s_onednn,%d,%.1f,GFLOP/s\n", dtype_name(dtype), threads, theirs);
    onednn_destroy(library);
    backend_destroy(b);
}

/* Sums in 16 lanes: plain enough for any compiler to vectorise. */
CPU_CLONES static uint64_t sum_of(const uint64_t *p, int64_t n)
{
    uint64_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += p[i];
    return sum;
}

static void print_memory(int threads)
{
    enum { PIECE = 1 << 18 };
    int64_t n = (int64_t)1 << 26; /* 512 MiB */
    uint64_t *p = mem_try_aligned((size_t)n * sizeof *p), total = 0;
    if (!p) DIE("no memory to read");
    double best = 1e9;
    for (int k = 0; k < REPEATS; k++) {
        double start = clock_s();
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : total)
        for (int64_t i = 0; i < n; i += PIECE) total += sum_of(p + i, PIECE);
        double s = clock_s() - start;
        if (s < best) best = s;
    }
    printf("memory_read,%d,%.2f,GB/s\n", threads, (double)n * sizeof *p / best * 1e-9);
    if (total) printf("# memory was not zero\n");
    free(p);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    int most = argc > 1 ? atoi(argv[1]) : omp_get_max_threads();
    printf("name,threads,value,unit\n");
    for (int threads = 1; threads <= most;
         threads = threads * 2 > most && threads < most ? most : threads * 2) {
        print_memory(threads);
        print_gemm(world, DTYPE_ID_F32, threads);
        if (onednn_has_bf16()) print_gemm(world, DTYPE_ID_BF16, threads);
    }
    comm_stop(world);
    return 0;
}
