/* Improvement score against relative compute, on a logarithmic axis: Best-of-N as a curve over N,
 * every other method's points with their alpha; bars are the 95 % intervals.  The form of Sun et
 * al. 2024, arXiv:2410.20290, figure 3. */
#include "report/figures/figure.h"

#include "base/mem.h"
#include "report/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_drawn(const struct average *x)
{
    return isfinite(x->score) && x->relative_compute > 0 && isfinite(x->score_interval.low) &&
           isfinite(x->compute_interval.low);
}

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
static int number_series(const struct figure_scene *s, int *of, int *first)
{
    int n = 0;
    for (int i = 0; i < s->a->n; i++) {
        int k = 0;
        if (!is_drawn(&s->a->items[i])) continue;
        while (k < n && !same_series(figure_source(s, first[k]), figure_source(s, i))) k++;
        if (k == n) first[n++] = i;
        of[i] = k + 1;
    }
    return n;
}

/* x, y, x's limits, y's limits, label: "120" or "0.5". */
static void put_series(FILE *f, const struct figure_scene *s, const int *of, int number)
{
    fprintf(f, "$series%d << END\n", number);
    for (int i = 0; i < s->a->n; i++) {
        const struct average *x = &s->a->items[i];
        const struct source *source = figure_source(s, i);
        char label[CELL];
        if (of[i] != number) continue;
        if (source->method == METHOD_BEST_OF_N)
            cell_n(label, source->n);
        else
            cell_number(label, "%g", source->alpha);
        fprintf(f, "%.9g %.9g %.9g %.9g %.9g %.9g %s\n", x->relative_compute, x->score,
                x->compute_interval.low, x->compute_interval.high, x->score_interval.low,
                x->score_interval.high, label);
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

static void put_script(FILE *f, const struct figure_scene *s, const int *of, const int *first,
                       int n)
{
    for (int k = 1; k <= n; k++) put_series(f, s, of, k);
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

static bool write_improvement(const void *state, const struct figure_scene *s, FILE *f,
                              struct figure_words *w)
{
    (void)state;
    char name[BASELINE_NAME];
    int drawn = 0;
    for (int i = 0; i < s->a->n; i++) drawn += is_drawn(&s->a->items[i]);
    if (drawn == 0) {
        snprintf(w->why, sizeof w->why,
                 "no file of %s with its candidates is there to hold others against",
                 baseline_curve_name(name, s->c));
        return false;
    }
    fputs("set logscale x 2\nset autoscale xfix\n"
          "set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.08\n",
          f);
    baseline_short_name(name, s->c);
    fprintf(f, "set xlabel \"relative compute (%s = 1)\"\n", name);
    fprintf(f, "set ylabel \"improvement score (%s = 100)\"\n", name);
    size_t points = (size_t)s->a->n;
    int *of = mem_calloc(points, sizeof *of), *first = mem_calloc(points, sizeof *first),
        n = number_series(s, of, first);
    put_script(f, s, of, first, n);
    w->height = FIGURE_HEIGHT + (n > 3 ? 18 * (n - 3) : 0);
    free(first);
    free(of);
    snprintf(w->caption, sizeof w->caption,
             "Improvement score against relative compute, both held against %s; bars are 95 %% "
             "intervals over the prompts.  Best-of-N is labelled by N, Speculative Rejection by "
             "alpha: the further up and to the left, the better.",
             baseline_name(name, s->c));
    return true;
}

const struct figure_kind figure_improvement = {
    .name = "improvement",
    .title = "Improvement score against relative compute",
    .write = write_improvement,
};
