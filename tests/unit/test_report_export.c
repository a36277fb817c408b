/* export and result on files made by hand: what a run of a small model does not show. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/export.h"
#include "report/inspect.h"
#include "report/print.h"
#include "report/result.h"
#include "trace/writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char rows[] = "{\"prompt\": \"zero\", \"candidate\": 9}\n"
                           "{\"prompt\": \"one, \\\"two\\\"\", \"more\": {\"deep\": [1, null]}}\n"
                           "{\"prompt\": \"two\"}\n";

static const char job_text[] = "name: hand\n"
                               "generator: {path: generator}\n"
                               "reward: {path: reward}\n"
                               "dataset: {path: rows.jsonl, limit: 2}\n"
                               "n: 3\n";

struct fixture {
    char folder[64];
    struct dataset dataset;
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

struct made {
    int32_t status;
    float reward;
    const char *text; /* NULL: not recorded */
};

/* One prompt with these candidates; the best one's number. */
static void commit(struct trace *t, const struct prompt *p, const struct made *m, int64_t n,
                   int64_t best)
{
    struct err e = {0};
    struct candidate_row c[8] = {0};
    struct bytes text = {0};
    for (int64_t i = 0; i < n; i++) {
        c[i] = (struct candidate_row){.prompt_index = p->index,
                                      .candidate = (int32_t)i,
                                      .status = m[i].status,
                                      .rejected_round = -1,
                                      .reward = m[i].reward,
                                      .judge_reward = NAN,
                                      .logprob_sum = i == 1 ? -INFINITY : -0.5,
                                      .tokens_offset = -1,
                                      .n_tokens = 4,
                                      .text_offset = -1};
        if (!m[i].text) continue;
        c[i].text_offset = (int64_t)text.n;
        for (const char *s = m[i].text; *s; s++) ARRAY_PUSH(text, *s);
        c[i].text_length = (int64_t)text.n - c[i].text_offset;
    }
    struct trace_record r = {.candidates = c,
                             .n_candidates = n,
                             .text = (uint8_t *)text.items,
                             .n_text = (int64_t)text.n};
    r.prompt.prompt_index = p->index;
    snprintf(r.prompt.key, sizeof r.prompt.key, "%s", p->key);
    r.prompt.status = PROMPT_OK;
    r.prompt.n = n;
    r.prompt.best_candidate = best;
    r.prompt.best_reward = best >= 0 ? c[best].reward : NAN;
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    free(text.items);
}

/* hand.h5 in the current folder, prompts in another order than the dataset's. */
static void make_file(struct fixture *f)
{
    static const struct made first[] = {{CANDIDATE_FINISHED, 0.25f, "line\r\nend "},
                                        {CANDIDATE_TRUNCATED, 0.75f, "\xc3\xa4\"\x01"},
                                        {CANDIDATE_REJECTED, 2.0f, "gone"}},
                             second[] = {{CANDIDATE_FINISHED, NAN, "never scored"},
                                         {CANDIDATE_FINISHED, -1.0f, "a,b"},
                                         {CANDIDATE_REJECTED, NAN, "x"}},
                             third[] = {{CANDIDATE_FINISHED, NAN, "lost"}};
    struct err e = {0};
    struct job j;
    if (job_open(&j, "hand.yaml", NULL, 0, &e) < 0) fail_msg("%s", e.text);
    char *yaml = job_to_yaml(&j);
    struct dataset_ref all = j.dataset;
    all.limit = -1; /* the file was continued with a larger limit */
    if (dataset_open(&f->dataset, &all, &e) < 0) fail_msg("%s", e.text);
    struct trace_meta meta = {.job_yaml = yaml, .job_hash = "h", .point_id = "abc", .dtype = "f32"};
    struct run_row run = {.start_unix_s = 1e9, .end_unix_s = NAN, .ranks = 2, .tensor = 2};
    struct trace *t = trace_open("hand.h5", &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    const struct prompt *p = f->dataset.prompts;
    commit(t, &p[2], third, 1, -1);
    commit(t, &p[1], second, 3, 1);
    commit(t, &p[0], first, 3, 1);
    trace_close(t);
    free(yaml);
    job_free(&j);
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_export.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(chdir(f->folder), 0);
    write_text("rows.jsonl", rows);
    write_text("hand.yaml", job_text);
    make_file(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink("rows.jsonl");
    unlink("hand.yaml");
    unlink("hand.h5");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else is left */
    dataset_free(&f->dataset);
    free(f);
    return 0;
}

/* What the verb prints; caller frees. */
static char *exported(const char *format, const char *pick)
{
    struct export_options o = {.format = format, .pick = pick};
    struct err e = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (export_file("hand.h5", &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    return text;
}

static void test_best_in_order(void **state)
{
    (void)state;
    char *text = exported("jsonl", "best");
    assert_string_equal(
        text, "{\"prompt_index\":0,\"prompt\":\"zero\",\"dataset_candidate\":9,\"candidate\":1,"
              "\"response\":\"\xc3\xa4\\\"\\u0001\",\"reward\":0.75,\"logprob_sum\":null,"
              "\"n_tokens\":4,\"status\":\"truncated\"}\n"
              "{\"prompt_index\":1,\"prompt\":\"one, \\\"two\\\"\",\"more\":{\"deep\":[1,null]},"
              "\"candidate\":1,\"response\":\"a,b\",\"reward\":-1.0,\"logprob_sum\":null,"
              "\"n_tokens\":4,\"status\":\"finished\"}\n");
    free(text);
}

static void test_rewards_that_were_not_taken(void **state)
{
    (void)state;
    char *text = exported(NULL, "all");
    int n = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++) {
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(o);
        bool unknown = n == 3 || n == 5 || n == 6;
        assert_int_equal(json_is_null(json_object_get(o, "reward")), unknown);
        json_decref(o);
    }
    assert_int_equal(n, 7);
    free(text);
}

static void test_pairs(void **state)
{
    (void)state;
    /* The rejected one is not a response; one complete answer makes no pair. */
    char *text = exported(NULL, "pairs");
    assert_string_equal(text, "{\"prompt\":\"zero\",\"chosen\":\"\xc3\xa4\\\"\\u0001\","
                              "\"rejected\":\"line\\r\\nend \",\"chosen_reward\":0.75,"
                              "\"rejected_reward\":0.25}\n");
    free(text);
}

static void test_csv(void **state)
{
    (void)state;
    char *text = exported("csv", "all");
    assert_string_equal(
        text,
        "prompt_index,prompt,dataset_candidate,more,candidate,response,reward,logprob_sum,"
        "n_tokens,status\r\n"
        "0,zero,9,,0,\"line\r\nend \",0.25,-0.5,4,finished\r\n"
        "0,zero,9,,1,\"\xc3\xa4\"\"\x01\",0.75,,4,truncated\r\n"
        "0,zero,9,,2,gone,2.0,-0.5,4,rejected\r\n"
        "1,\"one, \"\"two\"\"\",,\"{\"\"deep\"\":[1,null]}\",0,never scored,,-0.5,4,finished\r\n"
        "1,\"one, \"\"two\"\"\",,\"{\"\"deep\"\":[1,null]}\",1,\"a,b\",-1.0,,4,finished\r\n"
        "1,\"one, \"\"two\"\"\",,\"{\"\"deep\"\":[1,null]}\",2,x,,-0.5,4,rejected\r\n"
        "2,two,,,0,lost,,-0.5,4,finished\r\n");
    free(text);
}

static void test_refused(void **state)
{
    (void)state;
    write_text("rows.jsonl", "{\"prompt\": \"other\"}\n"); /* every row has changed */
    struct err e = {0};
    struct export_options o = {.format = "alpaca_eval", .output = "out.json"};
    assert_int_equal(export_file("hand.h5", &o, stdout, &e), -1);
    assert_non_null(strstr(e.text, "has changed since"));
    assert_int_equal(access("out.json", F_OK), -1);
    assert_int_equal(access("out.json.tmp", F_OK), -1);
    o = (struct export_options){.pick = "worst"};
    assert_int_equal(export_file("hand.h5", &o, stdout, &e), -1);
    assert_non_null(strstr(e.text, "none of best, all, pairs"));
}

/* Lines of a field: the label's column, at most 80 columns, characters rather than bytes. */
static void test_wrapping(void **state)
{
    (void)state;
    char *text = NULL, words[400] = "";
    size_t size;
    for (int i = 0; i < 30; i++) strcat(words, i ? " \xc3\xa4\xc3\xa4\xc3\xa4" : "first");
    FILE *out = open_memstream(&text, &size);
    print_field(out, "label", "%s\nnew line\x1b[1m", words);
    fclose(out);
    int lines = 0;
    for (char *line = text; *line; lines++) {
        size_t n = strcspn(line, "\n"), columns = 0;
        for (size_t i = 0; i < n; i++) columns += ((unsigned char)line[i] & 0xc0) != 0x80;
        assert_true(columns <= 80);
        assert_int_equal(strncmp(line, lines ? "                  " : "  label           ", 18), 0);
        assert_true(line[18] != ' ');
        line += n + 1;
    }
    assert_int_equal(lines, 3);
    assert_non_null(strstr(text, "new line?[1m\n"));
    free(text);
}

static void test_summary(void **state)
{
    (void)state;
    struct err e = {0};
    struct inspect_options o = {.json = true, .prompt = -1};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (inspect("hand.h5", &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    assert_int_equal(json_integer_value(json_object_get(j, "prompts_ok")), 3);
    double mean = json_real_value(json_object_get(j, "mean_best_reward"));
    assert_true(mean == (0.75 - 1.0) / 2);
    json_decref(j);
    free(text);
}

/* Of a run whose start is no number. */
static void test_run_without_a_start(void **state)
{
    (void)state;
    struct err e = {0};
    struct inspect_options o = {.json = true, .prompt = -1};
    struct job j;
    if (job_open(&j, "hand.yaml", NULL, 0, &e) < 0) fail_msg("%s", e.text);
    char *yaml = job_to_yaml(&j), *text = NULL;
    struct trace_meta meta = {.job_yaml = yaml};
    struct run_row run = {.start_unix_s = NAN, .end_unix_s = 1e9, .ranks = 1, .tensor = 1};
    struct trace *t = trace_open("odd.h5", &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    trace_close(t);
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (inspect("odd.h5", &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    assert_non_null(strstr(text, "\"wall_s\": null"));
    free(text);
    free(yaml);
    job_free(&j);
    assert_int_equal(unlink("odd.h5"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_best_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rewards_that_were_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_csv, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_run_without_a_start, setup, teardown),
        cmocka_unit_test(test_wrapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
