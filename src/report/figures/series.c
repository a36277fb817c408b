#include "report/figures/series.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Points of one look: a method, everything but seed and alpha, and an N but for Best-of-N, whose
 * points are N. */
static bool same_series(const struct source *a, const struct source *b)
{
    if (a->method != b->method || a->is_replayed != b->is_replayed) return false;
    if (a->method != METHOD_BEST_OF_N && a->n != b->n) return false;
    return !averages_curve_differs(a, b); /* last: it takes long */
}

/* of [points]: the number of each point's series, from 1 on; 0: not drawn.  first [points]: the
 * first point of each series.  Returns how many there are. */
static int number_series(const struct figure_scene *s, const struct series_mark *marks, int *of,
                         int *first)
{
    int n = 0;
    for (int i = 0; i < s->a->n; i++) {
        int k = 0;
        if (!marks[i].is_drawn) continue;
        while (k < n && !same_series(figure_source(s, first[k]), figure_source(s, i))) k++;
        if (k == n) first[n++] = i;
        of[i] = k + 1;
    }
    return n;
}

/* x, y, x's limits, y's limits, label: "120" or "0.5". */
static void put_series(FILE *f, const struct figure_scene *s, const struct series_mark *marks,
                       const int *of, int number)
{
    fprintf(f, "$series%d << END\n", number);
    for (int i = 0; i < s->a->n; i++) {
        const struct series_mark *m = &marks[i];
        const struct source *source = figure_source(s, i);
        char label[CELL];
        if (of[i] != number) continue;
        if (source->method == METHOD_BEST_OF_N)
            cell_n(label, source->n);
        else
            cell_number(label, "%g", source->alpha);
        fprintf(f, "%.9g %.9g %.9g %.9g %.9g %.9g %s\n", m->x, m->y, m->x_95.low, m->x_95.high,
                m->y_95.low, m->y_95.high, label);
    }
    fputs("END\n", f);
}

/* What the title need not say again: it is in its other words. */
static bool is_told(const char *key)
{
    return strcmp(key, "rounds") == 0 || strcmp(key, "score_at") == 0 ||
           strcmp(key, "batching") == 0 || strcmp(key, "compat") == 0;
}

/* ", budget_tokens 4096": what tells the series from another that reads the same. */
static void put_difference(char out[2 * CELL], const struct figure_scene *s, int point)
{
    const struct source *x = figure_source(s, point);
    out[0] = 0;
    for (int i = 0; i < s->a->n && !out[0]; i++) {
        const struct source *y = figure_source(s, i);
        const struct entry *one = y->method == x->method ? averages_curve_differs(y, x) : NULL;
        if (one && !is_told(one->key))
            snprintf(out, 2 * CELL, ", %.30s %.30s", one->key, one->text);
    }
}

static void put_title(FILE *f, const struct figure_scene *s, int point)
{
    const struct source *x = figure_source(s, point);
    char n[CELL], rounds[CELL], other[2 * CELL], title[2 * FIGURE_LABEL];
    const char *replayed = x->is_replayed ? ", replayed" : "";
    put_difference(other, s, point);
    if (x->method == METHOD_BEST_OF_N)
        snprintf(title, sizeof title, "Best-of-N%s%s%s%s, by N", x->is_static ? ", static" : "",
                 x->scores_on_the_way ? ", score_at" : "", replayed, other);
    else
        snprintf(title, sizeof title, "%s, N %s%s%s%s, by alpha",
                 x->compat == COMPAT_PAPER_CODE_2024 ? "2024 code" : "Speculative Rejection",
                 cell_n(n, x->n), figure_rounds(rounds, s, point), replayed, other);
    fputs("title ", f);
    figure_put_quoted(f, title);
}

/* Neighbours have theirs on different sides: points of near cost and score are common. */
static void put_labels(FILE *f, const struct figure_scene *s, const int *of, int n)
{
    static const char *const offsets[] = {"1.2,0.8", "1.4,-0.8", "-1.4,0.8"};
    int points = 0;
    for (int i = 0; i < s->a->n; i++) points += of[i] == n;
    for (int i = 0; i < 3 && i < points; i++)
        fprintf(f, ", \\\n     $series%d every 3::%d using 1:2:7 with labels offset %s notitle", n,
                i, offsets[i]);
}

static void put_plots(FILE *f, const struct figure_scene *s, const int *of, const int *first, int n)
{
    figure_put_key(f, n);
    for (int k = 1; k <= n; k++) {
        bool curve = figure_source(s, first[k - 1])->method == METHOD_BEST_OF_N;
        fprintf(f, "%s $series%d using 1:2:3:4:5:6 with xyerrorbars linetype %d pointtype %d ",
                k == 1 ? "plot" : ", \\\n    ", k, k, curve ? 7 : 5);
        put_title(f, s, first[k - 1]);
        if (curve)
            fprintf(f, ", \\\n     $series%d using 1:2 with lines linetype %d notitle", k, k);
        put_labels(f, s, of, k);
    }
    fputc('\n', f);
}

int series_put(FILE *f, const struct figure_scene *s, const struct series_mark *marks)
{
    size_t points = (size_t)s->a->n;
    int *of = mem_calloc(points, sizeof *of), *first = mem_calloc(points, sizeof *first),
        n = number_series(s, marks, of, first);
    for (int k = 1; k <= n; k++) put_series(f, s, marks, of, k);
    fputs("set logscale x 2\nset autoscale xfix\n"
          "set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.08\n",
          f);
    put_plots(f, s, of, first, n);
    free(first);
    free(of);
    return n;
}

int series_height(int n)
{
    return FIGURE_HEIGHT + (n > 3 ? 18 * (n - 3) : 0);
}
