#include "report/figures.h"

#include "base/log.h"
#include "base/mem.h"
#include "report/draw.h"
#include "report/figures/figure.h"
#include "report/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct figure_kind *const kinds[FIGURES] = {
    &figure_improvement, &figure_speedup, &figure_sawtooth, &figure_partial, &figure_lost,
    &figure_phases,      &figure_lengths, &figure_judge,    &figure_subsets};

/* ---- what they see ---- */

/* One figure while it gathers: what it wants of the file at hand. */
struct gathering {
    void *state[FIGURES]; /* owned; NULL: it gathers nothing */
    unsigned wants[FIGURES];
};

static unsigned wanted(struct gathering *g, const struct figure_scene *s, int file, int point)
{
    unsigned all = 0;
    for (int k = 0; k < FIGURES; k++) {
        g->wants[k] = g->state[k] ? kinds[k]->wants(g->state[k], s, file, point) : 0;
        all |= g->wants[k];
    }
    return all;
}

static int err_of_row(const struct result *r, const struct figure_view *v, struct err *e,
                      const char *what, int64_t value, int64_t most)
{
    return err_set(e, "%s: prompt %lld: %s %lld is not from 0 to %lld; the file is damaged",
                   r->path, (long long)v->row->prompt_index, what, (long long)value,
                   (long long)most);
}

/* Figures take memory and time for what these numbers say, so each must be one that a run can have
 * written. */
static int check_rows(const struct result *r, const struct figure_view *v, struct err *e)
{
    const struct prompt_row *p = v->row;
    int64_t longest = r->job.sampling.max_new_tokens, rounds = p->count[T_ROUNDS];
    if (p->n < 0 || p->n > INT32_MAX) return err_of_row(r, v, e, "n", p->n, INT32_MAX);
    if (p->prompt_tokens < 0 || p->prompt_tokens > INT32_MAX)
        return err_of_row(r, v, e, "prompt_tokens", p->prompt_tokens, INT32_MAX);
    for (int64_t i = 0; i < v->n_candidates; i++) {
        const struct candidate_row *c = &v->candidates[i];
        if (c->n_tokens < 0 || c->n_tokens > longest)
            return err_of_row(r, v, e, "a candidate's n_tokens", c->n_tokens, longest);
        if (c->rejected_round < -1 || c->rejected_round >= rounds)
            return err_of_row(r, v, e, "a candidate's rejected_round", c->rejected_round,
                              rounds - 1);
    }
    for (int64_t i = 0; i < v->n_partials; i++) /* who is scored was scored in each before, too */
        if (v->partials[i].round < 0 || v->partials[i].round >= v->n_partials)
            return err_of_row(r, v, e, "a partial reward's round", v->partials[i].round,
                              v->n_partials - 1);
    return 0;
}

/* Read what is wanted of a prompt and show it to those who want it. */
static int show_prompt(struct gathering *g, const struct figure_scene *s, struct result *r,
                       struct figure_view *v, unsigned all, struct err *e)
{
    struct candidate_row *candidates = NULL;
    struct round_row *rounds = NULL;
    struct partial_reward_row *partials = NULL;
    int64_t row = result_find(r, s->c->prompt_index[v->prompt]);
    int rc = row < 0 ? err_set(e, "%s: it changed while it was read", r->path) : 0;
    if (rc == 0 && all & SEE_CANDIDATES)
        rc = trace_read_candidates(r->file, row, &candidates, &v->n_candidates, e);
    if (rc == 0 && all & SEE_ROUNDS) rc = trace_read_rounds(r->file, row, &rounds, &v->n_rounds, e);
    if (rc == 0 && all & SEE_PARTIALS)
        rc = trace_read_partial_rewards(r->file, row, &partials, &v->n_partials, e);
    if (rc == 0) {
        v->row = &trace_prompts(r->file)[row];
        v->candidates = candidates;
        v->rounds = rounds;
        v->partials = partials;
        rc = check_rows(r, v, e);
    }
    if (rc == 0)
        for (int k = 0; k < FIGURES; k++)
            if (g->wants[k]) kinds[k]->see(g->state[k], s, v);
    free(candidates);
    free(rounds);
    free(partials);
    return rc;
}

static int show_file(struct gathering *g, const struct figure_scene *s, int file, int point,
                     struct err *e)
{
    unsigned all = s->c->files[file].is_replayed ? 0 : wanted(g, s, file, point);
    struct result r;
    int rc = 0;
    if (all == 0) return 0;
    rc = result_open(&r, s->c->files[file].path, e);
    const char *judge = rc == 0 ? trace_reader_attr(r.file, "judge") : NULL;
    for (int64_t i = 0; i < s->c->n_prompts && rc == 0; i++) {
        struct figure_view v = {
            .file = file, .point = point, .prompt = i, .judge = judge ? judge : ""};
        rc = show_prompt(g, s, &r, &v, all, e);
    }
    result_close(&r);
    return rc;
}

static int gather(struct gathering *g, const struct figure_scene *s, struct err *e)
{
    for (int k = 0; k < FIGURES; k++)
        if (kinds[k]->create) g->state[k] = kinds[k]->create(s);
    for (int p = 0; p < s->a->n; p++) {
        const struct average *x = &s->a->items[p];
        for (int f = x->first; f < x->first + x->n_files; f++) TRY(show_file(g, s, f, p, e));
    }
    return 0;
}

/* ---- files ---- */

static int write_file(const char *path, const char *text, size_t n, struct err *e)
{
    struct output o;
    TRY(output_begin(&o, path, NULL, e));
    fwrite(text, 1, n, o.file);
    return output_end(&o, 0, e);
}

/* Script to drawings; without gnuplot the script alone. */
static int draw(struct figures *all, struct figure_result *x, const char *folder, struct err *e)
{
    char *script = mem_printf("%s/%s.gp", folder, x->name),
         *svg = mem_printf("%s/%s.svg", folder, x->name),
         *png = mem_printf("%s/%s.png", folder, x->name);
    struct drawing d = {0};
    struct err why = {0};
    int rc = all->no_gnuplot ? DRAW_NO_GNUPLOT : draw_script(&d, script, &why);
    if (rc < 0 && rc != DRAW_NO_GNUPLOT) *e = why;
    if (rc == 0) rc = write_file(svg, d.svg, d.svg_bytes, e);
    if (rc == 0) rc = write_file(png, d.png, d.png_bytes, e);
    if (rc == 0) x->svg = mem_strdup(d.svg);
    if (rc == DRAW_NO_GNUPLOT) {
        if (!all->no_gnuplot) {
            log0(LOG_WARN, "figures are not drawn: %s", why.text);
            all->no_gnuplot = mem_strdup(why.text);
        }
        unlink(svg);
        unlink(png);
        rc = 0;
    }
    drawing_free(&d);
    free(script);
    free(svg);
    free(png);
    return rc;
}

static void remove_old(const char *folder, const char *name)
{
    static const char *const forms[] = {"gp", "svg", "png"};
    for (int i = 0; i < 3; i++) {
        char *path = mem_printf("%s/%s.%s", folder, name, forms[i]);
        unlink(path);
        free(path);
    }
}

static int make(struct figures *all, const struct figure_kind *kind, const void *state,
                const struct figure_scene *s, const char *folder, struct err *e)
{
    struct figure_result *x = &all->items[all->n++];
    struct figure_words w = {.height = FIGURE_HEIGHT};
    char *body = NULL, *path = mem_printf("%s/%s.gp", folder, kind->name);
    size_t n = 0;
    FILE *f = open_memstream(&body, &n);
    if (!f) mem_exhausted("a figure's script");
    bool is_drawn = kind->write(state, s, f, &w), is_whole = !ferror(f);
    if (fclose(f) != 0 || !is_whole) quit("a figure's script in memory: %s", strerror(errno));
    *x = (struct figure_result){.name = kind->name, .title = kind->title};
    int rc = 0;
    if (is_drawn) {
        char *head = draw_head(kind->name, kind->title, w.height);
        char *script = mem_printf("%s%s", head, body);
        x->caption = mem_strdup(w.caption);
        rc = write_file(path, script, strlen(script), e);
        if (rc == 0) rc = draw(all, x, folder, e);
        free(script);
        free(head);
    } else {
        x->why = mem_strdup(w.why);
        remove_old(folder, kind->name);
    }
    free(body);
    free(path);
    return rc;
}

int figures_write(struct figures *f, const struct comparison *c, const struct averages *a,
                  const char *folder, struct err *e)
{
    struct figure_scene s = {c, a};
    struct gathering g = {0};
    *f = (struct figures){0};
    int rc = gather(&g, &s, e);
    for (int k = 0; k < FIGURES && rc == 0; k++) rc = make(f, kinds[k], g.state[k], &s, folder, e);
    for (int k = 0; k < FIGURES; k++)
        if (g.state[k]) kinds[k]->destroy(g.state[k]);
    return rc;
}

void figures_free(struct figures *f)
{
    for (int i = 0; i < f->n; i++) {
        free(f->items[i].caption);
        free(f->items[i].why);
        free(f->items[i].svg);
    }
    free(f->no_gnuplot);
    *f = (struct figures){0};
}
