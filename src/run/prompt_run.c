#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Groups that share a prompt and decide each for itself have equal shares of its budget. */
static int64_t shares(const struct worker *w, const struct policy *p)
{
    bool divided = w->job->parallel.split == SPLIT_CANDIDATES && !p->ops->lockstep;
    return divided ? w->grid.n_groups : 1;
}

int64_t prompt_candidates(const struct worker *w, int64_t prompt_tokens, struct err *e)
{
    struct policy policy = policy_of_job(w->job);
    return policy_candidates(w->job, w->budget_pages, shares(w, &policy), prompt_tokens, e);
}

static void state_free(struct prompt_state *st)
{
    for (int64_t i = 0; i < st->n; i++) sequence_free(&st->sequences[i], st->w->generator_pages);
    free(st->sequences);
    free(st->owner);
    free(st->view);
    policy_actions_free(&st->actions);
    free(st->rounds.items);
    free(st->partials.items);
}

/* Prompt KV in both models.  A refusal here is the same on every rank. */
static int begin(struct prompt_state *st)
{
    struct worker *w = st->w;
    const struct prompt_input *in = st->in;
    int64_t t0 = clock_ns();
    TRY(engine_check(w->engine, in->ids, in->n_ids, &st->error));
    int64_t n = prompt_candidates(w, in->n_ids, &st->error);
    if (n == 0) return -1;
    st->policy.config.n = n;
    policy_actions_init(&st->actions, n);
    st->prompt_pages = pages_of(in->n_ids);
    st->own_budget = (w->budget_pages - st->prompt_pages) / shares(w, &st->policy);
    TRY(engine_begin(w->engine, in->index, in->ids, in->n_ids, &st->error));
    if (!w->reward_is_self)
        TRY(scorer_begin(w->scorer, in->reward_ids, in->n_reward_ids, in->closing_ids,
                         in->n_closing_ids, &st->error));
    st->times.prefill_s = (double)(clock_ns() - t0) * 1e-9;
    prompt_span(w, SPAN_PREFILL, in->index, 0, t0, 1, in->n_ids);
    return 0;
}

static bool is_decision_point(const struct prompt_state *st, int64_t step, int64_t n_live)
{
    if (step == 0) return true;
    if (st->policy.ops->lockstep) return policy_next_point(&st->policy, step - 1) == step;
    if (st->failed || st->policy.config.schedule.when != WHEN_NEVER || step % PAGE_TOKENS == 0)
        return true;
    if (n_live > 0) return false;
    for (int64_t i = 0; i < st->n; i++)
        if (OWNS(st, i) && st->sequences[i].status == SEQUENCE_WAITING) return false;
    return true;
}

/* Steps that the device takes before anybody looks again.  In lockstep all groups make the same
 * number of steps, also those without live candidates: it follows from the step alone. */
static int64_t steps_at_once(const struct prompt_state *st, struct sequence *const *live, int64_t n)
{
    int64_t ahead = st->w->backend->steps_ahead, steps = 1;
    while (steps < ahead && !is_decision_point(st, st->step + steps, n)) steps++;
    if (!st->policy.ops->lockstep) return n > 0 ? engine_steps(st->w->engine, live, n, steps) : 1;
    int64_t left = st->w->job->sampling.max_new_tokens - st->step;
    if (steps > left) steps = left > 0 ? left : 1;
    ENSURE(n == 0 || engine_steps(st->w->engine, live, n, steps) == steps);
    return steps;
}

/* Bring in who fits, then tokens for every live candidate of my group; returns how many live. */
static int64_t generate(struct prompt_state *st, struct sequence **live)
{
    int64_t t0 = clock_ns();
    if (!st->policy.ops->lockstep && !st->failed) prompt_admit(st);
    int64_t n = st->failed ? 0 : prompt_live(st, live);
    int64_t steps = steps_at_once(st, live, n), before = engine_tokens_sampled(st->w->engine);
    if (n > 0 && engine_step(st->w->engine, live, n, steps, &st->error) < 0) st->failed = true;
    st->step += steps;
    int64_t tokens = engine_tokens_sampled(st->w->engine) - before;
    st->w->live_now = n;
    st->w->tokens_now += tokens;
    st->times.generate_s += (double)(clock_ns() - t0) * 1e-9;
    if (st->w->job->record.trace == RECORD_TRACE_STEPS && n > 0)
        prompt_span(st->w, SPAN_DECODE, st->in->index, st->step - steps, t0, n, tokens);
    return n;
}

static void loop(struct prompt_state *st)
{
    struct worker *w = st->w;
    struct sequence **live = NULL;
    int64_t span_start = 0, span_tokens = 0, n_live = 0;
    bool per_round = w->job->record.trace == RECORD_TRACE_ROUNDS;
    for (;;) {
        if (w->poll) w->poll(w->poll_arg);
        if (is_decision_point(st, st->step, n_live)) {
            if (live) prompt_phase_end(w);
            if (per_round && span_tokens > 0)
                prompt_span(w, SPAN_DECODE, st->in->index, st->step, span_start, n_live,
                            span_tokens);
            prompt_decide(st);
            if (st->done) break;
            live = mem_realloc(live, (size_t)st->n, sizeof(struct sequence *));
            span_start = prompt_phase_begin(w, SPAN_DECODE);
            span_tokens = 0;
        }
        int64_t before = engine_tokens_sampled(w->engine);
        n_live = generate(st, live);
        span_tokens += engine_tokens_sampled(w->engine) - before;
    }
    free(live);
}

/* Groups that decide each for itself (Best-of-N, split: candidates) leave a prompt together: when
 * one was told to stop, its candidates are missing. */
static void agree_to_leave(struct prompt_state *st)
{
    int64_t signal =
        comm_max_i64(st->w->grid.share, st->abandoned ? (int64_t)st->w->stop_signal : 0);
    if (signal == 0) return;
    st->abandoned = true;
    st->w->stop_signal = to_int(signal);
}

enum prompt_outcome prompt_run(struct worker *w, const struct prompt_input *in,
                               const struct policy *policy, struct trace_record *record)
{
    struct prompt_state st = {.w = w, .in = in, .policy = *policy, .start_s = clock_s()};
    st.deciders = policy->ops->lockstep ? w->grid.share : w->grid.group;
    st.is_decider = comm_rank(st.deciders) == 0;
    st.single_group = comm_size(st.deciders) == comm_size(w->grid.group);
    st.generator_before = w->generator.stats;
    st.reward_before = w->reward.stats;
    st.energy_before_j = w->backend->ops->energy_j(w->backend);
    kvcache_peak(w->generator_pages, true);
    *record = (struct trace_record){0};
    prompt_phase_begin(w, SPAN_PREFILL);
    st.skipped = begin(&st) < 0;
    prompt_phase_end(w);
    if (!st.skipped) loop(&st);
    if (st.deciders != w->grid.share) agree_to_leave(&st);
    if (!st.abandoned) prompt_record(&st, record);
    for (int64_t i = 0; i < st.n; i++) sequence_release(&st.sequences[i], w->generator_pages);
    engine_end(w->engine);
    if (w->scorer) scorer_end(w->scorer);
    bool abandoned = st.abandoned;
    state_free(&st);
    return abandoned ? PROMPT_ABANDONED : PROMPT_DONE;
}
