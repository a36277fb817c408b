/* Datasets: every form of file and row, the choice of rows, what is refused and with which words,
 * real files. */
#include "base/mem.h"
#include "job/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_dataset_XXXXXX";
static char path[128];

static void write_file(const char *name, const char *text, size_t n)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

/* A reference to the file written last; field "prompt", everything, in the file's order. */
static struct dataset_ref all_rows(void)
{
    static char field[] = "prompt", system[] = "";
    return (struct dataset_ref){
        .path = path, .field = field, .system = system, .limit = -1, .shuffle = -1};
}

static void must_open(struct dataset *d, const struct dataset_ref *ref)
{
    struct err e = {0};
    if (dataset_open(d, ref, &e) < 0) fail_msg("%s", e.text);
}

static void open_text(struct dataset *d, const char *name, const char *text)
{
    write_file(name, text, strlen(text));
    struct dataset_ref ref = all_rows();
    must_open(d, &ref);
}

static void assert_user(const struct prompt *p, int64_t index, const char *text)
{
    assert_int_equal(p->index, index);
    assert_int_equal(p->n_messages, 1);
    assert_string_equal(p->messages[0].role, "user");
    assert_string_equal(p->messages[0].content, text);
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a.jsonl", "{\"prompt\": \"one\", \"id\": 7}\n{\"prompt\": \"zwei \\u00e4\"}\n"},
        {"a.jsonl", "\xef\xbb\xbf{\"prompt\": \"one\"}\r\n\r\n  \n{\"prompt\": \"zwei \xc3\xa4\"}"},
        {"a.jsonl", "\"one\"\n\"zwei \\u00e4\"\n"},
        {"a.json", "[{\"prompt\": \"one\"}, {\"prompt\": \"zwei \\u00e4\"}]"},
        {"a.json", "\xef\xbb\xbf\n[\"one\",\n\"zwei \\u00e4\"]\n"},
        {"a.txt", "one\nzwei \xc3\xa4\n"},
        {"a.txt", "\xef\xbb\xbfone\r\n\r\n\nzwei \xc3\xa4"},
    };
    char key[2][HASH_HEX];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset d;
        open_text(&d, cases[i][0], cases[i][1]);
        assert_int_equal(d.n, 2);
        assert_int_equal(d.n_rows, 2);
        assert_user(&d.prompts[0], 0, "one");
        assert_user(&d.prompts[1], 1, "zwei \xc3\xa4");
        for (int k = 0; k < 2; k++) { /* the key follows the messages, whatever the file's form */
            if (i == 0) memcpy(key[k], d.prompts[k].key, HASH_HEX);
            assert_string_equal(d.prompts[k].key, key[k]);
        }
        dataset_free(&d);
    }
    assert_string_not_equal(key[0], key[1]);
}

static void test_row_travels(void **state)
{
    (void)state;
    struct dataset d;
    open_text(&d, "a.jsonl", "{\"prompt\": \"one\", \"id\": 7, \"tags\": [\"x\"]}\n");
    assert_int_equal(json_integer_value(json_object_get(d.prompts[0].row, "id")), 7);
    dataset_free(&d);
    open_text(&d, "a.txt", "one\n");
    assert_null(d.prompts[0].row);
    dataset_free(&d);
}

static void test_lists_and_turns(void **state)
{
    (void)state;
    struct dataset d;
    static const char text[] = "{\"prompt\": [\"first\", \"second\"]}\n{\"prompt\": [\"third\"]}\n";
    open_text(&d, "a.jsonl", text);
    assert_user(&d.prompts[0], 0, "first");
    dataset_free(&d);
    struct dataset_ref ref = all_rows();
    ref.turn = 1;
    ref.limit = 1;
    must_open(&d, &ref);
    assert_user(&d.prompts[0], 0, "second");
    dataset_free(&d);
    struct err e;
    ref.limit = 2;
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
    assert_non_null(
        strstr(e.text, "a.jsonl:2: field 'prompt': no text at turn 1; the list has 1 elements"));
    dataset_free(&d);
    open_text(&d, "a.jsonl", "{\"prompt\": \"only one\"}\n");
    dataset_free(&d);
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
    assert_non_null(strstr(e.text, "a.jsonl:1: field 'prompt' is one text and has no turn 1"));
}

static void test_chat_and_system(void **state)
{
    (void)state;
    struct dataset d;
    static char system[] = "Be brief.";
    static const char text[] = "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": "
                               "\"assistant\", \"content\": \"b\"},"
                               " {\"role\": \"user\", \"content\": \"c\", \"name\": \"x\"}]}\n"
                               "{\"prompt\": [{\"role\": \"system\", \"content\": \"own\"}, "
                               "{\"role\": \"user\", \"content\": \"d\"}]}\n"
                               "{\"prompt\": \"e\"}\n{\"prompt_ids\": [1, 2]}\n";
    open_text(&d, "a.jsonl", text);
    assert_int_equal(d.prompts[0].n_messages, 3);
    assert_string_equal(d.prompts[0].messages[1].role, "assistant");
    char without[HASH_HEX];
    memcpy(without, d.prompts[2].key, sizeof without);
    dataset_free(&d);

    struct dataset_ref ref = all_rows();
    ref.system = system;
    must_open(&d, &ref);
    assert_int_equal(d.prompts[0].n_messages, 4);
    assert_string_equal(d.prompts[0].messages[0].role, "system");
    assert_string_equal(d.prompts[0].messages[0].content, "Be brief.");
    assert_int_equal(d.prompts[1].n_messages, 2); /* a row's own system message stays */
    assert_string_equal(d.prompts[1].messages[0].content, "own");
    assert_int_equal(d.prompts[2].n_messages, 2);
    assert_string_equal(d.prompts[2].messages[1].content, "e");
    assert_string_not_equal(d.prompts[2].key, without);
    assert_int_equal(d.prompts[3].n_messages, 0);
    dataset_free(&d);
}

static void test_prompt_ids(void **state)
{
    (void)state;
    struct dataset d;
    open_text(&d, "a.jsonl",
              "{\"prompt_ids\": [1, 80, 2147483647], \"prompt\": \"ignored\"}\n{\"prompt_ids\": "
              "null, \"prompt\": \"x\"}\n");
    assert_int_equal(d.prompts[0].n_prompt_ids, 3);
    assert_int_equal(d.prompts[0].n_messages, 0);
    assert_int_equal(d.prompts[0].prompt_ids[2], INT32_MAX);
    assert_user(&d.prompts[1], 1, "x");
    dataset_free(&d);
}

/* ---- the choice of rows ---- */

static void write_numbers(int n)
{
    snprintf(path, sizeof path, "%s/numbers.txt", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < n; i++) fprintf(f, "row %d\n", i);
    fclose(f);
}

static void choose(struct dataset *d, int64_t shuffle, int64_t offset, int64_t limit)
{
    struct dataset_ref ref = all_rows();
    ref.shuffle = shuffle;
    ref.offset = offset;
    ref.limit = limit;
    must_open(d, &ref);
}

static void test_choice(void **state)
{
    (void)state;
    write_numbers(100);
    struct dataset all, some;
    choose(&some, -1, 10, 5);
    assert_int_equal(some.n, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(some.prompts[i].index, 10 + i);
    dataset_free(&some);
    choose(&some, -1, 98, 5); /* fewer are left */
    assert_int_equal(some.n, 2);
    dataset_free(&some);

    choose(&all, 3, 0, -1);
    bool seen[100] = {false}, moved = false;
    for (int i = 0; i < 100; i++) {
        int64_t row = all.prompts[i].index;
        char text[16];
        snprintf(text, sizeof text, "row %d", (int)row);
        assert_user(&all.prompts[i], row, text); /* an index names the same row in any order */
        assert_false(seen[row]);
        seen[row] = true;
        moved = moved || row != i;
    }
    assert_true(moved);
    choose(&some, 3, 10, 20); /* picks from the shuffled order */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(some.prompts[i].index, all.prompts[10 + i].index);
        assert_string_equal(some.prompts[i].key, all.prompts[10 + i].key);
    }
    dataset_free(&some);
    choose(&some, 4, 0, -1);
    int same = 0;
    for (int i = 0; i < 100; i++) same += some.prompts[i].index == all.prompts[i].index;
    assert_true(same < 20);
    dataset_free(&some);
    dataset_free(&all);
}

/* Each of the 24 orders of 4 rows about equally often: chi-square with 23 degrees of freedom, 99.9
 * % point 49.7. */
static void test_shuffle_is_uniform(void **state)
{
    (void)state;
    enum { SEEDS = 24000 };
    int count[256] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int64_t order[4];
        dataset_shuffle(order, 4, seed);
        count[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    double chi2 = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++) {
        if (!count[i]) continue;
        orders++;
        chi2 += (count[i] - SEEDS / 24.0) * (count[i] - SEEDS / 24.0) / (SEEDS / 24.0);
    }
    assert_int_equal(orders, 24);
    assert_true(chi2 < 49.7);
    int64_t order[5];
    dataset_shuffle(order, 5,
                    42); /* computed by an independent Philox; never another in a later version */
    static const int64_t known[5] = {1, 3, 4, 0, 2};
    assert_memory_equal(order, known, sizeof order);
}

/* ---- what is refused ---- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *words;
    } cases[] = {
        {"a.jsonl", "", "a.jsonl: the file is empty"},
        {"a.txt", "\n \r\n\n", "a.txt: no rows"},
        {"a.json", "[]", "a.json: no rows"},
        {"a.json", "  ", "a.json: the file is empty"},
        {"a.csv", "x",
         "a.csv: not a form of dataset that is known; expected .jsonl, .json or .txt"},
        {"a", "x", "not a form of dataset"},
        {"a.json", "{\"prompt\": \"x\"}", "a.json: expected a list of objects or texts"},
        {"a.json", "[\n\"a\",\n\"b]", "a.json:3:"},
        {"a.json", "[\"a\"] x", "not valid JSON"},
        {"a.json", "[1]", "a.json: row 0: expected a text or an object"},
        {"a.json", "[\"a\", {\"x\": 1}]",
         "a.json: row 1: field 'prompt' is missing; the row has: "
         "x"},
        {"a.jsonl", "{\"prompt\": \"a\"}\n\n{\"question\": \"b\", \"answer\": \"c\"}\n",
         "a.jsonl:3: field 'prompt' is missing; the row has: "
         "question, answer; set dataset.field to the one that holds the prompt (question?)"},
        {"a.jsonl", "{\"conversations\": []}\n",
         "the row has: conversations; set dataset.field to the one that holds the prompt"},
        {"a.jsonl", "\xff\xfe{\n", "unable to decode byte 0xff (column 0); save the file as UTF-8"},
        {"a.txt", "caf\xe9\n", "not valid UTF-8 text; save the file as UTF-8"},
        {"a.json", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n",
         "a.json:2:1: not valid JSON: end of file expected near '{'; a file of one object a line "
         "is "
         "named .jsonl"},
        {"a.parquet", "PAR1", "with pandas: frame.to_json("},
        {"a.jsonl", "{}\n", "the row has: nothing"},
        {"a.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \n", "a.jsonl:2: row 1: not valid JSON"},
        {"a.jsonl", "{\"prompt\": \"a\", \"prompt\": \"b\"}\n", "duplicate object key"},
        {"a.jsonl", "{\"prompt\": \"a\xff\"}\n",
         "a.jsonl:1: row 0: not valid JSON: unable to decode byte 0xff"},
        {"a.jsonl", "{\"prompt\": \"a\\ud800\"}\n", "not valid JSON"},
        {"a.jsonl", "{\"prompt\": \"a\\u0000b\"}\n", "not valid JSON"},
        {"a.jsonl", "{\"prompt\": 5}\n",
         "a.jsonl:1: field 'prompt': expected a text, a list of texts, or chat messages"},
        {"a.jsonl", "{\"prompt\": null}\n", "expected a text"},
        {"a.jsonl", "{\"prompt\": []}\n", "expected a text"},
        {"a.jsonl", "{\"prompt\": {\"role\": \"user\"}}\n", "expected a text"},
        {"a.jsonl", "{\"prompt\": [{\"role\": \"user\"}]}\n",
         "field 'prompt': message 0: expected {role: text, content: text}"},
        {"a.jsonl", "{\"prompt\": [{\"role\": \"user\", \"content\": [1]}]}\n",
         "message 0: expected"},
        {"a.jsonl", "{\"prompt\": [{\"role\": \"human\", \"content\": \"x\"}]}\n",
         "message 0: role 'human' is not system, user or assistant"},
        {"a.jsonl",
         "{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", "
         "\"content\": \"y\"}]}\n",
         "the last message is not the user's"},
        {"a.jsonl", "{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"}, 3]}\n",
         "message 1: expected"},
        {"a.jsonl", "{\"prompt_ids\": []}\n",
         "a.jsonl:1: field 'prompt_ids': expected a list of token ids"},
        {"a.jsonl", "{\"prompt_ids\": \"1 2\"}\n", "field 'prompt_ids': expected a list"},
        {"a.jsonl", "{\"prompt_ids\": [1, -2]}\n",
         "field 'prompt_ids': element 1 is not a token id"},
        {"a.jsonl", "{\"prompt_ids\": [1.5]}\n", "element 0 is not a token id"},
        {"a.jsonl", "{\"prompt_ids\": [2147483648]}\n", "element 0 is not a token id"},
        {"a.jsonl", "[1]\n", "a.jsonl:1: expected a text or an object"},
        {"a.txt", "fine\n\nbroken \xc3(\n", "a.txt:3: row 1: not valid UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset d;
        struct err e = {0};
        write_file(cases[i].name, cases[i].text, strlen(cases[i].text));
        struct dataset_ref ref = all_rows();
        if (dataset_open(&d, &ref, &e) == 0) fail_msg("accepted: %s", cases[i].text);
        if (!strstr(e.text, cases[i].words))
            fail_msg("for %s expected '%s' in '%s'", cases[i].text, cases[i].words, e.text);
        assert_int_equal(strncmp(e.text, folder, strlen(folder)), 0);
        unlink(path);
    }
}

static void test_bad_choices(void **state)
{
    (void)state;
    struct dataset d;
    struct err e;
    write_file("a.txt", "a\0b\n", 4);
    struct dataset_ref ref = all_rows();
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
    assert_non_null(strstr(e.text, "a.txt:1: row 0: not valid UTF-8 text"));
    write_numbers(3);
    ref.offset = 3;
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
    assert_non_null(strstr(e.text, "no rows are left: dataset.offset is 3, the file has 3 rows"));
    static char nowhere[] = "/nonexistent/a.txt", dir[] = "/tmp/.txt";
    ref.path = nowhere;
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
    assert_non_null(strstr(e.text, "/nonexistent/a.txt: No such file"));
    ref.path = dir;
    assert_int_equal(dataset_open(&d, &ref, &e), -1);
}

/* A row that is not chosen is not parsed: a broken one does no harm, and big files cost little. */
static void test_unchosen_rows(void **state)
{
    (void)state;
    struct dataset d;
    write_file("a.jsonl", "{\"prompt\": \"a\"}\n{broken\n", 24);
    struct dataset_ref ref = all_rows();
    ref.limit = 1;
    must_open(&d, &ref);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.n_rows, 2);
    dataset_free(&d);
}

static void test_many_rows(void **state)
{
    (void)state;
    enum { ROWS = 200000 };
    write_numbers(ROWS);
    struct dataset d;
    choose(&d, 1, 0, -1);
    assert_int_equal(d.n, ROWS);
    dataset_free(&d);
}

/* Random edits: never a crash, always a message that names the file. */
static void test_mutations(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt\": \"one\", \"id\": 7}\n{\"prompt\": [{\"role\": "
                               "\"user\", \"content\": \"a\"}]}\n"
                               "{\"prompt_ids\": [1, 80]}\n\"text\"\n";
    static const char alphabet[] = "{}[]:,'\"\n\\ u0019-.e\xff\xc3\x80\0";
    static const char *const names[] = {"m.jsonl", "m.json", "m.txt"};
    uint64_t rng = 88172645463325252u;
    for (int i = 0; i < 3000; i++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        size_t length = sizeof text - 1;
        for (int k = 0; k < 4; k++) {
            rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
            size_t at = (rng >> 8) % length;
            if ((rng & 15) == 0)
                length = at + 1;
            else
                copy[at] = alphabet[(rng >> 40) % (sizeof alphabet - 1)];
        }
        write_file(names[i % 3], copy, length);
        struct dataset d;
        struct err e = {0};
        struct dataset_ref ref = all_rows();
        if (dataset_open(&d, &ref, &e) == 0)
            dataset_free(&d);
        else
            assert_int_equal(strncmp(e.text, path, strlen(path)), 0);
    }
}

/* ---- real files ---- */

static void test_real_files(void **state)
{
    (void)state;
    static struct {
        const char *file;
        char field[16];
        int64_t n_rows;
    } cases[] = {{"alpaca_farm_100.json", "prompt", 100},
                 {"gsm8k_original_test.jsonl", "question", 1319},
                 {"mt_bench_question.jsonl", "turns", 80}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "%s/prompts/%s", SHARED_DATA_DIR, cases[i].file);
        if (access(path, R_OK)) {
            print_message("no %s here: skipped\n", cases[i].file);
            skip();
        }
        struct dataset d;
        struct dataset_ref ref = all_rows();
        ref.field = cases[i].field;
        must_open(&d, &ref);
        assert_int_equal(d.n, cases[i].n_rows);
        for (int64_t k = 0; k < d.n; k++) {
            assert_int_equal(d.prompts[k].n_messages, 1);
            assert_true(strlen(d.prompts[k].messages[0].content) > 10);
        }
        dataset_free(&d);
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"a.jsonl", "a.json", "a.txt", "numbers.txt",
                                        "m.jsonl", "m.json", "m.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_row_travels),
        cmocka_unit_test(test_lists_and_turns),
        cmocka_unit_test(test_chat_and_system),
        cmocka_unit_test(test_prompt_ids),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_shuffle_is_uniform),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_choices),
        cmocka_unit_test(test_unchosen_rows),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_real_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
