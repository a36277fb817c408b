/* How long responses will be.  Before a run nobody knows: the bound, a mean that somebody expects,
 * or what a result file of such a job shows. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* survive[t]: share of candidates that would go on after t tokens, if nothing rejected them;
 * survive[0] = 1, survive[max_new] = 0. */
struct lengths {
    int64_t max_new;
    double *survive; /* owned [max_new + 1] */
};

/* All candidates reach the limit. */
void lengths_bound(struct lengths *l, int64_t max_new);
/* The same chance to end at every token (geometric, cut at max_new) with this mean.  -1 with *e:
 * not between 1 and max_new. */
int lengths_mean(struct lengths *l, int64_t max_new, double mean, struct err *e);
/* From candidates that were seen: ended[t] of them ended by themselves with t tokens, seen[t] of
 * them had t tokens when they were last seen, ended or cut off (t <= seen_max).  The estimate of
 * Kaplan and Meier (1958): who was cut off counts as long as it lived.  Beyond seen_max the mean
 * chance to end goes on. */
void lengths_seen(struct lengths *l, int64_t max_new, const int64_t *ended, const int64_t *seen,
                  int64_t seen_max);
void lengths_free(struct lengths *l);

double lengths_mean_of(const struct lengths *l);
/* The length that share u in [0, 1) of the candidates exceed or reach. */
int64_t lengths_at(const struct lengths *l, double u);
/* Of candidate `candidate` of prompt `prompt`: the same whoever asks. */
int64_t lengths_draw(const struct lengths *l, int64_t prompt, int64_t candidate);
