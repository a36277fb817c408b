/* Every kind of bad file or place gives a message that says what is wrong, and stays as it is. */
#include "trace_files.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_another_job), TEST(of_another_machine), TEST(not_a_result_file),
        TEST(truncated_file), TEST(damaged_rows),       TEST(not_writable),
        TEST(in_use),         TEST(lock_is_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
