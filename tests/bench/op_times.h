/* What the ops of a backend take, for one that computes while it is called.  Its table is replaced
 * by one whose ops look at the clock (bench_clock_s) before and after. */
#pragma once

#include "bench/bench.h"

struct op_times {
    struct {
        char name[40];
        int64_t calls;
        double s, flops; /* flops: of products */
    } items[32];
    int n;
};

/* From here on the backend's ops are added to *t; NULL: to nothing. */
void op_times_into(const struct bench *b, struct op_times *t);
/* Lines "# op, calls, ms, share of total_s, GFLOP/s", the slowest first, then what is left. */
void op_times_print(struct op_times *t, double total_s);
