/* A comparison of small made-up result files: which prompts are compared, its numbers, and what is
 * refused with which words. */
#include "report_files.h"

static void test_numbers(void **state)
{
    struct place *p = *state;
    struct comparison c;
    add_file(p, &bon);
    add_file(p, &sr);
    compare(&c, p, NULL);
    assert_int_equal(c.reference, 0);
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
    compare(&c, p, NULL);
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
    compare(&c, p, NULL);
    assert_int_equal(c.n_prompts, 1);
    assert_true(isnan(c.rows[1].score));
    assert_true(isnan(c.rows[1].score_interval.low));
    assert_true(isnan(c.rows[1].kept));
    near(c.rows[1].survival, 1);
    near(c.rows[1].regret, 0);
    assert_int_equal(c.rows[1].speedup.kind, SPEEDUP_NONE);
    comparison_free(&c);
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
    compare(&c, p, NULL);
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
    compare(&c, p, NULL);
    assert_true(isnan(c.rows[1].score));
    assert_true(isnan(c.rows[1].survival));
    near(c.rows[1].regret, 2.0 / 3);
    comparison_free(&c);
    add_file(p, &bon);
    compare(&c, p, NULL);
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
    refused(state, NULL, words);
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
    refused(p, NULL, "row 1 of the dataset is another prompt");
    free(p->paths[--p->n_paths]);
    add_file(p, &b);
    refused(p, NULL, "no prompt is ok in all files: prompt 1 in");
    b.n_prompts = 0, b.name = "c.h5";
    add_file(p, &b);
    p->paths[0] = (free(p->paths[0]), p->paths[--p->n_paths]);
    p->paths[1] = (free(p->paths[1]), mem_strdup(p->paths[0]));
    refused(p, NULL, "no prompt in it yet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_numbers),  TEST(test_left_out),     TEST(test_one_prompt),
        TEST(test_unpaired), TEST(test_only_answers), TEST(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
