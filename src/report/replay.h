/* One prompt of a recorded Best-of-N run under another policy, rate, schedule, smaller N or budget:
 * the run's own decisions (policy/) on the recorded lengths and rewards, without models.
 *
 * Pairing (README) makes it exact: what rejection leaves alive is bit for bit what Best-of-N
 * generated for the same candidate number.  Exact, that is, as long as every round falls on a
 * length at which the live candidates were scored. */
#pragma once

#include "policy/of_job.h"
#include "report/recording.h"

/* What is asked of the recording. */
struct replay_point {
    const struct job *job; /* borrowed */
    struct policy policy;
    int64_t budget_pages;
};

/* A text that was scored. */
struct replay_scoring {
    int32_t call, candidate; /* texts of one call are scored together */
    int64_t tokens;          /* that the reward model reads of it: without the end token */
};

/* What would have happened to a prompt.  Reused from prompt to prompt; zeroed: empty. */
struct replay {
    bool is_skipped; /* the budget cannot hold it, or it has no answer (policy_broken); the rest
                        says nothing then */
    struct err reason;
    int64_t n;                           /* candidates */
    struct policy_candidate *candidates; /* owned [n] as the run would have left them */
    int64_t best;                        /* the answer's number, -1: none */
    struct {
        struct round_row *items; /* owned; times are 0 */
        size_t n, cap;
    } rounds;
    bool is_at_once; /* all candidates were in memory from the start on, none was evicted */
    int64_t tokens_generated;
    int64_t peak_pages; /* most in use at a time, the prompt's included; of Best-of-N: with all
                           candidates in memory at once */
    /* Lengths of rounds at which nothing was recorded, in order: the longest recorded length before
     * stood in for each, so that the replay is approximate.  -1: there was none before. */
    struct {
        int64_t *items; /* owned */
        size_t n, cap;
    } missing;
    int64_t before_first; /* of these, those without a recorded length before: no stand-in */

    struct {
        struct replay_scoring *items; /* owned; in the order of the run */
        size_t n, cap;
    } scorings;
    int32_t n_calls;
    int64_t n_points; /* at which the policy was asked */

    struct policy_actions actions;
    int32_t *live; /* owned [n_live] candidates that still generate, increasing */
    int64_t n_live, capacity;
};

/* Tokens that a candidate was decoded for, drawn or not: one that broke had a last one that was
 * not. */
static inline int64_t replay_decoded(const struct policy_candidate *c)
{
    return c->n_tokens + (c->status == POLICY_BROKEN);
}

/* The point that a job asks for; its budget is the recording's unless the job names one. */
struct replay_point replay_point_of(const struct recording *r, const struct job *j);

/* Replay an ok prompt.  which [n]: the recorded candidates that take part, increasing, as
 * candidates 0 .. n - 1; NULL: the first ones.  -1 with *e: the point needs more candidates than
 * were recorded.
 */
int replay_prompt(struct replay *x, const struct recording *r, const struct recorded_prompt *p,
                  const struct replay_point *point, const int32_t *which, struct err *e);
void replay_free(struct replay *x);
