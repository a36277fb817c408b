/* A folder with one result file of synthetic prompts, for the tests of it. */
#pragma once

#include "base/log.h"
#include "trace_open.h"

#include <sys/stat.h>
#include <unistd.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

struct fixture {
    char folder[64], path[128];
};

static inline int setup(void **state)
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
static inline int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static inline void commit(struct trace *t, int64_t index, enum prompt_status status)
{
    struct err e = {0};
    struct trace_record r = synthetic_record(index, status);
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    synthetic_free(&r);
}

static inline void finish(struct trace *t, enum run_status status)
{
    struct err e = {0};
    struct run_row run = synthetic_run();
    run.status = status;
    if (trace_update_run(t, &run, &e) < 0) fail_msg("%s", e.text);
    trace_close(t);
}

static inline void check_all(struct trace_reader *r)
{
    struct err e = {0};
    for (int64_t i = 0; i < trace_n_prompts(r); i++)
        if (synthetic_compare(r, i, &e) < 0) fail_msg("%s", e.text);
}

static inline ino_t inode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

/* Replace the only place in the file where `old` stands. */
static inline void patch(const char *path, const void *old, const void *new, size_t n)
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
