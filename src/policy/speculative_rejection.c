/* Speculative Rejection (Sun et al. 2024, algorithm 1): generate until memory would run out (or a
 * scheduled length), score the partial texts, drop the worst fraction alpha, go on with the rest.
 *
 * paper_code_2024 shares the flow and differs in the decision: keep round((1 - alpha) n), and a
 * complete candidate below the cut is lost. */
#include "base/mem.h"
#include "policy/cut.h"

#include <math.h>
#include <stdlib.h>

#define PAPER_CODE_MAX_N 1000 /* the published code starts with at most this many */

static void ask_for_scores(const struct policy_view *v, struct policy_actions *a)
{
    for (int64_t i = 0; i < v->n; i++) {
        const struct policy_candidate *c = &v->candidates[i];
        /* A complete candidate's reward is final, also when it was cut. */
        if (policy_counts(c) && c->reward_tokens != c->n_tokens) a->score[a->n_score++] = to_i32(i);
    }
}

/* How many of n ranked candidates stay at rejection rate alpha. */
typedef int64_t (*keep_fn)(double alpha, int64_t n);

static int64_t keep_exact(double alpha, int64_t n)
{
    return n - cut_drop_count(alpha, n);
}

/* Cut on the same scores until every live candidate can go on (once, when memory is not the
 * reason). */
static void cut(struct policy *p, const struct policy_view *v, keep_fn keep,
                struct policy_actions *a)
{
    int32_t *order = mem_calloc((size_t)v->n, sizeof *order);
    int64_t ranked = cut_rank(v->candidates, v->n, order);
    int64_t free_pages = v->free_pages, need = v->need_pages, kept = ranked;
    bool first = true;
    while (kept > 1 && (first || need > free_pages)) {
        int64_t stay = keep(p->config.alpha, kept);
        bool for_memory = need > free_pages;
        if (for_memory && stay == kept) stay = kept - 1;
        if (stay < 1) stay = 1;
        for (int64_t i = stay; i < kept; i++) {
            const struct policy_candidate *c = &v->candidates[order[i]];
            a->drop[a->n_drop++] = order[i];
            if (c->status != POLICY_LIVE) continue;
            free_pages += c->pages;
            need -= v->n_live ? v->need_pages / v->n_live : 0; /* lockstep: all need the same */
        }
        kept = stay;
        first = false;
    }
    for (int64_t i = 0; i < ranked; i++)
        a->complete += v->candidates[order[i]].status == POLICY_COMPLETE;
    a->is_round = true;
    a->ranked = ranked;
    a->kept = kept;
    a->cut_reward = kept > 0 ? v->candidates[order[kept - 1]].reward : NAN;
    free(order);
}

static void finish(const struct policy_view *v, struct policy_actions *a)
{
    if (!v->scored) ask_for_scores(v, a);
    if (a->n_score > 0) return;
    a->stop = true;
    a->is_round = true;
    a->trigger = POLICY_FINAL;
    for (int64_t i = 0; i < v->n; i++) {
        const struct policy_candidate *c = &v->candidates[i];
        a->ranked += policy_counts(c);
        a->complete += policy_counts(c) && c->status == POLICY_COMPLETE;
    }
    a->kept = a->ranked;
}

static void decide_with(struct policy *p, const struct policy_view *v, keep_fn keep, int64_t n,
                        struct policy_actions *a)
{
    if (v->n == 0) {
        a->admit = n;
        return;
    }
    if (v->n_live == 0) {
        finish(v, a);
        return;
    }
    bool due = policy_wants(p, v->step) && v->step > p->consumed;
    bool memory = v->need_pages > v->free_pages;
    if (!due && !memory) return;
    if (!v->scored) {
        ask_for_scores(v, a);
        if (a->n_score > 0) return;
    }
    cut(p, v, keep, a);
    if (due) {
        a->trigger = POLICY_SCHEDULE;
        p->consumed = v->step;
    } else {
        /* A scheduled round that memory cannot reach is made early. */
        int64_t reached = p->consumed > v->step ? p->consumed : v->step;
        p->consumed = policy_schedule_next(&p->config.schedule, reached);
        a->trigger = p->consumed == INT64_MAX ? POLICY_MEMORY : POLICY_EARLY;
    }
}

static void decide(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    decide_with(p, v, keep_exact, p->config.n, a);
}

static void decide_2024(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    int64_t n = p->config.n < PAPER_CODE_MAX_N ? p->config.n : PAPER_CODE_MAX_N;
    decide_with(p, v, cut_keep_count_2024, n, a);
    a->complete_lost = true;
}

const struct policy_ops policy_speculative_rejection = {
    .name = "speculative_rejection", .lockstep = true, .decide = decide};
const struct policy_ops policy_paper_code_2024 = {
    .name = "paper_code_2024", .lockstep = true, .decide = decide_2024};
