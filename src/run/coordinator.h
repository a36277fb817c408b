/* A point from job to result file: rank 0 reads, hands out prompts, collects, commits; every group
 * works.
 *
 * split: prompts     each group's leader asks rank 0 for the next prompt, so that uneven lengths
 * stall nobody; rank 0 serves them between the steps of its own work. split: candidates  all groups
 * share one prompt after the other.
 *
 * SIGUSR1 and SIGTERM: the prompts in flight are left, what is committed stays, exit status 75. */
#pragma once

#include "job/job.h"
#include "run/exit_status.h"
#include "run/loaded.h"
#include "trace/lock.h"

struct run_options {
    bool allow_mixed;                /* continue a file that another kind of device began */
    bool quiet;                      /* no progress, no summary */
    const char *command;             /* how to continue, for the last line */
    const char *which;               /* " 3/6", of a sweep's points; NULL: the only one */
    lock_slurm_ended_fn slurm_ended; /* cluster/slurm.h; NULL: Slurm is not asked */
};

/* Run one point.  kept: the models of the point before, and then of this one.  Collective over the
 * world; the same status on every rank.  The error's text is in *e. */
int coordinator_run(const struct job *j, const struct run_options *o, struct comm *world,
                    struct loaded *kept, struct err *e);
