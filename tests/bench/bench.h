/* What the benchmarks of a random model of a given shape share: options, the model, pages, medians.
 *
 *     bench_... CONFIG_FOLDER [options] B...
 *         --backend auto|cpu|cuda   --dtype auto|f32|bf16|f16|fp8
 *         --rows R       most rows of a forward pass        --repeat R
 *         --reproducible yes|no     how ranks add up; one rank does the same in both
 *         --gbs X --tflops Y        a rank's measured rates: floor and ratio are printed
 *         --seconds X    what is not begun by then is listed as not measured
 *         --clock wall|processor    processor: its time over the threads, which other programs blur
 * less
 *         --ops yes      after each line, what its ops took (op_times.h)
 *
 * and those of the program's own, whose values are numbers, lists "1,2,3" or words "a,b". */
#pragma once

#include "decode/kvcache.h"

enum { BENCH_MOST = 32 };

struct numbers {
    int64_t items[BENCH_MOST];
    int n;
};

struct words {
    const char *items[BENCH_MOST];
    int n;
};

/* One of the pointers says what the value is. */
struct bench_option {
    const char *name;
    int64_t *number;
    struct numbers *numbers;
    struct words *words;
};

struct bench {
    const char *folder;
    struct numbers B; /* what has no name */
    enum device_choice device;
    enum dtype dtype;
    bool reproducible, by_processor, shows_ops;
    int64_t rows, repeat;
    double gbs, tflops, seconds, begun_s;
    struct comm *world;
    struct model m; /* random weights; prepared by who measures */
};

/* MPI, options, backend, model; prints what it is.  b holds the defaults of rows and repeat; own
 * [n]: options of this program, after those above.  Ends the program where something is wrong. */
void bench_begin(struct bench *b, const struct bench_option *own, size_t n, int argc, char **argv);
void bench_end(struct bench *b);

/* Place of `text` in a list that ends with NULL; ends the program where it is not there. */
int bench_choose(const char *text, const char *const *names);

/* Seconds since some beginning, by the clock that was asked for. */
double bench_clock_s(const struct bench *b);
/* Is --seconds over? */
bool bench_is_late(const struct bench *b);
/* x [n] is sorted. */
double bench_median(double *x, int64_t n);
/* Token id i of any text. */
int32_t bench_token(const struct bench *b, int64_t i);
/* `want` pages, or as many as fit beside the model's passes over `positions` and what else is
 * taken. */
int64_t bench_pages(const struct bench *b, int64_t want, int64_t positions, size_t else_bytes);
/* Work since a reading of m.stats. */
struct model_stats bench_since(const struct bench *b, const struct model_stats *then);
