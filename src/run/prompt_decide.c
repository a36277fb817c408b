/* One decision point: everybody tells the first decider what its candidates look like, the policy
 * answers there, all do what it says.  When it wants scores, the owners score and it is asked
 * again. */
#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What every rank sends: this, then (a group's leader) `n` times struct report_row. */
struct report {
    int64_t n, own_pages, stop_signal, failed;
    struct err error;
};
struct report_row {
    int64_t candidate;
    struct policy_candidate state;
};

/* What the first decider answers: this, then the candidate lists. */
struct verdict {
    int64_t n_score, n_drop, n_fork, admit, is_round, complete_lost, stop_signal, failed, done;
    struct err error;
};

static void refresh_own(struct prompt_state *st)
{
    static const enum policy_candidate_status status[] = {
        [SEQUENCE_WAITING] = POLICY_WAITING,   [SEQUENCE_LIVE] = POLICY_LIVE,
        [SEQUENCE_FINISHED] = POLICY_COMPLETE, [SEQUENCE_TRUNCATED] = POLICY_COMPLETE,
        [SEQUENCE_REJECTED] = POLICY_REJECTED, [SEQUENCE_BROKEN] = POLICY_BROKEN};
    int64_t sum = 0, n = 0;
    for (int64_t i = 0; i < st->n; i++) {
        const struct sequence *s = &st->sequences[i];
        struct policy_candidate *c = &st->view[i];
        if (!OWNS(st, i)) {
            if (!st->is_decider || !st->policy.ops->lockstep) c->status = POLICY_REJECTED;
            continue;
        }
        c->status = status[s->status];
        c->n_tokens = s->n_tokens;
        c->pages = (int64_t)s->pages.n;
        c->logprob_sum = s->logprob_sum;
        if (s->status == SEQUENCE_BROKEN) {
            c->reward = NAN;
            c->reward_tokens = s->n_tokens;
        }
        if (!sequence_is_complete(s)) continue;
        sum += s->n_tokens;
        n++;
    }
    st->mean_complete = n ? sum / n : 0;
}

/* A rank's word, and of a group's leader its candidates. */
static void *pack_report(struct prompt_state *st, size_t *bytes)
{
    bool leader = st->w->grid.is_leader;
    struct report head = {.own_pages = leader ? kvcache_used(st->kv) - st->prompt_pages : 0,
                          .stop_signal = st->w->stop_signal,
                          .failed = st->failed,
                          .error = st->error};
    char *message = mem_calloc(1, sizeof head + (size_t)st->n * sizeof(struct report_row));
    struct report_row *rows = (struct report_row *)(message + sizeof head);
    for (int64_t i = 0; i < st->n && leader; i++)
        if (OWNS(st, i)) rows[head.n++] = (struct report_row){i, st->view[i]};
    memcpy(message, &head, sizeof head);
    *bytes = sizeof head + (size_t)head.n * sizeof *rows;
    return message;
}

struct seen {
    int64_t own_pages, stop_signal;
    bool failed;
    struct err error;
};

static void unpack_reports(struct prompt_state *st, const char *all, const size_t *sizes,
                           struct seen *seen)
{
    for (int r = 0; r < comm_size(st->deciders); all += sizes[r++]) {
        struct report head;
        memcpy(&head, all, sizeof head);
        seen->own_pages += head.own_pages;
        if (!seen->stop_signal) seen->stop_signal = head.stop_signal;
        if (head.failed && !seen->failed) seen->error = head.error;
        seen->failed |= head.failed != 0;
        for (int64_t i = 0; i < head.n; i++) {
            struct report_row row;
            memcpy(&row, all + sizeof head + (size_t)i * sizeof row, sizeof row);
            int32_t cut = st->view[row.candidate].rejected_round;
            st->view[row.candidate] = row.state;
            st->view[row.candidate].rejected_round = cut;
        }
    }
}

static struct seen gather(struct prompt_state *st)
{
    struct seen seen = {0};
    size_t bytes, *sizes = mem_calloc((size_t)comm_size(st->deciders), sizeof *sizes);
    refresh_own(st);
    void *mine = pack_report(st, &bytes), *all = NULL;
    comm_gatherv(st->deciders, mine, bytes, &all, sizes, 0);
    if (st->is_decider) unpack_reports(st, all, sizes, &seen);
    free(mine);
    free(all);
    free(sizes);
    return seen;
}

static struct policy_view make_view(struct prompt_state *st, const struct seen *seen, bool scored)
{
    struct policy_view v = {.candidates = st->view,
                            .n = st->n,
                            .step = st->step,
                            .round = st->round,
                            .free_pages = st->own_budget - seen->own_pages,
                            .scored = scored};
    policy_count(&st->policy, &v);
    return v;
}

static void note_verdict(struct prompt_state *st, const struct verdict *v)
{
    const struct policy_actions *a = &st->actions;
    const int64_t numbers[] = {v->n_score,       v->n_drop,      v->n_fork, v->admit, v->is_round,
                               v->complete_lost, v->stop_signal, v->failed, v->done};
    prompt_note_decision(st, numbers, sizeof numbers);
    prompt_note_decision(st, a->score, (size_t)v->n_score * sizeof *a->score);
    prompt_note_decision(st, a->drop, (size_t)v->n_drop * sizeof *a->drop);
    prompt_note_decision(st, a->fork, (size_t)v->n_fork * sizeof *a->fork);
}

/* The first decider asks the policy; the verdict reaches everyone. */
static struct verdict ask(struct prompt_state *st, const struct seen *seen, bool scored)
{
    struct policy_actions *a = &st->actions;
    struct verdict v = {0};
    if (st->is_decider) {
        struct policy_view view = make_view(st, seen, scored);
        v.stop_signal = seen->stop_signal;
        v.failed = seen->failed;
        v.error = seen->error;
        if (!v.stop_signal && !v.failed)
            policy_decide(&st->policy, &view, a);
        else
            *a = (struct policy_actions){.score = a->score, .drop = a->drop, .fork = a->fork};
        v.n_score = a->n_score;
        v.n_drop = a->n_drop;
        v.n_fork = a->n_fork;
        v.admit = a->admit;
        v.is_round = a->is_round;
        v.complete_lost = a->complete_lost;
        v.done = a->stop || v.stop_signal || v.failed;
    }
    comm_bcast(st->deciders, &v, sizeof v, 0);
    comm_bcast(st->deciders, a->score, (size_t)v.n_score * sizeof(int32_t), 0);
    comm_bcast(st->deciders, a->drop, (size_t)v.n_drop * sizeof(int32_t), 0);
    comm_bcast(st->deciders, a->fork, (size_t)v.n_fork * sizeof(int32_t), 0);
    note_verdict(st, &v);
    return v;
}

/* Tokens that the reward model reads: the end token is not part of the text. */
static int64_t scored_tokens(const struct sequence *s)
{
    return s->n_tokens - (s->status == SEQUENCE_FINISHED);
}

static int score_by_model(struct prompt_state *st, const int32_t *which, int64_t n)
{
    struct score_item *items = mem_calloc((size_t)n, sizeof *items);
    float *rewards = mem_calloc((size_t)n, sizeof *rewards);
    for (int64_t i = 0; i < n; i++) {
        const struct sequence *s = &st->sequences[which[i]];
        items[i] = (struct score_item){which[i], s->tokens, scored_tokens(s)};
    }
    struct model_stats before = st->w->reward.stats;
    int rc = scorer_score(st->w->scorer, st->scored, items, n, rewards, &st->error);
    model_stats_add(&st->reward_stats, &before, &st->w->reward.stats);
    st->tokens_scored += st->w->reward.stats.rows - before.rows;
    for (int64_t i = 0; i < n && rc == 0; i++) {
        st->view[which[i]].reward = rewards[i];
        if (sequence_is_complete(&st->sequences[which[i]]))
            scorer_forget(st->w->scorer, st->scored, which[i]);
    }
    free(items);
    free(rewards);
    return rc;
}

static void score(struct prompt_state *st, int64_t n_asked)
{
    int64_t t0 = prompt_phase_begin(st->w, SPAN_SCORE), n = 0, rows = st->tokens_scored;
    int32_t *which = mem_calloc((size_t)n_asked, sizeof *which);
    for (int64_t i = 0; i < n_asked; i++)
        if (OWNS(st, st->actions.score[i])) which[n++] = st->actions.score[i];
    if (st->w->reward_is_self) {
        for (int64_t i = 0; i < n; i++) {
            const struct sequence *s = &st->sequences[which[i]];
            st->view[which[i]].reward = reward_self(s->logprob_sum, s->n_tokens);
        }
    } else if (score_by_model(st, which, n) < 0) {
        st->failed = true;
    }
    for (int64_t i = 0; i < n; i++)
        st->view[which[i]].reward_tokens = st->sequences[which[i]].n_tokens;
    free(which);
    st->times.score_s += (double)(clock_ns() - t0) * 1e-9;
    prompt_phase_end(st->w);
    prompt_span(st, SPAN_SCORE, t0, clock_ns(), n, st->tokens_scored - rows);
}

/* Drop, on every rank alike: a live one stops, a complete one is marked. */
static void drop(struct prompt_state *st, int32_t c, bool complete_lost)
{
    struct sequence *s = &st->sequences[c];
    bool lost = policy_drop(&st->view[c], to_i32(st->round), complete_lost);
    if (!OWNS(st, c)) return;
    if (lost) s->status = SEQUENCE_REJECTED;
    sequence_release(s, st->kv);
    if (st->w->scorer) scorer_forget(st->w->scorer, st->scored, c);
}

/* A new candidate with its parent's tokens; full pages are shared, the last one is copied. */
static void fork_candidate(struct prompt_state *st, int32_t parent)
{
    struct kvcache *k = st->kv;
    prompt_add_candidates(st, 1);
    int64_t child = st->n - 1;
    st->owner[child] = st->owner[parent];
    struct sequence *s = &st->sequences[child];
    const struct sequence *p = &st->sequences[parent];
    if (!OWNS(st, child)) return;
    memcpy(s->tokens, p->tokens, (size_t)p->n_tokens * sizeof *s->tokens);
    s->n_tokens = p->n_tokens;
    s->logprob_sum = p->logprob_sum;
    int64_t full = p->kv_tokens / PAGE_TOKENS;
    bool partial = p->kv_tokens % PAGE_TOKENS != 0;
    int32_t last = partial ? kvcache_copy(k, p->pages.items[full]) : -1;
    if (p->status != SEQUENCE_LIVE || (partial && last < 0)) {
        s->status = SEQUENCE_WAITING; /* no page for the copy: as if evicted */
        return;
    }
    for (int64_t i = 0; i < full; i++) {
        kvcache_retain(k, p->pages.items[i]);
        ARRAY_PUSH(s->pages, p->pages.items[i]);
    }
    if (partial) ARRAY_PUSH(s->pages, last);
    s->kv_tokens = p->kv_tokens;
    s->status = SEQUENCE_LIVE;
}

/* The number of the recorded length that n_tokens is. */
static int32_t length_number(const struct policy_schedule *s, int64_t n_tokens)
{
    int32_t number = -1;
    for (int64_t at = 0; at < n_tokens && at != INT64_MAX; number++)
        at = policy_schedule_next(s, at);
    return number;
}

/* First decider: one row per candidate whose reward was taken at this point. */
static void note_partials(struct prompt_state *st, const int32_t *which, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const struct policy_candidate *c = &st->view[which[i]];
        bool lockstep = st->policy.ops->lockstep;
        if (!lockstep && c->status != POLICY_LIVE)
            continue; /* final rewards stand in /candidates */
        struct partial_reward_row row = {
            .prompt_index = st->in->index,
            .round = lockstep ? to_i32(st->round)
                              : length_number(&st->policy.config.schedule, c->n_tokens),
            .candidate = which[i],
            .n_tokens = c->reward_tokens,
            .reward = c->reward};
        ARRAY_PUSH(st->partials, row);
    }
}

static void note_round(struct prompt_state *st, const struct seen *seen, double start_s)
{
    const struct policy_actions *a = &st->actions;
    struct round_row row = {.prompt_index = st->in->index,
                            .round = to_i32(st->round),
                            .trigger = (int32_t)a->trigger,
                            .step = st->step,
                            .ranked = a->ranked,
                            .kept = a->kept,
                            .complete = a->complete,
                            .cut_reward = a->cut_reward,
                            .budget_tokens = st->w->budget_pages * PAGE_TOKENS,
                            .live_tokens = (st->prompt_pages + seen->own_pages) * PAGE_TOKENS,
                            .start_s = start_s,
                            .end_s = clock_s()};
    ARRAY_PUSH(st->rounds, row);
}

void prompt_decide(struct prompt_state *st)
{
    double start = clock_s();
    int64_t t0 = prompt_phase_begin(st->w, SPAN_DECIDE);
    double scoring = st->times.score_s;
    struct seen seen = gather(st);
    struct verdict v = ask(st, &seen, false);
    if (v.n_score > 0 && !v.done) {
        int32_t *asked = mem_calloc((size_t)v.n_score, sizeof *asked);
        int64_t n_asked = v.n_score;
        memcpy(asked, st->actions.score, (size_t)n_asked * sizeof *asked);
        score(st, n_asked);
        seen = gather(st);
        if (st->is_decider && !seen.failed) note_partials(st, asked, n_asked);
        free(asked);
        v = ask(st, &seen, true);
    }
    if (v.is_round || v.done) prompt_agree_decided(st);
    if (st->is_decider && v.is_round) note_round(st, &seen, start);
    for (int64_t i = 0; i < v.n_drop; i++) drop(st, st->actions.drop[i], v.complete_lost != 0);
    if (v.admit > 0) prompt_add_candidates(st, v.admit);
    for (int64_t i = 0; i < v.n_fork; i++) fork_candidate(st, st->actions.fork[i]);
    st->round += v.is_round != 0;
    st->abandoned = v.stop_signal != 0;
    if (st->abandoned) st->w->stop_signal = to_int(v.stop_signal);
    st->failed = v.failed != 0;
    if (v.failed) st->error = v.error;
    st->done = v.done != 0;
    if (!st->done && !st->single_group && st->policy.ops->lockstep) prompt_balance(st);
    st->times.comm_s += (double)(clock_ns() - t0) * 1e-9 - (st->times.score_s - scoring);
    prompt_phase_end(st->w);
    if (v.is_round) prompt_span(st, SPAN_DECIDE, t0, clock_ns(), v.n_drop, 0);
}
