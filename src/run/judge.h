/* The judge: a second reward model that scores the complete candidates of a finished file.  It runs
 * after the job's prompts, alone on the ranks, so it never shares memory with the two models of the
 * job; it decides nothing. */
#pragma once

#include "job/job.h"
#include "run/worker.h"
#include "trace/lock.h"

/* A judge's turn at a file.  All borrowed; path, identity and lock: of rank 0. */
struct judge_turn {
    const struct job *job;
    const char *path, *identity; /* identity: judge_identity() */
    const struct lock *lock;     /* the file's: its rows stay what was judged */
    int (*signal_seen)(void);    /* 0: none */
};

/* Are there prompts in the file that this judge did not see?  Rank 0 only.  -1 with *e: the file
 * cannot be read. */
int judge_is_due(const struct job *j, const char *path, const char *identity, bool *due,
                 struct err *e);

/* Score their complete candidates and write the rewards; what the judge cannot read stays without,
 * and is not tried again.  Rewards of another judge are replaced.  Collective over the world.
 * Returns 0, -1 with *e, or the signal that signal_seen() told of on some rank: then nothing is
 * written. */
int judge_run(const struct judge_turn *t, struct comm *world, struct err *e);
