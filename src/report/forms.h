/* A comparison as files for other programs:
 *
 * report.csv   RFC 4180, one row per point, plain numbers with the limits of their 95 % intervals;
 *              empty: cannot be formed; a point of which no seed is there has a row with nothing
 *              but missing_seeds
 * report.md    the same as a table for a person, with what is missing or doubtful
 * report.tex   rows of a LaTeX table (the columns stand in a comment above), for \input
 *
 * A point is what its files are but for their seed; its numbers are means over the seeds. */
#pragma once

#include "report/figures.h"

#include <jansson.h>

/* One point, flat: the row of report.csv up to missing_seeds.  Caller json_decref()s. */
json_t *forms_point(const struct comparison *c, const struct average *p);
/* What comes behind it: energy_j.  p NULL: a point that is missing. */
void forms_put_energy(json_t *o, const struct average *p);

/* Write them all into a folder that exists.  -1 with *e: it cannot be written to; OUTPUT_UNWRITTEN
 * (output.h) with *e. */
int forms_write(const struct comparison *c, const struct averages *p, const struct figures *f,
                const char *folder, struct err *e);
