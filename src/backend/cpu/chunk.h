/* Scores, softmax and p v of a few rows with one chunk of bf16 pages, for processors that multiply
 * bf16.
 *
 * p is rounded to bf16 as the input of every product is, and what is summed into l is what is
 * multiplied, so that the weights of a row add up to 1.  A row's chain is its o, times keep, plus
 * two keys at a time by the processor's own rule, through all pages of which it sees a key; keys
 * that it must not see count as zeros, whatever stands there.  So its bits know nothing of the
 * rows beside it. */
#pragma once

#include "backend/cpu/tile.h"
#include "backend/types.h"

#define CHUNK_PAGES     8
#define CHUNK           (CHUNK_PAGES * PAGE_TOKENS)
#define CHUNK_MOST_ROWS 16 /* of chunk_products.rows */

/* A running softmax: the largest score, the sum of weights. */
struct softmax {
    float m, l;
};

/* The chunk's keys that each row sees, [begin, end); none where begin >= end. */
struct chunk_rows {
    int64_t rows; /* 1 to chunk_products.rows */
    int64_t begin[CHUNK_MOST_ROWS], end[CHUNK_MOST_ROWS];
    int64_t first, past; /* pages of which any row sees a key */
};

/* A page's keys that are in [begin, end), a bit each. */
static inline uint32_t chunk_seen(int64_t begin, int64_t end, int64_t page)
{
    int64_t first = begin - page * PAGE_TOKENS, past = end - page * PAGE_TOKENS;
    if (first < 0) first = 0;
    if (past > PAGE_TOKENS) past = PAGE_TOKENS;
    return first < past ? (1u << past) - (1u << first) : 0;
}
#define CHUNK_WHOLE ((1u << PAGE_TOKENS) - 1)

/* Does every row see every key of the page? */
static inline bool chunk_all_see(const struct chunk_rows *c, int64_t page)
{
    for (int64_t r = 0; r < c->rows; r++)
        if (chunk_seen(c->begin[r], c->end[r], page) != CHUNK_WHOLE) return false;
    return true;
}

/* s [rows, CHUNK] = q [rows, E] bf16 times K of the chunk's pages [E / 2][16][2], in two of k at a
 * time.  next [CHUNK_PAGES], here and below: of each page, the K or V that is fetched beside it,
 * or NULL. */
typedef void chunk_scores_fn(float *s, const uint16_t *q, int64_t E, const struct chunk_rows *c,
                             const void *const *keys, const void *const *next);
/* p [rows, CHUNK] bf16 of scores s [rows, CHUNK] times `scale`, in the pages that a row sees;
 * s is overwritten.  keep [rows]: what o shrinks by, 1 where nothing is seen. */
typedef void chunk_weights_fn(uint16_t *p, float *keep, struct softmax *const *softmax, float *s,
                              const struct chunk_rows *c, float scale);
/* o [rows, padded] = o keep + p v.  values: V of each page, [8][padded][2], tokens in pairs. */
typedef void chunk_values_fn(float *o, int64_t padded, const float *keep, const uint16_t *p,
                             const struct chunk_rows *c, const void *const *values,
                             const void *const *next);

/* A chunk's are called in this order, by one thread, which multiplies nothing else meanwhile. */
struct chunk_products {
    int64_t rows; /* most that pass a chunk together */
    chunk_scores_fn *scores;
    chunk_weights_fn *weights;
    chunk_values_fn *values;
};
extern const struct chunk_products chunk_avx512; /* on x86-64 */
extern const struct chunk_products chunk_amx;    /* likewise; E a multiple of 32 */
chunk_weights_fn chunk_weights_avx512;
