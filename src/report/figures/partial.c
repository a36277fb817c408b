/* How well a partial reward foretells the final one, and how that grows with the length: from a
 * Best-of-N run with score_at, which rejects nothing, among the candidates that are still live at
 * that length.
 *
 * Correlations are taken within each prompt, then averaged: between prompts rewards differ for
 * reasons that no choice among candidates has a part in.  Source: this project's design, section 9;
 * Sun et al. 2024, arXiv:2410.20290, figure 2 shows such a scatter. */
#include "report/figures/figure.h"

#include "base/mem.h"
#include "report/correlation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIN_LIVE    5    /* candidates, below which a prompt does not count at a length */
#define MAX_LENGTHS 40   /* that are drawn */
#define MAX_MARKS   1500 /* of the scatter, about */

/* A prompt at a length, of one seed. */
struct cell_value {
    int64_t prompt;
    double pearson, tau;
};

struct length {
    int64_t n_tokens, live; /* live: candidates, over all prompts */
    struct {
        struct cell_value *items; /* owned */
        size_t n, cap;
    } values;
    struct {
        struct mark {
            float partial, final; /* less the prompt's mean */
        } * items;                /* owned */
        size_t n, cap;
    } marks;
};

struct partial {
    int point; /* -1: there is none */
    int64_t n_prompts, per_prompt, candidates;
    bool is_incomplete;
    struct {
        struct length *items; /* owned, by number */
        size_t n, cap;
    } lengths;
};

/* The largest N. */
static void *create(const struct figure_scene *s)
{
    struct partial *x = mem_calloc(1, sizeof *x);
    x->point = -1;
    x->n_prompts = s->c->n_prompts;
    for (int i = 0; i < s->a->n; i++) {
        const struct source *p = figure_source(s, i);
        if (!p->scores_on_the_way || p->is_replayed) continue;
        if (x->point < 0 || p->n > figure_source(s, x->point)->n) x->point = i;
    }
    int64_t seeds = x->point < 0 ? 1 : s->a->items[x->point].n_files;
    x->per_prompt = MAX_MARKS / (x->n_prompts * seeds) + 1;
    return x;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    (void)s, (void)file;
    return ((const struct partial *)state)->point == point ? SEE_CANDIDATES | SEE_PARTIALS : 0;
}

static struct length *length_at(struct partial *x, const struct partial_reward_row *row)
{
    while (x->lengths.n <= (size_t)row->round) {
        ARRAY_PUSH(x->lengths, (struct length){0});
    }
    struct length *l = &x->lengths.items[row->round];
    l->n_tokens = row->n_tokens;
    return l;
}

static double mean_of(const double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i] / (double)n;
    return sum;
}

/* One prompt at one length: rewards [n] of the candidates that are live there. */
static void take(struct partial *x, struct length *l, int64_t prompt, const double *partial,
                 const double *final, int64_t n)
{
    l->live += n;
    if (n < MIN_LIVE) return;
    double r = correlation_pearson(partial, final, n), tau = correlation_kendall(partial, final, n);
    if (isnan(r) || isnan(tau)) return;
    struct cell_value value = {prompt, r, tau};
    ARRAY_PUSH(l->values, value);
    double a = mean_of(partial, n), b = mean_of(final, n);
    for (int64_t i = 0; i < n && i < x->per_prompt; i++) {
        struct mark m = {(float)(partial[i] - a), (float)(final[i] - b)};
        ARRAY_PUSH(l->marks, m);
    }
}

/* By length, then candidate: the file has them as they were scored, a batch of candidates after the
 * other. */
static int by_round(const void *a, const void *b)
{
    const struct partial_reward_row *p = a, *q = b;
    if (p->round != q->round) return p->round < q->round ? -1 : 1;
    return (p->candidate > q->candidate) - (p->candidate < q->candidate);
}

static struct partial_reward_row *sorted_partials(const struct figure_view *v)
{
    size_t n = (size_t)v->n_partials;
    struct partial_reward_row *rows = mem_calloc(n, sizeof *rows);
    if (n) memcpy(rows, v->partials, n * sizeof *rows);
    qsort(rows, n, sizeof *rows, by_round);
    return rows;
}

static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct partial *x = state;
    int64_t n = v->row->n, end;
    (void)s;
    if (v->n_candidates < n) {
        x->is_incomplete = true;
        return;
    }
    const struct candidate_row **by_number = mem_calloc((size_t)n, sizeof *by_number);
    struct partial_reward_row *rows = sorted_partials(v);
    double *partial = mem_calloc((size_t)n, sizeof *partial),
           *final = mem_calloc((size_t)n, sizeof *final);
    for (int64_t i = 0; i < v->n_candidates; i++)
        if (v->candidates[i].candidate >= 0 && v->candidates[i].candidate < n)
            by_number[v->candidates[i].candidate] = &v->candidates[i];
    x->candidates += n;
    for (int64_t i = 0; i < v->n_partials; i = end) {
        int64_t live = 0;
        for (end = i; end < v->n_partials && rows[end].round == rows[i].round; end++) {
            const struct partial_reward_row *p = &rows[end];
            bool known = p->candidate >= 0 && p->candidate < n && by_number[p->candidate];
            if (!known || by_number[p->candidate]->n_tokens <= p->n_tokens || live == n) continue;
            if (!isfinite(p->reward) || !isfinite(by_number[p->candidate]->reward)) continue;
            partial[live] = (double)p->reward;
            final[live++] = (double)by_number[p->candidate]->reward;
        }
        take(x, length_at(x, &rows[i]), v->prompt, partial, final, live);
    }
    free(rows);
    free(by_number);
    free(partial);
    free(final);
}

static void destroy(void *state)
{
    struct partial *x = state;
    for (size_t i = 0; i < x->lengths.n; i++) {
        free(x->lengths.items[i].values.items);
        free(x->lengths.items[i].marks.items);
    }
    free(x->lengths.items);
    free(x);
}

/* ---- the script ---- */

/* A prompt at a length, summed over the seeds. */
struct seeds {
    double pearson, tau;
    int64_t n;
};

/* to [prompts].  Returns how many prompts have a seed. */
static int64_t sum_seeds(struct seeds *to, const struct partial *x, const struct length *l)
{
    int64_t prompts = 0;
    memset(to, 0, (size_t)x->n_prompts * sizeof *to);
    for (size_t i = 0; i < l->values.n; i++) {
        const struct cell_value *v = &l->values.items[i];
        struct seeds *p = &to[v->prompt];
        p->pearson += v->pearson;
        p->tau += v->tau;
        prompts += p->n++ == 0;
    }
    return prompts;
}

/* Where at least half of the prompts count, at most MAX_LENGTHS of them, evenly; how many. */
static int choose_lengths(const struct partial *x, const struct length *chosen[MAX_LENGTHS])
{
    const struct length **all = mem_calloc(x->lengths.n, sizeof *all);
    struct seeds *sums = mem_calloc((size_t)x->n_prompts, sizeof *sums);
    int64_t n = 0, kept;
    for (size_t i = 0; i < x->lengths.n; i++) {
        const struct length *l = &x->lengths.items[i];
        if (l->values.n == 0 || 2 * (int64_t)l->values.n < x->n_prompts) continue;
        if (2 * sum_seeds(sums, x, l) >= x->n_prompts) all[n++] = l;
    }
    free(sums);
    kept = n < MAX_LENGTHS ? n : MAX_LENGTHS;
    for (int64_t i = 0; i < kept; i++) chosen[i] = all[i * n / kept];
    free(all);
    return to_int(kept);
}

/* The longest at which at least half of the candidates are live. */
static const struct length *choose_scatter(const struct partial *x,
                                           const struct length *const *chosen, int n)
{
    int best = 0;
    for (int i = 0; i < n; i++)
        if (2 * chosen[i]->live >= x->candidates) best = i;
    return chosen[best];
}

/* means [2][n]: Pearson, then tau. */
static void fill_means(struct figure_mean *means, const struct partial *x,
                       const struct length *const *chosen, int n)
{
    size_t prompts = (size_t)x->n_prompts;
    double *values = mem_calloc(2 * (size_t)n * prompts, sizeof *values);
    struct seeds *sums = mem_calloc(prompts, sizeof *sums);
    for (size_t i = 0; i < (size_t)n; i++) {
        sum_seeds(sums, x, chosen[i]);
        for (size_t p = 0; p < prompts; p++) {
            const struct seeds *v = &sums[p];
            values[i * prompts + p] = v->n ? v->pearson / (double)v->n : NAN;
            values[((size_t)n + i) * prompts + p] = v->n ? v->tau / (double)v->n : NAN;
        }
    }
    figure_means(means, values, 2 * n, x->n_prompts);
    free(sums);
    free(values);
}

static void put_data(FILE *f, const struct length *scatter, const struct length *const *chosen,
                     const struct figure_mean *means, int n)
{
    fputs("$marks << END\n", f);
    for (size_t i = 0; i < scatter->marks.n; i++)
        fprintf(f, "%.6g %.6g\n", (double)scatter->marks.items[i].partial,
                (double)scatter->marks.items[i].final);
    for (int k = 0; k < 2; k++) {
        fprintf(f, "END\n%s << END\n", k ? "$tau" : "$pearson");
        for (int i = 0; i < n; i++) {
            const struct figure_mean *m = &means[k * n + i];
            fprintf(f, "%lld %.6g %.6g %.6g %lld\n", (long long)chosen[i]->n_tokens, m->mean,
                    m->interval.low, m->interval.high, (long long)m->n);
        }
    }
    fputs("END\n", f);
}

static void put_plots(FILE *f, const struct length *scatter)
{
    fprintf(f,
            "set multiplot\nset lmargin 10\nset size 1,0.54\nset origin 0,0.46\nunset key\n"
            "set xlabel \"partial reward at %lld tokens, less the prompt's mean\"\n"
            "set ylabel \"final reward, less the mean\"\n"
            "plot $marks using 1:2 with points linetype 1 pointtype 7 pointsize 0.4\n"
            "set size 1,0.46\nset origin 0,0\nset key below left Left reverse\nset yrange [*<0:1]\n"
            "set xlabel \"tokens of the partial response\"\nset ylabel \"correlation\"\n"
            "set style fill transparent solid 0.25 noborder\n"
            "plot $pearson using 1:3:4 with filledcurves linetype 1 notitle, \\\n"
            "     $tau using 1:3:4 with filledcurves linetype 2 notitle, \\\n"
            "     $pearson using 1:2 with linespoints linetype 1 pointtype 7 pointsize 0.5 title "
            "\"Pearson\", \\\n"
            "     $tau using 1:2 with linespoints linetype 2 pointtype 5 pointsize 0.5 title "
            "\"Kendall tau-b\"\n"
            "unset multiplot\n",
            (long long)scatter->n_tokens);
}

static void put_caption(struct figure_words *w, const char *label, const struct length *scatter,
                        const struct figure_mean *pearson, const struct figure_mean *tau)
{
    snprintf(w->caption, sizeof w->caption,
             "%s: partial against final rewards among the candidates still live; at %lld tokens "
             "Pearson %.2f (%.2f to %.2f), Kendall tau-b %.2f (%.2f to %.2f): means over %lld "
             "prompts of the correlation within each, with 95 %% intervals.  Lengths at which at "
             "least half of the prompts have %d live candidates or more.",
             label, (long long)scatter->n_tokens, pearson->mean, pearson->interval.low,
             pearson->interval.high, tau->mean, tau->interval.low, tau->interval.high,
             (long long)pearson->n, MIN_LIVE);
}

static bool write_partial(const void *state, const struct figure_scene *s, FILE *f,
                          struct figure_words *w)
{
    const struct partial *x = state;
    const struct length *chosen[MAX_LENGTHS];
    if (x->point < 0) {
        strcpy(w->why, "no Best-of-N run with score_at is among the files");
        return false;
    }
    int n = choose_lengths(x, chosen), at = 0;
    if (x->is_incomplete || n == 0) {
        strcpy(w->why, x->is_incomplete
                           ? "the run with score_at did not record all of its candidates "
                             "(record.candidates)"
                           : "at no recorded length are 5 candidates live on half of the prompts, "
                             "with rewards that differ");
        return false;
    }
    struct figure_mean *means = mem_calloc(2 * (size_t)n, sizeof *means);
    const struct length *scatter = choose_scatter(x, chosen, n);
    while (chosen[at] != scatter) at++;
    fill_means(means, x, chosen, n);
    put_data(f, scatter, chosen, means, n);
    put_plots(f, scatter);
    char label[FIGURE_LABEL];
    put_caption(w, figure_label(label, s, x->point), scatter, &means[at], &means[n + at]);
    w->height = 560;
    free(means);
    return true;
}

const struct figure_kind figure_partial = {
    .name = "partial",
    .title = "Partial against final reward",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_partial,
};
