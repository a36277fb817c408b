/* What this machine can do, for floors: the fastest products and the fastest read of memory, by
 * numbers of threads.
 *
 *     bench_ceilings [most threads]
 *
 * CSV: name, threads, value, unit.  gemm_f32 and gemm_bf16: the best of several shapes, by this
 * backend's kernels and, where the build has it, by oneDNN's, which keep no row's bits; bf16 only
 * where the processor multiplies it.  memory_read: one pass over memory beyond the
 * caches.  Best of several, on the clock. */
#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/onednn.h"
#include "ref/compare.h"

#include <math.h>
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

/* 0 where the library has no kernel. */
static double library_gemm(enum dtype dtype, int64_t N, int64_t K)
{
    double best = 0;
#ifdef WITH_ONEDNN
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct onednn *o = onednn_create(dtype, rows[i], N, K);
        for (int k = 0; o && k < REPEATS; k++) {
            double start = clock_s();
            onednn_run(o);
            double r = rate(2.0 * (double)(rows[i] * N * K), clock_s() - start);
            if (r > best) best = r;
        }
        if (o) onednn_destroy(o);
    }
#else
    (void)dtype;
    (void)N;
    (void)K;
#endif
    return best;
}

static void print_gemm(struct backend *b, int threads)
{
    omp_set_num_threads(threads); /* the library's */
    double own = 0, theirs = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        own = fmax(own, own_gemm(b, shapes[i][0], shapes[i][1]));
        theirs = fmax(theirs, library_gemm(b->dtype, shapes[i][0], shapes[i][1]));
    }
    const char *dtype = dtype_name(b->dtype);
    printf("gemm_%s,%d,%.1f,GFLOP/s\n", dtype, threads, fmax(own, theirs));
    printf("gemm_%s_own,%d,%.1f,GFLOP/s\n", dtype, threads, own);
    if (theirs > 0) printf("gemm_%s_onednn,%d,%.1f,GFLOP/s\n", dtype, threads, theirs);
}

/* In f32, and in bf16 where that is what the backend takes by itself. */
static void print_gemms(struct comm *world, int threads)
{
    for (int narrow = 0; narrow < 2; narrow++) {
        struct err e;
        struct backend *b =
            backend_cpu_create(world, narrow ? DTYPE_NONE : DTYPE_ID_F32, threads, &e);
        if (!b) DIE("%s", e.text);
        if (!narrow || b->dtype == DTYPE_ID_BF16) print_gemm(b, threads);
        backend_destroy(b);
    }
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
#ifndef WITH_ONEDNN
    fprintf(stderr,
            "bench_ceilings: built without oneDNN, so that our own kernels are compared with "
            "themselves alone; setup.sh --dev brings it (then configure and build anew)\n");
#endif
    printf("name,threads,value,unit\n");
    for (int threads = 1; threads <= most;
         threads = threads * 2 > most && threads < most ? most : threads * 2) {
        print_memory(threads);
        print_gemms(world, threads);
    }
    comm_stop(world);
    return 0;
}
