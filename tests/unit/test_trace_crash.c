/* What a kill or a power cut can leave of a result file, tried on all that a writer writes.
 *
 * The program records every write that HDF5 makes to the file (its own pwrite stands in front of
 * the C library's) and then rebuilds the file as it would be found
 *   - after a kill: at every single write, and at every page boundary within it (the kernel copies
 * page by page and stops between pages);
 *   - after a power cut: what was written before the last fsync, and of what came later, page by
 * page, as much as was written to it until a random moment. Every such file must open, hold each
 * acknowledged prompt unchanged, and be continued without orphan rows.
 * A write that fails, each in turn, must leave no row in /prompts that any reader takes for one. */
#include "base/log.h"
#include "trace/store.h"
#include "trace_open.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PROMPTS_BEFORE = 3, PROMPTS = 7 };

enum event_kind { WRITE, TRUNCATE, SYNC, ACKNOWLEDGED };

struct event {
    enum event_kind kind;
    int64_t offset, n; /* of a WRITE; offset is the new size of a TRUNCATE, the prompt's index of an
                          ACKNOWLEDGED */
    uint8_t *bytes;
};

/* The stand-ins are called by the C library's name and have nobody to give them a context. */
static struct {
    bool is_on;
    ino_t inode;
    struct event *items;
    size_t n, cap;
} record;

/* The write to this file that fails; -1: none. */
static struct {
    ino_t inode;
    int64_t left;
} failing = {.left = -1};

static bool is_failing(int fd)
{
    struct stat st;
    return failing.left >= 0 && fstat(fd, &st) == 0 && st.st_ino == failing.inode &&
           failing.left-- == 0;
}

static bool is_recorded(int fd)
{
    struct stat st;
    return record.is_on && fstat(fd, &st) == 0 && st.st_ino == record.inode;
}

static void note(enum event_kind kind, int64_t offset, const void *bytes, int64_t n)
{
    struct event e = {kind, offset, n, NULL};
    if (n > 0) {
        e.bytes = mem_calloc((size_t)n, 1);
        memcpy(e.bytes, bytes, (size_t)n);
    }
    ARRAY_PUSH(record, e);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    if (is_failing(fd)) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, n, offset);
    if (is_recorded(fd)) note(WRITE, offset, bytes, done);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t offset)
{
    return pwrite(fd, bytes, n, offset);
}

int ftruncate(int fd, off_t size)
{
    if (is_recorded(fd)) note(TRUNCATE, size, NULL, 0);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

int fsync(int fd)
{
    if (is_recorded(fd)) note(SYNC, 0, NULL, 0);
    return 0; /* what reaches this machine's disk does not matter here */
}

struct image {
    uint8_t *bytes;
    int64_t size;
};

static struct image read_image(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    struct image m = {mem_calloc((size_t)st.st_size, 1), st.st_size};
    assert_int_equal(read(fd, m.bytes, (size_t)m.size), m.size);
    close(fd);
    return m;
}

static void resize(struct image *m, int64_t size)
{
    m->bytes = mem_realloc(m->bytes, (size_t)size, 1);
    if (size > m->size) memset(m->bytes + m->size, 0, (size_t)(size - m->size));
    m->size = size;
}

/* The part of a WRITE that falls into [from, to). */
static void apply_write(struct image *m, const struct event *e, int64_t from, int64_t to)
{
    int64_t a = e->offset > from ? e->offset : from;
    int64_t b = e->offset + e->n < to ? e->offset + e->n : to;
    if (a >= b) return;
    if (b > m->size) resize(m, b);
    memcpy(m->bytes + a, e->bytes + (a - e->offset), (size_t)(b - a));
}

static void apply(struct image *m, const struct event *e)
{
    if (e->kind == WRITE) apply_write(m, e, 0, INT64_MAX);
    if (e->kind == TRUNCATE) resize(m, e->offset);
}

struct fixture {
    char folder[64], path[128], crashed[128];
    struct image before;
};

static void commit_some(struct trace *t, int64_t from, int64_t to)
{
    struct err e = {0};
    struct run_row run = synthetic_run();
    for (int64_t i = from; i < to; i++) {
        enum prompt_status status = i % 4 == 3 ? PROMPT_FAILED : PROMPT_OK;
        struct trace_record r = synthetic_record(i, status);
        if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
        synthetic_free(&r);
        if (record.is_on && status == PROMPT_OK) note(ACKNOWLEDGED, i, NULL, 0);
        run.end_unix_s = (double)i;
        if (trace_update_run(t, &run, &e) < 0) fail_msg("%s", e.text);
    }
}

/* A first session leaves a file; all writes of a second one are recorded. */
static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_trace_crash.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/a.h5", f->folder);
    snprintf(f->crashed, sizeof f->crashed, "%s/crashed.h5", f->folder);
    struct trace *t = open_trace(f->path);
    commit_some(t, 0, PROMPTS_BEFORE);
    struct run_row run = synthetic_run();
    run.status = RUN_CONTINUE;
    assert_int_equal(trace_update_run(t, &run, &(struct err){0}), 0);
    trace_close(t);
    f->before = read_image(f->path);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    record.inode = st.st_ino;
    record.is_on = true;
    t = open_trace(f->path);
    commit_some(t, PROMPTS_BEFORE, PROMPTS);
    trace_close(t);
    record.is_on = false;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < record.n; i++) free(record.items[i].bytes);
    free(record.items);
    free(f->before.bytes);
    unlink(f->path);
    unlink(f->crashed);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void write_image(const char *path, const struct image *m)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->bytes, (size_t)m->size), m->size);
    close(fd);
}

static bool is_there(struct trace_reader *r, int64_t index)
{
    for (int64_t i = 0; i < trace_n_prompts(r); i++)
        if (trace_prompts(r)[i].prompt_index == index) return true;
    return false;
}

/* Everything acknowledged within the first n_events is there and right. */
static void check_readable(struct trace_reader *r, size_t n_events, const char *what)
{
    struct err e = {0};
    int64_t n = trace_n_prompts(r), end[TRACE_TABLES] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (synthetic_compare(r, i, &e) < 0) fail_msg("%s: %s", what, e.text);
        for (int t = 0; t < TRACE_TABLES; t++) end[t] += trace_prompts(r)[i].count[t];
    }
    for (int64_t i = 0; i < PROMPTS_BEFORE; i++)
        if (!is_there(r, i)) fail_msg("%s: prompt %d of the earlier session is lost", what, (int)i);
    for (size_t k = 0; k < n_events; k++)
        if (record.items[k].kind == ACKNOWLEDGED && !is_there(r, record.items[k].offset))
            fail_msg("%s: prompt %d was acknowledged and is lost", what,
                     (int)record.items[k].offset);
    for (int t = 0; t < TRACE_TABLES; t++)
        assert_true(trace_n_rows(r, (enum trace_table)t) >= end[t]);
}

/* What is found after the crash at event n_events, and that it can be continued. */
static void check_crashed(const struct fixture *f, const struct image *m, size_t n_events,
                          const char *what)
{
    struct err e = {0};
    write_image(f->crashed, m);
    struct trace_reader *r = trace_reader_open(f->crashed, &e);
    if (!r) fail_msg("%s: %s", what, e.text);
    check_readable(r, n_events, what);
    int64_t n_before = trace_n_prompts(r), n_failed = 0;
    for (int64_t i = 0; i < n_before; i++) n_failed += trace_prompts(r)[i].status == PROMPT_FAILED;
    trace_reader_close(r);
    struct trace *t = open_trace(f->crashed);
    int64_t n;
    trace_committed(t, &n);
    assert_int_equal(n, n_before - n_failed);
    trace_close(t);
    r = trace_reader_open(f->crashed, &e);
    if (!r) fail_msg("%s: continued: %s", what, e.text);
    check_readable(r, n_events, what);
    assert_int_equal(trace_n_prompts(r), n);
    for (int table = 0; table < TRACE_TABLES; table++) {
        const struct prompt_row *last = n ? &trace_prompts(r)[n - 1] : NULL;
        assert_int_equal(trace_n_rows(r, (enum trace_table)table),
                         last ? last->first[table] + last->count[table] : 0);
    }
    trace_reader_close(r);
}

static void killed_at_every_write(void **state)
{
    const struct fixture *f = *state;
    struct image m = {mem_calloc((size_t)f->before.size, 1), f->before.size};
    memcpy(m.bytes, f->before.bytes, (size_t)m.size);
    int64_t n_tried = 0;
    char what[64];
    for (size_t k = 0; k < record.n; k++) {
        const struct event *e = &record.items[k];
        snprintf(what, sizeof what, "killed at event %zu", k);
        /* A write of many pages of one chunk: its first, middle and last boundary stand for the
         * others. */
        int64_t first = e->offset / PAGE + 1, last = (e->offset + e->n - 1) / PAGE;
        for (int64_t page = first; e->kind == WRITE && page <= last; page++) {
            if (page != first && page != last && page != (first + last) / 2) continue;
            apply_write(&m, e, 0, page * PAGE);
            check_crashed(f, &m, k, what);
            n_tried++;
        }
        apply(&m, e);
        if (e->kind == SYNC || e->kind == ACKNOWLEDGED) continue;
        check_crashed(f, &m, k + 1, what);
        n_tried++;
    }
    print_message("%d crashed files\n", (int)n_tried);
    free(m.bytes);
}

/* The pages of the file after a power cut at event `cut`: those of the last fsync, each with later
 * writes up to a moment of its own. */
static struct image power_cut_image(const struct fixture *f, size_t cut, uint32_t trial)
{
    struct image m = {mem_calloc((size_t)f->before.size, 1), f->before.size};
    memcpy(m.bytes, f->before.bytes, (size_t)m.size);
    size_t synced = 0;
    for (size_t k = 0; k < cut; k++)
        if (record.items[k].kind == SYNC) synced = k + 1;
    for (size_t k = 0; k < synced; k++) apply(&m, &record.items[k]);
    for (size_t k = synced; k < cut; k++) {
        const struct event *e = &record.items[k];
        for (int64_t page = e->offset / PAGE; e->kind == WRITE && page * PAGE < e->offset + e->n;
             page++) {
            struct philox x = philox4x32(7, trial, (uint32_t)page, 0, 0);
            if (k < synced + x.word[0] % (cut - synced + 1))
                apply_write(&m, e, page * PAGE, (page + 1) * PAGE);
        }
    }
    return m;
}

static void power_cut_at_random(void **state)
{
    const struct fixture *f = *state;
    char what[64];
    for (uint32_t trial = 0; trial < 150; trial++) {
        size_t cut = philox4x32(8, trial, 0, 0, 0).word[0] % (record.n + 1);
        struct image m = power_cut_image(f, cut, trial);
        snprintf(what, sizeof what, "power cut %u at event %zu", trial, cut);
        check_crashed(f, &m, cut, what);
        free(m.bytes);
    }
}

/* Commits prompts until that fails, or all are there; returns whether all are. */
static bool commit_until_failure(struct trace *t)
{
    for (int64_t i = PROMPTS_BEFORE; i < PROMPTS; i++) {
        struct err e = {0};
        struct trace_record r = synthetic_record(i, PROMPT_OK);
        int rc = trace_commit(t, &r, &e);
        synthetic_free(&r);
        if (rc < 0) return false;
    }
    return true;
}

static int64_t rows_of_prompts(const char *path)
{
    struct err e = {0};
    struct store *s = store_open(path, STORE_READ, &e);
    if (!s) fail_msg("%s", e.text);
    int64_t n = s->rows[D_PROMPTS];
    assert_int_equal(store_close(s, &e), 0);
    return n;
}

static void each_write_fails_once(void **state)
{
    const struct fixture *f = *state;
    bool all = false;
    int64_t k = 0;
    for (; !all; k++) {
        struct err e = {0};
        struct stat st;
        write_image(f->crashed, &f->before);
        struct trace *t = open_trace(f->crashed);
        assert_int_equal(stat(f->crashed, &st), 0);
        failing.inode = st.st_ino;
        failing.left = k;
        all = commit_until_failure(t);
        if (all) assert_true(failing.left >= 0); /* a failure is always noticed */
        failing.left = -1;
        trace_close(t);
        struct trace_reader *r = trace_reader_open(f->crashed, &e);
        if (!r) fail_msg("write %d: %s", (int)k, e.text);
        if (rows_of_prompts(f->crashed) != trace_n_prompts(r))
            fail_msg("write %d: a row of /prompts that was never written", (int)k);
        for (int64_t i = 0; i < trace_n_prompts(r); i++)
            if (synthetic_compare(r, i, &e) < 0) fail_msg("write %d: %s", (int)k, e.text);
        trace_reader_close(r);
    }
    print_message("%d writes that failed\n", (int)k - 1);
    assert_true(k > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_write_fails_once),
        cmocka_unit_test(killed_at_every_write),
        cmocka_unit_test(power_cut_at_random),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
