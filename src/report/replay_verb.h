/* The verb replay: what other policies would have made of a recorded Best-of-N run. */
#pragma once

#include "report/replay_grid.h"

#include <stdio.h>

enum replay_form { REPLAY_TABLE, REPLAY_JSON, REPLAY_CSV };

struct replay_options {
    struct replay_grid_options grid;
    enum replay_form form;
    const char *reference; /* as report's */
    bool quiet;            /* likewise */
};

/* -1 with *e; nothing is written then. */
int replay_file(const char *path, const struct replay_options *o, FILE *out, struct err *e);
