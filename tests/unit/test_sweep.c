/* Sweeps: the product and its order, points that cannot differ, stable ids, what is refused. */
#include "base/mem.h"
#include "job/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUIRED "generator: {path: g}\nreward: {path: r}\ndataset: {path: d.jsonl}\n"

static char path[] = "/tmp/test_sweep_XXXXXX";

static int open_text(struct sweep *s, const char *text, const char *const *sets, int n_sets,
                     struct err *e)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return sweep_open(s, path, sets, n_sets, e);
}

static void must_open(struct sweep *s, const char *text, const char *set)
{
    struct err e = {0};
    if (open_text(s, text, &set, set ? 1 : 0, &e) < 0) fail_msg("%s", e.text);
}

static void point_id(const struct sweep *s, int64_t i, char id[HASH_HEX])
{
    job_point_id(&s->points[i], id);
}

static void test_one_point(void **state)
{
    (void)state;
    struct sweep s;
    must_open(&s, REQUIRED "output: fixed.h5\n", NULL);
    assert_int_equal(s.n_points, 1);
    sweep_free(&s);
    must_open(&s, REQUIRED "output: fixed.h5\nsweep: {seed: [4]}\n",
              NULL); /* one point needs no %p */
    assert_int_equal(s.n_points, 1);
    assert_int_equal(s.points[0].seed, 4);
    sweep_free(&s);
    must_open(&s, REQUIRED "output: fixed.h5\nsweep: {}\n", NULL);
    assert_int_equal(s.n_points, 1);
    sweep_free(&s);
}

static void test_product_and_order(void **state)
{
    (void)state;
    struct sweep s;
    must_open(&s, REQUIRED "sweep: {n: [8, 4], seed: [0, 1, 2]}\n", NULL);
    assert_int_equal(s.n_points, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(s.points[i].n, i < 3 ? 8 : 4);
        assert_int_equal(s.points[i].seed, i % 3);
    }
    sweep_free(&s);
}

static void test_any_key(void **state)
{
    (void)state;
    struct sweep s;
    must_open(&s,
              REQUIRED "sweep:\n  generator.path: [a, $MODELS/b]\n  \"sampling.top_k\": [0, 50]\n  "
                       "sampling: {top_p: [0.5, 1]}\n"
                       "  rounds: [memory, every 8, \"at 4, 8\"]\n  dataset.path: [x.txt]\n",
              NULL);
    assert_int_equal(s.n_points, 2 * 2 * 2 * 3);
    assert_string_equal(s.points[0].generator.path, "/tmp/a");
    assert_string_equal(s.points[12].generator.path, "/models/b");
    assert_string_equal(s.points[12].generator.id, "$MODELS/b");
    assert_int_equal(s.points[23].rounds.n_at, 2);
    assert_true(s.points[23].sampling.top_p == 1);
    assert_string_equal(s.points[23].dataset.path, "/tmp/x.txt");
    sweep_free(&s);
    /* an id that belongs to the path of the base does not stay with another path */
    must_open(&s,
              "generator: {path: g, id: mine}\nreward: {path: r}\ndataset: {path: d}\nsweep: "
              "{generator.path: [a, b]}\n",
              NULL);
    assert_int_equal(s.n_points, 2);
    assert_string_equal(s.points[0].generator.id, "a");
    sweep_free(&s);
    /* the path may be given by the sweep alone */
    must_open(&s, "reward: {path: r}\ndataset: {path: d}\nsweep: {generator.path: [a, b]}\n", NULL);
    assert_int_equal(s.n_points, 2);
    sweep_free(&s);
}

static void test_merging(void **state)
{
    (void)state;
    static const struct {
        const char *sweep;
        int64_t n_points;
    } cases[] = {
        {"{method: [best_of_n, speculative_rejection], n: [120, 960], alpha: [0.3, 0.5, 0.7], "
         "seed: [0, 1, 2]}",
         2 * 3 + 2 * 3 * 3},
        {"{method: [best_of_n], alpha: [0.1, 0.2]}", 1},
        {"{method: [best_of_n], rounds: [memory, every 8]}", 1},
        {"{method: [speculative_rejection], score_at: [\"off\", doubling]}", 1},
        {"{method: [speculative_rejection], batching: [continuous, static]}", 1},
        {"{method: [best_of_n, speculative_rejection], batching: [continuous, static]}", 3},
        {"{alpha: [0, 0.5], rounds: [memory, every 8, every 16]}", 4},
        {"{alpha: [0.5, 0.50, .5, 5e-1]}", 1},
        {"{seed: [1, 2, 1]}", 2},
        {"{n: [auto, 64], n_max: [64, 128]}", 3},
        {"{reward.path: [self, r], reward.cache: [none, prompt, device]}", 4},
        {"{method: [best_of_n, speculative_rejection], compat: [\"off\", paper_code_2024]}", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep s;
        char *text = mem_printf("%ssweep: %s\n", REQUIRED, cases[i].sweep);
        must_open(&s, text, NULL);
        if (s.n_points != cases[i].n_points)
            fail_msg("%s: %lld points", cases[i].sweep, (long long)s.n_points);
        for (int64_t a = 0; a < s.n_points; a++) {
            char id[HASH_HEX], other[HASH_HEX];
            point_id(&s, a, id);
            assert_ptr_equal(sweep_find(&s, id), &s.points[a]);
            for (int64_t b = 0; b < a; b++) {
                point_id(&s, b, other);
                assert_string_not_equal(id, other);
            }
        }
        free(text);
        sweep_free(&s);
    }
}

/* A sweep over methods may carry compat for the points that it concerns. */
static void test_compat_in_a_sweep(void **state)
{
    (void)state;
    struct sweep s;
    must_open(&s,
              REQUIRED
              "compat: paper_code_2024\nsweep: {method: [best_of_n, speculative_rejection]}\n",
              NULL);
    assert_int_equal(s.n_points, 2);
    assert_int_equal(s.points[0].compat, COMPAT_OFF);
    assert_int_equal(s.points[1].compat, COMPAT_PAPER_CODE_2024);
    sweep_free(&s);
}

static void assert_same_ids(const char *a, const char *b, const char *set_b)
{
    struct sweep sa, sb;
    must_open(&sa, a, NULL);
    must_open(&sb, b, set_b);
    assert_int_equal(sa.n_points, sb.n_points);
    for (int64_t i = 0; i < sa.n_points; i++) {
        char id[HASH_HEX];
        point_id(&sa, i, id);
        assert_non_null(sweep_find(&sb, id));
    }
    sweep_free(&sa);
    sweep_free(&sb);
}

static void test_stable_ids(void **state)
{
    (void)state;
    static const char a[] = REQUIRED "n: 8\nsweep: {method: [best_of_n, speculative_rejection], "
                                     "alpha: [0.3, 0.5], seed: [0, 1]}\n";
    static const char b[] = "sweep:\n  seed: [1, 0]\n  alpha: [0.50, 0.3]\n  method: "
                            "[speculative_rejection, best_of_n]\n"
                            "name: other\nn: 8\nbackend: cpu\noutput: elsewhere/%p.h5\n" REQUIRED;
    assert_same_ids(a, b, NULL);
    assert_same_ids(a, a, "dataset.limit=3");
    assert_same_ids(a, a, "record={text: none}");
    /* a point of a sweep is the job that says the same without one */
    assert_same_ids(REQUIRED "n: 8\nsweep: {seed: [7]}\n", REQUIRED "n: 8\nseed: 7\n", NULL);
    /* and a larger sweep keeps the points it had */
    struct sweep small, large;
    must_open(&small, a, NULL);
    must_open(&large, a, "sweep.seed=[0, 1, 2, 3]");
    assert_int_equal(large.n_points, 2 * small.n_points);
    for (int64_t i = 0; i < small.n_points; i++) {
        char id[HASH_HEX];
        point_id(&small, i, id);
        assert_non_null(sweep_find(&large, id));
    }
    assert_null(sweep_find(&large, "000000000000"));
    sweep_free(&small);
    sweep_free(&large);
}

static void test_overrides(void **state)
{
    (void)state;
    static const char text[] = REQUIRED "sweep: {alpha: [0.3, 0.5], seed: [0, 1]}\n";
    static const struct {
        const char *set;
        int64_t n_points;
    } cases[] = {{"alpha=0.7", 2},
                 {"sweep.alpha=[0.1, 0.2, 0.3]", 6},
                 {"sweep={}", 1},
                 {"sweep={n: [1, 2]}", 8},
                 {"rounds=every 8", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep s;
        must_open(&s, text, cases[i].set);
        assert_int_equal(s.n_points, cases[i].n_points);
        if (i == 0) assert_true(s.points[1].alpha == 0.7);
        sweep_free(&s);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"output: x.h5\nsweep: {seed: [0, 1]}\n",
         ":4: key 'output': the sweep has 2 points and needs %p"},
        {"output: '%%p.h5'\nsweep: {seed: [0, 1]}\n", "needs %p"},
        {"sweep: {alpha: [0.5, 1.5]}\n", ":4: key 'alpha': 1.5 is out of range"},
        {"sweep:\n  alpha:\n  - 0.5\n  - 1.5\n", ":7: key 'alpha': 1.5 is out of range"},
        {"sweep: {rounds: [memory, sometimes]}\n", ":4: key 'rounds': 'sometimes' is no schedule"},
        {"sweep: {method: [best_of_n, beam]}\n", "key 'sweep.method': 'beam' is not allowed"},
        {"sweep: {seed: []}\n", "key 'sweep.seed': the list is empty"},
        {"sweep: {seed: 3}\n", "key 'sweep.seed': expected a list"},
        {"sweep: [1, 2]\n", "key 'sweep': expected lists by key"},
        {"sweep: {seed: [[1, 2]]}\n", "a list may hold single values only"},
        {"sweep: {sed: [1]}\n", "unknown key 'sweep.sed'; did you mean 'seed'?"},
        {"sweep: {record.text: [all, none]}\n",
         ":4: key 'sweep.record.text': cannot be swept: it does not count"},
        {"sweep: {dataset.limit: [1, 2]}\n", "cannot be swept"},
        {"sweep: {name: [a, b]}\n", "cannot be swept"},
        {"sweep: {backend: [cpu, cuda]}\n", "cannot be swept"},
        {"sweep: {judge.path: [\"off\", j]}\n", "cannot be swept"},
        {"sweep: {generator.path: [$NO_SUCH_VARIABLE/x]}\n",
         "the variable $NO_SUCH_VARIABLE is not set"},
        {"compat: paper_code_2024\nmethod: best_of_n\nsweep: {seed: [0, 1]}\n", "key 'compat'"},
        {"sweep: {generator.path: [a, b], generator.id: [same]}\n", "would share the point id"},
        {"sweep: {generator.template: [a/t.jinja, b/t.jinja]}\n", "would share the point id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep s;
        struct err e = {0};
        char *text = mem_printf("%s%s", REQUIRED, cases[i].text);
        if (open_text(&s, text, NULL, 0, &e) == 0) fail_msg("accepted: %s", cases[i].text);
        if (!strstr(e.text, cases[i].words))
            fail_msg("for %s expected '%s' in '%s'", cases[i].text, cases[i].words, e.text);
        assert_int_equal(strncmp(e.text, path, strlen(path)), 0);
        assert_int_equal(s.n_points, 0);
        free(text);
    }
}

static char *list_of(int n)
{
    char *text = mem_strdup("");
    for (int i = 0; i < n; i++) {
        char *longer = mem_printf("%s%s%d", text, i ? ", " : "", i + 1);
        free(text);
        text = longer;
    }
    return text;
}

static void test_large(void **state)
{
    (void)state;
    struct sweep s;
    struct err e = {0};
    char *list = list_of(400),
         *text = mem_printf("%ssweep: {seed: [%s], n: [%s]}\n", REQUIRED, list, list);
    assert_true(open_text(&s, text, NULL, 0, &e) < 0);
    assert_non_null(strstr(e.text, "more than 100000 combinations"));
    free(list);
    free(text);
    list = list_of(40);
    text = mem_printf("%ssweep: {seed: [%s], n: [%s]}\n", REQUIRED, list, list);
    must_open(&s, text, NULL);
    assert_int_equal(s.n_points, 1600);
    sweep_free(&s);
    free(list);
    free(text);
}

/* Every job file of the project, all its points. */
static void test_jobs(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int64_t n_points;
    } cases[] = {
        {"example.yaml", 3 + 9},
        {"paper/best_of_n_base.yaml", 2 * 3 * 6 * 4},
        {"paper/best_of_n_instruct.yaml", 3 * 6 * 4},
        {"paper/speculative_rejection_base.yaml", 2 * 3 * 9 * 4},
        {"paper/speculative_rejection_instruct.yaml", 3 * 9 * 4},
        {"paper/paper_code_2024_base.yaml", 2 * 3 * 9 * 4},
        {"paper/paper_code_2024_instruct.yaml", 3 * 9 * 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep s;
        struct err e = {0};
        char *file = mem_printf("%s/../jobs/%s", TESTS_DIR, cases[i].file);
        if (sweep_open(&s, file, NULL, 0, &e) < 0) fail_msg("%s", e.text);
        assert_int_equal(s.n_points, cases[i].n_points);
        free(file);
        sweep_free(&s);
    }
    glob_t g;
    if (glob(TESTS_DIR "/../jobs/paper/*.yaml", 0, NULL, &g) == 0) {
        assert_int_equal(g.gl_pathc, sizeof cases / sizeof *cases - 1); /* none is left out above */
        globfree(&g);
    }
}

static int set_up(void **state)
{
    (void)state;
    setenv("MODELS", "/models", 1);
    setenv("DATA", "/data", 1);
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_point),
        cmocka_unit_test(test_product_and_order),
        cmocka_unit_test(test_any_key),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_compat_in_a_sweep),
        cmocka_unit_test(test_stable_ids),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_jobs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
