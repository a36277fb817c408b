/* The op table behind which a device computes: cpu is the reference, cuda the fast one.  Every op
 * is documented here once; tests/backend/ runs the same tests on every backend.
 *
 * Shape letters: S sequences, T tokens (rows) of this step, all sequences flattened, D width, H
 * query heads, G kv heads, E head dim, F ffn width, V vocabulary, L layers, P tensor-parallel
 * ranks.  All are this rank's share
 * (`_local` elsewhere) except D.  Row-major, written [T, H, E].
 *
 * The property that everything rests on: the result of a row depends on that row's inputs alone,
 * bit for bit, never on T, on its place among the rows, or on the number of threads.  Ranks of one
 * tensor group call the same ops in the same order with the same shapes; ops marked "collective"
 * exchange data over b->tensor, in rank order.
 *
 * Two kinds of numbers flow between ops, all in backend memory: f32 (the residual stream, what a
 * block adds to it, norms' weights, logits) and `act` (void pointers: what a matrix reads and what
 * stands between two matrices), of the type b->activation: f32 on the cpu, dtype_beside the
 * weights' type on a GPU.  Pointers marked "host" are plain memory.
 *
 * Ops are issued in order and may run later; download, decode_end, sample and logprob wait. */
#pragma once

#include "backend/types.h"
#include "backend/workload.h"
#include "base/err.h"
#include "base/rng.h"
#include "comm/comm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t dtype_bytes(enum dtype d);
const char *dtype_name(enum dtype d);
/* Exact widening of n numbers. */
void dtype_widen(float *out, const void *in, enum dtype from, size_t n);
/* Rounding of n numbers, to nearest, ties to even; NaN stays NaN.  FP8 has no scale here: beyond
 * 448 is 448. */
void dtype_narrow(void *out, const float *in, enum dtype to, size_t n);

/* Of all else that a model has where its layers' matrices are of type d: embedding, vocabulary
 * projection, K and V and, on a GPU, `act`.  bf16 beside FP8, else d itself. */
enum dtype dtype_beside(enum dtype d);
/* Bytes of a matrix [N, K] of type d.  FP8: each row has a scale of f32, and both sides are padded
 * to multiples of 16, which tensor cores want. */
size_t dtype_matrix_bytes(enum dtype d, int64_t N, int64_t K);

/* A matrix [N, K] of weights, stored and packed as the backend likes.  Opaque. */
struct weight;

/* KV pages of one model.  Page p holds K and V of PAGE_TOKENS consecutive tokens for all layers. */
struct kv_shape {
    int64_t L, G, E;
    int64_t H; /* query heads that will read them: what attention's workspace is made for */
};
struct kv_pool; /* opaque */

/* A page that leaves for, or arrives from, a rank of b->shard. */
struct kv_move {
    int32_t page;
    int peer;
    bool arrives;
};

/* One sequence of a step.  Its tokens: the shared prefix at positions [0, prefix_len), then own
 * tokens from prefix_len on, each part in pages of its own, so that a prompt's pages are shared
 * whatever its length. */
struct segment {
    const int32_t
        *prefix_pages; /* [ceil(prefix_len / PAGE_TOKENS)] host, borrowed until the op returns */
    int64_t prefix_len;
    const int32_t *own_pages; /* host; NULL while the prefix itself is computed */
    int64_t first_position;   /* of this step's first row */
    int64_t row, n_rows;      /* this step's rows [row, row + n_rows), consecutive positions */
};

struct batch {
    const int32_t *token;           /* [T] host */
    const int32_t *position;        /* [T] host */
    const struct segment *segments; /* [S] host */
    int64_t T, S;
};

/* Sequences that advance together, one token per step, without the host in between. */
struct decode {
    int64_t S;
    const struct segment *segments; /* [S] host; n_rows 1; own pages reach every step's position */
    const int32_t *token;           /* [S] host: the newest token of each; step 0 writes its KV */
    const struct draw *draws;       /* [S] host: of step 0; each step's position is one more */
    int64_t steps;
    int64_t max_rows; /* at least S: padding stays below */
};

struct attention_params {
    int64_t H, G, E;
    int64_t layer;
    float scale;    /* of q.k */
    float softcap;  /* 0: none; else cap * tanh(s / cap) */
    int64_t window; /* 0: none; else key j is seen from i when i - j < window */
};

struct sample_params {
    float temperature;   /* 0: greedy (ties by lower id) */
    int64_t top_k;       /* 0: off */
    float top_p;         /* 1: off */
    float min_p;         /* 0: off */
    int64_t V;           /* true vocabulary of the model; columns beyond it are padding */
    int64_t vocab_begin; /* id of this rank's first column */
    int64_t V_local;     /* columns of this rank */
};

struct backend {
    const struct backend_ops *ops;
    struct comm *tensor; /* borrowed: ranks of the group */
    struct comm *shard;  /* borrowed: ranks of all groups with this rank's shard; NULL: no pages
                            move between groups */
    void *impl;
    enum dtype dtype;      /* how the layers' matrices are stored */
    enum dtype activation; /* of `act` buffers */
    int64_t max_rows;      /* of a forward pass: more are worth no more */
    int64_t
        steps_ahead; /* most steps worth handing to decode_begin: 1 where the host is the device */
    int threads;     /* of this rank */
    char device[128], isa[64], versions[256]; /* for the record */
    char choice[640];    /* backend: auto: which was taken and why; else empty */
    int ranks_on_device; /* that share its memory */
    int ranks_on_host;
    struct {
        double gemm_flops;
        int64_t gemm_rows, gemm_rows_padded; /* rows asked for, rows computed beyond them */
    } stats;
};

struct backend_ops {
    const char *name;
    void (*destroy)(struct backend *b);

    /* ---- memory: alloc gives zeroed, aligned backend memory or NULL ---- */
    void *(*alloc)(struct backend *b, size_t bytes);
    void (*free)(struct backend *b, void *p);
    void (*upload)(struct backend *b, void *dst, const void *host, size_t bytes);
    void (*download)(struct backend *b, void *host, const void *src, size_t bytes);
    /* Memory of the host that pages go to and come from without a wait (pinned); NULL without
     * memory.  host_free waits for what uses it. */
    void *(*host_alloc)(struct backend *b, size_t bytes);
    void (*host_free)(struct backend *b, void *p); /* accepts NULL */
    /* Bytes that may still be taken on this device by this rank (free memory, cgroup and Slurm
     * limits, divided by the ranks that share it); the same of the host. */
    size_t (*free_bytes)(struct backend *b);
    size_t (*host_free_bytes)(struct backend *b);
    /* What `reserve` takes for n workloads that take turns; nothing where ops need no device memory
     * of their own. */
    size_t (*workspace_bytes)(const struct workload *w, int n);
    /* Takes it; what was reserved for other workloads serves too.  Ops within the workload take no
     * more from then on.  -1 with *e: no memory. */
    int (*reserve)(struct backend *b, const struct workload *w, struct err *e);

    /* ---- weights: filled row by row in order, in any number of calls, then finished (packed).
     * Never needs more than the packed matrix plus 64 MiB.  type: b->dtype, or dtype_beside it.
     * fill: rows [n_rows, K] host, of type `from`: F32, BF16 or F16. ---- */
    struct weight *(*weight_create)(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                    struct err *e);
    int (*weight_fill)(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                       int64_t n_rows, struct err *e);
    /* All rows must have been given.  A library's GEMM is used for an (N, K) where a self-test,
     * once per shape, finds the bits of a row equal for every row count of its ladder; own kernels
     * elsewhere (logged at debug level). */
    int (*weight_finish)(struct backend *b, struct weight *w, struct err *e);
    void (*weight_destroy)(struct backend *b, struct weight *w); /* accepts NULL */
    size_t (*weight_bytes)(const struct weight *w);

    /* out [T, N] of type out_type (F32 or b->activation) = x [T, K] act * W^T + bias [N] (f32, may
     * be NULL; added once, after the sum over K).  W of FP8: its rows were rounded as they came,
     * each with the scale that makes its largest number 448, and the rows of x are so here. */
    void (*gemm)(struct backend *b, void *out, enum dtype out_type, const void *x,
                 const struct weight *w, const float *bias, int64_t T);

    /* ---- the rows of a forward pass ---- */
    /* What embed, rope_kv_write and attention work on from here, until the next of batch_begin and
     * decode_begin.  Borrowed until then.  kv: the pool of the pages; NULL where none is touched.
     */
    void (*batch_begin)(struct backend *b, struct kv_pool *kv, const struct batch *batch);
    /* A batch that advances: step 0 first.  Returns its rows T >= S; rows beyond S are padding,
     * their results mean nothing.  Each step: a forward pass over T rows, decode_draw for all of
     * them, then decode_advance makes the next step the batch.  decode is borrowed until
     * decode_end. */
    int64_t (*decode_begin)(struct backend *b, struct kv_pool *kv, const struct decode *decode);
    /* Draw the next token of rows [at, at + n) from logits [n, V_local]: as `sample`.  Collective.
     */
    void (*decode_draw)(struct backend *b, const float *logits, int64_t at, int64_t n,
                        const struct sample_params *p);
    void (*decode_advance)(struct backend *b);
    /* What was drawn: token, logprob host [steps, S]. */
    void (*decode_end)(struct backend *b, int32_t *token, float *logprob);
    /* Between decode_begin and decode_end: body(arg) issues one step's ops, whose arguments, `T`
     * included, depend on (key, body, arg) alone and that do not wait: a device may record them
     * once and run the recording from then on, until memory, a weight or a pool is freed.  body is
     * called at most once per call and must do nothing else. */
    void (*graph)(struct backend *b, uint64_t key, void (*body)(void *), void *arg);

    /* ---- rows ---- */
    /* out [T, D] f32 = table[token - vocab_begin] * scale for the batch's tokens, zero for those
     * outside [vocab_begin, vocab_begin + rows).  table: rows of type
     * dtype_beside(b->dtype). */
    void (*embed)(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
                  int64_t vocab_begin, int64_t rows, float scale);
    /* out (of type out_type) = x / sqrt(mean(x^2) + eps) * (w + w_offset); out may be x when both
     * are f32.  D columns, sums in f32 in one fixed order. */
    void (*rmsnorm)(struct backend *b, void *out, enum dtype out_type, const float *x,
                    const float *w, int64_t T, int64_t D, float eps, float w_offset);
    /* x += delta; out act = rmsnorm(x) */
    void (*residual_rmsnorm)(struct backend *b, void *out, float *x, const float *delta,
                             const float *w, int64_t T, int64_t D, float eps, float w_offset);
    void (*softcap)(struct backend *b, float *x, int64_t n,
                    float cap); /* x = cap * tanh(x / cap) */
    /* out [T, F] act = activation(gate_up[:, 0:F]) * gate_up[:, F:2F], act */
    void (*glu)(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
                enum activation act);
    /* out [R, row_bytes] = x[rows]; rows host */
    void (*gather_rows)(struct backend *b, void *out, const void *x, const int32_t *rows, int64_t R,
                        size_t row_bytes);

    /* ---- attention over pages ---- */
    struct kv_pool *(*kv_create)(struct backend *b, struct kv_shape shape, int64_t n_pages,
                                 struct err *e);
    void (*kv_destroy)(struct backend *b, struct kv_pool *p); /* accepts NULL */
    size_t (*kv_page_bytes)(const struct backend *b,
                            struct kv_shape shape); /* of one page, all layers, this rank */
    /* qkv [T, (H + 2G) E] act, of the batch's rows: per-head RMSNorm of q and k where q_norm,
     * k_norm ([E], else NULL; eps, w_offset), then rotary embedding (rotate-half: pairs j, j + E/2)
     * by rope [max_position, E/2, 2] (cos, sin), q in place; k and v go to their pages, rounded to
     * dtype_beside(b->dtype).  Rows of the batch at positions < prefix_len go to prefix pages,
     * others to own pages. */
    void (*rope_kv_write)(struct backend *b, void *qkv, struct kv_pool *kv,
                          const struct attention_params *p, const float *rope, const float *q_norm,
                          const float *k_norm, float eps, float w_offset);
    /* out [T, H, E] act = softmax(q k^T) v, causal, over the pages of each row's segment: prefix
     * tiles from position 0, then own tiles from prefix_len, in that order, chunks of pages,
     * running maximum and sum in f32.  q is rounded as K was; weights may be, too. */
    void (*attention)(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                      const struct attention_params *p);
    void (*kv_copy)(struct backend *b, struct kv_pool *kv, int32_t dst,
                    int32_t src); /* a page, all layers */
    /* n pages to the host and back, all layers, in an order within a page that is the backend's
     * own.  Both may run later: until an op that waits, the memory is not the caller's.  What
     * kv_write brings arrives layer by layer beside the ops that follow; each waits for the layers
     * that it needs.  places: memory of host_alloc, kv_page_bytes each; borrowed until the op
     * returns. */
    void (*kv_read)(struct backend *b, struct kv_pool *kv, const struct kv_place *places,
                    int64_t n);
    void (*kv_write)(struct backend *b, struct kv_pool *kv, const struct kv_place *places,
                     int64_t n);
    /* Pages between ranks of b->shard, all layers, all at once, without a wait on a device.
     * Collective over the ranks that the moves name: each lists its own moves of one order that
     * all agree on.  moves: borrowed until the op returns. */
    void (*kv_exchange)(struct backend *b, struct kv_pool *kv, const struct kv_move *moves,
                        int64_t n);

    /* ---- across the group's ranks (collective) ---- */
    void (*sum_ranks)(struct backend *b, float *x, int64_t n); /* rank order */

    /* ---- the end of a step (collective) ---- */
    /* For each of S rows of logits [S, V_local]: token[s] by temperature, top-k, top-p (on the
     * renormalised rest), min-p, then argmin E/p with draws[s] (base/rng.h); logprob[s]:
     * log-probability of token[s] under the raw softmax at temperature 1 over the whole vocabulary.
     * draws, token, logprob: host.  Same result on every rank.  A row whose logits hold NaN or
     * +inf, or nothing above -inf, gives token -1 and logprob NaN. */
    void (*sample)(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                   const struct draw *draws, int32_t *token, float *logprob);
    /* logprob[s] of given tokens, as above. */
    void (*logprob)(struct backend *b, const float *logits, int64_t S,
                    const struct sample_params *p, const int32_t *token, float *logprob);

    /* Joules that the device has used so far, from some beginning, divided by the ranks that share
     * it; NAN: not known. */
    double (*energy_j)(struct backend *b);

    /* A phase of the host's work begins, for the device's profiler to show; NULL: the last one that
     * began ends.  The name is borrowed for the call. */
    void (*range)(struct backend *b, const char *name);
};

enum device_choice { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };
struct backend_config {
    enum device_choice device;
    enum dtype dtype;  /* NONE: what suits the device */
    int threads;       /* as of backend_cpu_create */
    bool reproducible; /* false: sums across ranks in the order that the library likes */
};

/* Collective over world, of which `tensor` is this rank's group and `shard` the ranks of all groups
 * with its shard, where pages will move between groups, else NULL (both borrowed for the backend's
 * life).
 * DEVICE_AUTO takes cuda where every rank of the world has a usable device, else cpu.  The CUDA
 * backend is libspecrej_cuda.so beside the program, or the file that $SPECREJ_CUDA_BACKEND names.
 * NULL with *e, which may differ between ranks. */
struct backend *backend_open(const struct backend_config *c, struct comm *world,
                             struct comm *tensor, struct comm *shard, struct err *e);

/* The CPU backend (cpu/cpu.c).  tensor: borrowed for its life; threads: OpenMP threads of this rank
 * (0: from the environment or the CPUs this process may use); dtype: NONE chooses bf16 where the
 * processor multiplies it, else f32. F16 and FP8 are refused with a message.  NULL with *e. */
struct backend *backend_cpu_create(struct comm *tensor, enum dtype dtype, int threads,
                                   struct err *e);
void backend_destroy(struct backend *b); /* accepts NULL */

/* What one of so many ranks on this host may still take of its memory; a backend's op for it. */
size_t host_free_bytes(int ranks_on_host);
size_t backend_host_free_bytes(struct backend *b);

/* Pages that n tokens take. */
static inline int64_t pages_of(int64_t n_tokens)
{
    return (n_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
}
