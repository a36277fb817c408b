/* Best reward against the tokens that were generated for it, of replayed points over random subsets
 * of the recorded candidates (subset_values.h): what hangs on which candidates a run happens to
 * get.
 */
#include "base/mem.h"
#include "report/figures/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of several recordings together there are none. */
static struct series_mark mark_of(const struct figure_scene *s, int point)
{
    const struct average *x = &s->a->items[point];
    const struct subset_values *v = &s->c->files[x->first].subsets;
    struct series_mark m = {false, v->mean[SUBSET_TOKENS], v->mean[SUBSET_BEST_REWARD],
                            v->interval[SUBSET_TOKENS], v->interval[SUBSET_BEST_REWARD]};
    m.is_drawn = x->n_files == 1 && v->draws > 0 && m.x > 0 && isfinite(m.y) &&
                 isfinite(m.x_95.low) && isfinite(m.y_95.low);
    return m;
}

static bool write_subsets(const void *state, const struct figure_scene *s, FILE *f,
                          struct figure_words *w)
{
    (void)state;
    int drawn = 0;
    struct series_mark *marks = mem_calloc((size_t)s->a->n, sizeof *marks);
    for (int i = 0; i < s->a->n; i++) {
        marks[i] = mark_of(s, i);
        drawn += marks[i].is_drawn;
    }
    if (drawn > 0) {
        fputs("set xlabel \"tokens generated\"\nset ylabel \"best reward\"\n", f);
        w->height = series_height(series_put(f, s, marks));
        strcpy(w->caption,
               "Against tokens generated: means over random subsets of N of the "
               "recorded candidates; bars are the middle 95 % of the subsets, not intervals over "
               "the prompts.  Best-of-N is labelled by N, Speculative Rejection by alpha.");
    } else {
        strcpy(w->why, "no replayed points over subsets of their candidates are among the files "
                       "(specrej replay --subsets K -o REPLAY.json)");
    }
    free(marks);
    return drawn > 0;
}

const struct figure_kind figure_subsets = {
    .name = "subsets",
    .title = "Best reward over candidate subsets",
    .write = write_subsets,
};
