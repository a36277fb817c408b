/* The canonical text of a job: read back it is the same job; ids and hashes are made of it. */
#include "job/schema.h"
#include "job_text.h"

#include <locale.h>

/* ---- the canonical text ---- */

/* Values of a key; of keys that end in .xxx; "": of any other text. */
static const struct choice {
    const char *key, *values[6];
} choices[] = {
    {"rounds", {"memory", "every 128", "at 1, 2, 300"}},
    {"score_at", {"off", "doubling", "pages", "every 7", "5, 6"}},
    {"dataset.limit", {"all", "12"}},
    {"dataset.shuffle", {"off", "0", "9223372036854775807"}},
    {"n", {"auto", "12", "1000"}},
    {"budget_tokens", {"auto", "12", "1000"}},
    {"name", {"a b", "\"\\u20ac: '\\\"\"", "5"}},
    {"output", {"\"%%/%n-%p$$.h5\"", "x.h5"}},
    {"judge.path", {"off", "j/k"}},
    {"reward.path", {"self", "../r", "/r$$x"}},
    {".path", {"$MODELS/x", "\"sp ace/\\u00e9\"", "/a/b"}},
    {".template", {"auto", "raw", "t/x.jinja"}},
    {".id", {"auto", "$x", "some id"}},
    {"",
     {"\"line\\nline\\ttab \\x01 \\x7f \\x85 \\u2028 \\ufeff \\U0001F600 'q' \\\"q\\\" \\\\\"",
      "\" \"", "\"# no: comment\"", "\"off\"", "plain"}},
};

static const char *choose(const char *key)
{
    const char *dot = strrchr(key, '.');
    const struct choice *c = choices;
    while (c->key[0] && strcmp(c->key, key) != 0 && (!dot || strcmp(c->key, dot) != 0)) c++;
    size_t n = 0;
    while (n < sizeof c->values / sizeof *c->values && c->values[n]) n++;
    return c->values[next() % n];
}

/* A value of a key, in the words of --set.  Caller frees. */
static char *random_value(const cyaml_schema_field_t *f)
{
    const cyaml_schema_value_t *v = &f->value;
    switch (v->type) {
    case CYAML_ENUM:
        return mem_strdup(v->enumeration.strings[next() % v->enumeration.count].str);
    case CYAML_FLOAT:
        return mem_printf("%.17g", (double)(next() >> 11) * 0x1p-53);
    case CYAML_INT:
    case CYAML_UINT:
        return mem_printf("%d", (int)(1 + next() % 1000));
    default:
        return mem_strdup(choose(f->key));
    }
}

/* --set for every key, at random. */
static int random_sets(char **sets)
{
    int n = 0;
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++) {
        /* They go with some values of other keys only. */
        if (strcmp(f->key, "compat") == 0 || strcmp(f->key, "overlap") == 0) continue;
        char *value = random_value(f);
        sets[n++] = mem_printf("%s=%s", f->key, value);
        free(value);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_keys_of_older_files),
        cmocka_unit_test(test_locale),           cmocka_unit_test(test_ids),
        cmocka_unit_test(test_ids_are_portable), cmocka_unit_test(test_output_path),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
