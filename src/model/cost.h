/* Bytes and FLOPs of a model's phases.  Pure arithmetic, exact; one multiply-add is 2 FLOPs. */
#pragma once

#include "model/shard.h"

struct cost {
    double flops; /* over all ranks of the group */
    double bytes; /* weights and KV that must be read and written, over all ranks, as stored */
};

/* Everywhere: the layers' matrices are of dtype, the embedding, the vocabulary projection and KV of
 * dtype_beside it, norms and biases of f32. */

/* Bytes of weights of one rank, as stored, without the reward head. */
size_t cost_weight_bytes(const struct arch *a, const struct shard *s, enum dtype dtype);
/* Bytes of a GPU's workspace for products of up to `rows` rows in FP8, rounded rows and sums; 0 in
 * other types.  Taken with the weights, and one for all models of a rank: the largest. */
size_t cost_product_bytes(const struct arch *a, const struct shard *s, enum dtype dtype,
                          int64_t rows);
/* Bytes of K and V of one token, all layers, one rank (element size elem). */
size_t cost_kv_token_bytes(const struct arch *a, const struct shard *s, size_t elem);
/* Multiply-adds x 2 of all matrices for one row, head excluded; and of the vocabulary projection.
 */
double cost_row_flops(const struct arch *a);
double cost_logits_flops(const struct arch *a);
/* Attention of one query row over n keys. */
double cost_attention_flops(const struct arch *a, int64_t n_keys);
/* A prefill of n tokens from position p: rows, attention; logits of `n_logits` rows. */
struct cost cost_prefill(const struct arch *a, enum dtype dtype, int64_t p, int64_t n,
                         int64_t n_logits);
/* A decode step: B sequences, P shared prompt tokens, `own` own tokens (this step's included)
 * summed over the sequences. The shared tokens are read once; under a sliding window sequences
 * count as equally long.  The embedding table is not counted: a step touches one row of it per
 * sequence. */
struct cost cost_decode(const struct arch *a, enum dtype dtype, int64_t B, int64_t P, int64_t own);
/* Seconds below which no such step can go on a device of these rates, whose phases follow one
 * another: matrices (weights read, or multiplied), the shared prompt (read once, or attended to by
 * all), own tokens (read). */
double cost_decode_floor_s(const struct arch *a, enum dtype dtype, int64_t B, int64_t P,
                           int64_t own, double bytes_per_s, double flops_per_s);
