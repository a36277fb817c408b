/* Attention over paged KV: causal, grouped queries, sliding window, soft cap.
 *
 * A row is one query head of one token.  Its arithmetic is fixed by its position, its segment's
 * prefix_len and the shape (H, G, E, type), and by nothing else (attention_row.cuh has it):
 *   - keys lie in two parts, the prefix from position 0 and own tokens from prefix_len; each part
 *     is cut into chunks of ATTENTION_CHUNK keys from its beginning.  Chunks are numbered through:
 *     those of the prefix, then those of own tokens;
 *   - a chunk gives (m, l, o): largest score, sum of exp(score - m), and that sum over values, by
 * an online softmax over its tiles in order;
 *   - the chunks of a row are folded from the left, in order.
 * What a row must not see adds nothing: a chunk or a tile without a visible key leaves every bit as
 * it was.  So a row may go with any other rows, and its chunks may be walked by one block of
 * threads or spread over many, with the same bits.
 *
 * How the work is spread is the plan (backend/cuda/attention_plan.h makes it on the host, once a
 * batch or once a run of decode steps; lengths are read from batch.position, so that one plan
 * serves all steps of a run).  A plan is one piece of device memory, int32_t throughout:
 *     struct k_attention_head, items [n_wide], items [n_narrow], struct k_attention_merge [n_merge]
 * Wide items run first (blocks of 64 rows), then narrow ones (16 rows), then merges; each is
 * one launch, left out where the grid has none.  Partial results wait in slots: floats
 * [slot][H][2 + E] = m, l, o of one row, each.
 *
 * Values of keys after a row's own, written by other rows of the same item, meet weights of zero
 * on the tensor cores: they must be finite, as all K and V of a sound model are.  What stands in
 * pages behind the last row's key is never read. */
#pragma once

#include "kernels.h"

#define ATTENTION_CHUNK  128 /* keys */
#define ATTENTION_TOKENS 64  /* most tokens of an item */

enum k_attention_to {
    ATTENTION_TO_OUT,   /* walk the chunks, fold, write the result */
    ATTENTION_TO_SLOT,  /* walk the chunks, fold, write the state */
    ATTENTION_TO_SLOTS, /* write every chunk's own (m, l, o); those that a row sees nothing of may
                           be left out */
};

/* Consecutive tokens of the batch with one prefix, and of one segment where own chunks are
 * walked. */
struct k_attention_item {
    int32_t token, n_tokens;
    int32_t begin, end, step; /* chunks begin, begin + step, ... < end (INT32_MAX: all) */
    int32_t to;               /* enum k_attention_to */
    int32_t before;      /* fold the token's slots [slot, slot + before) first: the prefix chunk by
                            chunk; one slot for several chunks is their state (TO_SLOT) */
    int32_t slot, slots; /* slots of token i begin at slot + i * slots; TO_SLOTS: chunk c goes
                            to c places behind that */
};

/* The result of a token whose own chunks, or all of them, stand in slots. */
struct k_attention_merge {
    int32_t token, slot;
    int32_t before; /* slots of the prefix, as above; own chunks follow */
};

struct k_attention_head {
    int32_t n_wide, n_narrow, n_merge, unused;
};

/* What the launches depend on: at least the plan's counts, rounded up so that few values occur. */
struct k_attention_grid {
    int32_t wide, wide_tokens;     /* items, and most tokens of one */
    int32_t narrow, narrow_tokens; /* the same */
    int32_t merge;                 /* tokens */
};

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of `slots` slots. */
static inline size_t k_attention_workspace_bytes(int64_t slots, int64_t H, int64_t E)
{
    return (size_t)slots * (size_t)H * (size_t)(E + 2) * sizeof(float);
}

/* Allow the kernels of this shape their shared memory on the current device: once per shape,
 * before the first k_attention_run and outside of any recording.  cudaErrorInvalidValue where E is
 * not a multiple of 8 or beyond 256, or H not one of G. */
cudaError_t k_attention_prepare(enum dtype act, struct k_attention p);

/* out [T, H, E] act; qkv [T, (H + 2G) E] act, queries rotated, K and V already in their pages;
 * kv_layer: this layer's pages; plan: device memory as above; workspace: the plan's slots, device
 * memory aligned to 16 (NULL where there are none).  Rows of padding are not written. */
cudaError_t k_attention_run(void *out, const void *qkv, const void *kv_layer, enum dtype act,
                            struct k_batch batch, struct k_attention p, const void *plan,
                            struct k_attention_grid grid, float *workspace, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
