/* Per-head norms, rotary embedding, and the way of k and v into their pages. */
#include "backend/cpu/cpu.h"

#include <omp.h>
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

#define MOST_HALF 512 /* of E */

/* A position's angles, [E/2] each. */
struct turn {
    float cos[MOST_HALF], sin[MOST_HALF];
};

/* cos_sin [n, 2] */
CPU_CLONES static void turn_of(struct turn *t, const float *cos_sin, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        t->cos[j] = cos_sin[2 * j];
        t->sin[j] = cos_sin[2 * j + 1];
    }
}

/* Pairs (j, j + half) of each of n heads turned by the angle of their frequency. */
CPU_CLONES static void rotate(float *x, const struct turn *t, int64_t half, int64_t n)
{
    for (int64_t h = 0; h < n; h++, x += 2 * half) {
#pragma omp simd
        for (int64_t j = 0; j < half; j++) {
            float c = t->cos[j], s = t->sin[j], lo = x[j], hi = x[j + half];
            x[j] = fmaf(lo, c, -(hi * s));
            x[j + half] = fmaf(hi, c, lo * s);
        }
    }
}

/* Tokens that follow each other on one page. */
struct run {
    float *rows; /* of the first one, `stride` numbers apart */
    int64_t stride, n, slot, position;
    int32_t page;
};

/* The lines that the next head's keys are stored to. */
static void fetch_next(struct kv_pool *kv, const struct attention_params *p, const struct run *run,
                       int64_t head)
{
    if (head + 1 == p->G) return;
    const char *keys = kv_keys(kv, run->page, p->layer, head + 1);
    for (size_t at = 0; at < kv->value_bytes; at += 64)
        __builtin_prefetch(keys + at + run->slot * 4, 1);
}

/* A key is a column of its page's matrix, a value a row; of bf16, pairs of them (cpu.h). */
static void store_f32(struct kv_pool *kv, const struct attention_params *p, const struct run *run)
{
    int64_t E = p->E;
    for (int64_t head = 0; head < p->G; head++) {
        fetch_next(kv, p, run, head);
        float *keys = kv_keys(kv, run->page, p->layer, head),
              *values = kv_values(kv, run->page, p->layer, head);
        for (int64_t i = 0, slot = run->slot; i < run->n; i++, slot++) {
            const float *k = run->rows + i * run->stride + (p->H + head) * E, *v = k + p->G * E;
            for (int64_t j = 0; j < E; j++) keys[j * PAGE_TOKENS + slot] = k[j];
            memcpy(values + slot * kv->padded, v, (size_t)E * sizeof *v);
        }
    }
}

/* k: of n tokens, `stride` numbers apart. */
static void store_keys(uint16_t *page, const uint16_t *k, int64_t stride, const struct run *run,
                       int64_t E)
{
    for (int64_t j = 0; j < E; j += 2) {
        uint16_t *to = page + j * PAGE_TOKENS + run->slot * 2;
        for (int64_t i = 0; i < run->n; i++) memcpy(to + 2 * i, k + i * stride + j, 2 * sizeof *k);
    }
}

CPU_CLONES static void store_pair(uint16_t *out, const uint16_t *even, const uint16_t *odd,
                                  int64_t E)
{
#pragma omp simd
    for (int64_t j = 0; j < E; j++) {
        out[2 * j] = even[j];
        out[2 * j + 1] = odd[j];
    }
}

static void store_values(uint16_t *page, int64_t padded, const uint16_t *v, int64_t stride,
                         const struct run *run, int64_t E)
{
    for (int64_t i = 0, slot = run->slot; i < run->n; i++, slot++, v += stride) {
        uint16_t *to = page + slot / 2 * padded * 2;
        if (slot % 2 == 0 && i + 1 < run->n) {
            store_pair(to, v, v + stride, E);
            i++, slot++, v += stride;
            continue;
        }
        for (int64_t j = 0; j < E; j++) to[2 * j + slot % 2] = v[j];
    }
}

/* narrow: room for [n, 2 G E]. */
static void store_bf16(struct kv_pool *kv, const struct attention_params *p, const struct run *run,
                       round_fn *round, uint16_t *narrow)
{
    int64_t E = p->E, wide = 2 * p->G * E;
    for (int64_t i = 0; i < run->n; i++)
        round(narrow + i * wide, run->rows + i * run->stride + p->H * E, wide);
    for (int64_t head = 0; head < p->G; head++) {
        const uint16_t *k = narrow + head * E;
        fetch_next(kv, p, run, head);
        store_keys(kv_keys(kv, run->page, p->layer, head), k, wide, run, E);
        store_values(kv_values(kv, run->page, p->layer, head), kv->padded, k + p->G * E, wide, run,
                     E);
    }
}

/* The tokens from row t on that share its page, where t is the first of them; else none. */
static struct run run_at(const struct batch *batch, const struct segment *g, int64_t t)
{
    int64_t position = batch->position[t], past = g->row + g->n_rows;
    bool in_prefix = position < g->prefix_len;
    int64_t place = in_prefix ? position : position - g->prefix_len, slot = place % PAGE_TOKENS;
    struct run run = {.slot = slot,
                      .position = position,
                      .page = (in_prefix ? g->prefix_pages : g->own_pages)[place / PAGE_TOKENS]};
    if (slot != 0 && t != g->row) return run;
    run.n = PAGE_TOKENS - slot < past - t ? PAGE_TOKENS - slot : past - t;
    if (in_prefix && run.n > g->prefix_len - position) run.n = g->prefix_len - position;
    return run;
}

/* What a token's heads are turned and normed by. */
struct turning {
    const float *rope, *q_norm, *k_norm;
    float eps, w_offset;
};

/* q and k of one token are done in place; only q is read again from there. */
static void turn_token(float *row, int64_t position, const struct attention_params *p,
                       const struct turning *by)
{
    struct turn t;
    int64_t E = p->E, heads = p->H + p->G;
    for (int64_t h = 0; h < heads; h++) {
        const float *norm = h < p->H ? by->q_norm : by->k_norm;
        if (norm) norm_row(row + h * E, row + h * E, norm, E, by->eps, by->w_offset);
    }
    turn_of(&t, by->rope + position * E, E / 2);
    rotate(row, &t, E / 2, heads);
}

void cpu_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                       const struct attention_params *p, const float *rope, const float *q_norm,
                       const float *k_norm, float eps, float w_offset)
{
    struct cpu *cpu = cpu_of(b);
    const struct batch *batch = cpu->batch;
    const int32_t *segment_of = batch_segments(cpu, batch);
    const struct turning by = {rope, q_norm, k_norm, eps, w_offset};
    int64_t stride = (p->H + 2 * p->G) * p->E, room = PAGE_TOKENS * 2 * p->G * p->E;
    int threads = threads_for(cpu, 2 * batch->T * stride); /* lines that are in no cache */
    uint16_t *narrow = scratch_need(&cpu->rounded, (size_t)(threads * room) * sizeof *narrow);
    ENSURE(p->E <= 2 * MOST_HALF);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < batch->T; t++) {
        struct run run = run_at(batch, &batch->segments[segment_of[t]], t);
        run.rows = (float *)qkv + t * stride;
        run.stride = stride;
        for (int64_t i = 0; i < run.n; i++)
            turn_token(run.rows + i * stride, run.position + i, p, &by);
        if (run.n == 0) continue;
        if (kv->type == DTYPE_ID_F32)
            store_f32(kv, p, &run);
        else
            store_bf16(kv, p, &run, cpu->tiles.round, narrow + omp_get_thread_num() * room);
    }
}
