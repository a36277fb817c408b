/* What the benchmarks of kernels and products share: memory, times, and the line that is printed.
 *
 *     gpu_... [--quick] [--gbs X --tflops Y] [--seconds S]
 *
 * --gbs, --tflops: this card's own rates (gpu_ceilings); floor and ratio are computed from them.
 * --seconds: what is not begun by then is listed as not measured.  --quick: a tiny shape and few
 * runs, to try the program itself.  Elsewhere the shape is Llama-3-8B's, in bf16.
 *
 * A time is the median of nine runs of a recorded graph of many launches, between two events of the
 * device, so that the host's launching is not in it.  Where what a launch touches would stay in the
 * cache, launches take turns in pieces of memory that together are four times the cache. */
#pragma once

#include "base/check.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#define CHECK(call) CHECK_GEN(call, cudaSuccess, gpu_bench_error)
const char *gpu_bench_error(int status);

struct gpu_shape {
    int64_t D, H, G, E, F, V, L;
};

struct gpu_bench {
    bool quick;
    double gbs, tflops, seconds; /* 0: not given */
    double begun_s;
    struct gpu_shape shape;
    const int64_t *rows; /* [n_rows] that kernels on rows are timed for */
    int n_rows;
    char *memory; /* device memory, owned: bf16 of either sign in [1, 2), or what gpu_bench_fill
                     wrote */
    size_t bytes, cache_bytes;
    int multiprocessors;
    cudaStream_t stream;
};

/* One line of the table. */
struct gpu_work {
    const char *name;
    char shape[96]; /* without a comma */
    int64_t rows;
    double bytes, flops; /* that a launch cannot do without */
    size_t turn_bytes;   /* of memory that a launch works in, aligned to 256 */
    /* Enqueue one launch that works at `memory`; a status, 0 is success.  It is recorded. */
    int (*launch)(const void *arg, char *memory, int64_t turn, cudaStream_t stream);
    const void *arg;
};

void gpu_bench_begin(struct gpu_bench *b, int argc, char **argv);
void gpu_bench_end(struct gpu_bench *b);
/* Repeat a block of the host's over all of the memory. */
void gpu_bench_fill(struct gpu_bench *b, const void *block, size_t bytes);
/* A copy of `bytes` bytes on the device, or nothing written there (host NULL); cudaFree ends it. */
void *gpu_bench_copy(const void *host, size_t bytes);
/* Median microseconds of a launch, of `runs` runs (odd); *launches: how many a run has. */
double gpu_bench_time_us(const struct gpu_bench *b, const struct gpu_work *w, int runs,
                         int *launches);
/* Is there time left?  No: a line that says so is printed. */
bool gpu_bench_has_time(const struct gpu_bench *b, const char *name, const char *shape,
                        int64_t rows);
/* Microseconds below which nobody does it on this card; 0: rates not given. */
double gpu_bench_floor_us(const struct gpu_bench *b, double bytes, double flops);

#define GPU_BENCH_RUNS 9
#define GPU_BENCH_HEADER                                                                           \
    "kernel,shape,rows,launches,time_us,bytes,flops,gb_s,tflop_s,floor_us,ratio\n"
/* Time it and print its line. */
void gpu_bench_run(const struct gpu_bench *b, const struct gpu_work *w);

/* `bytes`, rounded up so that what follows is aligned. */
static inline size_t gpu_bench_aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}
