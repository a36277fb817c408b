/* The dataset's rows as token ids for both models: made on rank 0, broadcast to all. */
#pragma once

#include "job/dataset.h"
#include "run/worker.h"

struct inputs {
    struct prompt_input *items; /* in the order in which they are run */
    int64_t n;
    int32_t *closing; /* owned: the reward template's closing tokens */
    int64_t n_closing;
};

/* Collective over the world.  The dataset is read on rank 0 only. */
int inputs_open(struct inputs *in, struct worker *w, struct err *e);
/* The same on one rank alone: of the worker only job, tokenizers, templates and bridge are used. */
int inputs_read(struct inputs *in, struct worker *w, struct err *e);
void inputs_free(struct inputs *in); /* also after a failure */

/* The longest prompts, for the memory plan. */
struct worker_needs inputs_needs(const struct inputs *in);
/* Tokens of the generator's shortest prompt. */
int64_t inputs_shortest(const struct inputs *in);
