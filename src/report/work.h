/* The work behind a replayed prompt, counted as the run counts it (model/transformer.h): rows,
 * attended keys and forward passes of both models.  Pure arithmetic.
 *
 * Of prompts whose candidates are all in memory at once, and of a reward model whose pool keeps
 * what it should keep: costs.h holds a file's own record against it. */
#pragma once

#include "model/transformer.h"
#include "report/replay.h"

/* What the reward model reads around a response: of one prompt. */
struct reward_frame {
    bool is_known;
    int64_t prefix, closing; /* tokens before and after it */
};

struct work {
    struct model_stats generator, reward;
    int64_t tokens_scored;
    int64_t steps; /* decoding steps, the first one included */
};

/* Forward passes hold at most max_rows rows; frame: NULL where nothing is scored by a model. */
struct work work_of(const struct replay *x, int64_t prompt_tokens, int64_t max_rows,
                    enum reward_cache cache, const struct reward_frame *frame);

/* Candidates that take each decoding step 1 .. *steps - 1: caller frees [*steps]. */
int64_t *work_live(const struct replay *x, int64_t *steps);

/* Work of one call of the scorer: items [n] of x->scorings; kept [candidate] is the text whose KV
 * is there, updated. */
struct model_stats work_of_call(const struct replay_scoring *items, int64_t n, int64_t *kept,
                                int64_t max_rows, enum reward_cache cache,
                                const struct reward_frame *frame);
