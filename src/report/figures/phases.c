/* Where a prompt's time goes: seconds per prompt in each phase, stacked, a row per point. */
#include "report/figures/figure.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum phase { PREFILL, GENERATE, SCORE, COMM, WAIT, PHASES };
static const struct {
    const char *name, *colour;
} looks[PHASES] = {{"prefill", "#0072b2"},
                   {"generate", "#56b4e9"},
                   {"score", "#e69f00"},
                   {"comm", "#d55e00"},
                   {"wait", "#999999"}};

struct phases {
    double (*s)[PHASES]; /* [points] summed over prompts and seeds */
    int64_t *n;          /* [points] prompts, each once per seed */
};

static void *create(const struct figure_scene *s)
{
    struct phases *p = mem_calloc(1, sizeof *p);
    p->s = mem_calloc((size_t)s->a->n, sizeof *p->s);
    p->n = mem_calloc((size_t)s->a->n, sizeof *p->n);
    return p;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    (void)state, (void)s, (void)file, (void)point;
    return SEE_PROMPT;
}

static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct phases *p = state;
    (void)s;
    const double now[PHASES] = {v->row->prefill_s, v->row->generate_s, v->row->score_s,
                                v->row->comm_s, v->row->wait_s};
    for (int i = 0; i < PHASES; i++)
        if (isfinite(now[i])) p->s[v->point][i] += now[i];
    p->n[v->point]++;
}

static void destroy(void *state)
{
    struct phases *p = state;
    free(p->s);
    free(p->n);
    free(p);
}

static double total(const struct phases *p, int point)
{
    double sum = 0;
    for (int i = 0; i < PHASES; i++) sum += p->s[point][i];
    return sum;
}

/* Row, then where each phase begins and ends. */
static void put_data(FILE *f, const struct phases *p, const int *points, int n)
{
    fputs("$phases << END\n", f);
    for (int i = 0; i < n; i++) {
        double at = 0;
        fprintf(f, "%d 0", i + 1);
        for (int k = 0; k < PHASES; k++) {
            at += p->s[points[i]][k] / (double)p->n[points[i]];
            fprintf(f, " %.6g", at);
        }
        fputc('\n', f);
    }
    fputs("END\n", f);
}

static bool write_phases(const void *state, const struct figure_scene *s, FILE *f,
                         struct figure_words *w)
{
    const struct phases *p = state;
    int *points = mem_calloc((size_t)s->a->n, sizeof *points), n = 0, all = 0;
    for (int i = 0; i < s->a->n; i++)
        if (p->n[i] > 0 && total(p, i) > 0 && all++ < FIGURE_MAX_ROWS) points[n++] = i;
    if (n > 0) {
        w->height = figure_rows_height(n, 3);
        put_data(f, p, points, n);
        figure_put_rows(f, s, points, n);
        fputs("set xlabel \"seconds per prompt\"\nset xrange [0:*]\n"
              "set style fill solid 1 noborder\nplot ",
              f);
        for (int k = 0; k < PHASES; k++)
            fprintf(f,
                    "%s$phases using %d:1:%d:%d:($1 - 0.36):($1 + 0.36) with boxxyerror "
                    "linecolor rgb \"%s\" title \"%s\"",
                    k ? ", \\\n     " : "", k + 2, k + 2, k + 3, looks[k].colour, looks[k].name);
        fputc('\n', f);
        size_t at = (size_t)snprintf(
            w->caption, sizeof w->caption,
            "Wall time of a prompt, means over the compared prompts and the seeds: "
            "prefill of both models, generating, scoring, between ranks (comm), and the rest "
            "(wait).  Loading is not in it.");
        if (all > n)
            snprintf(w->caption + at, sizeof w->caption - at, "  Of %d points the first %d.", all,
                     n);
    } else {
        strcpy(w->why, "no file holds times of its phases (a replayed file has none)");
    }
    free(points);
    return n > 0;
}

const struct figure_kind figure_phases = {
    .name = "phases",
    .title = "Time per phase",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_phases,
};
