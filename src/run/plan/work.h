/* The work of one prompt, counted without a model: how many candidates live at every step, what is
 * scored when.  The policy that decides is the real one (policy/), asked at the same points and
 * with the same counts of pages as in prompt_decide.c; Best-of-N's admission follows
 * prompt_admit.c. What nobody can know is drawn: lengths (run/plan/lengths.h), and rewards that
 * have nothing to do with them. */
#pragma once

#include "policy/of_job.h"
#include "run/plan/lengths.h"

struct work_setup {
    struct policy policy;  /* config.n: candidates of this prompt */
    const struct job *job; /* sampling.max_new_tokens and batching are read */
    int64_t own_pages;     /* budget without the prompt's, of the candidates that decide together */
    int64_t each; /* alike candidates that a simulated one stands for, in all that is counted
                     here; 0: itself alone.  own_pages and policy.config.n are of simulated ones */
    bool reward_is_self;
    bool keeps_kv;     /* reward.cache: device or host */
    bool keeps_prefix; /* not none */
    int64_t prompt_tokens, reward_prompt_tokens, closing_tokens;
    double text_ratio; /* reward model's tokens of a response per token of the generator */
};

/* Decode passes over B candidates with `own` tokens together, this step's included. */
struct work_step {
    int64_t B, own;
};
/* One scoring: rows through the reward model, keys that they attend to, texts that end. */
struct work_score {
    int64_t rows, texts;
    double keys;
};

struct work {
    int64_t prompt_tokens, reward_prompt_tokens;
    int64_t tokens, rows_scored, texts_scored, rounds, decisions, evictions, peak_pages;
    int64_t complete, complete_tokens; /* candidates with an answer; their tokens */
    struct {
        struct work_step *items;
        size_t n, cap;
    } steps;
    struct {
        struct work_score *items;
        size_t n, cap;
    } scores;
};

/* lengths [policy.config.n]: tokens of each candidate if nothing rejects it, at most max_new. */
void work_simulate(struct work *w, const struct work_setup *s, const int64_t *lengths);
void work_free_arrays(struct work *w); /* the sums stay */
void work_free(struct work *w);
