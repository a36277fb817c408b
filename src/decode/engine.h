/* The generator at work on one prompt or several: prefill once, then one token for every live
 * candidate per step.
 *
 * A prompt's KV is computed once and shared by all its candidates; so are the logits of its last
 * position, from which every candidate draws its first token.  A step costs work for the sequences
 * that are handed in and for nothing else; those of several prompts go through one forward pass,
 * and no row's bits depend on that.  All ranks of a group call the same functions with the same
 * arguments (collective over the tensor group). */
#pragma once

#include "decode/sequence.h"

#define ENGINE_MAX_END 16

struct engine_config {
    struct sample_params sample; /* V, vocab_* are filled in by engine_create */
    int64_t max_new_tokens;
    bool ignore_eos;
    int32_t
        end[ENGINE_MAX_END]; /* end tokens: generation_config.json and the template's end of turn */
    int n_end;
    uint64_t seed;
    int peers;       /* other groups that candidates move to and from */
    int64_t prompts; /* at once, at most; 0 means 1 */
};

/* A prompt whose KV is here, or was (engine_drop).  Of engine_begin; read only. */
struct engine_prompt {
    struct kvcache *kv; /* borrowed: takes the pages of the prompt and of its sequences */
    int64_t index;
    const int32_t *ids; /* [n_ids] borrowed until engine_end */
    int64_t n_ids;
    struct page_list pages; /* owned */
    float *first_logits;    /* of the last position; NULL: the KV is not here */
    int64_t tokens_sampled; /* since engine_begin */
    uint64_t checksum;      /* of everything that was drawn, in order: equal on a group's ranks */
    int64_t places_sought;  /* for broken candidates: at most MAX_PLACES_SOUGHT */
    struct model_place first_broken_at; /* of first_logits; MODEL_UNKNOWN before it is needed */
    struct model_stats stats;           /* its part of the work: a shared pass counts by rows */
};

/* A prompt's part of a step. */
struct decoding {
    struct engine_prompt *prompt;
    struct sequence *const *live; /* [n] borrowed, of any lengths */
    int64_t n;
    int64_t n_broken; /* out: of these, that ended now because their logits were not finite */
};

struct engine; /* opaque */

/* Borrows the model.  NULL with *e when memory for the logits is missing. */
struct engine *engine_create(struct model *m, const struct engine_config *c, struct err *e);
void engine_destroy(struct engine *g); /* accepts NULL */
/* Backend memory that engine_create takes: logits of `prompts` prompts and of a slice of the batch.
 */
size_t engine_workspace_bytes(const struct shard *s, int64_t max_rows, int64_t prompts);
/* What it asks of the backend, its model's passes included. */
struct workload engine_workload(const struct arch *a, const struct shard *s, enum dtype activation,
                                int64_t max_positions, int64_t max_rows,
                                const struct engine_config *c);

/* -1 with *e: empty, too long for the context, or an id outside the vocabulary. */
int engine_check(const struct engine *g, const int32_t *ids, int64_t n, struct err *e);
/* Start a prompt: takes its pages of k and computes its KV.
 * -1 with *e: as engine_check, or no pages; engine_end is due all the same. */
int engine_begin(struct engine *g, struct engine_prompt *p, struct kvcache *k, int64_t prompt_index,
                 const int32_t *ids, int64_t n, struct err *e);
/* Give the prompt's pages back (the sequences' own are the caller's to release). */
void engine_end(struct engine *g, struct engine_prompt *p);
/* Give them back for a while, when its sequences hold none; compute its KV again: the same bits.
 * -1 (nothing taken) without pages. */
void engine_drop(struct engine *g, struct engine_prompt *p);
int engine_recall(struct engine *g, struct engine_prompt *p);

/* Pages that the next step of this sequence will take: 0 or 1. */
static inline int64_t engine_need(const struct sequence *s)
{
    return sequence_need(s->n_tokens);
}

/* Steps, at most `at_most`, that the device can take for these sequences without the host: none
 * needs another page than engine_need says, none passes its length limit. */
int64_t engine_steps(const struct engine *g, struct sequence *const *live, int64_t n,
                     int64_t at_most);
/* `steps` (of engine_steps, for every part) tokens for each live sequence.  The caller made sure
 * that the pages are there.  A sequence that completes has its status set and its pages released;
 * so does one whose logits are not finite, which keeps the tokens before. */
void engine_step(struct engine *g, struct decoding *parts, int64_t n_parts, int64_t steps);

/* Bring back the KV of an evicted sequence from its tokens: the same bits.  -1 (nothing taken)
 * without pages. */
int engine_restore(struct engine *g, struct engine_prompt *p, struct sequence *s);
