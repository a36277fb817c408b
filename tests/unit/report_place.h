/* A folder of made-up result files, for the tests of report. */
#pragma once

#include "base/log.h"
#include "base/mem.h"
#include "ref/temp.h"

#include <stdlib.h>

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
