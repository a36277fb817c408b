/* Prices of work by the time that it took: seconds as a sum of passes, rows, texts and attended
 * keys.
 *
 * Keys of a decoding step cost more each the more there are, as fewer of them are in a cache, and
 * rows cost little until there are enough to keep the device busy: their prices grow at fixed
 * numbers of them (knots).  So such prices are of single steps, not of sums of steps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PRICE_KEY_KNOTS = 6, PRICE_ROW_KNOTS = 4 };
enum { PRICE_TERMS = 4 + PRICE_KEY_KNOTS + PRICE_ROW_KNOTS };

struct amount_of_work {
    double passes, rows, texts, keys;
};

struct prices {
    double price[PRICE_TERMS]; /* seconds: a pass, a row, a text, a key, a key beyond each of its
                                  knots, a row beyond each of its knots */
    double key_knot[PRICE_KEY_KNOTS], row_knot[PRICE_ROW_KNOTS]; /* 0: none, its price is 0 */
};

struct timed {
    struct amount_of_work work;
    double seconds;
};

static inline double prices_of(const struct prices *p, const struct amount_of_work *w)
{
    const double *x = p->price;
    double sum = x[0] * w->passes + x[1] * w->rows + x[2] * w->texts + x[3] * w->keys;
    for (int k = 0; k < PRICE_KEY_KNOTS; k++) {
        double beyond = w->keys - p->key_knot[k];
        sum += x[4 + k] * (beyond > 0 ? beyond : 0);
    }
    for (int k = 0; k < PRICE_ROW_KNOTS; k++) {
        double beyond = w->rows - p->row_knot[k];
        sum += x[4 + PRICE_KEY_KNOTS + k] * (beyond > 0 ? beyond : 0);
    }
    return sum;
}

/* NaN of nothing; changes the order. */
double prices_median(double *values, size_t n);

/* The prices that give the times of work [n] back best, none below 0.  have_knots: each is one
 * step.  First the least distances, then the least squares over what is within three times the
 * usual distance (by the median) of its price: what something else disturbed does not count. Scaled
 * so that the sum of what counts is right.  *left_out: what did not count took longer than it
 * should have, as a part of all seconds. */
struct prices prices_fit(const struct timed *work, size_t n, bool have_knots, double *left_out);
