/* The launchers: what host code of the CUDA backend calls.  Each enqueues on `stream`, reads and
 * writes device memory only (but for k_kv_pages), allocates nothing, and returns
 * cudaGetLastError(); a launch's grid depends on the arguments given here alone, so that every
 * launcher can be recorded in a graph.
 *
 * Shape letters are those of backend/backend.h, as are the meaning of each op and the promise that
 * a row's bits depend on that row alone.  `act` buffers hold numbers of `enum dtype act`; every sum
 * runs in f32 (or wider) in one fixed order, and no kernel uses floating-point atomics.  Kernels
 * are compiled without contraction: a fused multiply-add is written fmaf. */
#pragma once

#include "backend/types.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `struct segment` on the device: page lists are places in one array. */
struct k_segment {
    int32_t prefix_at;  /* pages[prefix_at ...): the prefix */
    int32_t prefix_len; /* tokens */
    int32_t own_at;     /* pages[own_at ...): own tokens, -1: none */
    int32_t row, n_rows;
};

/* `struct batch` on the device; pointers stay the same from step to step, contents change. */
struct k_batch {
    const int32_t *token;             /* [T] */
    const int32_t *position;          /* [T] */
    const int32_t *segment_of;        /* [T]; -1: padding, whose results mean nothing */
    const struct k_segment *segments; /* [S] */
    const int32_t *pages;
    int32_t T, S;
};

/* KV pages of one layer: K and V of page p, kv head g, token t, column e at
 * [((p * 2 + (0: K, 1: V)) * G + g) * PAGE_TOKENS + t) * E + e], of type act. */
struct k_attention {
    int32_t H, G, E;
    float scale, softcap; /* softcap 0: none */
    int32_t window;       /* 0: none */
};

/* ---- embed.cu ---- */
cudaError_t k_embed(float *out, const void *table, enum dtype table_type, struct k_batch batch,
                    int64_t D, int64_t vocab_begin, int64_t rows, float scale, cudaStream_t stream);

/* ---- rmsnorm.cu ---- */
cudaError_t k_rmsnorm(void *out, enum dtype out_type, const float *x, const float *w, int64_t T,
                      int64_t D, float eps, float w_offset, cudaStream_t stream);
cudaError_t k_residual_rmsnorm(void *out, enum dtype out_type, float *x, const float *delta,
                               const float *w, int64_t T, int64_t D, float eps, float w_offset,
                               cudaStream_t stream);

/* ---- glu.cu, softcap.cu, gather_rows.cu ---- */
cudaError_t k_glu(void *out, const void *gate_up, enum dtype act, int64_t T, int64_t F,
                  enum activation activation, cudaStream_t stream);
cudaError_t k_softcap(float *x, int64_t n, float cap, cudaStream_t stream);
/* rows [R]: device memory */
cudaError_t k_gather_rows(void *out, const void *x, const int32_t *rows, int64_t R,
                          size_t row_bytes, cudaStream_t stream);

/* ---- bias.cu: what a GEMM without an epilogue leaves to do ---- */
/* out [T, N] of out_type = x [T, N] f32 + bias [N]; out may be x where both are f32. */
cudaError_t k_add_bias(void *out, enum dtype out_type, const float *x, const float *bias, int64_t T,
                       int64_t N, cudaStream_t stream);

/* ---- quantize.cu, scale_rows.cu: before and after a product of e4m3 ---- */
/* out [rows, stride] e4m3 and scale [rows] of x [rows, K]; stride: a multiple of 8, at least K; out
 * aligned to 8 bytes. */
cudaError_t k_quantize(void *out, float *scale, const void *x, enum dtype x_type, int64_t rows,
                       int64_t K, int64_t stride, cudaStream_t stream);
/* out [T, N] of out_type = sum [T, stride] f32 * row_scale [T] * column_scale [N] + bias [N] (or
 * NULL); out may be sum where out is f32 and stride is N. */
cudaError_t k_scale_rows(void *out, enum dtype out_type, const float *sum, int64_t stride,
                         const float *row_scale, const float *column_scale, const float *bias,
                         int64_t T, int64_t N, cudaStream_t stream);

/* ---- rope_kv_write.cu ---- */
/* kv_layer: the layer's pages.  rope [positions, E/2, 2].  q_norm, k_norm: [E] or NULL. */
cudaError_t k_rope_kv_write(void *qkv, void *kv_layer, enum dtype act, struct k_batch batch,
                            struct k_attention p, const float *rope, const float *q_norm,
                            const float *k_norm, float eps, float w_offset, cudaStream_t stream);

/* ---- attention.cu: see kernels/attention.h ---- */

/* ---- kv_copy.cu: a page, all layers; layers lie layer_bytes apart ---- */
cudaError_t k_kv_copy(void *kv, int64_t L, size_t layer_bytes, size_t page_bytes, int32_t dst,
                      int32_t src, cudaStream_t stream);

/* ---- kv_pages.cu: pages to or from memory where each lies in one piece ---- */
/* Layers [first_layer, first_layer + n_layers) of a pool. */
struct k_kv_layers {
    void *data;                     /* of the pool's first layer */
    size_t layer_bytes, page_bytes; /* as of k_kv_copy */
    int64_t first_layer, n_layers;
};
/* places [n], itself device memory: of the device, or pinned memory of the host, which the device
 * reads and writes by the same address; on 16 bytes.  most_blocks: for each layer; few where the
 * way is narrow. */
cudaError_t k_kv_pages(struct k_kv_layers kv, const struct kv_place *places, int64_t n,
                       bool to_flat, int64_t most_blocks, cudaStream_t stream);

/* ---- sum_ranks.cu: x [n] = parts [P, n] summed in rank order ---- */
cudaError_t k_sum_ranks(float *x, const float *parts, int P, int64_t n, cudaStream_t stream);

/* ---- sampling: see kernels/sample.h ---- */

/* ---- advance.cu: the next step's batch from what was drawn ---- */
/* token[s] = drawn[s] (0 where negative), position[s]++, draw_position[s]++ for s < S. */
cudaError_t k_advance(int32_t *token, int32_t *position, uint32_t *draw_position,
                      const int32_t *drawn, int64_t S, cudaStream_t stream);

/* ---- record.cu: what it drew ---- */
/* history_token, history_logprob [steps, S]: row *step is written from token, logprob [S]; then
 * (*step)++. */
cudaError_t k_record(int32_t *history_token, float *history_logprob, int32_t *step,
                     const int32_t *token, const float *logprob, int64_t S, cudaStream_t stream);

/* ---- hash_rows.cu: are rows equal, bit for bit?  x [rows, row_bytes], row_bytes even ---- */
cudaError_t k_hash_rows(uint64_t *hash, const void *x, int64_t rows, size_t row_bytes,
                        cudaStream_t stream);

#ifdef __cplusplus
}
#endif
