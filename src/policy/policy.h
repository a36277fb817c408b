/* The seam between deciding and doing.  A policy is a pure function of what it sees: no I/O, no
 * MPI, no device.  The same code decides in a running job and in a replay of a recorded one.
 *
 * A policy is asked at `decision points`: before the first step, at every page boundary of the live
 * candidates, at the lengths that it names (wants), and when nothing is live any more.  It answers
 * with actions; when it asked for scores, it is asked again at the same point with view.scored set.
 * Adding a policy = one file, one test, one row in policy_create. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_candidate_status {
    POLICY_WAITING, /* started, holds no memory yet (or was evicted) */
    POLICY_LIVE,
    POLICY_COMPLETE, /* finished or truncated */
    POLICY_REJECTED, /* dropped; counts no more */
    POLICY_BROKEN    /* its logits were not finite: ranked as the worst until it is cut, never wins;
                        its reward is NaN, taken at its n_tokens */
};

/* It travels between ranks as it is: no padding, whose bytes nobody sets. */
struct policy_candidate {
    enum policy_candidate_status status;
    int32_t rejected_round; /* -1: never cut; a complete candidate that was cut keeps its status */
    int64_t n_tokens;
    int64_t pages; /* KV pages that it holds */
    float reward;  /* latest, NaN before the first scoring */
    int32_t reserved;
    int64_t reward_tokens; /* n_tokens when it was taken, -1: never */
    double logprob_sum;
};

struct policy_view {
    const struct policy_candidate *candidates; /* [n], numbered from 0 */
    int64_t n;
    int64_t step;  /* tokens that the live candidates have (lockstep policies) */
    int64_t round; /* rounds so far */
    int64_t n_live, n_waiting;
    int64_t free_pages; /* of the prompt's budget, after what is in use */
    int64_t need_pages; /* that the live candidates take with the next step */
    bool scored;        /* the scores that were asked for at this point are there */
};

enum policy_trigger { POLICY_MEMORY, POLICY_SCHEDULE, POLICY_EARLY, POLICY_FINAL };

/* Filled by decide; arrays have room for n entries each and belong to the caller
 * (policy_actions_*). */
struct policy_actions {
    int32_t *score; /* candidates whose reward is wanted now */
    int64_t n_score;
    int32_t *drop; /* live: stop, free the memory; complete: marked as cut, may still win unless
                      complete_lost */
    int64_t n_drop;
    int32_t *fork; /* parents; the new candidates get the next numbers, in this order */
    int64_t n_fork;
    int64_t admit;      /* start this many new candidates */
    bool complete_lost; /* complete candidates among drop can no longer win */
    bool stop;          /* the prompt is done */
    /* When this decision is a round, what the record says of it. */
    bool is_round;
    enum policy_trigger trigger;
    int64_t ranked, kept,
        complete; /* candidates that counted, stayed, and were complete among those that counted */
    float cut_reward; /* worst reward that stayed */
};

/* When a policy wants to be asked, in tokens of the live candidates.  WHEN_PAGES: at the page
 * boundaries, where memory rounds are held (17, 33, ...). */
enum policy_when { WHEN_NEVER, WHEN_EVERY, WHEN_DOUBLING, WHEN_PAGES, WHEN_AT };
struct policy_schedule {
    enum policy_when when;
    int64_t every;
    const int64_t *at; /* [n_at] increasing, borrowed */
    int64_t n_at;
};
bool policy_schedule_has(const struct policy_schedule *s, int64_t step);
/* The first scheduled step after `step`, INT64_MAX when there is none. */
int64_t policy_schedule_next(const struct policy_schedule *s, int64_t step);

enum policy_kind { POLICY_BEST_OF_N, POLICY_SPECULATIVE_REJECTION, POLICY_PAPER_CODE_2024 };

struct policy_config {
    int64_t n;    /* candidates */
    double alpha; /* rejection rate, above 0 (a job with alpha = 0 is run as Best-of-N) */
    struct policy_schedule schedule; /* rounds (speculative_rejection) or score_at (best_of_n) */
};

struct policy {
    const struct policy_ops *ops;
    struct policy_config config;
    int64_t consumed; /* last scheduled step that was used up: made early, or done */
};

struct policy_ops {
    const char *name;
    /* All live candidates advance together and memory runs out at page boundaries, where the policy
     * decides; all are admitted before the first step, and forks take free pages.  When false,
     * candidates start as memory allows and may be evicted; where groups share out a prompt's
     * candidates, each then asks by itself (those of the others look rejected). */
    bool lockstep;
    void (*decide)(struct policy *p, const struct policy_view *v, struct policy_actions *a);
};

struct policy policy_create(enum policy_kind kind, const struct policy_config *c);
/* Is `step` one of the lengths at which this policy wants to be asked, besides page boundaries? */
bool policy_wants(const struct policy *p, int64_t step);
/* A lockstep policy's first decision point after `step`: a page boundary of the live candidates (1,
 * 17, 33, ...) or a length that it wants. */
int64_t policy_next_point(const struct policy *p, int64_t step);
/* Fill in n_live, n_waiting and need_pages of a view that has its candidates and step. */
void policy_count(const struct policy *p, struct policy_view *v);
/* Clears the actions, then asks. */
void policy_decide(struct policy *p, const struct policy_view *v, struct policy_actions *a);

/* Does it have a place in the next round's order? */
bool policy_counts(const struct policy_candidate *c);
/* What a drop in `round` does to a candidate.  Returns whether it can no longer win: it was live,
 * or complete ones are lost, too. */
bool policy_drop(struct policy_candidate *c, int32_t round, bool complete_lost);

/* Whether candidates broke: then *e says how many of the n, and which one first (by number).  When
 * none of the others came to its end, either, there is no answer, and *has_none is set. */
bool policy_broken(const struct policy_candidate *c, int64_t n, bool *has_none, struct err *e);

/* Arrays for n candidates; free with policy_actions_free. */
void policy_actions_init(struct policy_actions *a, int64_t n);
void policy_actions_free(struct policy_actions *a);

/* The best answer: highest reward among complete candidates (NaN never wins), ties by lower number;
 * -1: none. */
int64_t policy_best(const struct policy_candidate *c, int64_t n);

extern const struct policy_ops policy_best_of_n, policy_speculative_rejection,
    policy_paper_code_2024;
