/* What those ask of a prompt who do not run it. */
#pragma once

#include "run/worker.h"
#include "trace/writer.h"

/* Candidates of a prompt under job.n (auto or a number), or 0 with *e when the budget cannot hold
 * them. */
int64_t prompt_candidates(const struct worker *w, int64_t prompt_tokens, struct err *e);

/* Frees the arrays of a prompt's record, and empties it. */
void prompt_record_free(struct trace_record *r);
