#include "report/table.h"

#include "report/cells.h"
#include "report/print.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define MAX_NAMED 5 /* prompts that are left out, points that are missing; --json has them all */

/* ---- the three parts ---- */

static void print_files(const struct comparison *c, FILE *out)
{
    int wide = 9;
    char text[CELL];
    for (int f = 0; f < c->n_files; f++) {
        int w = (int)strlen(cell_method(text, &c->files[f]));
        if (w > wide) wide = w;
    }
    fprintf(out, "\n   #  %-*s  %6s  %5s  %-12s  %4s  %s\n", wide, "method", "N", "alpha", "rounds",
            "seed", "file");
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        bool cuts = s->method == METHOD_SPECULATIVE_REJECTION && s->alpha > 0;
        char n[CELL], alpha[CELL] = "-";
        if (s->method == METHOD_SPECULATIVE_REJECTION) cell_number(alpha, "%g", s->alpha);
        fprintf(out, "%4d  %-*s  %6s  %5s  %-12s  %4llu  %s\n", f + 1, wide, cell_method(text, s),
                cell_n(n, s->n), alpha, cuts ? s->rounds : "-", (unsigned long long)s->seed,
                s->path);
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
    fprintf(out, "\n   #  rounds  generated  of BoN     scored  of BoN       time  compute    "
                 "speedup  rank-hours\n");
    for (int f = 0; f < c->n_files; f++) {
        const struct compare_row *r = &c->rows[f];
        const double *share = r->partner_share;
        char a[CELL], b[CELL], d[CELL], g[CELL], h[CELL], t[3][24];
        fprintf(out, "%4d  %6.2f  %9s  %6s  %9s  %6s  %9s  %7s  %9s  %10s\n", f + 1, r->rounds,
                format_count(t[0], r->total[AMOUNT_TOKENS_GENERATED]),
                cell_number(a, "%.0f %%", 100 * share[AMOUNT_TOKENS_GENERATED]),
                format_count(t[1], r->total[AMOUNT_TOKENS_SCORED]),
                cell_number(b, "%.0f %%", 100 * share[AMOUNT_TOKENS_SCORED]),
                format_seconds(t[2], r->total[AMOUNT_WALL_S]),
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

static const char *key(const struct comparison *c, const char *name)
{
    const struct entry *x = entries_find(&c->files[0].keys, name);
    return x ? x->text : "?";
}

void table_head(const struct comparison *c, FILE *out)
{
    print_field(out, "generator", "%s", key(c, "generator.id"));
    print_field(out, "reward model", "%s", key(c, "reward.id"));
    print_field(out, "dataset", "%s", key(c, "dataset.id"));
    if (c->reference_n)
        print_field(out, "reference", "Best-of-%lld", (long long)c->reference_n);
    else
        print_field(out, "reference",
                    "none: no Best-of-N file is among these, so nothing can be held against it");
    print_field(out, "prompts", "%lld compared, %zu left out", (long long)c->n_prompts,
                c->left_out.n);
    for (size_t i = 0; i < c->left_out.n && i < MAX_NAMED; i++) {
        const struct left_out *l = &c->left_out.items[i];
        print_field(out, "", "prompt %lld: file %d, %s", (long long)l->prompt_index, l->file + 1,
                    l->why);
    }
    if (c->left_out.n > MAX_NAMED)
        print_field(out, "", "and %zu more (--json names all)", c->left_out.n - MAX_NAMED);
}

static void print_missing(const struct comparison *c, const struct averages *p, FILE *out)
{
    if (p->missing.n > 0)
        print_field(out, "missing points", "%zu of the product of N, alpha, rounds and seeds",
                    p->missing.n);
    for (size_t i = 0; i < p->missing.n && i < MAX_NAMED; i++) {
        char text[4 * CELL];
        print_field(out, "", "%s", averages_missing_text(text, c, &p->missing.items[i]));
    }
    if (p->missing.n > MAX_NAMED)
        print_field(out, "", "and %zu more (--json and -o name all)", p->missing.n - MAX_NAMED);
}

/* What a careful reader must know before believing a row. */
struct notes {
    FILE *out;
    int n;
};

static void note(struct notes *to, int file, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void note(struct notes *to, int file, const char *fmt, ...)
{
    char label[24], text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (to->n++ == 0) fputc('\n', to->out);
    snprintf(label, sizeof label, "file %d", file + 1);
    print_field(to->out, label, "%s", text);
}

static void note_baselines(const struct comparison *c, int file, struct notes *to)
{
    const struct source *s = &c->files[file];
    const struct compare_row *r = &c->rows[file];
    if (r->reference >= 0 && c->files[r->reference].seed != s->seed)
        note(to, file, "no Best-of-%lld with its seed: held against file %d, seed %llu",
             (long long)c->reference_n, r->reference + 1,
             (unsigned long long)c->files[r->reference].seed);
    if (r->partner < 0)
        note(to, file, "no Best-of-N file has its N and seed: what is held against one shows -");
    else if (!r->is_paired)
        note(to, file,
             "unpaired: its arithmetic is not that of file %d (other fingerprint, or not "
             "reproducible), so equal candidate numbers are not the same candidates",
             r->partner + 1);
}

/* Points that a table calls the same are not one. */
static void note_difference(const struct comparison *c, int file, struct notes *to)
{
    for (int other = 0; other < file; other++) {
        const struct entry *one = averages_differ(c, other, file);
        if (!one) continue;
        const struct entry *mine = entries_find(&c->files[file].keys, one->key);
        note(to, file, "not the same point as file %d: %s is '%.80s' there, '%.80s' here",
             other + 1, one->key, one->text, mine ? mine->text : "");
        return;
    }
}

static void note_file(const struct comparison *c, int file, struct notes *to)
{
    const struct source *s = &c->files[file];
    const struct compare_row *r = &c->rows[file];
    note_difference(c, file, to);
    note_baselines(c, file, to);
    if (s->only_answers && (r->reference == file || r->partner == file))
        note(to, file,
             "only its answers were recorded (record.candidates: best), so scores and shares "
             "against it cannot be formed");
    else if (r->without_spread && r->reference == file)
        note(to, file,
             "on %lld prompts all its candidates got the same reward: improvement scores against "
             "it leave them out",
             (long long)r->without_spread);
    if (s->scores_on_the_way)
        note(to, file,
             "its times include scoring on the way (score_at), which Best-of-N does not need");
    if (r->reference >= 0 && strcmp(s->machine, c->files[r->reference].machine) != 0)
        note(to, file, "its times are from another set-up than those of file %d: %s, against %s",
             r->reference + 1, s->machine, c->files[r->reference].machine);
}

void table_notes(const struct comparison *c, FILE *out)
{
    struct notes notes = {.out = out};
    for (int f = 0; f < c->n_files; f++) note_file(c, f, &notes);
}

void table_legend(const struct comparison *c, FILE *out)
{
    print_field(out, "best reward", "mean over the prompts of the answer's reward");
    print_field(out, "improvement",
                "improvement score: 100 is Best-of-%lld, 0 its worst candidate; mean over prompts "
                "of the distance to its best, in units of its best minus its worst",
                (long long)(c->reference_n ? c->reference_n : COMPARE_REFERENCE_N));
    print_field(out, "share kept",
                "of what Best-of-N of the same N and seed gains over a single sample (the mean of "
                "its candidates), the part that this file's answers have");
    print_field(out, "(95 %)", "interval from %d resamples of the prompts", COMPARE_RESAMPLES);
    print_field(out, "winners",
                "share of prompts on which the winner of Best-of-N survived all "
                "rounds to its end");
    print_field(out, "regret", "mean reward of those winners minus that of the answers");
    print_field(out, "rounds", "rounds made per prompt (above: when they were to be made)");
    print_field(out, "generated", "tokens over the compared prompts; scored: by the reward model");
    print_field(out, "of BoN",
                "the same as a share of the Best-of-N file's of the same N and seed");
    print_field(out, "time", "from start to end of each prompt, summed; loading apart");
    print_field(out, "compute",
                "that time x ranks at work on the prompt, relative to the "
                "reference's (relative GPU compute)");
    print_field(out, "speedup",
                "what Best-of-N costs to reach the same score, over what this cost; along the "
                "measured Best-of-N files.  >=: no Best-of-N here reached the score.  <=: even the "
                "cheapest here exceeds it");
    print_field(out, "files, seeds",
                "last part: files that differ in their seed alone are one point; means over them");
    print_field(out, "rank-hours", "of the whole file, all prompts, loading and idling included");
}

void table_print(const struct comparison *c, const struct averages *p, FILE *out)
{
    table_head(c, out);
    print_missing(c, p, out);
    print_files(c, out);
    print_rewards(c, out);
    print_costs(c, out);
    print_points(p, out);
    table_notes(c, out);
    fputc('\n', out);
    table_legend(c, out);
    if (c->files[0].is_replayed) return;
    fprintf(out, "\nLook inside a file: specrej inspect %s   (--prompt %lld: one prompt's story)\n",
            c->files[c->n_files - 1].path, (long long)c->prompt_index[0]);
}
