/* Time of the kernels on rows, each by its launcher, beside its floor: see gpu_bench.h.
 *
 * FLOPs: additions and multiplications that the op is made of; in these kernels bytes decide. */
#include "gpu_bench.h"

#include "base/mem.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>

#define TENSORS 4
#define TOKENS  65536 /* drawn once; launches take turns in them */

/* One of [rows, columns] that a launch works on. */
struct tensor {
    int64_t columns;
    int bytes;   /* of a number */
    int touched; /* read and written: 2 */
};

/* What all kernels use. */
struct shared {
    const struct gpu_shape *s;
    int64_t T;
    char *table;    /* [V, D] bf16: not rotated, larger than any cache */
    float *vector;  /* [2 F] */
    int32_t *token; /* [TOKENS] */
    int32_t *order; /* [T] the rows, last one first */
    int ranks;      /* of sum_ranks */
};

struct kernel {
    const char *name;
    int (*launch)(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream);
    struct tensor t[TENSORS];
    double row_flops, vector_bytes; /* of a row; of what all rows read */
};

/* ---- launches: p holds the tensors in the order of the table below ---- */

static int embed(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    struct k_batch batch = {.token = a->token + turn * a->T % (TOKENS - a->T), .T = to_i32(a->T)};
    return (int)k_embed(p[0], a->table, DTYPE_ID_BF16, batch, a->s->D, 0, a->s->V, 1.0f, stream);
}

static int rmsnorm(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_rmsnorm(p[1], DTYPE_ID_BF16, p[0], a->vector, a->T, a->s->D, 1e-5f, 0, stream);
}

static int residual(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_residual_rmsnorm(p[2], DTYPE_ID_BF16, p[0], p[1], a->vector, a->T, a->s->D, 1e-5f,
                                   0, stream);
}

static int glu(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_glu(p[1], p[0], DTYPE_ID_BF16, a->T, a->s->F, ACT_SILU, stream);
}

static int softcap(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_softcap(p[0], a->T * a->s->V, 30.0f, stream);
}

static int gather(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_gather_rows(p[1], p[0], a->order, a->T, (size_t)a->s->D * 2, stream);
}

static int64_t qkv_columns(const struct gpu_shape *s)
{
    return (s->H + 2 * s->G) * s->E;
}

static int add_bias(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_add_bias(p[1], DTYPE_ID_BF16, p[0], a->vector, a->T, qkv_columns(a->s), stream);
}

static int quantize(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_quantize(p[1], p[2], p[0], DTYPE_ID_BF16, a->T, a->s->D, a->s->D, stream);
}

static int scale(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_scale_rows(p[1], DTYPE_ID_BF16, p[0], 2 * a->s->F, p[2], a->vector, NULL, a->T,
                             2 * a->s->F, stream);
}

static int sum(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_sum_ranks(p[0], p[1], a->ranks, a->T * a->s->D, stream);
}

static int advance(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_advance(p[0], p[1], p[2], p[3], a->T, stream);
}

/* The step counts on and on: back to the first row of the history before each launch. */
static int record(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    char *history = p[0];
    int32_t *step = p[3];
    cudaError_t error = cudaMemsetAsync(step, 0, sizeof *step, stream);
    if (error != cudaSuccess) return (int)error;
    return (int)k_record((int32_t *)(void *)history, (float *)(void *)(history + 4 * a->T), step,
                         p[1], p[2], a->T, stream);
}

static int hash_rows(const struct shared *a, void *const p[], int64_t turn, cudaStream_t stream)
{
    (void)turn;
    return (int)k_hash_rows(p[1], p[0], a->T, (size_t)a->s->D * 2, stream);
}

/* ---- one kernel, one number of rows ---- */

struct call {
    const struct kernel *k;
    const struct shared *a;
};

static int launch(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct call *c = arg;
    void *p[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        p[i] = memory;
        memory += gpu_bench_aligned((size_t)(c->a->T * c->k->t[i].columns * c->k->t[i].bytes));
    }
    return c->k->launch(c->a, p, turn, stream);
}

static void measure(const struct gpu_bench *b, const struct kernel *k, const struct shared *a)
{
    struct call call = {k, a};
    struct gpu_work w = {.name = k->name,
                         .rows = a->T,
                         .bytes = k->vector_bytes,
                         .flops = k->row_flops * (double)a->T,
                         .launch = launch,
                         .arg = &call};
    int n = 0;
    for (int i = 0; i < TENSORS && k->t[i].columns; i++) {
        int64_t bytes = a->T * k->t[i].columns * k->t[i].bytes;
        w.bytes += (double)bytes * k->t[i].touched;
        w.turn_bytes += gpu_bench_aligned((size_t)bytes);
        n += snprintf(w.shape + n, sizeof w.shape - (size_t)n, "%s%lld x %d B", i ? " + " : "",
                      (long long)k->t[i].columns, k->t[i].bytes);
    }
    gpu_bench_run(b, &w);
}

static void measure_all(const struct gpu_bench *b, struct shared *a)
{
    const struct gpu_shape *s = a->s;
    int64_t D = s->D, F = s->F, N = qkv_columns(s);
    double d = (double)D, f = (double)F;
    const struct kernel kernels[] = {
        /* the second: rows of the table, which lie elsewhere */
        {"embed", embed, {{D, 4, 1}, {D, 2, 1}, {1, 4, 1}}, d, 0},
        {"rmsnorm", rmsnorm, {{D, 4, 1}, {D, 2, 1}}, 4 * d, 4 * d},
        {"residual_rmsnorm", residual, {{D, 4, 2}, {D, 4, 1}, {D, 2, 1}}, 5 * d, 4 * d},
        {"glu", glu, {{2 * F, 2, 1}, {F, 2, 1}}, 5 * f, 0},
        {"softcap", softcap, {{s->V, 4, 2}}, 3 * (double)s->V, 0},
        {"gather_rows", gather, {{D, 2, 1}, {D, 2, 1}}, 0, 0},
        {"add_bias", add_bias, {{N, 4, 1}, {N, 2, 1}}, (double)N, 4 * (double)N},
        {"quantize", quantize, {{D, 2, 1}, {D, 1, 1}, {1, 4, 1}}, 2 * d, 0},
        {"scale_rows", scale, {{2 * F, 4, 1}, {2 * F, 2, 1}, {1, 4, 1}}, 4 * f, 8 * f},
        {"advance", advance, {{1, 4, 1}, {1, 4, 2}, {1, 4, 2}, {1, 4, 1}}, 2, 0},
        {"record and a memset", record, {{2, 4, 1}, {1, 4, 1}, {1, 4, 1}, {1, 4, 0}}, 0, 0},
        {"hash_rows", hash_rows, {{D, 2, 1}, {1, 8, 1}}, 4 * d, 0},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) measure(b, &kernels[i], a);
    for (a->ranks = 2; a->ranks <= 4; a->ranks += 2)
        measure(b,
                &(struct kernel){a->ranks == 2 ? "sum_ranks of 2" : "sum_ranks of 4",
                                 sum,
                                 {{D, 4, 1}, {a->ranks * D, 4, 1}},
                                 (a->ranks - 1) * d,
                                 0},
                a);
}

int main(int argc, char **argv)
{
    struct gpu_bench b;
    gpu_bench_begin(&b, argc, argv);
    const struct gpu_shape *s = &b.shape;
    int64_t most = b.rows[b.n_rows - 1];
    int32_t *token = mem_calloc(TOKENS, sizeof *token),
            *order = mem_calloc((size_t)most, sizeof *order);
    float *vector = mem_calloc((size_t)(2 * s->F), sizeof *vector);
    for (int64_t i = 0; i < TOKENS; i++) token[i] = to_i32(i * 104729 % s->V);
    for (int64_t i = 0; i < 2 * s->F; i++) vector[i] = 1.0f;
    struct shared a = {.s = s,
                       .table = gpu_bench_copy(NULL, (size_t)(s->V * s->D * 2)),
                       .vector = gpu_bench_copy(vector, (size_t)(2 * s->F) * sizeof *vector),
                       .token = gpu_bench_copy(token, TOKENS * sizeof *token),
                       .order = gpu_bench_copy(NULL, (size_t)most * sizeof *order)};
    CHECK(cudaMemset(a.table, 0, (size_t)(s->V * s->D * 2)));
    printf(GPU_BENCH_HEADER);
    for (int i = 0; i < b.n_rows; i++) {
        a.T = b.rows[i];
        for (int64_t k = 0; k < a.T; k++) order[k] = to_i32(a.T - 1 - k);
        CHECK(cudaMemcpy(a.order, order, (size_t)a.T * sizeof *order, cudaMemcpyHostToDevice));
        measure_all(&b, &a);
    }
    free(token);
    free(order);
    free(vector);
    CHECK(cudaFree(a.table));
    CHECK(cudaFree(a.vector));
    CHECK(cudaFree(a.token));
    CHECK(cudaFree(a.order));
    gpu_bench_end(&b);
    return 0;
}
