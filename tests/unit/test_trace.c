/* The result file: what is written is read, what is there is continued, a full disk, a reader
 * beside the writer.  Bad files and places: test_trace_refused.c; the judge: test_trace_judge.c;
 * kills and power cuts: test_trace_crash.c and tests/e2e/test_trace_kill.sh. */
#include "base/clock.h"
#include "trace/types.h"
#include "trace_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void written_and_read(void **state)
{
    const struct fixture *f = *state;
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 40; i++) commit(t, i, i % 11 == 5 ? PROMPT_SKIPPED : PROMPT_OK);
    finish(t, RUN_COMPLETE);
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 40);
    check_all(r);
    assert_int_equal(trace_n_runs(r), 1);
    const struct run_row *run = trace_runs(r);
    assert_string_equal(run->hosts, "n1,n2");
    assert_int_equal(run->status, RUN_COMPLETE);
    assert_int_equal(run->first_prompt, 0);
    assert_int_equal(run->last_prompt, 40);
    trace_reader_close(r);
}

static void attributes(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct trace_meta meta = synthetic_meta();
    struct run_row run = synthetic_run();
    /* Longer than the 64 KiB of an object header, not ASCII. */
    size_t n = 300000;
    char *yaml = mem_calloc(n + 1, 1);
    for (size_t i = 0; i < n; i += 3) memcpy(yaml + i, i % 300 ? "\xe2\x82\xac" : "a:\n", 3);
    meta.job_yaml = yaml;
    meta.commit = NULL;
    struct trace *t = trace_open(f->path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    trace_close(t);
    struct trace_reader *r = open_reader(f->path);
    assert_string_equal(trace_reader_attr(r, "job_yaml"), yaml);
    assert_string_equal(trace_reader_attr(r, "commit"), "");
    assert_string_equal(trace_reader_attr(r, "format_version"), "1");
    assert_string_equal(trace_reader_attr(r, "point_id"), "p01nt");
    assert_string_equal(trace_reader_attr(r, "budget_tokens"), "1048576");
    assert_string_equal(trace_reader_attr(r, "n"), "60");
    assert_string_equal(trace_reader_attr(r, "reproducible"), "true");
    assert_string_equal(trace_reader_attr(r, "judge"), "");
    assert_string_equal(trace_reader_attr(r, "judged_runs"), "0");
    assert_null(trace_reader_attr(r, "no such attribute"));
    assert_int_equal(trace_n_prompts(r), 0);
    trace_reader_close(r);
    free(yaml);
}

/* String fields with anything behind the NUL, or without one, give the same bytes. */
static void strings_are_tidied(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct trace *t = open_trace(f->path);
    struct trace_record rec = synthetic_record(1, PROMPT_SKIPPED);
    memset(rec.prompt.reason, 'x', sizeof rec.prompt.reason);
    memset(rec.prompt.key, 'y', sizeof rec.prompt.key);
    rec.prompt.key[3] = 0;
    assert_int_equal(trace_commit(t, &rec, &e), 0);
    synthetic_free(&rec);
    trace_close(t);
    struct trace_reader *r = open_reader(f->path);
    const struct prompt_row *p = trace_prompts(r);
    char want[sizeof p->key] = "yyy";
    assert_memory_equal(p->key, want, sizeof want);
    assert_int_equal(strlen(p->reason), sizeof p->reason - 1);
    trace_reader_close(r);
}

static void many_candidates(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    enum { N = 100000, EACH = 3 };
    struct trace *t = open_trace(f->path);
    commit(t, 0, PROMPT_OK);
    struct trace_record rec = {
        .prompt = {.prompt_index = 1}, .n_candidates = N, .n_tokens = N * EACH};
    rec.candidates = mem_calloc(N, sizeof *rec.candidates);
    rec.tokens = mem_calloc(N * EACH, sizeof *rec.tokens);
    for (int i = 0; i < N; i++)
        rec.candidates[i] = (struct candidate_row){.prompt_index = 1,
                                                   .candidate = i,
                                                   .tokens_offset = i * EACH,
                                                   .n_tokens = EACH,
                                                   .text_offset = -1};
    for (int i = 0; i < N * EACH; i++) rec.tokens[i] = i;
    double start = clock_s();
    assert_int_equal(trace_commit(t, &rec, &e), 0);
    print_message("a prompt with %d candidates: committed in %.3f s\n", N, clock_s() - start);
    synthetic_free(&rec);
    commit(t, 2, PROMPT_OK);
    trace_close(t);
    struct trace_reader *r = open_reader(f->path);
    struct candidate_row *c;
    int64_t n;
    assert_int_equal(trace_read_candidates(r, 1, &c, &n, &e), 0);
    assert_int_equal(n, N);
    int32_t ids[EACH];
    assert_int_equal(trace_read_tokens(r, c[N - 1].tokens_offset, EACH, ids, &e), 0);
    assert_int_equal(ids[EACH - 1], N * EACH - 1);
    free(c);
    assert_int_equal(synthetic_compare(r, 2, &e), 0);
    trace_reader_close(r);
}

static void reads_outside_of_a_pool(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct trace *t = open_trace(f->path);
    commit(t, 1, PROMPT_OK);
    trace_close(t);
    struct trace_reader *r = open_reader(f->path);
    int32_t ids[4];
    int64_t n = trace_n_rows(r, T_TOKENS);
    assert_int_equal(trace_read_tokens(r, n, 0, ids, &e), 0);
    assert_int_equal(trace_read_tokens(r, n - 1, 2, ids, &e), -1);
    assert_non_null(strstr(e.text, "outside of /tokens"));
    assert_int_equal(trace_read_tokens(r, -1, 1, ids, &e), -1);
    assert_int_equal(trace_read_tokens(r, 1, INT64_MAX, ids, &e), -1);
    trace_reader_close(r);
}

/* A file that was closed in order is appended to as it is. */
static void continued_in_place(void **state)
{
    const struct fixture *f = *state;
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 10; i++) commit(t, i, PROMPT_OK);
    finish(t, RUN_CONTINUE);
    ino_t inode = inode_of(f->path);
    t = open_trace(f->path);
    assert_int_equal(inode_of(f->path), inode);
    int64_t n;
    const int64_t *done = trace_committed(t, &n);
    assert_int_equal(n, 10);
    for (int64_t i = 0; i < n; i++) assert_int_equal(done[i], i);
    commit(t, 10, PROMPT_OK);
    finish(t, RUN_COMPLETE);
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 11);
    check_all(r);
    assert_int_equal(trace_n_runs(r), 2);
    assert_int_equal(trace_runs(r)[1].first_prompt, 10);
    assert_int_equal(trace_runs(r)[1].last_prompt, 11);
    assert_int_equal(trace_prompts(r)[10].run, 1);
    trace_reader_close(r);
}

/* A failed prompt is done again: its earlier rows do not stay, and what follows them moves up. */
static void failed_prompts_are_dropped(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 12; i++) {
        struct trace_record rec = synthetic_record(i, PROMPT_OK);
        if (i % 3 == 0) rec.prompt.status = PROMPT_FAILED; /* with rows in every table */
        assert_int_equal(trace_commit(t, &rec, &e), 0);
        synthetic_free(&rec);
    }
    finish(t, RUN_CONTINUE);
    t = open_trace(f->path);
    int64_t n;
    trace_committed(t, &n);
    assert_int_equal(n, 8);
    for (int64_t i = 0; i < 12; i += 3) commit(t, i, PROMPT_OK);
    finish(t, RUN_COMPLETE);
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 12);
    check_all(r);
    assert_int_equal(trace_runs(r)[0].last_prompt, 8);
    assert_int_equal(trace_runs(r)[1].first_prompt, 8);
    assert_int_equal(trace_runs(r)[1].last_prompt, 12);
    trace_reader_close(r);
}

/* Run a part of a test in a process of its own; it ends by _exit or a signal. */
static int in_child(void (*part)(const struct fixture *), const struct fixture *f)
{
    pid_t child = fork();
    if (child == 0) {
        part(f);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void commit_and_die(const struct fixture *f)
{
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 5; i++) commit(t, i, PROMPT_OK);
    raise(SIGKILL);
}

static void killed_run_is_marked(void **state)
{
    const struct fixture *f = *state;
    assert_true(WIFSIGNALED(in_child(commit_and_die, f)));
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 5);
    assert_int_equal(trace_runs(r)[0].status, RUN_RUNNING);
    check_all(r);
    trace_reader_close(r);
    char tmp[160];
    snprintf(tmp, sizeof tmp, "%s.tmp", f->path);
    FILE *left = fopen(tmp, "w"); /* of a copy that was killed */
    assert_non_null(left);
    fputs("rubbish", left);
    fclose(left);
    ino_t inode = inode_of(f->path);
    finish(open_trace(f->path), RUN_COMPLETE);
    assert_int_not_equal(inode_of(f->path), inode);
    r = open_reader(f->path);
    assert_int_equal(trace_runs(r)[0].status, RUN_KILLED);
    assert_int_equal(trace_runs(r)[0].last_prompt, 5);
    check_all(r);
    trace_reader_close(r);
}

static void commit_then_exit(const struct fixture *f)
{
    static struct trace *volatile t; /* still known at exit: not a leak */
    t = open_trace(f->path);
    commit(t, 0, PROMPT_OK);
    exit(0); /* runs exit handlers; no trace_close */
}

static void exit_writes_nothing(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(in_child(commit_then_exit, f), 0);
    /* Byte 11 of the superblock says whether a writer closed the file. */
    int fd = open(f->path, O_RDONLY);
    unsigned char flags = 0;
    assert_int_equal(pread(fd, &flags, 1, 11), 1);
    close(fd);
    assert_int_not_equal(flags, 0);
    struct trace *t = open_trace(f->path);
    int64_t n;
    trace_committed(t, &n);
    assert_int_equal(n, 1);
    trace_close(t);
}

/* ---- a full disk ---- */

static void fill_disk(const struct fixture *f)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {1500000, 1500000};
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0) _exit(10);
    struct err e = {0};
    struct run_row run = synthetic_run();
    struct trace *t = open_trace(f->path);
    int64_t i = 0, n_done;
    for (int rc = 0; rc == 0 && i < 1000; i++) {
        struct trace_record rec = synthetic_record(i, PROMPT_OK);
        rc = trace_commit(t, &rec, &e);
        synthetic_free(&rec);
    }
    if (!strstr(e.text, f->path) || !strstr(e.text, "File too large")) _exit(11);
    trace_committed(t, &n_done);
    if (n_done != i - 1) _exit(12);
    /* Nothing goes on, and closing leaves the file alone. */
    struct stat before, after;
    stat(f->path, &before);
    struct trace_record rec = synthetic_record(2000, PROMPT_OK);
    if (trace_commit(t, &rec, &e) == 0 || !strstr(e.text, "earlier write failed")) _exit(13);
    if (trace_update_run(t, &run, &e) == 0) _exit(14);
    trace_close(t);
    stat(f->path, &after);
    if (before.st_size != after.st_size || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec)
        _exit(15);
    /* The same process can read the file, and try again. */
    struct trace_reader *r = trace_reader_open(f->path, &e);
    if (!r || trace_n_prompts(r) != n_done) _exit(16);
    trace_reader_close(r);
    exit((int)n_done);
}

static void disk_full(void **state)
{
    const struct fixture *f = *state;
    int status = in_child(fill_disk, f);
    assert_true(WIFEXITED(status));
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), WEXITSTATUS(status));
    assert_true(trace_n_prompts(r) > 0);
    check_all(r);
    trace_reader_close(r);
    struct trace *t = open_trace(f->path);
    int64_t n;
    trace_committed(t, &n);
    assert_int_equal(n, WEXITSTATUS(status));
    commit(t, n, PROMPT_OK);
    finish(t, RUN_COMPLETE);
}

static void fail_to_create(const struct fixture *f)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {5000, 5000};
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0) _exit(10);
    struct err e = {0};
    struct run_row run = synthetic_run();
    struct trace_meta meta = synthetic_meta();
    if (trace_open(f->path, &meta, &run, false, &e)) _exit(11);
    if (!strstr(e.text, "File too large")) _exit(12);
    exit(0);
}

static void disk_full_from_the_start(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(in_child(fail_to_create, f), 0);
    assert_int_not_equal(access(f->path, F_OK), 0); /* and teardown: no .tmp, no lock */
}

/* ---- a reader beside a writer ---- */

enum { LIVE_PROMPTS = 120 };

static void write_live(const struct fixture *f)
{
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < LIVE_PROMPTS; i++) commit(t, i, PROMPT_OK);
    finish(t, RUN_COMPLETE);
}

static void read_while_written(void **state)
{
    const struct fixture *f = *state;
    trace_close(open_trace(f->path));
    pid_t child = fork();
    if (child == 0) {
        write_live(f);
        _exit(0);
    }
    int status = 0;
    int64_t seen = 0, n_opens = 0, n_between = 0;
    for (bool is_running = true; is_running; n_opens++) {
        is_running = waitpid(child, &status, WNOHANG) == 0;
        struct trace_reader *r = open_reader(f->path);
        int64_t n = trace_n_prompts(r);
        assert_true(n >= seen);
        for (int64_t i = seen; i < n; i++) {
            struct err e = {0};
            if (synthetic_compare(r, i, &e) < 0) fail_msg("%s", e.text);
        }
        n_between += n > 0 && n < LIVE_PROMPTS;
        seen = n;
        trace_reader_close(r);
    }
    assert_int_equal(status, 0);
    assert_int_equal(seen, LIVE_PROMPTS);
    assert_true(n_between > 0);
    print_message("%d opens, %d of them in between\n", (int)n_opens, (int)n_between);
}

/* /candidates as programs wrote it that knew no FINISH_NUMERICS. */
static void make_older(const char *path)
{
    hid_t access = h5_access(), file = H5Fopen(path, H5F_ACC_RDWR, access);
    hid_t data = H5Dopen2(file, "/candidates", H5P_DEFAULT), space = H5Dget_space(data),
          chunks = H5Dget_create_plist(data), ours = types_create(T_CANDIDATES),
          older = types_create_older(T_CANDIDATES);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    struct candidate_row *rows = mem_calloc((size_t)n, sizeof *rows);
    assert_true(H5Dread(data, ours, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(data);
    H5Sclose(space);
    hsize_t extent = (hsize_t)n, most = H5S_UNLIMITED;
    space = H5Screate_simple(1, &extent, &most);
    assert_true(H5Ldelete(file, "/candidates", H5P_DEFAULT) >= 0);
    data = H5Dcreate2(file, "/candidates", older, space, H5P_DEFAULT, chunks, H5P_DEFAULT);
    assert_true(data >= 0);
    assert_true(H5Dwrite(data, older, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
    H5Dclose(data);
    H5Sclose(space);
    H5Pclose(chunks);
    H5Pclose(access);
    H5Tclose(ours);
    H5Tclose(older);
    H5Fclose(file);
    free(rows);
}

/* Read as it is; continued in a copy that may have all values. */
static void file_of_an_older_program(void **state)
{
    const struct fixture *f = *state;
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 10; i++) commit(t, i, PROMPT_OK);
    finish(t, RUN_STOPPED);
    make_older(f->path);
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 10);
    check_all(r);
    trace_reader_close(r);
    ino_t before = inode_of(f->path);
    t = open_trace(f->path);
    assert_int_not_equal(inode_of(f->path), before);
    struct trace_record one = synthetic_record(20, PROMPT_OK);
    assert_true(one.n_candidates > 0);
    one.candidates[0].finish_reason = FINISH_NUMERICS;
    struct err e = {0};
    if (trace_commit(t, &one, &e) < 0) fail_msg("%s", e.text);
    synthetic_free(&one);
    finish(t, RUN_COMPLETE);
    r = open_reader(f->path);
    struct candidate_row *rows;
    int64_t n;
    assert_int_equal(trace_n_prompts(r), 11);
    assert_int_equal(trace_read_candidates(r, 10, &rows, &n, &e), 0);
    assert_int_equal(rows[0].finish_reason, FINISH_NUMERICS);
    for (int64_t i = 0; i < 10; i++)
        if (synthetic_compare(r, i, &e) < 0) fail_msg("%s", e.text);
    free(rows);
    trace_reader_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(written_and_read),
        TEST(attributes),
        TEST(strings_are_tidied),
        TEST(many_candidates),
        TEST(reads_outside_of_a_pool),
        TEST(continued_in_place),
        TEST(failed_prompts_are_dropped),
        TEST(file_of_an_older_program),
        TEST(killed_run_is_marked),
        TEST(exit_writes_nothing),
        TEST(disk_full),
        TEST(disk_full_from_the_start),
        TEST(read_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
