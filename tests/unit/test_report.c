/* specrej report on small made-up result files: which prompts are compared, what a file is held
 * against, what is refused and with which words, and the printed forms. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "ref/temp.h"
#include "report/averages.h"
#include "report/forms.h"
#include "report/report.h"
#include "report/source_list.h"
#include "trace/writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report_place.h"

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

static void open_job(const struct place *p, struct job *j, const char *sets)
{
    const char *list[16];
    int n = 0;
    char *copy = mem_strdup(sets), *rest = copy, *file = mem_printf("%s/job.yaml", p->folder);
    struct err e = {0};
    for (char *one; (one = strsep(&rest, ";")) != NULL;)
        if (one[0]) list[n++] = one;
    temp_text(p->folder, "job.yaml",
              "generator: {path: g}\nreward: {path: r}\ndataset: {path: d.jsonl}\n");
    if (job_open(j, file, list, n, &e) < 0) fail_msg("%s", e.text);
    free(file);
    free(copy);
}

static void commit(struct trace *t, const struct fake_file *f, const struct fake *p)
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

static void add_file(struct place *p, const struct fake_file *f)
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

static int compare_files(struct comparison *c, const struct place *p, int64_t reference_n,
                         struct err *e)
{
    *c = (struct comparison){0};
    struct source_list list = {0};
    int rc = 0;
    for (int i = 0; i < p->n_paths && rc == 0; i++) rc = source_list_read(&list, p->paths[i], e);
    if (rc == 0) return comparison_of(c, list.items, to_int((int64_t)list.n), reference_n, e);
    source_list_free(&list);
    return rc;
}

static void compare(struct comparison *c, const struct place *p, int64_t reference_n)
{
    struct err e = {0};
    if (compare_files(c, p, reference_n, &e) < 0) fail_msg("%s", e.text);
}

static void refused(const struct place *p, int64_t reference_n, const char *words)
{
    struct comparison c;
    struct err e = {0};
    int rc = compare_files(&c, p, reference_n, &e);
    comparison_free(&c);
    assert_int_equal(rc, -1);
    if (!strstr(e.text, words)) fail_msg("'%s' is not in '%s'", words, e.text);
}

static void near(double got, double want)
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

/* ---- tests ---- */

static void test_numbers(void **state)
{
    struct place *p = *state;
    struct comparison c;
    add_file(p, &bon);
    add_file(p, &sr);
    compare(&c, p, 0);
    assert_int_equal(c.reference_n, 4);
    assert_int_equal(c.n_prompts, 3);
    static const int64_t compared[] = {1, 2, 7};
    assert_memory_equal(c.prompt_index, compared, sizeof compared);
    const struct compare_row *a = &c.rows[0], *b = &c.rows[1];
    near(a->score, 100);
    near(a->kept, 1);
    near(a->survival, 1);
    assert_int_equal(b->reference, 0);
    assert_int_equal(b->partner, 0);
    assert_true(b->is_paired);
    near(b->best_reward, 3);                    /* answers 3, 4, 2 */
    near(b->score, 100 * (1 + (-0.5 + 0) / 2)); /* (3 - 5) / 4, 0; prompt 7 has no spread */
    assert_int_equal(b->without_spread, 1);
    near(b->kept, 2.0 / 4); /* ((3 - 3) + (4 - 2) + 0) / ((5 - 3) + (4 - 2) + 0) */
    near(b->survival, 2.0 / 3);
    near(b->regret, 2.0 / 3);
    near(b->rounds, 2);
    near(b->total[AMOUNT_WALL_S], 6);
    near(b->total[AMOUNT_COMPUTE_S], 12); /* 2 ranks a group */
    near(b->total[AMOUNT_TOKENS_GENERATED], 120);
    near(b->partner_share[AMOUNT_TOKENS_GENERATED], 1);
    assert_true(isnan(b->partner_share[AMOUNT_TOKENS_SCORED]));
    near(b->relative_compute, 0.25);
    assert_int_equal(b->speedup.kind, SPEEDUP_AT_MOST);
    near(b->speedup.value, 4);
    near(b->rank_hours, (5 * 2 * 2 + 3600) / 3600.0);
    /* resamples of three prompts: from twice or more the worst to only the best */
    assert_true(b->score_interval.low >= 50 && b->score_interval.low < b->score);
    near(b->score_interval.high, 100);
    near(b->kept_interval.low, 0);
    near(b->kept_interval.high, 1);
    comparison_free(&c);
}

static void test_left_out(void **state)
{
    struct place *p = *state;
    struct comparison c;
    add_file(p, &bon);
    add_file(p, &sr);
    compare(&c, p, 0);
    static const struct {
        int64_t index;
        int file;
        const char *why;
    } want[] = {{3, 1, "not in the file"},
                {4, 0, "skipped: too long"},
                {5, 1, "no answer has a finite reward"}};
    assert_int_equal(c.left_out.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c.left_out.items[i].prompt_index, want[i].index);
        assert_int_equal(c.left_out.items[i].file, want[i].file);
        assert_string_equal(c.left_out.items[i].why, want[i].why);
    }
    comparison_free(&c);
}

static void test_one_prompt(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct fake_file a = bon, b = sr;
    a.prompts++, a.n_prompts = 1; /* the one whose rewards are all equal */
    b.n_prompts = 1;
    add_file(p, &a);
    add_file(p, &b);
    compare(&c, p, 0);
    assert_int_equal(c.n_prompts, 1);
    assert_true(isnan(c.rows[1].score));
    assert_true(isnan(c.rows[1].score_interval.low));
    assert_true(isnan(c.rows[1].kept));
    near(c.rows[1].survival, 1);
    near(c.rows[1].regret, 0);
    assert_int_equal(c.rows[1].speedup.kind, SPEEDUP_NONE);
    comparison_free(&c);
}

/* Best-of-2 of the same candidates, and another seed: who is held against whom. */
static void test_baselines(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct fake_file half = bon, seed = bon, other = sr;
    half.name = "half.h5", half.sets = "method=best_of_n;n=2", half.n = 2, half.wall_s = 4;
    seed.name = "seed.h5", seed.sets = "method=best_of_n;n=4;seed=9";
    other.name = "other.h5", other.sets = "n=4;seed=8";
    add_file(p, &other);
    add_file(p, &half);
    add_file(p, &sr);
    add_file(p, &seed);
    add_file(p, &bon);
    enum { HALF, BON, SEED, SR, OTHER }; /* whatever the order they were given in */
    compare(&c, p, 0);
    assert_int_equal(c.reference_n, 4);
    assert_int_equal(c.rows[OTHER].reference, BON); /* no such seed: the lowest */
    assert_int_equal(c.rows[OTHER].partner, -1);
    assert_true(isnan(c.rows[OTHER].kept));
    assert_int_equal(c.rows[SR].reference, BON);
    assert_int_equal(c.rows[SR].partner, BON);
    assert_int_equal(c.rows[SEED].reference, SEED);
    /* Best-of-2 answers 3, 4, 2 as well, for half of the time: score 75 on the curve */
    near(c.rows[HALF].score, 75);
    near(c.rows[SR].score, 75);
    assert_int_equal(c.rows[SR].speedup.kind, SPEEDUP_EQUAL);
    near(c.rows[SR].speedup.value, 2);
    near(c.rows[HALF].speedup.value, 1);
    comparison_free(&c);
    compare(&c, p, 2);
    assert_int_equal(c.reference_n, 2);
    assert_int_equal(c.rows[SR].reference, HALF);
    assert_int_equal(c.rows[SR].partner, BON);
    near(c.rows[BON].score, 100 * (1 + ((5.0 - 3) / 2 + 0) / 2));
    comparison_free(&c);
    refused(p, 120, "--reference");
}

static void test_unpaired(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct fake_file other = sr, not = sr;
    other.fingerprint = "g";
    not .name = "not.h5", not .sets = "n=4;reproducible=false";
    add_file(p, &bon);
    add_file(p, &other);
    add_file(p, &not );
    compare(&c, p, 0);
    for (int f = 1; f < 3; f++) {
        assert_int_equal(c.rows[f].partner, 0);
        assert_false(c.rows[f].is_paired);
        assert_true(isnan(c.rows[f].survival));
        assert_true(isnan(c.rows[f].regret));
        near(c.rows[f].kept, 0.5);
    }
    comparison_free(&c);
}

/* Only the answers' rows: they cannot be a reference, but have answers and their own score. */
static void test_only_answers(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct fake_file best = bon, mine = sr;
    best.name = "best.h5", best.sets = "method=best_of_n;n=4;record.candidates=best";
    mine.sets = "n=4;record.candidates=best";
    add_file(p, &best);
    add_file(p, &mine);
    compare(&c, p, 0);
    assert_true(isnan(c.rows[1].score));
    assert_true(isnan(c.rows[1].survival));
    near(c.rows[1].regret, 2.0 / 3);
    comparison_free(&c);
    add_file(p, &bon);
    compare(&c, p, 0);
    assert_string_equal(c.files[1].path, p->paths[2]);
    assert_int_equal(c.rows[2].reference, 1);
    near(c.rows[2].score, 75);
    near(c.rows[0].score, 100);
    comparison_free(&c);
}

static void check_refused(const char *sets, const char *words)
{
    void *state;
    struct fake_file other = sr;
    setup(&state);
    other.sets = sets;
    add_file(state, &bon);
    add_file(state, &other);
    refused(state, 0, words);
    teardown(&state);
}

static void test_refused(void **state)
{
    check_refused("n=4;sampling.temperature=0.5", "sampling.temperature is '1");
    check_refused("n=4;generator.path=h", "generator.id is 'g'");
    check_refused("n=4;reward.path=self", "reward.id is 'r'");
    check_refused("n=4;dataset.field=text", "dataset.field is 'prompt'");
    check_refused("n=4;overlap=2", "overlap is '1'");
    struct place *p = *state;
    static const struct fake changed[] = {{1, {1, 2, 3, 4}, 0, PROMPT_OK, "another"}};
    static const struct fake away[] = {{99, {1, 2, 3, 4}, 0, PROMPT_OK, NULL}};
    struct fake_file a = sr, b = sr;
    a.name = "a.h5", a.prompts = changed, a.n_prompts = 1;
    b.name = "b.h5", b.prompts = away, b.n_prompts = 1;
    add_file(p, &bon);
    add_file(p, &a);
    refused(p, 0, "row 1 of the dataset is another prompt");
    free(p->paths[--p->n_paths]);
    add_file(p, &b);
    refused(p, 0, "no prompt is ok in all files: prompt 1 in");
    b.n_prompts = 0, b.name = "c.h5";
    add_file(p, &b);
    p->paths[0] = (free(p->paths[0]), p->paths[--p->n_paths]);
    p->paths[1] = (free(p->paths[1]), mem_strdup(p->paths[0]));
    refused(p, 0, "no prompt in it yet");
}

/* ---- averages over seeds ---- */

static const struct fake all_kept[] = {{1, {1, 3, 5, NAN}, 0, PROMPT_OK, NULL},
                                       {2, {0, 4, 0, 4}, 0, PROMPT_OK, NULL},
                                       {7, {2, 2, 2, 2}, 0, PROMPT_OK, NULL}};

/* Best-of-4 and rejection, two seeds each; the second seed's rejection loses nothing. */
static void add_two_seeds(struct place *p)
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

static void test_averages(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    add_two_seeds(p);
    compare(&c, p, 0);
    averages_make(&a, &c);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.missing.n, 0);
    const struct average *x = &a.items[1];
    assert_int_equal(x->first, 2);
    assert_int_equal(x->n_files, 2);
    near(x->score, (75.0 + 100) / 2);
    near(x->kept, (0.5 + 1) / 2);
    near(x->regret, (2.0 / 3 + 0) / 2);
    near(x->survival, (2.0 / 3 + 1) / 2);
    near(x->total[AMOUNT_WALL_S], (6 + 18) / 2.0);
    near(x->relative_compute, (6 + 18) / (24.0 + 48)); /* not the mean of 1/4 and 3/8 */
    assert_int_equal(x->speedup.kind, SPEEDUP_AT_MOST);
    near(x->speedup.value, 3);
    near(a.items[0].speedup.value, 1);
    near(x->compute_interval.low, 1.0 / 3); /* all prompts take as long */
    near(x->compute_interval.high, 1.0 / 3);
    assert_int_equal(x->speedup_low.kind, SPEEDUP_AT_MOST);
    near(x->speedup_high.value, 3);
    averages_free(&a);
    comparison_free(&c);
}

static struct metrics_prompt *numbers(const struct comparison *c, int file)
{
    struct metrics_prompt *m = mem_calloc((size_t)c->n_prompts, sizeof *m);
    for (int64_t i = 0; i < c->n_prompts; i++)
        m[i] = source_find(&c->files[file], c->prompt_index[i])->numbers;
    return m;
}

/* The same resamples by hand: every prompt with both its seeds. */
static void test_resamples(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    int32_t times[3];
    double *mean = mem_calloc(COMPARE_RESAMPLES, sizeof *mean);
    add_two_seeds(p);
    compare(&c, p, 0);
    averages_make(&a, &c);
    struct metrics_prompt *file[4];
    for (int f = 0; f < 4; f++) file[f] = numbers(&c, f);
    for (uint32_t b = 0; b < COMPARE_RESAMPLES; b++) {
        metrics_resample(20541, b, times, 3);
        mean[b] = (metrics_improvement_score(file[0], file[2], 3, times) +
                   metrics_improvement_score(file[1], file[3], 3, times)) /
                  2;
    }
    struct interval want = metrics_interval(mean, COMPARE_RESAMPLES);
    near(a.items[1].score_interval.low, want.low);
    near(a.items[1].score_interval.high, want.high);
    assert_true(want.low < want.high);
    for (int f = 0; f < 4; f++) free(file[f]);
    averages_free(&a);
    comparison_free(&c);
    free(mean);
}

/* A speedup's limits are bounds where too many resamples lie beyond the curve: here Best-of-2 is as
 * good as rejection on two of three prompts. */
static void test_speedup_limits(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    struct fake_file half = bon;
    half.name = "half.h5", half.sets = "method=best_of_n;n=2", half.n = 2, half.wall_s = 4;
    add_file(p, &half);
    add_file(p, &bon);
    add_file(p, &sr);
    compare(&c, p, 4);
    averages_make(&a, &c);
    assert_int_equal(a.n, 3);
    const struct average *x = &a.items[2];
    near(x->speedup.value, 2); /* Best-of-2's score for half of its time */
    assert_int_equal(x->speedup_low.kind, SPEEDUP_EQUAL);
    near(x->speedup_low.value, 2);
    near(x->speedup_high.value, 2);
    near(x->score_interval.low, c.rows[2].score_interval.low);
    near(x->score_interval.high, c.rows[2].score_interval.high);
    averages_free(&a);
    comparison_free(&c);
}

static void test_missing(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    struct fake_file b = sr, d = sr, other = sr;
    b.name = "b.h5", b.sets = "n=4;alpha=0.25;seed=9";
    d.name = "d.h5", d.sets = "n=4;alpha=0.5";
    other.name = "other.h5", other.sets = "n=4;alpha=0.5;budget_tokens=4096";
    add_file(p, &bon);
    add_file(p, &b);
    add_file(p, &d);
    compare(&c, p, 0);
    averages_make(&a, &c);
    static const char *const want[] = {
        "best_of_n, N 4, seed 9", "speculative_rejection, N 4, alpha 0.25, rounds memory, seed 0",
        "speculative_rejection, N 4, alpha 0.5, rounds memory, seed 9"};
    char text[4 * CELL];
    assert_int_equal(a.missing.n, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(averages_missing_text(text, &c, &a.missing.items[i]), want[i]);
    averages_free(&a);
    comparison_free(&c);
    /* What differs in more than the seed is no repetition, and the table says in what. */
    add_file(p, &other);
    compare(&c, p, 0);
    averages_make(&a, &c);
    assert_int_equal(a.n, 4);
    const struct entry *one = averages_differ(&c, 2, 3);
    assert_non_null(one);
    assert_string_equal(one->key, "budget_tokens");
    assert_null(averages_differ(&c, 0, 3));
    averages_free(&a);
    comparison_free(&c);
}

/* What a point says of the files that are beside it. */
static void test_replayed_beside_runs(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    struct fake_file runs[4] = {bon, sr, bon, sr};
    static const char *const names[] = {"a.h5", "b.h5", "c.h5", "d.h5"};
    for (int i = 0; i < 4; i++) {
        runs[i].name = names[i];
        if (i > 1) runs[i].sets = i == 2 ? "method=best_of_n;n=4;seed=9" : "n=4;alpha=0.5;seed=9";
    }
    for (int i = 0; i < 3; i++) add_file(p, &runs[i]); /* the rejecting one lacks seed 9 */
    struct source *s = mem_calloc(4, sizeof *s);
    struct err e;
    for (int i = 0; i < 4; i++)
        if (source_read(&s[i], p->paths[i < 3 ? i : 1], &e) < 0) fail_msg("%s", e.text);
    source_set_replayed(&s[3], false); /* the rejecting one, as a replay */
    assert_int_equal(comparison_of(&c, s, 4, 0, &e), 0);
    averages_make(&a, &c);
    assert_int_equal(a.n, 3);
    assert_int_equal(a.missing.n, 1);
    if (forms_write(&c, &a, &(struct figures){0}, p->folder, &e) < 0) fail_msg("%s", e.text);
    size_t n;
    int found = 0;
    char *csv = temp_read(p->folder, "report.csv", &n), *rest = csv;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (strncmp(line, "speculative_rejection,", 22) == 0) {
            assert_true(strlen(line) > 8 && strcmp(line + strlen(line) - 8, ",9,12.0\r") == 0);
            found++;
        } else if (strstr(line, "replayed")) {
            assert_true(strcmp(line + strlen(line) - 7, ",,12.0\r") == 0); /* none is missing */
            found++;
        }
    }
    assert_int_equal(found, 2);
    free(csv);
    averages_free(&a);
    comparison_free(&c);
}

/* ---- printed forms ---- */

static char *printed(const struct place *p, bool json)
{
    char *text = NULL;
    size_t n = 0;
    struct err e = {0};
    struct report_options o = {.json = json};
    FILE *out = open_memstream(&text, &n);
    if (report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    return text;
}

static void test_table(void **state)
{
    struct place *p = *state;
    struct fake_file other = sr;
    other.name = "other.h5", other.fingerprint = "g";
    add_file(p, &bon);
    add_file(p, &sr);
    add_file(p, &other);
    char *text = printed(p, false);
    static const char *const words[] = {"speculative_rejection",
                                        "unpaired",
                                        "3 compared, 3 left out",
                                        "75.0",
                                        "50.0 %",
                                        "<= 4.00 x",
                                        "prompt 3: file 2",
                                        "specrej inspect /",
                                        "same reward"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(text, words[i])) fail_msg("'%s' is not in\n%s", words[i], text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (!strstr(line, p->folder)) assert_in_range(strlen(line), 0, 100);
    free(text);
}

/* Best-of-N files of one curve that differ in more than N: said, with the key. */
static void test_mixed_curve(void **state)
{
    struct place *p = *state;
    struct fake_file half = bon;
    half.name = "half.h5", half.sets = "method=best_of_n;n=2;budget_tokens=4096", half.n = 2;
    add_file(p, &half);
    add_file(p, &bon);
    char *text = printed(p, false);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    assert_non_null(strstr(text, "not of one curve with file 1: budget_tokens is '4096' there,"));
    free(text);
}

/* Times that are parts of shared time are called so. */
static void test_overlap_is_noted(void **state)
{
    struct place *p = *state;
    struct fake_file one = bon, other = sr;
    one.sets = "method=best_of_n;n=4;overlap=3";
    other.sets = "n=4;overlap=3";
    add_file(p, &one);
    add_file(p, &other);
    char *text = printed(p, false);
    const char *note = strstr(text, "overlap 3: a prompt's time is its part");
    if (!note || !strstr(note + 1, "overlap 3: a prompt's")) fail_msg("no such notes in\n%s", text);
    free(text);
}

static void test_json(void **state)
{
    struct place *p = *state;
    struct fake_file alone = sr;
    add_file(p, &alone);
    char *text = printed(p, true);
    json_t *o = json_loads(text, 0, NULL), *file, *speedup;
    assert_non_null(o);
    file = json_array_get(json_object_get(o, "files"), 0);
    speedup = json_object_get(file, "speedup");
    assert_true(json_is_null(json_object_get(o, "reference_n")));
    assert_true(json_is_null(json_object_get(file, "improvement_score")));
    assert_true(json_is_null(json_object_get(file, "partner")));
    assert_string_equal(json_string_value(json_object_get(speedup, "kind")), "none");
    assert_int_equal(json_array_size(json_object_get(o, "prompts_compared")), 4);
    assert_int_equal(json_array_size(json_object_get(o, "prompts_left_out")), 1);
    json_decref(o);
    free(text);
}

static json_t *reported(const char *const *paths, int n, const char *folder)
{
    char *text = NULL;
    size_t size = 0;
    struct err e = {0};
    struct report_options o = {.json = true, .folder = folder};
    FILE *out = open_memstream(&text, &size);
    if (report(paths, n, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

/* Files of two pairs of models, mixed: each pair is reported as if alone, in a folder of its own.
 */
static void test_groups(void **state)
{
    struct place *p = *state;
    struct fake_file b = bon, s = sr;
    b.name = "other-bon.h5", b.sets = "method=best_of_n;n=4;generator.path=h";
    s.name = "other-sr.h5", s.sets = "n=4;generator.path=h";
    add_file(p, &bon);
    add_file(p, &b);
    add_file(p, &sr);
    add_file(p, &s);
    json_t *all = reported((const char *const *)p->paths, 4, p->folder),
           *groups = json_object_get(all, "groups");
    assert_string_equal(json_string_value(json_object_get(all, "kind")), "reports");
    assert_int_equal(json_array_size(groups), 2);
    for (size_t g = 0; g < 2; g++) {
        char folder[4096], inside[4096];
        snprintf(folder, sizeof folder, "%s/alone", p->folder);
        snprintf(inside, sizeof inside, "%s/%zu", p->folder, g + 1);
        const char *const own[] = {p->paths[g], p->paths[g + 2]};
        json_t *alone = reported(own, 2, folder);
        assert_true(json_equal(alone, json_array_get(groups, g)));
        size_t n, m;
        char *x = temp_read(folder, "report.csv", &n), *y = temp_read(inside, "report.csv", &m);
        assert_string_equal(x, y);
        free(x);
        free(y);
        json_decref(alone);
    }
    size_t n;
    char *page = temp_read(p->folder, "report.html", &n);
    assert_non_null(strstr(page, "<a href=\"2/report.html\">"));
    free(page);
    json_decref(all);
    /* One curve is of one way of sampling. */
    struct err e = {0};
    struct report_options o = {0};
    s.name = "hot.h5", s.sets = "n=4;generator.path=h;sampling.temperature=2";
    add_file(p, &s);
    assert_int_equal(report((const char *const *)p->paths, 5, &o, stdout, &e), -1);
    assert_non_null(strstr(e.text, "sampling.temperature is '1"));
}

/* The same point and seed twice is told; a path with backticks stays one piece of code. */
static void test_repetition(void **state)
{
    struct place *p = *state;
    struct fake_file again = bon;
    again.name = "a`g``ain.h5";
    add_file(p, &bon);
    add_file(p, &again);
    json_decref(reported((const char *const *)p->paths, 2, p->folder));
    size_t n;
    char *md = temp_read(p->folder, "report.md", &n);
    for (char *c = md; *c; c++)
        if (*c == '\n') *c = ' ';
    assert_non_null(strstr(md, "the same point and seed as file 1"));
    assert_non_null(strstr(md, "/a`g``ain.h5 ``` "));
    assert_non_null(strstr(md, ". ``` /"));
    free(md);
}

/* Bytes of a path or a reason that are no UTF-8 become U+FFFD. */
static void test_no_utf8(void **state)
{
    struct place *p = *state;
    struct fake_file b = bon;
    b.name = "caf\xe9.h5";
    add_file(p, &b);
    json_t *j = reported((const char *const *)p->paths, 1, p->folder);
    const char *path =
        json_string_value(json_object_get(json_array_get(json_object_get(j, "files"), 0), "path"));
    assert_non_null(strstr(path, "caf\xef\xbf\xbd.h5"));
    json_decref(j);
}

/* Every form has every point; the numbers of csv are those of the averages. */
static void test_forms(void **state)
{
    struct place *p = *state;
    char *text = NULL;
    size_t n = 0;
    struct err e = {0};
    struct report_options o = {.json = true, .folder = p->folder};
    add_two_seeds(p);
    FILE *out = open_memstream(&text, &n);
    if (report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    free(text);
    char *csv = temp_read(p->folder, "report.csv", &n), *md = temp_read(p->folder, "report.md", &n),
         *tex = temp_read(p->folder, "report.tex", &n);
    assert_non_null(strstr(csv, "method,n,alpha,rounds,seeds,prompts,best_reward,improvement_score,"
                                "improvement_score_low,improvement_score_high,"));
    assert_non_null(strstr(csv, "\r\nbest_of_n,4,,,0 9,3,"));
    const char *row = strstr(csv, "\r\nspeculative_rejection,4,0.5,memory,0 9,3,3.333333");
    assert_non_null(row);
    assert_non_null(strstr(row, ",87.5,"));
    const char *head_end = strstr(csv, "\r\n"), *row_end = strstr(row + 2, "\r\n");
    assert_memory_equal(head_end - 23, ",missing_seeds,energy_j", 23);
    assert_memory_equal(row_end - 6, ",,24.0", 6); /* three prompts of 2 and of 6 s, 2 W */
    assert_non_null(strstr(row, ",at_most,"));
    assert_non_null(
        strstr(md, "| speculative\\_rejection | 4 | 0.5 | memory | 2 | 3.3333 | 87.5 ("));
    assert_non_null(strstr(md, "2. `"));
    assert_non_null(
        strstr(tex, "\nspeculative\\_rejection & 4 & 0.5 & memory & 2 & 3.3333 & 87.5 ("));
    assert_non_null(strstr(tex, "$\\leq$3.00$\\times$ ($\\leq$3.00 to 3.00) \\\\\n"));
    free(csv);
    free(md);
    free(tex);
    char *gp = temp_read(p->folder, "improvement.gp", &n);
    assert_non_null(strstr(gp, "\n1 100 1 1 100 100 4\nEND\n$series2 << END\n0.333333333 87.5 "));
    assert_non_null(strstr(gp, "title 'Speculative Rejection, N 4, by alpha'"));
    free(gp);
    if (system("command -v gnuplot >/dev/null") == 0) {
        char *svg = temp_read(p->folder, "improvement.svg", &n);
        assert_non_null(strstr(svg, "<svg"));
        assert_non_null(strstr(svg, "relative compute (Best-of-4 = 1)"));
        assert_non_null(strstr(svg, "</svg>"));
        free(svg);
    }
    o.folder = p->paths[0]; /* a file */
    out = open_memstream(&text, &n);
    assert_true(report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0);
    fclose(out);
    assert_int_equal(n, 0);
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_numbers),          TEST(test_left_out),   TEST(test_one_prompt),
        TEST(test_baselines),        TEST(test_unpaired),   TEST(test_only_answers),
        TEST(test_refused),          TEST(test_averages),   TEST(test_resamples),
        TEST(test_speedup_limits),   TEST(test_missing),    TEST(test_table),
        TEST(test_mixed_curve),      TEST(test_json),       TEST(test_forms),
        TEST(test_overlap_is_noted), TEST(test_groups),     TEST(test_replayed_beside_runs),
        TEST(test_no_utf8),          TEST(test_repetition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
