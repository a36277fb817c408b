/* What a second reward model, the judge, says of the answers as N grows: where its reward stops
 * growing with the one that candidates are chosen by, choosing by that reward only games it.
 *
 * Best-of-N' for every N' up to N is exact, from one Best-of-N run: the expectation over all
 * subsets of N' of its candidates (metrics_best_of_subset). */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIZES 24 /* 1, 2, 4, ... and N itself */

struct judged {
    int point; /* Best-of-N, the largest N that was judged; -1: none */
    int64_t n_prompts;
    char judge[40]; /* the first that is seen; others are left out */
    bool has_others;
    int64_t sizes[MAX_SIZES]; /* N' */
    int n_sizes;
    double *curve;      /* owned [2][MAX_SIZES][prompts] sums over seeds of reward and judge's */
    double *answers;    /* owned [2][points][prompts], likewise, of the answers as chosen */
    int64_t *curve_n;   /* owned [prompts] seeds */
    int64_t *answers_n; /* owned [points][prompts] */
};

static bool may_be_judged(const struct source *p)
{
    const struct entry *path = entries_find(&p->keys, "judge.path");
    return !p->is_replayed && path && strcmp(path->text, "off") != 0;
}

static void list_sizes(struct judged *x, int64_t n)
{
    for (int64_t k = 1; k < n && x->n_sizes < MAX_SIZES - 1; k *= 2) x->sizes[x->n_sizes++] = k;
    if (n > 0) x->sizes[x->n_sizes++] = n;
}

static void *create(const struct figure_scene *s)
{
    struct judged *x = mem_calloc(1, sizeof *x);
    x->point = -1;
    x->n_prompts = s->c->n_prompts;
    for (int i = 0; i < s->a->n; i++) {
        const struct source *p = figure_source(s, i);
        if (p->method != METHOD_BEST_OF_N || p->only_answers || !may_be_judged(p)) continue;
        if (x->point < 0 || p->n > figure_source(s, x->point)->n) x->point = i;
    }
    if (x->point >= 0) list_sizes(x, figure_source(s, x->point)->n);
    size_t prompts = (size_t)x->n_prompts, points = (size_t)s->a->n;
    x->curve = mem_calloc(2 * MAX_SIZES * prompts, sizeof *x->curve);
    x->answers = mem_calloc(2 * points * prompts, sizeof *x->answers);
    x->curve_n = mem_calloc(prompts, sizeof *x->curve_n);
    x->answers_n = mem_calloc(points * prompts, sizeof *x->answers_n);
    return x;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    const struct judged *x = state;
    const struct source *p = &s->c->files[file];
    if (x->point < 0 || !may_be_judged(p)) return 0;
    return point == x->point || source_rejects(p) ? SEE_CANDIDATES : 0;
}

/* Candidates without either reward are in no subset. */
static void add_curve(struct judged *x, const struct figure_view *v)
{
    int64_t n = 0;
    double *reward = mem_calloc((size_t)v->n_candidates, sizeof *reward),
           *judge = mem_calloc((size_t)v->n_candidates, sizeof *judge);
    for (int64_t i = 0; i < v->n_candidates; i++) {
        const struct candidate_row *c = &v->candidates[i];
        if (!isfinite(c->reward) || !isfinite(c->judge_reward)) continue;
        reward[n] = (double)c->reward;
        judge[n++] = (double)c->judge_reward;
    }
    for (int k = 0; k < x->n_sizes; k++) {
        double *to = x->curve + (int64_t)k * x->n_prompts + v->prompt;
        to[0] += metrics_best_of_subset(reward, reward, n, x->sizes[k]);
        to[MAX_SIZES * x->n_prompts] += metrics_best_of_subset(reward, judge, n, x->sizes[k]);
    }
    x->curve_n[v->prompt]++;
    free(reward);
    free(judge);
}

static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct judged *x = state;
    if (!v->judge[0]) return;
    if (!x->judge[0]) snprintf(x->judge, sizeof x->judge, "%s", v->judge);
    if (strcmp(x->judge, v->judge) != 0) {
        x->has_others = true;
        return;
    }
    if (v->point == x->point) {
        add_curve(x, v);
        return;
    }
    int64_t at = (int64_t)v->point * x->n_prompts + v->prompt;
    for (int64_t i = 0; i < v->n_candidates; i++) {
        if (v->candidates[i].candidate != v->row->best_candidate) continue;
        x->answers[at] += (double)v->row->best_reward;
        x->answers[at + (int64_t)s->a->n * x->n_prompts] += (double)v->candidates[i].judge_reward;
        x->answers_n[at]++;
    }
}

static void destroy(void *state)
{
    struct judged *x = state;
    free(x->curve);
    free(x->answers);
    free(x->curve_n);
    free(x->answers_n);
    free(x);
}

/* Means over seeds of one row of prompts. */
static void copy_row(double *to, const double *sums, const int64_t *counts, int64_t n)
{
    for (int64_t p = 0; p < n; p++) to[p] = counts[p] ? sums[p] / (double)counts[p] : NAN;
}

/* reward, judge's, limits of the reward, of the judge's, label; only where every prompt counts. */
static void put_row(FILE *f, const struct figure_mean *reward, const struct figure_mean *judge,
                    const char *label)
{
    fprintf(f, "%.6g %.6g %.6g %.6g %.6g %.6g ", reward->mean, judge->mean, reward->interval.low,
            reward->interval.high, judge->interval.low, judge->interval.high);
    fprintf(f, "%s\n", label);
}

static int put_curve(FILE *f, const struct judged *x)
{
    size_t rows = (size_t)x->n_sizes, prompts = (size_t)x->n_prompts;
    double *values = mem_calloc(2 * rows * prompts, sizeof *values);
    struct figure_mean *means = mem_calloc(2 * rows, sizeof *means);
    int drawn = 0;
    for (size_t k = 0; k < rows; k++) {
        copy_row(values + k * prompts, x->curve + k * prompts, x->curve_n, x->n_prompts);
        copy_row(values + (rows + k) * prompts, x->curve + (MAX_SIZES + k) * prompts, x->curve_n,
                 x->n_prompts);
    }
    figure_means(means, values, 2 * x->n_sizes, x->n_prompts);
    fputs("$best_of_n << END\n", f);
    for (size_t k = 0; k < rows; k++) {
        char label[32];
        snprintf(label, sizeof label, "%lld", (long long)x->sizes[k]);
        if (means[k].n < x->n_prompts || means[rows + k].n < x->n_prompts) continue;
        put_row(f, &means[k], &means[rows + k], label);
        drawn++;
    }
    fputs("END\n", f);
    free(means);
    free(values);
    return drawn;
}

static int put_answers(FILE *f, const struct judged *x, const struct figure_scene *s)
{
    size_t prompts = (size_t)x->n_prompts, points = (size_t)s->a->n;
    double *values = mem_calloc(2 * prompts, sizeof *values);
    int drawn = 0;
    fputs("$rejection << END\n", f);
    for (size_t i = 0; i < points; i++) {
        struct figure_mean m[2];
        char label[32];
        if (!source_rejects(figure_source(s, (int)i))) continue;
        copy_row(values, x->answers + i * prompts, x->answers_n + i * prompts, x->n_prompts);
        copy_row(values + prompts, x->answers + (points + i) * prompts, x->answers_n + i * prompts,
                 x->n_prompts);
        int64_t n = 0;
        for (size_t p = 0; p < prompts; p++) n += isfinite(values[prompts + p]);
        if (n < x->n_prompts) continue;
        figure_means(m, values, 2, x->n_prompts);
        snprintf(label, sizeof label, "%g", figure_source(s, (int)i)->alpha);
        put_row(f, &m[0], &m[1], label);
        drawn++;
    }
    fputs("END\n", f);
    free(values);
    return drawn;
}

static bool write_judge(const void *state, const struct figure_scene *s, FILE *f,
                        struct figure_words *w)
{
    const struct judged *x = state;
    int64_t seen = 0; /* a rejecting file may be judged where Best-of-N is not */
    for (int64_t p = 0; p < x->n_prompts; p++) seen += x->curve_n[p];
    if (seen == 0) {
        strcpy(w->why, "no Best-of-N file was judged (judge.path)");
        return false;
    }
    if (put_curve(f, x) == 0) {
        strcpy(w->why, "some prompt has no candidate with both a reward and the judge's");
        return false;
    }
    int others = put_answers(f, x, s);
    fputs("set xlabel \"reward of the answer, by which it is chosen\"\n"
          "set ylabel \"judge's reward of the answer\"\n"
          "set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.08\n"
          "plot $best_of_n using 1:2:3:4:5:6 with xyerrorbars linetype 1 pointtype 7 "
          "title \"Best-of-N', by N'\", \\\n"
          "     $best_of_n using 1:2 with lines linetype 1 notitle, \\\n"
          "     $best_of_n using 1:2:7 with labels offset 1.2,0.8 notitle",
          f);
    if (others)
        fputs(", \\\n     $rejection using 1:2:3:4:5:6 with xyerrorbars linetype 2 pointtype 5 "
              "title \"Speculative Rejection, a mark for each point\"",
              f);
    fputc('\n', f);
    char label[FIGURE_LABEL];
    snprintf(w->caption, sizeof w->caption,
             "From %s, whose reward chooses the answer: expectations of both "
             "over all subsets of N' of its candidates; bars are 95 %% intervals over the prompts."
             "  A curve that bends down shows a reward that is being gamed.%s",
             figure_label(label, s, x->point),
             x->has_others ? "  Files of another judge are left out." : "");
    return true;
}

const struct figure_kind figure_judge = {
    .name = "judge",
    .title = "Judge's reward against reward as N grows",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_judge,
};
