/* Job files: what is accepted and what it becomes, --set, the files under jobs/.  What is refused:
 * test_job_refused.c; the text that is recorded, ids and hashes: test_job_text.c. */
#include "job/paths.h"
#include "job/schedule.h"
#include "job/schema.h"
#include "job_text.h"

#include <glob.h>

/* ---- what is accepted ---- */

static void test_defaults(void **state)
{
    (void)state;
    struct job j;
    must_open(&j, REQUIRED);
    char *dataset = mem_printf("%s/d.jsonl", folder), *model = mem_printf("%s/g", folder);
    assert_string_equal(j.name, "job");
    assert_string_equal(j.generator.path, model);
    assert_string_equal(j.generator.id, "g");
    assert_string_equal(j.generator.chat_template, "auto");
    assert_null(j.judge.path);
    assert_string_equal(j.dataset.path, dataset);
    assert_string_equal(j.dataset.field, "prompt");
    assert_string_equal(j.dataset.system, "");
    assert_int_equal(j.dataset.limit, -1);
    assert_int_equal(j.dataset.shuffle, -1);
    assert_int_equal(j.reward.cache, CACHE_DEVICE);
    assert_int_equal(j.method, METHOD_SPECULATIVE_REJECTION);
    assert_int_equal(j.n, 0);
    assert_int_equal(j.n_max, 4096);
    assert_int_equal(j.budget_tokens, 0);
    assert_int_equal(j.rounds.kind, SCHEDULE_MEMORY);
    assert_int_equal(j.score_at.kind, SCHEDULE_OFF);
    assert_true(j.reproducible);
    assert_false(j.sampling.ignore_eos);
    assert_true(j.alpha == 0.5 && j.sampling.temperature == 1.0);
    assert_int_equal(j.record.text, RECORD_TEXT_COMPLETED);
    assert_int_equal(j.on_numerics_error, ON_NUMERICS_ERROR_END);
    free(dataset);
    free(model);
    job_free(&j);
}

static void test_design_example(void **state)
{
    (void)state;
    static const char text[] =
        "name: alpaca-llama3\n"
        "generator: {path: $MODELS/Meta-Llama-3-8B-Instruct, template: auto, weights: checkpoint}  "
        " # weights: random\n"
        "reward:    {path: \"${MODELS}/ArmoRM-Llama3-8B-v0.1\", template: auto, cache: host}\n"
        "judge:     {path: $MODELS/Skywork-Reward-Llama-3.1-8B}\n"
        "dataset:   {path: prompts.jsonl, field: prompt, system: \"\", offset: 0, limit: 100, "
        "shuffle: off}\n"
        "sampling:  {temperature: 1.0, top_k: 50, top_p: 1.0, min_p: 0.0, max_new_tokens: 2048, "
        "ignore_eos: false}\n"
        "method: speculative_rejection                    # best_of_n\n"
        "n: auto\nalpha: 0.5\nrounds: memory\nscore_at: off\nbatching: continuous\noverlap: 1\n"
        "parallel: {tensor: 2, split: prompts}\nbackend: auto\ndtype: fp8\nbudget_tokens: "
        "auto\nreproducible: true\n"
        "compat: off\nrecord: {candidates: all, text: completed, trace: rounds}\non_prompt_error: "
        "skip\nseed: 0\n"
        "output: \"%n/%p.h5\"\n"
        "sweep: {method: [best_of_n, speculative_rejection], n: [120, 960], alpha: [0.3, 0.5, "
        "0.7], seed: [0, 1, 2]}\n";
    struct job j;
    must_open(&j, text);
    assert_string_equal(j.generator.path, "/models/Meta-Llama-3-8B-Instruct");
    assert_string_equal(j.generator.id, "$MODELS/Meta-Llama-3-8B-Instruct");
    assert_string_equal(j.reward.path, "/models/ArmoRM-Llama3-8B-v0.1");
    assert_string_equal(j.judge.path, "/models/Skywork-Reward-Llama-3.1-8B");
    assert_int_equal(j.reward.cache, CACHE_HOST);
    assert_int_equal(j.dataset.limit, 100);
    assert_int_equal(j.parallel.tensor, 2);
    assert_int_equal(j.dtype, DTYPE_FP8);
    job_free(&j);
}

static void test_schedules(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *canonical;
        bool is_rounds;
    } cases[] = {
        {"rounds: memory", "memory", true},
        {"rounds: every 128", "every 128", true},
        {"rounds: every   1", "every 1", true},
        {"rounds: at 64, 128, 256", "at 64, 128, 256", true},
        {"rounds: at 64", "at 64", true},
        {"rounds: \"64,128\"", "at 64, 128", true},
        {"score_at: off", "off", false},
        {"score_at: every 16", "every 16", false},
        {"score_at: doubling", "doubling", false},
        {"score_at: pages", "pages", false},
        {"score_at: 64, 128", "at 64, 128", false},
        {"score_at: 64", "at 64", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j;
        char *text = mem_printf("%s%s\n", REQUIRED, cases[i].yaml);
        must_open(&j, text);
        char *canonical = schedule_to_text(cases[i].is_rounds ? &j.rounds : &j.score_at);
        assert_string_equal(canonical, cases[i].canonical);
        free(canonical);
        free(text);
        job_free(&j);
    }
    struct job j;
    must_open(&j, REQUIRED "rounds: at 64, 128, 256\n");
    assert_int_equal(j.rounds.n_at, 3);
    assert_int_equal(j.rounds.at[2], 256);
    job_free(&j);
}

static void test_values(void **state)
{
    (void)state;
    struct job j;
    must_open(&j,
              REQUIRED "seed: 18446744073709551615\nn: 3840\nbudget_tokens: 100000\nalpha: -0.0\n"
                       "sampling.top_k: 0\nsampling: {temperature: .5e0, top_p: 1e-3}\n");
    assert_true(j.seed == UINT64_MAX);
    assert_int_equal(j.n, 3840);
    assert_int_equal(j.budget_tokens, 100000);
    assert_int_equal(j.sampling.top_k, 0);
    assert_true(j.sampling.temperature == 0.5 && j.sampling.top_p == 0.001);
    char *yaml = job_to_yaml(&j);
    assert_non_null(strstr(yaml, "\nalpha: 0\n")); /* not -0: it would be another id */
    free(yaml);
    job_free(&j);
    must_open(&j, "reward: {path: self}\ngenerator: {path: /abs/g/}\ndataset: {path: ../x/./d.txt, "
                  "shuffle: 7}\n");
    assert_string_equal(j.reward.path, "self");
    assert_string_equal(j.generator.path, "/abs/g");
    assert_string_equal(j.dataset.path, "/tmp/x/./d.txt");
    assert_int_equal(j.dataset.shuffle, 7);
    job_free(&j);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"/a/b", "c", "/a/b/c"},     {"/a/b", "./c/", "/a/b/c"},
        {"/a/b", "../c", "/a/c"},    {"/a/b", "../../../c", "/c"},
        {"/a/b", "/c//", "/c"},      {"/", "c", "/c"},
        {"/a/b", ".", "/a/b"},       {"/a/b", "..", "/a"},
        {"/a/b", "..c", "/a/b/..c"}, {"/", "/", "/"},
        {"/a/b", "./../c", "/a/c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *joined = path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        free(joined);
    }
    struct err e;
    char *out;
    assert_int_equal(path_expand("a$MODELS/${MODELS}$$MODELS$$", &out, &e), 0);
    assert_string_equal(out, "a/models//models$MODELS$");
    char *escaped = path_escape(out), *back;
    assert_int_equal(path_expand(escaped, &back, &e), 0);
    assert_string_equal(back, out);
    free(out);
    free(escaped);
    free(back);
}

/* ---- --set ---- */

static void test_overrides(void **state)
{
    (void)state;
    static const char *const sets[] = {"alpha=0.7",
                                       "rounds=every 128",
                                       "parallel.tensor=4",
                                       "dataset.system=\"a: b\"",
                                       "n=1",
                                       "n=2",
                                       "record={text: none, trace: off}",
                                       "judge.path=/j",
                                       "score_at=64, 128"};
    struct job j;
    struct err e;
    const char *text = REQUIRED "alpha: 0.1\nparallel: {tensor: 8, split: candidates}\n";
    if (open_text(&j, text, strlen(text), sets, sizeof sets / sizeof *sets, &e) < 0)
        fail_msg("%s", e.text);
    assert_true(j.alpha == 0.7);
    assert_int_equal(j.rounds.every, 128);
    assert_int_equal(j.parallel.tensor, 4);
    assert_int_equal(j.parallel.split, SPLIT_CANDIDATES);
    assert_string_equal(j.dataset.system, "a: b");
    assert_int_equal(j.n, 2);
    assert_int_equal(j.record.text, RECORD_TEXT_NONE);
    assert_int_equal(j.record.candidates, RECORD_CANDIDATES_ALL);
    assert_string_equal(j.judge.path, "/j");
    assert_int_equal(j.score_at.n_at, 2);
    job_free(&j);
}

/* ---- the files under jobs/ ---- */

static void test_example_shows_every_default(void **state)
{
    (void)state;
    struct job example, plain;
    struct err e;
    static const char *const sets[] = {"generator.path=/g", "reward.path=/r", "dataset.path=/d"};
    if (job_open(&example, TESTS_DIR "/../jobs/example.yaml", sets, 3, &e) < 0)
        fail_msg("%s", e.text);
    must_open(&plain,
              "name: example\ngenerator: {path: /g}\nreward: {path: /r}\ndataset: {path: /d}\n");
    char *a = job_to_yaml(&example), *b = job_to_yaml(&plain);
    assert_string_equal(a, b);
    free(a);
    free(b);
    job_free(&example);
    job_free(&plain);

    char text[1 << 16];
    FILE *f = fopen(TESTS_DIR "/../jobs/example.yaml", "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    for (const cyaml_schema_field_t *field = schema_fields; field->key; field++) {
        char *dot = strchr(field->key, '.'),
             *group = dot ? mem_printf("\n%.*s:", (int)(dot - field->key), field->key) : NULL;
        const char *at = group ? strstr(text, group) : text;
        char *line = dot ? mem_printf("\n  %s: ", dot + 1) : mem_printf("\n%s: ", field->key);
        if (!at || !strstr(at, line)) fail_msg("jobs/example.yaml does not show %s", field->key);
        free(group);
        free(line);
    }
}

static void test_jobs_are_valid(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/../jobs/*.yaml", "/../jobs/paper/*.yaml",
                                           "/../jobs/demo/*.yaml"};
    setenv("DATA", "/data", 1);
    int n_files = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t g;
        char *pattern = mem_printf("%s%s", TESTS_DIR, patterns[i]);
        if (glob(pattern, 0, NULL, &g) == 0) {
            for (size_t k = 0; k < g.gl_pathc; k++, n_files++) {
                struct job j;
                struct err e;
                if (job_open(&j, g.gl_pathv[k], NULL, 0, &e) < 0) fail_msg("%s", e.text);
                job_free(&j);
            }
            globfree(&g);
        }
        free(pattern);
    }
    assert_true(n_files >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_design_example),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_example_shows_every_default),
        cmocka_unit_test(test_jobs_are_valid),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
