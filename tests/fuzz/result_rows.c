#include "fuzz/result_rows.h"

#include "base/mem.h"
#include "base/span.h"
#include "fuzz/fuzz.h"
#include "report/export.h"
#include "report/inspect.h"
#include "report/replay_verb.h"
#include "report/report.h"
#include "report/timeline.h"
#include "trace/reader.h"
#include "trace/seal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_EACH = 40, TEXT_EACH = 6, SPANS = 6, BUDGET_TOKENS = 4096 };

static void *add(struct result_rows *r, int dataset, int64_t n)
{
    r->rows[dataset] = mem_calloc((size_t)n, types_row_bytes(dataset));
    r->n[dataset] = n;
    return r->rows[dataset];
}

static void make_prompts(struct result_rows *r)
{
    const int64_t counts[TRACE_TABLES] = {
        [T_CANDIDATES] = ROWS_N,
        [T_ROUNDS] = 1,
        [T_PARTIAL_REWARDS] = ROWS_N * r->n_lengths,
        [T_TOKENS] = ROWS_N * TOKENS_EACH,
        [T_TEXT] = ROWS_N * TEXT_EACH,
        [T_TRACE] = SPANS,
    };
    struct prompt_row *p = add(r, D_PROMPTS, ROWS_PROMPTS);
    for (int64_t i = 0; i < ROWS_PROMPTS; i++) {
        p[i] = (struct prompt_row){.prompt_index = i,
                                   .key = "key",
                                   .rounds = 1,
                                   .prompt_tokens = 20,
                                   .n = ROWS_N,
                                   .best_candidate = 1,
                                   .best_reward = 0.75f,
                                   .start_s = (double)i,
                                   .wall_s = 1,
                                   .generate_s = 0.75,
                                   .score_s = 0.25,
                                   .tokens_generated = ROWS_N * TOKENS_EACH,
                                   .tokens_scored = ROWS_N * TOKENS_EACH,
                                   .rows_computed = 300,
                                   .kv_peak_tokens = 256};
        for (int t = 0; t < TRACE_TABLES; t++) {
            p[i].first[t] = i * counts[t];
            p[i].count[t] = counts[t];
        }
    }
    struct run_row *run = add(r, D_RUNS, 1);
    *run = (struct run_row){.start_unix_s = 1.7e9,
                            .end_unix_s = 1.7e9 + 3,
                            .hosts = "host",
                            .device = "cpu",
                            .versions = "v",
                            .fingerprint = "f",
                            .ranks = 1,
                            .threads = 1,
                            .groups = 1,
                            .tensor = 1,
                            .status = RUN_COMPLETE,
                            .last_prompt = ROWS_PROMPTS};
}

static void make_candidates(struct result_rows *r)
{
    struct candidate_row *c = add(r, T_CANDIDATES, ROWS_PROMPTS * ROWS_N);
    struct partial_reward_row *x = add(r, T_PARTIAL_REWARDS, ROWS_PROMPTS * ROWS_N * r->n_lengths);
    for (int64_t i = 0; i < ROWS_PROMPTS * ROWS_N; i++) {
        int32_t k = (int32_t)(i % ROWS_N);
        bool is_best = k == 1;
        c[i] = (struct candidate_row){.prompt_index = i / ROWS_N,
                                      .candidate = k,
                                      .status = CANDIDATE_FINISHED,
                                      .finish_reason = FINISH_END_TOKEN,
                                      .rejected_round = -1,
                                      .reward = is_best ? 0.75f : 0.1f * (float)k,
                                      .judge_reward = NAN,
                                      .logprob_sum = -20,
                                      .tokens_offset = i * TOKENS_EACH,
                                      .n_tokens = TOKENS_EACH,
                                      .text_offset = i * TEXT_EACH,
                                      .text_length = TEXT_EACH};
        for (int32_t l = 0; l < r->n_lengths; l++)
            x[i * r->n_lengths + l] = (struct partial_reward_row){.prompt_index = i / ROWS_N,
                                                                  .round = l,
                                                                  .candidate = k,
                                                                  .n_tokens = 16 * (l + 1),
                                                                  .reward = c[i].reward / 2};
    }
}

static void make_rest(struct result_rows *r)
{
    struct round_row *round = add(r, T_ROUNDS, ROWS_PROMPTS);
    struct trace_row *span = add(r, T_TRACE, ROWS_PROMPTS * SPANS);
    int32_t *tokens = add(r, T_TOKENS, ROWS_PROMPTS * ROWS_N * TOKENS_EACH);
    char *text = add(r, T_TEXT, ROWS_PROMPTS * ROWS_N * TEXT_EACH);
    for (int64_t i = 0; i < ROWS_PROMPTS; i++)
        round[i] = (struct round_row){.prompt_index = i,
                                      .trigger = TRIGGER_FINAL,
                                      .step = TOKENS_EACH,
                                      .ranked = ROWS_N,
                                      .kept = ROWS_N,
                                      .complete = ROWS_N,
                                      .budget_tokens = BUDGET_TOKENS,
                                      .live_tokens = 256,
                                      .end_s = 0.1};
    for (int64_t i = 0; i < ROWS_PROMPTS * SPANS; i++) {
        int64_t from = i * 100000000;
        span[i] = (struct trace_row){.phase = (int32_t)(SPAN_PREFILL + i % 4),
                                     .prompt_index = i / SPANS,
                                     .step = i % SPANS,
                                     .start_ns = from,
                                     .end_ns = from + 90000000,
                                     .sequences = ROWS_N,
                                     .tokens = 64,
                                     .bytes = 1000};
    }
    for (int64_t i = 0; i < r->n[T_TOKENS]; i++) tokens[i] = (int32_t)(i % 100);
    memset(text, 'a', (size_t)r->n[T_TEXT]);
}

void result_rows_make(struct result_rows *r, unsigned variant)
{
    bool at = variant & ROWS_ONE_LENGTH;
    *r = (struct result_rows){
        .budget_tokens = BUDGET_TOKENS, .n_attribute = ROWS_N, .n_lengths = at ? 1 : 2};
    r->job_yaml = mem_printf("name: fuzz\ngenerator: {path: /nowhere/g}\nreward: {path: self}\n"
                             "dataset: {path: /nowhere/d.jsonl}\nmethod: %s\nn: 4\n"
                             "score_at: %s 16\nsampling: {max_new_tokens: 64}\n",
                             variant & ROWS_REJECTING ? "speculative_rejection" : "best_of_n",
                             at ? "at" : "every");
    make_prompts(r);
    make_candidates(r);
    make_rest(r);
}

void result_rows_free(struct result_rows *r)
{
    for (int d = 0; d < TRACE_DATASETS; d++) free(r->rows[d]);
    free(r->job_yaml);
    *r = (struct result_rows){0};
}

void result_rows_write(struct result_rows *r, const char *path)
{
    struct trace_meta meta = {.job_yaml = r->job_yaml,
                              .job_hash = "h",
                              .point_id = "p",
                              .dtype = "f32",
                              .budget_tokens = r->budget_tokens,
                              .n = r->n_attribute,
                              .reproducible = true};
    struct attrs a;
    struct err e = {0};
    attrs_from_meta(&a, &meta);
    struct prompt_row *p = r->rows[D_PROMPTS];
    for (int64_t i = 0; i < r->n[D_PROMPTS]; i++) p[i].row_check = seal_row_check(&p[i]);
    struct store *s = store_create(path, &a, &e);
    ENSURE(s);
    for (int d = 0; d < TRACE_DATASETS; d++)
        ENSURE(store_append(s, d, r->rows[d], r->n[d], &e) == 0);
    ENSURE(store_close(s, &e) == 0);
    attrs_free(&a);
}

/* ---- readers ---- */

static int verify(const char *path, struct err *e)
{
    struct trace_reader *r = trace_reader_open(path, e);
    int rc = r ? 0 : -1;
    for (int64_t i = 0; rc == 0 && i < trace_n_prompts(r); i++) rc = trace_reader_verify(r, i, e);
    trace_reader_close(r);
    return rc;
}

static int show(const char *path, struct err *e)
{
    return inspect(path, &(struct inspect_options){.prompt = -1}, fuzz_null(), e);
}

static int show_json(const char *path, struct err *e)
{
    return inspect(path, &(struct inspect_options){.prompt = -1, .json = true}, fuzz_null(), e);
}

static int show_prompt(const char *path, struct err *e)
{
    return inspect(path, &(struct inspect_options){.prompt = 1}, fuzz_null(), e);
}

static int show_prompt_json(const char *path, struct err *e)
{
    return inspect(path, &(struct inspect_options){.prompt = 1, .json = true}, fuzz_null(), e);
}

static int export_all(const char *path, struct err *e)
{
    return export_file(path, &(struct export_options){.pick = "all"}, fuzz_null(), e);
}

static int export_pairs(const char *path, struct err *e)
{
    return export_file(path, &(struct export_options){.pick = "pairs"}, fuzz_null(), e);
}

static int export_csv(const char *path, struct err *e)
{
    return export_file(path, &(struct export_options){.format = "csv"}, fuzz_null(), e);
}

static int timeline(const char *path, struct err *e)
{
    return timeline_file(path, &(struct timeline_options){.prompt = -1}, fuzz_null(), e);
}

static int compare(const char *path, struct err *e)
{
    return report(&path, 1, &(struct report_options){0}, fuzz_null(), e);
}

static int replay_recorded(const char *path, struct err *e)
{
    static const char *const set[] = {"sweep.alpha=[0.25, 0.75]", "rounds=every 16"};
    struct replay_options o = {.grid = {.set = set, .n_set = 2, .nearest = true}};
    return replay_file(path, &o, fuzz_null(), e);
}

static int replay_memory(const char *path, struct err *e)
{
    static const char *const set[] = {"budget_tokens=160", "min_round_tokens=1"};
    struct replay_options o = {.grid = {.set = set, .n_set = 2, .nearest = true},
                               .form = REPLAY_JSON};
    return replay_file(path, &o, fuzz_null(), e);
}

/* Without gnuplot: what counts is how the scripts come about. */
static int draw(const char *path, struct err *e)
{
    static const char *const names[] = {"report.html",    "report.csv", "report.md",   "report.tex",
                                        "improvement.gp", "speedup.gp", "sawtooth.gp", "partial.gp",
                                        "lost.gp",        "phases.gp",  "lengths.gp",  "judge.gp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) fuzz_path(names[i]);
    ENSURE(setenv("PATH", "/nowhere", 1) == 0);
    return report(&path, 1, &(struct report_options){.folder = fuzz_folder()}, fuzz_null(), e);
}

void result_read(const char *path, unsigned which)
{
    static int (*const readers[])(const char *path, struct err *e) = {
        verify,          show,          show_json,  show_prompt, show_prompt_json,
        export_all,      export_pairs,  export_csv, timeline,    compare,
        replay_recorded, replay_memory, draw};
    struct err e = {0};
    fuzz_check(readers[which % (sizeof readers / sizeof *readers)](path, &e), &e);
}
