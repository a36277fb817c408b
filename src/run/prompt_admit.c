/* Who is in memory.  Lockstep policies start everything at once; the others (Best-of-N) hold as
 * many candidates as fit: optimistic admission by the lengths seen so far, and when memory runs out
 * all the same, the candidate with the fewest tokens is evicted: its tokens stay, its KV is dropped
 * and computed again later, to the same bits.
 *
 * What fits is the prompt's budget, and of the pool what older prompts in flight leave.  When they
 * want more, candidates give up their KV likewise, also in lockstep: such a prompt then stands
 * still until all of them are back, so that it decides on what it would hold alone. */
#include "run/prompt_state.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

static void reserve(struct prompt_state *st, int64_t n)
{
    if (n <= st->capacity) return;
    int64_t cap = st->capacity * 2 > n ? st->capacity * 2 : n;
    st->sequences = mem_realloc(st->sequences, (size_t)cap, sizeof *st->sequences);
    st->owner = mem_realloc(st->owner, (size_t)cap, sizeof *st->owner);
    st->view = mem_realloc(st->view, (size_t)cap, sizeof *st->view);
    st->live = mem_realloc(st->live, (size_t)cap, sizeof(struct sequence *));
    st->actions.score = mem_realloc(st->actions.score, (size_t)cap, sizeof(int32_t));
    st->actions.drop = mem_realloc(st->actions.drop, (size_t)cap, sizeof(int32_t));
    st->actions.fork = mem_realloc(st->actions.fork, (size_t)cap, sizeof(int32_t));
    st->capacity = cap;
}

void prompt_add_candidates(struct prompt_state *st, int64_t k)
{
    bool divided = st->w->job->parallel.split == SPLIT_CANDIDATES;
    int64_t groups = st->w->grid.n_groups;
    reserve(st, st->n + k);
    for (int64_t i = 0; i < k; i++) {
        int64_t c = st->n + i;
        st->owner[c] = to_i32(divided ? i * groups / k : st->w->grid.group_index);
        sequence_init(&st->sequences[c], to_i32(c), st->w->job->sampling.max_new_tokens);
        st->view[c] = (struct policy_candidate){
            .status = POLICY_WAITING, .reward = NAN, .reward_tokens = -1, .rejected_round = -1};
        bool starts_now = OWNS(st, c) && st->policy.ops->lockstep;
        if (starts_now) st->sequences[c].status = SEQUENCE_LIVE;
    }
    st->n += k;
}

int64_t prompt_live(const struct prompt_state *st, struct sequence **live)
{
    int64_t n = 0;
    for (int64_t i = 0; i < st->n; i++)
        if (OWNS(st, i) && st->sequences[i].status == SEQUENCE_LIVE) live[n++] = &st->sequences[i];
    return n;
}

static int64_t own_pages(const struct prompt_state *st)
{
    return kvcache_used(st->kv) - st->prompt_pages;
}

/* Pages for candidates that my group may hold in all, when it may take `room` of the pool more. */
static int64_t most_pages(const struct prompt_state *st, int64_t room)
{
    int64_t physical = own_pages(st) + room;
    return physical < st->own_budget ? physical : st->own_budget;
}

/* The live candidate to evict: the one with the fewest tokens, the last of them. */
static struct sequence *find_victim(struct prompt_state *st)
{
    struct sequence *victim = NULL;
    for (int64_t i = 0; i < st->n; i++) {
        struct sequence *s = &st->sequences[i];
        if (!OWNS(st, i) || s->status != SEQUENCE_LIVE) continue;
        if (!victim || s->n_tokens <= victim->n_tokens) victim = s;
    }
    return victim;
}

static void evict(struct prompt_state *st, struct sequence *s)
{
    sequence_release(s, st->kv);
    if (!st->policy.ops->lockstep) s->status = SEQUENCE_WAITING;
    st->evictions++;
}

/* Until the next step's pages are among the `most` that it may hold. */
static void evict_for_next_step(struct prompt_state *st, int64_t most)
{
    for (;;) {
        int64_t need = 0;
        for (int64_t i = 0; i < st->n; i++)
            if (OWNS(st, i) && st->sequences[i].status == SEQUENCE_LIVE)
                need += engine_need(&st->sequences[i]);
        if (own_pages(st) + need <= most) return;
        struct sequence *victim = find_victim(st);
        ENSURE(victim);
        evict(st, victim);
    }
}

static int64_t expected_pages(const struct prompt_state *st, int64_t n_tokens)
{
    return policy_expected_pages(st->w->job, st->mean_complete, n_tokens);
}

/* The waiting candidate to start next: one that was evicted before a fresh one, lower numbers
 * first. */
static struct sequence *next_waiting(const struct prompt_state *st)
{
    struct sequence *fresh = NULL;
    for (int64_t i = 0; i < st->n; i++) {
        struct sequence *s = &st->sequences[i];
        if (!OWNS(st, i) || s->status != SEQUENCE_WAITING) continue;
        if (s->n_tokens > 0) return s;
        if (!fresh) fresh = s;
    }
    return fresh;
}

bool prompt_is_waiting(const struct prompt_state *st)
{
    return next_waiting(st) != NULL;
}

void prompt_admit(struct prompt_state *st, int64_t room, int64_t ahead)
{
    int64_t most = most_pages(st, room - ahead);
    evict_for_next_step(st, most_pages(st, room));
    int64_t expected = 0, n_live = 0, need = own_pages(st); /* with the next step's */
    for (int64_t i = 0; i < st->n; i++) {
        const struct sequence *s = &st->sequences[i];
        if (!OWNS(st, i) || s->status != SEQUENCE_LIVE) continue;
        n_live++;
        need += engine_need(s);
        expected += expected_pages(st, s->n_tokens);
    }
    bool waves = st->w->job->batching == BATCHING_STATIC;
    if (waves && n_live > 0) return; /* the wave goes on until its last candidate is complete */
    for (struct sequence *s; (s = next_waiting(st)) != NULL; n_live++) {
        int64_t pages = expected_pages(st, s->n_tokens);
        if (n_live > 0 && expected + pages > most) return;
        if (need + pages_of(s->n_tokens + 1) > most) return;
        s->status = SEQUENCE_LIVE;
        expected += pages;
        need += pages_of(sequence_kv_tokens(s->n_tokens)) + engine_need(s);
    }
}

/* ---- when older prompts need memory ---- */

static bool is_away(const struct sequence *s)
{
    return s->status == SEQUENCE_LIVE && s->kv_tokens < sequence_kv_tokens(s->n_tokens);
}

bool prompt_give_up(struct prompt_state *st)
{
    struct sequence *victim = NULL;
    for (int64_t i = 0; i < st->n; i++) {
        struct sequence *s = &st->sequences[i];
        if (s->pages.n > 0 && (!victim || s->n_tokens <= victim->n_tokens)) victim = s;
    }
    if (victim) {
        evict(st, victim);
        return true;
    }
    bool had = st->engine.first_logits != NULL;
    engine_drop(st->w->engine, &st->engine);
    return had;
}

bool prompt_is_here(const struct prompt_state *st)
{
    bool here = st->begun && (st->skipped || st->engine.first_logits);
    for (int64_t i = 0; i < st->n && here; i++) here = !OWNS(st, i) || !is_away(&st->sequences[i]);
    return here;
}

int64_t prompt_missing_pages(const struct prompt_state *st)
{
    int64_t pages = st->engine.first_logits ? 0 : pages_of(st->in->n_ids);
    for (int64_t i = 0; i < st->n; i++) {
        const struct sequence *s = &st->sequences[i];
        if (OWNS(st, i) && is_away(s)) pages += pages_of(sequence_kv_tokens(s->n_tokens));
    }
    return pages;
}

int64_t prompt_wanted_pages(const struct prompt_state *st)
{
    if (!st->policy.ops->lockstep) {
        const struct sequence *s = next_waiting(st);
        return s ? pages_of(s->n_tokens + 1) : 1;
    }
    int64_t n = 0;
    for (int64_t i = 0; i < st->n; i++)
        n += OWNS(st, i) && st->sequences[i].status == SEQUENCE_LIVE;
    return st->begun ? n : prompt_candidates(st->w, st->in->n_ids, &(struct err){0});
}

void prompt_bring_back(struct prompt_state *st)
{
    struct engine *g = st->w->engine;
    if (!st->engine.first_logits) ENSURE(engine_recall(g, &st->engine) == 0);
    for (int64_t i = 0; i < st->n; i++)
        if (OWNS(st, i) && is_away(&st->sequences[i]))
            ENSURE(engine_restore(g, &st->engine, &st->sequences[i]) == 0);
}
