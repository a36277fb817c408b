/* Replayed points beside real runs of the same point and seed: how far off modelled times are. */
#pragma once

#include "base/json.h"
#include "report/compare.h"

#include <stdio.h>

/* Of modelled over real times, less 1. */
struct twins {
    int n;                  /* points that are there both ways, with known times */
    double all, mean, most; /* of all times together; mean and largest of the absolute ones */
};

struct twins twins_of(const struct comparison *c);

/* A line, where there are any. */
void twins_print(const struct comparison *c, FILE *out);
/* null where there are none.  The caller's. */
json_t *twins_json(const struct comparison *c);
