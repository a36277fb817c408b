#include "run/plan/work.h"

#include "base/mem.h"
#include "base/rng.h"
#include "decode/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REWARD_KEY 0x726577617264u

struct sim {
    const struct work_setup *s;
    struct policy policy;
    const int64_t *lengths;
    struct policy_candidate *c; /* [n] */
    int64_t *scored;            /* [n] reward model's tokens whose KV is kept */
    int32_t *live, *waiting;    /* [n] candidates in order; waiting: a queue */
    int64_t n, n_live, n_waiting, first_waiting;
    int64_t step, round, used; /* used: pages of candidates */
    int64_t each;              /* candidates that one stands for */
    int64_t mean_complete, sum_complete, n_complete;
    /* Sums over the live candidates, as generate() left them; void when has_sums is false. */
    bool has_sums;
    int64_t need, expected;
    struct policy_actions actions;
    struct work *w;
};

static void set_pages(struct sim *m, struct policy_candidate *c, int64_t n)
{
    m->used += n - c->pages;
    c->pages = n;
    if (m->used > m->w->peak_pages) m->w->peak_pages = m->used;
}

/* ---- scoring ---- */

/* A reward that depends on nothing but the candidate. */
static float reward_of(int64_t candidate)
{
    return (float)(philox4x32(REWARD_KEY, 0, (uint32_t)candidate, 0, 0).word[0] >> 8);
}

static void score(struct sim *m, const int32_t *which, int64_t n)
{
    const struct work_setup *s = m->s;
    struct work_score now = {0};
    if (!s->keeps_prefix) {
        now.rows += s->reward_prompt_tokens;
        now.keys += 0.5 * (double)s->reward_prompt_tokens * (double)s->reward_prompt_tokens;
    }
    for (int64_t i = 0; i < n; i++) {
        struct policy_candidate *c = &m->c[which[i]];
        c->reward = reward_of(which[i]);
        c->reward_tokens = c->n_tokens;
        bool ended = c->status == POLICY_COMPLETE && c->n_tokens < s->job->sampling.max_new_tokens;
        int64_t text = llround((double)(c->n_tokens - ended) * s->text_ratio);
        int64_t kept = m->scored[which[i]], rows = m->each * (text - kept + s->closing_tokens);
        now.rows += rows;
        now.keys += (double)rows * ((double)s->reward_prompt_tokens + (double)(text + kept) / 2);
        if (s->keeps_kv) m->scored[which[i]] = text;
    }
    now.texts = n * m->each;
    m->w->rows_scored += s->reward_is_self ? 0 : now.rows;
    m->w->texts_scored += now.texts;
    if (n > 0 && !s->reward_is_self) ARRAY_PUSH(m->w->scores, now);
}

/* ---- steps ---- */

static void complete(struct sim *m, struct policy_candidate *c)
{
    c->status = POLICY_COMPLETE;
    set_pages(m, c, 0);
    m->sum_complete += c->n_tokens;
    m->n_complete++;
    m->w->complete_tokens += m->each * c->n_tokens;
}

static int64_t expected_pages(const struct sim *m, int64_t n_tokens)
{
    return policy_expected_pages(m->s->job, m->mean_complete, n_tokens);
}

static int64_t need(const struct policy_candidate *c)
{
    return sequence_need(c->n_tokens);
}

/* One token for every live candidate.  The first one needs no pass: it is drawn from the prompt's
 * logits. */
static void generate(struct sim *m)
{
    struct work_step step = {0};
    int64_t n = 0, sum_need = 0, sum_expected = 0;
    for (int64_t i = 0; i < m->n_live; i++) {
        struct policy_candidate *c = &m->c[m->live[i]];
        if (c->n_tokens > 0) {
            step.B += m->each;
            step.own += m->each * c->n_tokens;
            set_pages(m, c, pages_of(c->n_tokens));
        }
        c->n_tokens++;
        m->w->tokens += m->each;
        if (c->n_tokens >= m->lengths[m->live[i]]) {
            complete(m, c);
            continue;
        }
        m->live[n++] = m->live[i];
        sum_need += need(c);
        sum_expected += expected_pages(m, c->n_tokens);
    }
    m->n_live = n;
    m->need = sum_need;
    m->expected = sum_expected;
    m->has_sums = true;
    m->step++;
    if (step.B > 0) ARRAY_PUSH(m->w->steps, step);
}

/* ---- who is in memory: not lockstep (prompt_admit.c) ---- */

static void add_up(struct sim *m)
{
    m->need = m->expected = 0;
    for (int64_t i = 0; i < m->n_live; i++) {
        m->need += need(&m->c[m->live[i]]);
        m->expected += expected_pages(m, m->c[m->live[i]].n_tokens);
    }
    m->has_sums = true;
}

/* The candidate with the fewest tokens waits; its KV is computed again when it comes back. */
static void evict(struct sim *m)
{
    while (m->need > m->s->own_pages - m->used) {
        int64_t victim = 0;
        for (int64_t i = 1; i < m->n_live; i++)
            if (m->c[m->live[i]].n_tokens <= m->c[m->live[victim]].n_tokens) victim = i;
        int32_t out = m->live[victim];
        m->need -= need(&m->c[out]);
        m->expected -= expected_pages(m, m->c[out].n_tokens);
        m->c[out].status = POLICY_WAITING;
        set_pages(m, &m->c[out], 0);
        for (int64_t i = victim; i + 1 < m->n_live; i++) m->live[i] = m->live[i + 1];
        m->n_live--;
        m->waiting[--m->first_waiting] = out; /* before the fresh ones */
        m->n_waiting++;
        m->w->evictions += m->each;
    }
}

static void restore(struct sim *m, struct policy_candidate *c)
{
    struct work_step again = {c->n_tokens - 1, (c->n_tokens - 1) * c->n_tokens / 2};
    set_pages(m, c, pages_of(sequence_kv_tokens(c->n_tokens)));
    for (int64_t i = 0; i < m->each && again.B > 0; i++) ARRAY_PUSH(m->w->steps, again);
}

static void admit(struct sim *m)
{
    if (!m->has_sums) add_up(m);
    evict(m);
    int64_t expected = m->expected, now = m->need;
    bool waves = m->s->job->batching == BATCHING_STATIC;
    if (waves && m->n_live > 0) return;
    while (m->n_waiting > 0) {
        struct policy_candidate *c = &m->c[m->waiting[m->first_waiting]];
        int64_t its = expected_pages(m, c->n_tokens);
        bool fits = expected + its <= m->s->own_pages &&
                    now + pages_of(c->n_tokens + 1) <= m->s->own_pages - m->used;
        if (m->n_live > 0 && !fits) return;
        m->live[m->n_live++] = m->waiting[m->first_waiting++];
        m->n_waiting--;
        c->status = POLICY_LIVE;
        if (c->n_tokens > 0) restore(m, c);
        expected += its;
        now += need(c);
    }
}

/* ---- decisions (prompt_decide.c) ---- */

static struct policy_view view(const struct sim *m, bool scored)
{
    int64_t need_pages = m->policy.ops->lockstep ? m->n_live * sequence_need(m->step) : 0;
    return (struct policy_view){.candidates = m->c,
                                .n = m->n,
                                .step = m->step,
                                .round = m->round,
                                .n_live = m->n_live,
                                .n_waiting = m->n_waiting,
                                .free_pages = m->s->own_pages - m->used,
                                .need_pages = need_pages,
                                .scored = scored};
}

static void add(struct sim *m, int64_t n)
{
    ENSURE(m->n == 0 && n <= m->s->policy.config.n);
    for (int64_t i = 0; i < n; i++) {
        m->c[i] = (struct policy_candidate){
            .status = POLICY_WAITING, .reward = NAN, .reward_tokens = -1, .rejected_round = -1};
        if (m->policy.ops->lockstep) {
            m->c[i].status = POLICY_LIVE;
            m->live[m->n_live++] = (int32_t)i;
        } else {
            m->waiting[m->first_waiting + m->n_waiting++] = (int32_t)i;
        }
    }
    m->n = n;
}

static void drop(struct sim *m)
{
    for (int64_t i = 0; i < m->actions.n_drop; i++) {
        struct policy_candidate *c = &m->c[m->actions.drop[i]];
        if (policy_drop(c, to_i32(m->round), m->actions.complete_lost)) set_pages(m, c, 0);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < m->n_live; i++)
        if (m->c[m->live[i]].status == POLICY_LIVE) m->live[n++] = m->live[i];
    m->n_live = n;
}

/* Would the policy go over all candidates for nothing?  Best-of-N may be asked after every step. */
static bool wants_nothing(const struct sim *m)
{
    if (m->policy.ops->lockstep || m->n == 0 || m->n_live + m->n_waiting == 0) return false;
    for (int64_t i = 0; i < m->n_live; i++)
        if (policy_wants(&m->policy, m->c[m->live[i]].n_tokens)) return false;
    return true;
}

/* Returns whether the prompt is done. */
static bool decide(struct sim *m)
{
    int64_t mean = m->n_complete ? m->sum_complete / m->n_complete : 0;
    if (mean != m->mean_complete) m->has_sums = false;
    m->mean_complete = mean;
    if (wants_nothing(m)) {
        m->w->decisions++;
        return false;
    }
    struct policy_view v = view(m, false);
    policy_decide(&m->policy, &v, &m->actions);
    m->w->decisions++;
    if (m->actions.n_score > 0) {
        score(m, m->actions.score, m->actions.n_score);
        v = view(m, true);
        policy_decide(&m->policy, &v, &m->actions);
    }
    drop(m);
    if (m->actions.admit > 0) add(m, m->actions.admit);
    m->round += m->actions.is_round;
    return m->actions.stop;
}

static bool is_decision_point(const struct sim *m)
{
    if (m->step == 0) return true;
    if (m->policy.ops->lockstep)
        return m->n_live == 0 || policy_next_point(&m->policy, m->step - 1) == m->step;
    return m->policy.config.schedule.when != WHEN_NEVER || m->step % PAGE_TOKENS == 0 ||
           (m->n_live == 0 && m->n_waiting == 0);
}

void work_simulate(struct work *w, const struct work_setup *s, const int64_t *lengths)
{
    size_t n = (size_t)s->policy.config.n;
    struct sim m = {
        .s = s, .policy = s->policy, .lengths = lengths, .each = s->each > 1 ? s->each : 1, .w = w};
    *w = (struct work){.prompt_tokens = s->prompt_tokens,
                       .reward_prompt_tokens = s->reward_is_self ? 0 : s->reward_prompt_tokens};
    m.c = mem_calloc(n, sizeof *m.c);
    m.scored = mem_calloc(n, sizeof *m.scored);
    m.live = mem_calloc(n, sizeof *m.live);
    m.waiting = mem_calloc(2 * n, sizeof *m.waiting);
    m.first_waiting = (int64_t)n; /* evicted ones are put before */
    policy_actions_init(&m.actions, (int64_t)n);
    for (;;) {
        if (is_decision_point(&m) && decide(&m)) break;
        if (!m.policy.ops->lockstep) admit(&m);
        generate(&m);
    }
    w->rounds = m.round;
    w->complete = m.each * m.n_complete;
    w->peak_pages *= m.each;
    policy_actions_free(&m.actions);
    free(m.c);
    free(m.scored);
    free(m.live);
    free(m.waiting);
}

void work_free_arrays(struct work *w)
{
    free(w->steps.items);
    free(w->scores.items);
    memset(&w->steps, 0, sizeof w->steps);
    memset(&w->scores, 0, sizeof w->scores);
}

void work_free(struct work *w)
{
    work_free_arrays(w);
    *w = (struct work){0};
}
