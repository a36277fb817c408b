/* The judge's rewards: written into the file with everything else as it was, or not at all. */
#include "base/log.h"
#include "e2e/trace_synthetic.h"
#include "trace/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128], lock_path[136];
    int64_t judged; /* prompts */
};

enum { PROMPTS = 3 };

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    struct err e;
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_trace_judge.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/a.h5", f->folder);
    snprintf(f->lock_path, sizeof f->lock_path, "%s.lock", f->path);
    struct trace_meta meta = synthetic_meta();
    struct run_row run = synthetic_run();
    struct trace *t = trace_open(f->path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    for (int64_t i = 0; i < PROMPTS; i++) {
        struct trace_record r = synthetic_record(i, PROMPT_OK);
        if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
        synthetic_free(&r);
    }
    trace_close(t);
    *state = f;
    return 0;
}

/* No lock, .tmp or other remains. */
static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static void give_number(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    struct fixture *f = arg;
    for (int64_t i = 0; i < n; i++)
        candidates[i].judge_reward = (float)(100 * row + candidates[i].candidate);
    f->judged++;
}

static int judge(struct fixture *f, trace_judge_fn fn, struct err *e)
{
    struct trace_judge_meta meta = {.judge = "a judge", .job_yaml = "a: job\n"};
    struct lock *lock = lock_take(f->path, NULL, e);
    if (!lock) fail_msg("%s", e->text);
    int rc = trace_judge(f->path, lock, &meta, fn, f, e);
    lock_release(lock);
    return rc;
}

static struct trace_reader *open_reader(const char *path)
{
    struct err e = {0};
    struct trace_reader *r = trace_reader_open(path, &e);
    if (!r) fail_msg("%s", e.text);
    return r;
}

static void rewards_are_written(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    if (judge(f, give_number, &e) < 0) fail_msg("%s", e.text);
    assert_int_equal(f->judged, PROMPTS);
    struct trace_reader *r = open_reader(f->path);
    assert_string_equal(trace_reader_attr(r, "judge"), "a judge");
    assert_string_equal(trace_reader_attr(r, "judged_runs"), "1");
    assert_string_equal(trace_reader_attr(r, "job_yaml"), "a: job\n");
    assert_int_equal(trace_n_prompts(r), PROMPTS);
    for (int64_t p = 0; p < PROMPTS; p++) {
        struct candidate_row *c;
        int64_t n;
        if (trace_read_candidates(r, p, &c, &n, &e) < 0) fail_msg("%s", e.text);
        assert_true(n > 0);
        for (int64_t i = 0; i < n; i++)
            assert_true(c[i].judge_reward == (float)(100 * p + c[i].candidate));
        free(c);
    }
    trace_reader_close(r);
}

/* As somebody does who takes the holder for dead. */
static void take_lock_away(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    struct fixture *f = arg;
    give_number(arg, row, candidates, n);
    if (f->judged == PROMPTS) assert_int_equal(unlink(f->lock_path), 0);
}

/* The file may be another's by now: it is not replaced. */
static void not_without_the_lock(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    assert_int_equal(judge(f, take_lock_away, &e), -1);
    assert_non_null(strstr(e.text, "a.h5.lock was removed or replaced"));
    struct trace_reader *r = open_reader(f->path);
    assert_string_equal(trace_reader_attr(r, "judge"), "");
    for (int64_t i = 0; i < PROMPTS; i++)
        if (synthetic_compare(r, i, &e) < 0) fail_msg("%s", e.text);
    trace_reader_close(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(rewards_are_written), TEST(not_without_the_lock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
