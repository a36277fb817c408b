/* The verb score: rewards of given answers, by a reward model, without a job.
 *
 * The answers go through the same scorer, template and tokens as in a job, so that the same ids
 * give the same bits. */
#pragma once

#include "comm/comm.h"

#include <stdbool.h>
#include <stdio.h>

struct score_options {
    const char *chat_template; /* as the job's reward.template */
    const char *dtype;         /* auto | f32 | bf16 | f16 | fp8 */
    const char *backend;       /* auto | cpu | cuda */
    bool quiet;                /* nothing on stderr but errors */
};

/* Lines of JSON from `in` (score_input.h says which), read on rank 0, to one line per answer on
 * rank 0's `out`:  {"reward": x, "tokens": n}, n the reward model's tokens, prompt and closing
 * included; x is null when it is not finite.
 *
 * Collective over the world, which is one tensor group.  -1 with the same *e on every rank; what
 * is wrong with the form or the length of a line is found before the first reward is written. */
int score_stream(const char *folder, const struct score_options *o, struct comm *world, FILE *in,
                 FILE *out, struct err *e);
