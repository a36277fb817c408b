/* The verb report: result files side by side, for a person and as files (forms.h, figures.h,
 * page.h). */
#pragma once

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct report_options {
    bool json;
    bool quiet;          /* without the words on what the columns mean */
    const char *folder;  /* for forms.h's, figures.h's and page.h's files; NULL: none */
    const char *command; /* the command line, for the page; NULL: not told */
    const char
        *reference; /* what has score 100 (reference.h); NULL: Best-of-120, else the largest */
};

/* What --json says of a comparison.  The caller's. */
struct comparison;
struct averages;
json_t *report_json(const struct comparison *c, const struct averages *p);

/* -1 with *e: bad input, or the folder cannot be made; OUTPUT_UNWRITTEN (output.h) with *e. Nothing
 * is printed then. */
int report(const char *const *paths, int n_paths, const struct report_options *o, FILE *out,
           struct err *e);
