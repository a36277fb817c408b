/* What a comparison takes from one result file: who made it, and each prompt's numbers.  The file
 * itself is closed again. */
#pragma once

#include "job/entries.h"
#include "job/job.h"
#include "report/subset_values.h"

struct source_prompt {
    int64_t prompt_index;
    char key[40];     /* of the dataset's row */
    char reason[200]; /* why it cannot be compared; "": it can */
    int32_t rounds;
    int64_t n;
    int64_t n_broken;     /* candidates that ended at logits that were not finite */
    int64_t n_unrewarded; /* complete ones whose reward is not */
    struct metrics_prompt numbers;
    int32_t *complete; /* owned: numbers.complete */
};

struct source {
    const char *path; /* borrowed, or `name` */
    char *name;       /* owned; NULL where the file's path says it */
    char point_id[HASH_HEX];
    char family[HASH_HEX]; /* the same for files that differ in nothing but the seed */
    struct entries keys;   /* owned: the job, "sampling.top_k" -> "50" */
    enum method method;
    enum compat compat;
    bool is_static;      /* batching: static */
    int64_t overlap;     /* prompts in flight at a time */
    bool only_answers;   /* record.candidates: best */
    bool is_replayed;    /* not a run: what one would have done (replay.h); its times are a model */
    bool is_approximate; /* replayed with rewards of lengths before its rounds' */
    bool scores_on_the_way; /* score_at: its times are not those of a plain Best-of-N */
    int64_t n;              /* candidates per prompt; 0: not the same for all (n: auto) */
    double alpha;           /* 0 for Best-of-N */
    char *rounds;           /* owned: the schedule, "memory" */
    uint64_t seed;
    char fingerprint[40];          /* of the arithmetic; "": more than one, or not reproducible */
    char *machine;                 /* owned: what decides its times, for a note */
    double load_s, idle_s;         /* summed over ranks and runs */
    double compute_s;              /* of all its prompts, compared or not */
    struct subset_values subsets;  /* of a replayed point of fewer candidates than were recorded */
    struct source_prompt *prompts; /* owned [n_prompts], by prompt_index */
    int64_t n_prompts;
    int64_t n_broken, n_unrewarded;   /* of all its prompts */
    const char *idle_why, *idle_cure; /* static: policy_rejects_nobody() of its job */
    bool cuts_short; /* some candidate did not come to its end; or nobody knows (only_answers) */
};

static inline bool source_rejects(const struct source *s)
{
    return s->method == METHOD_SPECULATIVE_REJECTION;
}

/* -1 with *e; release *s with source_free in both cases. */
int source_read(struct source *s, const char *path, struct err *e);
void source_free(struct source *s);

/* What the job says of itself.  yaml: the whole job. */
int source_set_job(struct source *s, const struct job *j, const char *yaml, struct err *e);

/* Not a run, but what one would have done: a point of its own.  After source_set_job. */
void source_set_replayed(struct source *s, bool is_approximate);

/* Fingerprint, machine, load and idle time of a file's runs. */
struct result;
void source_set_runs(struct source *s, const struct result *r);

/* The prompt with this index, or NULL. */
const struct source_prompt *source_find(const struct source *s, int64_t prompt_index);

/* The first key of models, dataset or sampling in which the two differ, or NULL.  Where files lie,
 * caches and which rows of the dataset were taken make no difference. */
const struct entry *source_differs(const struct source *a, const struct source *b);
/* Whether the two are of one dataset and one pair of models: of one group in a report. */
bool source_is_of_subject(const struct source *a, const struct source *b);
