/* Prices of work by the time that it took: a sum of passes, rows and keys, fitted by least squares.
 */
#pragma once

#include <stddef.h>

struct prices { /* seconds */
    double pass, row, key;
};

struct timed {
    double passes, rows, keys; /* keys NaN: not known */
    double seconds;
};

double prices_of(const struct prices *p, double passes, double rows, double keys);

/* The prices that give the times of work [n] back best, none below 0; scaled so that the sum is
 * right.  Squares are weighted by 1 / seconds, as times vary. */
struct prices prices_fit(const struct timed *work, size_t n);
