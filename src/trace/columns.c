#include "trace/columns.h"

#include "base/mem.h"
#include "trace/types.h"

#include <stdlib.h>
#include <string.h>

struct column {
    const char *name, *units, *description;
};

static const struct column runs[] = {
    {"start_unix_s", "s", "start of the program, since 1970"},
    {"end_unix_s", "s", "its end, since 1970; NaN while it runs or when it was killed"},
    {"hosts", "", "hosts, each once"},
    {"device", "", "processor or GPU"},
    {"isa", "", "instruction set of the arithmetic"},
    {"versions", "", "of the program and its libraries"},
    {"fingerprint", "",
     "hash of a known computation's bits: only runs with equal ones can be paired"},
    {"slurm_job_id", "", "empty without Slurm"},
    {"slurm_restart", "", "which start of that Slurm job, from 0"},
    {"ranks", "", "MPI processes: groups x tensor"},
    {"threads", "", "per rank"},
    {"groups", "", "sets of ranks that hold both models"},
    {"tensor", "", "ranks of a group"},
    {"status", "", "how the run ended"},
    {"first_prompt", "row", "first row of /prompts that this run committed"},
    {"last_prompt", "row", "the row of /prompts after its last"},
    {"load_s", "s", "loading and self-test, summed over ranks"},
    {"idle_s", "s", "neither loading nor working on a prompt, summed over ranks"},
};

static const struct column prompts[] = {
    {"prompt_index", "", "row of the dataset's file"},
    {"key", "", "hash of the prompt's messages or ids"},
    {"reason", "",
     "why it was skipped or failed; of an ok prompt: which logits or rewards were not finite"},
    {"status", "", "ok, skipped (cannot be run), failed (will be run again)"},
    {"run", "row", "row of /runs"},
    {"group", "", "group of ranks that worked on it"},
    {"rounds", "", "rounds held, the final scoring included"},
    {"prompt_tokens", "tokens", "of the generator's prompt"},
    {"n", "", "candidates"},
    {"alpha", "", "rejection rate; 0 for Best-of-N"},
    {"best_candidate", "", "candidate that is the answer; -1: none"},
    {"best_reward", "reward", "reward of the answer; NaN: none"},
    {"row_check", "", "check sum of this row"},
    {"start_s", "s", "when work on the prompt began, since the start of the run"},
    {"wall_s", "s", "from there to its end; with overlap above 1 its part of that time"},
    {"prefill_s", "s", "of wall_s: the prompt through both models"},
    {"generate_s", "s", "of wall_s: decoding"},
    {"score_s", "s", "of wall_s: the reward model"},
    {"comm_s", "s", "of wall_s: between ranks, decisions and moved candidates"},
    {"wait_s", "s", "of wall_s: the rest"},
    {"tokens_generated", "tokens", "sampled by all candidates"},
    {"tokens_scored", "tokens", "of responses given to the reward model"},
    {"rows_computed", "rows", "of the generator's forward passes, prefill included"},
    {"generator_flops", "FLOP", "of the generator, counted, all ranks"},
    {"reward_flops", "FLOP", "of the reward model, counted, all ranks"},
    {"bytes", "bytes", "of weights and KV that both models had to move"},
    {"energy_j", "J", "of the processors or GPUs of its ranks while it ran; NaN: not known"},
    {"kv_peak_tokens", "tokens", "most KV in use at a time, in whole pages"},
    {"evictions", "", "candidates whose KV was dropped and computed again"},
    {"content_hash", "", "of the prompt's rows in the other tables"},
    {"first_candidates", "row", "the prompt's first row in /candidates"},
    {"count_candidates", "row", "how many rows it has there"},
    {"first_rounds", "row", "the prompt's first row in /rounds"},
    {"count_rounds", "row", "how many rows it has there"},
    {"first_partial_rewards", "row", "the prompt's first row in /partial_rewards"},
    {"count_partial_rewards", "row", "how many rows it has there"},
    {"first_tokens", "element", "the prompt's first element in /tokens"},
    {"count_tokens", "element", "how many elements it has there"},
    {"first_text", "byte", "the prompt's first byte in /text"},
    {"count_text", "byte", "how many bytes it has there"},
    {"first_trace", "row", "the prompt's first row in /trace"},
    {"count_trace", "row", "how many rows it has there"},
};

static const struct column candidates[] = {
    {"prompt_index", "", "as in /prompts"},
    {"candidate", "", "number within the prompt, from 0"},
    {"status", "", "finished (end token), truncated (length limit), rejected (by a round)"},
    {"finish_reason", "", "why it generates no more"},
    {"rejected_round", "", "round that ranked it among the rejected; -1: never"},
    {"reward", "reward", "the last one taken: of the whole response when it is complete"},
    {"judge_reward", "reward", "of the second reward model; NaN: not judged"},
    {"logprob_sum", "nats",
     "sum of the tokens' log-probabilities at temperature 1, end token included"},
    {"tokens_offset", "element", "of its first id in /tokens; -1: not recorded"},
    {"n_tokens", "tokens", "that it generated, end token included"},
    {"text_offset", "byte", "of its text in /text; -1: not recorded"},
    {"text_length", "bytes", "of its text; end token and other special tokens left out"},
};

static const struct column rounds[] = {
    {"prompt_index", "", "as in /prompts"},
    {"round", "", "number within the prompt, from 0"},
    {"trigger", "", "memory, schedule, early (before a scheduled one, for memory), final"},
    {"step", "tokens", "that the live candidates had"},
    {"ranked", "", "candidates that were compared"},
    {"kept", "", "of them"},
    {"complete", "", "of those compared, at their end"},
    {"cut_reward", "reward", "the worst that was kept; NaN in the final round"},
    {"budget_tokens", "tokens", "KV that the prompt and its candidates may hold together"},
    {"live_tokens", "tokens", "KV in use when the round began, in whole pages"},
    {"start_s", "s", "since the start of the run"},
    {"end_s", "s", "since the start of the run"},
};

static const struct column partial_rewards[] = {
    {"prompt_index", "", "as in /prompts"},
    {"round", "", "as in /rounds; with score_at the number of the recorded length"},
    {"candidate", "", "number within the prompt"},
    {"n_tokens", "tokens", "that the candidate had"},
    {"reward", "reward", "of the response so far"},
};

static const struct column trace[] = {
    {"rank", "", "of the world"},
    {"phase", "", "what the rank did"},
    {"prompt_index", "", "as in /prompts"},
    {"step", "tokens", "of the live candidates"},
    {"start_ns", "ns", "since the start of the run"},
    {"end_ns", "ns", "since the start of the run"},
    {"sequences", "", "that took part"},
    {"tokens", "tokens", "that were computed"},
    {"bytes", "bytes", "that were moved"},
};

static const struct column tokens[] = {
    {NULL, "token id", "the candidates' ids, one after the other"}};
static const struct column text[] = {
    {NULL, "byte", "the candidates' texts as UTF-8, one after the other"}};

#define COLUMNS(c) c, sizeof c / sizeof c[0]
static const struct {
    const struct column *items;
    size_t n;
} tables[TRACE_DATASETS] = {
    [T_CANDIDATES] = {COLUMNS(candidates)},
    [T_ROUNDS] = {COLUMNS(rounds)},
    [T_PARTIAL_REWARDS] = {COLUMNS(partial_rewards)},
    [T_TOKENS] = {COLUMNS(tokens)},
    [T_TEXT] = {COLUMNS(text)},
    [T_TRACE] = {COLUMNS(trace)},
    [D_RUNS] = {COLUMNS(runs)},
    [D_PROMPTS] = {COLUMNS(prompts)},
};

static const char *text_of(const struct column *c, bool is_units)
{
    return is_units ? c->units : c->description;
}

/* One attribute: an array of texts as long as the longest, or one text where there are no fields.
 */
static int write_one(hid_t data, int dataset, bool is_units, const char *path, struct err *e)
{
    const char *name = is_units ? "units" : "description";
    const struct column *c = tables[dataset].items;
    size_t n = tables[dataset].n, length = 1;
    for (size_t i = 0; i < n; i++)
        if (strlen(text_of(&c[i], is_units)) > length) length = strlen(text_of(&c[i], is_units));
    char *bytes = mem_calloc(n, length);
    for (size_t i = 0; i < n; i++)
        memcpy(bytes + i * length, text_of(&c[i], is_units), strlen(text_of(&c[i], is_units)));
    hsize_t count = n;
    hid_t space = H5_MUST(c->name ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR));
    hid_t type = types_text(length);
    hid_t attr = H5Acreate2(data, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int rc = 0;
    if (attr < 0 || H5Awrite(attr, type, bytes) < 0)
        rc = h5_err(e, "%s: cannot write attribute '%s' of %s", path, name, types_name(dataset));
    if (attr >= 0) H5Aclose(attr);
    H5Tclose(type);
    H5Sclose(space);
    free(bytes);
    return rc;
}

/* The texts above stand in the order of the fields. */
static void check_order(int dataset)
{
    size_t n = types_n_fields(dataset);
    ENSURE(tables[dataset].n == (n ? n : 1));
    for (size_t i = 0; i < n; i++)
        ENSURE(strcmp(tables[dataset].items[i].name, types_field(dataset, i)) == 0);
}

int columns_write(hid_t data, int dataset, const char *path, struct err *e)
{
    check_order(dataset);
    TRY(write_one(data, dataset, true, path, e));
    return write_one(data, dataset, false, path, e);
}
