#include "report/correlation.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    double x, y;
};

/* The finite pairs; caller frees. */
static struct pair *finite_pairs(const double *x, const double *y, int64_t n, int64_t *kept)
{
    struct pair *p = mem_calloc((size_t)n, sizeof *p);
    *kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i])) p[(*kept)++] = (struct pair){x[i], y[i]};
    return p;
}

/* Whether a value differs from the first: a mean that is rounded must not make a spread. */
static bool varies(const struct pair *p, int64_t n)
{
    bool x = false, y = false;
    for (int64_t i = 1; i < n; i++) {
        x = x || p[i].x != p[0].x;
        y = y || p[i].y != p[0].y;
    }
    return x && y;
}

/* r = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)
 * Source: Pearson 1895, Proceedings of the Royal Society 58, 240-242. */
double correlation_pearson(const double *x, const double *y, int64_t n)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0, r = NAN;
    int64_t kept = 0;
    struct pair *p = finite_pairs(x, y, n, &kept);
    for (int64_t i = 0; i < kept; i++) {
        mean_x += p[i].x / (double)kept;
        mean_y += p[i].y / (double)kept;
    }
    for (int64_t i = 0; i < kept; i++) {
        double a = p[i].x - mean_x, b = p[i].y - mean_y;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    if (varies(p, kept)) r = fmax(-1, fmin(1, xy / (sqrt(xx) * sqrt(yy))));
    free(p);
    return r;
}

/* ---- Kendall ---- */

static int by_x_then_y(const void *a, const void *b)
{
    const struct pair *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

static int by_y(const void *a, const void *b)
{
    double p = ((const struct pair *)a)->y, q = ((const struct pair *)b)->y;
    return (p > q) - (p < q);
}

static double pairs_of(int64_t n)
{
    return 0.5 * (double)n * (double)(n - 1);
}

/* Pairs of equal value among neighbours of the sorted p [n]. */
static double tied(const struct pair *p, int64_t n, int (*order)(const void *, const void *))
{
    double sum = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && order(&p[i], &p[end]) == 0;) end++;
        sum += pairs_of(end - i);
    }
    return sum;
}

static int by_x(const void *a, const void *b)
{
    double p = ((const struct pair *)a)->x, q = ((const struct pair *)b)->x;
    return (p > q) - (p < q);
}

/* Merge the sorted halves [from, middle) and [middle, to); how many of the left are greater than
 * one of the right, summed over the right. */
static double merge(const struct pair *in, struct pair *out, int64_t from, int64_t middle,
                    int64_t to)
{
    double swaps = 0;
    int64_t i = from, k = middle;
    for (int64_t at = from; at < to; at++) {
        if (k >= to || (i < middle && in[i].y <= in[k].y)) {
            out[at] = in[i++];
        } else {
            swaps += (double)(middle - i);
            out[at] = in[k++];
        }
    }
    return swaps;
}

/* Sort by y; the exchanges of neighbours that it takes are the pairs out of order. */
static double sort_by_y(struct pair *p, int64_t n)
{
    struct pair *other = mem_calloc((size_t)n, sizeof *other), *from = p, *to = other;
    double swaps = 0;
    for (int64_t wide = 1; wide < n; wide *= 2) {
        for (int64_t at = 0; at < n; at += 2 * wide) {
            int64_t middle = at + wide < n ? at + wide : n;
            swaps += merge(from, to, at, middle, at + 2 * wide < n ? at + 2 * wide : n);
        }
        struct pair *last = from;
        from = to;
        to = last;
    }
    if (from != p) memcpy(p, from, (size_t)n * sizeof *p);
    free(other);
    return swaps;
}

/* tau_b = (C - D) / sqrt((n0 - n1)(n0 - n2)); C, D: pairs that x and y order alike and not; n0 = n
 * (n - 1) / 2 all pairs; n1, n2: those tied in x, in y.  C - D = n0 - n1 - n2 + n3 - 2 D with n3
 * tied in both; D is counted by sorting.
 * Source: Kendall 1945, Biometrika 33, 239-251 (tau-b); Knight 1966, JASA 61, 436-439 (the sort).
 */
double correlation_kendall(const double *x, const double *y, int64_t n)
{
    double tau = NAN;
    int64_t kept = 0;
    struct pair *p = finite_pairs(x, y, n, &kept);
    if (varies(p, kept)) {
        qsort(p, (size_t)kept, sizeof *p, by_x_then_y);
        double all = pairs_of(kept), in_x = tied(p, kept, by_x),
               in_both = tied(p, kept, by_x_then_y);
        double swaps = sort_by_y(p, kept), in_y = tied(p, kept, by_y);
        tau = (all - in_x - in_y + in_both - 2 * swaps) / (sqrt(all - in_x) * sqrt(all - in_y));
        tau = fmax(-1, fmin(1, tau));
    }
    free(p);
    return tau;
}
