/* Products of rows with a page: q.k and p v.
 *
 * f32 pages: all in f32.  bf16 pages: q is rounded as K was.  Where the processor multiplies bf16,
 * q.k is done so, and softmax and p v are those of chunk.h; else K and V are widened and all is
 * f32.  All sums are f32, in orders that know nothing of the other rows (tile.h). */
#pragma once

#include "backend/cpu/chunk.h"
#include "backend/cpu/cpu.h"

struct page_products {
    const struct chunk_products *chunk; /* NULL: page by page, by the tile */
    tile_fn *tile;
    round_fn *round;
    enum dtype page_type, query_type;
    int64_t E, padded;
};
struct page_products page_products_of(const struct tiles *tiles, const struct kv_pool *kv);

/* Numbers of f32 memory that a thread's calls need. */
static inline int64_t page_room(const struct page_products *g)
{
    return 2 * PAGE_TOKENS * g->padded;
}

/* A query [E] as page_scores takes it, into a row of query_type. */
void page_query(const struct page_products *g, void *q, const float *x);

/* score [rows, 16 or 32] = q [rows, E] K^T for one page or, where `other` is not NULL, two; rows of
 * score stand `stride` numbers apart.  next: what a coming call will read, here and below. */
void page_scores(const struct page_products *g, float *score, int64_t stride, const void *q,
                 int64_t rows, const void *k, const void *other, float *room, const void *next);

/* o [rows, padded] += p v with tokens [first, past) of a page: V, and p [rows, 16] whose rows stand
 * `stride` numbers apart. */
void page_values(const struct page_products *g, float *o, const float *p, int64_t stride,
                 int64_t rows, const void *v, int64_t first, int64_t past, float *room,
                 const void *next);
