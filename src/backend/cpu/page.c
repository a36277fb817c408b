#include "backend/cpu/page.h"

#include <string.h>

struct page_products page_products_of(const struct tiles *tiles, const struct kv_pool *kv)
{
    bool is_narrow = kv->type == DTYPE_ID_BF16, is_deep = tiles->deep && kv->shape.E % 32 == 0;
    return (struct page_products){.tile = tiles->f32,
                                  .chunk = !is_narrow ? NULL
                                           : is_deep  ? tiles->deep
                                                      : tiles->chunk,
                                  .round = tiles->round,
                                  .page_type = kv->type,
                                  .query_type =
                                      is_narrow && tiles->chunk ? DTYPE_ID_BF16 : DTYPE_ID_F32,
                                  .E = kv->shape.E,
                                  .padded = kv->padded};
}

CPU_CLONES static void round_in_f32(float *out, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_widen(bf16_round(x[i]));
}

void page_query(const struct page_products *g, void *q, const float *x)
{
    if (g->query_type == DTYPE_ID_BF16)
        g->round(q, x, g->E);
    else if (g->page_type == DTYPE_ID_BF16)
        round_in_f32(q, x, g->E);
    else
        memcpy(q, x, (size_t)g->E * sizeof *x);
}

/* [pairs][n][2] to [2 pairs][n]. */
CPU_CLONES static void widen_pairs(float *out, const uint16_t *in, int64_t pairs, int64_t n)
{
    for (int64_t i = 0; i < pairs; i++, in += 2 * n, out += 2 * n) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            out[j] = bf16_widen(in[2 * j]);
            out[n + j] = bf16_widen(in[2 * j + 1]);
        }
    }
}

void page_scores(const struct page_products *g, float *score, int64_t stride, const void *q,
                 int64_t rows, const void *k, const void *other, float *room, const void *next)
{
    int64_t panels = other ? 2 : 1, panel = 0;
    if (g->page_type == DTYPE_ID_BF16) {
        panel = PAGE_TOKENS * g->E;
        widen_pairs(room, k, g->E / 2, PAGE_TOKENS);
        if (other) widen_pairs(room + panel, other, g->E / 2, PAGE_TOKENS);
        k = next = room;
    } else if (other) {
        panel = (const float *)other - (const float *)k;
    }
    g->tile(score, stride, q, g->E, k, PAGE_TOKENS, panel, panels, rows, g->E, false, next);
}

void page_values(const struct page_products *g, float *o, const float *p, int64_t stride,
                 int64_t rows, const void *v, int64_t first, int64_t past, float *room,
                 const void *next)
{
    int64_t padded = g->padded;
    const float *from = v, *ahead = next;
    if (g->page_type == DTYPE_ID_BF16) {
        int64_t pair = first / 2;
        widen_pairs(room + pair * 2 * padded, (const uint16_t *)v + pair * 2 * padded,
                    (past + 1) / 2 - pair, padded);
        from = ahead = room;
    }
    from += first * padded;
    for (int64_t c = 0, panels; c < padded; c += panels * TILE_COLS) {
        panels = c + 2 * TILE_COLS <= padded ? 2 : 1;
        g->tile(o + c, padded, p + first, stride, from + c, padded, TILE_COLS, panels, rows,
                past - first, true, ahead + c);
    }
}
