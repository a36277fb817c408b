/* The judge's rewards: written into the file with everything else as it was, or not at all. */
#include "trace/judge.h"
#include "trace_files.h"

enum { PROMPTS = 3 };

static void write_prompts(const struct fixture *f)
{
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < PROMPTS; i++) commit(t, i, PROMPT_OK);
    finish(t, RUN_COMPLETE);
}

static void give_number(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    int64_t *judged = arg;
    for (int64_t i = 0; i < n; i++)
        candidates[i].judge_reward = (float)(100 * row + candidates[i].candidate);
    ++*judged;
}

static int judge(const struct fixture *f, trace_judge_fn fn, void *arg, struct err *e)
{
    struct trace_judge_meta meta = {.judge = "a judge", .job_yaml = "a: job\n"};
    struct lock *lock = lock_take(f->path, NULL, e);
    if (!lock) fail_msg("%s", e->text);
    int rc = trace_judge(f->path, lock, &meta, fn, arg, e);
    lock_release(lock);
    return rc;
}

static void rewards_are_written(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    int64_t judged = 0;
    write_prompts(f);
    if (judge(f, give_number, &judged, &e) < 0) fail_msg("%s", e.text);
    assert_int_equal(judged, PROMPTS);
    struct trace_reader *r = open_reader(f->path);
    assert_string_equal(trace_reader_attr(r, "judge"), "a judge");
    assert_string_equal(trace_reader_attr(r, "judged_runs"), "1");
    assert_string_equal(trace_reader_attr(r, "job_yaml"), "a: job\n");
    assert_int_equal(trace_n_prompts(r), PROMPTS);
    for (int64_t p = 0; p < PROMPTS; p++) {
        struct candidate_row *c;
        int64_t n;
        if (trace_reader_verify(r, p, &e) < 0) fail_msg("%s", e.text);
        if (trace_read_candidates(r, p, &c, &n, &e) < 0) fail_msg("%s", e.text);
        assert_true(n > 0);
        for (int64_t i = 0; i < n; i++)
            assert_true(c[i].judge_reward == (float)(100 * p + c[i].candidate));
        free(c);
    }
    trace_reader_close(r);
}

static void is_not_judged(const struct fixture *f)
{
    struct trace_reader *r = open_reader(f->path);
    assert_string_equal(trace_reader_attr(r, "judge"), "");
    check_all(r);
    trace_reader_close(r);
}

/* As somebody does who takes the holder for dead.  arg: the lock file. */
static void take_lock_away(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    int64_t judged = 0;
    give_number(&judged, row, candidates, n);
    if (row == PROMPTS - 1) assert_int_equal(unlink(arg), 0);
}

/* The file may be another's by now: it is not replaced. */
static void not_without_the_lock(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    char lock[160];
    write_prompts(f);
    snprintf(lock, sizeof lock, "%s.lock", f->path);
    assert_int_equal(judge(f, take_lock_away, lock, &e), -1);
    assert_non_null(strstr(e.text, "a.h5.lock was removed or replaced"));
    is_not_judged(f);
}

/* Rows that are not those that were committed do not get a hash that says they are. */
static void not_what_is_damaged(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    int64_t judged = 0;
    write_prompts(f);
    const int32_t ids[2] = {synthetic_token(1, 0), synthetic_token(1, 1)}, other[2] = {7, 7};
    patch(f->path, ids, other, sizeof ids);
    assert_int_equal(judge(f, give_number, &judged, &e), -1);
    assert_non_null(strstr(e.text, "prompt 1 are not those that were committed"));
    patch(f->path, other, ids, sizeof ids);
    is_not_judged(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(rewards_are_written), TEST(not_without_the_lock),
                                       TEST(not_what_is_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
