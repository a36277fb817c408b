#include "backend/cpu/page.h"

#include <string.h>

struct page_products page_products_of(const struct tiles *tiles, const struct kv_pool *kv)
{
    bool is_narrow = kv->type == DTYPE_ID_BF16;
    struct page_products g = {.scores = is_narrow ? tiles->bf16 : tiles->f32,
                              .values = is_narrow ? tiles->widening : tiles->f32,
                              .page_type = kv->type,
                              .E = kv->shape.E,
                              .padded = kv->padded};
    g.widens_keys = !g.scores;
    g.widens_values = !g.values;
    if (g.widens_keys) g.scores = tiles->f32;
    if (g.widens_values) g.values = tiles->f32;
    g.query_type = g.widens_keys ? DTYPE_ID_F32 : kv->type;
    return g;
}

CPU_CLONES static void round_query(uint16_t *out, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_round(x[i]);
}

CPU_CLONES static void round_in_f32(float *out, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_widen(bf16_round(x[i]));
}

void page_query(const struct page_products *g, void *q, const float *x)
{
    if (g->query_type == DTYPE_ID_BF16)
        round_query(q, x, g->E);
    else if (g->page_type == DTYPE_ID_BF16)
        round_in_f32(q, x, g->E);
    else
        memcpy(q, x, (size_t)g->E * sizeof *x);
}

/* [pairs][16][2] to [2 pairs][16]. */
CPU_CLONES static void widen_pairs(float *out, const uint16_t *in, int64_t pairs)
{
    for (int64_t i = 0; i < pairs; i++, in += 2 * PAGE_TOKENS, out += 2 * PAGE_TOKENS) {
#pragma omp simd
        for (int j = 0; j < PAGE_TOKENS; j++) {
            out[j] = bf16_widen(in[2 * j]);
            out[PAGE_TOKENS + j] = bf16_widen(in[2 * j + 1]);
        }
    }
}

CPU_CLONES static void widen_rows(float *out, const uint16_t *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_widen(in[i]);
}

void page_scores(const struct page_products *g, float *score, int64_t stride, const void *q,
                 int64_t rows, const void *k, const void *other, float *room, const void *next)
{
    int64_t panels = other ? 2 : 1, panel = 0;
    if (g->widens_keys) {
        panel = PAGE_TOKENS * g->E;
        widen_pairs(room, k, g->E / 2);
        if (other) widen_pairs(room + panel, other, g->E / 2);
        k = next = room;
    } else if (other) {
        panel = ((const char *)other - (const char *)k) / (int64_t)dtype_bytes(g->page_type);
    }
    g->scores(score, stride, q, g->E, k, PAGE_TOKENS, panel, panels, rows, g->E, false, next);
}

void page_values(const struct page_products *g, float *o, const float *p, int64_t stride,
                 int64_t rows, const void *v, int64_t first, int64_t past, float *room,
                 const void *next)
{
    int64_t padded = g->padded, number = (int64_t)dtype_bytes(g->page_type);
    const char *from = (const char *)v + first * padded * number, *ahead = next;
    if (g->widens_values) {
        widen_rows(room, (const uint16_t *)(const void *)from, (past - first) * padded);
        from = ahead = (const char *)room;
        number = (int64_t)sizeof *room;
    }
    for (int64_t c = 0, panels; c < padded; c += panels * TILE_COLS) {
        panels = c + 2 * TILE_COLS <= padded ? 2 : 1;
        g->values(o + c, padded, p + first, stride, from + c * number, padded, TILE_COLS, panels,
                  rows, past - first, true, ahead + c * number);
    }
}
