#include "report/page.h"

#include "base/clock.h"
#include "base/mem.h"
#include "report/html.h"
#include "report/output.h"
#include "report/print.h"
#include "report/rows.h"
#include "report/subset_rows.h"
#include "report/words.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- pieces ---- */

/* <tag class>text</tag>, the text of a format. */
static void element(FILE *f, const char *open, const char *tag, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void element(FILE *f, const char *open, const char *tag, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    fprintf(f, "<%s>", open);
    html_text(f, text);
    fprintf(f, "</%s>", tag);
    free(text);
}

static void begin_section(FILE *f, const char *id, const char *title)
{
    fprintf(f, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">", id, id);
    html_text(f, title);
    fputs("</h2>\n", f);
}

static void end_section(FILE *f)
{
    fputs("</section>\n", f);
}

/* A table in a box that scrolls; columns up to n_left are texts. */
static void begin_table(FILE *f, const char *label, const char *const *names, int n, int n_left)
{
    fputs("<div class=\"box\" tabindex=\"0\" role=\"region\" aria-label=\"", f);
    html_text(f, label);
    fputs("\">\n<table>\n<thead><tr>", f);
    for (int i = 0; i < n; i++)
        element(f, i < n_left ? "th scope=\"col\" class=\"l\"" : "th scope=\"col\"", "th", "%s",
                names[i]);
    fputs("</tr></thead>\n<tbody>\n", f);
}

static void end_table(FILE *f)
{
    fputs("</tbody>\n</table>\n</div>\n", f);
}

static void put_field(void *to, const char *label, const char *text)
{
    element(to, "dt", "dt", "%s", label);
    element(to, "dd", "dd", "%s", text);
    fputc('\n', to);
}

/* ---- sections ---- */

static void put_points(FILE *f, const struct page *p)
{
    begin_section(f, "points", "Points");
    begin_table(f, "Points: means over the seeds", row_names, ROW_COLUMNS, 1);
    for (int i = 0; i < p->a->n; i++) {
        struct row r = row_of(p->c, &p->a->items[i]);
        fputs("<tr>", f);
        element(f, "th scope=\"row\" class=\"l\"", "th", "%s", r.cell[0]);
        for (int k = 1; k < ROW_COLUMNS; k++) element(f, "td", "td", "%s", r.cell[k]);
        fputs("</tr>\n", f);
    }
    end_table(f);
    element(f, "p", "p",
            "One row per point: means over its seeds; in brackets, 95 %% intervals from %d "
            "resamples of the %lld prompts.",
            COMPARE_RESAMPLES, (long long)p->c->n_prompts);
    fputc('\n', f);
    end_section(f);
}

static void put_subsets(FILE *f, const struct page *p)
{
    if (!subset_rows_any(p->c)) return;
    begin_section(f, "subsets", "Over candidate subsets");
    begin_table(f, "Replayed points over random subsets of the candidates", subset_row_names,
                SUBSET_ROW_COLUMNS, 2);
    for (int i = 0; i < p->c->n_files; i++) {
        if (p->c->files[i].subsets.draws == 0) continue;
        struct subset_row r = subset_row_of(p->c, i);
        fputs("<tr>", f);
        element(f, "th scope=\"row\" class=\"l\"", "th", "%s", r.cell[0]);
        element(f, "td class=\"l\"", "td", "%s", r.cell[1]);
        for (int k = 2; k < SUBSET_ROW_COLUMNS; k++) element(f, "td", "td", "%s", r.cell[k]);
        fputs("</tr>\n", f);
    }
    end_table(f);
    element(f, "p", "p", "%s", subset_row_words);
    fputc('\n', f);
    end_section(f);
}

static void put_missing(FILE *f, const struct page *p)
{
    begin_section(f, "missing", "Missing points");
    if (p->a->missing.n == 0)
        fputs("<p>None: the product of the N, alphas, rounds and seeds is complete.</p>\n", f);
    else
        fputs("<ul>\n", f);
    for (size_t i = 0; i < p->a->missing.n; i++) {
        char text[4 * CELL];
        element(f, "li", "li", "%s", averages_missing_text(text, p->c, &p->a->missing.items[i]));
        fputc('\n', f);
    }
    if (p->a->missing.n > 0) fputs("</ul>\n", f);
    end_section(f);
}

static void put_left_out(FILE *f, const struct page *p)
{
    if (p->c->left_out.n == 0) return;
    fputs("<details>\n", f);
    element(f, "summary", "summary", "%zu prompts left out, because not all files have them",
            p->c->left_out.n);
    fputs("\n<ul>\n", f);
    for (size_t i = 0; i < p->c->left_out.n; i++) {
        const struct left_out *l = &p->c->left_out.items[i];
        element(f, "li", "li", "prompt %lld: file %d, %s", (long long)l->prompt_index, l->file + 1,
                l->why);
        fputc('\n', f);
    }
    fputs("</ul>\n</details>\n", f);
}

/* Notes of words.h, and of each file's own runs. */
static void put_notes(FILE *f, const struct page *p)
{
    begin_section(f, "notes", "Read this before believing a row");
    fputs("<dl>\n", f);
    long from = ftell(f);
    words_notes(p->c, put_field, f);
    for (int i = 0; i < p->c->n_files; i++) {
        char label[24];
        snprintf(label, sizeof label, "file %d", i + 1);
        if (p->facts[i].warning) put_field(f, label, p->facts[i].warning);
    }
    if (ftell(f) == from) put_field(f, "all files", "nothing to note");
    fputs("</dl>\n", f);
    put_left_out(f, p);
    end_section(f);
}

static void put_figure(FILE *f, const struct figure_result *x)
{
    fprintf(f, "<figure id=\"figure-%s\">\n", x->name);
    element(f, "h3", "h3", "%s", x->title);
    fprintf(f, "\n<div class=\"drawing\" tabindex=\"0\" role=\"group\" aria-label=\"");
    html_text(f, x->title);
    fputs("\">\n", f);
    html_svg(f, x->svg, x->name, x->title, x->caption);
    fputs("</div>\n<figcaption>", f);
    html_text(f, x->caption);
    fprintf(f, " <code>%s.gp</code> beside this page draws it.</figcaption>\n</figure>\n", x->name);
}

static void put_figures(FILE *f, const struct page *p)
{
    begin_section(f, "figures", "Figures");
    if (p->figures->no_gnuplot) {
        element(f, "p class=\"note\"", "p",
                "The figures were not drawn: %s.  Install gnuplot (Debian and Ubuntu: apt-get "
                "install gnuplot-nox) and give the command again; or draw the scripts "
                "(*.gp) beside this page elsewhere: gnuplot NAME.gp >NAME.svg.",
                p->figures->no_gnuplot);
        fputc('\n', f);
    }
    fputs("<div class=\"figures\">\n", f);
    for (int i = 0; i < p->figures->n; i++)
        if (p->figures->items[i].svg) put_figure(f, &p->figures->items[i]);
    fputs("</div>\n", f);
    bool all = true;
    for (int i = 0; i < p->figures->n; i++) {
        const struct figure_result *x = &p->figures->items[i];
        if (!x->why) continue;
        if (all) fputs("<h3>Not drawn</h3>\n<dl>\n", f);
        all = false;
        put_field(f, x->title, x->why);
    }
    if (!all) fputs("</dl>\n", f);
    end_section(f);
}

static void put_file(FILE *f, const struct page *p, int i)
{
    const struct source *s = &p->c->files[i];
    const struct compare_row *r = &p->c->rows[i];
    char a[CELL], b[CELL], t[24];
    bool rejects = s->method == METHOD_SPECULATIVE_REJECTION;
    fputs("<tr>", f);
    element(f, "th scope=\"row\" class=\"l\"", "th", "%d", i + 1);
    element(f, "td class=\"l\"", "td", "%s", s->path);
    element(f, "td class=\"l\"", "td", "%s", cell_method(a, s));
    element(f, "td", "td", "%s", cell_n(a, s->n));
    element(f, "td", "td", "%s", rejects ? cell_number(a, "%g", s->alpha) : "-");
    element(f, "td", "td", "%s", rejects ? s->rounds : "-");
    element(f, "td", "td", "%llu", (unsigned long long)s->seed);
    element(f, "td", "td", "%s", cell_number(a, "%.4f", r->best_reward));
    element(f, "td", "td", "%s", cell_number(a, "%.1f", r->score));
    element(f, "td", "td", "%s", cell_interval(b, "%.1f", r->score_interval, 1));
    element(f, "td", "td", "%s",
            r->partner >= 0 && !r->is_paired ? "unpaired" : cell_percent(a, r->survival));
    element(f, "td", "td", "%s", cell_number(a, "%.4f", r->regret));
    element(f, "td", "td", "%.2f", r->rounds);
    element(f, "td", "td", "%s", format_count(t, r->total[AMOUNT_TOKENS_GENERATED]));
    element(f, "td", "td", "%s", format_count(t, r->total[AMOUNT_TOKENS_SCORED]));
    element(f, "td", "td", "%s", clock_text(t, r->total[AMOUNT_WALL_S]));
    element(f, "td", "td", "%s", cell_number(a, "%.3g", r->relative_compute));
    element(f, "td", "td", "%s", cell_speedup(a, r->speedup));
    element(f, "td", "td", "%s", cell_number(a, "%.3g", r->rank_hours));
    element(f, "td", "td", "%s", cell_number(a, "%.4g", r->total[AMOUNT_ENERGY_J]));
    fputs("</tr>\n", f);
}

static void put_files(FILE *f, const struct page *p)
{
    static const char *const names[] = {"#",           "file",      "method",     "N",
                                        "alpha",       "rounds",    "seed",       "best reward",
                                        "improvement", "(95 %)",    "winners",    "regret",
                                        "rounds made", "generated", "scored",     "time",
                                        "compute",     "speedup",   "rank-hours", "joules"};
    begin_section(f, "files", "Files");
    begin_table(f, "Files: one row per result file", names, sizeof names / sizeof *names, 3);
    for (int i = 0; i < p->c->n_files; i++) put_file(f, p, i);
    end_table(f);
    end_section(f);
}

/* How they were made: what decides whether they can be compared, and who could make them again. */
static void put_making(FILE *f, const struct page *p)
{
    static const char *const names[] = {
        "#", "point", "specrej", "job", "weights, budget", "fingerprint", "machine", "runs"};
    begin_section(f, "making", "How the files were made");
    begin_table(f, "How each file was made", names, sizeof names / sizeof *names, 8);
    for (int i = 0; i < p->c->n_files; i++) {
        const struct source *s = &p->c->files[i];
        const struct facts *x = &p->facts[i];
        const char *cells[] = {s->point_id,
                               x->program,
                               x->job,
                               x->memory,
                               s->fingerprint[0] ? s->fingerprint : "none: not reproducible",
                               s->is_replayed ? "replayed: its times are a model" : s->machine,
                               x->runs};
        fputs("<tr>", f);
        element(f, "th scope=\"row\" class=\"l\"", "th", "%d", i + 1);
        for (size_t k = 0; k < sizeof cells / sizeof *cells; k++)
            element(f, "td class=\"l\"", "td", "%s", cells[k] ? cells[k] : "-");
        fputs("</tr>\n", f);
    }
    end_table(f);
    end_section(f);
}

static bool is_same_in_all(const struct comparison *c, const struct entry *x)
{
    for (int i = 1; i < c->n_files; i++) {
        const struct entry *y = entries_find(&c->files[i].keys, x->key);
        if (!y || strcmp(x->text, y->text) != 0) return false;
    }
    return true;
}

static void put_job(FILE *f, const struct page *p)
{
    const struct entries *keys = &p->c->files[0].keys;
    begin_section(f, "job", "The job");
    fputs(
        "<details>\n<summary>Every key of the job that is the same in all files</summary>\n<dl>\n",
        f);
    for (size_t i = 0; i < keys->n; i++)
        if (is_same_in_all(p->c, &keys->items[i]))
            put_field(f, keys->items[i].key, keys->items[i].text);
    fputs("</dl>\n</details>\n<p>Keys that differ: ", f);
    const char *between = "";
    for (size_t i = 0; i < keys->n; i++) {
        if (is_same_in_all(p->c, &keys->items[i])) continue;
        fputs(between, f);
        element(f, "code", "code", "%s", keys->items[i].key);
        between = ", ";
    }
    fputs(between[0] ? ".</p>\n" : "none.</p>\n", f);
    end_section(f);
}

static void put_legend(FILE *f, const struct page *p)
{
    begin_section(f, "legend", "What the columns mean");
    fputs("<dl>\n", f);
    words_legend(p->c, put_field, f);
    fputs("</dl>\n", f);
    end_section(f);
}

/* ---- the page ---- */

void page_begin(FILE *f, const char *title)
{
    fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
          "<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<link rel=\"icon\" href=\"data:,\"/>\n",
          f);
    element(f, "title", "title", "%s", title);
    fprintf(f, "\n<style>\n%s</style>\n</head>\n<body>\n", page_style);
}

static void put_head(FILE *f, const struct page *p)
{
    static const char *const links[][2] = {{"points", "Points"},
                                           {"subsets", "Candidate subsets"},
                                           {"figures", "Figures"},
                                           {"notes", "Notes"},
                                           {"missing", "Missing points"},
                                           {"files", "Files"},
                                           {"making", "How they were made"},
                                           {"job", "The job"},
                                           {"legend", "Columns"}};
    const struct entry *name = entries_find(&p->c->files[0].keys, "name");
    char *title = mem_printf("%s: specrej report", name ? name->text : "Report");
    page_begin(f, title);
    free(title);
    fputs("<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n", f);
    element(f, "h1", "h1", "%s: Best-of-N and Speculative Rejection", name ? name->text : "Report");
    fputs("\n<dl>\n", f);
    words_head(p->c, put_field, f);
    fputs("</dl>\n</header>\n<nav aria-label=\"Sections\">\n<ul>\n", f);
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (strcmp(links[i][0], "subsets") != 0 || subset_rows_any(p->c))
            fprintf(f, "<li><a href=\"#%s\">%s</a></li>\n", links[i][0], links[i][1]);
    fputs("</ul>\n</nav>\n<main id=\"main\" tabindex=\"-1\">\n", f);
}

static void put_page(FILE *f, const struct page *p)
{
    put_head(f, p);
    put_points(f, p);
    put_subsets(f, p);
    put_figures(f, p);
    put_notes(f, p);
    put_missing(f, p);
    put_files(f, p);
    put_making(f, p);
    put_job(f, p);
    put_legend(f, p);
    fputs("</main>\n<footer>\n", f);
    if (p->command) {
        fputs("<p>Made by ", f);
        element(f, "code", "code", "%s", p->command);
        fputs("</p>\n", f);
    }
    fputs("<p>The numbers are in <code>report.csv</code>, the table as LaTeX rows in "
          "<code>report.tex</code>, each figure as SVG, PNG and gnuplot script beside this "
          "page.</p>\n</footer>\n</body>\n</html>\n",
          f);
}

int page_write(const struct page *p, const char *folder, struct err *e)
{
    struct output o;
    char *path = mem_printf("%s/report.html", folder);
    int rc = output_begin(&o, path, NULL, e);
    if (rc == 0) {
        put_page(o.file, p);
        rc = output_end(&o, 0, e);
    }
    free(path);
    return rc;
}
