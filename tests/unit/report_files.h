/* Small made-up result files, for the tests of report: Best-of-4 and Speculative Rejection on the
 * same candidates, their numbers counted by hand. */
#pragma once

#include "report/compare.h"
#include "report/source_list.h"
#include "report_place.h"
#include "trace/writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_N 4

/* One prompt of a made-up file.  rewards: of candidates 0..n-1; lost: those that were rejected, one
 * bit each. */
struct fake {
    int64_t index;
    float rewards[MAX_N];
    unsigned lost;
    enum prompt_status status;
    const char *key;
};

struct fake_file {
    const char *name;
    const char *sets; /* of the job, separated by ; */
    int64_t n;
    double wall_s; /* of each prompt */
    const struct fake *prompts;
    int n_prompts;
    const char *fingerprint;
};

/* ---- made-up files ---- */

static inline void commit(struct trace *t, const struct fake_file *f, const struct fake *p)
{
    struct candidate_row c[MAX_N];
    bool is_ok = p->status == PROMPT_OK;
    struct prompt_row *row;
    struct round_row rounds[2] = {{.prompt_index = p->index},
                                  {.prompt_index = p->index, .round = 1}};
    struct trace_record r = {.candidates = c,
                             .n_candidates = is_ok ? f->n : 0,
                             .rounds = rounds,
                             .n_rounds = is_ok ? 2 : 0};
    row = &r.prompt;
    *row = (struct prompt_row){.prompt_index = p->index,
                               .status = (int32_t)p->status,
                               .n = f->n,
                               .rounds = 2,
                               .best_candidate = -1,
                               .best_reward = NAN,
                               .wall_s = f->wall_s,
                               .energy_j = 2 * f->wall_s,
                               .tokens_generated = 10 * f->n,
                               .tokens_scored = 0};
    snprintf(row->key, sizeof row->key, "%s", p->key ? p->key : "key");
    snprintf(row->reason, sizeof row->reason, "%s", is_ok ? "" : "too long");
    for (int32_t i = 0; i < r.n_candidates; i++) {
        bool lost = p->lost >> i & 1;
        c[i] = (struct candidate_row){.prompt_index = p->index,
                                      .candidate = i,
                                      .status = lost ? CANDIDATE_REJECTED : CANDIDATE_FINISHED,
                                      .rejected_round = lost ? 0 : -1,
                                      .reward = lost ? NAN : p->rewards[i],
                                      .tokens_offset = -1,
                                      .text_offset = -1};
        if (lost || (row->best_candidate >= 0 && !(p->rewards[i] > row->best_reward))) continue;
        row->best_candidate = i;
        row->best_reward = p->rewards[i];
    }
    struct err e = {0};
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
}

static inline void add_file(struct place *p, const struct fake_file *f)
{
    struct job j;
    struct err e = {0};
    char *path = p->paths[p->n_paths++] = mem_printf("%s/%s", p->folder, f->name), *yaml;
    open_job(p, &j, f->sets);
    yaml = job_to_yaml(&j);
    struct trace_meta meta = {.job_yaml = yaml, .n = f->n, .reproducible = j.reproducible};
    struct run_row run = {.ranks = 4, .tensor = 2, .groups = 2, .load_s = 3600};
    snprintf(run.fingerprint, sizeof run.fingerprint, "%s", f->fingerprint ? f->fingerprint : "f");
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    for (int i = 0; i < f->n_prompts; i++) commit(t, f, &f->prompts[i]);
    trace_close(t);
    free(yaml);
    job_free(&j);
}

/* What a comparison of them is asked for; of the test that runs. */
static struct reference asked;

/* reference: as --reference takes it, NULL: not given. */
static inline int compare_files(struct comparison *c, const struct place *p, const char *reference,
                                struct err *e)
{
    *c = (struct comparison){0};
    struct source_list list = {0};
    reference_free(&asked);
    int rc = reference_parse(&asked, reference, e);
    for (int i = 0; i < p->n_paths && rc == 0; i++) rc = source_list_read(&list, p->paths[i], e);
    if (rc == 0) return comparison_of(c, list.items, to_int((int64_t)list.n), &asked, e);
    source_list_free(&list);
    return rc;
}

static inline void compare(struct comparison *c, const struct place *p, const char *reference)
{
    struct err e = {0};
    if (compare_files(c, p, reference, &e) < 0) fail_msg("%s", e.text);
}

static inline void refused(const struct place *p, const char *reference, const char *words)
{
    struct comparison c;
    struct err e = {0};
    int rc = compare_files(&c, p, reference, &e);
    comparison_free(&c);
    assert_int_equal(rc, -1);
    if (!strstr(e.text, words)) fail_msg("'%s' is not in '%s'", words, e.text);
}

static inline void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want)))) fail_msg("%.17g, not %.17g", got, want);
}

/* Prompts 1 and 2 are as in test_metrics.c's reference; 7 has equal rewards; the rest cannot be
 * compared. */
static const struct fake best_of_n[] = {
    {1, {1, 3, 5, NAN}, 0, PROMPT_OK, NULL}, {7, {2, 2, 2, 2}, 0, PROMPT_OK, NULL},
    {2, {0, 4, 0, 4}, 0, PROMPT_OK, NULL},   {3, {1, 2, 3, 4}, 0, PROMPT_OK, NULL},
    {4, {0}, 0, PROMPT_SKIPPED, NULL},       {5, {1, 2, 3, 4}, 0, PROMPT_OK, NULL},
};
static const struct fake rejection[] = {
    {7, {2, 2, 2, 2}, 14, PROMPT_OK, NULL}, {1, {1, 3, 5, NAN}, 4, PROMPT_OK, NULL},
    {2, {0, 4, 0, 4}, 1, PROMPT_OK, NULL},  {5, {NAN, NAN, 3, 4}, 12, PROMPT_OK, NULL},
    {4, {1, 2, 3, 4}, 0, PROMPT_OK, NULL},
};
#define ROWS(a) .prompts = (a), .n_prompts = sizeof(a) / sizeof *(a)

static const struct fake_file bon = {
    .name = "bon.h5", .sets = "method=best_of_n;n=4", .n = 4, .wall_s = 8, ROWS(best_of_n)};
static const struct fake_file sr = {.name = "sr.h5",
                                    .sets = "n=4;reward.cache=none;dataset.limit=5",
                                    .n = 4,
                                    .wall_s = 2,
                                    ROWS(rejection)};

/* ---- of two seeds ---- */

static const struct fake all_kept[] = {{1, {1, 3, 5, NAN}, 0, PROMPT_OK, NULL},
                                       {2, {0, 4, 0, 4}, 0, PROMPT_OK, NULL},
                                       {7, {2, 2, 2, 2}, 0, PROMPT_OK, NULL}};

/* Best-of-4 and rejection, two seeds each; the second seed's rejection loses nothing. */
static inline void add_two_seeds(struct place *p)
{
    struct fake_file b = bon, s = sr, first = sr;
    first.sets = "n=4";
    b.name = "bon9.h5", b.sets = "method=best_of_n;n=4;seed=9", b.wall_s = 16;
    s.name = "sr9.h5", s.sets = "n=4;seed=9", s.wall_s = 6;
    s.prompts = all_kept, s.n_prompts = 3;
    add_file(p, &s);
    add_file(p, &b);
    add_file(p, &first);
    add_file(p, &bon);
}
