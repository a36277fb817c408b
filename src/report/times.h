/* How long a replayed prompt would have taken: a model, learned from the recorded run's own times.
 *
 * Decoding steps and calls of the reward model have prices (prices.h), fitted to the run's steps
 * (/trace) or, without a trace, to its prompts; so are its prefills.  What a decision point takes,
 * and the rest of a prompt for each token, is the prompts' median.  Where a text's tokens for the
 * reward model are not known, as it has another tokenizer, they are taken to be as many per token
 * and per text as in the run's calls.
 *
 * Prices are those of an undisturbed run: what took unusually long does not count, and error_* say
 * how far off the file's own prompts come out. */
#pragma once

#include "report/own.h"
#include "report/prices.h"

/* How the reward model reads. */
struct reader {
    bool is_self; /* nothing is read */
    enum reward_cache cache;
    int64_t max_rows;                  /* of a forward pass, the generator's too */
    const struct reward_frame *frames; /* borrowed [n_prompts] */
};

struct times {
    bool is_known, from_trace;
    struct prices prefill, decode, score;
    double per_token, per_text; /* tokens that the reward model reads, where frames do not say */
    double point_s, token_s; /* a decision point; what is left of a prompt, per token generated */
    int64_t fewest, most;    /* candidates in a step that prices were fitted to; 0: no steps */
    double left_out;         /* part of the recorded steps' time: disturbances */
    int64_t n_timed;         /* prompts that the errors are of */
    double error_sum, error_one; /* of their time in all, of one prompt's (mean of the absolute) */
};

/* The model stays unknown where nothing can be learned.  -1 with *e: the file cannot be read. */
int times_learn(struct times *t, const struct reader *r, const struct own *o, struct err *e);

/* Seconds of the recording's prompt `i`, replayed in x with all candidates in memory at once. */
double times_of(const struct times *t, const struct reader *r, const struct recording *recording,
                int64_t i, const struct replay *x);
