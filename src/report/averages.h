/* A comparison's files as points of a sweep: files that differ in nothing but their seed are one
 * point, whose numbers are means over the seeds; and the points that are missing.
 *
 * Intervals are percentiles over the resamples of prompts that the comparison drew: one resample is
 * the same for all files (so all seeds of a prompt stay together), and everything is formed anew in
 * it, the curve of the speedup included.
 * Source: this project's design, section 9. */
#pragma once

#include "report/cells.h"
#include "report/compare.h"

struct average {
    int first, n_files; /* files of the comparison, by seed */
    double rounds, best_reward, score, kept, survival, regret;
    double total[METRICS_AMOUNTS]; /* per seed */
    double relative_compute;       /* of all seeds, to all their references' */
    struct speedup speedup;
    struct interval score_interval, kept_interval, compute_interval;
    struct speedup speedup_low, speedup_high; /* a limit beyond the curve's end is a bound, too */
    double rank_hours;                        /* of all seeds */
};

/* In the product of what a method's files have (N, alpha and rounds, as far as they matter to it)
 * and all files' seeds, but in no file. */
struct missing_point {
    int like;   /* a file of that method */
    int rounds; /* a file with those rounds */
    int64_t n;
    double alpha;
    uint64_t seed;
};

struct averages {
    struct average *items; /* owned [n], in the files' order */
    int n;
    struct {
        struct missing_point *items; /* owned */
        size_t n, cap;
    } missing;
};

void averages_make(struct averages *p, const struct comparison *c);
void averages_free(struct averages *p);

/* Whether two files are of one method, its variant and a replay of it told apart. */
bool averages_same_method(const struct source *a, const struct source *b);

/* What two points of the same method, N, alpha and rounds differ in: the key's entry in the file
 * `a`; NULL when they are the same or differ in those. */
const struct entry *averages_differ(const struct comparison *c, int a, int b);

/* The key that keeps two files of one method from being of one curve, as `b` has it: any but seed,
 * N and alpha that changes what its method does or what that costs; NULL: none. */
const struct entry *averages_curve_differs(const struct source *a, const struct source *b);

/* "speculative_rejection, N 120, alpha 0.5, rounds memory, seed 3" */
char *averages_missing_text(char out[4 * CELL], const struct comparison *c,
                            const struct missing_point *m);
