/* Random subsets of N' of the recorded candidates: what runs with other candidates of the same
 * generator could have given, as intervals that no single run has.
 *
 * Each subset is drawn for every prompt anew, held against Best-of-N' of the same subset, and
 * counts as one run.  A fixed seed: the same file gives the same intervals. */
#pragma once

#include "base/json.h"
#include "report/replay_grid.h"

enum subset_value {
    SUBSET_BEST_REWARD,
    SUBSET_KEPT,     /* share kept */
    SUBSET_SURVIVAL, /* winners that survived */
    SUBSET_TOKENS,   /* generated */
    SUBSET_VALUES
};

struct subset_point {
    const char *name; /* borrowed: the source's path */
    double mean[SUBSET_VALUES];
    struct interval interval[SUBSET_VALUES]; /* the middle 95 % */
};

struct subsets {
    struct subset_point *items; /* owned [n]: points whose N is smaller than what was recorded */
    int64_t n, draws;
};

/* Draws none when `draws` is 0.  Before replay_grid_take. */
int subsets_make(struct subsets *s, const struct replay_grid *g, int64_t draws, struct err *e);
void subsets_free(struct subsets *s);

/* which [n]: n of all candidates 0 .. all - 1, increasing; scratch [all]. */
void subsets_draw(uint32_t draw, int64_t prompt_index, int32_t *which, int64_t n, int64_t all,
                  int32_t *scratch);

void subsets_print(const struct subsets *s, const struct comparison *c, FILE *out);
json_t *subsets_json(const struct subsets *s);
void subsets_csv_head(const struct subsets *s, FILE *out);
void subsets_csv(const struct subsets *s, const char *name, FILE *out);
