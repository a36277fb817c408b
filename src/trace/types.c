#include "trace/types.h"

#include "base/span.h"
#include "trace/names.h"

#include <stdbool.h>
#include <string.h>

enum kind { KIND_I32, KIND_U32, KIND_I64, KIND_F32, KIND_F64, KIND_TEXT, KIND_ENUM };

struct field {
    const char *name;
    size_t offset, bytes;
    enum kind kind;
    const char *const *names; /* of an enum's values 0 .. n_names - 1 */
    int n_names;
};

#define FIELD(row, member, kind)                                                                   \
    {                                                                                              \
#member, offsetof(struct row, member), sizeof(((struct row *)0)->member), kind, NULL, 0    \
    }
#define ENUM(row, member, names, n)                                                                \
    {                                                                                              \
#member, offsetof(struct row, member), 4, KIND_ENUM, names, n                              \
    }
#define RANGE(table, t)                                                                            \
    {"first_" table, offsetof(struct prompt_row, first) + 8 * (t), 8, KIND_I64, NULL, 0},          \
    {                                                                                              \
        "count_" table, offsetof(struct prompt_row, count) + 8 * (t), 8, KIND_I64, NULL, 0         \
    }

static const struct field run_fields[] = {
    FIELD(run_row, start_unix_s, KIND_F64),  FIELD(run_row, end_unix_s, KIND_F64),
    FIELD(run_row, hosts, KIND_TEXT),        FIELD(run_row, device, KIND_TEXT),
    FIELD(run_row, isa, KIND_TEXT),          FIELD(run_row, versions, KIND_TEXT),
    FIELD(run_row, fingerprint, KIND_TEXT),  FIELD(run_row, slurm_job_id, KIND_TEXT),
    FIELD(run_row, slurm_restart, KIND_I32), FIELD(run_row, ranks, KIND_I32),
    FIELD(run_row, threads, KIND_I32),       FIELD(run_row, groups, KIND_I32),
    FIELD(run_row, tensor, KIND_I32),        ENUM(run_row, status, run_status_names, RUN_STATUSES),
    FIELD(run_row, first_prompt, KIND_I64),  FIELD(run_row, last_prompt, KIND_I64),
    FIELD(run_row, load_s, KIND_F64),        FIELD(run_row, idle_s, KIND_F64),
};

static const struct field prompt_fields[] = {
    FIELD(prompt_row, prompt_index, KIND_I64),
    FIELD(prompt_row, key, KIND_TEXT),
    FIELD(prompt_row, reason, KIND_TEXT),
    ENUM(prompt_row, status, prompt_status_names, PROMPT_STATUSES),
    FIELD(prompt_row, run, KIND_I32),
    FIELD(prompt_row, group, KIND_I32),
    FIELD(prompt_row, rounds, KIND_I32),
    FIELD(prompt_row, prompt_tokens, KIND_I64),
    FIELD(prompt_row, n, KIND_I64),
    FIELD(prompt_row, alpha, KIND_F64),
    FIELD(prompt_row, best_candidate, KIND_I64),
    FIELD(prompt_row, best_reward, KIND_F32),
    FIELD(prompt_row, row_check, KIND_U32),
    FIELD(prompt_row, start_s, KIND_F64),
    FIELD(prompt_row, wall_s, KIND_F64),
    FIELD(prompt_row, prefill_s, KIND_F64),
    FIELD(prompt_row, generate_s, KIND_F64),
    FIELD(prompt_row, score_s, KIND_F64),
    FIELD(prompt_row, comm_s, KIND_F64),
    FIELD(prompt_row, wait_s, KIND_F64),
    FIELD(prompt_row, tokens_generated, KIND_I64),
    FIELD(prompt_row, tokens_scored, KIND_I64),
    FIELD(prompt_row, rows_computed, KIND_I64),
    FIELD(prompt_row, generator_flops, KIND_F64),
    FIELD(prompt_row, reward_flops, KIND_F64),
    FIELD(prompt_row, bytes, KIND_F64),
    FIELD(prompt_row, energy_j, KIND_F64),
    FIELD(prompt_row, kv_peak_tokens, KIND_I64),
    FIELD(prompt_row, evictions, KIND_I64),
    FIELD(prompt_row, content_hash, KIND_TEXT),
    RANGE("candidates", T_CANDIDATES),
    RANGE("rounds", T_ROUNDS),
    RANGE("partial_rewards", T_PARTIAL_REWARDS),
    RANGE("tokens", T_TOKENS),
    RANGE("text", T_TEXT),
    RANGE("trace", T_TRACE),
};

static const struct field candidate_fields[] = {
    FIELD(candidate_row, prompt_index, KIND_I64),
    FIELD(candidate_row, candidate, KIND_I32),
    ENUM(candidate_row, status, candidate_status_names, CANDIDATE_STATUSES),
    ENUM(candidate_row, finish_reason, finish_reason_names, FINISH_REASONS),
    FIELD(candidate_row, rejected_round, KIND_I32),
    FIELD(candidate_row, reward, KIND_F32),
    FIELD(candidate_row, judge_reward, KIND_F32),
    FIELD(candidate_row, logprob_sum, KIND_F64),
    FIELD(candidate_row, tokens_offset, KIND_I64),
    FIELD(candidate_row, n_tokens, KIND_I64),
    FIELD(candidate_row, text_offset, KIND_I64),
    FIELD(candidate_row, text_length, KIND_I64),
};

static const struct field round_fields[] = {
    FIELD(round_row, prompt_index, KIND_I64),
    FIELD(round_row, round, KIND_I32),
    ENUM(round_row, trigger, round_trigger_names, ROUND_TRIGGERS),
    FIELD(round_row, step, KIND_I64),
    FIELD(round_row, ranked, KIND_I64),
    FIELD(round_row, kept, KIND_I64),
    FIELD(round_row, complete, KIND_I64),
    FIELD(round_row, cut_reward, KIND_F32),
    FIELD(round_row, budget_tokens, KIND_I64),
    FIELD(round_row, live_tokens, KIND_I64),
    FIELD(round_row, start_s, KIND_F64),
    FIELD(round_row, end_s, KIND_F64),
};

static const struct field partial_reward_fields[] = {
    FIELD(partial_reward_row, prompt_index, KIND_I64),
    FIELD(partial_reward_row, round, KIND_I32),
    FIELD(partial_reward_row, candidate, KIND_I32),
    FIELD(partial_reward_row, n_tokens, KIND_I64),
    FIELD(partial_reward_row, reward, KIND_F32),
};

static const struct field trace_fields[] = {
    FIELD(trace_row, rank, KIND_I32),
    ENUM(trace_row, phase, NULL, SPAN_PHASES), /* names: span_name() */
    FIELD(trace_row, prompt_index, KIND_I64),
    FIELD(trace_row, step, KIND_I64),
    FIELD(trace_row, start_ns, KIND_I64),
    FIELD(trace_row, end_ns, KIND_I64),
    FIELD(trace_row, sequences, KIND_I64),
    FIELD(trace_row, tokens, KIND_I64),
    FIELD(trace_row, bytes, KIND_I64),
};

/* A chunk is allocated whole: together they make the smallest file about 1 MiB, and a file of
 * 10,000 prompts with 1000 candidates each needs a few thousand chunks per table.  /runs: one row
 * per chunk, so that rewriting a row in place touches no other and, being smaller than a page, is
 * not torn. */
struct dataset_type {
    const char *name;
    size_t row_bytes;
    hsize_t chunk_rows;
    const struct field *fields; /* NULL: a pool of plain numbers */
    size_t n_fields;
};
#define FIELDS(f) f, sizeof f / sizeof f[0]
static const struct dataset_type datasets[TRACE_DATASETS] = {
    [T_CANDIDATES] = {"/candidates", sizeof(struct candidate_row), 2048, FIELDS(candidate_fields)},
    [T_ROUNDS] = {"/rounds", sizeof(struct round_row), 512, FIELDS(round_fields)},
    [T_PARTIAL_REWARDS] = {"/partial_rewards", sizeof(struct partial_reward_row), 4096,
                           FIELDS(partial_reward_fields)},
    [T_TOKENS] = {"/tokens", sizeof(int32_t), 65536, NULL, 0},
    [T_TEXT] = {"/text", 1, 262144, NULL, 0},
    [T_TRACE] = {"/trace", sizeof(struct trace_row), 2048, FIELDS(trace_fields)},
    [D_RUNS] = {"/runs", sizeof(struct run_row), 1, FIELDS(run_fields)},
    [D_PROMPTS] = {"/prompts", sizeof(struct prompt_row), 64, FIELDS(prompt_fields)},
};
_Static_assert(sizeof(struct run_row) <= 4096, "a row of /runs fits in a page");

static const struct dataset_type *of(int dataset)
{
    ENSURE(dataset >= 0 && dataset < TRACE_DATASETS);
    return &datasets[dataset];
}

const char *types_name(int dataset)
{
    return of(dataset)->name;
}
size_t types_row_bytes(int dataset)
{
    return of(dataset)->row_bytes;
}
hsize_t types_chunk_rows(int dataset)
{
    return of(dataset)->chunk_rows;
}

size_t types_n_fields(int dataset)
{
    return of(dataset)->n_fields;
}
const char *types_field(int dataset, size_t field)
{
    ENSURE(field < of(dataset)->n_fields);
    return of(dataset)->fields[field].name;
}

static hid_t enum_type(const struct field *f, bool is_older)
{
    hid_t t = H5_MUST(H5Tenum_create(H5T_NATIVE_INT32));
    int32_t n = is_older && f->names == finish_reason_names ? FINISH_NUMERICS : f->n_names;
    for (int32_t v = 0; v < n; v++) {
        const char *name = f->names ? f->names[v] : span_name((enum span_phase)v);
        H5_MUST(H5Tenum_insert(t, name, &v));
    }
    return t;
}

hid_t types_text(size_t bytes)
{
    hid_t t = H5_MUST(H5Tcopy(H5T_C_S1));
    H5_MUST(H5Tset_size(t, bytes));
    H5_MUST(H5Tset_strpad(t, H5T_STR_NULLPAD));
    H5_MUST(H5Tset_cset(t, H5T_CSET_UTF8));
    return t;
}

static hid_t field_type(const struct field *f, bool is_older)
{
    switch (f->kind) {
    case KIND_I32:
        return H5_MUST(H5Tcopy(H5T_NATIVE_INT32));
    case KIND_U32:
        return H5_MUST(H5Tcopy(H5T_NATIVE_UINT32));
    case KIND_I64:
        return H5_MUST(H5Tcopy(H5T_NATIVE_INT64));
    case KIND_F32:
        return H5_MUST(H5Tcopy(H5T_NATIVE_FLOAT));
    case KIND_F64:
        return H5_MUST(H5Tcopy(H5T_NATIVE_DOUBLE));
    case KIND_TEXT:
        return types_text(f->bytes);
    case KIND_ENUM:
        return enum_type(f, is_older);
    }
    return H5I_INVALID_HID;
}

static hid_t create(int dataset, bool is_older)
{
    const struct dataset_type *d = of(dataset);
    if (!d->fields)
        return H5_MUST(H5Tcopy(dataset == T_TOKENS ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT8));
    hid_t row = H5_MUST(H5Tcreate(H5T_COMPOUND, d->row_bytes));
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct field *f = &d->fields[i];
        hid_t t = field_type(f, is_older);
        H5_MUST(H5Tinsert(row, f->name, f->offset, t));
        H5Tclose(t);
    }
    return row;
}

hid_t types_create(int dataset)
{
    return create(dataset, false);
}

hid_t types_create_older(int dataset)
{
    return create(dataset, true);
}

void types_tidy(int dataset, void *row)
{
    const struct dataset_type *d = of(dataset);
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct field *f = &d->fields[i];
        if (f->kind != KIND_TEXT) continue;
        char *text = (char *)row + f->offset;
        size_t n = strnlen(text, f->bytes - 1);
        memset(text + n, 0, f->bytes - n);
    }
}

const char *types_endless_text(int dataset, const void *row)
{
    const struct dataset_type *d = of(dataset);
    for (size_t i = 0; i < d->n_fields; i++) {
        const struct field *f = &d->fields[i];
        if (f->kind == KIND_TEXT && !memchr((const char *)row + f->offset, 0, f->bytes))
            return f->name;
    }
    return NULL;
}
