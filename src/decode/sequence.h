/* One candidate of a prompt: its tokens, its state, its KV pages. */
#pragma once

#include "decode/kvcache.h"
#include "model/transformer.h"

enum sequence_status {
    SEQUENCE_WAITING,   /* not started, or evicted: holds no pages */
    SEQUENCE_LIVE,      /* generating */
    SEQUENCE_FINISHED,  /* end token */
    SEQUENCE_TRUNCATED, /* length limit */
    SEQUENCE_REJECTED,  /* dropped by a round */
    SEQUENCE_BROKEN     /* the logits of its next token were not finite */
};

struct sequence {
    int32_t candidate; /* number within the prompt */
    enum sequence_status status;
    int32_t *tokens; /* owned; response so far, end token included */
    int64_t n_tokens, capacity;
    struct page_list pages; /* own pages: KV of the first kv_tokens tokens of the response */
    int64_t kv_tokens;
    double logprob_sum;
    struct model_place broken_at; /* SEQUENCE_BROKEN: where that began */
};

/* Room for max_new_tokens. */
void sequence_init(struct sequence *s, int32_t candidate, int64_t max_new_tokens);
/* Give the pages back. */
void sequence_release(struct sequence *s, struct kvcache *k);
void sequence_free(struct sequence *s, struct kvcache *k);

/* Tokens whose KV a live candidate of n_tokens holds: the newest one's is written by the next step.
 */
static inline int64_t sequence_kv_tokens(int64_t n_tokens)
{
    return n_tokens > 0 ? n_tokens - 1 : 0;
}

/* Pages that the next step of a live candidate of n_tokens takes: 0 or 1. */
static inline int64_t sequence_need(int64_t n_tokens)
{
    return n_tokens > 0 && sequence_kv_tokens(n_tokens) % PAGE_TOKENS == 0;
}

static inline bool sequence_is_complete(const struct sequence *s)
{
    return s->status == SEQUENCE_FINISHED || s->status == SEQUENCE_TRUNCATED;
}
