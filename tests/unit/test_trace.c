/* The result file: what is written is read, what is there is continued, and every kind of bad file
 * or place gives a message that says what is wrong.  Kills and power cuts: test_trace_crash.c and
 * tests/e2e/test_trace_kill.sh. */
#include "base/clock.h"
#include "base/log.h"
#include "e2e/trace_synthetic.h"
#include "trace/types.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128];
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_trace.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/a.h5", f->folder);
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

static struct trace *open_trace(const char *path)
{
    struct err e = {0};
    struct trace_meta meta = synthetic_meta();
    struct run_row run = synthetic_run();
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    return t;
}

static struct trace_reader *open_reader(const char *path)
{
    struct err e = {0};
    struct trace_reader *r = trace_reader_open(path, &e);
    if (!r) fail_msg("%s", e.text);
    return r;
}

static void commit(struct trace *t, int64_t index, enum prompt_status status)
{
    struct err e = {0};
    struct trace_record r = synthetic_record(index, status);
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    synthetic_free(&r);
}

static void finish(struct trace *t, enum run_status status)
{
    struct err e = {0};
    struct run_row run = synthetic_run();
    run.status = status;
    if (trace_update_run(t, &run, &e) < 0) fail_msg("%s", e.text);
    trace_close(t);
}

static void check_all(struct trace_reader *r)
{
    struct err e = {0};
    for (int64_t i = 0; i < trace_n_prompts(r); i++)
        if (synthetic_compare(r, i, &e) < 0) fail_msg("%s", e.text);
}

static ino_t inode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

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

/* ---- expected failures ---- */

static void expect_refusal(const char *path, const struct trace_meta *meta,
                           const struct run_row *run, const char *const *words)
{
    struct err e = {0};
    assert_null(trace_open(path, meta, run, false, &e));
    for (; *words; words++)
        if (!strstr(e.text, *words)) fail_msg("'%s' is not in: %s", *words, e.text);
}
#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void of_another_job(void **state)
{
    const struct fixture *f = *state;
    const struct run_row run = synthetic_run();
    trace_close(open_trace(f->path));
    struct trace_meta m = synthetic_meta();
    m.job_hash = "0ther";
    m.job_yaml = "name: synthetic\nalpha: 0.7\nn: 60\n";
    expect_refusal(f->path, &m, &run,
                   WORDS(f->path, "another job", "job_hash", "5eed", "0ther",
                         "'alpha: 0.5' there, 'alpha: 0.7' here"));
    m = synthetic_meta();
    m.point_id = "p02nt";
    expect_refusal(f->path, &m, &run, WORDS("another job", "point_id"));
    m = synthetic_meta();
    m.budget_tokens = 5;
    expect_refusal(f->path, &m, &run,
                   WORDS("another job", "budget_tokens is 1048576 there, 5 here"));
    m = synthetic_meta();
    m.n = 61;
    expect_refusal(f->path, &m, &run, WORDS("another job", ": n is 60 there, 61 here"));
    m = synthetic_meta();
    m.dtype = "bf16";
    expect_refusal(f->path, &m, &run, WORDS("another job", "dtype"));
    m = synthetic_meta();
    m.reproducible = false;
    expect_refusal(f->path, &m, &run, WORDS("another job", "reproducible"));
    m = synthetic_meta();
    m.program_version = "another version may continue";
    struct err e = {0};
    struct trace *t = trace_open(f->path, &m, &run, false, &e);
    assert_non_null(t);
    trace_close(t);
}

static void of_another_machine(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    const struct trace_meta meta = synthetic_meta();
    struct run_row other = synthetic_run();
    snprintf(other.fingerprint, sizeof other.fingerprint, "ffff");
    /* Without a committed prompt there is nothing to mix with. */
    trace_close(open_trace(f->path));
    struct trace *t = trace_open(f->path, &meta, &other, false, &e);
    assert_non_null(t);
    commit(t, 0, PROMPT_OK);
    trace_close(t);
    struct run_row run = synthetic_run();
    expect_refusal(f->path, &meta, &run, WORDS(f->path, "fingerprint", "ffff", "--allow-mixed"));
    run = other;
    snprintf(run.device, sizeof run.device, "gpu");
    expect_refusal(f->path, &meta, &run,
                   WORDS("device", "'cpu' there, 'gpu' here", "--allow-mixed"));
    run = other;
    snprintf(run.versions, sizeof run.versions, "library 2.0");
    expect_refusal(f->path, &meta, &run, WORDS("library versions", "library 1.0", "library 2.0"));
    t = trace_open(f->path, &meta, &run, true, &e);
    assert_non_null(t);
    commit(t, 1, PROMPT_OK);
    trace_close(t);
}

static void put_bytes(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void expect_unreadable(const char *path, const char *const *words)
{
    struct err e = {0};
    const struct trace_meta meta = synthetic_meta();
    const struct run_row run = synthetic_run();
    ino_t inode = inode_of(path);
    assert_null(trace_reader_open(path, &e));
    for (const char *const *w = words; *w; w++)
        if (!strstr(e.text, *w)) fail_msg("'%s' is not in: %s", *w, e.text);
    expect_refusal(path, &meta, &run, words);
    assert_int_equal(inode_of(path), inode);
}

static void not_a_result_file(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    assert_null(trace_reader_open(f->path, &e));
    assert_non_null(strstr(e.text, "No such file or directory"));
    put_bytes(f->path, "", 0);
    expect_unreadable(f->path, WORDS(f->path, "not an HDF5 file"));
    put_bytes(f->path, "{\"prompt\": 1}", 13);
    expect_unreadable(f->path, WORDS(f->path, "not an HDF5 file"));
    put_bytes(f->path, "\x89HDF\r\n\x1a\n and then something else entirely", 40);
    expect_unreadable(f->path, WORDS(f->path, "damaged or of another program"));
    assert_null(trace_reader_open(f->folder, &e));
}

/* Cut at many lengths: an error each time, or, where only unused space is missing, the whole
 * content. */
static void truncated_file(void **state)
{
    const struct fixture *f = *state;
    struct trace *t = open_trace(f->path);
    for (int64_t i = 0; i < 3; i++) commit(t, i, PROMPT_OK);
    finish(t, RUN_COMPLETE);
    FILE *file = fopen(f->path, "r");
    struct stat st;
    assert_true(file && stat(f->path, &st) == 0);
    size_t n = (size_t)st.st_size;
    char *whole = mem_calloc(n, 1);
    assert_int_equal(fread(whole, 1, n, file), n);
    fclose(file);
    for (int part = 0; part < 16; part++) {
        put_bytes(f->path, whole, n * (size_t)part / 16);
        expect_unreadable(f->path, WORDS(f->path, part ? "damaged" : "not an HDF5 file"));
    }
    free(whole);
}

/* Replace the only place in the file where `old` stands. */
static void patch(const char *path, const void *old, const void *new, size_t n)
{
    FILE *file = fopen(path, "r+");
    struct stat st;
    assert_true(file && stat(path, &st) == 0);
    char *bytes = mem_calloc((size_t)st.st_size, 1);
    assert_int_equal(fread(bytes, 1, (size_t)st.st_size, file), st.st_size);
    char *at = memmem(bytes, (size_t)st.st_size, old, n);
    assert_non_null(at);
    assert_null(memmem(at + 1, (size_t)(bytes + st.st_size - at - 1), old, n));
    assert_int_equal(fseek(file, at - bytes, SEEK_SET), 0);
    assert_int_equal(fwrite(new, 1, n, file), n);
    fclose(file);
    free(bytes);
}

static void damaged_rows(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct trace *t = open_trace(f->path);
    for (int64_t i = 20; i < 25; i++) commit(t, i, PROMPT_OK);
    trace_close(t); /* its run stays "running": the next start copies the file */
    const int32_t ids[2] = {synthetic_token(22, 0), synthetic_token(22, 1)}, other[2] = {7, 7};
    patch(f->path, ids, other, sizeof ids);
    struct trace_reader *r = open_reader(f->path);
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(trace_reader_verify(r, i, &e), i == 2 ? -1 : 0);
    assert_non_null(strstr(e.text, "prompt 22 are not those that were committed"));
    trace_reader_close(r);
    const struct trace_meta meta = synthetic_meta();
    const struct run_row run = synthetic_run();
    expect_refusal(f->path, &meta, &run, WORDS(f->path, "prompt 22", "damaged"));
    patch(f->path, other, ids, sizeof ids);
    /* The last row of /prompts, half written, was not committed; any other must be right. */
    patch(f->path, "key-24", "key-77", 6);
    r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 4);
    check_all(r);
    trace_reader_close(r);
    patch(f->path, "key-21", "key-78", 6);
    expect_unreadable(f->path, WORDS(f->path, "row 1 of 5 in /prompts", "damaged"));
}

static void not_writable(void **state)
{
    const struct fixture *f = *state;
    const struct trace_meta meta = synthetic_meta();
    const struct run_row run = synthetic_run();
    char path[200];
    put_bytes(f->path, "x", 1);
    snprintf(path, sizeof path, "%s/below/b.h5", f->path); /* a file where a folder should be */
    expect_refusal(path, &meta, &run, WORDS("Not a directory"));
    expect_refusal("/proc/specrej/a.h5", &meta, &run,
                   WORDS("cannot make the folder /proc/specrej"));
    if (geteuid() == 0) return; /* root may write everywhere */
    assert_int_equal(chmod(f->folder, 0555), 0);
    expect_refusal(f->path, &meta, &run, WORDS("Permission denied"));
    assert_int_equal(chmod(f->folder, 0755), 0);
}

static void in_use(void **state)
{
    const struct fixture *f = *state;
    const struct trace_meta meta = synthetic_meta();
    const struct run_row run = synthetic_run();
    struct trace *t = open_trace(f->path);
    expect_refusal(f->path, &meta, &run, WORDS(f->path, "in use", "pid", "since"));
    commit(t, 0, PROMPT_OK); /* the refused one has changed nothing */
    finish(t, RUN_COMPLETE);
}

static void lock_is_taken_away(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    char lock[160];
    snprintf(lock, sizeof lock, "%s.lock", f->path);
    struct trace *t = open_trace(f->path);
    commit(t, 0, PROMPT_OK);
    unlink(lock);
    struct trace_record rec = synthetic_record(1, PROMPT_OK);
    assert_int_equal(trace_commit(t, &rec, &e), -1);
    assert_non_null(strstr(e.text, "removed or replaced"));
    assert_int_equal(trace_commit(t, &rec, &e), -1);
    synthetic_free(&rec);
    trace_close(t);
    struct trace_reader *r = open_reader(f->path);
    assert_int_equal(trace_n_prompts(r), 1);
    trace_reader_close(r);
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

static void free_space(void **state)
{
    const struct fixture *f = *state;
    char path[160];
    snprintf(path, sizeof path, "%s/not/yet/there.h5", f->folder);
    assert_true(trace_free_bytes(f->path) > 0);
    assert_true(trace_free_bytes(path) > 0);
    assert_true(trace_free_bytes("relative.h5") > 0);
    assert_true(trace_free_bytes("/not/there.h5") > 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        TEST(of_another_job),
        TEST(of_another_machine),
        TEST(not_a_result_file),
        TEST(truncated_file),
        TEST(damaged_rows),
        TEST(not_writable),
        TEST(in_use),
        TEST(lock_is_taken_away),
        TEST(read_while_written),
        TEST(free_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
