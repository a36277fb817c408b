/* The verb `status`: how far a sweep is. */
#pragma once

#include "cluster/point.h"

#include <stdio.h>

/* A table for a person, one line per point, then what can be done about the rest. */
void status_print(const struct points *p, const char *name, FILE *out);
/* A JSON document: {"points": [{"id", "state", "prompts_done", ...}]}. */
void status_print_json(const struct points *p, FILE *out);
