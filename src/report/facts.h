/* How result files were made: what a report's page says of them beside their numbers. */
#pragma once

#include "report/compare.h"

/* Of one file; texts are owned.  A replayed one has none of them (NULL). */
struct facts {
    char *program; /* version and commit that wrote it */
    char *job;     /* its name and hash */
    char *memory;  /* weights' type and KV budget */
    char *runs;    /* how often it was started, from when, where */
    char *warning; /* what of its runs does not fit together; NULL: nothing */
};

/* Of every file of a comparison: [n_files], release with facts_free.  NULL with *e: one cannot be
 * read. */
struct facts *facts_read(const struct comparison *c, struct err *e);
void facts_free(struct facts *f, int n_files); /* accepts NULL */
