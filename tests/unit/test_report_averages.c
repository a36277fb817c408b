/* Points of a sweep: means over seeds, intervals over prompts, and points that are missing. */
#include "report/averages.h"
#include "report/forms.h"
#include "report_files.h"

static void test_averages(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct averages a;
    add_two_seeds(p);
    compare(&c, p, NULL);
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
    compare(&c, p, NULL);
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
    compare(&c, p, "4");
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
    compare(&c, p, NULL);
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
    compare(&c, p, NULL);
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
    assert_int_equal(comparison_of(&c, s, 4, NULL, &e), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_averages),
        TEST(test_resamples),
        TEST(test_speedup_limits),
        TEST(test_missing),
        TEST(test_replayed_beside_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
