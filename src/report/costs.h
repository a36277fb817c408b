/* What a replayed prompt would have cost, from what the recorded run's own prompts cost.
 *
 * Counts (tokens scored, FLOPs, bytes) are exact or absent.  What a file does not hold, the tokens
 * that the reward model reads around a response, is solved from its own counts; all are used only
 * when those of every prompt of the file come out as recorded.  FLOPs need both models'
 * config.json.
 *
 * Time is a model: times.h. */
#pragma once

#include "report/times.h"

struct costs {
    bool reward_is_self;
    enum reward_cache cache;
    int64_t max_rows; /* of a forward pass */
    struct arch generator, reward;
    double generator_weights, reward_weights; /* bytes, over all ranks of a group */
    double generator_token, reward_token;     /* bytes of K and V, likewise */
    struct reward_frame *frames;              /* owned [n_prompts] of the recording */
    bool has_flops, has_bytes;
    char *why_not; /* owned: what is missing, NULL: nothing */
    struct times times;
    int ranks; /* at work on a prompt */
};

/* -1 with *e only when the file cannot be read.  Release with costs_free in both cases. */
int costs_learn(struct costs *c, const struct recording *r, struct err *e);
void costs_free(struct costs *c);

struct cost_of_prompt { /* NaN: not known */
    double tokens_scored, flops, bytes, wall_s;
};
/* Of the recording's prompt `i`, replayed in x. */
struct cost_of_prompt costs_of(const struct costs *c, const struct recording *r, int64_t i,
                               const struct replay *x);
