/* Several result files of one dataset and model pair, side by side: which prompts can be compared,
 * what each file is held against, and the numbers of metrics.h for each. */
#pragma once

#include "report/reference.h"

#define COMPARE_RESAMPLES   10000
#define COMPARE_SEED        20541 /* of the resamples: the same files give the same intervals */
#define COMPARE_REFERENCE_N 120   /* of the improvement score, when there is such a file */

/* One file's numbers; NaN: cannot be formed. */
struct compare_row {
    int reference;  /* file that the improvement score and relative compute are held against; -1 */
    int partner;    /* of the reference's method (baseline.h), the same N and seed; -1: none */
    bool is_paired; /* with the partner: the same candidate numbers are the same candidates */
    double rounds;  /* made per prompt */
    double best_reward, score, kept, survival, regret;
    struct interval score_interval, kept_interval;
    double total[METRICS_AMOUNTS];         /* over the compared prompts */
    double partner_share[METRICS_AMOUNTS]; /* of the partner's total */
    double relative_compute;               /* to the reference */
    struct speedup speedup;
    int64_t without_spread; /* prompts that the score leaves out */
    double rank_hours;      /* of the whole file: all prompts, loading and idling */
};

/* What every resample of the prompts gives for every file; NaN: cannot be formed. */
enum resampled {
    RESAMPLED_SCORE,
    RESAMPLED_KEPT,
    RESAMPLED_COMPUTE, /* total[AMOUNT_COMPUTE_S] */
    RESAMPLED_NUMBERS
};

struct left_out {
    int64_t prompt_index;
    int file;  /* the first that lacks it */
    char *why; /* owned */
};

struct comparison {
    struct source
        *files; /* owned [n_files], Best-of-N first, by N, alpha, rounds, the rest, seed */
    struct compare_row *rows; /* owned [n_files] */
    int n_files;
    const struct reference *asked; /* borrowed */
    int reference; /* the file that a row of its own seed has as reference; -1: no Best-of-N file */
    int64_t *prompt_index; /* owned [n_prompts]: ok in all files, ascending */
    int64_t n_prompts;
    struct {
        struct left_out *items; /* owned */
        size_t n, cap;
    } left_out;
    double *resampled; /* owned [RESAMPLED_NUMBERS][n_files][COMPARE_RESAMPLES] */
};

/* Of sources [n] that were read or made, which it takes over.  asked: borrowed as long as *c lives;
 * NULL or nothing asked for: Best-of-120, else of the largest N there is.  -1 with *e: sources of
 * different models, data or sampling; no such reference, or several; no prompt that is ok in all.
 * Release *c with comparison_free in both cases. */
int comparison_of(struct comparison *c, struct source *sources, int n,
                  const struct reference *asked, struct err *e);
void comparison_free(struct comparison *c);

static inline double resampled_at(const struct comparison *c, enum resampled what, int file, int b)
{
    size_t row = (size_t)what * (size_t)c->n_files + (size_t)file;
    return c->resampled[row * COMPARE_RESAMPLES + (size_t)b];
}
