/* What a Best-of-N run recorded, as replay.h needs it: every candidate's length, end and final
 * reward, and its rewards on the way (score_at).  All in memory: 4 bytes for each of those rewards.
 */
#pragma once

#include "policy/policy.h"
#include "report/result.h"

struct recorded_candidate {
    int64_t n_tokens; /* of the whole response, end token included */
    float reward;     /* final */
    bool is_finished; /* by the end token, which the reward model does not read */
    bool is_broken;   /* the logits behind its last token were not finite */
    int64_t partial;  /* its rewards on the way: partials[partial + k] at the k-th length */
};

/* The length at which it lived no more: one that broke was live with all of its tokens. */
static inline int64_t recorded_end(const struct recorded_candidate *c)
{
    return c->n_tokens + c->is_broken;
}

struct recorded_prompt {
    const struct prompt_row *row;          /* borrowed from the file */
    struct recorded_candidate *candidates; /* owned [row->n]; NULL unless the prompt is ok */
    float *partials;                       /* owned */
};

struct recording {
    struct result result;
    int64_t budget_tokens; /* that the run was held to */
    int64_t n_groups;      /* that shared a prompt */
    int64_t *lengths;      /* owned [n_lengths] at which live candidates were scored, increasing */
    int64_t n_lengths;
    struct recorded_prompt *prompts; /* owned [n_prompts], by prompt_index */
    int64_t n_prompts;
};

/* -1 with *e: the file cannot be read, is not of a Best-of-N run, or does not hold all of its
 * candidates and rewards.  Release *r with recording_close in both cases. */
int recording_open(struct recording *r, const char *path, struct err *e);
void recording_close(struct recording *r);

/* The number of the longest recorded length that is at most n_tokens, -1: none. */
int64_t recording_length(const struct recording *r, int64_t n_tokens);
