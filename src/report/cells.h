/* Numbers as text that fits a table's column; "-" for what cannot be formed. */
#pragma once

#include "report/source.h"

#define CELL 64 /* bytes of every cell */

/* "best_of_n", "best_of_n, static", "best_of_n, replayed", ... */
char *cell_method(char out[CELL], const struct source *s);
/* N, "auto". */
char *cell_n(char out[CELL], int64_t n);
/* fmt is for one double. */
char *cell_number(char out[CELL], const char *fmt, double v) __attribute__((format(printf, 2, 0)));
char *cell_percent(char out[CELL], double share); /* "12.3 %" */
/* "1.2 to 3.4", scaled; "" when there is none, or both read the same. */
char *cell_interval(char out[CELL], const char *fmt, struct interval i, double scale)
    __attribute__((format(printf, 2, 0)));
char *cell_speedup(char out[CELL], struct speedup s); /* ">= 12.34 x" */
char *cell_speedup_interval(char out[CELL], struct speedup low, struct speedup high);
