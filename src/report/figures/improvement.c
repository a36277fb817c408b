/* Improvement score against relative compute, on a logarithmic axis; bars are the 95 % intervals.
 * The form of Sun et al. 2024, arXiv:2410.20290, figure 3. */
#include "base/mem.h"
#include "report/figures/series.h"

#include <math.h>
#include <stdlib.h>

static bool is_drawn(const struct average *x)
{
    return isfinite(x->score) && x->relative_compute > 0 && isfinite(x->score_interval.low) &&
           isfinite(x->compute_interval.low);
}

static bool write_improvement(const void *state, const struct figure_scene *s, FILE *f,
                              struct figure_words *w)
{
    (void)state;
    char name[BASELINE_NAME];
    int drawn = 0;
    struct series_mark *marks = mem_calloc((size_t)s->a->n, sizeof *marks);
    for (int i = 0; i < s->a->n; i++) {
        const struct average *x = &s->a->items[i];
        marks[i] = (struct series_mark){is_drawn(x), x->relative_compute, x->score,
                                        x->compute_interval, x->score_interval};
        drawn += marks[i].is_drawn;
    }
    if (drawn > 0) {
        figure_put_reference(name, f, s, false);
        fprintf(f, "set xlabel \"relative compute (%s = 1)\"\n", name);
        fprintf(f, "set ylabel \"improvement score (%s = 100)\"\n", name);
        w->height = series_height(series_put(f, s, marks));
        snprintf(w->caption, sizeof w->caption,
                 "Both are held against %s; bars are 95 %% "
                 "intervals over the prompts.  Best-of-N is labelled by N, Speculative Rejection "
                 "by alpha: the further up and to the left, the better.",
                 baseline_name(name, s->c));
    } else {
        snprintf(w->why, sizeof w->why,
                 "no %s file with all its candidates is there to hold others against",
                 baseline_curve_name(name, s->c));
    }
    free(marks);
    return drawn > 0;
}

const struct figure_kind figure_improvement = {
    .name = "improvement",
    .title = "Improvement score against relative compute",
    .write = write_improvement,
};
