/* Random subsets of N' of the recorded candidates: what runs with other candidates of the same
 * generator could have given, as intervals that no single run has.
 *
 * Each subset is drawn for every prompt anew, held against Best-of-N' of the same subset, and
 * counts as one run.  A fixed seed: the same file gives the same intervals. */
#pragma once

#include "report/replay_grid.h"

/* Fill in source.subsets of the grid's points whose N is smaller than what was recorded; with draws
 * 0 of none.  Before replay_grid_take. */
int subsets_make(struct replay_grid *g, int64_t draws, struct err *e);

/* which [n]: n of all candidates 0 .. all - 1, increasing; scratch [all]. */
void subsets_draw(uint32_t draw, int64_t prompt_index, int32_t *which, int64_t n, int64_t all,
                  int32_t *scratch);
