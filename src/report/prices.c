#include "report/prices.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { SWEEPS = 20000, ROUNDS = 12 };
#define NEAR         0.01 /* of a time: nearer counts as this near */
#define USUAL_SPREAD 0.02 /* of a time: less is never far */
#define MAD_TO_SD    1.4826

static double beyond(double x, double knot)
{
    return knot > 0 && x > knot ? x - knot : 0;
}

static void terms_of(const struct prices *p, const struct amount_of_work *w, double x[PRICE_TERMS])
{
    *x++ = w->passes;
    *x++ = w->rows;
    *x++ = w->texts;
    *x++ = w->keys;
    for (int k = 0; k < PRICE_KEY_KNOTS; k++) *x++ = beyond(w->keys, p->key_knot[k]);
    for (int k = 0; k < PRICE_ROW_KNOTS; k++) *x++ = beyond(w->rows, p->row_knot[k]);
}

/* The least x'ax / 2 - b'x with no x below 0, one term after the other until nothing changes. */
static void solve(const double a[PRICE_TERMS][PRICE_TERMS], const double b[PRICE_TERMS],
                  double x[PRICE_TERMS])
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double most = 0, change = 0;
        for (int i = 0; i < PRICE_TERMS; i++) {
            double rest = b[i];
            if (!(a[i][i] > 0)) continue;
            for (int k = 0; k < PRICE_TERMS; k++) rest -= k == i ? 0 : a[i][k] * x[k];
            double next = rest > 0 ? rest / a[i][i] : 0, size = sqrt(a[i][i]);
            change = fmax(change, fabs(next - x[i]) * size);
            most = fmax(most, next * size);
            x[i] = next;
        }
        if (change <= 1e-10 * most) return;
    }
}

/* Least squares with these weights; those of 0 do not count. */
static void fit(struct prices *p, const struct timed *work, size_t n, const double *weight)
{
    double a[PRICE_TERMS][PRICE_TERMS] = {{0}}, b[PRICE_TERMS] = {0};
    for (size_t i = 0; i < n; i++) {
        double x[PRICE_TERMS];
        if (!(weight[i] > 0)) continue;
        terms_of(p, &work[i].work, x);
        for (int r = 0; r < PRICE_TERMS; r++) {
            b[r] += x[r] * work[i].seconds * weight[i];
            for (int c = 0; c < PRICE_TERMS; c++) a[r][c] += x[r] * x[c] * weight[i];
        }
    }
    solve(a, b, p->price);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double prices_median(double *values, size_t n)
{
    if (n == 0) return NAN;
    qsort(values, n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* Weights under which squares are distances, of times in units of their prices: what is far off
 * pulls no harder than what is near. */
static void weigh_distances(const struct prices *p, const struct timed *work, size_t n,
                            double *weight)
{
    for (size_t i = 0; i < n; i++) {
        double priced = prices_of(p, &work[i].work), off = fabs(work[i].seconds - priced);
        if (weight[i] > 0 && priced > 0) weight[i] = 1 / (priced * fmax(off, NEAR * priced));
    }
}

/* Squares in units of the prices of those that are near them, 0 for the others. */
static void weigh_near(const struct prices *p, const struct timed *work, size_t n, double *weight,
                       double *scratch)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        double priced = prices_of(p, &work[i].work);
        if (priced > 0 && work[i].seconds > 0) scratch[m++] = work[i].seconds / priced;
    }
    double middle = prices_median(scratch, m);
    for (size_t i = 0; i < m; i++) scratch[i] = fabs(scratch[i] - middle);
    double far = fmax(3 * MAD_TO_SD * prices_median(scratch, m), USUAL_SPREAD);
    for (size_t i = 0; i < n; i++) {
        double priced = prices_of(p, &work[i].work);
        bool counts =
            priced > 0 && work[i].seconds > 0 && fabs(work[i].seconds / priced - middle) <= far;
        weight[i] = counts ? 1 / priced : 0;
    }
}

/* Halves of the most keys and rows of a step. */
static void set_knots(struct prices *p, const struct timed *work, size_t n)
{
    double keys = 0, rows = 0;
    for (size_t i = 0; i < n; i++) {
        keys = fmax(keys, work[i].work.keys);
        rows = fmax(rows, work[i].work.rows);
    }
    for (int k = 0; k < PRICE_KEY_KNOTS; k++) p->key_knot[k] = ldexp(keys, -1 - k);
    for (int k = 0; k < PRICE_ROW_KNOTS; k++) p->row_knot[k] = ldexp(rows, -1 - k);
}

/* The sum of what counts comes out right. */
static void scale(struct prices *p, const struct timed *work, size_t n, const double *weight)
{
    double seconds = 0, priced = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(weight[i] > 0)) continue;
        seconds += work[i].seconds;
        priced += prices_of(p, &work[i].work);
    }
    for (int i = 0; i < PRICE_TERMS; i++) p->price[i] *= priced > 0 ? seconds / priced : 0;
}

struct prices prices_fit(const struct timed *work, size_t n, bool have_knots, double *left_out)
{
    struct prices p = {0};
    double *weight = mem_calloc(n, sizeof *weight), *scratch = mem_calloc(n, sizeof *scratch);
    double all = 0, out = 0;
    if (have_knots) set_knots(&p, work, n);
    for (size_t i = 0; i < n; i++)
        weight[i] = work[i].seconds > 0 ? 1 / (work[i].seconds * work[i].seconds) : 0;
    for (int round = 0; round < ROUNDS; round++) {
        fit(&p, work, n, weight);
        weigh_distances(&p, work, n, weight);
    }
    for (int round = 0; round < ROUNDS; round++) {
        weigh_near(&p, work, n, weight, scratch);
        fit(&p, work, n, weight);
    }
    scale(&p, work, n, weight);
    for (size_t i = 0; i < n; i++) {
        all += work[i].seconds;
        if (!(weight[i] > 0)) out += work[i].seconds - prices_of(&p, &work[i].work);
    }
    *left_out = all > 0 ? out / all : 0;
    free(scratch);
    free(weight);
    return p;
}
