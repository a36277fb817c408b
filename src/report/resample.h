/* The numbers of every bootstrap resample of the prompts, for many files at once: bit for bit what
 * metrics.h's functions give when they are called with each resample's times one after the other,
 * in a fraction of the time. */
#pragma once

#include "report/metrics.h"

/* One file: its prompts [n], those it is held against (NULL: nobody), and where its numbers go. */
struct resample_file {
    const struct metrics_prompt *x, *reference, *partner; /* borrowed */
    double *score;   /* [count] improvement score against the reference, NaN without one */
    double *kept;    /* [count] share kept of the partner's gain, likewise */
    double *compute; /* [count] total AMOUNT_COMPUTE_S */
};

/* Fill in the numbers of resamples 0 .. count - 1 (metrics_resample) of n prompts.  A resample is
 * drawn once and applied to all files. */
void resample_files(const struct resample_file *files, int n_files, int64_t n, uint64_t seed,
                    int64_t count);
