/* Where a verb's output goes: a stream of the caller's, or a file that appears under its name when
 * it is complete. */
#pragma once

#include "base/err.h"

#include <stdio.h>

#define OUTPUT_UNWRITTEN (-2) /* the output could not be written: a full disk, for example */

struct output {
    FILE *file;
    char *path, *tmp; /* owned; NULL: to the caller's stream */
};

/* path: the file, written as PATH.tmp until output_end; NULL or "-": to `out`.  -1 with *e. */
int output_begin(struct output *o, const char *path, FILE *out, struct err *e);

/* OUTPUT_UNWRITTEN with *e when something of what was written so far was lost. */
int output_check(const struct output *o, struct err *e);

/* rc: how it went so far.  When it went well, finish the file and let it appear, else remove what
 * there is.  Returns the whole's rc. */
int output_end(struct output *o, int rc, struct err *e);
