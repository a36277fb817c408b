/* A folder of made-up result files, for the tests of report. */
#pragma once

#include "base/log.h"
#include "base/mem.h"
#include "job/job.h"
#include "ref/temp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

struct place {
    char *folder, *paths[128];
    int n_paths;
};

static int setup(void **state)
{
    struct place *p = mem_calloc(1, sizeof *p);
    log_setup(0, LOG_ERROR);
    p->folder = temp_folder();
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    for (int i = 0; i < p->n_paths; i++) free(p->paths[i]);
    temp_remove(p->folder);
    free(p);
    return 0;
}

/* The job of a made-up file.  sets: as of --set, separated by ; */
static inline void open_job(const struct place *p, struct job *j, const char *sets)
{
    const char *list[16];
    int n = 0;
    char *copy = mem_strdup(sets), *rest = copy, *file = mem_printf("%s/job.yaml", p->folder);
    struct err e = {0};
    for (char *one; (one = strsep(&rest, ";")) != NULL;)
        if (one[0]) list[n++] = one;
    temp_text(p->folder, "job.yaml",
              "generator: {path: g}\nreward: {path: r}\ndataset: {path: d.jsonl}\n");
    if (job_open(j, file, list, n, &e) < 0) fail_msg("%s", e.text);
    free(file);
    free(copy);
}
