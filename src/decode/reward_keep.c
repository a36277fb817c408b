#include "decode/reward_keep.h"

#include "base/mem.h"

#include <stdlib.h>

void keep_first(struct scorer *s, struct slot *slot, int64_t n)
{
    page_list_shrink(&slot->pages, s->kv, n);
    slot->ids.n = (size_t)n;
}

/* Parked pages beyond the first n are given back. */
static void unpark(struct scorer *s, struct slot *slot, int64_t n)
{
    while ((int64_t)slot->parked.n > n)
        parking_give(&s->parking, slot->parked.items[--slot->parked.n]);
}

struct slot *keep_slot(struct scorer_prompt *p, int32_t candidate)
{
    while ((int64_t)p->slots.n <= candidate) ARRAY_PUSH(p->slots, (struct slot){0});
    return &p->slots.items[candidate];
}

bool keep_drop(struct scorer *s, struct scorer_prompt *of)
{
    for (size_t i = 0; i < of->slots.n; i++) {
        struct slot *slot = &of->slots.items[i];
        if (slot->in_pack || slot->pages.n == 0) continue;
        keep_first(s, slot, 0);
        return true;
    }
    return false;
}

/* What another prompt keeps, its prefix last. */
static bool drop_other(struct scorer *s, struct scorer_prompt *other)
{
    if (keep_drop(s, other)) return true;
    bool had = other->prefix_pages.n > 0;
    page_list_shrink(&other->prefix_pages, s->kv, 0);
    return had;
}

bool keep_drop_younger(struct scorer *s, const struct scorer_prompt *p)
{
    for (struct scorer_prompt *o = s->youngest; o != p; o = o->older)
        if (drop_other(s, o)) return true;
    return false;
}

bool keep_drop_older(struct scorer *s, const struct scorer_prompt *p)
{
    for (struct scorer_prompt *o = p->older; o; o = o->older)
        if (drop_other(s, o)) return true;
    return false;
}

void scorer_forget(struct scorer *s, struct scorer_prompt *p, int32_t candidate)
{
    if ((int64_t)p->slots.n <= candidate) return;
    struct slot *slot = &p->slots.items[candidate];
    keep_first(s, slot, 0);
    unpark(s, slot, 0);
}

/* The slot's KV leaves for the host and gives its pages back; what came from there unchanged is
 * there still.  What finds no memory is computed again when needed. */
static void park(struct scorer *s, struct slot *slot)
{
    int64_t n = (int64_t)slot->pages.n;
    while ((int64_t)slot->parked.n < n) {
        void *page = parking_take(&s->parking);
        if (!page) break;
        ARRAY_PUSH(slot->parked, page);
    }
    if ((int64_t)slot->parked.n < n) {
        n = (int64_t)slot->parked.n;
        slot->ids.n = (size_t)(n * PAGE_TOKENS);
    }
    for (int64_t i = slot->first_changed; i < n; i++)
        ARRAY_PUSH(s->leaving, ((struct kv_place){slot->parked.items[i], slot->pages.items[i]}));
    unpark(s, slot, n);
    page_list_shrink(&slot->pages, s->kv, 0);
}

void keep_settle(struct scorer *s, const struct scorer_prompt *p, struct slot *slot)
{
    bool keeps = s->cache == SCORER_CACHE_DEVICE || s->cache == SCORER_CACHE_HOST;
    slot->in_pack = false;
    keep_first(s, slot, keeps ? (int64_t)(slot->ids.n - p->closing.n) : 0);
    if (s->cache == SCORER_CACHE_HOST) park(s, slot);
}

void keep_fetch(struct scorer *s, struct slot *slot, int64_t n)
{
    slot->first_changed = n / PAGE_TOKENS;
    for (size_t i = 0; i < (size_t)pages_of(n); i++)
        ARRAY_PUSH(s->pack.arriving,
                   ((struct kv_place){slot->parked.items[i], slot->pages.items[i]}));
}

void keep_free(struct scorer *s, struct slot *slot)
{
    page_list_free(&slot->pages, s->kv);
    unpark(s, slot, 0);
    free(slot->ids.items);
    free(slot->parked.items);
}
