/* A comparison for a person: a table in three parts of at most 100 columns, one row per file in
 * each, and one over seeds; what is missing or doubtful, and what the columns mean. */
#pragma once

#include "report/averages.h"

#include <stdio.h>

/* legend: with the words on what the columns mean. */
void table_print(const struct comparison *c, const struct averages *p, bool legend, FILE *out);

/* Pieces of it: what is compared, what a careful reader must know of the files, the columns. */
void table_head(const struct comparison *c, FILE *out);
void table_notes(const struct comparison *c, FILE *out);
void table_legend(const struct comparison *c, FILE *out);
