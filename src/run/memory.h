/* What fits into a rank's memory: one pool of KV pages per model beside weights and workspace.
 *
 * Pure arithmetic over a worker whose backend and models are known; nothing is taken here.  The
 * worker divides its memory by it at start, `plan` foretells the same numbers. */
#pragma once

#include "run/worker.h"

struct memory_plan {
    int64_t generator_positions, reward_positions; /* of the rotary tables */
    int64_t budget_pages;                          /* logical, per prompt; 0 for a judge */
    int64_t reward_pages; /* in the reward model's pool; the generator's: memory_pool_pages */
    int64_t extra_pages;  /* in the generator's beyond these, for younger prompts in flight */
    size_t generator_page_bytes, reward_page_bytes;
    size_t workspace_bytes; /* activations, rotary tables, logits, of both models; what ops need */
};

/* Prompts beyond a model's context are skipped: nothing is set aside for them. */
struct worker_needs memory_needs(const struct worker *w, const struct worker_needs *needs);

/* Divide what backend->ops->free_bytes says is left after the weights.  -1 with *e: not even a page
 * fits, or not the budget that the job asks for. */
int memory_plan(const struct worker *w, const struct worker_needs *needs, struct memory_plan *p,
                struct err *e);

/* The generator's pages that this rank holds when the prompt's budget is budget_pages: never more
 * than can be used. */
int64_t memory_pool_pages(const struct worker *w, const struct worker_needs *needs,
                          int64_t budget_pages);
