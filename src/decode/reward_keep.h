/* Inside of scoring (reward.h): the scorer, and what it keeps of candidates between calls, in the
 * pool or parked on the host; who gives it up when the pool is full. */
#pragma once

#include "decode/parking.h"
#include "decode/reward.h"

/* What is kept of a candidate between calls. */
struct slot {
    struct ids ids; /* reward model's tokens whose KV is in the pages, n of them */
    struct page_list pages;
    struct {
        void **items;
        size_t n, cap;
    } parked;              /* cache host: their KV, page by page, while pages is empty */
    int64_t first_changed; /* page that is not parked as the pack leaves it */
    bool in_pack;          /* rows of it wait in the pack: its pages may not be dropped */
};

/* Rows gathered for the next forward pass. */
struct pack {
    int32_t *token, *position, *rows; /* [max_rows] */
    struct segment *segments;         /* [max_rows] */
    int64_t *item;                    /* [max_rows] which item ends at rows[i] */
    int64_t T, S, R;
    struct {
        struct kv_place *items;
        size_t n, cap;
    } arriving; /* parked pages that its rows read: they come back while it runs */
};

/* A prompt, and what is kept of its candidates. */
struct scorer_prompt {
    struct scorer_prompt *younger, *older;
    struct ids prefix, closing;
    struct page_list prefix_pages; /* empty: computed again when needed */
    float *prefix_hidden;          /* [D] final norm's output at the prefix's last token */
    float *gate;                   /* [n_objectives]: HEAD_GATED */
    struct {
        struct slot *items;
        size_t n, cap;
    } slots; /* by candidate */
};

struct scorer {
    struct model *model;
    struct kvcache *kv;
    const struct bridge *bridge;
    enum scorer_cache cache;
    void *hidden;       /* backend memory [max_rows, D] act */
    void *hidden_act;   /* the same, host */
    float *hidden_host; /* the same, host, widened */

    struct ids
        gate_pattern; /* HEAD_GATED: tokens whose last occurrence in the prefix opens the gate */

    struct scorer_prompt *youngest; /* of those between scorer_begin and scorer_end */
    struct ids scratch;
    struct pack pack;
    struct parking parking; /* cache host */
    struct {
        struct kv_place *items;
        size_t n, cap;
    } leaving; /* pages to park, of slots that the pack settled */
};

/* The candidate's, made where there is none. */
struct slot *keep_slot(struct scorer_prompt *p, int32_t candidate);
/* Nothing beyond its first n tokens. */
void keep_first(struct scorer *s, struct slot *slot, int64_t n);
void keep_free(struct scorer *s, struct slot *slot);

/* Drop what is kept of a candidate, the first in order; the same of a prompt younger than p, the
 * youngest first; of an older one, only where p cannot be scored without.  False: nothing that may
 * be dropped. */
bool keep_drop(struct scorer *s, struct scorer_prompt *of);
bool keep_drop_younger(struct scorer *s, const struct scorer_prompt *p);
bool keep_drop_older(struct scorer *s, const struct scorer_prompt *p);

/* Its text has been scored: what the cache's kind says is kept. */
void keep_settle(struct scorer *s, const struct scorer_prompt *p, struct slot *slot);
/* The KV of its first n tokens, which is parked, comes back with the pack. */
void keep_fetch(struct scorer *s, struct slot *slot, int64_t n);
