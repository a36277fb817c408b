#include "report/figures.h"

#include "base/log.h"
#include "base/mem.h"
#include "cluster/command.h"
#include "report/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GNUPLOT_LIMIT_S 60

/* ---- the script ---- */

static bool is_drawn(const struct average *x)
{
    return isfinite(x->score) && x->relative_compute > 0 && isfinite(x->score_interval.low) &&
           isfinite(x->compute_interval.low);
}

/* Points of one look: a method, and an N but for Best-of-N, whose points are N. */
static bool same_series(const struct comparison *c, const struct average *x,
                        const struct average *y)
{
    const struct source *a = &c->files[x->first], *b = &c->files[y->first];
    if (a->method != b->method || a->compat != b->compat || a->is_static != b->is_static)
        return false;
    return a->method == METHOD_BEST_OF_N || a->n == b->n;
}

static bool begins_series(const struct comparison *c, const struct averages *a, int at)
{
    for (int i = 0; i < at; i++)
        if (is_drawn(&a->items[i]) && same_series(c, &a->items[i], &a->items[at])) return false;
    return is_drawn(&a->items[at]);
}

/* x, x's limits, y, y's limits, label: "120" or "0.5". */
static void put_series(FILE *f, const struct comparison *c, const struct averages *a, int at,
                       int number)
{
    fprintf(f, "$series%d << END\n", number);
    for (int i = at; i < a->n; i++) {
        const struct average *x = &a->items[i];
        const struct source *s = &c->files[x->first];
        char label[CELL];
        if (!is_drawn(x) || !same_series(c, &a->items[at], x)) continue;
        if (s->method == METHOD_BEST_OF_N)
            cell_n(label, s->n);
        else
            cell_number(label, "%g", s->alpha);
        fprintf(f, "%.9g %.9g %.9g %.9g %.9g %.9g %s\n", x->relative_compute, x->score,
                x->compute_interval.low, x->compute_interval.high, x->score_interval.low,
                x->score_interval.high, label);
    }
    fputs("END\n", f);
}

static void put_title(FILE *f, const struct comparison *c, const struct average *x)
{
    const struct source *s = &c->files[x->first];
    char method[CELL], n[CELL];
    cell_method(method, s);
    if (s->method == METHOD_BEST_OF_N)
        fprintf(f, "title \"%s, by N\"", method);
    else
        fprintf(f, "title \"%s, N %s, by alpha\"", method, cell_n(n, s->n));
}

static void write_improvement(FILE *f, const struct comparison *c, const struct averages *a)
{
    int n = 0;
    fputs("# gnuplot improvement.gp >improvement.svg\n"
          "set terminal svg size 800,560 noenhanced font \"sans-serif,14\" background \"white\"\n"
          "set colorsequence podo\n"
          "set logscale x 2\n"
          "set autoscale xfix\n"
          "set grid\n"
          "set key below\n"
          "set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.05\n",
          f);
    fprintf(f, "set xlabel \"relative compute (Best-of-%lld = 1)\"\n", (long long)c->reference_n);
    fprintf(f, "set ylabel \"improvement score (Best-of-%lld = 100)\"\n",
            (long long)c->reference_n);
    for (int i = 0; i < a->n; i++)
        if (begins_series(c, a, i)) put_series(f, c, a, i, ++n);
    n = 0;
    for (int i = 0; i < a->n; i++) {
        if (!begins_series(c, a, i)) continue;
        bool curve = c->files[a->items[i].first].method == METHOD_BEST_OF_N;
        n++;
        fprintf(f, "%s $series%d using 1:2:3:4:5:6 with xyerrorbars linetype %d pointtype %d ",
                n == 1 ? "plot" : ", \\\n    ", n, n, curve ? 7 : 5);
        put_title(f, c, &a->items[i]);
        if (curve)
            fprintf(f, ", \\\n     $series%d using 1:2 with lines linetype %d notitle", n, n);
        fprintf(f, ", \\\n     $series%d using 1:2:7 with labels offset 1.2,0.8 notitle", n);
    }
    fputc('\n', f);
}

/* ---- files ---- */

static int draw(const char *script, const char *svg, struct err *e)
{
    struct command_output drawn;
    struct output o;
    if (command_run((const char *const[]){"gnuplot", script, NULL}, NULL, GNUPLOT_LIMIT_S, &drawn,
                    e) < 0) {
        log0(LOG_WARN, "%s: not drawn: %s", script, e->text);
        return 0;
    }
    int rc = 0;
    if (drawn.status != 0)
        rc = err_set(e, "%s: gnuplot ended with status %d: %.160s", script, drawn.status,
                     drawn.errors);
    if (rc == 0) rc = output_begin(&o, svg, NULL, e);
    if (rc == 0) {
        fputs(drawn.out, o.file);
        rc = output_end(&o, 0, e);
    }
    command_free(&drawn);
    return rc;
}

int figures_write(const struct comparison *c, const struct averages *a, const char *folder,
                  struct err *e)
{
    int drawn = 0;
    for (int i = 0; i < a->n; i++) drawn += is_drawn(&a->items[i]);
    if (drawn == 0) return 0; /* no Best-of-N: the table says so */
    char *script = mem_printf("%s/improvement.gp", folder),
         *svg = mem_printf("%s/improvement.svg", folder);
    struct output o;
    int rc = output_begin(&o, script, NULL, e);
    if (rc == 0) {
        write_improvement(o.file, c, a);
        rc = output_end(&o, 0, e);
    }
    if (rc == 0) rc = draw(script, svg, e);
    free(script);
    free(svg);
    return rc;
}
