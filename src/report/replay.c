#include "report/replay.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "decode/sequence.h"

#include <math.h>
#include <stdlib.h>

/* What stays the same through a prompt. */
struct scene {
    const struct recording *recording;
    const struct recorded_prompt *prompt;
    const struct replay_point *point;
    const int32_t *which;
    struct policy policy;
    int64_t prompt_pages, own_budget;
};

struct replay_point replay_point_of(const struct recording *r, const struct job *j)
{
    int64_t tokens = j->budget_tokens ? j->budget_tokens : r->budget_tokens;
    return (struct replay_point){
        .job = j, .policy = policy_of_job(j), .budget_pages = tokens / PAGE_TOKENS};
}

static const struct recorded_candidate *recorded(const struct scene *s, int64_t i)
{
    return &s->prompt->candidates[s->which ? s->which[i] : i];
}

static void reserve(struct replay *x, int64_t n)
{
    if (n <= x->capacity) return;
    policy_actions_free(&x->actions);
    policy_actions_init(&x->actions, n);
    x->candidates = mem_realloc(x->candidates, (size_t)n, sizeof *x->candidates);
    x->live = mem_realloc(x->live, (size_t)n, sizeof *x->live);
    x->capacity = n;
}

static void start(struct replay *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        x->candidates[i] = (struct policy_candidate){
            .status = POLICY_LIVE, .reward = NAN, .reward_tokens = -1, .rejected_round = -1};
        x->live[i] = to_i32(i);
    }
    x->n = x->n_live = n;
}

/* It came to its end, of whichever kind, in the recorded run. */
static void set_end(struct policy_candidate *c, const struct recorded_candidate *from)
{
    c->status = from->is_broken ? POLICY_BROKEN : POLICY_COMPLETE;
    c->n_tokens = from->n_tokens;
    c->pages = 0;
    if (!from->is_broken) return;
    c->reward = NAN;
    c->reward_tokens = c->n_tokens;
}

/* The live candidates generate until they have `step` tokens or end. */
static void advance(struct replay *x, const struct scene *s, int64_t step)
{
    int64_t pages = pages_of(sequence_kv_tokens(step)), n = 0;
    for (int64_t k = 0; k < x->n_live; k++) {
        struct policy_candidate *c = &x->candidates[x->live[k]];
        const struct recorded_candidate *from = recorded(s, x->live[k]);
        if (recorded_end(from) <= step) {
            set_end(c, from);
            continue;
        }
        c->n_tokens = step;
        c->pages = pages;
        x->live[n++] = x->live[k];
    }
    x->n_live = n;
}

/* The reward of a live candidate at n_tokens. */
static float partial(const struct scene *s, int64_t candidate, int64_t length)
{
    const struct recorded_candidate *c = recorded(s, candidate);
    return length >= 0 ? s->prompt->partials[c->partial + length] : NAN;
}

static void note_scoring(struct replay *x, const struct scene *s, int64_t i, int64_t n_tokens)
{
    const struct recorded_candidate *c = recorded(s, i);
    bool is_ended = n_tokens == c->n_tokens && c->is_finished;
    struct replay_scoring one = {x->n_calls, to_i32(i), n_tokens - is_ended};
    ARRAY_PUSH(x->scorings, one);
}

static void score(struct replay *x, const struct scene *s, int64_t step)
{
    const struct recording *r = s->recording;
    int64_t length = recording_length(r, step);
    bool is_partial = false;
    for (int64_t k = 0; k < x->actions.n_score; k++) {
        int64_t i = x->actions.score[k];
        struct policy_candidate *c = &x->candidates[i];
        bool is_live = c->status == POLICY_LIVE;
        c->reward = is_live ? partial(s, i, length) : recorded(s, i)->reward;
        c->reward_tokens = c->n_tokens;
        is_partial |= is_live;
        note_scoring(x, s, i, c->n_tokens);
    }
    x->n_calls++;
    if (!is_partial || (length >= 0 && r->lengths[length] == step)) return;
    ARRAY_PUSH(x->missing, step);
    x->before_first += length < 0;
}

static void note_round(struct replay *x, const struct scene *s, const struct policy_view *v)
{
    const struct policy_actions *a = &x->actions;
    int64_t used = s->prompt_pages + s->own_budget - v->free_pages;
    struct round_row row = {.prompt_index = s->prompt->row->prompt_index,
                            .round = to_i32(v->round),
                            .trigger = (int32_t)a->trigger,
                            .step = v->step,
                            .ranked = a->ranked,
                            .kept = a->kept,
                            .complete = a->complete,
                            .cut_reward = a->cut_reward,
                            .budget_tokens = s->point->budget_pages * PAGE_TOKENS,
                            .live_tokens = used * PAGE_TOKENS};
    ARRAY_PUSH(x->rounds, row);
}

/* What was dropped generates no more and gives its pages back. */
static void drop(struct replay *x, int64_t round)
{
    const struct policy_actions *a = &x->actions;
    if (a->n_drop == 0) return;
    for (int64_t k = 0; k < a->n_drop; k++) {
        struct policy_candidate *c = &x->candidates[a->drop[k]];
        policy_drop(c, to_i32(round), a->complete_lost);
        c->pages = 0;
    }
    int64_t n = 0;
    for (int64_t k = 0; k < x->n_live; k++)
        if (x->candidates[x->live[k]].status == POLICY_LIVE) x->live[n++] = x->live[k];
    x->n_live = n;
}

/* One decision point of the prompt loop (run/prompt_decide.c); whether the prompt is done. */
static bool decide(struct replay *x, struct scene *s, int64_t step)
{
    struct policy_actions *a = &x->actions;
    int64_t used = x->n_live * pages_of(sequence_kv_tokens(step));
    struct policy_view v = {.candidates = x->candidates,
                            .n = x->n,
                            .step = step,
                            .round = (int64_t)x->rounds.n,
                            .free_pages = s->own_budget - used};
    x->n_points++;
    policy_count(&s->policy, &v);
    policy_decide(&s->policy, &v, a);
    if (a->n_score > 0) {
        score(x, s, step);
        v.scored = true;
        policy_decide(&s->policy, &v, a);
    }
    if (a->is_round) note_round(x, s, &v);
    drop(x, v.round);
    return a->stop;
}

/* All live candidates advance together; they are looked at where the run would have done so. */
static void play_lockstep(struct replay *x, struct scene *s)
{
    int64_t step = 0;
    bool done = false;
    x->is_at_once = true;
    while (!done) {
        step = policy_next_point(&s->policy, step);
        advance(x, s, step);
        done = decide(x, s, step);
        int64_t next_pages = x->n_live * pages_of(sequence_kv_tokens(step + 1));
        if (s->prompt_pages + next_pages > x->peak_pages)
            x->peak_pages = s->prompt_pages + next_pages;
    }
}

/* Those that are live at a length that is scored on the way, together. */
static void score_on_the_way(struct replay *x, const struct scene *s)
{
    int64_t longest = 0, at = 0;
    for (int64_t i = 0; i < x->n; i++)
        if (recorded_end(recorded(s, i)) > longest) longest = recorded_end(recorded(s, i));
    while ((at = policy_schedule_next(&s->policy.config.schedule, at)) < longest) {
        for (int64_t i = 0; i < x->n; i++)
            if (recorded_end(recorded(s, i)) > at) note_scoring(x, s, i, at);
        x->n_calls++;
    }
}

/* Most pages that the candidates hold at a time: every one that goes on has room for its newest
 * token, so the most is at a page boundary. */
static int64_t most_pages(const struct replay *x)
{
    int64_t most = 0;
    for (int64_t step = 1, live = 1; live > 0; step += PAGE_TOKENS) {
        live = 0;
        for (int64_t i = 0; i < x->n; i++) live += replay_decoded(&x->candidates[i]) > step;
        if (live * pages_of(step) > most) most = live * pages_of(step);
    }
    return most;
}

/* Nothing is rejected: all come to their end, whatever the memory. */
static void play_to_the_end(struct replay *x, const struct scene *s)
{
    score_on_the_way(x, s);
    for (int64_t i = 0; i < x->n; i++) {
        struct policy_candidate *c = &x->candidates[i];
        set_end(c, recorded(s, i));
        if (c->status == POLICY_BROKEN) continue;
        c->reward_tokens = c->n_tokens;
        c->reward = recorded(s, i)->reward;
        note_scoring(x, s, i, c->n_tokens);
    }
    x->n_calls++;
    x->n_live = 0;
    x->peak_pages = s->prompt_pages + most_pages(x);
    int64_t expected = x->n * policy_expected_pages(s->point->job, 0, 0);
    x->is_at_once = expected <= s->own_budget && x->peak_pages - s->prompt_pages <= s->own_budget;
}

int replay_prompt(struct replay *x, const struct recording *r, const struct recorded_prompt *p,
                  const struct replay_point *point, const int32_t *which, struct err *e)
{
    struct scene s = {r, p, point, which, point->policy, pages_of(p->row->prompt_tokens), 0};
    int64_t shares = s.policy.ops->lockstep ? 1 : r->n_groups;
    x->rounds.n = x->missing.n = x->scorings.n = 0;
    x->n = x->before_first = x->tokens_generated = 0;
    x->n_points = x->n_calls = 0;
    x->best = -1;
    int64_t n = policy_candidates(point->job, point->budget_pages, shares, p->row->prompt_tokens,
                                  &x->reason);
    x->is_skipped = n == 0;
    if (x->is_skipped) return 0;
    if (n > p->row->n)
        return err_set(e, "%s: prompt %lld has %lld recorded candidates; %lld were asked for",
                       r->result.path, (long long)p->row->prompt_index, (long long)p->row->n,
                       (long long)n);
    s.policy.config.n = n;
    s.own_budget = (point->budget_pages - s.prompt_pages) / shares;
    reserve(x, n);
    policy_decide(&s.policy, &(struct policy_view){.candidates = x->candidates}, &x->actions);
    start(x, x->actions.admit);
    x->peak_pages = s.prompt_pages;
    if (s.policy.ops->lockstep)
        play_lockstep(x, &s);
    else
        play_to_the_end(x, &s);
    x->best = policy_best(x->candidates, x->n);
    for (int64_t i = 0; i < x->n; i++) x->tokens_generated += x->candidates[i].n_tokens;
    bool has_none = false;
    policy_broken(x->candidates, x->n, &has_none, &x->reason);
    x->is_skipped = has_none;
    return 0;
}

void replay_free(struct replay *x)
{
    policy_actions_free(&x->actions);
    free(x->candidates);
    free(x->live);
    free(x->rounds.items);
    free(x->missing.items);
    free(x->scorings.items);
    *x = (struct replay){0};
}
