/* What the files of the prompt loop share: prompt_run.c (the loop), prompt_admit.c (who is in
 * memory), prompt_decide.c (seeing, asking, doing), prompt_move.c (survivors between groups),
 * prompt_record.c (what is written down). */
#pragma once

#include "run/prompt_run.h"

struct phase_times {
    double prefill_s, generate_s, score_s, comm_s;
};

struct prompt_state {
    struct worker *w;
    const struct prompt_input *in;
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
    int64_t prompt_pages;
    int64_t own_budget;    /* pages for candidates of the deciders, prompt excluded */
    int64_t mean_complete; /* mean length of complete candidates, 0 before the first */

    bool failed, skipped, abandoned, done;
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
    double start_s;
    int64_t evictions, tokens_scored;
    struct model_stats generator_before, reward_before;
    double energy_before_j;
};

#define OWNS(st, c) ((st)->owner[c] == (st)->w->grid.group_index)

/* prompt_admit.c: evict when the next step does not fit, then start or restore waiting candidates.
 */
void prompt_admit(struct prompt_state *st);
/* Add candidates [n, n + k): each group owns an equal part of those that are admitted together. */
void prompt_add_candidates(struct prompt_state *st, int64_t k);
/* Live sequences of my group, in candidate order; returns how many. */
int64_t prompt_live(const struct prompt_state *st, struct sequence **live);

/* prompt_decide.c: one decision point.  Collective over the deciders. */
void prompt_decide(struct prompt_state *st);

/* prompt_move.c: even out the live candidates of the groups.  Collective over the share. */
void prompt_balance(struct prompt_state *st);

/* prompt_record.c.  A phase: begin (the device's profiler sees it, too; returns its start), end,
 * then, when it is worth a row of the trace, prompt_span. */
int64_t prompt_phase_begin(struct worker *w, enum span_phase phase);
void prompt_phase_end(struct worker *w);
void prompt_record(struct prompt_state *st, struct trace_record *r);
void prompt_span(struct worker *w, enum span_phase phase, int64_t prompt, int64_t step,
                 int64_t start_ns, int64_t sequences, int64_t tokens);
