/* Per-head norms, rotary embedding, and the way of k and v into their pages. */
#include "backend/cpu/cpu.h"

#include <string.h>

const int32_t *batch_segments(struct cpu *cpu, const struct batch *batch)
{
    int32_t *segment_of = scratch_need(&cpu->rows, (size_t)batch->T * sizeof *segment_of);
    int64_t rows = 0;
    for (int64_t s = 0; s < batch->S; s++) {
        const struct segment *g = &batch->segments[s];
        ENSURE(g->row >= 0 && g->n_rows >= 0 && g->row + g->n_rows <= batch->T);
        rows += g->n_rows;
        for (int64_t t = g->row; t < g->row + g->n_rows; t++) segment_of[t] = (int32_t)s;
    }
    ENSURE(rows == batch->T);
    return segment_of;
}

/* Pairs (j, j + E/2) turned by the angle of their frequency; cos_sin [E/2, 2]. */
CPU_CLONES static void rotate(float *x, const float *cos_sin, int64_t E)
{
    int64_t half = E / 2;
#pragma omp simd
    for (int64_t j = 0; j < half; j++) {
        float c = cos_sin[2 * j], s = cos_sin[2 * j + 1], lo = x[j], hi = x[j + half];
        x[j] = fmaf(lo, c, -(hi * s));
        x[j + half] = fmaf(hi, c, lo * s);
    }
}

#define SPAN 64 /* numbers that are rounded together; even */

CPU_CLONES static void round_span(uint16_t *out, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = bf16_round(x[i]);
}

/* A key is a column of its page's matrix, a value a row; of bf16, pairs of them (cpu.h). */
static void store_f32(float *page_k, float *page_v, int64_t padded, int64_t slot, const float *k,
                      const float *v, int64_t E)
{
    for (int64_t j = 0; j < E; j++) page_k[j * PAGE_TOKENS + slot] = k[j];
    memcpy(page_v + slot * padded, v, (size_t)E * sizeof *v);
}

static void store_bf16(uint16_t *page_k, uint16_t *page_v, int64_t padded, int64_t slot,
                       const float *k, const float *v, int64_t E)
{
    for (int64_t j = 0; j < E; j += SPAN) {
        uint16_t narrow[SPAN];
        int64_t n = E - j < SPAN ? E - j : SPAN;
        round_span(narrow, k + j, n);
        for (int64_t i = 0; i < n; i += 2)
            memcpy(page_k + (j + i) * PAGE_TOKENS + slot * 2, narrow + i, 2 * sizeof *narrow);
        round_span(narrow, v + j, n);
        uint16_t *to = page_v + (slot / 2 * padded + j) * 2 + slot % 2;
        for (int64_t i = 0; i < n; i++) to[2 * i] = narrow[i];
    }
}

/* The lines that a key is stored to. */
static void fetch_column(const char *keys, int64_t slot, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(keys + at + slot * 4, 1);
}

/* q and k of one token are done in place; only q is read again from there. */
static void write_token(float *row, struct kv_pool *kv, const struct segment *g, int64_t position,
                        const struct attention_params *p, const float *rope, const float *q_norm,
                        const float *k_norm, float eps, float w_offset)
{
    int64_t E = p->E;
    bool in_prefix = position < g->prefix_len;
    int64_t place = in_prefix ? position : position - g->prefix_len, slot = place % PAGE_TOKENS;
    int32_t page = (in_prefix ? g->prefix_pages : g->own_pages)[place / PAGE_TOKENS];
    for (int64_t h = 0; h < p->H + p->G; h++) {
        float *x = row + h * E;
        const float *norm = h < p->H ? q_norm : k_norm;
        if (norm) norm_row(x, x, norm, E, eps, w_offset);
        rotate(x, rope + position * E, E);
    }
    for (int64_t g_head = 0; g_head < p->G; g_head++) {
        if (g_head + 1 < p->G)
            fetch_column(kv_keys(kv, page, p->layer, g_head + 1), slot, kv->value_bytes);
        const float *k = row + (p->H + g_head) * E, *v = k + p->G * E;
        void *page_k = kv_keys(kv, page, p->layer, g_head),
             *page_v = kv_values(kv, page, p->layer, g_head);
        if (kv->type == DTYPE_ID_F32)
            store_f32(page_k, page_v, kv->padded, slot, k, v, E);
        else
            store_bf16(page_k, page_v, kv->padded, slot, k, v, E);
    }
}

void cpu_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                       const struct attention_params *p, const float *rope, const float *q_norm,
                       const float *k_norm, float eps, float w_offset)
{
    const struct batch *batch = cpu_of(b)->batch;
    const int32_t *segment_of = batch_segments(cpu_of(b), batch);
    int64_t stride = (p->H + 2 * p->G) * p->E;
    int threads = threads_for(cpu_of(b), batch->T * stride);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < batch->T; t++)
        write_token((float *)qkv + t * stride, kv, &batch->segments[segment_of[t]],
                    batch->position[t], p, rope, q_norm, k_norm, eps, w_offset);
}
