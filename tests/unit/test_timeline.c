/* specrej timeline on small made-up result files: every event against what its rows say. */
#include "base/json.h"
#include "base/span.h"
#include "report/timeline.h"
#include "report_place.h"
#include "trace/writer.h"

#include <math.h>

/* ---- made-up files ---- */

/* The folder's one file. */
static struct trace *open_file(struct place *p, const char *set, const struct run_row *run)
{
    struct job j;
    struct err e = {0};
    char *sets = mem_printf("name=made;%s", set ? set : "");
    if (p->n_paths == 0) p->paths[p->n_paths++] = mem_printf("%s/made.h5", p->folder);
    open_job(p, &j, sets);
    char *yaml = job_to_yaml(&j);
    struct trace_meta meta = {.job_yaml = yaml, .point_id = "0123", .reproducible = true};
    struct trace *t = trace_open(p->paths[0], &meta, run, true, &e);
    if (!t) fail_msg("%s", e.text);
    free(yaml);
    free(sets);
    job_free(&j);
    return t;
}

static void commit(struct trace *t, const struct trace_record *r)
{
    struct err e = {0};
    if (trace_commit(t, r, &e) < 0) fail_msg("%s", e.text);
}

static void end_run(struct trace *t, struct run_row run, double end_unix_s)
{
    struct err e = {0};
    run.end_unix_s = end_unix_s;
    run.status = RUN_COMPLETE;
    if (trace_update_run(t, &run, &e) < 0) fail_msg("%s", e.text);
}

/* ---- events ---- */

/* The document without its names of tracks. */
static json_t *timeline(const struct place *p, int64_t prompt)
{
    struct err e = {0};
    struct timeline_options o = {.prompt = prompt};
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (timeline_file(p->paths[0], &o, f, &e) < 0) fail_msg("%s", e.text);
    fclose(f);
    json_error_t error;
    json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!j) fail_msg("line %d: %s: %s", error.line, error.text, text);
    free(text);
    return j;
}

static json_t *events_of(json_t *j)
{
    json_t *all = json_object_get(j, "traceEvents"), *x;
    size_t i = 0;
    while ((x = json_array_get(all, i)) != NULL)
        if (strcmp(json_string_value(json_object_get(x, "ph")), "M") == 0)
            json_array_remove(all, i);
        else
            i++;
    return all;
}

/* One line per event: "X 2/1 1000.000 +200.000 prefill" (counters: "C 2 1000.000 name=value"). */
static char *line_of(const json_t *x)
{
    const char *ph = json_string_value(json_object_get(x, "ph")),
               *name = json_string_value(json_object_get(x, "name"));
    long long pid = json_integer_value(json_object_get(x, "pid")),
              tid = json_integer_value(json_object_get(x, "tid"));
    double ts = json_number_value(json_object_get(x, "ts"));
    if (strcmp(ph, "C") == 0) {
        void *first = json_object_iter(json_object_get(x, "args"));
        return mem_printf("C %lld %.3f %s=%g", pid, ts, name,
                          json_number_value(json_object_iter_value(first)));
    }
    if (strcmp(ph, "i") == 0) return mem_printf("i %lld/%lld %.3f %s", pid, tid, ts, name);
    return mem_printf("%s %lld/%lld %.3f +%.3f %s", ph, pid, tid, ts,
                      json_number_value(json_object_get(x, "dur")), name);
}

static void assert_events(const json_t *events, const char *const *want, size_t n)
{
    for (size_t i = 0; i < n && i < json_array_size(events); i++) {
        char *got = line_of(json_array_get(events, i));
        if (strcmp(got, want[i]) != 0) fail_msg("event %zu: '%s', not '%s'", i, got, want[i]);
        free(got);
    }
    assert_int_equal(json_array_size(events), n);
}
#define ASSERT_EVENTS(events, want) assert_events(events, want, sizeof(want) / sizeof *(want))

static long long argument(const json_t *events, size_t i, const char *name)
{
    json_t *v = json_object_get(json_object_get(json_array_get(events, i), "args"), name);
    if (!json_is_integer(v)) fail_msg("event %zu has no integer %s", i, name);
    return json_integer_value(v);
}

/* ---- tests ---- */

/* A prompt of 20 tokens (2 pages of 16) and 4 candidates.  Candidate 0 ended by itself after 5
 * tokens, the round at 16 dropped candidate 1, the others ended at 20 and 33. */
static void commit_rejection(struct trace *t)
{
    struct candidate_row c[4];
    static const int64_t lengths[] = {5, 16, 20, 33};
    for (int32_t i = 0; i < 4; i++)
        c[i] = (struct candidate_row){.prompt_index = 3,
                                      .candidate = i,
                                      .n_tokens = lengths[i],
                                      .tokens_offset = -1,
                                      .text_offset = -1};
    struct round_row rounds[] = {
        {3, 0, TRIGGER_MEMORY, 16, 4, 3, 1, 0.5f, 0, 96, 80, 1.10041, 1.2003},
        {3, 1, TRIGGER_FINAL, 33, 3, 3, 3, NAN, 0, 96, 32, 1.42, 1.43}};
    struct trace_row spans[] = {{0, SPAN_PREFILL, 3, 0, 1000001000, 1000201000, 1, 20, 0},
                                {0, SPAN_DECODE, 3, 16, 1000300000, 1100300000, 3, 53, 0},
                                {0, SPAN_SCORE, 3, 16, 1100500000, 1200000000, 4, 53, 0},
                                {0, SPAN_DECIDE, 3, 16, 1100400000, 1200400000, 1, 0, 0},
                                {0, SPAN_DECODE, 3, 33, 1210000000, 1410000000, 1, 21, 7}};
    struct trace_record r = {.candidates = c,
                             .n_candidates = 4,
                             .rounds = rounds,
                             .n_rounds = 2,
                             .trace = spans,
                             .n_trace = 5};
    r.prompt = (struct prompt_row){.prompt_index = 3,
                                   .n = 4,
                                   .alpha = 0.5,
                                   .rounds = 2,
                                   .prompt_tokens = 20,
                                   .start_s = 1,
                                   .wall_s = 0.5,
                                   .best_candidate = 2,
                                   .best_reward = 1.5f};
    commit(t, &r);
}

static void test_rejection(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 1000, .ranks = 1, .groups = 1, .tensor = 1, .hosts = "a"};
    struct trace *t = open_file(p, NULL, &run);
    commit_rejection(t);
    end_run(t, run, 1002.5);
    trace_close(t);
    static const char *const want[] = {
        "X 1/1 0.000 +2500000.000 run 0",       "X 2/1 1000000.000 +500000.000 prompt 3",
        "X 2/1 1000001.000 +200.000 prefill",   "X 2/1 1000300.000 +100000.000 decode",
        "C 2 1000300.000 tokens/s=530",         "C 2 1000300.000 live candidates=3",
        "C 2 1000300.000 KV tokens=32",         "X 2/1 1100400.000 +100000.000 decide",
        "C 2 1100400.000 tokens/s=0",           "C 2 1100410.000 KV tokens=80",
        "X 2/1 1100500.000 +99500.000 score",   "i 2/1 1200300.000 round 0 (memory)",
        "X 2/1 1210000.000 +200000.000 decode", "C 2 1210000.000 tokens/s=105",
        "C 2 1210000.000 live candidates=1",    "C 2 1210000.000 KV tokens=64",
        "C 2 1420000.000 KV tokens=32",         "i 2/1 1430000.000 round 1 (final)",
        "C 2 1500000.000 tokens/s=0",           "C 2 1500000.000 live candidates=0",
        "C 2 1500000.000 KV tokens=0"};
    json_t *j = timeline(p, -1), *events = events_of(j);
    ASSERT_EVENTS(events, want);
    assert_int_equal(argument(events, 1, "best_candidate"), 2);
    assert_int_equal(argument(events, 12, "step"), 33);
    assert_int_equal(argument(events, 12, "bytes"), 7);
    assert_int_equal(argument(events, 11, "ranked"), 4);
    assert_int_equal(argument(events, 11, "budget_tokens"), 96);
    json_t *other = json_object_get(j, "otherData");
    assert_string_equal(json_string_value(json_object_get(other, "point_id")), "0123");
    json_decref(j);
}

/* trace: steps: a phase's step is that of its beginning.  trace: off leaves prompts and rounds. */
static void test_other_recordings(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 5, .ranks = 1, .groups = 1, .tensor = 1};
    struct trace *t = open_file(p, "record.trace=steps", &run);
    commit_rejection(t);
    trace_close(t);
    json_t *j = timeline(p, -1), *events = events_of(j);
    char *kv = line_of(json_array_get(events, 6)); /* nobody left at 16 but two: a page each */
    assert_string_equal(kv, "C 2 1000300.000 KV tokens=64");
    free(kv);
    kv = line_of(json_array_get(events, 15)); /* nobody got a token behind 33 */
    assert_string_equal(kv, "C 2 1210000.000 KV tokens=32");
    free(kv);
    json_decref(j);
}

static void test_without_spans(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 5, .ranks = 1, .groups = 1, .tensor = 1};
    struct round_row round = {3, 0, TRIGGER_EARLY, 16, 4, 3, 1, 0.5f, 0, 96, 80, 1.25, 1.5};
    struct trace_record r = {.rounds = &round, .n_rounds = 1};
    r.prompt = (struct prompt_row){.prompt_index = 3, .alpha = 0.5, .start_s = 1, .wall_s = 1};
    struct trace *t = open_file(p, "record.trace=off", &run);
    commit(t, &r);
    trace_close(t);
    static const char *const want[] = {
        "X 1/1 0.000 +2000000.000 run 0",    "X 2/1 1000000.000 +1000000.000 prompt 3",
        "C 2 1250000.000 KV tokens=80",      "C 2 1250000.000 live candidates=3",
        "i 2/1 1500000.000 round 0 (early)", "C 2 2000000.000 KV tokens=0"};
    json_t *j = timeline(p, -1);
    ASSERT_EVENTS(events_of(j), want);
    json_decref(j);
}

static void commit_spans(struct trace *t, int64_t index, int32_t group, double start_s,
                         struct trace_row *spans, int64_t n)
{
    struct trace_record r = {.trace = spans, .n_trace = n};
    r.prompt = (struct prompt_row){
        .prompt_index = index, .group = group, .start_s = start_s, .wall_s = 0.01};
    for (int64_t i = 0; i < n; i++) spans[i].prompt_index = index;
    commit(t, &r);
}

/* Two groups of two ranks: by time over groups, which commit in another order; each rank its own
 * prompt event; counters of a group from its first rank. */
static void test_groups(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 7, .ranks = 4, .groups = 2, .tensor = 2, .hosts = "a, b"};
    struct trace_row first[] = {{3, SPAN_DECODE, 0, 1, 21000000, 25000000, 8, 80, 0},
                                {2, SPAN_DECODE, 0, 1, 22000000, 24000000, 8, 80, 0}},
                     second[] = {{0, SPAN_DECODE, 0, 1, 11000000, 19000000, 4, 40, 0}},
                     third[] = {{1, SPAN_DECODE, 0, 1, 31000000, 32000000, 4, 40, 0}};
    struct trace *t = open_file(p, NULL, &run);
    commit_spans(t, 8, 1, 0.02, first, 2);
    commit_spans(t, 5, 0, 0.01, second, 1);
    commit_spans(t, 2, 0, 0.03, third, 1);
    trace_close(t);
    static const char *const want[] = {
        "X 1/1 0.000 +40000.000 run 0",       "X 2/1 10000.000 +10000.000 prompt 5",
        "X 2/1 11000.000 +8000.000 decode",   "C 2 11000.000 tokens/s=5000",
        "C 2 11000.000 live candidates=4",    "X 3/3 20000.000 +10000.000 prompt 8",
        "C 2 20000.000 tokens/s=0",           "C 2 20000.000 live candidates=0",
        "X 3/4 21000.000 +4000.000 prompt 8", "X 3/4 21000.000 +4000.000 decode",
        "X 3/3 22000.000 +2000.000 decode",   "C 3 22000.000 tokens/s=40000",
        "C 3 22000.000 live candidates=8",    "X 2/1 30000.000 +10000.000 prompt 2",
        "C 3 30000.000 tokens/s=0",           "C 3 30000.000 live candidates=0",
        "X 2/2 31000.000 +1000.000 prompt 2", "X 2/2 31000.000 +1000.000 decode"};
    json_t *j = timeline(p, -1), *events = events_of(j);
    /* Equal times of two groups come in either order. */
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(events) && !found; k++) {
            char *line = line_of(json_array_get(events, k));
            found = strcmp(line, want[i]) == 0;
            free(line);
        }
        if (!found) fail_msg("no event '%s'", want[i]);
    }
    assert_int_equal(json_array_size(events), sizeof want / sizeof *want);
    double last = 0;
    for (size_t k = 0; k < json_array_size(events); k++) {
        double ts = json_number_value(json_object_get(json_array_get(events, k), "ts"));
        assert_true(ts >= last);
        last = ts;
    }
    json_decref(j);
}

/* The second start comes 100 s later; a third one, by a clock that was set back, behind it. */
static void test_runs(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 50, .ranks = 1, .groups = 1, .tensor = 1};
    for (int i = 0; i < 3; i++) {
        run.start_unix_s = i == 2 ? 40 : 50 + 100 * i;
        run.end_unix_s = NAN;
        struct trace *t = open_file(p, NULL, &run);
        commit_spans(t, i, 0, 0.5, NULL, 0);
        if (i == 1) end_run(t, run, 160);
        trace_close(t);
    }
    static const char *const want[] = {
        "X 1/1 0.000 +510000.000 run 0",           "X 2/1 500000.000 +10000.000 prompt 0",
        "X 1/1 100000000.000 +10000000.000 run 1", "X 2/1 100500000.000 +10000.000 prompt 1",
        "X 1/1 110000000.000 +510000.000 run 2",   "X 2/1 110500000.000 +10000.000 prompt 2"};
    json_t *j = timeline(p, -1);
    ASSERT_EVENTS(events_of(j), want);
    json_decref(j);
    static const char *const only[] = {
        "X 1/1 0.000 +510000.000 run 0", "X 1/1 100000000.000 +10000000.000 run 1",
        "X 2/1 100500000.000 +10000.000 prompt 1", "X 1/1 110000000.000 +510000.000 run 2"};
    j = timeline(p, 1);
    ASSERT_EVENTS(events_of(j), only);
    json_decref(j);
    struct err e = {0};
    struct timeline_options o = {.prompt = 9};
    assert_int_equal(timeline_file(p->paths[0], &o, stdout, &e), -1);
    assert_non_null(strstr(e.text, "holds no prompt 9"));
}

/* Phases that overlap without enclosing each other: no viewer could draw them. */
static void test_damaged(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 7, .ranks = 1, .groups = 1, .tensor = 0};
    struct trace_row spans[] = {{0, SPAN_DECIDE, 0, 1, 11000000, 14000000, 1, 0, 0},
                                {0, SPAN_SCORE, 0, 1, 12000000, 19000000, 1, 0, 0},
                                {0, 99, 0, 1, 15000000, 13000000, 1, 0, 0}};
    struct trace *t = open_file(p, NULL, &run);
    struct trace_record r = {.trace = spans, .n_trace = 3};
    r.prompt = (struct prompt_row){
        .prompt_index = 1, .status = PROMPT_FAILED, .start_s = 0.01, .wall_s = 0.01};
    strcpy(r.prompt.reason, "a \"reason\"\n\xff");
    commit(t, &r);
    trace_close(t);
    static const char *const want[] = {
        "X 1/1 0.000 +20000.000 run 0", "X 2/1 10000.000 +10000.000 prompt 1 (failed)",
        "X 2/1 11000.000 +3000.000 decide", "X 2/1 12000.000 +2000.000 score",
        "X 2/1 15000.000 +0.000 ?"};
    json_t *j = timeline(p, -1);
    ASSERT_EVENTS(events_of(j), want);
    json_decref(j);
}

/* A job that has just begun. */
static void test_empty(void **state)
{
    struct place *p = *state;
    struct run_row run = {.start_unix_s = 7,
                          .end_unix_s = NAN,
                          .ranks = 2,
                          .groups = 1,
                          .tensor = 2,
                          .hosts = "node7"};
    struct trace *t = open_file(p, NULL, &run);
    json_t *j = timeline(p, -1), *all = json_object_get(j, "traceEvents"), *x;
    size_t i, names = 0;
    json_array_foreach(all, i, x)
    {
        const char *name = json_string_value(json_object_get(json_object_get(x, "args"), "name"));
        if (name && strcmp(name, "group 0: node7") == 0) names++;
        if (name && strcmp(name, "rank 1") == 0) names++;
    }
    assert_int_equal(names, 2);
    static const char *const want[] = {"X 1/1 0.000 +0.000 run 0"};
    ASSERT_EVENTS(events_of(j), want);
    json_decref(j);
    trace_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_rejection),     TEST(test_other_recordings),
                                       TEST(test_without_spans), TEST(test_groups),
                                       TEST(test_runs),          TEST(test_damaged),
                                       TEST(test_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
