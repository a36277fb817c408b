#include "report/baseline.h"

#include "base/mem.h"
#include "report/averages.h"
#include "report/cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the curve ---- */

bool baseline_is_of_curve(const struct comparison *c, const struct source *s)
{
    const struct source *reference = c->reference < 0 ? NULL : &c->files[c->reference];
    if (c->asked->text && !reference_fits(c->asked, s)) return false;
    if (!reference) return !source_rejects(s);
    if (s->method != reference->method) return false;
    if (!source_rejects(s)) return true;
    return s->alpha == reference->alpha && s->compat == reference->compat &&
           strcmp(s->rounds, reference->rounds) == 0;
}

bool baseline_has_place(const struct comparison *c, const struct source *s)
{
    return baseline_is_of_curve(c, s) && (s->n > 0 || baseline_n(c) == 0);
}

static bool is_same_arithmetic(const struct source *a, const struct source *b)
{
    return a->fingerprint[0] && strcmp(a->fingerprint, b->fingerprint) == 0;
}

/* How much there is against a file as a baseline, the least first: nothing but its answers, times
 * of more than its method, the weaker batching. */
static int weakness(const struct source *s)
{
    return 4 * s->only_answers + 2 * s->scores_on_the_way + (s->is_static && !source_rejects(s));
}

/* The better of two files of one point to hold `x` against: same seed, a run or replayed as `x` is,
 * same arithmetic, the stronger. */
static bool is_better(const struct source *a, const struct source *b, const struct source *x)
{
    bool a_is = a->seed == x->seed, b_is = b->seed == x->seed;
    if (a_is != b_is) return a_is;
    if (a->seed != b->seed) return a->seed < b->seed;
    a_is = a->is_replayed == x->is_replayed, b_is = b->is_replayed == x->is_replayed;
    if (a_is != b_is) return a_is;
    a_is = is_same_arithmetic(a, x), b_is = is_same_arithmetic(b, x);
    if (a_is != b_is) return a_is;
    return weakness(a) < weakness(b);
}

int baseline_find(const struct comparison *c, int64_t n, const struct source *x, bool any_seed)
{
    int best = -1;
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        if (s->n != n || !baseline_is_of_curve(c, s)) continue;
        if (!any_seed && s->seed != x->seed) continue;
        if (best < 0 || is_better(s, &c->files[best], x)) best = f;
    }
    return best;
}

/* ---- which one is asked for ---- */

/* The text of one error; it has an end. */
struct choices {
    char text[256];
    int n, n_left_out;
};

static void add_choice(struct choices *all, const char *choice)
{
    size_t used = strlen(all->text);
    bool quoted = strchr(choice, ' ') != NULL;
    if (used + strlen(choice) + 24 > sizeof all->text) { /* "; and 12 more" fits, too */
        all->n_left_out++;
        return;
    }
    snprintf(all->text + used, sizeof all->text - used, "%s%s%s%s", all->n++ ? "; " : "",
             quoted ? "'" : "", choice, quoted ? "'" : "");
}

static void end_choices(struct choices *all)
{
    size_t used = strlen(all->text);
    if (all->n_left_out)
        snprintf(all->text + used, sizeof all->text - used, "; and %d more", all->n_left_out);
}

/* Every point of the comparison, each once. */
static int err_none(const struct comparison *c, struct err *e)
{
    struct choices all = {0};
    char *last = mem_strdup("");
    for (int f = 0; f < c->n_files; f++) {
        char *text = reference_text(&c->files[f]);
        if (strcmp(text, last) != 0) add_choice(&all, text);
        free(last);
        last = text;
    }
    free(last);
    end_choices(&all);
    return err_set(e, "none of these files is what --reference '%.100s' asks for; there is %s",
                   c->asked->text, all.text);
}

/* A key of the job in which two points that fit differ, that --reference can tell them apart by;
 * NULL: one point.  Runs and replays say the same point with other keys. */
static const char *tells_apart(const struct source *a, const struct source *b)
{
    if (source_rejects(a) && a->alpha != b->alpha) return "alpha";
    if (source_rejects(a) && strcmp(a->rounds, b->rounds) != 0) return "rounds";
    if (source_rejects(a) && a->compat != b->compat) return "compat";
    if (a->is_replayed != b->is_replayed) return NULL;
    const struct entry *one = averages_curve_differs(a, b);
    return one ? one->key : NULL;
}

/* files [n] that all fit, and at least one that differs from the first in `key`. */
static int err_several(const struct comparison *c, const int *files, int n, const char *key,
                       struct err *e)
{
    struct choices all = {0};
    for (int i = 0; i < n; i++) {
        const struct source *s = &c->files[files[i]];
        const struct entry *own = entries_find(&s->keys, key);
        bool seen = false;
        for (int k = 0; k < i && !seen; k++) {
            const struct entry *x = entries_find(&c->files[files[k]].keys, key);
            seen = own && x && strcmp(own->text, x->text) == 0;
        }
        char *choice = mem_printf("%s=%s", key, own ? own->text : "?");
        if (!seen) add_choice(&all, choice);
        free(choice);
    }
    end_choices(&all);
    return err_set(e, "several points are what --reference '%.100s' asks for; it needs one of %s",
                   c->asked->text, all.text);
}

/* Files [n] of what is asked for, all as strong: are they one point? */
static int check_one_point(const struct comparison *c, const int *files, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            const char *key = tells_apart(&c->files[files[k]], &c->files[files[i]]);
            if (key) return err_several(c, files, n, key, e);
        }
    return 0;
}

static int choose_asked(struct comparison *c, struct err *e)
{
    int *files = mem_calloc((size_t)c->n_files, sizeof *files), n = 0, kept = 0, least = -1;
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        if (s->n != c->asked->n || !reference_fits(c->asked, s)) continue;
        files[n++] = f;
        if (least < 0 || weakness(s) < least) least = weakness(s);
    }
    for (int i = 0; i < n; i++)
        if (weakness(&c->files[files[i]]) == least) files[kept++] = files[i];
    int rc = n == 0 ? err_none(c, e) : check_one_point(c, files, kept, e);
    if (rc == 0) c->reference = files[0];
    free(files);
    return rc;
}

/* Best-of-120, else the largest. */
static void choose_usual(struct comparison *c)
{
    int64_t n = 0;
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        if (source_rejects(s) || s->n == 0 || n == COMPARE_REFERENCE_N) continue;
        if (s->n == COMPARE_REFERENCE_N || s->n > n) n = s->n;
    }
    if (n == 0) return;
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        if (source_rejects(s) || s->n != n) continue;
        if (c->reference < 0 || weakness(s) < weakness(&c->files[c->reference])) c->reference = f;
    }
}

int baseline_choose(struct comparison *c, struct err *e)
{
    c->reference = -1;
    if (c->asked->text)
        TRY(choose_asked(c, e));
    else
        choose_usual(c);
    for (int f = 0; f < c->n_files; f++) {
        const struct source *x = &c->files[f];
        struct compare_row *row = &c->rows[f];
        row->reference = c->reference < 0 ? -1 : baseline_find(c, baseline_n(c), x, true);
        row->partner = x->n > 0 ? baseline_find(c, x->n, x, false) : -1;
        row->is_paired = row->partner == f ||
                         (row->partner >= 0 && is_same_arithmetic(&c->files[row->partner], x));
    }
    return 0;
}

bool baseline_knows_single_sample(const struct comparison *c, int file)
{
    int partner = c->rows[file].partner;
    return partner >= 0 && !source_rejects(&c->files[partner]);
}

/* ---- words ---- */

int64_t baseline_n(const struct comparison *c)
{
    return c->reference < 0 ? 0 : c->files[c->reference].n;
}

bool baseline_rejects(const struct comparison *c)
{
    return c->reference >= 0 && source_rejects(&c->files[c->reference]);
}

/* ", alpha 0.5, rounds memory" */
static char *rejection_text(char out[BASELINE_NAME], const struct source *s, bool with_rounds)
{
    bool shown = with_rounds && s->alpha > 0;
    snprintf(out, BASELINE_NAME, ", alpha %g%s%.64s", s->alpha, shown ? ", rounds " : "",
             shown ? s->rounds : "");
    return out;
}

static char *name_of(char out[BASELINE_NAME], const struct comparison *c, const char *n,
                     bool with_rounds)
{
    const struct source *s = c->reference < 0 ? NULL : &c->files[c->reference];
    char rest[BASELINE_NAME];
    if (!s || !source_rejects(s))
        snprintf(out, BASELINE_NAME, "%sBest-of-%s%s", s && s->is_static ? "static " : "",
                 n ? n : "N", s && s->scores_on_the_way ? " with score_at" : "");
    else
        snprintf(out, BASELINE_NAME, "%s%s%s%.140s",
                 s->compat == COMPAT_PAPER_CODE_2024 ? "2024 code" : "Speculative Rejection",
                 n ? ", N " : "", n ? n : "", rejection_text(rest, s, with_rounds));
    return out;
}

char *baseline_name(char out[BASELINE_NAME], const struct comparison *c)
{
    char n[CELL];
    return name_of(out, c, cell_n(n, c->reference < 0 ? COMPARE_REFERENCE_N : baseline_n(c)), true);
}

char *baseline_short_name(char out[BASELINE_NAME], const struct comparison *c, bool is_curve)
{
    char n[CELL];
    return name_of(out, c, is_curve ? NULL : cell_n(n, baseline_n(c)), false);
}

char *baseline_curve_name(char out[BASELINE_NAME], const struct comparison *c)
{
    return name_of(out, c, NULL, true);
}
