/* How well one number foretells another: correlations of pairs, pure functions.
 *
 * Pairs of which one value is not finite are left out.  NaN: fewer than two pairs are left, or one
 * side is the same in all of them. */
#pragma once

#include <stdint.h>

/* Linear correlation of x [n] and y [n], -1 to 1. */
double correlation_pearson(const double *x, const double *y, int64_t n);

/* Rank correlation (tau-b, which allows for ties) in O(n log n), -1 to 1. */
double correlation_kendall(const double *x, const double *y, int64_t n);
