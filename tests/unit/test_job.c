/* Job files: what is accepted and what it becomes, what is refused and with which words, --set, the
 * canonical text read back, ids and hashes, the files under jobs/. */
#include "base/mem.h"
#include "job/job.h"
#include "job/paths.h"
#include "job/schedule.h"
#include "job/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUIRED "generator: {path: g}\nreward: {path: r}\ndataset: {path: d.jsonl}\n"

static char folder[] = "/tmp/test_job_XXXXXX";

static char *write_job(const char *name, const char *text, size_t n)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
    return path;
}

static int open_text(struct job *j, const char *text, size_t n, const char *const *sets, int n_sets,
                     struct err *e)
{
    char *path = write_job("job.yaml", text, n);
    int rc = job_open(j, path, sets, n_sets, e);
    free(path);
    return rc;
}

static void must_open(struct job *j, const char *text)
{
    struct err e = {0};
    if (open_text(j, text, strlen(text), NULL, 0, &e) < 0) fail_msg("%s", e.text);
}

static void assert_error(int rc, const struct err *e, const char *words, const char *text)
{
    if (rc == 0) fail_msg("accepted: %s", text);
    if (!strstr(e->text, words)) fail_msg("for:\n%s\nexpected '%s' in '%s'", text, words, e->text);
    assert_null(strchr(e->text, '\n'));
}

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

/* ---- what is refused ---- */

static const struct refusal {
    const char *text, *words;
} refusals[] = {
    /* YAML */
    {"", "job.yaml:1: the file is empty"},
    {"# nothing\n\n", "the file is empty"},
    {"just words\n", "job.yaml:1: expected keys and values"},
    {"- 1\n- 2\n", "job.yaml:1: expected keys and values (key: value), found a list"},
    {REQUIRED "a: 1\n---\nb: 2\n", "job.yaml:5: more than one YAML document"},
    {"sampling:\n\ttop_k: 1\n", "indented with a tab: use spaces"},
    {REQUIRED "name: \"open\n\n",
     "job.yaml:6: not valid YAML: while scanning a quoted scalar (from line 4): found"},
    {"generator: {path: ${MODELS}/g}\n", "a text with { or } in it must be quoted inside { }"},
    {REQUIRED "sampling: {top_k: 1\n", "not valid YAML"},
    {"name: &a x\n", "job.yaml:1: key 'name': anchors and aliases"},
    {REQUIRED "x: *a\n", "job.yaml:4: key 'x': anchors and aliases"},
    {"seed: !!int 3\n", "job.yaml:1: key 'seed': tags"},
    {"name: \xff\xfe\n", "job.yaml:1: not valid YAML"},
    {"\n\nname: a\xc3(\n", "job.yaml:3: not valid YAML"},
    {"name: \"a\\0b\"\n", "job.yaml:1: key 'name': a NUL character"},
    {"name: a\x01z\n", "job.yaml:1: not valid YAML"},
    {"? [a, b]\n: 1\n", "job.yaml:1: a key must be a single word"},
    {"\"\": 1\n", "an empty or unreadable key"},
    {"a: {b: {c: {d: {e: 1}}}}\n", "nested too deeply"},
    {"seed: [[1]]\n", "key 'seed': a list may hold single values only"},
    /* keys */
    {REQUIRED "seed: 1\nseed: 2\n", "job.yaml:5: key 'seed': is given twice"},
    {REQUIRED "sampling: {top_k: 1}\nsampling: {top_p: 1}\n",
     "job.yaml:5: key 'sampling': is given twice"},
    {REQUIRED "sampling: {top_k: 1}\nsampling.top_k: 2\n",
     "job.yaml:5: key 'sampling.top_k': is given twice"},
    {REQUIRED "alhpa: 0.5\n", "job.yaml:4: unknown key 'alhpa'; did you mean 'alpha'?"},
    {REQUIRED "sampling: {temp: 1}\n",
     "job.yaml:4: unknown key 'sampling.temp'; did you mean 'sampling.temperature'?"},
    {REQUIRED "judge: g\n",
     "job.yaml:4: key 'judge': is a group of keys; write judge: {path: value"},
    {REQUIRED "top_k: 5\n", "job.yaml:4: unknown key 'top_k'; did you mean 'sampling.top_k'?"},
    {REQUIRED "sampling:\n  top_k: 5\n  topp: 1\n",
     "job.yaml:6: unknown key 'sampling.topp'; did you mean 'sampling.top_p'?"},
    {REQUIRED "zzzzzzzz: 5\n", "job.yaml:4: unknown key 'zzzzzzzz'; jobs/example.yaml"},
    {REQUIRED "zzzzzzzz: {}\n", "unknown key 'zzzzzzzz'"},
    {REQUIRED "seed:\n", "job.yaml:4: key 'seed': has no value"},
    {REQUIRED "seed: ~\n", "key 'seed': has no value"},
    {REQUIRED "sampling: 5\n", "job.yaml:4: key 'sampling': is a group of keys"},
    {REQUIRED "seed: {a: 1}\n", "unknown key 'seed.a'"},
    {REQUIRED "seed: [1, 2]\n",
     "job.yaml:4: key 'seed': expected a single value, found a list (lists stand under sweep:)"},
    {REQUIRED "seed: []\n", "expected a single value, found a list"},
    {REQUIRED "seed: {}\n", "expected a single value, found a group"},
    {"reward: {path: r}\ndataset: {path: d.txt}\n", "job.yaml: key 'generator.path': is missing"},
    {"generator: {path: g}\ndataset: {path: d.txt}\n",
     "key 'reward.path': is missing; expected a checkpoint folder or self"},
    {"generator: {path: g}\nreward: {path: r}\n", "key 'dataset.path': is missing"},
    /* types */
    {REQUIRED "seed: 1x\n",
     "job.yaml:4: key 'seed': '1x' is not allowed; allowed: a whole number from 0"},
    {REQUIRED "seed: -1\n", "key 'seed': '-1'"},
    {REQUIRED "seed: 18446744073709551616\n", "key 'seed'"},
    {REQUIRED "overlap: 010\n", "key 'overlap': '010'"},
    {REQUIRED "n_max: 0x10\n", "key 'n_max': '0x10' is not allowed; allowed: a whole number"},
    {REQUIRED "n_max: 1e3\n", "key 'n_max': '1e3'"},
    {REQUIRED "n_max: 9223372036854775808\n", "key 'n_max'"},
    {REQUIRED "n_max: 4294967296\n",
     "key 'n_max': 4294967296 is out of range; allowed: 1 to 2147483647"},
    {REQUIRED "alpha: half\n", "key 'alpha': 'half' is not allowed; allowed: a number"},
    {REQUIRED "alpha: 0.5x\n", "key 'alpha': '0.5x'"},
    {REQUIRED "alpha: nan\n", "key 'alpha': 'nan'"},
    {REQUIRED "alpha: .nan\n", "key 'alpha': '.nan'"},
    {REQUIRED "sampling: {temperature: inf}\n", "key 'sampling.temperature': 'inf'"},
    {REQUIRED "sampling: {temperature: 1e999}\n", "key 'sampling.temperature': '1e999'"},
    {REQUIRED "reproducible: flase\n",
     "key 'reproducible': 'flase' is not allowed; allowed: false | true"},
    {REQUIRED "reproducible: 1\n", "key 'reproducible'"},
    {REQUIRED "dtype: int8\n",
     "key 'dtype': 'int8' is not allowed; allowed: auto | f32 | bf16 | f16 | fp8"},
    {REQUIRED "method: 1\n", "allowed: best_of_n | speculative_rejection"},
    /* ranges and forms */
    {REQUIRED "alpha: 1\n", "job.yaml:4: key 'alpha': 1 is out of range"},
    {REQUIRED "alpha: -0.1\n", "key 'alpha'"},
    {REQUIRED "sampling: {temperature: -1}\n", "key 'sampling.temperature': -1"},
    {REQUIRED "sampling: {top_p: 0}\n", "key 'sampling.top_p': 0"},
    {REQUIRED "sampling: {top_p: 1.1}\n", "key 'sampling.top_p'"},
    {REQUIRED "sampling: {min_p: 1}\n", "key 'sampling.min_p'"},
    {REQUIRED "sampling: {top_k: -1}\n", "key 'sampling.top_k': -1 is out of range; allowed: 0 to"},
    {REQUIRED "sampling: {max_new_tokens: 0}\n", "key 'sampling.max_new_tokens'"},
    {REQUIRED "parallel: {tensor: 0}\n", "key 'parallel.tensor'"},
    {REQUIRED "overlap: 0\n", "key 'overlap': 0 is out of range; allowed: 1 to 64"},
    {REQUIRED "overlap: 65\n", "key 'overlap': 65 is out of range"},
    {REQUIRED "overlap: 2\nparallel: {split: candidates}\n",
     "key 'overlap': 2 is not allowed with parallel.split: candidates"},
    {REQUIRED "n: 0\n", "key 'n': '0' is not allowed; allowed: auto | a whole number from 1"},
    {REQUIRED "n: many\n", "key 'n': 'many'"},
    {REQUIRED "n: 99999999999999999999\n", "key 'n'"},
    {REQUIRED "budget_tokens: -5\n", "key 'budget_tokens'"},
    {"generator: {path: g}\nreward: {path: r}\ndataset: {path: d, limit: 0}\n",
     "job.yaml:3: key 'dataset.limit': '0'"},
    {"generator: {path: g}\nreward: {path: r}\ndataset: {path: d, shuffle: true}\n",
     "key 'dataset.shuffle': 'true' is not allowed; allowed: off |"},
    {"generator: {path: g}\nreward: {path: r}\ndataset: {path: d, offset: -1}\n",
     "key 'dataset.offset'"},
    {"generator: {path: g}\nreward: {path: r}\ndataset: {path: d, field: ''}\n",
     "key 'dataset.field': is empty"},
    {REQUIRED "rounds: off\n",
     "key 'rounds': 'off' is no schedule; allowed: memory | every N | at N"},
    {REQUIRED "rounds: every 0\n", "key 'rounds'"},
    {REQUIRED "rounds: every\n", "key 'rounds'"},
    {REQUIRED "rounds: at 64, 64\n", "key 'rounds'"},
    {REQUIRED "rounds: at 64,\n", "key 'rounds'"},
    {REQUIRED "rounds: at 0, 64\n", "key 'rounds'"},
    {REQUIRED "rounds: at\n", "key 'rounds'"},
    {REQUIRED "score_at: memory\n", "key 'score_at': 'memory' is no schedule"},
    {REQUIRED "compat: paper_code_2024\nmethod: best_of_n\n",
     "job.yaml:4: key 'compat': paper_code_2024 changes speculative_rejection"},
    {REQUIRED "name: a/b\n", "key 'name': 'a/b' cannot name files"},
    {REQUIRED "name: ''\n", "key 'name'"},
    {REQUIRED "output: ''\n", "key 'output': is empty"},
    {REQUIRED "output: '%q.h5'\n", "key 'output'"},
    {REQUIRED "output: 'x%'\n", "key 'output'"},
    {"generator: {path: ''}\nreward: {path: r}\ndataset: {path: d}\n",
     "key 'generator.path': is empty"},
    {"generator: {path: $NO_SUCH_VARIABLE/g}\nreward: {path: r}\ndataset: {path: d}\n",
     "job.yaml:1: key 'generator.path': the variable $NO_SUCH_VARIABLE is not set"},
    {"generator: {path: \"${MODELS/g\"}\nreward: {path: r}\ndataset: {path: d}\n",
     "expected $VAR or ${VAR}"},
    {"generator: {path: cost$}\nreward: {path: r}\ndataset: {path: d}\n",
     "a dollar sign itself is written $$"},
    /* a sweep is checked by job_open too */
    {REQUIRED "sweep: 5\n", "key 'sweep': expected lists by key"},
    {REQUIRED "sweep: {alhpa: [0.1]}\n",
     "job.yaml:4: unknown key 'sweep.alhpa'; did you mean 'alpha'?"},
    {REQUIRED "sweep: {alpha: 0.1}\n", "key 'sweep.alpha': expected a list, for example [0.1]"},
    {REQUIRED "sweep: {alpha: []}\n", "key 'sweep.alpha': the list is empty"},
    {REQUIRED "sweep:\n  alpha:\n    - 0.1\n    - x\n",
     "job.yaml:7: key 'sweep.alpha': 'x' is not allowed"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct job j;
        struct err e = {0};
        const struct refusal *r = &refusals[i];
        assert_error(open_text(&j, r->text, strlen(r->text), NULL, 0, &e), &e, r->words, r->text);
        assert_int_equal(strncmp(e.text, folder, strlen(folder)), 0); /* begins with the file */
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    struct job j;
    struct err e;
    assert_error(job_open(&j, "/nonexistent/job.yaml", NULL, 0, &e), &e,
                 "/nonexistent/job.yaml: No such file", "");
    assert_error(job_open(&j, folder, NULL, 0, &e), &e, "not a regular file", "");
    size_t n = (1 << 20) + 1;
    char *big = mem_calloc(n + 1, 1);
    memset(big, '#', n);
    assert_error(open_text(&j, big, n, NULL, 0, &e), &e, "more than the 1048576 allowed", "");
    assert_error(open_text(&j, "name: a\0b\n", 10, NULL, 0, &e), &e, "not valid YAML", "");
    size_t at = 0; /* many keys, each new */
    for (int i = 0; i < 3000; i++) at += (size_t)snprintf(big + at, n - at, "key%d: 1\n", i);
    assert_error(open_text(&j, big, at, NULL, 0, &e), &e, "more keys than a job can have", "");
    memset(big, '[', 100000);
    assert_error(open_text(&j, big, 100000, NULL, 0, &e), &e, "job.yaml:1:", "");
    free(big);
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

static void test_bad_overrides(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"alpha=1.5", "--set alpha=1.5: key 'alpha': 1.5 is out of range"},
        {"alpha", "--set alpha: expected key=value"},
        {"=3", "--set =3: expected key=value"},
        {"alpha=", "--set alpha=: key 'alpha': has no value"},
        {"alhpa=0.5", "--set alhpa=0.5: unknown key 'alhpa'; did you mean 'alpha'?"},
        {"sampling=3", "key 'sampling': is a group of keys"},
        {"alpha=[0.1, 0.2]", "key 'alpha': expected a single value, found a list"},
        {"alpha=[0.1", "--set alpha=[0.1: not valid YAML"},
        {"alpha={x: 1}", "unknown key 'alpha.x'"},
        {"dtype=int8", "--set dtype=int8: key 'dtype': 'int8' is not allowed"},
        {"sweep.alpha=[x]", "--set sweep.alpha=[x]: key 'sweep.alpha': 'x' is not allowed"},
        {"seed=*a", "anchors and aliases"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job j;
        struct err e = {0};
        assert_error(open_text(&j, REQUIRED, strlen(REQUIRED), cases[i], 1, &e), &e, cases[i][1],
                     cases[i][0]);
    }
}

/* ---- the canonical text ---- */

static uint64_t rng = 88172645463325252u;
static uint64_t next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    return rng ^= rng << 17;
}

static const char *pick(const char *const *list, size_t n)
{
    return list[next() % n];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* --set for every key, at random. */
static int random_sets(char **sets)
{
    int n = 0;
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++) {
        const char *key = f->key, *value;
        char text[64];
        const char *dot = strrchr(key, '.');
        if (f->value.type == CYAML_ENUM) {
            value = f->value.enumeration.strings[next() % f->value.enumeration.count].str;
            if (!strcmp(key, "compat")) continue;
        } else if (f->value.type == CYAML_FLOAT) {
            snprintf(text, sizeof text, "%.17g", (double)(next() >> 11) * 0x1p-53);
            value = text;
        } else if (!strcmp(key, "overlap")) {
            continue; /* 1 where groups share out candidates */
        } else if (f->value.type == CYAML_INT || f->value.type == CYAML_UINT) {
            snprintf(text, sizeof text, "%d", (int)(1 + next() % 1000));
            value = text;
        } else if (!strcmp(key, "rounds")) {
            value = PICK("memory", "every 128", "at 1, 2, 300");
        } else if (!strcmp(key, "score_at")) {
            value = PICK("off", "doubling", "pages", "every 7", "5, 6");
        } else if (!strcmp(key, "dataset.limit")) {
            value = PICK("all", "12");
        } else if (!strcmp(key, "dataset.shuffle")) {
            value = PICK("off", "0", "9223372036854775807");
        } else if (!strcmp(key, "n") || !strcmp(key, "budget_tokens")) {
            value = PICK("auto", "12", "1000");
        } else if (!strcmp(key, "name")) {
            value = PICK("a b", "\"\\u20ac: '\\\"\"", "5");
        } else if (!strcmp(key, "output")) {
            value = PICK("\"%%/%n-%p$$.h5\"", "x.h5");
        } else if (!strcmp(key, "judge.path") || !strcmp(key, "reward.path")) {
            value = key[0] == 'j' ? PICK("off", "j/k") : PICK("self", "../r", "/r$$x");
        } else if (dot && !strcmp(dot, ".path")) {
            value = PICK("$MODELS/x", "\"sp ace/\\u00e9\"", "/a/b");
        } else if (dot && !strcmp(dot, ".template")) {
            value = PICK("auto", "raw", "t/x.jinja");
        } else if (dot && !strcmp(dot, ".id")) {
            value = PICK("auto", "$x", "some id");
        } else {
            value = PICK("\"line\\nline\\ttab \\x01 \\x7f \\x85 \\u2028 \\ufeff \\U0001F600 'q' "
                         "\\\"q\\\" \\\\\"",
                         "\" \"", "\"# no: comment\"", "\"off\"", "plain");
        }
        sets[n++] = mem_printf("%s=%s", key, value);
    }
    return n;
}

static void assert_same_job(const struct job *a, const struct job *b)
{
    char id_a[HASH_HEX], id_b[HASH_HEX], *yaml_a = job_to_yaml(a), *yaml_b = job_to_yaml(b);
    assert_string_equal(yaml_a, yaml_b);
    job_point_id(a, id_a);
    job_point_id(b, id_b);
    assert_string_equal(id_a, id_b);
    assert_int_equal(strlen(id_a), 12);
    job_hash(a, id_a);
    job_hash(b, id_b);
    assert_string_equal(id_a, id_b);
    assert_string_equal(a->generator.path, b->generator.path);
    assert_string_equal(a->dataset.system, b->dataset.system);
    assert_string_equal(a->output, b->output);
    assert_true(a->alpha == b->alpha && a->sampling.temperature == b->sampling.temperature);
    assert_true(a->seed == b->seed && a->rounds.kind == b->rounds.kind &&
                a->rounds.n_at == b->rounds.n_at);
    assert_true(!a->judge.path == !b->judge.path);
    free(yaml_a);
    free(yaml_b);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        char *sets[100];
        struct job a, b, c;
        struct err e = {0};
        int n = random_sets(sets);
        if (open_text(&a, REQUIRED, strlen(REQUIRED), (const char *const *)sets, n, &e) < 0)
            fail_msg("%s", e.text);
        char *yaml = job_to_yaml(&a);
        char *path = mem_printf("%s/elsewhere.yaml", folder);
        free(write_job("elsewhere.yaml", yaml, strlen(yaml)));
        unsetenv("MODELS"); /* the recorded job needs no environment */
        if (job_open(&b, path, NULL, 0, &e) < 0) fail_msg("%s\n%s", e.text, yaml);
        if (job_from_yaml(&c, yaml, "recorded", &e) < 0) fail_msg("%s\n%s", e.text, yaml);
        setenv("MODELS", "/models", 1);
        assert_same_job(&a, &b);
        assert_same_job(&a, &c);
        job_free(&a);
        job_free(&b);
        job_free(&c);
        for (int k = 0; k < n; k++) free(sets[k]);
        free(path);
        free(yaml);
    }
}

/* Files of earlier programs stay readable; a job file with such a key has a mistake. */
static void test_keys_of_older_files(void **state)
{
    (void)state;
    struct job a, b;
    struct err e = {0};
    must_open(&a, REQUIRED "judge: {path: j}\n");
    char *yaml = job_to_yaml(&a), *at = strstr(yaml, "judge:\n") + strlen("judge:\n");
    char *older = mem_printf("%.*s  id: \"j\"\n  cache: device\n%s", (int)(at - yaml), yaml, at);
    if (job_from_yaml(&b, older, "recorded", &e) < 0) fail_msg("%s\n%s", e.text, older);
    assert_same_job(&a, &b);
    char *path = mem_printf("%s/elsewhere.yaml", folder);
    free(write_job("elsewhere.yaml", older, strlen(older)));
    struct job c;
    assert_int_equal(job_open(&c, path, NULL, 0, &e), -1);
    assert_non_null(strstr(e.text, "unknown key 'judge.id'"));
    job_free(&a);
    job_free(&b);
    free(path);
    free(older);
    free(yaml);
}

static void test_locale(void **state)
{
    (void)state;
    struct job a, b;
    const char *text = REQUIRED "alpha: 0.25\nsampling: {temperature: 0.125}\n";
    must_open(&a, text);
    bool comma = setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "de_DE");
    must_open(&b, text);
    assert_true(b.alpha == 0.25);
    assert_same_job(&a, &b);
    setlocale(LC_ALL, "C");
    if (!comma) print_message("no locale with a decimal comma here: nothing shown\n");
    job_free(&a);
    job_free(&b);
}

/* ---- ids ---- */

static void ids(const char *text, const char *set, char id[HASH_HEX], char hash[HASH_HEX])
{
    struct job j;
    struct err e;
    if (open_text(&j, text, strlen(text), &set, set ? 1 : 0, &e) < 0) fail_msg("%s", e.text);
    job_point_id(&j, id);
    job_hash(&j, hash);
    job_free(&j);
}

static void test_ids(void **state)
{
    (void)state;
    static const char base[] = REQUIRED "method: speculative_rejection\nn: 64\n";
    static const char best[] = REQUIRED "method: best_of_n\nn: 64\n";
    static const char all_memory[] = REQUIRED "method: speculative_rejection\nalpha: 0\nn: 64\n";
    static const struct {
        const char *text, *set;
        bool new_id, new_hash;
    } cases[] = {
        /* the same work, said otherwise or kept otherwise */
        {base, "name=other", false, false},
        {base, "output=x.h5", false, false},
        {base, "dataset.limit=5", false, false},
        {base, "record.text=none", false, false},
        {base, "on_prompt_error=stop", false, false},
        {base, "on_numerics_error=stop", false, false},
        {base, "backend=cpu", false, false},
        {base, "alpha=0.50", false, false},
        {base, "seed=0", false, false},
        /* comes afterwards */
        {base, "judge.path=j", false, false},
        {base, "judge={path: j, template: raw, weights: random}", false, false},
        /* no effect on this method */
        {base, "score_at=every 16", false, false},
        {base, "batching=static", false, false},
        {base, "n_max=7", false, false},
        {base, "min_round_tokens=7", false, false},
        {best, "alpha=0.7", false, false},
        {best, "rounds=every 16", false, false},
        {all_memory, "rounds=every 16", false, false},
        /* other work */
        {base, "n=65", true, true},
        {base, "n=auto", true, true},
        {base, "alpha=0.7", true, true},
        {base, "rounds=every 16", true, true},
        {base, "method=best_of_n", true, true},
        {base, "compat=paper_code_2024", true, true},
        {base, "seed=1", true, true},
        {base, "sampling.top_k=3", true, true},
        {base, "sampling.ignore_eos=true", true, true},
        {base, "dataset.shuffle=0", true, true},
        {base, "dataset.offset=1", true, true},
        {base, "dataset.system=x", true, true},
        {base, "generator.template=raw", true, true},
        {base, "generator.weights=random", true, true},
        {base, "reward.path=self", true, true},
        {base, "reward.cache=none", true, true},
        {base, "parallel.tensor=2", true, true},
        {base, "parallel.split=candidates", true, true},
        {base, "dtype=f32", true, true},
        {base, "budget_tokens=1000", true, true},
        {base, "reproducible=false", true, true},
        {best, "batching=static", true, true},
        {best, "score_at=every 16", true, true},
        /* paths count in the id by what is written; the hash leaves them to the contents */
        {base, "generator.path=other", true, false},
        {base, "dataset.path=other.txt", true, false},
        {base, "generator.id=g", false, false},
        {base, "generator.id=x", true, false},
        {base, "generator.path=g/", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id0[HASH_HEX], hash0[HASH_HEX], id1[HASH_HEX], hash1[HASH_HEX];
        ids(cases[i].text, NULL, id0, hash0);
        ids(cases[i].text, cases[i].set, id1, hash1);
        if ((strcmp(id0, id1) != 0) != cases[i].new_id) fail_msg("id after %s", cases[i].set);
        if ((strcmp(hash0, hash1) != 0) != cases[i].new_hash)
            fail_msg("hash after %s", cases[i].set);
    }
}

static void test_ids_are_portable(void **state)
{
    (void)state;
    char id0[HASH_HEX], id1[HASH_HEX], hash0[HASH_HEX], hash1[HASH_HEX];
    static const char a[] =
        "generator: {path: $MODELS/g}\nreward: {path: r}\ndataset: {path: d.txt}\nseed: 3\nn: 5\n";
    static const char b[] = "n: 5   # edited\nseed: 3\ndataset:\n  path: 'd.txt'\nreward.path: "
                            "r\ngenerator:\n  path: $MODELS/g\n";
    ids(a, NULL, id0, hash0);
    setenv("MODELS", "/another/place", 1);
    ids(b, NULL, id1, hash1);
    setenv("MODELS", "/models", 1);
    assert_string_equal(id0, id1);
    assert_string_equal(hash0, hash1);
    assert_string_equal(id0,
                        "1ae870d89bd6"); /* the same on every machine and in every later version */
}

static void test_output_path(void **state)
{
    (void)state;
    struct job j;
    char id[HASH_HEX];
    must_open(&j, REQUIRED "name: x\noutput: 'r/%n/%%%p.h5'\n");
    job_point_id(&j, id);
    char *path = job_output_path(&j), *expected = mem_printf("r/x/%%%s.h5", id);
    assert_string_equal(path, expected);
    free(path);
    free(expected);
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

/* ---- broken texts ---- */

/* Random edits of the example: never a crash, always one line that begins with the file. */
static void test_mutations(void **state)
{
    (void)state;
    static char text[1 << 16], copy[(1 << 16) + 16];
    FILE *f = fopen(TESTS_DIR "/../jobs/example.yaml", "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    static const char alphabet[] = "{}[]:,'\"\n\t &*!|>%@-#?~0129aez.\xff\xc3\x80\0$";
    int accepted = 0;
    for (int i = 0; i < 1500; i++) {
        memcpy(copy, text, n);
        size_t length = n;
        for (uint64_t k = 0; k <= next() % 4; k++) {
            size_t at = next() % length;
            if (next() % 3 == 0)
                length = at + 1;
            else
                copy[at] = alphabet[next() % (sizeof alphabet - 1)];
        }
        struct job j;
        struct err e = {0};
        if (open_text(&j, copy, length, NULL, 0, &e) == 0) {
            accepted++;
            job_free(&j);
            continue;
        }
        assert_int_equal(strncmp(e.text, folder, strlen(folder)), 0);
    }
    assert_true(accepted < 1500);
}

static int set_up(void **state)
{
    (void)state;
    setenv("MODELS", "/models", 1);
    unsetenv("NO_SUCH_VARIABLE");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"job.yaml", "elsewhere.yaml"};
    for (size_t i = 0; i < 2; i++) {
        char *path = mem_printf("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_design_example),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_bad_overrides),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_locale),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_ids_are_portable),
        cmocka_unit_test(test_output_path),
        cmocka_unit_test(test_example_shows_every_default),
        cmocka_unit_test(test_jobs_are_valid),
        cmocka_unit_test(test_keys_of_older_files),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
