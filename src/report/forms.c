#include "report/forms.h"

#include "base/json.h"
#include "base/mem.h"
#include "report/export_write.h"
#include "report/output.h"
#include "report/table.h"
#include "trace/place.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- csv ---- */

static void put(json_t *o, const char *key, json_t *value)
{
    ENSURE(value && json_object_set_new(o, key, value) == 0);
}

static void put_number(json_t *o, const char *key, double v)
{
    put(o, key, json_finite(v));
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
    static const char *const kinds[] = {"none", "equal", "at_least", "at_most"};
    char name[64];
    put_number(o, key, s.kind == SPEEDUP_NONE ? NAN : s.value);
    snprintf(name, sizeof name, "%s_kind", key);
    put(o, name, json_string(kinds[s.kind]));
}

/* The seeds of its files, "0 1 2". */
static char *seeds_text(const struct comparison *c, const struct average *p)
{
    char *text = mem_strdup("");
    for (int f = p->first; f < p->first + p->n_files; f++) {
        char *longer =
            mem_printf("%s%s%llu", text, text[0] ? " " : "", (unsigned long long)c->files[f].seed);
        free(text);
        text = longer;
    }
    return text;
}

static void put_what(json_t *o, const struct comparison *c, const struct average *p)
{
    const struct source *s = &c->files[p->first];
    bool rejects = s->method == METHOD_SPECULATIVE_REJECTION;
    char method[CELL], *seeds = seeds_text(c, p);
    put(o, "method", json_string(cell_method(method, s)));
    put(o, "n", s->n ? json_integer(s->n) : json_null());
    put(o, "alpha", rejects ? json_finite(s->alpha) : json_null());
    put(o, "rounds", rejects ? json_string(s->rounds) : json_null());
    put(o, "seeds", json_string(seeds));
    put(o, "prompts", json_integer(c->n_prompts));
    free(seeds);
}

json_t *forms_point(const struct comparison *c, const struct average *p)
{
    json_t *o = json_object();
    put_what(o, c, p);
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

static int write_csv(const struct comparison *c, const struct averages *p, const char *path,
                     struct err *e)
{
    struct export_writer *w = export_begin(path, NULL, EXPORT_CSV, e);
    if (!w) return -1;
    int rc = 0;
    for (int i = 0; i < p->n && rc == 0; i++) rc = export_write(w, forms_point(c, &p->items[i]), e);
    return export_end(w, rc, e);
}

/* ---- rows for people ---- */

enum column {
    COLUMN_METHOD,
    COLUMN_N,
    COLUMN_ALPHA,
    COLUMN_ROUNDS,
    COLUMN_SEEDS,
    COLUMN_REWARD,
    COLUMN_SCORE,
    COLUMN_KEPT,
    COLUMN_WINNERS,
    COLUMN_COMPUTE,
    COLUMN_SPEEDUP,
    COLUMNS
};
static const char *const column_names[COLUMNS] = {
    "method",      "N",          "alpha",   "rounds",           "seeds",  "best reward",
    "improvement", "share kept", "winners", "relative compute", "speedup"};

struct row {
    char cell[COLUMNS][2 * CELL + 4];
};

/* "12.3 (11.0 to 13.0)" */
static void with_interval(char out[2 * CELL + 4], const char *value, const char *interval)
{
    snprintf(out, 2 * CELL + 4, interval[0] ? "%s (%s)" : "%s%s", value, interval);
}

static struct row make_row(const struct comparison *c, const struct average *p)
{
    const struct source *s = &c->files[p->first];
    bool rejects = s->method == METHOD_SPECULATIVE_REJECTION;
    struct row r;
    char a[CELL], b[CELL];
    cell_method(r.cell[COLUMN_METHOD], s);
    cell_n(r.cell[COLUMN_N], s->n);
    cell_number(r.cell[COLUMN_ALPHA], "%g", rejects ? s->alpha : NAN);
    snprintf(r.cell[COLUMN_ROUNDS], sizeof r.cell[0], "%s", rejects ? s->rounds : "-");
    snprintf(r.cell[COLUMN_SEEDS], sizeof r.cell[0], "%d", p->n_files);
    cell_number(r.cell[COLUMN_REWARD], "%.4f", p->best_reward);
    with_interval(r.cell[COLUMN_SCORE], cell_number(a, "%.1f", p->score),
                  cell_interval(b, "%.1f", p->score_interval, 1));
    with_interval(r.cell[COLUMN_KEPT], cell_percent(a, p->kept),
                  cell_interval(b, "%.1f", p->kept_interval, 100));
    cell_percent(r.cell[COLUMN_WINNERS], p->survival);
    with_interval(r.cell[COLUMN_COMPUTE], cell_number(a, "%.3g", p->relative_compute),
                  cell_interval(b, "%.3g", p->compute_interval, 1));
    with_interval(r.cell[COLUMN_SPEEDUP], cell_speedup(a, p->speedup),
                  cell_speedup_interval(b, p->speedup_low, p->speedup_high));
    return r;
}

/* ---- Markdown ---- */

/* What ends a cell, or reads as something else. */
static void put_md(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (strchr("|\\*_`<>[]", *s)) fputc('\\', f);
        fputc(*s, f);
    }
}

static void write_md_table(FILE *f, const struct comparison *c, const struct averages *p)
{
    for (int k = 0; k < COLUMNS; k++) fprintf(f, "| %s ", column_names[k]);
    fputs("|\n", f);
    for (int k = 0; k < COLUMNS; k++) fputs(k == COLUMN_METHOD ? "|---" : "|---:", f);
    fputs("|\n", f);
    for (int i = 0; i < p->n; i++) {
        struct row r = make_row(c, &p->items[i]);
        for (int k = 0; k < COLUMNS; k++) {
            fputs("| ", f);
            put_md(f, r.cell[k]);
            fputc(' ', f);
        }
        fputs("|\n", f);
    }
}

static void write_md(FILE *f, const struct comparison *c, const struct averages *p)
{
    fputs("# Report\n\n```\n", f);
    table_head(c, f);
    fputs("```\n\n", f);
    write_md_table(f, c, p);
    fprintf(f,
            "\nOne row per point: means over its seeds; in brackets, 95 %% intervals from %d "
            "resamples of the prompts.\n",
            COMPARE_RESAMPLES);
    if (p->missing.n > 0) fputs("\n## Missing points\n\n", f);
    for (size_t i = 0; i < p->missing.n; i++) {
        char text[4 * CELL];
        fputs("- ", f);
        put_md(f, averages_missing_text(text, c, &p->missing.items[i]));
        fputc('\n', f);
    }
    fputs("\n## Files\n\n", f);
    for (int i = 0; i < c->n_files; i++) fprintf(f, "%d. `%s`\n", i + 1, c->files[i].path);
    fputs("\n```", f);
    table_notes(c, f);
    fputc('\n', f);
    table_legend(c, f);
    fputs("```\n", f);
}

/* ---- LaTeX ---- */

static void put_tex(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (strncmp(s, ">= ", 3) == 0 || strncmp(s, "<= ", 3) == 0) {
            fputs(*s == '>' ? "$\\geq$" : "$\\leq$", f);
            s += 2;
        } else if (strcmp(s, " x") == 0 || strncmp(s, " x (", 4) == 0) {
            fputs("$\\times$", f);
            s++;
        } else if (strcmp(s, "-") == 0) {
            fputs("--", f);
        } else {
            if (strchr("%_&#$", *s)) fputc('\\', f);
            fputc(*s, f);
        }
    }
}

static void write_tex(FILE *f, const struct comparison *c, const struct averages *p)
{
    fputs("%", f);
    for (int k = 0; k < COLUMNS; k++) fprintf(f, "%s%s", k ? " & " : " ", column_names[k]);
    fprintf(f, "\n%% in brackets: 95 %% intervals from %d resamples of %lld prompts\n",
            COMPARE_RESAMPLES, (long long)c->n_prompts);
    for (int i = 0; i < p->n; i++) {
        struct row r = make_row(c, &p->items[i]);
        for (int k = 0; k < COLUMNS; k++) {
            if (k) fputs(" & ", f);
            put_tex(f, r.cell[k]);
        }
        fputs(" \\\\\n", f);
    }
}

/* ---- all ---- */

static int write_text(void (*text)(FILE *, const struct comparison *, const struct averages *),
                      const struct comparison *c, const struct averages *p, const char *path,
                      struct err *e)
{
    struct output o;
    TRY(output_begin(&o, path, NULL, e));
    text(o.file, c, p);
    return output_end(&o, 0, e);
}

int forms_write(const struct comparison *c, const struct averages *p, const char *folder,
                struct err *e)
{
    char *csv = mem_printf("%s/report.csv", folder), *md = mem_printf("%s/report.md", folder),
         *tex = mem_printf("%s/report.tex", folder);
    int rc = place_make_folders(csv, e);
    if (rc == 0) rc = write_csv(c, p, csv, e);
    if (rc == 0) rc = write_text(write_md, c, p, md, e);
    if (rc == 0) rc = write_text(write_tex, c, p, tex, e);
    free(csv);
    free(md);
    free(tex);
    return rc;
}
