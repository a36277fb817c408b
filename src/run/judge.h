/* The judge: a second reward model that scores the complete candidates of a finished file.  It runs
 * after the job's prompts, alone on the ranks, so it never shares memory with the two models of the
 * job; it decides nothing. */
#pragma once

#include "job/job.h"
#include "run/worker.h"

/* Are there prompts in this file that this judge (judge_identity) did not see?  Rank 0 only.  -1
 * with *e: the file cannot be read. */
int judge_is_due(const struct job *j, const char *path, const char *identity, bool *due,
                 struct err *e);

/* Score their complete candidates and write the rewards; what the judge cannot read stays without,
 * and is not tried again.  Rewards of another judge are replaced.  Collective over the world; path
 * and identity: used on rank 0.  Returns 0, -1 with *e, or the signal that signal_seen() told of on
 * some rank: then nothing is written. */
int judge_run(const struct job *j, const char *path, const char *identity, struct comm *world,
              int (*signal_seen)(void), struct err *e);
