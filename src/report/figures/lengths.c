/* Cost of a prompt against its length and against its answer's length: a mark per prompt and
 * point, means over the point's seeds. */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_POINTS 4
#define PANEL      210  /* height of a plot with its axis */
#define MAX_MARKS  2000 /* per point */

struct mark {
    double prompt_tokens, answer_tokens, compute_s;
    int64_t n; /* seeds */
};

struct lengths {
    int points[MAX_POINTS], n_points; /* that are drawn */
    int n_eligible;                   /* that could be */
    struct mark *marks;               /* owned [n_points][prompts] */
};

/* Those of the reference's N, and only those whose times were measured; if there are none, of any
 * N. */
static void choose_points(struct lengths *x, const struct figure_scene *s)
{
    for (int any = 0; any < 2 && x->n_points == 0; any++)
        for (int i = 0; i < s->a->n; i++) {
            const struct source *p = figure_source(s, i);
            if (p->is_replayed || p->scores_on_the_way) continue;
            if (!any && p->n != baseline_n(s->c)) continue;
            if (x->n_eligible++ < MAX_POINTS) x->points[x->n_points++] = i;
        }
}

static void *create(const struct figure_scene *s)
{
    struct lengths *x = mem_calloc(1, sizeof *x);
    choose_points(x, s);
    x->marks = mem_calloc((size_t)x->n_points * (size_t)s->c->n_prompts, sizeof *x->marks);
    return x;
}

static int place_of(const struct lengths *x, int point)
{
    for (int k = 0; k < x->n_points; k++)
        if (x->points[k] == point) return k;
    return -1;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    (void)s, (void)file;
    return place_of(state, point) >= 0 ? SEE_PROMPT | SEE_CANDIDATES : 0;
}

static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct lengths *x = state;
    int k = place_of(x, v->point);
    const struct source_prompt *p = source_find(&s->c->files[v->file], v->row->prompt_index);
    struct mark *m = &x->marks[(int64_t)k * s->c->n_prompts + v->prompt];
    for (int64_t i = 0; i < v->n_candidates; i++) {
        if (v->candidates[i].candidate != v->row->best_candidate) continue;
        m->prompt_tokens += (double)v->row->prompt_tokens;
        m->answer_tokens += (double)v->candidates[i].n_tokens;
        m->compute_s += p->numbers.amount[AMOUNT_COMPUTE_S];
        m->n++;
    }
}

static void destroy(void *state)
{
    struct lengths *x = state;
    free(x->marks);
    free(x);
}

/* Tokens of the prompt, of the answer, cost; every stride-th prompt. */
static int64_t put_marks(FILE *f, const struct lengths *x, int k, int64_t n_prompts)
{
    int64_t stride = n_prompts / MAX_MARKS + 1, n = 0;
    fprintf(f, "$point%d << END\n", k + 1);
    for (int64_t i = 0; i < n_prompts; i += stride) {
        const struct mark *m = &x->marks[(int64_t)k * n_prompts + i];
        if (m->n == 0 || !(m->compute_s > 0)) continue;
        fprintf(f, "%.6g %.6g %.6g\n", m->prompt_tokens / (double)m->n,
                m->answer_tokens / (double)m->n, m->compute_s / (double)m->n);
        n++;
    }
    fputs("END\n", f);
    return n;
}

static void put_plot(FILE *f, const struct figure_scene *s, const struct lengths *x, int column,
                     bool with_key)
{
    for (int k = 0; k < x->n_points; k++) {
        char label[FIGURE_LABEL];
        fprintf(f, "%s$point%d using %d:3 with points linetype %d pointtype %d ",
                k ? ", \\\n     " : "plot ", k + 1, column, k + 1, (int[]){7, 5, 9, 13}[k]);
        if (with_key)
            fputs("title ", f), figure_put_quoted(f, figure_label(label, s, x->points[k]));
        else
            fputs("notitle", f);
    }
    fputc('\n', f);
}

static bool write_lengths(const void *state, const struct figure_scene *s, FILE *f,
                          struct figure_words *w)
{
    const struct lengths *x = state;
    int64_t marks = 0;
    for (int k = 0; k < x->n_points; k++) marks += put_marks(f, x, k, s->c->n_prompts);
    if (marks == 0) {
        strcpy(w->why, "no file holds measured times and its answers' lengths");
        return false;
    }
    w->height = 2 * PANEL + 24 * x->n_points;
    double top = (double)PANEL / w->height;
    fputs("set logscale y 2\nset autoscale yfix\nset ylabel \"rank-seconds\"\n"
          "set offsets graph 0.04, graph 0.04, graph 0.08, graph 0.08\n"
          "set multiplot\nunset key\nset lmargin 10\nset xlabel \"prompt tokens\"\n",
          f);
    fprintf(f, "set size 1,%.3f\nset origin 0,%.3f\n", top, 1 - top);
    put_plot(f, s, x, 1, false);
    fprintf(f,
            "set size 1,%.3f\nset origin 0,0\n"
            "set xlabel \"answer tokens\"\n",
            1 - top);
    figure_put_key(f, x->n_points);
    put_plot(f, s, x, 2, true);
    fputs("unset multiplot\n", f);
    char left_out[64] = "";
    if (x->n_eligible > x->n_points)
        snprintf(left_out, sizeof left_out, "  Of %d points the first %d.", x->n_eligible,
                 x->n_points);
    snprintf(w->caption, sizeof w->caption,
             "Compute of each prompt (time x ranks that worked on it) against the tokens of its "
             "prompt and of the answer that was chosen; means over the seeds.%s%s",
             left_out, s->c->n_prompts > MAX_MARKS ? "  Not every prompt is drawn." : "");
    return true;
}

const struct figure_kind figure_lengths = {
    .name = "lengths",
    .title = "Cost against prompt and answer length",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_lengths,
};
