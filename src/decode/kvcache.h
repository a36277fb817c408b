/* Which KV pages of a model's pool are free.  Pages are counted, so that a prompt's pages and a
 * fork's full pages are shared.
 *
 * Two sizes: the pool (what the device holds) and the logical budget (what decisions count against,
 * design: the same on any node).  The budget never exceeds the pool.
 *
 * A pool may have several users (prompts in flight at once), each with a count and a budget of its
 * own; a page goes back to the user who took it. */
#pragma once

#include "model/transformer.h"

struct kvcache; /* opaque */

/* Borrows the model. */
struct kvcache *kvcache_create(struct model *m, int64_t n_pages);
/* Another user of k's pool; gives all its pages back and is destroyed before k. */
struct kvcache *kvcache_share(struct kvcache *k);
void kvcache_destroy(struct kvcache *k); /* accepts NULL */

/* Pages that its user counts against from here on: at most the pool. */
void kvcache_set_budget(struct kvcache *k, int64_t budget_pages);
int64_t kvcache_budget(const struct kvcache *k);
int64_t kvcache_used(const struct kvcache *k); /* pages in use */
/* budget - used; below 0 when the budget was set below */
int64_t kvcache_free(const struct kvcache *k);
int64_t kvcache_peak(const struct kvcache *k); /* most pages that were in use at once */

int64_t kvcache_pool_free(const struct kvcache *k); /* pages that no user of the pool holds */

/* Take one page, reference count 1; -1 when the budget is used up, or other users hold the rest of
 * the pool. */
int32_t kvcache_take(struct kvcache *k);
void kvcache_retain(struct kvcache *k, int32_t page);
void kvcache_release(struct kvcache *k, int32_t page);
/* A page of its own with the same content, for a fork's last, partly filled page; -1 when the
 * budget is used up. */
int32_t kvcache_copy(struct kvcache *k, int32_t page);

/* A list of pages that grows with a sequence. */
struct page_list {
    int32_t *items; /* owned */
    size_t n, cap;
};
/* Make the list hold n_tokens; -1 (list as far as it got) when the budget is used up. */
int page_list_grow(struct page_list *l, struct kvcache *k, int64_t n_tokens);
/* Release what lies beyond n_tokens. */
void page_list_shrink(struct page_list *l, struct kvcache *k, int64_t n_tokens);
void page_list_free(struct page_list *l, struct kvcache *k);
