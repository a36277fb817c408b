/* What the files of the coordinator share: coordinator.c (beginning, file, end), coordinator_work.c
 * (prompts to the groups, results back), coordinator_judge.c (the judge's turn). */
#pragma once

#include "run/coordinator.h"
#include "run/flight.h"
#include "run/inputs.h"
#include "run/progress.h"
#include "run/resume.h"

#include <signal.h>

struct coordinator {
    const struct job *asked; /* the caller's: what the file is made for */
    struct job job;          /* the same, with the budget that the file says (borrowed pointers) */
    const struct run_options *options;
    struct loaded *kept; /* borrowed */
    struct worker worker;
    struct inputs inputs;
    struct policy policy;
    double start_s, start_unix_s, polled_s;
    int64_t own_in_flight; /* prompts that my group has */

    /* Rank 0 only. */
    struct resume resume;
    char *path, identity[HASH_HEX], judge_identity[HASH_HEX];
    struct trace *trace;
    struct run_row run;
    struct progress *progress;
    int64_t done;           /* prompts that are in the file, before the first and after the last */
    int64_t next;           /* in inputs: the next to hand out */
    int64_t left;           /* not handed out yet */
    int64_t *in_flight;     /* [groups] prompts that each has */
    int64_t places_working; /* of other groups, that were not told to stay empty yet */
    int64_t skipped, failed;
    int stop_signal; /* why the run ends early, 0: it does not */
    bool stop_on_error;
    struct err failure; /* of the first prompt that could not be finished */
    double busy_rank_s, reward_sum;
    int64_t rewards;
    int64_t ranked_out; /* candidates that rounds cut */
};

static inline struct comm *world_of(const struct coordinator *c)
{
    return c->worker.grid.world;
}

/* coordinator.c.  The signal that came, 0: none. */
extern volatile sig_atomic_t coordinator_signal;
/* Rank 0: into the file.  A file that cannot be written ends the program. */
void coordinator_commit(struct coordinator *c, struct trace_record *r);

/* Rank 0: what `specrej status` says of it. */
void coordinator_status(const struct coordinator *c, enum run_state state, const char *message);

/* coordinator_judge.c: the judge's turn, when it has one, alone on the ranks.  What the shell hears
 * of it.  Collective over the world. */
int coordinator_judge(struct coordinator *c, struct comm *world, struct err *e);

/* coordinator_work.c: all prompts that the file lacks.  Collective over the world. */
void coordinator_work(struct coordinator *c);
