#include "report/table.h"

#include "base/clock.h"
#include "report/baseline.h"
#include "report/cells.h"
#include "report/print.h"
#include "report/subset_rows.h"
#include "report/twins.h"
#include "report/words.h"

#include <string.h>

/* ---- the three parts ---- */

static bool has_rounds(const struct source *s)
{
    return source_rejects(s) && s->alpha > 0;
}

static int wider(int wide, const char *text)
{
    int w = (int)strlen(text);
    return w > wide ? w : wide;
}

static void print_files(const struct comparison *c, FILE *out)
{
    int wide = 9, schedule = 6;
    char text[CELL];
    for (int f = 0; f < c->n_files; f++) {
        wide = wider(wide, cell_method(text, &c->files[f]));
        if (has_rounds(&c->files[f])) schedule = wider(schedule, c->files[f].rounds);
    }
    fprintf(out, "\n   #  %-*s  %6s  %5s  %-*s  %4s  %s\n", wide, "method", "N", "alpha", schedule,
            "rounds", "seed", "file");
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        char n[CELL], alpha[CELL] = "-";
        if (source_rejects(s)) cell_number(alpha, "%g", s->alpha);
        fprintf(out, "%4d  %-*s  %6s  %5s  %-*s  %4llu  %s\n", f + 1, wide, cell_method(text, s),
                cell_n(n, s->n), alpha, schedule, has_rounds(s) ? s->rounds : "-",
                (unsigned long long)s->seed, s->path);
    }
}

static void print_rewards(const struct comparison *c, FILE *out)
{
    fprintf(out, "\n   #  best reward  improvement (95 %%)     share kept (95 %%)          winners"
                 "   regret\n");
    for (int f = 0; f < c->n_files; f++) {
        const struct compare_row *r = &c->rows[f];
        char a[CELL], b[CELL], d[CELL], g[CELL], h[CELL], i[CELL], j[CELL];
        bool unpaired = r->partner >= 0 && !r->is_paired;
        fprintf(out, "%4d  %11s  %6s %-16s %8s %-16s  %8s %8s\n", f + 1,
                cell_number(a, "%.4f", r->best_reward), cell_number(b, "%.1f", r->score),
                cell_interval(d, "%.1f", r->score_interval, 1), cell_percent(g, r->kept),
                cell_interval(h, "%.1f", r->kept_interval, 100),
                unpaired ? "unpaired" : cell_percent(i, r->survival),
                cell_number(j, "%.4f", r->regret));
    }
}

static void print_costs(const struct comparison *c, FILE *out)
{
    const char *of = baseline_rejects(c) ? "of SR" : "of BoN";
    fprintf(out,
            "\n   #  rounds  generated  %6s     scored  %6s       time  compute    speedup  "
            "rank-hours\n",
            of, of);
    for (int f = 0; f < c->n_files; f++) {
        const struct compare_row *r = &c->rows[f];
        const double *share = r->partner_share;
        char a[CELL], b[CELL], d[CELL], g[CELL], h[CELL], t[3][24];
        fprintf(out, "%4d  %6.2f  %9s  %6s  %9s  %6s  %9s  %7s  %9s  %10s\n", f + 1, r->rounds,
                format_count(t[0], r->total[AMOUNT_TOKENS_GENERATED]),
                cell_number(a, "%.0f %%", 100 * share[AMOUNT_TOKENS_GENERATED]),
                format_count(t[1], r->total[AMOUNT_TOKENS_SCORED]),
                cell_number(b, "%.0f %%", 100 * share[AMOUNT_TOKENS_SCORED]),
                clock_text(t[2], r->total[AMOUNT_WALL_S]),
                cell_number(d, "%.3g", r->relative_compute), cell_speedup(g, r->speedup),
                cell_number(h, "%.3g", r->rank_hours));
    }
}

/* Means over the seeds, with the intervals that the parts above have no room for. */
static void print_points(const struct averages *p, FILE *out)
{
    if (p->n == 0) return;
    fprintf(out, "\n  files  seeds  improvement (95 %%)        compute (95 %%)             speedup "
                 "(95 %%)\n");
    for (int i = 0; i < p->n; i++) {
        const struct average *x = &p->items[i];
        char files[24], a[CELL], b[CELL], d[CELL], g[CELL], h[CELL], j[CELL];
        snprintf(files, sizeof files, "%d", x->first + 1);
        if (x->n_files > 1)
            snprintf(files, sizeof files, "%d-%d", x->first + 1, x->first + x->n_files);
        fprintf(out, "%7s  %5d  %6s %-16s  %8s %-16s  %11s %s\n", files, x->n_files,
                cell_number(a, "%.1f", x->score), cell_interval(b, "%.1f", x->score_interval, 1),
                cell_number(d, "%.3g", x->relative_compute),
                cell_interval(g, "%.3g", x->compute_interval, 1), cell_speedup(h, x->speedup),
                cell_speedup_interval(j, x->speedup_low, x->speedup_high));
    }
}

/* ---- words ---- */

static void print_word(void *out, const char *label, const char *text)
{
    print_field(out, label, "%s", text);
}

void table_head(const struct comparison *c, FILE *out)
{
    words_head(c, print_word, out);
}

static void print_missing(const struct comparison *c, const struct averages *p, FILE *out)
{
    if (p->missing.n > 0)
        print_field(out, "missing points", "%zu of the product of N, alpha, rounds and seeds",
                    p->missing.n);
    for (size_t i = 0; i < p->missing.n && i < WORDS_MAX_NAMED; i++) {
        char text[4 * CELL];
        print_field(out, "", "%s", averages_missing_text(text, c, &p->missing.items[i]));
    }
    if (p->missing.n > WORDS_MAX_NAMED)
        print_field(out, "", "and %zu more (--json and -o name all)",
                    p->missing.n - WORDS_MAX_NAMED);
}

/* An empty line before the first. */
struct noted {
    FILE *out;
    int n;
};

static void print_note(void *noted, const char *label, const char *text)
{
    struct noted *to = noted;
    if (to->n++ == 0) fputc('\n', to->out);
    print_field(to->out, label, "%s", text);
}

void table_notes(const struct comparison *c, FILE *out)
{
    struct noted noted = {.out = out};
    words_notes(c, print_note, &noted);
}

void table_legend(const struct comparison *c, FILE *out)
{
    words_legend(c, print_word, out);
}

void table_print(const struct comparison *c, const struct averages *p, bool legend, FILE *out)
{
    table_head(c, out);
    print_missing(c, p, out);
    print_files(c, out);
    print_rewards(c, out);
    print_costs(c, out);
    print_points(p, out);
    subset_rows_print(c, out);
    table_notes(c, out);
    twins_print(c, out);
    if (!legend) return;
    fputc('\n', out);
    table_legend(c, out);
    int f = c->n_files - 1;
    while (f >= 0 && c->files[f].is_replayed) f--;
    if (f < 0) return;
    fprintf(out, "\nLook inside a file: specrej inspect %s   (--prompt %lld: one prompt's story)\n",
            c->files[f].path, (long long)c->prompt_index[0]);
}
