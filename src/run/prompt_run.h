/* One prompt from prefill to the best answer: the loop of the paper, driven by a policy.
 *
 * Works on all ranks that share the prompt (grid.share): each group decodes and scores the
 * candidates that it owns; the first rank of the deciding ranks sees them all, asks the policy and
 * broadcasts its actions. */
#pragma once

#include "policy/of_job.h"
#include "run/worker.h"
#include "trace/writer.h"

enum prompt_outcome { PROMPT_DONE, PROMPT_ABANDONED };

/* Run one prompt.  Collective over grid.share.  On the first rank of share *record receives the
 * prompt's rows (owned by the caller: prompt_record_free); other ranks get an empty one.  A prompt
 * that cannot be run is recorded with status PROMPT_SKIPPED or PROMPT_FAILED and its reason.
 * Returns PROMPT_ABANDONED when the worker was told to stop. */
enum prompt_outcome prompt_run(struct worker *w, const struct prompt_input *in,
                               const struct policy *policy, struct trace_record *record);
void prompt_record_free(struct trace_record *r);

/* Candidates of this prompt under job.n (auto or a number), or 0 with *e when the budget cannot
 * hold them. */
int64_t prompt_candidates(const struct worker *w, int64_t prompt_tokens, struct err *e);
