/* The numbers that compare methods: pure functions over plain arrays; no files, no printing.
 *
 * Every function looks at the same n prompts in the same order, one array per result file (x: the
 * file in question; ref: the Best-of-N file it is held against).  `times` [n] says how often each
 * prompt counts, NULL once each: a bootstrap resample is such a list, so that an interval is the
 * same function called 10,000 times.  What cannot be formed is NaN. */
#pragma once

#include <stdint.h>

enum metrics_amount {
    AMOUNT_WALL_S,    /* from the prompt's start to its end in its group */
    AMOUNT_COMPUTE_S, /* the same times the ranks that worked on it: prefill and scoring included,
                         loading and idling not */
    AMOUNT_TOKENS_GENERATED,
    AMOUNT_TOKENS_SCORED,
    AMOUNT_FLOPS,    /* of both models */
    AMOUNT_BYTES,    /* of weights and KV that both models had to move */
    AMOUNT_ENERGY_J, /* of the ranks that worked on it; NaN: not known */
    METRICS_AMOUNTS
};

/* One prompt in one file. */
struct metrics_prompt {
    double best;           /* reward of the answer; NaN: none */
    double min, max, mean; /* final rewards of the complete candidates; NaN: not recorded */
    double amount[METRICS_AMOUNTS];
    int64_t winner;          /* candidate number of the answer, -1: none */
    const int32_t *complete; /* numbers of the complete candidates; borrowed */
    int64_t n_complete;      /* -1: not recorded */
};

struct interval {
    double low, high;
};

struct curve_point {
    double compute, score;
};

enum speedup_kind {
    SPEEDUP_NONE,
    SPEEDUP_EQUAL,
    SPEEDUP_AT_LEAST, /* the score lies above all that Best-of-N reached */
    SPEEDUP_AT_MOST,  /* the score lies below the smallest Best-of-N that was measured */
    SPEEDUP_KINDS
};
extern const char *const speedup_kind_names[SPEEDUP_KINDS]; /* "at_least" */
struct speedup {
    enum speedup_kind kind;
    double value;
};

double metrics_ratio(double a, double b); /* NaN unless b > 0 */

/* Fill p->min, max and mean from the final rewards [n] of the complete candidates. */
void metrics_spread(struct metrics_prompt *p, const float *reward, int64_t n);

double metrics_mean_best(const struct metrics_prompt *x, int64_t n, const int32_t *times);
double metrics_improvement_score(const struct metrics_prompt *ref, const struct metrics_prompt *x,
                                 int64_t n, const int32_t *times);
/* Prompts that the improvement score leaves out: all candidates of the reference got one reward. */
int64_t metrics_without_spread(const struct metrics_prompt *ref, int64_t n);

double metrics_kept_share(const struct metrics_prompt *ref, const struct metrics_prompt *x,
                          int64_t n, const int32_t *times);
double metrics_survival(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                        const int32_t *times);
double metrics_regret(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                      const int32_t *times);

double metrics_total(const struct metrics_prompt *x, int64_t n, const int32_t *times,
                     enum metrics_amount what);
double metrics_share(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                     const int32_t *times, enum metrics_amount what);

/* Expected value of the best by reward among k of n candidates: all subsets of that size count
 * alike.  No reward is NaN; ties go to the lower number.  NaN when there are fewer than k. */
double metrics_best_of_subset(const double *reward, const double *value, int64_t n, int64_t k);

/* Make measured points [n] a curve: by compute, the score never falling. */
void metrics_curve(struct curve_point *points, int64_t n);
struct speedup metrics_speedup(const struct curve_point *curve, int64_t n, double score,
                               double compute);

/* times [n] of one bootstrap resample: n draws with replacement.  The same for every file. */
void metrics_resample(uint64_t seed, uint32_t resample, int32_t *times, int64_t n);
/* The middle 95 % of values [n], whose order it changes; those that are NaN do not count. */
struct interval metrics_interval(double *values, int64_t n);
