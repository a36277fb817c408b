/* A prompt from prefill to the best answer: the loop of the paper, driven by a policy, taken apart
 * into what the prompts in flight take turns at.  flight.c calls; nothing here knows of other
 * prompts.
 *
 * Works on all ranks that share the prompt (grid.share): each group decodes and scores the
 * candidates that it owns; the first rank of the deciding ranks sees them all, asks the policy and
 * broadcasts its actions.
 *
 * prompt_begin.c (beginning and end), prompt_steps.c (steps and decision points), prompt_admit.c
 * (who is in memory), prompt_decide.c (seeing, asking, doing), prompt_agree.c (do all ranks have
 * the same), prompt_move.c (survivors between groups), prompt_record.c (what is written down),
 * prompt_span.c (phases). */
#pragma once

#include "base/span.h"
#include "policy/of_job.h"
#include "run/prompt.h"

struct phase_times {
    double prefill_s, generate_s, score_s, comm_s;
};

struct prompt_state {
    struct worker *w;
    const struct prompt_input *in;
    struct kvcache *kv; /* owned: its user of the generator's pool */
    struct engine_prompt engine;
    struct scorer_prompt *scored;
    struct policy
        policy; /* asked by the first of the deciders only; all hold the same configuration */
    struct comm *deciders; /* ranks that decide together: share when in lockstep, else my group */
    bool is_decider;       /* first of them */
    bool single_group;     /* deciders are one group: its cache's counts are the truth */

    int64_t n;                     /* candidates so far: the same on every decider */
    struct sequence *sequences;    /* [n] tokens and pages of those that my group owns */
    int32_t *owner;                /* [n] group */
    struct policy_candidate *view; /* [n] own candidates; at the first decider all */
    int64_t capacity;              /* of the arrays above */
    struct policy_actions actions;

    int64_t step, round;
    struct sequence **live; /* [n_live] of my group, of the step that is next or was last */
    int64_t n_live;
    bool is_decided;    /* nothing more to decide before the next step */
    uint64_t decisions; /* running sum of them, as this rank heard them */
    bool runs;          /* takes part in the next step */
    int64_t prompt_pages;
    int64_t own_budget;    /* pages for candidates of the deciders, prompt excluded */
    int64_t mean_complete; /* mean length of complete candidates, 0 before the first */

    bool begun, failed, skipped, abandoned, done;
    bool ends_job; /* failed, and no other prompt shall be begun */
    struct err error;

    struct {
        struct round_row *items;
        size_t n, cap;
    } rounds;
    struct {
        struct partial_reward_row *items;
        size_t n, cap;
    } partials;
    struct phase_times times;
    double start_s, wall_s, energy_j; /* flight_meter.c: its part of the group's time and energy */
    double wall_at_energy_s;          /* wall_s when energy was shared out last */
    int64_t evictions, tokens_scored;
    struct model_stats reward_stats;
    struct spans spans;                   /* of this rank */
    int64_t step_rows, step_tokens;       /* of the step that was taken last; 0: without it */
    int64_t stretch_rows, stretch_tokens; /* since the last decision of any prompt in flight */
};

#define OWNS(st, c) ((st)->owner[c] == (st)->w->grid.group_index)

/* prompt_begin.c.  Open: nothing of it is in memory yet.  Begin: its KV in both models, or
 * `skipped`.  Close: everything goes.  Begin and leave are collective over the share. */
struct prompt_state *prompt_open(struct worker *w, const struct prompt_input *in,
                                 const struct policy *policy);
void prompt_begin(struct prompt_state *st);
/* Whether begin would skip it before it takes any memory. */
bool prompt_is_refused(const struct prompt_state *st);
void prompt_leave(struct prompt_state *st); /* agree whether it was abandoned */
void prompt_close(struct prompt_state *st);

/* prompt_steps.c.  Whether a decision is due now; asked once per step. */
bool prompt_is_due(struct prompt_state *st);
/* Steps that the device may take before anybody looks again.  In lockstep all groups make the same
 * number of steps, also those without live candidates: it follows from the step alone. */
int64_t prompt_steps(const struct prompt_state *st);
/* Those steps were taken; or, without live candidates, as many as lead to the next decision. */
void prompt_stepped(struct prompt_state *st, int64_t steps);
void prompt_pass_time(struct prompt_state *st);
/* Candidates broke in the step that was taken, and the job says on_numerics_error: stop. */
void prompt_stop_at_broken(struct prompt_state *st);

/* prompt_admit.c: evict when the next step does not fit, then let waiting candidates go on (those
 * that were evicted: prompt_bring_back is due).  room: pages of the pool that it may take more,
 * `ahead` of which stay free for older prompts' next pages. */
void prompt_admit(struct prompt_state *st, int64_t room, int64_t ahead);
bool prompt_is_waiting(const struct prompt_state *st); /* some candidate is, for memory */
/* Another prompt needs memory: one candidate's KV goes, the prompt's own last; false: it holds
 * nothing. */
bool prompt_give_up(struct prompt_state *st);
/* Whether all KV is there that the next step reads; the pages that are missing, and those that its
 * candidates will want next. */
bool prompt_is_here(const struct prompt_state *st);
int64_t prompt_missing_pages(const struct prompt_state *st);
int64_t prompt_wanted_pages(const struct prompt_state *st);
/* Compute it again: the pages are there. */
void prompt_bring_back(struct prompt_state *st);
/* Add candidates [n, n + k): each group owns an equal part of those that are admitted together. */
void prompt_add_candidates(struct prompt_state *st, int64_t k);
/* Live sequences of my group, in candidate order; returns how many. */
int64_t prompt_live(const struct prompt_state *st, struct sequence **live);

/* prompt_decide.c: one decision point.  Collective over the deciders. */
void prompt_decide(struct prompt_state *st);

/* prompt_agree.c.  Where ranks differ, the job ends here on all of them.  What the n prompts drew,
 * compared over the group (n > 0; sums: room for n of each rank); add to what this rank decided;
 * that, compared over the deciders. */
void prompt_agree_drawn(struct prompt_state *const *prompts, int64_t n, uint64_t *sums);
void prompt_note_decision(struct prompt_state *st, const void *bytes, size_t n);
void prompt_agree_decided(struct prompt_state *st);

/* prompt_move.c: even out the live candidates of the groups.  Collective over the share. */
void prompt_balance(struct prompt_state *st);

/* prompt_record.c: on the first rank of the share what is written down, on others nothing.
 * since_ns: up to here its time is counted, the rest is for the gathering.  Collective over the
 * share. */
void prompt_record(struct prompt_state *st, int64_t since_ns, struct trace_record *r);

/* prompt_span.c.  A phase: begin (the device's profiler sees it, too; returns its start), end,
 * then, when it is worth a row of the trace, prompt_span. */
int64_t prompt_phase_begin(struct worker *w, enum span_phase phase);
void prompt_phase_end(struct worker *w);
void prompt_span(struct prompt_state *st, enum span_phase phase, int64_t start_ns, int64_t end_ns,
                 int64_t sequences, int64_t tokens);
