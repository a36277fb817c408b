/* How the work of attention is spread over the device: segments of a step to items of
 * kernels/attention.h.  Plain C, no device.  Bits do not depend on the plan, speed does.
 *
 *   - segments of a few rows each (decoding) that share a prefix with a neighbour: the prefix as
 *     wide items over the tokens of all of them, so that its keys are read once for many rows; then
 *     own keys, a narrow item per segment;
 *   - a segment of many rows (prefill, scoring): wide items that walk prefix and own keys;
 *   - others: a narrow item that walks everything.
 * Where that is too little to fill the device, chunks are spread over several items and merged. */
#pragma once

#include "attention.h"
#include "backend/backend.h"

/* What the plan is made for; bits do not depend on it. */
struct attention_target {
    int64_t H, G;            /* of this rank */
    int64_t multiprocessors; /* of the device */
    int64_t max_slots; /* that the workspace has: at least T; chunks are spread as far as what is
                          beyond T allows.  4096 more serve 16 sequences of 16k tokens. */
};

struct attention_items {
    struct k_attention_item *items;
    size_t n, cap;
};
struct attention_merges {
    struct k_attention_merge *items;
    size_t n, cap;
};

/* A plan; zeroed is empty.  Made again and again in the same memory. */
struct attention_plan {
    struct k_attention_grid grid;
    int64_t n_slots; /* used, <= max_slots */
    int32_t *data;   /* owned: what the device gets */
    size_t bytes;    /* of it */
    size_t cap;
    struct attention_items wide, narrow; /* owned: its parts */
    struct attention_merges merges;
};

/* The most bytes of a plan for T rows. */
size_t attention_plan_max_bytes(int64_t T, int64_t max_slots);

/* Plan one step over segments [S] (steps 1), or `steps` decode steps, where each segment's one row
 * moves on a position per step. */
void attention_plan_make(struct attention_plan *plan, const struct segment *segments, int64_t S,
                         int64_t steps, const struct attention_target *target);
void attention_plan_free(struct attention_plan *plan);
