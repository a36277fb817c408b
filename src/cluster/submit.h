/* The verb `sweep --submit`: the points that are not complete, as a job array. */
#pragma once

#include "cluster/point.h"

#include <stdio.h>

struct submit_options {
    const char *folder;        /* NULL: NAME.sweep in the working directory */
    const char *command;       /* as it was typed, to say how to go on */
    int64_t max_running;       /* tasks at a time; 0: Slurm's own limits */
    int64_t per_task;          /* points per task; 0: as few as MaxArraySize allows */
    const char *const *sbatch; /* options for sbatch, borrowed */
    int n_sbatch;
    bool dry_run;
};

/* Submit what is neither complete nor in the queue through slurm/submit.sh.  Says on `out` what was
 * done and how to watch it, or, dry_run, what would be.  -1 with *e: nothing was submitted, or
 * (then the text gives the job's id) it could not be noted down. */
int submit(const struct sweep *s, const struct submit_options *o, FILE *out, struct err *e);
