/* Where rejected winners were lost: in which round, and at which length, each point cut the
 * candidate that its partner (baseline.h), of the same N and seed, ends with.  Of paired files
 * only: the same number is the same candidate. */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SERIES  6
#define LENGTH_BINS 12
#define PANEL       210 /* height of a plot with its axis */

struct loss {
    int point, round;
    int64_t step; /* tokens that the winner had */
};

struct lost {
    int64_t *prompts; /* [points] winners looked for, each once per seed */
    int64_t *unknown; /* [points] of them cut where the file does not say */
    struct {
        struct loss *items; /* owned */
        size_t n, cap;
    } losses;
};

static void *create(const struct figure_scene *s)
{
    struct lost *x = mem_calloc(1, sizeof *x);
    x->prompts = mem_calloc((size_t)s->a->n, sizeof *x->prompts);
    x->unknown = mem_calloc((size_t)s->a->n, sizeof *x->unknown);
    return x;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    (void)state, (void)point;
    const struct compare_row *row = &s->c->rows[file];
    const struct source *x = &s->c->files[file];
    bool paired = row->partner >= 0 && row->partner != file && row->is_paired;
    return paired && source_rejects(x) && !x->only_answers ? SEE_CANDIDATES : 0;
}

/* A candidate that was complete when a round ranked it among the rejected can still win: it is not
 * lost (results/README.md). */
static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct lost *x = state;
    const struct source *partner = &s->c->files[s->c->rows[v->file].partner];
    const struct source_prompt *best = source_find(partner, v->row->prompt_index);
    if (!best || best->numbers.winner < 0) return;
    x->prompts[v->point]++;
    for (int64_t i = 0; i < v->n_candidates; i++) {
        const struct candidate_row *c = &v->candidates[i];
        if (c->candidate != best->numbers.winner) continue;
        struct loss one = {v->point, c->rejected_round, c->n_tokens};
        if (c->status == CANDIDATE_REJECTED) ARRAY_PUSH(x->losses, one);
        return;
    }
    x->unknown[v->point]++; /* only complete candidates were recorded, and it is not among them */
}

static void destroy(void *state)
{
    struct lost *x = state;
    free(x->prompts);
    free(x->unknown);
    free(x->losses.items);
    free(x);
}

static int64_t lost_by(const struct lost *x, int point)
{
    int64_t n = 0;
    for (size_t i = 0; i < x->losses.n; i++) n += x->losses.items[i].point == point;
    return n;
}

/* Per cent of the point's winners that were lost in the bin; bin of a loss: its round, or its
 * length in units of `wide`. */
static double share_in(const struct lost *x, int point, int64_t bin, int64_t wide)
{
    int64_t n = 0;
    for (size_t i = 0; i < x->losses.n; i++) {
        const struct loss *l = &x->losses.items[i];
        n += l->point == point && (wide ? l->step / wide : l->round) == bin;
    }
    return 100 * (double)n / (double)x->prompts[point];
}

/* A row per bin: its label, then a column per point. */
static void put_bins(FILE *f, const struct lost *x, const int *points, int n, int64_t bins,
                     int64_t wide)
{
    fprintf(f, "%s << END\n", wide ? "$lengths" : "$rounds");
    for (int64_t b = 0; b < bins; b++) {
        fprintf(f, "%lld", (long long)(wide ? b * wide : b + 1));
        for (int k = 0; k < n; k++) fprintf(f, " %.6g", share_in(x, points[k], b, wide));
        fputc('\n', f);
    }
    fputs("END\n", f);
}

static void put_plot(FILE *f, const struct figure_scene *s, const struct lost *x, const char *data,
                     const int *points, int n, bool with_key)
{
    for (int k = 0; k < n; k++) {
        char label[FIGURE_LABEL], title[2 * FIGURE_LABEL];
        int64_t never = x->prompts[points[k]] - lost_by(x, points[k]) - x->unknown[points[k]];
        snprintf(title, sizeof title, "%s: %.1f %% never cut", figure_label(label, s, points[k]),
                 100 * (double)never / (double)x->prompts[points[k]]);
        fprintf(f, "%s%s using %d:xtic(1) linetype %d ", k ? ", \\\n     " : "plot ", data, k + 2,
                k + 1);
        if (with_key)
            fputs("title ", f), figure_put_quoted(f, title);
        else
            fputs("notitle", f);
    }
    fputc('\n', f);
}

/* The points that are drawn: those whose rounds cut most, when there are too many. */
static int choose_points(const struct figure_scene *s, const struct lost *x, int *points)
{
    int n = 0;
    for (int i = 0; i < s->a->n; i++)
        if (x->prompts[i] > 0) points[n++] = i;
    while (n > MAX_SERIES) {
        int least = 0;
        for (int k = 1; k < n; k++)
            if (lost_by(x, points[k]) < lost_by(x, points[least])) least = k;
        memmove(points + least, points + least + 1, (size_t)(n - least - 1) * sizeof *points);
        n--;
    }
    return n;
}

static void put_script(FILE *f, const struct figure_scene *s, const struct lost *x,
                       const int *points, int n, double top)
{
    int64_t rounds = 1, longest = 1;
    for (size_t i = 0; i < x->losses.n; i++) {
        if (x->losses.items[i].round >= rounds) rounds = x->losses.items[i].round + 1;
        if (x->losses.items[i].step > longest) longest = x->losses.items[i].step;
    }
    int64_t wide = (longest / LENGTH_BINS / 16 + 1) * 16;
    put_bins(f, x, points, n, rounds, 0);
    put_bins(f, x, points, n, longest / wide + 1, wide);
    fprintf(f,
            "set style data histograms\nset style histogram clustered gap 1\n"
            "set style fill solid 1 noborder\nset yrange [0:*]\nset lmargin 9\n"
            "set offsets 0, 0, graph 0.08, 0\nset multiplot\nset size 1,%.3f\n"
            "set origin 0,%.3f\nunset key\nset ylabel \"%% of winners\"\n"
            "set xlabel \"cut in round\"\n",
            top, 1 - top);
    put_plot(f, s, x, "$rounds", points, n, false);
    fprintf(f,
            "set size 1,%.3f\nset origin 0,0\n"
            "set xlabel \"cut at this many tokens, or up to %lld more\"\n",
            1 - top, (long long)wide - 1);
    figure_put_key(f, n);
    put_plot(f, s, x, "$lengths", points, n, true);
    fputs("unset multiplot\n", f);
}

static bool write_lost(const void *state, const struct figure_scene *s, FILE *f,
                       struct figure_words *w)
{
    const struct lost *x = state;
    int *points = mem_calloc((size_t)s->a->n, sizeof *points), all = 0, n;
    int64_t unknown = 0;
    char curve[BASELINE_NAME];
    baseline_curve_name(curve, s->c);
    for (int i = 0; i < s->a->n; i++) all += x->prompts[i] > 0, unknown += x->unknown[i];
    n = choose_points(s, x, points);
    if (n > 0) {
        w->height = 2 * PANEL + 24 * n;
        put_script(f, s, x, points, n, (double)PANEL / w->height);
        size_t at = (size_t)snprintf(
            w->caption, sizeof w->caption,
            "Winners of %s (same N and seed, paired) that Speculative Rejection cut, in per cent "
            "of the prompts, by round and by the tokens they had.",
            curve);
        if (all > n)
            at += (size_t)snprintf(w->caption + at, sizeof w->caption - at,
                                   "  Of %d points the %d that lost most.", all, n);
        if (unknown > 0)
            snprintf(w->caption + at, sizeof w->caption - at,
                     "  %lld more were cut where files without rejected candidates "
                     "(record.candidates) do not say.",
                     (long long)unknown);
    } else {
        snprintf(w->why, sizeof w->why,
                 "it needs Speculative Rejection runs paired with %s runs of the same N, seed and "
                 "arithmetic",
                 curve);
    }
    free(points);
    return n > 0;
}

const struct figure_kind figure_lost = {
    .name = "lost",
    .title = "Where rejected winners were lost",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_lost,
};
