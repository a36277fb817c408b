/* A prompt's steps, and which of them end at a decision point. */
#include "run/prompt_state.h"

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

bool prompt_is_due(struct prompt_state *st)
{
    if (!st->begun || st->is_decided) return false;
    st->is_decided = true;
    return is_decision_point(st, st->step, st->n_live);
}

int64_t prompt_steps(const struct prompt_state *st)
{
    int64_t ahead = st->w->backend->steps_ahead, steps = 1;
    while (steps < ahead && !is_decision_point(st, st->step + steps, st->n_live)) steps++;
    int64_t may = engine_steps(st->w->engine, st->live, st->n_live, steps);
    if (!st->policy.ops->lockstep) return may;
    int64_t left = st->w->job->sampling.max_new_tokens - st->step;
    if (steps > left) steps = left > 0 ? left : 1;
    ENSURE(may >= steps);
    return steps;
}

void prompt_stepped(struct prompt_state *st, int64_t steps)
{
    st->step += steps;
    st->is_decided = false;
}

void prompt_stop_at_broken(struct prompt_state *st)
{
    if (st->failed) return;
    int64_t i = 0;
    while (!OWNS(st, i) || st->sequences[i].status != SEQUENCE_BROKEN) ENSURE(++i < st->n);
    const struct sequence *s = &st->sequences[i];
    char place[64];
    model_place_text(s->broken_at, place, sizeof place);
    err_set(&st->error,
            "candidate %d: logits at position %lld not finite, %s; on_numerics_error: end goes on "
            "without it",
            s->candidate, (long long)s->n_tokens, place);
    st->failed = st->ends_job = true;
}

void prompt_pass_time(struct prompt_state *st)
{
    int64_t steps = 1;
    if (st->policy.ops->lockstep)
        while (!is_decision_point(st, st->step + steps, 0)) steps++;
    prompt_stepped(st, steps);
}
