#include "report/forms_text.h"

#include "report/baseline.h"
#include "report/rows.h"
#include "report/subset_rows.h"
#include "report/table.h"

#include <string.h>

/* ---- Markdown ---- */

/* What ends a cell, or reads as something else. */
static void put_md(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (strchr("|\\*_`<>[]", *s)) fputc('\\', f);
        fputc(*s, f);
    }
}

/* As code, whatever it holds: between more backticks than it has in a row, on one line. */
static void put_md_code(FILE *f, const char *s)
{
    int longest = 0, run = 0;
    for (const char *c = s; *c; c++) {
        run = *c == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    for (int i = 0; i <= longest; i++) fputc('`', f);
    if (longest) fputc(' ', f);
    for (; *s; s++) fputc((unsigned char)*s < 32 ? ' ' : *s, f);
    if (longest) fputc(' ', f);
    for (int i = 0; i <= longest; i++) fputc('`', f);
}

static void write_md_table(FILE *f, const struct comparison *c, const struct averages *p)
{
    for (int k = 0; k < ROW_COLUMNS; k++) fprintf(f, "| %s ", row_names[k]);
    fputs("|\n", f);
    for (int k = 0; k < ROW_COLUMNS; k++) fputs(k == ROW_METHOD ? "|---" : "|---:", f);
    fputs("|\n", f);
    for (int i = 0; i < p->n; i++) {
        struct row r = row_of(c, &p->items[i]);
        for (int k = 0; k < ROW_COLUMNS; k++) {
            fputs("| ", f);
            put_md(f, r.cell[k]);
            fputc(' ', f);
        }
        fputs("|\n", f);
    }
}

static void write_md_subsets(FILE *f, const struct comparison *c)
{
    if (!subset_rows_any(c)) return;
    fprintf(f, "\n## Over candidate subsets\n\n%s\n\n", subset_row_words);
    for (int k = 0; k < SUBSET_ROW_COLUMNS; k++) fprintf(f, "| %s ", subset_row_names[k]);
    fputs("|\n", f);
    for (int k = 0; k < SUBSET_ROW_COLUMNS; k++)
        fputs(k == SUBSET_ROW_METHOD ? "|---" : "|---:", f);
    fputs("|\n", f);
    for (int i = 0; i < c->n_files; i++) {
        if (c->files[i].subsets.draws == 0) continue;
        struct subset_row r = subset_row_of(c, i);
        for (int k = 0; k < SUBSET_ROW_COLUMNS; k++) {
            fputs("| ", f);
            put_md(f, r.cell[k]);
            fputc(' ', f);
        }
        fputs("|\n", f);
    }
}

static void write_md_figures(FILE *f, const struct figures *all)
{
    fputs("\n## Figures\n\n", f);
    if (all->no_gnuplot)
        fputs("Not drawn, for want of gnuplot; their scripts are beside this.\n\n", f);
    for (int i = 0; i < all->n; i++) {
        const struct figure_result *x = &all->items[i];
        if (x->svg) fprintf(f, "![%s](%s.svg)\n\n", x->title, x->name);
        fprintf(f, "%s: ", x->title);
        put_md(f, x->why ? "not drawn: " : x->caption);
        if (x->why) put_md(f, x->why);
        fputs("\n\n", f);
    }
}

void forms_md(FILE *f, const struct comparison *c, const struct averages *p,
              const struct figures *figures)
{
    fputs("# Report\n\n```\n", f);
    table_head(c, f);
    fputs("```\n\n", f);
    write_md_table(f, c, p);
    fprintf(f,
            "\nOne row per point: means over its seeds; in brackets, 95 %% intervals from %d "
            "resamples of the prompts.\n",
            COMPARE_RESAMPLES);
    write_md_subsets(f, c);
    fputs(p->missing.n > 0 ? "\n## Missing points\n\n" : "\nNo point of the sweep is missing.\n",
          f);
    for (size_t i = 0; i < p->missing.n; i++) {
        char text[4 * CELL];
        fputs("- ", f);
        put_md(f, averages_missing_text(text, c, &p->missing.items[i]));
        fputc('\n', f);
    }
    write_md_figures(f, figures);
    fputs("## Files\n\n", f);
    for (int i = 0; i < c->n_files; i++) {
        fprintf(f, "%d. ", i + 1);
        put_md_code(f, c->files[i].path);
        fputc('\n', f);
    }
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

/* Other columns than the rows above, so as comments. */
static void write_tex_subsets(FILE *f, const struct comparison *c)
{
    if (!subset_rows_any(c)) return;
    fprintf(f, "%% %s\n%%", subset_row_words);
    for (int k = 1; k < SUBSET_ROW_COLUMNS; k++)
        fprintf(f, "%s%s", k > 1 ? " & " : " ", subset_row_names[k]);
    for (int i = 0; i < c->n_files; i++) {
        if (c->files[i].subsets.draws == 0) continue;
        struct subset_row r = subset_row_of(c, i);
        for (int k = 1; k < SUBSET_ROW_COLUMNS; k++) {
            fputs(k > 1 ? " & " : "\n% ", f);
            put_tex(f, r.cell[k]);
        }
        fputs(" \\\\", f);
    }
    fputc('\n', f);
}

void forms_tex(FILE *f, const struct comparison *c, const struct averages *p,
               const struct figures *figures)
{
    (void)figures;
    fputs("%", f);
    char name[BASELINE_NAME];
    for (int k = 0; k < ROW_COLUMNS; k++) fprintf(f, "%s%s", k ? " & " : " ", row_names[k]);
    fprintf(f, "\n%% reference (improvement 100, relative compute 1): %s",
            c->reference < 0 ? "none" : baseline_name(name, c));
    fprintf(f, "\n%% in brackets: 95 %% intervals from %d resamples of %lld prompts\n",
            COMPARE_RESAMPLES, (long long)c->n_prompts);
    for (size_t i = 0; i < p->missing.n; i++) {
        char text[4 * CELL];
        fprintf(f, "%% missing: %s\n", averages_missing_text(text, c, &p->missing.items[i]));
    }
    for (int i = 0; i < p->n; i++) {
        struct row r = row_of(c, &p->items[i]);
        for (int k = 0; k < ROW_COLUMNS; k++) {
            if (k) fputs(" & ", f);
            put_tex(f, r.cell[k]);
        }
        fputs(" \\\\\n", f);
    }
    write_tex_subsets(f, c);
}
