#include "job/schema.h"

#include <stdio.h>
#include <string.h>

/* Every key may be left out: schema_defaults has the rest, job_load.c asks for the three that have
 * no default. Booleans are enums, because libcyaml takes any text that is not "false" for true. */
#define FLAGS (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT)
#define TEXT(key, member)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct job_doc, member,  \
                           0, CYAML_UNLIMITED)
#define WHOLE(key, member)  CYAML_FIELD_INT(key, FLAGS, struct job_doc, member)
#define NUMBER(key, member) CYAML_FIELD_FLOAT(key, FLAGS, struct job_doc, member)
#define ONE_OF(key, member, names)                                                                 \
    CYAML_FIELD_ENUM(key, FLAGS, struct job_doc, member, names, CYAML_ARRAY_LEN(names))

static const cyaml_strval_t boolean[] = {{"false", 0}, {"true", 1}};
static const cyaml_strval_t weights[] = {{"checkpoint", WEIGHTS_CHECKPOINT},
                                         {"random", WEIGHTS_RANDOM}};
static const cyaml_strval_t cache[] = {
    {"none", CACHE_NONE}, {"prompt", CACHE_PROMPT}, {"device", CACHE_DEVICE}, {"host", CACHE_HOST}};
static const cyaml_strval_t method[] = {{"best_of_n", METHOD_BEST_OF_N},
                                        {"speculative_rejection", METHOD_SPECULATIVE_REJECTION}};
static const cyaml_strval_t batching[] = {{"continuous", BATCHING_CONTINUOUS},
                                          {"static", BATCHING_STATIC}};
static const cyaml_strval_t split[] = {{"prompts", SPLIT_PROMPTS},
                                       {"candidates", SPLIT_CANDIDATES}};
static const cyaml_strval_t backend[] = {
    {"auto", BACKEND_AUTO}, {"cpu", BACKEND_CPU}, {"cuda", BACKEND_CUDA}};
static const cyaml_strval_t dtype[] = {{"auto", DTYPE_AUTO},
                                       {"f32", DTYPE_F32},
                                       {"bf16", DTYPE_BF16},
                                       {"f16", DTYPE_F16},
                                       {"fp8", DTYPE_FP8}};
static const cyaml_strval_t compat[] = {{"off", COMPAT_OFF},
                                        {"paper_code_2024", COMPAT_PAPER_CODE_2024}};
static const cyaml_strval_t candidates[] = {{"all", RECORD_CANDIDATES_ALL},
                                            {"completed", RECORD_CANDIDATES_COMPLETED},
                                            {"best", RECORD_CANDIDATES_BEST}};
static const cyaml_strval_t texts[] = {
    {"all", RECORD_TEXT_ALL}, {"completed", RECORD_TEXT_COMPLETED}, {"none", RECORD_TEXT_NONE}};
static const cyaml_strval_t trace[] = {
    {"steps", RECORD_TRACE_STEPS}, {"rounds", RECORD_TRACE_ROUNDS}, {"off", RECORD_TRACE_OFF}};
static const cyaml_strval_t on_prompt_error[] = {{"skip", ON_PROMPT_ERROR_SKIP},
                                                 {"stop", ON_PROMPT_ERROR_STOP}};
static const cyaml_strval_t on_numerics_error[] = {{"end", ON_NUMERICS_ERROR_END},
                                                   {"stop", ON_NUMERICS_ERROR_STOP}};

const cyaml_schema_field_t schema_fields[] = {
    TEXT("name", job.name),
    TEXT("generator.path", job.generator.path),
    TEXT("generator.id", job.generator.id),
    TEXT("generator.template", job.generator.chat_template),
    ONE_OF("generator.weights", job.generator.weights, weights),
    TEXT("reward.path", job.reward.path),
    TEXT("reward.id", job.reward.id),
    TEXT("reward.template", job.reward.chat_template),
    ONE_OF("reward.weights", job.reward.weights, weights),
    ONE_OF("reward.cache", job.reward.cache, cache),
    TEXT("judge.path", job.judge.path),
    TEXT("judge.template", job.judge.chat_template),
    ONE_OF("judge.weights", job.judge.weights, weights),
    TEXT("dataset.path", job.dataset.path),
    TEXT("dataset.id", job.dataset.id),
    TEXT("dataset.field", job.dataset.field),
    WHOLE("dataset.turn", job.dataset.turn),
    TEXT("dataset.system", job.dataset.system),
    TEXT("dataset.shuffle", shuffle),
    WHOLE("dataset.offset", job.dataset.offset),
    TEXT("dataset.limit", limit),
    NUMBER("sampling.temperature", job.sampling.temperature),
    WHOLE("sampling.top_k", job.sampling.top_k),
    NUMBER("sampling.top_p", job.sampling.top_p),
    NUMBER("sampling.min_p", job.sampling.min_p),
    WHOLE("sampling.max_new_tokens", job.sampling.max_new_tokens),
    ONE_OF("sampling.ignore_eos", job.sampling.ignore_eos, boolean),
    ONE_OF("method", job.method, method),
    TEXT("n", n),
    WHOLE("n_max", job.n_max),
    WHOLE("min_round_tokens", job.min_round_tokens),
    NUMBER("alpha", job.alpha),
    TEXT("rounds", rounds),
    TEXT("score_at", score_at),
    ONE_OF("batching", job.batching, batching),
    WHOLE("overlap", job.overlap),
    WHOLE("parallel.tensor", job.parallel.tensor),
    ONE_OF("parallel.split", job.parallel.split, split),
    ONE_OF("backend", job.backend, backend),
    ONE_OF("dtype", job.dtype, dtype),
    TEXT("budget_tokens", budget_tokens),
    ONE_OF("reproducible", job.reproducible, boolean),
    ONE_OF("compat", job.compat, compat),
    ONE_OF("record.candidates", job.record.candidates, candidates),
    ONE_OF("record.text", job.record.text, texts),
    ONE_OF("record.trace", job.record.trace, trace),
    ONE_OF("on_prompt_error", job.on_prompt_error, on_prompt_error),
    ONE_OF("on_numerics_error", job.on_numerics_error, on_numerics_error),
    CYAML_FIELD_UINT("seed", FLAGS, struct job_doc, job.seed),
    TEXT("output", job.output),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t schema_root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct job_doc, schema_fields),
};

const char schema_defaults[] =
    "generator: {template: auto, weights: checkpoint}\n"
    "reward: {template: auto, weights: checkpoint, cache: device}\n"
    "judge: {path: off, template: auto, weights: checkpoint}\n"
    "dataset: {field: prompt, turn: 0, system: '', shuffle: off, offset: 0, limit: all}\n"
    "sampling: {temperature: 1.0, top_k: 50, top_p: 1.0, min_p: 0.0, max_new_tokens: 2048, "
    "ignore_eos: false}\n"
    "method: speculative_rejection\n"
    "n: auto\n"
    "n_max: 4096\n"
    "min_round_tokens: 32\n"
    "alpha: 0.5\n"
    "rounds: memory\n"
    "score_at: off\n"
    "batching: continuous\n"
    "overlap: 1\n"
    "parallel: {tensor: 1, split: prompts}\n"
    "backend: auto\n"
    "dtype: auto\n"
    "budget_tokens: auto\n"
    "reproducible: true\n"
    "compat: off\n"
    "record: {candidates: all, text: completed, trace: rounds}\n"
    "on_prompt_error: skip\n"
    "on_numerics_error: end\n"
    "seed: 0\n"
    "output: '%n/%p.h5'\n";

const cyaml_schema_field_t *schema_find(const char *key)
{
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++)
        if (!strcmp(f->key, key)) return f;
    return NULL;
}

bool schema_is_group(const char *key)
{
    size_t n = strlen(key);
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++)
        if (!strncmp(f->key, key, n) && f->key[n] == '.') return true;
    return false;
}

/* Levenshtein distance; texts beyond the row's length count as far apart. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t row[MAX + 1], na = strlen(a), nb = strlen(b);
    if (na > MAX || nb > MAX) return MAX;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* What other programs call it. */
static const char *known_elsewhere(const char *key)
{
    static const char *const names[][2] = {
        {"max_tokens", "sampling.max_new_tokens"},
        {"max_length", "sampling.max_new_tokens"},
        {"num_samples", "n"},
        {"num_return_sequences", "n"},
        {"best_of", "n"},
        {"rejection_rate", "alpha"},
        {"num_prompts", "dataset.limit"},
        {"prompts", "dataset.path"},
        {"reward.model", "reward.path"},
        {"judge.model", "judge.path"},
        {"model", "generator.path"},
        {"reward_model", "reward.path"},
        {"output_dir", "output"},
        {"tensor_parallel_size", "parallel.tensor"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i][0]) == 0 || strcmp(last_part(key), names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

const char *schema_nearest(const char *key)
{
    const char *nearest = known_elsewhere(key);
    if (nearest) return nearest;
    size_t best = 4; /* more edits than this minus one say nothing */
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++) {
        /* the right word in the wrong group is as near as one wrong letter */
        size_t d = distance(key, f->key);
        if (!strcmp(last_part(key), last_part(f->key)) && d > 1) d = 1;
        /* a word cut short is as near as two, in its own group */
        if (strlen(last_part(key)) > 2 && !strncmp(key, f->key, strlen(key)) && d > 2) d = 2;
        if (d < best) {
            best = d;
            nearest = f->key;
        }
    }
    return best < strlen(key) ? nearest : NULL;
}

void schema_allowed(const cyaml_schema_field_t *f, char *out, size_t size)
{
    if (f->value.type != CYAML_ENUM) {
        const char *what = f->value.type == CYAML_INT ? "a whole number"
                           : f->value.type == CYAML_UINT
                               ? "a whole number from 0 to 18446744073709551615"
                           : f->value.type == CYAML_FLOAT ? "a number"
                                                          : "a text";
        snprintf(out, size, "%s", what);
        return;
    }
    size_t at = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < f->value.enumeration.count && at < size; i++) {
        int n = snprintf(out + at, size - at, "%s%s", i ? " | " : "",
                         f->value.enumeration.strings[i].str);
        if (n > 0) at += (size_t)n;
    }
}
