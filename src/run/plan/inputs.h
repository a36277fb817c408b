/* What a plan reads: configurations, checkpoints' headers, tokenizers, templates, prompts.  Every
 * problem is noted, none ends the reading of the rest. */
#pragma once

#include "run/inputs.h"
#include "run/plan/notes.h"

struct plan_model {
    const char *role;   /* "generator", "reward", "judge" */
    const char *folder; /* borrowed from the job; NULL: there is no such model */
    bool has_arch;
    bool config_only; /* weights: checkpoint, but the folder has none: a what-if */
    struct arch arch;
    size_t n_tensors; /* of its files; 0: random or config_only */
    double bytes;
};

struct plan_prompt {
    int64_t index, tokens, reward_tokens; /* reward_tokens: closing included; 0 for self */
    int32_t foreign_id;                   /* one outside the generator's vocabulary, -1: none */
    bool fits;                            /* into both contexts, and no foreign id */
};

struct plan_inputs {
    struct worker worker;        /* job, archs, tokenizers, templates; no ranks, no backend */
    struct worker judge;         /* the same of the judge, as the worker that it will be */
    struct job judge_job;        /* borrowed pointers */
    struct plan_model models[3]; /* generator, reward, judge */
    struct plan_prompt *prompts; /* owned [n], in the order in which they are run */
    int64_t n, n_skipped, closing_tokens;
    int64_t shortest, median, longest; /* generator's tokens of those that fit */
    double text_ratio;                 /* reward model's tokens per token of the generator */
    bool what_if;                      /* a model of which only config.json is here */
    bool lengths_guessed; /* prompts whose model has no tokenizer here: from their bytes */
};

/* Reads all that the job names.  Borrows the job.  Release with plan_inputs_close. */
void plan_inputs_open(struct plan_inputs *in, const struct job *j, struct plan_notes *notes);
void plan_inputs_close(struct plan_inputs *in);

/* Does this job read the same as that one? */
bool plan_inputs_same(const struct job *a, const struct job *b);
