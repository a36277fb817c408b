/* A model's tensors -> this rank's slices -> backend memory.
 *
 * Slices are cut while streaming; peak host memory is the shard plus less than 256 MiB.  With a
 * `source` communicator (ranks of different groups that hold the same shard) only its rank 0 reads
 * the files and sends to the others: each byte leaves the file system at most once per tensor rank.
 * Non-finite weights are refused with the tensor's name. */
#pragma once

#include "model/safetensors.h"
#include "model/shard.h"

struct layer_weights {
    float *attention_norm;      /* [D] */
    struct weight *qkv;         /* [(H + 2G) E, D]: q rows, k rows, v rows */
    float *qkv_bias;            /* [(H + 2G) E] or NULL */
    float *q_norm, *k_norm;     /* [E] or NULL */
    struct weight *o;           /* [D, H E] */
    float *post_attention_norm; /* [D] or NULL: Gemma 2, on the attention's output */
    float *mlp_norm;            /* [D] */
    struct weight *gate_up;     /* [2 F, D]: gate rows, up rows */
    struct weight *down;        /* [D, F] */
    float *post_mlp_norm;       /* [D] or NULL: Gemma 2 */
};

/* Reward heads are small: every rank holds them whole, in f32, host memory. */
struct head_weights {
    float *linear;               /* [D] HEAD_SCORE, HEAD_EURUS */
    float linear_bias;           /* 0 when absent */
    float *dense1, *dense1_bias; /* [D, D], [D] HEAD_TWO_LAYER */
    float *dense2, dense2_bias;  /* [D], scalar */
    float *objectives;           /* [n_objectives, D] HEAD_GATED regression layer */
    float *objective_transform;  /* [n_objectives, n_objectives] reward_transform_matrix */
    float **gate, **gate_bias;   /* [gate_layers] matrices [out, in] and biases */
    float gate_logit_scale;
};

struct weights {
    struct backend *backend;      /* borrowed */
    void *embedding;              /* [V_rows, D] of dtype_beside(backend->dtype) */
    struct layer_weights *layers; /* [L] */
    float *final_norm;            /* [D] */
    struct weight *lm_head;       /* [V_local, D], NULL unless HEAD_CAUSAL_LM */
    struct head_weights head;
    size_t bytes;  /* this rank's share, as stored */
    char hash[33]; /* safetensors_hash, or of config and seed when random */
};

/* Load FOLDER for this shard.  source: NULL, or see above (collective over it). */
int weights_open(struct weights *w, struct backend *b, const struct arch *a, const struct shard *s,
                 const char *folder, struct comm *source, struct err *e);
/* Is the checkpoint in FOLDER complete?  From the files' headers alone, no number is read:
 * `problem` is told of each tensor that is missing or has a shape or type that does not fit.  -1
 * with *e: the files cannot be read as a checkpoint, or hold a layer's tensor that the architecture
 * has not. */
struct weights_found {
    size_t n_tensors, bytes; /* of all files together */
};
int weights_check(const struct arch *a, const char *folder,
                  void (*problem)(void *arg, const struct err *e), void *arg,
                  struct weights_found *found, struct err *e);
/* Random weights of any config from a seed: each number a function of (seed, tensor name, row,
 * column), so that every sharding gives the same model.  Scale as initialised models have (normal,
 * 0.02; norms 1). */
int weights_random(struct weights *w, struct backend *b, const struct arch *a,
                   const struct shard *s, uint64_t seed, struct err *e);
void weights_close(struct weights *w, const struct arch *a);
