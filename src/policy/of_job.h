/* From a job to its policy, and to the candidates that a prompt starts with: the same for a run and
 * for a replay of it. */
#pragma once

#include "job/job.h"
#include "policy/policy.h"

/* The policy that a job asks for.  Borrows the job's schedules. */
struct policy policy_of_job(const struct job *j);

/* Speculative Rejection whose candidates all come to their end is Best-of-N, at Best-of-N's cost.
 * For who sees that it was or will be so: what has to change in the job, in words, and *why they
 * could all go on; NULL for a job that asks for no rejection. */
const char *policy_rejects_nobody(const struct job *j, const char **why);

/* Candidates of a prompt under job.n (auto or a number) within a logical budget that
 * n_shares groups divide among themselves (1: they decide together), or 0 with *e when it cannot
 * hold them. */
int64_t policy_candidates(const struct job *j, int64_t budget_pages, int64_t n_shares,
                          int64_t prompt_tokens, struct err *e);

/* Pages that a candidate of n_tokens is expected to hold before it is complete: optimistic
 * admission of Best-of-N goes by the mean length of the complete ones (0: none yet, then half of
 * max_new_tokens); batching: static by the longest. */
int64_t policy_expected_pages(const struct job *j, int64_t mean_complete, int64_t n_tokens);
