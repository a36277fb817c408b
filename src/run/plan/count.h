/* What a prompt takes, from the simulation (run/plan/work.h): its work, its price, its rows in the
 * result file.
 *
 * Up to COUNT_MOST candidates each is simulated.  Of more, a simulated one stands for several that
 * are alike, in a budget as many times smaller; where that would leave too few of them in memory at
 * a time (Best-of-N in a small budget), the first COUNT_MOST are simulated, and the others go on at
 * the pace of the later half of them. */
#pragma once

#include "run/plan/inputs.h"
#include "run/plan/lengths.h"
#include "run/plan/price.h"
#include "run/worker.h"

#define COUNT_MOST 4096

struct count_setup {
    const struct plan_inputs *inputs; /* borrowed */
    const struct lengths *lengths;    /* borrowed */
    const struct worker *worker;      /* borrowed; with job, budget and groups */
    struct price_setup price;
};

struct prompt_count {
    struct work work; /* its arrays are empty */
    struct price price;
    double file_bytes, judge_s;
    int64_t n;       /* candidates */
    int64_t counted; /* of them simulated one by one or as one of several */
};

/* -1 with *e: the budget cannot hold its candidates. */
int count_prompt(struct prompt_count *c, const struct count_setup *s,
                 const struct plan_prompt *prompt, struct err *e);

/* sum += c; peaks are maxima. */
void count_add(struct prompt_count *sum, const struct prompt_count *c);
/* The mean of `n` that were added. */
void count_divide(struct prompt_count *sum, int64_t n);
