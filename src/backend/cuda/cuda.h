/* Inside the CUDA backend: what its files share.
 *
 * Everything is enqueued on one stream per backend, but for pages that come from the host.  What a
 * recorded step (graph.c) names must stay where it is: device buffers grow outside of recordings
 * only, and growing or freeing one moves `generation` on, which forgets the recordings.  The host
 * waits in wait.c alone. */
#pragma once

#include "attention_plan.h"
#include "backend/backend.h"
#include "base/check.h"
#include "kernels.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

const char *cuda_status_name(int status);
const char *cublas_status_name(int status);
const char *nccl_status_name(int status);
#define CUDA_CHECK(call)   CHECK_GEN(call, cudaSuccess, cuda_status_name)
#define CUBLAS_CHECK(call) CHECK_GEN(call, CUBLAS_STATUS_SUCCESS, cublas_status_name)
#define NCCL_CHECK(call)   CHECK_GEN(call, ncclSuccess, nccl_status_name)

/* Device memory that grows to the largest need and stays. */
struct cuda_buffer {
    void *p;
    size_t bytes;
    bool is_reserved; /* as large as its workload needs: reserve.c */
};

/* Pinned memory in turns: a turn is used again when the device has read it. */
enum { STAGING_TURNS = 2 };
struct cuda_staging {
    struct {
        char *p;
        size_t bytes;
        cudaEvent_t read; /* recorded behind the last copy out of it */
    } turn[STAGING_TURNS];
    int next;
};

/* Pages that come from the host on a stream of their own, layer by layer (kv_host.c). */
struct cuda_arrivals {
    cudaStream_t stream; /* NULL before the first */
    cudaEvent_t begin;   /* their places are free */
    cudaEvent_t *layer;  /* [n_layers] this one is there */
    int64_t n_layers;    /* that events were made for */
    struct kv_pool *kv;  /* whose layers from `next` on nobody has waited for; NULL: none */
    int64_t next;
};

struct gemm;   /* gemm.h */
struct steps;  /* batch.c */
struct graphs; /* graph.c */
struct cuda_energy;

struct cuda {
    int device, multiprocessors;
    cudaStream_t stream;
    bool reproducible, recording;
    double deadline_s;   /* for any wait */
    uint64_t generation; /* of device memory that recordings may name */

    struct cuda_staging staging;
    struct gemm *gemm;          /* owned */
    struct steps *steps;        /* owned */
    struct graphs *graphs;      /* owned */
    struct cuda_energy *energy; /* owned; NULL: not known */
    ncclComm_t ranks;           /* owned; NULL where the group is one rank */
    ncclComm_t shards;          /* owned; b->shard's ranks, NULL where there is none other */
    struct cuda_arrivals arrivals;
    struct cuda_buffer gather;    /* [ranks, n] of a sum over ranks */
    struct cuda_buffer slots;     /* attention's partial results */
    struct cuda_buffer rows;      /* indices of gather_rows */
    struct cuda_buffer sum;       /* a product before its scales, its bias and its rounding */
    struct cuda_buffer quantized; /* rows of FP8 and their scales (weight.c) */
    struct cuda_buffer sample, sample_io;
    struct cuda_buffer places;   /* struct kv_place: of pages that move */
    struct cuda_buffer exchange; /* pages on their way between groups */
};

static inline struct cuda *cuda_of(const struct backend *b)
{
    return b->impl;
}

/* Numbers of rows that matrices are tried for and recorded steps are padded to. */
#define CUDA_RUNGS                                                                                 \
    {                                                                                              \
        1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024                     \
    }

/* ---- wait.c ---- */
/* $SPECREJ_CUDA_DEADLINE_S, or ten minutes: longer than any step, any load of a weight, any wait
 * for another rank. */
int cuda_deadline(double *seconds, struct err *e);
/* Until all that was enqueued is done; dies when a peer or the device fails, or nothing moves for
 * long. */
void cuda_wait(struct backend *b);
void cuda_wait_event(struct backend *b, cudaEvent_t event);

/* ---- memory.c ---- */
void *cuda_alloc(struct backend *b, size_t bytes);
void cuda_release(struct backend *b, void *p);
void cuda_upload(struct backend *b, void *dst, const void *host, size_t bytes);
void cuda_download(struct backend *b, void *host, const void *src, size_t bytes);
size_t cuda_free_bytes(struct backend *b);
/* Device memory of at least so many bytes; contents are lost when it grows.  cuda_need dies without
 * memory. */
void *cuda_try_need(struct backend *b, struct cuda_buffer *buffer, size_t bytes); /* or NULL */
void *cuda_need(struct backend *b, struct cuda_buffer *buffer, size_t bytes);
/* Pinned memory to write to now, until cuda_staged says that its copy was enqueued. */
void *cuda_stage(struct backend *b, size_t bytes);
void cuda_staged(struct backend *b);
void cuda_staging_free(struct cuda_staging *s);

/* ---- reserve.c ---- */
size_t cuda_workspace_bytes(const struct workload *w, int n);
int cuda_reserve(struct backend *b, const struct workload *w, struct err *e);

/* ---- weight.c (gemm.h has how it is multiplied) ---- */
struct weight *cuda_weight_create(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                  struct err *e);
int cuda_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                     int64_t n_rows, struct err *e);
int cuda_weight_finish(struct backend *b, struct weight *w, struct err *e);
void cuda_weight_destroy(struct backend *b, struct weight *w);
size_t cuda_weight_bytes(const struct weight *w);
void cuda_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
               const struct weight *w, const float *bias, int64_t T);

/* ---- batch.c ---- */
/* The step's batch on the device, and attention's plan of it. */
struct cuda_batch {
    struct k_batch k;
    const struct kv_pool *kv; /* NULL: no attention follows */
    const void *plan;         /* device */
    struct k_attention_grid grid;
};
const struct cuda_batch *cuda_batch_of(struct backend *b);
void cuda_batch_begin(struct backend *b, struct kv_pool *kv, const struct batch *batch);
int64_t cuda_decode_begin(struct backend *b, struct kv_pool *kv, const struct decode *decode);
void cuda_decode_draw(struct backend *b, const float *logits, int64_t at, int64_t n,
                      const struct sample_params *p);
void cuda_decode_advance(struct backend *b);
void cuda_decode_end(struct backend *b, int32_t *token, float *logprob);
void cuda_steps_free(struct backend *b);
struct cuda_buffer *cuda_batch_memory(struct backend *b);
struct cuda_buffer *cuda_drawn_memory(struct backend *b);

/* ---- energy.c ---- */
struct cuda_energy *cuda_energy_open(const unsigned char uuid[16]); /* NULL: not known */
void cuda_energy_close(struct cuda_energy *e);                      /* accepts NULL */
double cuda_energy_j(struct backend *b);

/* ---- range.c ---- */
void cuda_range(struct backend *b, const char *name);

/* ---- graph.c ---- */
void cuda_graph(struct backend *b, uint64_t key, void (*body)(void *), void *arg);
void cuda_graphs_free(struct backend *b);

/* ---- rows.c ---- */
void cuda_embed(struct backend *b, float *out, const void *table, int64_t T, int64_t D,
                int64_t vocab_begin, int64_t rows, float scale);
void cuda_rmsnorm(struct backend *b, void *out, enum dtype out_type, const float *x, const float *w,
                  int64_t T, int64_t D, float eps, float w_offset);
void cuda_residual_rmsnorm(struct backend *b, void *out, float *x, const float *delta,
                           const float *w, int64_t T, int64_t D, float eps, float w_offset);
void cuda_softcap(struct backend *b, float *x, int64_t n, float cap);
void cuda_glu(struct backend *b, void *out, const void *gate_up, int64_t T, int64_t F,
              enum activation act);
void cuda_gather_rows(struct backend *b, void *out, const void *x, const int32_t *rows, int64_t R,
                      size_t row_bytes);

/* ---- kv.c ---- */
/* Layers one behind the other, each as kernels.h says. */
struct kv_pool {
    struct kv_shape shape;
    int64_t n_pages;
    size_t page_bytes, layer_bytes; /* a page's part of one layer; all pages of one layer */
    char *data;                     /* device memory, owned */
};
struct kv_pool *cuda_kv_create(struct backend *b, struct kv_shape shape, int64_t n_pages,
                               struct err *e);
void cuda_kv_destroy(struct backend *b, struct kv_pool *kv);
size_t cuda_kv_page_bytes(const struct backend *b, struct kv_shape shape);
void cuda_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                        const struct attention_params *p, const float *rope, const float *q_norm,
                        const float *k_norm, float eps, float w_offset);
void cuda_attention(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                    const struct attention_params *p);
void cuda_kv_copy(struct backend *b, struct kv_pool *kv, int32_t dst, int32_t src);
struct k_kv_layers cuda_kv_layers(const struct kv_pool *kv); /* all */
/* Slots of attention's workspace for T rows. */
int64_t cuda_attention_slots(int64_t T);

/* ---- kv_host.c ---- */
void *cuda_host_alloc(struct backend *b, size_t bytes);
void cuda_host_free(struct backend *b, void *p);
void cuda_kv_read(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n);
void cuda_kv_write(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n);
/* What is enqueued from here on finds this layer of what kv_write brought, or all of it.  Not while
 * a step is recorded: decode_begin has seen to it. */
void cuda_kv_arrived(struct backend *b, const struct kv_pool *kv, int64_t layer);
void cuda_kv_all_arrived(struct backend *b);
/* A copy of the places on the device, until the next. */
const struct kv_place *cuda_kv_places(struct backend *b, const struct kv_pool *kv,
                                      const struct kv_place *places, int64_t n);
void cuda_arrivals_free(struct cuda_arrivals *a);

/* ---- kv_exchange.c ---- */
void cuda_kv_exchange(struct backend *b, struct kv_pool *kv, const struct kv_move *moves,
                      int64_t n);

/* ---- collective.c ---- */
/* Collective over b->tensor and b->shard.  rc: of what came before on this rank, -1 with *e. */
int cuda_ranks_begin(struct backend *b, int rc, struct err *e);
void cuda_ranks_end(struct backend *b);
void cuda_sum_ranks(struct backend *b, float *x, int64_t n);

/* ---- sample.c ---- */
/* What S rows draw with, in device memory (struct k_sample says more). */
struct cuda_draws {
    const struct draw *draws;
    const uint32_t *position; /* NULL: that of draws */
    const int32_t *given;     /* NULL: tokens are drawn */
};
/* token, logprob: device memory. */
void cuda_draw(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
               const struct cuda_draws *draws, int32_t *token, float *logprob);
void cuda_sample(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                 const struct draw *draws, int32_t *token, float *logprob);
void cuda_logprob(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                  const int32_t *token, float *logprob);
