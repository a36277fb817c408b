#include "report/forms.h"

#include "base/mem.h"
#include "report/export_write.h"
#include "report/forms_text.h"
#include "report/output.h"
#include "report/subset_rows.h"
#include "text/json_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- csv ---- */

static void put_number(json_t *o, const char *key, double v)
{
    json_put(o, key, json_finite(v));
}

static void put_interval(json_t *o, const char *key, struct interval i)
{
    char name[64];
    snprintf(name, sizeof name, "%s_low", key);
    put_number(o, name, i.low);
    snprintf(name, sizeof name, "%s_high", key);
    put_number(o, name, i.high);
}

static void put_speedup(json_t *o, const char *key, struct speedup s)
{
    char name[64];
    put_number(o, key, s.kind == SPEEDUP_NONE ? NAN : s.value);
    snprintf(name, sizeof name, "%s_kind", key);
    json_put(o, name, json_text(speedup_kind_names[s.kind]));
}

/* Appends a seed to "0 1". */
static void add_seed(char **text, uint64_t seed)
{
    char *longer = mem_printf("%s%s%llu", *text, (*text)[0] ? " " : "", (unsigned long long)seed);
    free(*text);
    *text = longer;
}

/* The seeds of its files, "0 1 2".  Caller frees. */
static char *seeds_text(const struct comparison *c, const struct average *p)
{
    char *text = mem_strdup("");
    for (int f = p->first; f < p->first + p->n_files; f++) add_seed(&text, c->files[f].seed);
    return text;
}

static void put_what(json_t *o, const struct source *s)
{
    char method[CELL];
    json_put(o, "method", json_text(cell_method(method, s)));
    json_put(o, "n", s->n ? json_integer(s->n) : json_null());
    json_put(o, "alpha", source_rejects(s) ? json_finite(s->alpha) : json_null());
    json_put(o, "rounds", source_rejects(s) ? json_text(s->rounds) : json_null());
}

json_t *forms_point(const struct comparison *c, const struct average *p)
{
    json_t *o = json_object();
    char *seeds = seeds_text(c, p),
         *reference = c->reference < 0 ? NULL : reference_text(&c->files[c->reference]);
    put_what(o, &c->files[p->first]);
    json_put(o, "seeds", json_text(seeds));
    json_put(o, "prompts", json_integer(c->n_prompts));
    json_put(o, "reference", reference ? json_text(reference) : json_null());
    free(reference);
    free(seeds);
    put_number(o, "best_reward", p->best_reward);
    put_number(o, "improvement_score", p->score);
    put_interval(o, "improvement_score", p->score_interval);
    put_number(o, "share_kept", p->kept);
    put_interval(o, "share_kept", p->kept_interval);
    put_number(o, "winners_survived", p->survival);
    put_number(o, "regret", p->regret);
    put_number(o, "rounds_per_prompt", p->rounds);
    put_number(o, "relative_compute", p->relative_compute);
    put_interval(o, "relative_compute", p->compute_interval);
    put_speedup(o, "speedup", p->speedup);
    put_speedup(o, "speedup_low", p->speedup_low);
    put_speedup(o, "speedup_high", p->speedup_high);
    put_number(o, "wall_s", p->total[AMOUNT_WALL_S]);
    put_number(o, "compute_s", p->total[AMOUNT_COMPUTE_S]);
    put_number(o, "tokens_generated", p->total[AMOUNT_TOKENS_GENERATED]);
    put_number(o, "tokens_scored", p->total[AMOUNT_TOKENS_SCORED]);
    put_number(o, "rank_hours", p->rank_hours);
    return o;
}

void forms_put_energy(json_t *o, const struct average *p)
{
    put_number(o, "energy_j", p ? p->total[AMOUNT_ENERGY_J] : NAN);
}

/* ---- missing points ---- */

static bool is_of_point(const struct comparison *c, const struct missing_point *m,
                        const struct source *s)
{
    const struct source *like = &c->files[m->like];
    return averages_same_method(like, s) && m->n == s->n && m->alpha == s->alpha &&
           (!source_rejects(s) || strcmp(c->files[m->rounds].rounds, s->rounds) == 0);
}

static bool is_same_point(const struct comparison *c, const struct missing_point *a,
                          const struct missing_point *b)
{
    struct source s = c->files[b->like];
    s.n = b->n;
    s.alpha = b->alpha;
    s.rounds = c->files[b->rounds].rounds;
    return is_of_point(c, a, &s);
}

/* The seeds that a point of the table lacks. */
static void put_missing_seeds(json_t *o, const struct comparison *c, const struct averages *p,
                              const struct source *s)
{
    char *seeds = mem_strdup("");
    for (size_t i = 0; i < p->missing.n; i++)
        if (is_of_point(c, &p->missing.items[i], s)) add_seed(&seeds, p->missing.items[i].seed);
    json_put(o, "missing_seeds", json_text(seeds));
    free(seeds);
}

/* A row for what is missing with all its seeds; NULL when another row tells of it. */
static json_t *missing_row(const struct comparison *c, const struct averages *p, size_t at)
{
    const struct missing_point *m = &p->missing.items[at];
    for (int i = 0; i < p->n; i++)
        if (is_of_point(c, m, &c->files[p->items[i].first])) return NULL;
    for (size_t i = 0; i < at; i++)
        if (is_same_point(c, &p->missing.items[i], m)) return NULL;
    struct source s = c->files[m->like];
    s.n = m->n;
    s.alpha = m->alpha;
    s.rounds = c->files[m->rounds].rounds;
    json_t *o = json_object(), *columns = forms_point(c, &p->items[0]);
    const char *key;
    json_t *value;
    json_object_foreach(columns, key, value)
    {
        json_put(o, key, json_null());
    }
    json_decref(columns);
    put_what(o, &s);
    put_missing_seeds(o, c, p, &s);
    forms_put_energy(o, NULL);
    return o;
}

/* Of several recordings together there are none. */
static void put_subsets(json_t *o, const struct comparison *c, const struct average *p)
{
    if (!subset_rows_any(c)) return;
    subset_rows_put_columns(o, p && p->n_files == 1 ? &c->files[p->first].subsets : NULL);
}

static int write_csv(const struct comparison *c, const struct averages *p, const char *path,
                     struct err *e)
{
    struct export_writer *w = export_begin(path, NULL, EXPORT_CSV, e);
    if (!w) return -1;
    int rc = 0;
    for (int i = 0; i < p->n && rc == 0; i++) {
        json_t *row = forms_point(c, &p->items[i]);
        put_missing_seeds(row, c, p, &c->files[p->items[i].first]);
        forms_put_energy(row, &p->items[i]);
        put_subsets(row, c, &p->items[i]);
        rc = export_write(w, row, e);
    }
    for (size_t i = 0; i < p->missing.n && rc == 0; i++) {
        json_t *row = missing_row(c, p, i);
        if (!row) continue;
        put_subsets(row, c, NULL);
        rc = export_write(w, row, e);
    }
    return export_end(w, rc, e);
}

/* ---- all ---- */

typedef void text_fn(FILE *f, const struct comparison *c, const struct averages *p,
                     const struct figures *figures);

static int write_text(text_fn *text, const struct comparison *c, const struct averages *p,
                      const struct figures *figures, const char *path, struct err *e)
{
    struct output o;
    TRY(output_begin(&o, path, NULL, e));
    text(o.file, c, p, figures);
    return output_end(&o, 0, e);
}

int forms_write(const struct comparison *c, const struct averages *p, const struct figures *f,
                const char *folder, struct err *e)
{
    char *csv = mem_printf("%s/report.csv", folder), *md = mem_printf("%s/report.md", folder),
         *tex = mem_printf("%s/report.tex", folder);
    int rc = write_csv(c, p, csv, e);
    if (rc == 0) rc = write_text(forms_md, c, p, f, md, e);
    if (rc == 0) rc = write_text(forms_tex, c, p, f, tex, e);
    free(csv);
    free(md);
    free(tex);
    return rc;
}
