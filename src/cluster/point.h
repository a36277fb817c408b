/* How far a sweep's points are: from their status files, their result files and Slurm. */
#pragma once

#include "cluster/folder.h"
#include "cluster/slurm.h"

enum point_state {
    POINT_COMPLETE, /* every prompt that its job asks for is in its file */
    POINT_RUNNING,
    POINT_WAITING, /* in Slurm's queue, or in a task that runs another point */
    POINT_STOPPED, /* can go on; nobody is at it */
    POINT_FAILED,  /* its last start ended with an error */
    POINT_NEW,     /* nothing was done yet, and it is in no queue */
    POINT_STATES
};

const char *point_state_name(enum point_state s);

struct point {
    const struct job *job; /* borrowed */
    char id[HASH_HEX];
    char *output; /* owned */
    enum point_state state;
    int64_t done, prompts; /* prompts in the file, and asked for; prompts -1: the dataset cannot be
                              read here */
    double eta_s, tokens_per_s; /* while it runs; eta_s NaN: unknown */
    char where[96];             /* "task 4711_3, PENDING (Resources)"; "" */
    char note[512];             /* why it failed */
};

struct points {
    struct point *items; /* owned */
    size_t n;
};

/* Look at n jobs.  folder: what was submitted of them, or NULL.  Slurm is asked only where the
 * folder knows of submissions; *no_slurm says why it did not answer, else "". */
void points_look(struct points *p, const struct job *jobs, size_t n,
                 const struct sweep_folder *folder, struct err *no_slurm);
void points_free(struct points *p);

/* Prompts in a job's result file; 0 when it is not there, or cannot be read.  Asks nobody else. */
int64_t point_done(const struct job *j);
