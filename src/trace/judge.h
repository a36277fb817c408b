/* The judge's rewards into a finished file: rows of /candidates change, so the file is written anew
 * and replaced by rename. */
#pragma once

#include "base/err.h"
#include "trace/format.h"
#include "trace/lock.h"

/* Set judge_reward of the n candidate rows of a committed prompt.  row: its number in /prompts. */
typedef void (*trace_judge_fn)(void *arg, int64_t row, struct candidate_row *candidates, int64_t n);

/* Who judged: attributes of the file afterwards. */
struct trace_judge_meta {
    const char *judge;    /* hash of the judge: attribute `judge` */
    const char *job_yaml; /* the file's job, with this judge */
};

/* Under the file's lock, which the caller holds since it first looked at the file: every committed
 * prompt's candidates through `judge`.  All prompts then count as judged.  -1 with *e: nothing
 * changed. */
int trace_judge(const char *path, const struct lock *lock, const struct trace_judge_meta *meta,
                trace_judge_fn judge, void *arg, struct err *e);
