/* Who holds pages of the generator's pool, among the prompts in flight.
 *
 * The pool holds at least one prompt's whole budget.  Before each step the prompts are gone through
 * by age.  A prompt may take what is free, and what younger ones hold: they give it up, the
 * youngest first, candidate by candidate, then the prompt's own pages.  So the oldest is never
 * short of anything that it would have alone, and always goes on.  Who is not the oldest and finds
 * no room waits, and everyone younger with it: what becomes free is for the one that waits longest;
 * but whom its length refuses needs none, and is skipped at once.
 * Who gave something up comes back only when there is also room for the next page of every older
 * candidate and of its own, or it would soon be evicted again.
 *
 * Budgets are not touched: each prompt counts its own pages as if alone (kvcache_share). */
#include "run/flight_state.h"

static int64_t held_by_younger(const struct flight *f, const struct prompt_state *st)
{
    int64_t pages = 0;
    for (int64_t i = f->n - 1; i >= 0 && f->prompts[i] != st; i--)
        pages += kvcache_used(f->prompts[i]->kv);
    return pages;
}

/* Pages of the pool that st may still take; younger prompts give theirs up for it. */
static int64_t room_for(const struct flight *f, const struct prompt_state *st)
{
    return kvcache_pool_free(st->kv) + held_by_younger(f, st) - f->promised;
}

/* Have them do so until `pages` are free for st; false (and nobody does): there is no room. */
static bool clear(struct flight *f, const struct prompt_state *st, int64_t pages)
{
    if (pages > room_for(f, st)) return false;
    for (int64_t i = f->n - 1; kvcache_pool_free(st->kv) < f->promised + pages;) {
        ENSURE(f->prompts[i] != st);
        if (!prompt_give_up(f->prompts[i])) i--;
    }
    return true;
}

static void begin(struct flight *f, struct prompt_state *st)
{
    stretch_close(f);
    meter_begin(f, st);
    prompt_begin(st);
    meter_one(f, st);
}

/* Compute what its live candidates, or the prompt itself, lack of their KV: there is room. */
static void bring_back(struct flight *f, struct prompt_state *st)
{
    ENSURE(clear(f, st, prompt_missing_pages(st)));
    stretch_open(f);
    prompt_bring_back(st);
}

/* Begin it, or bring its KV back, when there is room; the oldest is not asked. */
static bool bring_in(struct flight *f, struct prompt_state *st, int64_t ahead)
{
    int64_t pages = prompt_missing_pages(st) + prompt_wanted_pages(st);
    bool is_oldest = st == f->prompts[0];
    if (!is_oldest && pages + ahead > room_for(f, st)) return false;
    if (st->begun)
        bring_back(f, st);
    else
        begin(f, st);
    return true;
}

/* Pages of st's candidates for the next step. */
static int64_t next_pages(const struct prompt_state *st)
{
    int64_t pages = 0;
    for (int64_t i = 0; i < st->n_live; i++) pages += engine_need(st->live[i]);
    return pages;
}

/* Pages that st may take after the next step before each candidate has taken one. */
static int64_t later_pages(const struct prompt_state *st)
{
    int64_t next = next_pages(st), later = st->n_live - next,
            left = st->w->prompt_pool_pages - kvcache_used(st->kv) - next;
    return later < left ? later : left;
}

/* Its live candidates and their pages for the next step; false: it has to wait. */
static bool arrange_one(struct flight *f, struct prompt_state *st, int64_t ahead)
{
    stretch_open(f);
    if (!st->policy.ops->lockstep && !st->failed) {
        prompt_admit(st, room_for(f, st), ahead);
        bring_back(f, st);
    }
    st->n_live = st->failed ? 0 : prompt_live(st, st->live);
    int64_t pages = next_pages(st);
    bool fits = clear(f, st, pages);
    ENSURE(fits || st != f->prompts[0]);
    if (!fits) return false;
    f->promised += pages;
    return st->runs = st->n_live > 0 || st->failed || !prompt_is_waiting(st);
}

void flight_arrange(struct flight *f)
{
    int64_t ahead = 0;
    bool waits = false;
    f->promised = 0;
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        st->runs = false;
        if (!st->begun && prompt_is_refused(st)) begin(f, st); /* needs no room */
        if (st->skipped) continue;
        waits = waits || (!prompt_is_here(st) && !bring_in(f, st, ahead));
        if (!st->is_decided) waits = true; /* it was begun just now: what it wants is not known */
        if (waits || st->skipped) continue;
        waits = !arrange_one(f, st, ahead);
        st->times.generate_s += meter_one(f, st);
        ahead += later_pages(st);
    }
}
