#include "bench/op_times.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct backend_ops *plain; /* the backend's own */
static struct backend_ops timed;
static const struct bench *bench;
static struct op_times *into;

static void add(const char *name, double s, double flops)
{
    int i = 0;
    if (!into) return;
    while (i < into->n && strcmp(into->items[i].name, name) != 0) i++;
    if (i == into->n) {
        ENSURE(into->n < (int)(sizeof into->items / sizeof *into->items));
        memset(&into->items[i], 0, sizeof into->items[i]);
        snprintf(into->items[i].name, sizeof into->items[i].name, "%s", name);
        into->n++;
    }
    into->items[i].calls++;
    into->items[i].s += s;
    into->items[i].flops += flops;
}

#define TIMED(name, call)                                                                          \
    do {                                                                                           \
        double begun = bench_clock_s(bench);                                                       \
        plain->call;                                                                               \
        add(name, bench_clock_s(bench) - begun, 0);                                                \
    } while (0)

/* Products are told apart by their matrix's size. */
static void timed_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
                       const struct weight *w, const float *bias, int64_t T)
{
    char name[sizeof into->items[0].name];
    double before = b->stats.gemm_flops, begun = bench_clock_s(bench);
    plain->gemm(b, out, out_type, x, w, bias, T);
    double s = bench_clock_s(bench) - begun, flops = b->stats.gemm_flops - before;
    snprintf(name, sizeof name, "gemm of %.0f numbers", flops / 2 / (double)T);
    add(name, s, flops);
}

static void timed_batch_begin(struct backend *b, struct kv_pool *kv, const struct batch *batch)
{
    TIMED("batch_begin", batch_begin(b, kv, batch));
}

static void timed_decode_draw(struct backend *b, const float *logits, int64_t at, int64_t n,
                              const struct sample_params *p)
{
    TIMED("decode_draw", decode_draw(b, logits, at, n, p));
}

static void timed_embed(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
                        int64_t vocab_begin, int64_t rows, float scale)
{
    TIMED("embed", embed(b, out, table, T, D, vocab_begin, rows, scale));
}

static void timed_rmsnorm(struct backend *b, void *out, enum dtype out_type, const float *x,
                          const float *w, int64_t T, int64_t D, float eps, float w_offset)
{
    TIMED("rmsnorm", rmsnorm(b, out, out_type, x, w, T, D, eps, w_offset));
}

static void timed_residual_rmsnorm(struct backend *b, void *out, float *x, const float *delta,
                                   const float *w, int64_t T, int64_t D, float eps, float w_offset)
{
    TIMED("residual_rmsnorm", residual_rmsnorm(b, out, x, delta, w, T, D, eps, w_offset));
}

static void timed_glu(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
                      enum activation act)
{
    TIMED("glu", glu(b, out, gate_up, T, F, act));
}

static void timed_gather_rows(struct backend *b, void *out, const void *x, const int32_t *rows,
                              int64_t R, size_t row_bytes)
{
    TIMED("gather_rows", gather_rows(b, out, x, rows, R, row_bytes));
}

static void timed_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                                const struct attention_params *p, const float *rope,
                                const float *q_norm, const float *k_norm, float eps, float w_offset)
{
    TIMED("rope_kv_write", rope_kv_write(b, qkv, kv, p, rope, q_norm, k_norm, eps, w_offset));
}

static void timed_attention(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                            const struct attention_params *p)
{
    TIMED("attention", attention(b, out, qkv, kv, p));
}

static void timed_sum_ranks(struct backend *b, float *x, int64_t n)
{
    TIMED("sum_ranks", sum_ranks(b, x, n));
}

void op_times_into(const struct bench *b, struct op_times *t)
{
    into = t;
    bench = b;
    if (plain) return;
    plain = b->m.backend->ops;
    timed = *plain;
    timed.gemm = timed_gemm;
    timed.batch_begin = timed_batch_begin;
    timed.decode_draw = timed_decode_draw;
    timed.embed = timed_embed;
    timed.rmsnorm = timed_rmsnorm;
    timed.residual_rmsnorm = timed_residual_rmsnorm;
    timed.glu = timed_glu;
    timed.gather_rows = timed_gather_rows;
    timed.rope_kv_write = timed_rope_kv_write;
    timed.attention = timed_attention;
    timed.sum_ranks = timed_sum_ranks;
    b->m.backend->ops = &timed;
}

void op_times_print(struct op_times *t, double total_s)
{
    double rest = total_s;
    for (int n = t->n; n > 0; n--) {
        int slowest = 0;
        for (int i = 1; i < n; i++)
            if (t->items[i].s > t->items[slowest].s) slowest = i;
        printf("# %s, %lld, %.3f, %.1f %%", t->items[slowest].name,
               (long long)t->items[slowest].calls, t->items[slowest].s * 1e3,
               t->items[slowest].s / total_s * 100);
        if (t->items[slowest].flops > 0)
            printf(", %.1f", t->items[slowest].flops / t->items[slowest].s * 1e-9);
        printf("\n");
        rest -= t->items[slowest].s;
        t->items[slowest] = t->items[n - 1];
    }
    printf("# the rest, , %.3f, %.1f %%\n", rest * 1e3, rest / total_s * 100);
    t->n = 0;
}
