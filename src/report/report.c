#include "report/report.h"

#include "base/mem.h"
#include "report/baseline.h"
#include "report/cells.h"
#include "report/forms.h"
#include "report/index.h"
#include "report/page.h"
#include "report/print.h"
#include "report/source_list.h"
#include "report/table.h"
#include "report/twins.h"
#include "text/json_text.h"
#include "trace/place.h"

#include <math.h>
#include <stdlib.h>

static const char *const amount_names[METRICS_AMOUNTS] = {
    "wall_s", "compute_s", "tokens_generated", "tokens_scored", "flops", "bytes", "energy_j"};

static json_t *interval_json(struct interval i)
{
    json_t *pair = json_array();
    json_array_append_new(pair, json_finite(i.low));
    json_array_append_new(pair, json_finite(i.high));
    return pair;
}

static json_t *speedup_json(struct speedup s)
{
    json_t *o = json_object();
    json_put(o, "kind", json_text(speedup_kind_names[s.kind]));
    json_put(o, "value", json_finite(s.kind == SPEEDUP_NONE ? NAN : s.value));
    return o;
}

static json_t *path_json(const struct comparison *c, int file)
{
    return file < 0 ? json_null() : json_text(c->files[file].path);
}

static json_t *reference_json(const struct comparison *c)
{
    if (c->reference < 0) return json_null();
    char name[BASELINE_NAME], *text = reference_text(&c->files[c->reference]);
    json_t *o = json_object();
    json_put(o, "point", json_text(text));
    json_put(o, "name", json_text(baseline_name(name, c)));
    free(text);
    return o;
}

static void put_source(json_t *o, const struct source *s)
{
    char method[CELL];
    json_put(o, "path", json_text(s->path));
    json_put(o, "point_id", json_text(s->point_id));
    json_put(o, "method", json_text(cell_method(method, s)));
    json_put(o, "n", s->n ? json_integer(s->n) : json_null());
    json_put(o, "alpha", json_finite(s->alpha));
    json_put(o, "rounds", json_text(s->rounds));
    json_put(o, "seed", json_u64(s->seed));
    json_put(o, "fingerprint", json_text(s->fingerprint));
    json_put(o, "replayed", json_boolean(s->is_replayed));
    json_put(o, "approximate", json_boolean(s->is_approximate));
    json_put(o, "machine", json_text(s->machine));
}

static json_t *row_json(const struct comparison *c, int file)
{
    const struct compare_row *r = &c->rows[file];
    json_t *o = json_object(), *total = json_object(), *share = json_object();
    put_source(o, &c->files[file]);
    json_put(o, "reference", path_json(c, r->reference));
    json_put(o, "partner", path_json(c, r->partner));
    json_put(o, "paired", json_boolean(r->is_paired));
    json_put(o, "rounds_per_prompt", json_finite(r->rounds));
    json_put(o, "best_reward", json_finite(r->best_reward));
    json_put(o, "improvement_score", json_finite(r->score));
    json_put(o, "improvement_score_95", interval_json(r->score_interval));
    json_put(o, "prompts_without_spread", json_integer(r->without_spread));
    json_put(o, "share_kept", json_finite(r->kept));
    json_put(o, "share_kept_95", interval_json(r->kept_interval));
    json_put(o, "winners_survived", json_finite(r->survival));
    json_put(o, "regret", json_finite(r->regret));
    for (int a = 0; a < METRICS_AMOUNTS; a++) {
        json_put(total, amount_names[a], json_finite(r->total[a]));
        json_put(share, amount_names[a], json_finite(r->partner_share[a]));
    }
    json_put(o, "total", total);
    json_put(o, "of_partner", share);
    json_put(o, "relative_compute", json_finite(r->relative_compute));
    json_put(o, "speedup", speedup_json(r->speedup));
    json_put(o, "rank_hours", json_finite(r->rank_hours));
    json_put(o, "subsets", subset_values_json(&c->files[file].subsets));
    return o;
}

json_t *report_json(const struct comparison *c, const struct averages *p)
{
    json_t *o = json_object(), *files = json_array(), *compared = json_array(),
           *left_out = json_array(), *points = json_array(), *missing = json_array();
    for (int f = 0; f < c->n_files; f++) json_array_append_new(files, row_json(c, f));
    for (int64_t i = 0; i < c->n_prompts; i++)
        json_array_append_new(compared, json_integer(c->prompt_index[i]));
    for (size_t i = 0; i < c->left_out.n; i++) {
        const struct left_out *l = &c->left_out.items[i];
        json_t *one = json_object();
        json_put(one, "prompt_index", json_integer(l->prompt_index));
        json_put(one, "path", path_json(c, l->file));
        json_put(one, "reason", json_text(l->why));
        json_array_append_new(left_out, one);
    }
    for (int i = 0; i < p->n; i++) {
        json_t *point = forms_point(c, &p->items[i]);
        forms_put_energy(point, &p->items[i]);
        json_array_append_new(points, point);
    }
    for (size_t i = 0; i < p->missing.n; i++) {
        char text[4 * CELL];
        json_array_append_new(missing,
                              json_text(averages_missing_text(text, c, &p->missing.items[i])));
    }
    json_put(o, "kind", json_string("report"));
    json_put(o, "reference", reference_json(c));
    json_put(o, "files", files);
    json_put(o, "modelled_times", twins_json(c));
    json_put(o, "points", points);
    json_put(o, "missing_points", missing);
    json_put(o, "prompts_compared", compared);
    json_put(o, "prompts_left_out", left_out);
    return o;
}

/* ---- what was written ---- */

static json_t *figures_json(const struct figures *f)
{
    json_t *list = json_array();
    for (int i = 0; i < f->n; i++) {
        const struct figure_result *x = &f->items[i];
        const char *why = x->why ? x->why : f->no_gnuplot;
        json_t *one = json_object();
        json_put(one, "name", json_text(x->name));
        json_put(one, "drawn", json_boolean(x->svg != NULL));
        json_put(one, "why_not", !x->svg && why ? json_text(why) : json_null());
        json_array_append_new(list, one);
    }
    return list;
}

static void print_written(const struct figures *f, const char *folder, FILE *out)
{
    fputc('\n', out);
    print_field(out, "written", "%s/report.html, and .csv, .md, .tex and figures beside it",
                folder);
    if (f->no_gnuplot)
        print_field(out, "figures",
                    "their scripts alone: %s; install gnuplot (gnuplot-nox) and report again",
                    f->no_gnuplot);
    for (int i = 0; i < f->n; i++) {
        const struct figure_result *x = &f->items[i];
        if (x->why) print_field(out, "not drawn", "%s: %s", x->name, x->why);
    }
}

static int write_page(const struct comparison *c, const struct averages *p, const struct figures *f,
                      const struct report_options *o, struct err *e)
{
    struct facts *facts = facts_read(c, e);
    if (!facts) return -1;
    struct page page = {c, p, f, facts, o->command};
    int rc = page_write(&page, o->folder, e);
    facts_free(facts, c->n_files);
    return rc;
}

static int write_all(const struct comparison *c, const struct averages *p, struct figures *f,
                     const struct report_options *o, struct err *e)
{
    char *inside = mem_printf("%s/report.html", o->folder);
    int rc = place_make_folders(inside, e);
    free(inside);
    if (rc == 0) rc = figures_write(f, c, p, o->folder, e);
    if (rc == 0) rc = forms_write(c, p, f, o->folder, e);
    return rc == 0 ? write_page(c, p, f, o, e) : rc;
}

/* ---- groups ---- */

/* The files of one dataset and one pair of models. */
struct group {
    struct source_list files; /* taken over by the comparison */
    struct comparison c;
    struct averages p;
    struct figures f;
    char *folder; /* owned; NULL: nothing is written */
};
struct groups {
    struct group *items;
    size_t n, cap;
};

static struct group *group_of(struct groups *g, const struct source *s)
{
    for (size_t i = 0; i < g->n; i++)
        if (source_is_of_subject(&g->items[i].files.items[0], s)) return &g->items[i];
    ARRAY_PUSH(*g, (struct group){0});
    return &g->items[g->n - 1];
}

static int read_groups(struct groups *g, const char *const *paths, int n_paths, struct err *e)
{
    struct source_list list = {0};
    int rc = 0;
    for (int i = 0; i < n_paths && rc == 0; i++) rc = source_list_read(&list, paths[i], e);
    if (rc < 0) {
        source_list_free(&list);
        return rc;
    }
    for (size_t i = 0; i < list.n; i++) {
        struct source_list *files = &group_of(g, &list.items[i])->files;
        ARRAY_PUSH(*files, list.items[i]);
    }
    free(list.items);
    return 0;
}

/* Compared, and written into its folder. */
static int report_group(struct group *g, const struct report_options *o,
                        const struct reference *reference, struct err *e)
{
    struct source *files = g->files.items;
    int n = to_int((int64_t)g->files.n);
    g->files = (struct source_list){0};
    TRY(comparison_of(&g->c, files, n, reference, e));
    averages_make(&g->p, &g->c);
    struct report_options own = *o;
    own.folder = g->folder;
    return g->folder ? write_all(&g->c, &g->p, &g->f, &own, e) : 0;
}

static json_t *group_json(const struct group *g)
{
    json_t *j = report_json(&g->c, &g->p);
    if (g->folder) json_put(j, "figures", figures_json(&g->f));
    return j;
}

static void print_json(const struct groups *g, FILE *out)
{
    json_t *j;
    if (g->n == 1) {
        j = group_json(&g->items[0]);
    } else {
        json_t *list = json_array();
        for (size_t i = 0; i < g->n; i++) json_array_append_new(list, group_json(&g->items[i]));
        j = json_object();
        json_put(j, "kind", json_string("reports"));
        json_put(j, "groups", list);
    }
    json_dumpf(j, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(j);
}

static void print_tables(const struct groups *g, bool quiet, FILE *out)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct group *x = &g->items[i];
        if (g->n > 1)
            fprintf(out, "%s== group %zu of %zu: files of one dataset and pair of models ==\n\n",
                    i > 0 ? "\n" : "", i + 1, g->n);
        table_print(&x->c, &x->p, !quiet, out);
        if (x->folder) print_written(&x->f, x->folder, out);
    }
}

/* A folder for each of several groups, and a page that leads to theirs. */
static int write_groups(struct groups *g, const struct report_options *o,
                        const struct reference *reference, struct err *e)
{
    struct index_entry *entries = mem_calloc(g->n, sizeof *entries);
    int rc = 0;
    for (size_t i = 0; i < g->n && rc == 0; i++) {
        struct group *x = &g->items[i];
        if (o->folder)
            x->folder = g->n == 1 ? mem_strdup(o->folder) : mem_printf("%s/%zu", o->folder, i + 1);
        rc = report_group(x, o, reference, e);
        entries[i] = (struct index_entry){&x->c, i + 1};
    }
    if (rc == 0 && o->folder && g->n > 1) rc = index_write(entries, g->n, o->folder, e);
    free(entries);
    return rc;
}

static void groups_free(struct groups *g)
{
    for (size_t i = 0; i < g->n; i++) {
        source_list_free(&g->items[i].files);
        figures_free(&g->items[i].f);
        averages_free(&g->items[i].p);
        comparison_free(&g->items[i].c);
        free(g->items[i].folder);
    }
    free(g->items);
}

int report(const char *const *paths, int n_paths, const struct report_options *o, FILE *out,
           struct err *e)
{
    struct groups g = {0};
    struct reference reference;
    int rc = reference_parse(&reference, o->reference, e);
    if (rc == 0) rc = read_groups(&g, paths, n_paths, e);
    if (rc == 0) rc = write_groups(&g, o, &reference, e);
    if (rc == 0 && o->json) print_json(&g, out);
    if (rc == 0 && !o->json) print_tables(&g, o->quiet, out);
    groups_free(&g);
    reference_free(&reference);
    return rc;
}
