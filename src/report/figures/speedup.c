/* Speedup at equal reward, a row per point that is not of the reference's curve (baseline.h).  What
 * lies beyond the ends of that curve is a bound: an arrow from the last value along it, never a
 * number of its own. */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_drawn(const struct figure_scene *s, int point)
{
    const struct speedup *x = &s->a->items[point].speedup;
    return !baseline_is_of_curve(s->c, figure_source(s, point)) && x->kind != SPEEDUP_NONE &&
           isfinite(x->value) && x->value > 0;
}

static bool is_open(const struct speedup *x)
{
    return x->kind == SPEEDUP_AT_LEAST || x->kind == SPEEDUP_AT_MOST;
}

/* Rows of a data block that have something in it. */
struct blocks {
    int measured, bounds, open_ends;
};

/* Speedup, its interval, row. */
static void put_measured(FILE *f, struct blocks *n_of, const struct average *x, int row)
{
    if (is_open(&x->speedup)) return;
    bool known = isfinite(x->speedup_low.value) && isfinite(x->speedup_high.value);
    fprintf(f, "%.6g %.6g %.6g %d\n", x->speedup.value,
            known ? x->speedup_low.value : x->speedup.value,
            known ? x->speedup_high.value : x->speedup.value, row);
    n_of->measured++;
}

/* A bound: where from, which way (1: up, -1: down), row. */
static void put_bound(FILE *f, struct blocks *n_of, const struct average *x, int row)
{
    if (!is_open(&x->speedup)) return;
    fprintf(f, "%.6g %d %d\n", x->speedup.value, x->speedup.kind == SPEEDUP_AT_LEAST ? 1 : -1, row);
    n_of->bounds++;
}

/* The same of limits of intervals that are bounds. */
static void put_open_ends(FILE *f, struct blocks *n_of, const struct average *x, int row)
{
    const struct speedup *low = &x->speedup_low, *high = &x->speedup_high;
    if (is_open(&x->speedup)) return;
    if (low->kind == SPEEDUP_AT_MOST && isfinite(low->value))
        n_of->open_ends += fprintf(f, "%.6g -1 %d\n", low->value, row) > 0;
    if (high->kind == SPEEDUP_AT_LEAST && isfinite(high->value))
        n_of->open_ends += fprintf(f, "%.6g 1 %d\n", high->value, row) > 0;
}

static struct blocks put_data(FILE *f, const struct figure_scene *s, const int *points, int n)
{
    static const struct {
        const char *name;
        void (*put)(FILE *, struct blocks *, const struct average *, int);
    } blocks[] = {{"measured", put_measured}, {"bounds", put_bound}, {"open_ends", put_open_ends}};
    struct blocks n_of = {0};
    for (int k = 0; k < 3; k++) {
        fprintf(f, "$%s << END\n", blocks[k].name);
        for (int i = 0; i < n; i++) blocks[k].put(f, &n_of, &s->a->items[points[i]], i + 1);
        fputs("END\n", f);
    }
    return n_of;
}

/* gnuplot has a warning for each block that is empty. */
static void put_plot(FILE *f, struct blocks n_of)
{
    const char *before = "plot ", *next = ", \\\n     ";
    if (n_of.measured > 0) {
        fprintf(f,
                "%s$measured using 1:4:2:3 with xerrorbars linetype 1 pointtype 7 "
                "title \"speedup\"",
                before);
        before = next;
    }
    if (n_of.bounds > 0) {
        fprintf(f,
                "%s$bounds using 1:3:($1 * 1.3 ** $2 - $1):(0) with vectors filled head linetype 2 "
                "notitle%s$bounds using 1:3 with points linetype 2 pointtype 5 "
                "title \"a bound only\"",
                before, next);
        before = next;
    }
    if (n_of.open_ends > 0)
        fprintf(f,
                "%s$open_ends using 1:3:($1 * 1.3 ** $2 - $1):(0) with vectors filled head "
                "linetype 1 notitle",
                before);
    fputc('\n', f);
}

/* Ends of the axis that leave room for arrows of a factor 1.3. */
static void put_range(FILE *f, const struct figure_scene *s, const int *points, int n)
{
    double low = 1, high = 1;
    for (int i = 0; i < n; i++) {
        const struct average *x = &s->a->items[points[i]];
        const double values[] = {x->speedup.value, x->speedup_low.value, x->speedup_high.value};
        for (int k = 0; k < 3; k++) {
            if (!isfinite(values[k]) || values[k] <= 0) continue;
            low = fmin(low, values[k]);
            high = fmax(high, values[k]);
        }
    }
    fprintf(f, "set xrange [%.6g:%.6g]\n", low / 1.5, high * 1.5);
}

/* Those that gain most, when there are too many; returns how many are left. */
static int keep_most(const struct figure_scene *s, int *points, int n)
{
    while (n > FIGURE_MAX_ROWS) {
        int least = 0;
        for (int k = 1; k < n; k++)
            if (s->a->items[points[k]].speedup.value < s->a->items[points[least]].speedup.value)
                least = k;
        memmove(points + least, points + least + 1, (size_t)(n - least - 1) * sizeof *points);
        n--;
    }
    return n;
}

static bool write_speedup(const void *state, const struct figure_scene *s, FILE *f,
                          struct figure_words *w)
{
    (void)state;
    char curve[BASELINE_NAME], axis[BASELINE_NAME];
    baseline_curve_name(curve, s->c);
    int *points = mem_calloc((size_t)s->a->n, sizeof *points), n = 0;
    for (int i = 0; i < s->a->n; i++)
        if (is_drawn(s, i)) points[n++] = i;
    int all = n;
    n = keep_most(s, points, n);
    if (n > 0) {
        w->height = figure_rows_height(n, 2);
        struct blocks n_of = put_data(f, s, points, n);
        figure_put_rows(f, s, points, n);
        put_range(f, s, points, n);
        figure_put_reference(axis, f, s, true);
        fprintf(f,
                "set logscale x 2\nset xlabel \"speedup at equal reward (%s = 1)\"\n"
                "set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb \"#555555\" "
                "dashtype 2\n",
                axis);
        put_plot(f, n_of);
        size_t at = (size_t)snprintf(
            w->caption, sizeof w->caption,
            "What %s costs to reach the same score, over what the point cost; bars are 95 %% "
            "intervals over the prompts.  An arrow marks a bound: no file of %s here reached the "
            "score (>=), or even the cheapest exceeds it (<=).",
            curve, curve);
        if (all > n)
            snprintf(w->caption + at, sizeof w->caption - at,
                     "  Of %d points the %d with the largest speedups.", all, n);
    } else {
        snprintf(w->why, sizeof w->why, "it needs %s files and %s files to hold them against",
                 baseline_rejects(s->c) ? "other" : "Speculative Rejection", curve);
    }
    free(points);
    return n > 0;
}

const struct figure_kind figure_speedup = {
    .name = "speedup",
    .title = "Speedup at equal reward",
    .write = write_speedup,
};
