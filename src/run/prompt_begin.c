/* A prompt's beginning and end. */
#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>

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

struct prompt_state *prompt_open(struct worker *w, const struct prompt_input *in,
                                 const struct policy *policy)
{
    struct prompt_state *st = mem_calloc(1, sizeof *st);
    *st = (struct prompt_state){.w = w, .in = in, .policy = *policy};
    st->deciders = policy->ops->lockstep ? w->grid.share : w->grid.group;
    st->is_decider = comm_rank(st->deciders) == 0;
    st->single_group = comm_size(st->deciders) == comm_size(w->grid.group);
    st->kv = kvcache_share(w->generator_pages);
    kvcache_set_budget(st->kv, w->prompt_pool_pages);
    return st;
}

void prompt_close(struct prompt_state *st)
{
    for (int64_t i = 0; i < st->n; i++) sequence_free(&st->sequences[i], st->kv);
    engine_end(st->w->engine, &st->engine);
    if (st->w->scorer) scorer_end(st->w->scorer, st->scored);
    kvcache_destroy(st->kv);
    free(st->sequences);
    free(st->owner);
    free(st->view);
    free(st->live);
    policy_actions_free(&st->actions);
    free(st->rounds.items);
    free(st->partials.items);
    free(st->spans.items);
    free(st);
}

/* Candidates of a prompt that the generator takes, or -1. */
static int64_t check(const struct prompt_state *st, struct err *e)
{
    TRY(engine_check(st->w->engine, st->in->ids, st->in->n_ids, e));
    int64_t n = prompt_candidates(st->w, st->in->n_ids, e);
    return n > 0 ? n : -1;
}

bool prompt_is_refused(const struct prompt_state *st)
{
    struct err e;
    return check(st, &e) < 0;
}

/* Prompt KV in both models.  A refusal here is the same on every rank. */
static int compute_prompt(struct prompt_state *st)
{
    struct worker *w = st->w;
    const struct prompt_input *in = st->in;
    int64_t t0 = clock_ns();
    int64_t n = check(st, &st->error);
    if (n < 0) return -1;
    st->policy.config.n = n;
    policy_actions_init(&st->actions, n);
    st->prompt_pages = pages_of(in->n_ids);
    st->own_budget = (w->budget_pages - st->prompt_pages) / shares(w, &st->policy);
    TRY(engine_begin(w->engine, &st->engine, st->kv, in->index, in->ids, in->n_ids, &st->error));
    struct model_stats before = w->reward.stats;
    if (!w->reward_is_self)
        st->scored = scorer_begin(w->scorer, in->reward_ids, in->n_reward_ids, in->closing_ids,
                                  in->n_closing_ids, &st->error);
    if (!w->reward_is_self && !st->scored) return -1;
    model_stats_add(&st->reward_stats, &before, &w->reward.stats);
    st->times.prefill_s = (double)(clock_ns() - t0) * 1e-9;
    prompt_span(st, SPAN_PREFILL, t0, clock_ns(), 1, in->n_ids);
    return 0;
}

void prompt_begin(struct prompt_state *st)
{
    st->begun = true;
    prompt_phase_begin(st->w, SPAN_PREFILL);
    st->skipped = compute_prompt(st) < 0;
    prompt_phase_end(st->w);
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

void prompt_leave(struct prompt_state *st)
{
    if (st->deciders != st->w->grid.share) agree_to_leave(st);
}
