/* A point on more and more ranks: groups times tensor, with the same prompts (strong), with prompts
 * for every group (weak), and with all groups on one prompt (split: candidates). */
#pragma once

#include "run/plan/point.h"

#define SCALE_MAX_RANKS 1024
#define SCALE_TENSORS   4 /* 1, 2, 4, 8 */

struct scale_cell {
    bool fits;
    double strong_s;     /* the job */
    double weak_s;       /* weak_prompts prompts for each group */
    double weak_alone_s; /* as many prompts of mean length on one group alone */
    double candidate_s;  /* a prompt that all groups share */
};
struct scale_row {
    int64_t ranks, nodes;
    struct scale_cell cells[SCALE_TENSORS];
    int best;                               /* cell of the shortest job, -1: none fits */
    double speedup, efficiency, rank_hours; /* of that cell, against the first row that fits */
    double weak_efficiency; /* of groups as in the first row that fits, against one alone */
};
struct scale {
    int64_t tensors[SCALE_TENSORS];
    struct scale_row rows[11]; /* 1, 2, ..., 1024 ranks */
    int n_rows;
    int64_t weak_prompts; /* for each group */
};

void scale_make(struct scale *t, const struct point_setup *s, const struct job *j);
