/* What --reference takes and refuses, and every number that follows from it, counted by hand:
 * static batching, Speculative Rejection and another N as the point that others are held against.
 */
#include "report/averages.h"
#include "report/baseline.h"
#include "report/reference.h"
#include "report_files.h"

/* ---- the text ---- */

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum method method;
        int64_t n;
        size_t n_keys;
        const char *last; /* value of the last key */
    } cases[] = {
        {"120", METHOD_BEST_OF_N, 120, 0, NULL},
        {"best_of_n:auto", METHOD_BEST_OF_N, 0, 0, NULL},
        {"static:4", METHOD_BEST_OF_N, 4, 0, NULL},
        {" best_of_n, static : 4 ", METHOD_BEST_OF_N, 4, 0, NULL},
        {"7,budget_tokens=4096", METHOD_BEST_OF_N, 7, 1, "4096"},
        {"7,dataset.path=a:b", METHOD_BEST_OF_N, 7, 1, "a:b"},
        {"paper_code_2024:4", METHOD_SPECULATIVE_REJECTION, 4, 0, NULL},
        {"speculative_rejection:960,alpha=.5", METHOD_SPECULATIVE_REJECTION, 960, 1, ".5"},
        {"speculative_rejection:4,rounds=at 16, 32,alpha=0.5,rounds=at 8,16", //
         METHOD_SPECULATIVE_REJECTION, 4, 3, "at 8, 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reference r;
        struct err e;
        if (reference_parse(&r, cases[i].text, &e) < 0) fail_msg("%s", e.text);
        assert_int_equal(r.method, cases[i].method);
        assert_int_equal(r.n, cases[i].n);
        assert_int_equal(r.keys.n, cases[i].n_keys);
        if (cases[i].last) assert_string_equal(r.keys.items[r.keys.n - 1].text, cases[i].last);
        reference_free(&r);
    }
}

static void test_bad_text(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "N is a whole number"},
        {"0", "N is a whole number"},
        {"-4", "N is a whole number"},
        {"static", "N is a whole number"},
        {"best_of_n:", "N is a whole number"},
        {"best-of-n:4", "'best-of-n' is no method"},
        {"best_of_n,dynamic:4", "'dynamic' is no method"},
        {"4,alpha=0.5", "Best-of-N has no alpha"},
        {"speculative_rejection:4,alpha=half", "alpha is no number"},
        {"speculative_rejection:4,rounds=often", "rounds are memory"},
        {"4,seed=1", "of its own seed"},
        {"4,n=8", "stand in front"},
        {"4,static", "behind the N stands KEY=VALUE"},
        {"4,", "behind the N stands KEY=VALUE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reference r;
        struct err e = {0};
        if (reference_parse(&r, cases[i][0], &e) == 0) fail_msg("'%s' is taken", cases[i][0]);
        if (!strstr(e.text, cases[i][1])) fail_msg("'%s' is not in '%s'", cases[i][1], e.text);
        reference_free(&r);
    }
}

/* ---- the numbers ---- */

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
    compare(&c, p, NULL);
    assert_int_equal(c.reference, BON);
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
    compare(&c, p, "2");
    assert_int_equal(c.reference, HALF);
    assert_int_equal(c.rows[SR].reference, HALF);
    assert_int_equal(c.rows[SR].partner, BON);
    near(c.rows[BON].score, 100 * (1 + ((5.0 - 3) / 2 + 0) / 2));
    comparison_free(&c);
    refused(p, "120",
            "none of these files is what --reference '120' asks for; there is best_of_n:2; "
            "best_of_n:4; ");
}

/* The files: Best-of-2 and Best-of-4 of both batchings, and rejection. */
enum { BON2, STATIC2, BON4, STATIC4, REJECT2, REJECT4, FILES };

static const struct fake two_kept[] = {{1, {1, 3}, 0, PROMPT_OK, NULL},
                                       {2, {0, 4}, 0, PROMPT_OK, NULL},
                                       {7, {2, 2}, 0, PROMPT_OK, NULL}};

static void add_all(struct place *p, int at[FILES])
{
    struct fake_file f[FILES] = {bon, bon, bon, bon, sr, sr};
    static const char *const sets[FILES] = {"method=best_of_n;n=2",
                                            "method=best_of_n;n=2;batching=static",
                                            "method=best_of_n;n=4",
                                            "method=best_of_n;n=4;batching=static",
                                            "n=2",
                                            "n=4"};
    static const double wall_s[FILES] = {4, 6, 8, 12, 1, 2};
    static const char *const names[FILES] = {"a.h5", "b.h5", "c.h5", "d.h5", "e.h5", "f.h5"};
    for (int i = 0; i < FILES; i++) {
        f[i].name = names[i], f[i].sets = sets[i], f[i].wall_s = wall_s[i];
        f[i].n = i == BON4 || i == STATIC4 || i == REJECT4 ? 4 : 2;
        if (i == REJECT2) f[i].prompts = two_kept, f[i].n_prompts = 3;
        add_file(p, &f[i]);
    }
    struct comparison c;
    compare(&c, p, NULL);
    for (int i = 0; i < FILES; i++)
        for (int k = 0; k < FILES; k++)
            if (strcmp(c.files[i].path, p->paths[k]) == 0) at[k] = i;
    comparison_free(&c);
}

/* A point of one seed has its file's speedup. */
static void check_points(const struct comparison *c)
{
    struct averages a;
    averages_make(&a, c);
    for (int i = 0; i < a.n; i++) {
        const struct compare_row *row = &c->rows[a.items[i].first];
        assert_int_equal(a.items[i].n_files, 1);
        assert_int_equal(a.items[i].speedup.kind, row->speedup.kind);
        near(a.items[i].speedup.value, row->speedup.value);
        near(a.items[i].score, row->score);
    }
    averages_free(&a);
}

/* Rewards are those of continuous batching; what is held against it costs half as much again. */
static void test_static(void **state)
{
    struct place *p = *state;
    struct comparison c;
    int at[FILES];
    char name[BASELINE_NAME];
    add_all(p, at);
    static const char *const same[] = {"static:4", "best_of_n, static:4", "4,batching=static"};
    for (int i = 0; i < 3; i++) {
        compare(&c, p, same[i]);
        const struct compare_row *sr4 = &c.rows[at[REJECT4]], *full = &c.rows[at[BON4]];
        assert_int_equal(c.reference, at[STATIC4]);
        assert_string_equal(baseline_name(name, &c), "static Best-of-4");
        assert_string_equal(baseline_curve_name(name, &c), "static Best-of-N");
        assert_int_equal(sr4->reference, at[STATIC4]);
        assert_int_equal(sr4->partner, at[STATIC4]);
        assert_int_equal(c.rows[at[BON2]].partner, at[STATIC2]);
        near(sr4->score, 75);
        near(sr4->relative_compute, 12.0 / 72);
        near(sr4->partner_share[AMOUNT_WALL_S], 6.0 / 36);
        near(sr4->kept, 0.5);
        near(sr4->survival, 2.0 / 3);
        near(sr4->speedup.value, 36.0 / 12); /* static Best-of-2 has its score */
        near(full->score, 100);
        near(full->relative_compute, 48.0 / 72);
        near(full->speedup.value, 72.0 / 48);
        near(c.rows[at[STATIC4]].speedup.value, 1);
        check_points(&c);
        comparison_free(&c);
    }
    compare(&c, p, "4"); /* continuous is the stronger */
    assert_int_equal(c.reference, at[BON4]);
    assert_string_equal(baseline_name(name, &c), "Best-of-4");
    near(c.rows[at[REJECT4]].relative_compute, 12.0 / 48);
    near(c.rows[at[REJECT4]].speedup.value, 24.0 / 12);
    near(c.rows[at[STATIC4]].relative_compute, 72.0 / 48);
    comparison_free(&c);
}

static void test_rejection(void **state)
{
    struct place *p = *state;
    struct comparison c;
    int at[FILES];
    char name[BASELINE_NAME];
    add_all(p, at);
    compare(&c, p, "speculative_rejection:4");
    const struct compare_row *sr2 = &c.rows[at[REJECT2]], *sr4 = &c.rows[at[REJECT4]],
                             *full = &c.rows[at[BON4]];
    assert_string_equal(baseline_name(name, &c),
                        "Speculative Rejection, N 4, alpha 0.5, rounds memory");
    assert_int_equal(full->reference, at[REJECT4]);
    assert_int_equal(full->partner, at[REJECT4]);
    assert_int_equal(c.rows[at[BON2]].partner, at[REJECT2]);
    /* (5 - 3) / (3 - 1) and 0: its worst is the worst that came to its end; 7 has no spread */
    near(full->score, 100 * (1 + (1.0 + 0) / 2));
    assert_int_equal(full->without_spread, 1);
    near(full->relative_compute, 48.0 / 12);
    near(full->survival, 1);
    near(full->regret, -2.0 / 3);
    assert_true(isnan(full->kept)); /* no single sample */
    assert_true(isnan(full->kept_interval.low));
    /* Along rejection of 2 and of 4, which both have 100: nothing reaches Best-of-4. */
    assert_int_equal(full->speedup.kind, SPEEDUP_AT_LEAST);
    near(full->speedup.value, 12.0 / 48);
    near(sr4->score, 100);
    near(sr4->relative_compute, 1);
    near(sr4->speedup.value, 6.0 / 12);
    near(sr2->score, 100);
    near(sr2->speedup.value, 1);
    assert_int_equal(c.rows[at[BON2]].speedup.kind, SPEEDUP_EQUAL);
    near(c.rows[at[BON2]].speedup.value, 6.0 / 24);
    check_points(&c);
    comparison_free(&c);
}

/* ---- which point ---- */

static void add_rejection(struct place *p, const char *name, const char *sets)
{
    struct fake_file f = sr;
    f.name = name, f.sets = sets;
    add_file(p, &f);
}

static void test_several(void **state)
{
    struct place *p = *state;
    struct comparison c;
    add_file(p, &bon);
    add_rejection(p, "a.h5", "n=4;alpha=0.25");
    add_rejection(p, "b.h5", "n=4;alpha=0.5");
    add_rejection(p, "c.h5", "n=4;alpha=0.5;rounds=every 32");
    add_rejection(p, "d.h5", "n=4;alpha=0.5;rounds=every 32;budget_tokens=4096");
    add_rejection(p, "e.h5", "n=4;alpha=0.5;rounds=at 16, 32");
    add_rejection(p, "f.h5", "n=4;alpha=0.5;rounds=every 32;seed=9"); /* of the same point */
#define SR4 "speculative_rejection:4"
    refused(p, SR4, "asks for; it needs one of alpha=0.25; alpha=0.5");
    refused(p, SR4 ",alpha=0.5",
            "it needs one of 'rounds=at 16, 32'; 'rounds=every 32'; rounds=memory");
    refused(p, SR4 ",alpha=0.5,rounds=every 32", "it needs one of budget_tokens=");
    refused(p, SR4 ",alpha=0.75", "none of these files is what");
    refused(p, "static:4",
            "there is best_of_n:4; " SR4 ",alpha=0.25,rounds=memory; '" SR4
            ",alpha=0.5,rounds=at 16, 32'; '" SR4 ",alpha=0.5,rounds=every 32'; ");
    refused(p, "4,alfa=0.5", "none of these files is what");
    static const char *const one[][2] = {
        {SR4 ",alpha=.25", "a.h5"},
        {SR4 ",alpha=0.5,rounds=memory", "b.h5"},
        {SR4 ",alpha=0.5,rounds=every 32,budget_tokens=4096", "d.h5"},
        {SR4 ",rounds=at 16,32,alpha=0.5", "e.h5"},
        {"best_of_n:4", "bon.h5"},
    };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        compare(&c, p, one[i][0]);
        assert_non_null(strstr(c.files[c.reference].path, one[i][1]));
        comparison_free(&c);
    }
}

/* What a point is called is what --reference takes. */
static void test_own_text(void **state)
{
    struct place *p = *state;
    struct fake_file b = bon, scored = bon;
    b.name = "static.h5", b.sets = "method=best_of_n;n=4;batching=static";
    scored.name = "scored.h5", scored.sets = "method=best_of_n;n=4;score_at=pages";
    add_file(p, &bon);
    add_file(p, &b);
    add_file(p, &scored);
    add_rejection(p, "a.h5", "n=4;alpha=0.1");
    add_rejection(p, "b.h5", "n=4;alpha=0.5;rounds=at 16, 32");
    add_rejection(p, "c.h5", "n=4;alpha=0.5;rounds=at 16, 32;compat=paper_code_2024");
    char *paths[6], *texts[6];
    struct comparison c;
    compare(&c, p, NULL);
    for (int f = 0; f < 6; f++) {
        paths[f] = mem_strdup(c.files[f].path);
        texts[f] = reference_text(&c.files[f]);
    }
    comparison_free(&c);
    for (int f = 0; f < 6; f++) {
        bool both = strcmp(texts[f], SR4 ",alpha=0.5,rounds=at 16, 32") == 0; /* compat or not */
        char *text = mem_printf("%s%s", texts[f], both ? ",compat=off" : "");
        compare(&c, p, text);
        assert_string_equal(c.files[c.reference].path, paths[f]);
        comparison_free(&c);
        free(text);
        free(texts[f]);
        free(paths[f]);
    }
}

/* A replay of another alpha makes a run's no less one of two; a replay of its own makes it no two.
 */
static void test_run_and_replay(void **state)
{
    struct place *p = *state;
    struct comparison c;
    struct reference r;
    struct err e;
    add_file(p, &bon);
    add_rejection(p, "a.h5", "n=4;alpha=0.25;budget_tokens=4096");
    add_rejection(p, "b.h5", "n=4;alpha=0.5");
    add_rejection(p, "c.h5", "n=4;alpha=0.25");
    for (int with = 1; with < 3; with++) {
        static const int files[3][3] = {{0}, {0, 1, 2}, {0, 1, 3}};
        struct source *s = mem_calloc(3, sizeof *s);
        for (int i = 0; i < 3; i++)
            if (source_read(&s[i], p->paths[files[with][i]], &e) < 0) fail_msg("%s", e.text);
        source_set_replayed(&s[2], false);
        assert_int_equal(reference_parse(&r, SR4, &e), 0);
        int rc = comparison_of(&c, s, 3, &r, &e);
        assert_int_equal(rc, with == 1 ? -1 : 0);
        if (rc < 0)
            assert_non_null(strstr(e.text, "alpha=0.25; alpha=0.5"));
        else
            assert_string_equal(c.files[c.reference].path, p->paths[1]);
        comparison_free(&c);
        reference_free(&r);
    }
}

/* A file is held against that of its own seed; where there is none, the lowest one's. */
static void test_seeds(void **state)
{
    struct place *p = *state;
    struct comparison c;
    add_two_seeds(p);
    compare(&c, p, SR4);
    enum { BON, BON9, REJECT, REJECT9 };
    assert_int_equal(c.rows[BON].reference, REJECT);
    assert_int_equal(c.rows[BON9].reference, REJECT9);
    assert_int_equal(c.rows[BON9].partner, REJECT9);
    near(c.rows[BON9].relative_compute, 16.0 / 6);
    near(c.rows[BON9].score, 100); /* that seed's rejection lost nothing */
    comparison_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bad_text),
        TEST(test_baselines),
        TEST(test_static),
        TEST(test_rejection),
        TEST(test_several),
        TEST(test_own_text),
        TEST(test_run_and_replay),
        TEST(test_seeds),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    reference_free(&asked);
    return rc;
}
