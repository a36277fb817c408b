/* The forward pass: the paper-like sequence of backend calls for T rows, generators and reward
 * models alike. */
#pragma once

#include "model/cost.h"
#include "model/weights.h"

/* Work done since the model was prepared. */
struct model_stats {
    int64_t rows;         /* rows through the layers */
    int64_t logits_rows;  /* rows through the vocabulary projection */
    double forwards;      /* passes: each reads all weights once (parts of one: prompts share it) */
    double attended_keys; /* keys that the rows attended to (before any sliding window) */
};

struct model {
    struct backend *backend; /* borrowed */
    struct arch arch;
    struct shard shard;
    struct weights weights;
    struct kv_pool *kv;    /* owned; pages are handed out by decode/kvcache */
    float *rope;           /* backend memory [max_positions, E/2, 2] */
    int64_t max_positions; /* of this job: prompt + new tokens, at most arch.max_positions */
    int64_t max_rows;      /* rows of one forward; longer steps are sliced by the caller */
    void *scratch[8];      /* activation arena, taken once (transformer.c names the parts) */
    struct model_stats stats;
    void (*poll)(void *arg); /* called before each model_run: a long prefill or scoring must not
                                keep others waiting.  May be NULL. */
    void *poll_arg;
};

/* What this rank's pages hold. */
struct kv_shape model_kv_shape(const struct model *m);
/* Set up scratch, rope table and the KV pool for a loaded model.  weights must be there. */
int model_prepare(struct model *m, int64_t max_positions, int64_t max_rows, int64_t n_pages,
                  struct err *e);
/* What its passes ask of the backend; draws are the caller's to add. */
struct workload model_workload(const struct arch *a, const struct shard *s, enum dtype activation,
                               int64_t max_positions, int64_t max_rows);
/* Bytes that model_prepare takes besides the pages; activation: of the backend. */
size_t model_workspace_bytes(const struct arch *a, const struct shard *s, enum dtype activation,
                             int64_t max_positions, int64_t max_rows);
/* What model_prepare took goes, the weights stay: it can be prepared again. */
void model_release(struct model *m);
void model_close(struct model *m); /* accepts a zeroed model */

/* Run the backend's batch of T <= max_rows rows through all layers, writing K and V.  Returns the
 * final norm's output [T, D] act, borrowed until the next forward pass.  Issues ops and does
 * nothing else, so that a device may record it. */
const void *model_forward(struct model *m, int64_t T);
/* The same for this batch, counted in the stats. */
const void *model_run(struct model *m, const struct batch *batch);
/* Count a forward pass over `rows` rows that attended to `keys` keys. */
void model_count(struct model *m, int64_t rows, double keys);
/* Row `row` of what model_forward returned. */
const void *model_row(const struct model *m, const void *hidden, int64_t row);

/* The first part of a forward pass whose result is not finite: the residual stream behind it, or
 * the logits alone.  Layers count from 0. */
enum model_part {
    MODEL_UNKNOWN, /* nobody looked */
    MODEL_EMBEDDING,
    MODEL_ATTENTION,
    MODEL_MLP,
    MODEL_HEAD,   /* final norm, vocabulary projection */
    MODEL_NOWHERE /* all is finite */
};
struct model_place {
    enum model_part part;
    int64_t layer;
};
/* Run a batch of one row, looking at the row behind every part: slow, for a row that went wrong.
 * The pages it reads are as they were, those that it writes get the same bits; not counted in the
 * stats.  logits [1, V_local]: working memory of the backend.  Collective; the same on all ranks of
 * the group. */
struct model_place model_find_fault(struct model *m, const struct batch *batch, float *logits);
/* "from the MLP of layer 3 on" */
void model_place_text(struct model_place p, char *out, size_t size);

/* Bytes of the weights, and of a token's K and V, over all ranks of the group; 0 without a model.
 */
int64_t model_weight_bytes(const struct model *m);
int64_t model_kv_bytes(const struct model *m);

/* FLOPs and bytes of counted work: every pass reads all weights (weight_bytes, over all ranks),
 * every attended key its K and V (token_bytes, likewise). */
struct cost model_stats_cost(const struct arch *a, const struct model_stats *s, double weight_bytes,
                             double token_bytes);
/* FLOPs and bytes of this model's counted work. */
struct cost model_cost(const struct model *m, const struct model_stats *s);
/* sum += after - before: what was counted between two readings. */
void model_stats_add(struct model_stats *sum, const struct model_stats *before,
                     const struct model_stats *after);

/* logits [R, V_local] f32 of hidden rows [R, D] act, soft cap applied.  R <= max_rows.  The caller
 * counts stats.logits_rows. */
void model_logits(struct model *m, const void *hidden, int64_t R, float *logits);
