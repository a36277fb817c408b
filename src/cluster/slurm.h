/* What Slurm knows, asked through its own programs (squeue, scontrol): no library of a certain
 * release is needed, and a machine without Slurm still runs everything else. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slurm_phase {
    SLURM_WAITING, /* for a node, or to be started again */
    SLURM_ACTIVE,  /* its processes may live: running, completing, suspended */
    SLURM_ENDED
};

/* A job, or one task of an array. */
struct slurm_task {
    int64_t array_job, index; /* index -1: a job that is no array's task */
    int64_t job;              /* id of its own */
    enum slurm_phase phase;
    char state[24], reason[96];         /* in Slurm's words: PENDING, JobArrayTaskLimit */
    double submit_unix_s, start_unix_s; /* 0: none yet */
};

struct slurm_tasks {
    struct slurm_task *items; /* owned */
    size_t n, cap;
};

/* All tasks of these jobs that Slurm still remembers (ended ones for some minutes).  A job that it
 * does not know gives none.  -1 with *e: Slurm is not here, or does not answer. */
int slurm_ask(const int64_t *jobs, size_t n_jobs, struct slurm_tasks *out, struct err *e);
void slurm_tasks_free(struct slurm_tasks *t);

/* The task with this number of an array, or NULL. */
const struct slurm_task *slurm_find(const struct slurm_tasks *t, int64_t array_job, int64_t index);

/* lock_slurm_ended_fn (trace/lock.h). */
bool slurm_job_ended(const char *cluster, const char *job_id, double since_unix_s);

/* Most tasks that an array may have: indices are below it.  -1 with *e. */
int slurm_max_array(int64_t *n, struct err *e);

/* The first line of a text squeue printed -> *t; false: not such a line.  *line is moved behind it.
 */
bool slurm_parse_line(const char **line, struct slurm_task *t);
