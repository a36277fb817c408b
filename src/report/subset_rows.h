/* The intervals over candidate subsets (subset_values.h) of a comparison's files, as rows of text
 * for its tables and as columns of its CSV. */
#pragma once

#include "report/compare.h"

#include <stdio.h>

enum subset_column {
    SUBSET_ROW_FILE, /* number */
    SUBSET_ROW_METHOD,
    SUBSET_ROW_N,
    SUBSET_ROW_ALPHA,
    SUBSET_ROW_ROUNDS,
    SUBSET_ROW_DRAWS,
    SUBSET_ROW_VALUES,
    SUBSET_ROW_COLUMNS = SUBSET_ROW_VALUES + SUBSET_VALUES
};
extern const char *const subset_row_names[SUBSET_ROW_COLUMNS];
extern const char subset_row_words[]; /* what the rows are, in a sentence or two */

#define SUBSET_CELL 132
struct subset_row {
    char cell[SUBSET_ROW_COLUMNS][SUBSET_CELL];
};

/* Whether any file has such intervals. */
bool subset_rows_any(const struct comparison *c);
/* Of a file that has. */
struct subset_row subset_row_of(const struct comparison *c, int file);

/* The table for a terminal; nothing where no file has any. */
void subset_rows_print(const struct comparison *c, FILE *out);

/* Columns "subsets", "subsets_best_reward", "subsets_best_reward_low", ...: null where v is NULL or
 * has no draws. */
void subset_rows_put_columns(json_t *o, const struct subset_values *v);
