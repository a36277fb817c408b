#include "backend/cuda/attention_plan.h"

#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MANY_ROWS 8 /* from here on a segment's rows fill wide blocks by themselves */

/* Blocks of threads on a multiprocessor, and rows of one. */
#define WIDE_BLOCKS   2
#define WIDE_ROWS     64
#define NARROW_BLOCKS 4
#define NARROW_ROWS   16

/* Segments [first, end) that are planned together: one of many rows, or some of few with one
 * prefix. */
struct group {
    const struct segment *first, *end;
    int64_t token, n_tokens;
    int64_t prefix_chunks;
    bool is_long;
    bool shares; /* the prefix goes apart */
};

struct maker {
    struct attention_plan *plan;
    const struct attention_target *target;
    int64_t steps;
    int64_t spread_wide, spread_narrow; /* over how many items a block's chunks may go */
    int64_t spare;                      /* slots beyond one per token */
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t chunks_of(int64_t n_keys)
{
    return n_keys > 0 ? divide_up(n_keys, ATTENTION_CHUNK) : 0;
}

/* Chunks up to the last key that row `row` of the segment sees in the last step. */
static int64_t chunks_up_to(const struct maker *m, const struct segment *s, int64_t row)
{
    int64_t keys = s->first_position + row + m->steps;
    if (keys <= s->prefix_len) return chunks_of(keys);
    return chunks_of(s->prefix_len) + chunks_of(keys - s->prefix_len);
}

static bool same_prefix(const struct segment *a, const struct segment *b)
{
    if (a->prefix_len != b->prefix_len) return false;
    return a->prefix_pages == b->prefix_pages || a->prefix_len == 0 ||
           memcmp(a->prefix_pages, b->prefix_pages,
                  (size_t)pages_of(a->prefix_len) * sizeof *a->prefix_pages) == 0;
}

static struct group group_at(const struct segment *s, const struct segment *end)
{
    struct group g = {.first = s,
                      .end = s + 1,
                      .token = s->row,
                      .n_tokens = s->n_rows,
                      .prefix_chunks = chunks_of(s->prefix_len),
                      .is_long = s->n_rows >= MANY_ROWS};
    if (g.is_long || s->prefix_len == 0 || s->first_position < s->prefix_len) return g;
    for (; g.end < end; g.end++) {
        const struct segment *next = g.end;
        if (next->n_rows >= MANY_ROWS || next->row != g.token + g.n_tokens ||
            next->first_position < next->prefix_len || !same_prefix(s, next))
            break;
        g.n_tokens += next->n_rows;
    }
    g.shares = g.end - g.first > 1;
    return g;
}

/* Slots for n tokens, `each` of them; -1 where the workspace has no room for more than one each. */
static int64_t take_slots(struct maker *m, int64_t n, int64_t each)
{
    if (n * (each - 1) > m->spare) return -1;
    m->spare -= n * (each - 1);
    int64_t slot = m->plan->n_slots;
    m->plan->n_slots += n * each;
    return slot;
}

/* The item once, or spread over `spread` items that take every spread-th chunk each. */
static void push(struct attention_items *list, struct k_attention_item item, int64_t spread)
{
    int32_t begin = item.begin;
    item.step = to_i32(spread);
    for (int64_t i = 0; i < spread; i++) {
        item.begin = to_i32(begin + i);
        ARRAY_PUSH(*list, item);
    }
}

static void push_merges(struct maker *m, const struct k_attention_item *item, int64_t slot,
                        int64_t before)
{
    for (int32_t i = 0; i < item->n_tokens; i++) {
        struct k_attention_merge merge = {item->token + i, to_i32(slot + i * item->slots),
                                          to_i32(before)};
        ARRAY_PUSH(m->plan->merges, merge);
    }
}

/* Tokens [token, token + n) of a segment, prefix and own keys. */
static void plan_whole(struct maker *m, const struct segment *s, int64_t token, int64_t n,
                       struct attention_items *list, int64_t spread)
{
    struct k_attention_item item = {
        .token = to_i32(token), .n_tokens = to_i32(n), .end = INT32_MAX, .to = ATTENTION_TO_OUT};
    int64_t chunks = chunks_up_to(m, s, token - s->row + n - 1);
    int64_t slot = -1;
    spread = smaller(spread, chunks);
    if (spread > 1) slot = take_slots(m, n, chunks);
    if (slot < 0) {
        push(list, item, 1);
        return;
    }
    item.to = ATTENTION_TO_SLOTS;
    item.slot = to_i32(slot);
    item.slots = to_i32(chunks);
    push(list, item, spread);
    push_merges(m, &item, slot, chunks_of(s->prefix_len));
}

/* The last rows first: they have the most keys. */
static void plan_long(struct maker *m, const struct segment *s)
{
    int64_t blocks = divide_up(s->n_rows, ATTENTION_TOKENS);
    for (int64_t i = blocks - 1; i >= 0; i--) {
        int64_t at = i * ATTENTION_TOKENS;
        plan_whole(m, s, s->row + at, smaller(ATTENTION_TOKENS, s->n_rows - at), &m->plan->wide,
                   m->spread_wide);
    }
}

/* The prefix for all tokens of the group, then each segment's own keys. */
static void plan_shared(struct maker *m, const struct group *g)
{
    int64_t own = 0, spread = smaller(m->spread_wide, g->prefix_chunks);
    for (const struct segment *s = g->first; s < g->end; s++) {
        int64_t n = chunks_up_to(m, s, s->n_rows - 1) - g->prefix_chunks;
        if (n > own) own = n;
    }
    int64_t own_spread = smaller(m->spread_narrow, own);
    int64_t before = spread > 1 ? g->prefix_chunks : 1;
    int64_t slots = before + (own_spread > 1 ? own : 0), slot = take_slots(m, g->n_tokens, slots);
    if (slot < 0) {
        before = slots = spread = own_spread = 1;
        slot = take_slots(m, g->n_tokens, 1);
    }
    for (int64_t at = 0; at < g->n_tokens; at += ATTENTION_TOKENS) {
        struct k_attention_item item = {.token = to_i32(g->token + at),
                                        .n_tokens =
                                            to_i32(smaller(ATTENTION_TOKENS, g->n_tokens - at)),
                                        .end = to_i32(g->prefix_chunks),
                                        .to = spread > 1 ? ATTENTION_TO_SLOTS : ATTENTION_TO_SLOT,
                                        .slot = to_i32(slot + at * slots),
                                        .slots = to_i32(slots)};
        push(&m->plan->wide, item, spread);
    }
    for (const struct segment *s = g->first; s < g->end; s++) {
        if (s->n_rows == 0) continue;
        int64_t at = slot + (s->row - g->token) * slots;
        struct k_attention_item item = {.token = to_i32(s->row),
                                        .n_tokens = to_i32(s->n_rows),
                                        .begin = to_i32(g->prefix_chunks),
                                        .end = INT32_MAX,
                                        .to = ATTENTION_TO_OUT,
                                        .before = to_i32(before),
                                        .slot = to_i32(at),
                                        .slots = to_i32(slots)};
        if (own_spread > 1) {
            item.to = ATTENTION_TO_SLOTS;
            item.before = 0;
            item.slot = to_i32(at + before - g->prefix_chunks);
            push_merges(m, &item, at, before);
        }
        push(&m->plan->narrow, item, own_spread > 1 ? own_spread : 1);
    }
}

static void plan_group(struct maker *m, const struct group *g)
{
    if (g->n_tokens == 0) return;
    if (g->shares)
        plan_shared(m, g);
    else if (g->is_long)
        plan_long(m, g->first);
    else
        plan_whole(m, g->first, g->token, g->n_tokens, &m->plan->narrow, m->spread_narrow);
}

/* How many items may share a block's chunks, where `blocks` fill only part of the device. */
static int64_t spread_of(const struct maker *m, int64_t blocks, int64_t per_multiprocessor)
{
    int64_t wanted = m->target->multiprocessors * per_multiprocessor;
    return blocks > 0 && blocks < wanted ? wanted / blocks : 1;
}

static void choose_spread(struct maker *m, const struct segment *segments, int64_t S)
{
    const struct segment *end = segments + S;
    int64_t G = m->target->G, heads = m->target->H / G, wide = 0, narrow = 0;
    for (struct group g = {.end = segments}; g.end < end;) {
        g = group_at(g.end, end);
        if (g.is_long || g.shares) wide += G * divide_up(g.n_tokens * heads, WIDE_ROWS);
        if (!g.is_long)
            for (const struct segment *s = g.first; s < g.end; s++)
                narrow += G * divide_up(s->n_rows * heads, NARROW_ROWS);
    }
    m->spread_wide = spread_of(m, wide, WIDE_BLOCKS);
    m->spread_narrow = spread_of(m, narrow, NARROW_BLOCKS);
}

/* Up to 1, 2, 3, 4, 6, 8, 12, ... so that few different launches occur. */
static int32_t rounded_up(size_t n)
{
    size_t power = 1;
    if (n == 0) return 0;
    while (power < n) power *= 2;
    if (power >= 4 && power / 4 * 3 >= n) power = power / 4 * 3;
    return to_i32((int64_t)power);
}

static int32_t most_tokens(const struct attention_items *list)
{
    int32_t most = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].n_tokens > most) most = list->items[i].n_tokens;
    return rounded_up((size_t)most);
}

static char *append(char *to, const void *from, size_t n, size_t size)
{
    if (n > 0) memcpy(to, from, n * size);
    return to + n * size;
}

static void finish(struct attention_plan *p)
{
    struct k_attention_head head = {to_i32((int64_t)p->wide.n), to_i32((int64_t)p->narrow.n),
                                    to_i32((int64_t)p->merges.n), 0};
    p->bytes = sizeof head + (p->wide.n + p->narrow.n) * sizeof *p->wide.items +
               p->merges.n * sizeof *p->merges.items;
    if (p->bytes > p->cap) {
        p->cap = 2 * p->bytes;
        p->data = mem_realloc(p->data, p->cap, 1);
    }
    char *to = append((char *)p->data, &head, 1, sizeof head);
    to = append(to, p->wide.items, p->wide.n, sizeof *p->wide.items);
    to = append(to, p->narrow.items, p->narrow.n, sizeof *p->narrow.items);
    append(to, p->merges.items, p->merges.n, sizeof *p->merges.items);
    p->grid = (struct k_attention_grid){.wide = rounded_up(p->wide.n),
                                        .wide_tokens = most_tokens(&p->wide),
                                        .narrow = rounded_up(p->narrow.n),
                                        .narrow_tokens = most_tokens(&p->narrow),
                                        .merge = rounded_up(p->merges.n)};
}

size_t attention_plan_max_bytes(int64_t T, int64_t max_slots)
{
    /* an item has a token or a chunk, which has a slot, to itself; a token may have one item for
     * the prefix and one for own keys */
    size_t items = 2 * (size_t)T + (size_t)max_slots;
    return sizeof(struct k_attention_head) + items * sizeof(struct k_attention_item) +
           (size_t)T * sizeof(struct k_attention_merge);
}

void attention_plan_make(struct attention_plan *plan, const struct segment *segments, int64_t S,
                         int64_t steps, const struct attention_target *target)
{
    struct maker m = {plan, target, steps, 1, 1, target->max_slots};
    for (int64_t s = 0; s < S; s++) m.spare -= segments[s].n_rows;
    ENSURE(m.spare >= 0 && target->G > 0 && target->H % target->G == 0);
    plan->wide.n = plan->narrow.n = plan->merges.n = 0;
    plan->n_slots = 0;
    choose_spread(&m, segments, S);
    for (struct group g = {.end = segments}; g.end < segments + S;) {
        g = group_at(g.end, segments + S);
        plan_group(&m, &g);
    }
    finish(plan);
}

void attention_plan_free(struct attention_plan *plan)
{
    free(plan->data);
    free(plan->wide.items);
    free(plan->narrow.items);
    free(plan->merges.items);
    *plan = (struct attention_plan){0};
}
