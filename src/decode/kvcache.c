#include "decode/kvcache.h"

#include "base/mem.h"

#include <stdlib.h>

/* What the users of one pool share. */
struct pool {
    struct model *model;
    int64_t n_pages;
    int32_t *free_pages; /* stack of pages with no reference */
    int64_t n_free;
    int32_t *refs; /* [n_pages] */
};

struct kvcache {
    struct pool *pool;
    bool owns_pool;
    int64_t budget, used, peak;
};

static struct kvcache *user_of(struct pool *p, bool owns_pool)
{
    struct kvcache *k = mem_calloc(1, sizeof *k);
    *k = (struct kvcache){.pool = p, .owns_pool = owns_pool, .budget = p->n_pages};
    return k;
}

struct kvcache *kvcache_create(struct model *m, int64_t n_pages)
{
    struct pool *p = mem_calloc(1, sizeof *p);
    p->model = m;
    p->n_pages = p->n_free = n_pages;
    p->free_pages = mem_calloc((size_t)n_pages, sizeof *p->free_pages);
    p->refs = mem_calloc((size_t)n_pages, sizeof *p->refs);
    for (int64_t i = 0; i < n_pages; i++) p->free_pages[i] = to_i32(n_pages - 1 - i);
    return user_of(p, true);
}

struct kvcache *kvcache_share(struct kvcache *k)
{
    return user_of(k->pool, false);
}

void kvcache_destroy(struct kvcache *k)
{
    if (!k) return;
    ENSURE(k->owns_pool || k->used == 0);
    if (k->owns_pool) {
        free(k->pool->free_pages);
        free(k->pool->refs);
        free(k->pool);
    }
    free(k);
}

void kvcache_set_budget(struct kvcache *k, int64_t budget_pages)
{
    k->budget = budget_pages < k->pool->n_pages ? budget_pages : k->pool->n_pages;
}

int64_t kvcache_budget(const struct kvcache *k)
{
    return k->budget;
}
int64_t kvcache_used(const struct kvcache *k)
{
    return k->used;
}
int64_t kvcache_free(const struct kvcache *k)
{
    return k->budget - k->used;
}

int64_t kvcache_peak(const struct kvcache *k)
{
    return k->peak;
}

int64_t kvcache_pool_free(const struct kvcache *k)
{
    return k->pool->n_free;
}

int32_t kvcache_take(struct kvcache *k)
{
    struct pool *p = k->pool;
    if (k->used >= k->budget || p->n_free == 0) return -1;
    int32_t page = p->free_pages[--p->n_free];
    ENSURE(p->refs[page] == 0);
    p->refs[page] = 1;
    if (++k->used > k->peak) k->peak = k->used;
    return page;
}

void kvcache_retain(struct kvcache *k, int32_t page)
{
    struct pool *p = k->pool;
    ENSURE(page >= 0 && page < p->n_pages && p->refs[page] > 0);
    p->refs[page]++;
}

void kvcache_release(struct kvcache *k, int32_t page)
{
    struct pool *p = k->pool;
    ENSURE(page >= 0 && page < p->n_pages && p->refs[page] > 0);
    if (--p->refs[page] > 0) return;
    p->free_pages[p->n_free++] = page;
    k->used--;
}

int32_t kvcache_copy(struct kvcache *k, int32_t page)
{
    int32_t own = kvcache_take(k);
    struct model *m = k->pool->model;
    if (own >= 0) m->backend->ops->kv_copy(m->backend, m->kv, own, page);
    return own;
}

int page_list_grow(struct page_list *l, struct kvcache *k, int64_t n_tokens)
{
    while ((int64_t)l->n < pages_of(n_tokens)) {
        int32_t page = kvcache_take(k);
        if (page < 0) return -1;
        ARRAY_PUSH(*l, page);
    }
    return 0;
}

void page_list_shrink(struct page_list *l, struct kvcache *k, int64_t n_tokens)
{
    while ((int64_t)l->n > pages_of(n_tokens)) kvcache_release(k, l->items[--l->n]);
}

void page_list_free(struct page_list *l, struct kvcache *k)
{
    page_list_shrink(l, k, 0);
    free(l->items);
    *l = (struct page_list){0};
}
