#include "policy/policy.h"

#include "base/mem.h"
#include "decode/sequence.h"

#include <math.h>
#include <stdlib.h>

#define FIRST_DOUBLING 16 /* score_at: doubling = 16, 32, 64, ... */

/* The first length after `step` at which a live candidate's next step takes a page. */
static int64_t next_boundary(int64_t step)
{
    return step < 1 ? 1 : ((step - 1) / PAGE_TOKENS + 1) * PAGE_TOKENS + 1;
}

bool policy_schedule_has(const struct policy_schedule *s, int64_t step)
{
    return step > 0 && policy_schedule_next(s, step - 1) == step;
}

int64_t policy_schedule_next(const struct policy_schedule *s, int64_t step)
{
    int64_t next = FIRST_DOUBLING;
    switch (s->when) {
    case WHEN_NEVER:
        return INT64_MAX;
    case WHEN_EVERY:
        return (step / s->every + 1) * s->every;
    case WHEN_PAGES:
        return next_boundary(step < 1 ? 1 : step);
    case WHEN_DOUBLING:
        while (next <= step) next *= 2;
        return next;
    case WHEN_AT:
        for (int64_t i = 0; i < s->n_at; i++)
            if (s->at[i] > step) return s->at[i];
        return INT64_MAX;
    }
    return INT64_MAX;
}

struct policy policy_create(enum policy_kind kind, const struct policy_config *c)
{
    static const struct policy_ops *const all[] = {&policy_best_of_n, &policy_speculative_rejection,
                                                   &policy_paper_code_2024};
    return (struct policy){.ops = all[kind], .config = *c};
}

bool policy_wants(const struct policy *p, int64_t step)
{
    return policy_schedule_has(&p->config.schedule, step);
}

int64_t policy_next_point(const struct policy *p, int64_t step)
{
    int64_t boundary = next_boundary(step),
            wanted = policy_schedule_next(&p->config.schedule, step);
    return wanted < boundary ? wanted : boundary;
}

void policy_count(const struct policy *p, struct policy_view *v)
{
    v->n_live = v->n_waiting = 0;
    for (int64_t i = 0; i < v->n; i++) {
        v->n_live += v->candidates[i].status == POLICY_LIVE;
        v->n_waiting += v->candidates[i].status == POLICY_WAITING;
    }
    v->need_pages = p->ops->lockstep ? v->n_live * sequence_need(v->step) : 0;
}

bool policy_counts(const struct policy_candidate *c)
{
    bool has_ended = c->status == POLICY_COMPLETE || c->status == POLICY_BROKEN;
    return c->status == POLICY_LIVE || (has_ended && c->rejected_round < 0);
}

bool policy_drop(struct policy_candidate *c, int32_t round, bool complete_lost)
{
    bool has_ended = c->status == POLICY_COMPLETE || c->status == POLICY_BROKEN;
    c->rejected_round = round;
    if (!has_ended || (c->status == POLICY_COMPLETE && complete_lost)) c->status = POLICY_REJECTED;
    return c->status == POLICY_REJECTED;
}

bool policy_broken(const struct policy_candidate *c, int64_t n, bool *has_none, struct err *e)
{
    int64_t broken = 0, complete = 0, first = -1;
    for (int64_t i = 0; i < n; i++) {
        bool is_broken = c[i].status == POLICY_BROKEN;
        if (is_broken && first < 0) first = i;
        broken += is_broken;
        complete += c[i].status == POLICY_COMPLETE;
    }
    *has_none = broken > 0 && complete == 0;
    if (broken == 0) return false;
    err_set(e, "%slogits of %lld of %lld candidates not finite; candidate %lld at position %lld",
            *has_none ? "no answer: " : "", (long long)broken, (long long)n, (long long)first,
            (long long)c[first].n_tokens);
    return true;
}

void policy_decide(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    *a = (struct policy_actions){
        .score = a->score, .drop = a->drop, .fork = a->fork, .cut_reward = NAN};
    p->ops->decide(p, v, a);
}

void policy_actions_init(struct policy_actions *a, int64_t n)
{
    *a = (struct policy_actions){0};
    a->score = mem_calloc((size_t)n, sizeof *a->score);
    a->drop = mem_calloc((size_t)n, sizeof *a->drop);
    a->fork = mem_calloc((size_t)n, sizeof *a->fork);
}

void policy_actions_free(struct policy_actions *a)
{
    free(a->score);
    free(a->drop);
    free(a->fork);
    *a = (struct policy_actions){0};
}

int64_t policy_best(const struct policy_candidate *c, int64_t n)
{
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
        if (c[i].status == POLICY_COMPLETE && !isnan(c[i].reward) &&
            (best < 0 || c[i].reward > c[best].reward))
            best = i;
    return best;
}
