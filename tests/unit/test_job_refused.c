/* Job files that are refused, and with which words. */
#include "job_text.h"

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
    {REQUIRED "sampling: {max_tokens: 5}\n",
     "job.yaml:4: unknown key 'sampling.max_tokens'; did you mean 'sampling.max_new_tokens'?"},
    {REQUIRED "judge: {model: m}\n",
     "job.yaml:4: unknown key 'judge.model'; did you mean 'judge.path'?"},
    {REQUIRED "num_samples: 5\n", "job.yaml:4: unknown key 'num_samples'; did you mean 'n'?"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_bad_overrides),
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
