/* Inside the CPU backend: what its files share.
 *
 * Every kernel is written so that a row's bits depend on that row alone: sums run in one fixed
 * order, fused multiply-adds are explicit, and blocking over rows, columns or threads never splits
 * a sum.  The same source is compiled for several instruction sets (CPU_CLONES); all give the same
 * bits. */
#pragma once

#include "backend/backend.h"
#include "backend/cpu/tile.h"
#include "base/energy.h"
#include "base/fmath.h"

/* Functions with simple loops: one copy for each instruction set, chosen when the program starts.
 * Not around `omp parallel`, whose body is a function of its own. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__)
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_CLONES
#endif

/* Memory that grows to the largest need and stays. */
struct scratch {
    void *p;
    size_t bytes;
};
void *scratch_need(struct scratch *s, size_t bytes); /* contents are lost when it grows */

/* Memory of several weights (weight.c). */
struct slab {
    char *data; /* owned */
    size_t bytes, used;
    int64_t users;
};

struct cpu {
    int threads;
    struct tiles tiles;
    const struct batch *batch; /* borrowed: what embed, rope_kv_write and attention work on */
    struct steps *steps;       /* owned: a batch that advances (batch.c) */
    struct energy *energy;     /* owned; NULL: not known */
    struct {
        struct slab *items;
        size_t n, cap;
    } slabs;
    struct scratch gemm, rounded, attention, rows, ranks, sample, cut;
};

static inline struct cpu *cpu_of(struct backend *b)
{
    return b->impl;
}

/* Threads for work on so many numbers: waking a team costs more than a little work. */
static inline int threads_for(struct cpu *cpu, int64_t numbers)
{
    return numbers < 1 << 15 ? 1 : cpu->threads;
}

/* Segment of each row of the batch, [T], in cpu->rows. */
const int32_t *batch_segments(struct cpu *cpu, const struct batch *batch);

/* ---- memory.c ---- */
void *cpu_alloc(struct backend *b, size_t bytes);
void cpu_free(struct backend *b, void *p);
void cpu_copy(struct backend *b, void *dst, const void *src, size_t bytes);
size_t cpu_free_bytes(struct backend *b);
/* Ops' own memory is the process's: nothing. */
size_t cpu_workspace_bytes(const struct workload *w, int n);
int cpu_reserve(struct backend *b, const struct workload *w, struct err *e);

double cpu_energy_j(struct backend *b);

/* ---- weight.c ---- */
struct weight {
    int64_t N, K;
    int64_t filled; /* rows so far */
    enum dtype dtype;
    /* [ceil(N / 16)][K][16] of dtype, in a slab; missing rows of the last panel are zero */
    void *panels;
    bool in_pairs; /* bf16 for a product in bf16: [ceil(N / 16)][ceil(K / 2)][16][2] */
    size_t bytes;
};
/* K as the panels have it. */
static inline int64_t weight_depth(const struct weight *w)
{
    return w->in_pairs ? (w->K + 1) / 2 * 2 : w->K;
}
struct weight *cpu_weight_create(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                 struct err *e);
int cpu_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                    int64_t n_rows, struct err *e);
int cpu_weight_finish(struct backend *b, struct weight *w, struct err *e);
void cpu_weight_destroy(struct backend *b, struct weight *w);
size_t cpu_weight_bytes(const struct weight *w);

/* To nearest, ties to even; NaN stays NaN. */
FM_INLINE uint16_t bf16_round(float x)
{
    uint32_t u = fm_bits(x), near = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    return (uint16_t)(x != x ? u >> 16 | 0x40u : near);
}
FM_INLINE float bf16_widen(uint16_t x)
{
    return fm_from_bits((uint32_t)x << 16);
}

/* ---- gemm.c ---- */
void cpu_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
              const struct weight *w, const float *bias, int64_t T);

/* ---- batch.c ---- */
void cpu_batch_begin(struct backend *b, struct kv_pool *kv, const struct batch *batch);
int64_t cpu_decode_begin(struct backend *b, struct kv_pool *kv, const struct decode *decode);
void cpu_decode_draw(struct backend *b, const float *logits, int64_t at, int64_t n,
                     const struct sample_params *p);
void cpu_decode_advance(struct backend *b);
void cpu_decode_end(struct backend *b, int32_t *token, float *logprob);
void cpu_graph(struct backend *b, uint64_t key, void (*body)(void *), void *arg);
void steps_free(struct steps *s); /* accepts NULL */

/* ---- norm.c ---- */
void norm_row(float *out, const float *x, const float *w, int64_t n, float eps, float w_offset);
void cpu_rmsnorm(struct backend *b, void *out, enum dtype out_type, const float *x, const float *w,
                 int64_t T, int64_t D, float eps, float w_offset);
void cpu_residual_rmsnorm(struct backend *b, void *out, float *x, const float *delta,
                          const float *w, int64_t T, int64_t D, float eps, float w_offset);

/* ---- rows.c ---- */
void cpu_embed(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
               int64_t vocab_begin, int64_t rows, float scale);
void cpu_softcap(struct backend *b, float *x, int64_t n, float cap);
void cpu_glu(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
             enum activation act);
void cpu_gather_rows(struct backend *b, void *out, const void *x, const int32_t *rows, int64_t R,
                     size_t row_bytes);

/* ---- kv.c ---- */
/* A page: [L][G] of { K, transposed: [E][16]; V [16][padded] }, of bf16 in pairs: K [E / 2][16][2],
 * V [8][padded][2]. */
struct kv_pool {
    struct kv_shape shape;
    int64_t n_pages;
    enum dtype type;    /* F32 or BF16: dtype_beside the weights' type */
    int64_t padded;     /* E rounded up to 16 */
    size_t value_bytes; /* where V follows K */
    size_t head_bytes;  /* of both */
    char *data;         /* owned */
};
/* K of one page, layer and head; V follows after value_bytes. */
void *kv_keys(const struct kv_pool *kv, int32_t page, int64_t layer, int64_t head);
static inline void *kv_values(const struct kv_pool *kv, int32_t page, int64_t layer, int64_t head)
{
    return (char *)kv_keys(kv, page, layer, head) + kv->value_bytes;
}
struct kv_pool *cpu_kv_create(struct backend *b, struct kv_shape shape, int64_t n_pages,
                              struct err *e);
void cpu_kv_destroy(struct backend *b, struct kv_pool *kv);
size_t cpu_kv_page_bytes(const struct backend *b, struct kv_shape shape);
void cpu_kv_copy(struct backend *b, struct kv_pool *kv, int32_t dst, int32_t src);
void cpu_kv_read(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n);
void cpu_kv_write(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n);
void cpu_kv_exchange(struct backend *b, struct kv_pool *kv, const struct kv_move *moves, int64_t n);

/* ---- rope.c, attention.c ---- */
void cpu_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                       const struct attention_params *p, const float *rope, const float *q_norm,
                       const float *k_norm, float eps, float w_offset);
void cpu_attention(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                   const struct attention_params *p);

/* ---- collective.c, sample.c ---- */
void cpu_sum_ranks(struct backend *b, float *x, int64_t n);
void cpu_sample(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                const struct draw *draws, int32_t *token, float *logprob);
void cpu_logprob(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                 const int32_t *token, float *logprob);
