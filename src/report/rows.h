/* One point as a row of text, for the tables of Markdown, LaTeX and the page. */
#pragma once

#include "report/averages.h"

enum row_column {
    ROW_METHOD,
    ROW_N,
    ROW_ALPHA,
    ROW_ROUNDS,
    ROW_SEEDS,
    ROW_REWARD,
    ROW_SCORE,
    ROW_KEPT,
    ROW_WINNERS,
    ROW_COMPUTE,
    ROW_SPEEDUP,
    ROW_COLUMNS
};
extern const char *const row_names[ROW_COLUMNS];

struct row {
    char cell[ROW_COLUMNS][2 * CELL + 4];
};

struct row row_of(const struct comparison *c, const struct average *p);
