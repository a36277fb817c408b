#include "report/prices.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { TERMS = 3 };

double prices_of(const struct prices *p, double passes, double rows, double keys)
{
    return p->pass * passes + p->row * rows + (p->key > 0 ? p->key * keys : 0);
}

static void terms_of(const struct timed *w, double x[TERMS])
{
    x[0] = w->passes;
    x[1] = w->rows;
    x[2] = w->keys;
}

/* Normal equations of the chosen terms, each in units of its root mean square, solved by Cholesky;
 * false when two terms cannot be told apart. */
static bool solve(double a[TERMS][TERMS], const double b[TERMS], const bool use[TERMS],
                  double out[TERMS])
{
    double l[TERMS][TERMS] = {{0}}, y[TERMS] = {0};
    for (int i = 0; i < TERMS; i++) {
        if (!use[i]) continue;
        for (int k = 0; k <= i; k++) {
            if (!use[k]) continue;
            double s = a[i][k] / sqrt(a[i][i] * a[k][k]);
            for (int m = 0; m < k; m++) s -= l[i][m] * l[k][m];
            if (i == k && !(s > 1e-9)) return false;
            l[i][k] = i == k ? sqrt(s) : s / l[k][k];
        }
        y[i] = b[i] / sqrt(a[i][i]);
        for (int m = 0; m < i; m++) y[i] -= l[i][m] * y[m];
        y[i] /= l[i][i];
    }
    for (int i = TERMS - 1; i >= 0; i--) {
        out[i] = 0;
        if (!use[i]) continue;
        out[i] = y[i];
        for (int m = i + 1; m < TERMS; m++) out[i] -= l[m][i] * out[m];
        out[i] /= l[i][i];
    }
    for (int i = 0; i < TERMS; i++)
        if (use[i]) out[i] /= sqrt(a[i][i]);
    return true;
}

/* A term that is never there, cannot be told apart or would have a price below 0 is left out, the
 * last first. */
static void fit_terms(double a[TERMS][TERMS], const double b[TERMS], double out[TERMS])
{
    bool use[TERMS];
    for (int i = 0; i < TERMS; i++) use[i] = a[i][i] > 0;
    for (;;) {
        int worst = -1;
        memset(out, 0, TERMS * sizeof *out);
        bool is_solved = solve(a, b, use, out);
        for (int i = 0; i < TERMS; i++)
            if (use[i] && (!is_solved || out[i] < 0)) worst = i;
        if (worst < 0) return;
        use[worst] = false;
    }
}

struct prices prices_fit(const struct timed *work, size_t n)
{
    double a[TERMS][TERMS] = {{0}}, b[TERMS] = {0}, out[TERMS], seconds = 0, priced = 0;
    bool has_keys = true;
    for (size_t i = 0; i < n; i++) has_keys = has_keys && !isnan(work[i].keys);
    for (size_t i = 0; i < n; i++) {
        double x[TERMS];
        if (!(work[i].seconds > 0)) continue;
        terms_of(&work[i], x);
        if (!has_keys) x[2] = 0;
        for (int r = 0; r < TERMS; r++) {
            b[r] += x[r];
            for (int c = 0; c < TERMS; c++) a[r][c] += x[r] * x[c] / work[i].seconds;
        }
    }
    fit_terms(a, b, out);
    struct prices p = {out[0], out[1], out[2]};
    for (size_t i = 0; i < n; i++) {
        seconds += work[i].seconds;
        priced += prices_of(&p, work[i].passes, work[i].rows, work[i].keys);
    }
    double scale = priced > 0 ? seconds / priced : 0;
    return (struct prices){p.pass * scale, p.row * scale, p.key * scale};
}
