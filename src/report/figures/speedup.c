/* Speedup at equal reward, a row per point.  What lies beyond the ends of the Best-of-N curve is a
 * bound: an arrow from the last value that was measured, never a number of its own. */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_drawn(const struct figure_scene *s, int point)
{
    const struct speedup *x = &s->a->items[point].speedup;
    return figure_rejects(figure_source(s, point)) && x->kind != SPEEDUP_NONE &&
           isfinite(x->value) && x->value > 0;
}

static bool is_open(const struct speedup *x)
{
    return x->kind == SPEEDUP_AT_LEAST || x->kind == SPEEDUP_AT_MOST;
}

/* Speedup, its interval, row; then the bounds: where from, which way (1: up, -1: down), row. */
static void put_data(FILE *f, const struct figure_scene *s, const int *points, int n)
{
    fputs("$measured << END\n", f);
    for (int i = 0; i < n; i++) {
        const struct average *x = &s->a->items[points[i]];
        if (is_open(&x->speedup)) continue;
        bool known = isfinite(x->speedup_low.value) && isfinite(x->speedup_high.value);
        fprintf(f, "%.6g %.6g %.6g %d\n", x->speedup.value,
                known ? x->speedup_low.value : x->speedup.value,
                known ? x->speedup_high.value : x->speedup.value, i + 1);
    }
    fputs("END\n$bounds << END\n", f);
    for (int i = 0; i < n; i++) {
        const struct speedup *x = &s->a->items[points[i]].speedup;
        if (is_open(x))
            fprintf(f, "%.6g %d %d\n", x->value, x->kind == SPEEDUP_AT_LEAST ? 1 : -1, i + 1);
    }
    fputs("END\n$open_ends << END\n", f);
    for (int i = 0; i < n; i++) {
        const struct average *x = &s->a->items[points[i]];
        if (is_open(&x->speedup)) continue;
        if (x->speedup_low.kind == SPEEDUP_AT_MOST && isfinite(x->speedup_low.value))
            fprintf(f, "%.6g -1 %d\n", x->speedup_low.value, i + 1);
        if (x->speedup_high.kind == SPEEDUP_AT_LEAST && isfinite(x->speedup_high.value))
            fprintf(f, "%.6g 1 %d\n", x->speedup_high.value, i + 1);
    }
    fputs("END\n", f);
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

static bool write_speedup(const void *state, const struct figure_scene *s, FILE *f,
                          struct figure_words *w)
{
    (void)state;
    int *points = mem_calloc((size_t)s->a->n, sizeof *points), n = 0;
    for (int i = 0; i < s->a->n; i++)
        if (is_drawn(s, i)) points[n++] = i;
    if (n > 0) {
        w->height = figure_rows_height(n);
        put_data(f, s, points, n);
        figure_put_rows(f, s, points, n);
        put_range(f, s, points, n);
        fputs("set logscale x 2\nset xlabel \"speedup at equal reward (Best-of-N = 1)\"\n"
              ""
              "set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb \"#555555\" "
              "dashtype 2\n"
              "plot $measured using 1:4:2:3 with xerrorbars linetype 1 pointtype 7 "
              "title \"measured\", \\\n"
              "     $bounds using 1:3:($1 * 1.3 ** $2 - $1):(0) with vectors filled head linetype "
              "2 notitle, \\\n"
              "     $bounds using 1:3 with points linetype 2 pointtype 5 title \"a bound only\", "
              "\\\n"
              "     $open_ends using 1:3:($1 * 1.3 ** $2 - $1):(0) with vectors filled head "
              "linetype 1 notitle\n",
              f);
        strcpy(w->caption,
               "What Best-of-N costs to reach the same score, over what the point cost; bars are "
               "95 % intervals over the prompts.  An arrow marks a bound: no measured Best-of-N "
               "reached the score (>=), or even the cheapest exceeds it (<=).");
    } else {
        strcpy(w->why, "it needs Speculative Rejection files and Best-of-N files to hold them "
                       "against");
    }
    free(points);
    return n > 0;
}

const struct figure_kind figure_speedup = {
    .name = "speedup",
    .title = "Speedup at equal reward",
    .write = write_speedup,
};
