/* The generator at work on one prompt: prefill once, then one token for every live candidate per
 * step.
 *
 * The prompt's KV is computed once and shared by all candidates; so are the logits of its last
 * position, from which every candidate draws its first token.  A step costs work for the sequences
 * that are handed in and for nothing else. All ranks of a group call the same functions with the
 * same arguments (collective over the tensor group). */
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
    int peers; /* other groups that candidates move to and from */
};

struct engine; /* opaque */

/* Borrows the model and the cache.  NULL with *e when memory for the logits' slice is missing. */
struct engine *engine_create(struct model *m, struct kvcache *k, const struct engine_config *c,
                             struct err *e);
void engine_destroy(struct engine *g); /* accepts NULL */
/* Backend memory that engine_create takes: logits of the prompt and of a slice of the batch. */
size_t engine_workspace_bytes(const struct shard *s, int64_t max_rows);
/* What it asks of the backend, its model's passes included. */
struct workload engine_workload(const struct arch *a, const struct shard *s, enum dtype activation,
                                int64_t max_positions, int64_t max_rows,
                                const struct engine_config *c);

/* -1 with *e: empty, too long for the context, or an id outside the vocabulary. */
int engine_check(const struct engine *g, const int32_t *ids, int64_t n, struct err *e);
/* Start a prompt: takes its pages and computes its KV.  ids are borrowed until engine_end.
 * -1 with *e: as engine_check, or no pages. */
int engine_begin(struct engine *g, int64_t prompt_index, const int32_t *ids, int64_t n,
                 struct err *e);
/* Give the prompt's pages back (the sequences' own are the caller's to release). */
void engine_end(struct engine *g);

/* Pages that the next step of this sequence will take: 0 or 1. */
static inline int64_t engine_need(const struct sequence *s)
{
    return sequence_need(s->n_tokens);
}

/* Steps, at most `at_most`, that the device can take for these sequences without the host: none
 * needs another page than engine_need says, none passes its length limit. */
int64_t engine_steps(const struct engine *g, struct sequence *const *live, int64_t n,
                     int64_t at_most);
/* `steps` (of engine_steps) tokens for each of n live sequences (of any lengths).  The caller made
 * sure that the pages are there.  A sequence that completes has its status set and its pages
 * released. Returns -1 with *e when a candidate's logits are not finite. */
int engine_step(struct engine *g, struct sequence *const *live, int64_t n, int64_t steps,
                struct err *e);

/* Bring back the KV of an evicted sequence from its tokens: the same bits.  -1 (nothing taken)
 * without pages. */
int engine_restore(struct engine *g, struct sequence *s);

int64_t engine_prompt_tokens(const struct engine *g);
int64_t engine_tokens_sampled(const struct engine *g); /* since engine_begin */
