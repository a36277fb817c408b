/* A grid of points over one recorded Best-of-N run: each replayed on every prompt (replay.h), with
 * its costs (costs.h), as the sources of a comparison (compare.h). */
#pragma once

#include "job/sweep.h"
#include "report/compare.h"
#include "report/costs.h"

struct replay_grid_options {
    const char *const *set; /* [n_set] KEY=VALUE over the file's own job, sweep.KEY=[...] too */
    int n_set;
    bool nearest;    /* where nothing was recorded, take the longest recorded length before */
    int64_t subsets; /* random subsets of a smaller N; 0: none */
};

struct replay_grid {
    struct recording recording;
    struct costs costs;
    struct sweep sweep;
    struct job *jobs; /* owned [n]; the jobs' texts are the sweep's: the points, then Best-of-N of
                         each of their N, to hold them against */
    int n;
    char **names;           /* owned [n]: the sources' paths */
    struct source *sources; /* owned [n] until replay_grid_take */
    int64_t n_approximate;
};

/* Replay everything.  The points are of method speculative_rejection and score nothing on the way
 * unless `set` says so.  -1 with *e: the file cannot be replayed; a key that would change the
 * candidates; more candidates or budget than were recorded; rounds at lengths that were not
 * recorded (all are listed) without `nearest`, or with nothing recorded before them.  Release *g
 * with replay_grid_close in both cases. */
int replay_grid_make(struct replay_grid *g, const char *path, const struct replay_grid_options *o,
                     struct err *e);
/* The sources, for comparison_of. */
struct source *replay_grid_take(struct replay_grid *g);
void replay_grid_close(struct replay_grid *g);

/* What a replayed prompt adds to a comparison.  cost: NULL where it does not matter.  Release
 * p->complete. */
void replay_grid_fill(struct source_prompt *p, const struct prompt_row *row, const struct replay *x,
                      const struct cost_of_prompt *cost);
