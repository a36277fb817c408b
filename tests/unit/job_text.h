/* Job files as texts, in a folder of their own, for the tests of jobs. */
#pragma once

#include "base/mem.h"
#include "job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REQUIRED "generator: {path: g}\nreward: {path: r}\ndataset: {path: d.jsonl}\n"

static char folder[] = "/tmp/test_job_XXXXXX";

static inline char *write_job(const char *name, const char *text, size_t n)
{
    char *path = mem_printf("%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
    return path;
}

static inline int open_text(struct job *j, const char *text, size_t n, const char *const *sets,
                            int n_sets, struct err *e)
{
    char *path = write_job("job.yaml", text, n);
    int rc = job_open(j, path, sets, n_sets, e);
    free(path);
    return rc;
}

static inline void must_open(struct job *j, const char *text)
{
    struct err e = {0};
    if (open_text(j, text, strlen(text), NULL, 0, &e) < 0) fail_msg("%s", e.text);
}

static inline void assert_error(int rc, const struct err *e, const char *words, const char *text)
{
    if (rc == 0) fail_msg("accepted: %s", text);
    if (!strstr(e->text, words)) fail_msg("for:\n%s\nexpected '%s' in '%s'", text, words, e->text);
    assert_null(strchr(e->text, '\n'));
}

/* Numbers at random, the same in every run. */
static uint64_t rng = 88172645463325252u;
static inline uint64_t next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    return rng ^= rng << 17;
}

static inline int set_up(void **state)
{
    (void)state;
    setenv("MODELS", "/models", 1);
    unsetenv("NO_SUCH_VARIABLE");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"job.yaml", "elsewhere.yaml"};
    for (size_t i = 0; i < 2; i++) {
        char *path = mem_printf("%s/%s", folder, names[i]);
        unlink(path);
        free(path);
    }
    return rmdir(folder);
}
