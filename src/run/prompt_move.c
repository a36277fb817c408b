/* Survivors between groups (split: candidates): when the fullest group holds more than 1.25 times
 * the mean of live candidates, some move to the emptiest, KV pages and all.  The reward model's KV
 * stays behind and is computed again. */
#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FULLEST_OVER_MEAN 1.25
#define TAG_MOVE          7

struct move {
    int32_t candidate, to;
};

/* What travels ahead of the tokens. */
struct parcel {
    int64_t n_tokens, kv_tokens, n_pages;
    double logprob_sum;
    struct policy_candidate state;
};

/* Of my group's rank, in the order of the moves. */
struct page_moves {
    struct kv_move *items;
    size_t n, cap;
};

/* First decider: moves that even out the groups; returns how many. */
static int64_t plan_moves(const struct prompt_state *st, struct move *moves)
{
    int groups = st->w->grid.n_groups;
    int64_t *live = mem_calloc((size_t)groups, sizeof *live), total = 0, n = 0;
    int64_t *last = mem_calloc((size_t)groups, sizeof *last); /* where the search for the next is */
    for (int64_t i = 0; i < st->n; i++) {
        bool is_live = st->view[i].status == POLICY_LIVE;
        live[st->owner[i]] += is_live;
        total += is_live;
    }
    for (int g = 0; g < groups; g++) last[g] = st->n - 1;
    for (;;) {
        int full = 0, empty = 0;
        for (int g = 1; g < groups; g++) {
            if (live[g] > live[full]) full = g;
            if (live[g] < live[empty]) empty = g;
        }
        bool uneven = (double)live[full] * groups > FULLEST_OVER_MEAN * (double)total;
        if (!uneven || live[full] - live[empty] < 2) break;
        /* Who receives never becomes the fullest: `full` gives of what it had. */
        int64_t i = last[full];
        while (st->view[i].status != POLICY_LIVE || st->owner[i] != full) i--;
        moves[n++] = (struct move){to_i32(i), empty};
        last[full] = i - 1;
        live[full]--;
        live[empty]++;
    }
    free(live);
    free(last);
    return n;
}

static void move_pages(struct page_moves *pages, const struct page_list *of, int peer, bool arrives)
{
    for (size_t i = 0; i < of->n; i++)
        ARRAY_PUSH(*pages, ((struct kv_move){of->items[i], peer, arrives}));
}

/* Everything but the pages, which are named and stay here until they have left. */
static void send_candidate(struct prompt_state *st, int32_t c, int to, struct page_moves *pages)
{
    const struct sequence *s = &st->sequences[c];
    size_t tokens = (size_t)s->n_tokens * sizeof(int32_t);
    struct parcel head = {s->n_tokens, s->kv_tokens, (int64_t)s->pages.n, s->logprob_sum,
                          st->view[c]};
    size_t bytes = sizeof head + tokens;
    char *message = mem_calloc(bytes, 1);
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, s->tokens, tokens);
    comm_send(st->w->grid.shard, message, bytes, to, TAG_MOVE);
    free(message);
    move_pages(pages, &s->pages, to, false);
}

static void receive_candidate(struct prompt_state *st, int32_t c, int from,
                              struct page_moves *pages)
{
    struct worker *w = st->w;
    struct sequence *s = &st->sequences[c];
    size_t bytes;
    char *message = comm_recv(w->grid.shard, from, TAG_MOVE, &bytes);
    struct parcel head;
    memcpy(&head, message, sizeof head);
    memcpy(s->tokens, message + sizeof head, (size_t)head.n_tokens * sizeof(int32_t));
    free(message);
    s->n_tokens = head.n_tokens;
    s->logprob_sum = head.logprob_sum;
    ENSURE(page_list_grow(&s->pages, st->kv, head.kv_tokens) == 0);
    ENSURE((int64_t)s->pages.n == head.n_pages);
    s->kv_tokens = head.kv_tokens;
    s->status = SEQUENCE_LIVE;
    st->view[c] = head.state;
    move_pages(pages, &s->pages, from, true);
}

/* Who has gone is not ours any more. */
static void forget_candidate(struct prompt_state *st, int32_t c)
{
    struct sequence *s = &st->sequences[c];
    sequence_release(s, st->kv);
    s->status = SEQUENCE_REJECTED;
    if (st->w->scorer) scorer_forget(st->w->scorer, st->scored, c);
}

/* The pages of all moves go together. */
static void make_moves(struct prompt_state *st, const struct move *moves, int64_t n)
{
    struct worker *w = st->w;
    struct backend *b = w->backend;
    struct page_moves pages = {0};
    int me = w->grid.group_index;
    for (int64_t i = 0; i < n; i++) {
        int32_t c = moves[i].candidate;
        if (st->owner[c] == me) send_candidate(st, c, moves[i].to, &pages);
        if (moves[i].to == me) receive_candidate(st, c, st->owner[c], &pages);
    }
    b->ops->kv_exchange(b, w->generator.kv, pages.items, (int64_t)pages.n);
    free(pages.items);
    for (int64_t i = 0; i < n; i++) {
        if (st->owner[moves[i].candidate] == me) forget_candidate(st, moves[i].candidate);
        st->owner[moves[i].candidate] = moves[i].to;
    }
}

void prompt_balance(struct prompt_state *st)
{
    int64_t n = 0, t0 = prompt_phase_begin(st->w, SPAN_MOVE);
    struct move *moves = mem_calloc((size_t)st->n, sizeof *moves);
    if (st->is_decider) n = plan_moves(st, moves);
    comm_bcast(st->deciders, &n, sizeof n, 0);
    comm_bcast(st->deciders, moves, (size_t)n * sizeof *moves, 0);
    prompt_note_decision(st, moves, (size_t)n * sizeof *moves);
    if (n > 0) make_moves(st, moves, n);
    free(moves);
    prompt_phase_end(st->w);
    if (n > 0) prompt_span(st, SPAN_MOVE, t0, clock_ns(), n, 0);
}
