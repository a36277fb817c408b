/* Scoring: the second model reads prompt + response so far and says how good it is.
 *
 * The reward model's tokens of a candidate are prefix ++ response ++ closing: the prefix is the
 * rendered conversation up to the response, tokenised once; the response crosses the bridge; the
 * closing tokens of the template are a throw-away suffix.  KV of the prefix is computed once per
 * prompt (cache none: once per call); KV of a response is kept up to the longest token prefix that
 * did not change since the last call (cache device: in the pool; cache host: parked in host memory
 * between calls, so that the pool need hold only what a forward pass reads; it comes back layer by
 * layer while that runs, and only what changed goes there again).  Scores are the same
 * bits in all cache modes and in every packing, because attention reads K and V from pages only.
 *
 * When the pool is full, kept KV of other candidates is dropped and computed again when needed,
 * that of younger prompts first: slower, same bits. */
#pragma once

#include "decode/kvcache.h"
#include "text/bridge.h"

enum scorer_cache {
    SCORER_CACHE_NONE,
    SCORER_CACHE_PROMPT,
    SCORER_CACHE_DEVICE,
    SCORER_CACHE_HOST
};

struct scorer; /* opaque */

/* Borrows everything.  bridge NULL: ids pass unchanged. */
struct scorer *scorer_create(struct model *m, struct kvcache *k, const struct bridge *bridge,
                             enum scorer_cache cache, struct err *e);
void scorer_destroy(struct scorer *s); /* accepts NULL */
/* Backend memory that scorer_create takes. */
size_t scorer_workspace_bytes(const struct arch *a, enum dtype activation, int64_t max_rows);

/* HEAD_GATED: the tokens whose last occurrence in a prompt opens the gate (reward_head.h); copied.
 */
void scorer_set_gate_pattern(struct scorer *s, const int32_t *ids, int64_t n);

struct scorer_prompt; /* opaque */

/* Start a prompt, the youngest of those that were begun and not ended: prefix [n_prefix] and
 * closing [n_closing] are copied.  NULL with *e: it cannot be scored. */
struct scorer_prompt *scorer_begin(struct scorer *s, const int32_t *prefix, int64_t n_prefix,
                                   const int32_t *closing, int64_t n_closing, struct err *e);
void scorer_end(struct scorer *s, struct scorer_prompt *p); /* accepts NULL */

struct score_item {
    int32_t candidate;     /* number within the prompt: names the kept KV */
    const int32_t *tokens; /* generator's ids of the response, end token left out */
    int64_t n_tokens;
};
/* -1 with *e when the response cannot be scored: ids that the reward model does not know, more
 * tokens than its context or its pool holds.  After scorer_begin. */
int scorer_check(struct scorer *s, const struct scorer_prompt *p, const struct score_item *item,
                 struct err *e);

/* rewards [n], in the items' order; finite or NaN.  Collective over the tensor group; same result
 * on every rank. */
int scorer_score(struct scorer *s, struct scorer_prompt *p, const struct score_item *items,
                 int64_t n, float *rewards, struct err *e);

/* This candidate will not be scored again: its KV is dropped. */
void scorer_forget(struct scorer *s, struct scorer_prompt *p, int32_t candidate);

/* Likelihood as a reward (path: self): -exp(mean negative log-likelihood); NaN without tokens, or
 * where it is not finite. */
float reward_self(double logprob_sum, int64_t n_tokens);
