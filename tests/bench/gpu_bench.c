#include "gpu_bench.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FULL_BYTES  ((size_t)8 << 30)
#define QUICK_BYTES ((size_t)8 << 20)
#define NUMBERS     131071 /* of the block that is repeated: a prime, so that rows differ */
#define RUN_US      2000.0 /* of a recorded graph, about */
#define MOST_US     20000.0
#define MOST        2000 /* launches in it */

const char *gpu_bench_error(int status)
{
    return cudaGetErrorString((cudaError_t)status);
}

static const int64_t full_rows[] = {1, 64, 256, 1024}, quick_rows[] = {1, 5};

static void parse(struct gpu_bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        double *number = !strcmp(argv[i], "--gbs")       ? &b->gbs
                         : !strcmp(argv[i], "--tflops")  ? &b->tflops
                         : !strcmp(argv[i], "--seconds") ? &b->seconds
                                                         : NULL;
        if (!strcmp(argv[i], "--quick"))
            b->quick = true;
        else if (number && i + 1 < argc)
            *number = strtod(argv[++i], NULL);
        else
            DIE("%s: unknown: %s (options: the head of gpu_bench.h)", argv[0], argv[i]);
    }
}

void gpu_bench_begin(struct gpu_bench *b, int argc, char **argv)
{
    struct cudaDeviceProp p;
    size_t free_bytes, total;
    *b = (struct gpu_bench){.begun_s = clock_s(),
                            .shape = {4096, 32, 8, 128, 14336, 128256, 32},
                            .rows = full_rows,
                            .n_rows = 4};
    parse(b, argc, argv);
    if (b->quick) {
        b->shape = (struct gpu_shape){64, 4, 2, 16, 96, 320, 2};
        b->rows = quick_rows;
        b->n_rows = 2;
    }
    CHECK(cudaGetDeviceProperties(&p, 0));
    CHECK(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking));
    CHECK(cudaMemGetInfo(&free_bytes, &total));
    b->bytes = b->quick ? QUICK_BYTES : FULL_BYTES;
    if (b->bytes > free_bytes / 2) b->bytes = free_bytes / 2 / 256 * 256;
    b->cache_bytes = b->quick ? 4096 : (size_t)p.l2CacheSize;
    b->multiprocessors = p.multiProcessorCount;
    CHECK(cudaMalloc((void **)&b->memory, b->bytes));
    uint16_t *block = mem_calloc(NUMBERS, sizeof *block);
    uint32_t seed = 1;
    for (size_t i = 0; i < NUMBERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        block[i] = (uint16_t)(0x3f80u | (seed >> 16 & 0x807fu));
    }
    gpu_bench_fill(b, block, NUMBERS * sizeof *block);
    free(block);
    printf("# %s, compute capability %d.%d, %d multiprocessors, L2 cache of %d KiB\n", p.name,
           p.major, p.minor, p.multiProcessorCount, p.l2CacheSize / 1024);
}

void gpu_bench_end(struct gpu_bench *b)
{
    CHECK(cudaFree(b->memory));
    CHECK(cudaStreamDestroy(b->stream));
}

void gpu_bench_fill(struct gpu_bench *b, const void *block, size_t bytes)
{
    if (bytes > b->bytes) bytes = b->bytes;
    CHECK(cudaMemcpy(b->memory, block, bytes, cudaMemcpyHostToDevice));
    CHECK(cudaDeviceSynchronize()); /* it may have returned with the last piece under way */
    for (size_t at = bytes, more; at < b->bytes; at += more) {
        more = b->bytes - at < at ? b->bytes - at : at;
        CHECK(
            cudaMemcpyAsync(b->memory + at, b->memory, more, cudaMemcpyDeviceToDevice, b->stream));
    }
    CHECK(cudaStreamSynchronize(b->stream));
}

void *gpu_bench_copy(const void *host, size_t bytes)
{
    void *p = NULL;
    CHECK(cudaMalloc(&p, bytes > 0 ? bytes : 1));
    if (host && bytes > 0) CHECK(cudaMemcpy(p, host, bytes, cudaMemcpyHostToDevice));
    return p;
}

/* ---- times ---- */

static int64_t turns_of(const struct gpu_bench *b, const struct gpu_work *w)
{
    int64_t fit = (int64_t)(b->bytes / w->turn_bytes),
            want = (int64_t)(4 * b->cache_bytes / w->turn_bytes) + 1;
    ENSURE(fit >= 1);
    return want < fit ? want : fit;
}

static void enqueue(const struct gpu_bench *b, const struct gpu_work *w, int64_t turns, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t turn = i % turns;
        int status = w->launch(w->arg, b->memory + (size_t)turn * w->turn_bytes, turn, b->stream);
        if (status)
            DIE("%s, %s, %lld rows: status %d", w->name, w->shape, (long long)w->rows, status);
    }
}

/* Launches of a run: enough to be timed, and every turn once where that is soon done. */
static int launches_of(const struct gpu_bench *b, double one_us, int64_t turns)
{
    if (b->quick) return 2;
    double n = RUN_US / one_us, all = (double)turns;
    if (all * one_us > MOST_US) all = MOST_US / one_us;
    if (n < all) n = all;
    return n < 1 ? 1 : n > MOST ? MOST : (int)n;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

struct stopwatch {
    cudaEvent_t begin, end;
};

static float elapsed_us(const struct stopwatch *s)
{
    float ms;
    CHECK(cudaEventSynchronize(s->end));
    CHECK(cudaEventElapsedTime(&ms, s->begin, s->end));
    return ms * 1e3f;
}

static cudaGraphExec_t record(const struct gpu_bench *b, const struct gpu_work *w, int64_t turns,
                              int launches)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamBeginCapture(b->stream, cudaStreamCaptureModeThreadLocal));
    enqueue(b, w, turns, launches);
    CHECK(cudaStreamEndCapture(b->stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphDestroy(graph));
    return exec;
}

double gpu_bench_time_us(const struct gpu_bench *b, const struct gpu_work *w, int runs,
                         int *launches)
{
    struct stopwatch s;
    float us[64];
    int64_t turns = turns_of(b, w);
    ENSURE(runs >= 1 && runs <= 64);
    CHECK(cudaEventCreate(&s.begin));
    CHECK(cudaEventCreate(&s.end));
    /* b->stream does not wait for copies and fills of the default one, which may return before they
     * are done */
    CHECK(cudaDeviceSynchronize());
    enqueue(b, w, turns, 2); /* loads the kernel */
    CHECK(cudaEventRecord(s.begin, b->stream));
    enqueue(b, w, turns, 1);
    CHECK(cudaEventRecord(s.end, b->stream));
    *launches = launches_of(b, (double)elapsed_us(&s), turns);
    cudaGraphExec_t exec = record(b, w, turns, *launches);
    for (int i = -1; i < runs; i++) {
        CHECK(cudaEventRecord(s.begin, b->stream));
        CHECK(cudaGraphLaunch(exec, b->stream));
        CHECK(cudaEventRecord(s.end, b->stream));
        float t = elapsed_us(&s);
        if (i >= 0) us[i] = t / (float)*launches;
    }
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaEventDestroy(s.begin));
    CHECK(cudaEventDestroy(s.end));
    qsort(us, (size_t)runs, sizeof *us, by_value);
    return (double)us[runs / 2];
}

/* ---- lines ---- */

bool gpu_bench_has_time(const struct gpu_bench *b, const char *name, const char *shape,
                        int64_t rows)
{
    if (b->seconds <= 0 || clock_s() - b->begun_s < b->seconds) return true;
    printf("%s,%s,%lld,not measured: out of time\n", name, shape, (long long)rows);
    return false;
}

double gpu_bench_floor_us(const struct gpu_bench *b, double bytes, double flops)
{
    if (b->gbs <= 0 || b->tflops <= 0) return 0;
    double moved = bytes / b->gbs * 1e-3, computed = flops / b->tflops * 1e-6;
    return moved > computed ? moved : computed;
}

void gpu_bench_run(const struct gpu_bench *b, const struct gpu_work *w)
{
    int launches = 0;
    if (!gpu_bench_has_time(b, w->name, w->shape, w->rows)) return;
    if (w->turn_bytes > b->bytes) {
        printf("%s,%s,%lld,does not fit\n", w->name, w->shape, (long long)w->rows);
        return;
    }
    double us = gpu_bench_time_us(b, w, b->quick ? 1 : GPU_BENCH_RUNS, &launches),
           floor_us = gpu_bench_floor_us(b, w->bytes, w->flops);
    printf("%s,%s,%lld,%d,%.3f,%.0f,%.0f,%.2f,%.3f,", w->name, w->shape, (long long)w->rows,
           launches, us, w->bytes, w->flops, w->bytes / us * 1e-3, w->flops / us * 1e-6);
    if (floor_us > 0)
        printf("%.4f,%.5f\n", floor_us, floor_us / us);
    else
        printf(",\n");
    fflush(stdout);
}
