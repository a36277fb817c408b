/* The job file: YAML -> struct job.  Defaults, validation, overrides (--set), canonical form and
 * hashes.
 *
 * Reading is schema-driven (libcyaml): an unknown key, a wrong type or an impossible value is an
 * error with file, line and key.  Input paths are made relative to the job file, $VAR is expanded,
 * everything is owned by the job. */
#pragma once

#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

enum method { METHOD_BEST_OF_N, METHOD_SPECULATIVE_REJECTION };
enum weights_from { WEIGHTS_CHECKPOINT, WEIGHTS_RANDOM };
enum reward_cache { CACHE_NONE, CACHE_PROMPT, CACHE_DEVICE, CACHE_HOST };
enum batching { BATCHING_CONTINUOUS, BATCHING_STATIC };
enum split { SPLIT_PROMPTS, SPLIT_CANDIDATES };
enum backend_kind { BACKEND_AUTO, BACKEND_CPU, BACKEND_CUDA };
enum dtype_choice { DTYPE_AUTO, DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_FP8 };
enum compat { COMPAT_OFF, COMPAT_PAPER_CODE_2024 };
enum record_candidates {
    RECORD_CANDIDATES_ALL,
    RECORD_CANDIDATES_COMPLETED,
    RECORD_CANDIDATES_BEST
};
enum record_text { RECORD_TEXT_ALL, RECORD_TEXT_COMPLETED, RECORD_TEXT_NONE };
enum record_trace { RECORD_TRACE_OFF, RECORD_TRACE_ROUNDS, RECORD_TRACE_STEPS };
enum on_prompt_error { ON_PROMPT_ERROR_SKIP, ON_PROMPT_ERROR_STOP };
enum on_numerics_error { ON_NUMERICS_ERROR_END, ON_NUMERICS_ERROR_STOP };

/* When something happens, in generated tokens of the live candidates. */
enum schedule_kind {
    SCHEDULE_OFF,      /* score_at only */
    SCHEDULE_MEMORY,   /* rounds only: when the budget would run out */
    SCHEDULE_EVERY,    /* every `every` tokens */
    SCHEDULE_DOUBLING, /* score_at only: 16, 32, 64, ... */
    SCHEDULE_PAGES,    /* score_at only: every page boundary: 17, 33, 49, ... */
    SCHEDULE_AT        /* at the lengths in at[0..n_at), strictly increasing */
};
struct schedule {
    enum schedule_kind kind;
    int64_t every;
    int64_t *at; /* owned */
    int64_t n_at;
};

struct model_ref {
    char *path; /* owned; absolute folder.  "self" for the reward: the generator's own likelihood */
    char *id;   /* what the point's id knows the model by: the path as it stood in the job file,
                   unless given */
    char *chat_template; /* YAML key `template`: auto | raw | name of a built-in family | path of a
                            .jinja file */
    enum weights_from weights;
    enum reward_cache cache; /* reward only */
};

struct dataset_ref {
    char *path; /* absolute */
    char *id;   /* as model_ref.id */
    char *field;
    char *system;
    int64_t turn;    /* which element when the field is a list of strings */
    int64_t shuffle; /* seed of the order of the rows, -1: off (the order of the file) */
    int64_t offset;  /* rows of that order to leave out */
    int64_t limit;   /* rows to take after them, -1: all */
};

struct sampling {
    double temperature; /* 0: greedy */
    int64_t top_k;      /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
    int64_t max_new_tokens;
    bool ignore_eos;
};

struct job {
    char *name;
    struct model_ref generator, reward, judge; /* judge.path == NULL: none */
    struct dataset_ref dataset;
    struct sampling sampling;
    enum method method;
    int64_t n;                /* 0: auto */
    int64_t n_max;            /* of n: auto */
    int64_t min_round_tokens; /* of n: auto */
    double alpha;
    struct schedule rounds;
    struct schedule score_at;
    enum batching batching;
    int64_t overlap;
    struct {
        int64_t tensor;
        enum split split;
    } parallel;
    enum backend_kind backend;
    enum dtype_choice dtype;
    int64_t budget_tokens; /* 0: auto */
    bool reproducible;
    enum compat compat;
    struct {
        enum record_candidates candidates;
        enum record_text text;
        enum record_trace trace;
    } record;
    enum on_prompt_error on_prompt_error;
    enum on_numerics_error on_numerics_error;
    uint64_t seed;
    char *output; /* pattern with %n and %p */
    char *file;   /* the job file's path, for messages */
};

/* Read FILE and apply overrides ("key.sub=value", YAML values), then validate.  A `sweep:` section
 * is checked but its lists are not applied (sweep.h does that).  Returns 0 or -1 with *e; on
 * success job_free() releases *j. */
int job_open(struct job *j, const char *file, const char *const *overrides, int n_overrides,
             struct err *e);
void job_free(struct job *j);

/* The same from text that job_to_yaml wrote (a result file's attribute, a broadcast): it needs
 * neither the environment nor the place where the job file was.  `file` is the name for messages.
 */
int job_from_yaml(struct job *j, const char *yaml, const char *file, struct err *e);

/* The whole job as YAML text, every key present, canonical order and formatting, paths absolute.
 * Read again by job_open or job_from_yaml it gives the same job, ids and hash included.  Caller
 * frees. */
char *job_to_yaml(const struct job *j);

/* The point's id: 12 hex digits of the hash of the resolved scientific keys (models and dataset by
 * their `id`, sampling, method, n, alpha where the method uses it, rounds, seed, ...; not name,
 * output, limit, record, judge, on_prompt_error, on_numerics_error or backend). */
void job_point_id(const struct job *j, char out[HASH_HEX]);
/* Whether a key (dotted) counts in it, for jobs to which it makes a difference. */
bool job_key_is_scientific(const char *key);
/* Whether it changes anything that this job does: alpha does nothing to best_of_n. */
bool job_key_has_effect(const struct job *j, const char *key);

/* Hash of the keys that determine ids, rewards and timings, paths, output, `limit` and the judge
 * excluded; run/identity.h adds the models' contents to it. */
void job_hash(const struct job *j, char out[HASH_HEX]);

/* In words the keys that make two hashes differ, the first few: "n is 8 there, 9 here"; "": none.
 */
void job_differences(const struct job *there, const struct job *here, char *out, size_t size);

/* output with %n and %p replaced.  Caller frees. */
char *job_output_path(const struct job *j);

const char *method_name(enum method m); /* "best_of_n" | "speculative_rejection" */
