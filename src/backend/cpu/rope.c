/* Per-head norms, rotary embedding, and the way of k and v into their pages. */
#include "backend/cpu/cpu.h"

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

/* q and k of one token are done in place; only q is read again from there. */
static void write_token(float *row, struct kv_pool *kv, const struct segment *g, int64_t position,
                        const struct attention_params *p, const float *rope, const float *q_norm,
                        const float *k_norm, float eps, float w_offset)
{
    int64_t E = p->E, padded = kv_padded(E);
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
        if (g_head + 1 <
            p->G) { /* a key is a column of its page: each number in a line of its own */
            const float *next = kv_head(kv, page, p->layer, g_head + 1) + slot;
            for (int64_t j = 0; j < E; j++) __builtin_prefetch(next + j * PAGE_TOKENS, 1);
        }
        const float *k = row + (p->H + g_head) * E, *v = k + p->G * E;
        float *page_k = kv_head(kv, page, p->layer, g_head), *page_v = page_k + PAGE_TOKENS * E;
        for (int64_t j = 0; j < E; j++) page_k[j * PAGE_TOKENS + slot] = k[j];
        for (int64_t j = 0; j < E; j++) page_v[slot * padded + j] = v[j];
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
