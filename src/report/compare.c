#include "report/compare.h"

#include "base/mem.h"
#include "report/baseline.h"
#include "report/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which files, which prompts ---- */

static int check_same_job(const struct source *a, const struct source *b, struct err *e)
{
    const struct entry *x = source_differs(a, b);
    if (!x) return 0;
    const struct entry *y = entries_find(&b->keys, x->key);
    return err_set(e,
                   "these files cannot be compared: %s is '%.80s' in %.120s and '%.80s' in %.120s; "
                   "report them apart",
                   x->key, x->text, a->path, y ? y->text : "", b->path);
}

static void leave_out(struct comparison *c, int64_t prompt_index, int file, const char *why)
{
    struct left_out one = {prompt_index, file, mem_strdup(why)};
    ARRAY_PUSH(c->left_out, one);
}

/* Whether the prompt is in all files, and ok; if not, it is on the list of those left out. */
static int check_prompt(struct comparison *c, int64_t prompt_index, bool *ok, struct err *e)
{
    const struct source_prompt *first = NULL;
    int first_file = 0;
    *ok = true;
    for (int f = 0; f < c->n_files; f++) {
        const struct source_prompt *p = source_find(&c->files[f], prompt_index);
        if (p && first && strcmp(p->key, first->key) != 0)
            return err_set(e,
                           "these files cannot be compared: row %lld of the dataset is another "
                           "prompt in %.180s than in %.180s",
                           (long long)prompt_index, c->files[f].path, c->files[first_file].path);
        if (p && !first) first = p, first_file = f;
        const char *why = !p ? "not in the file" : p->reason;
        if (*ok && why[0]) {
            leave_out(c, prompt_index, f, why);
            *ok = false;
        }
    }
    return 0;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The prompts that are ok in all files. */
static int match_prompts(struct comparison *c, struct err *e)
{
    struct {
        int64_t *items;
        size_t n, cap;
    } all = {0};
    int rc = 0;
    for (int f = 0; f < c->n_files; f++)
        for (int64_t i = 0; i < c->files[f].n_prompts; i++)
            ARRAY_PUSH(all, c->files[f].prompts[i].prompt_index);
    if (all.n) qsort(all.items, all.n, sizeof *all.items, by_number);
    c->prompt_index = mem_calloc(all.n, sizeof *c->prompt_index);
    for (size_t i = 0; i < all.n && rc == 0; i++) {
        bool ok = false;
        if (i > 0 && all.items[i] == all.items[i - 1]) continue;
        rc = check_prompt(c, all.items[i], &ok, e);
        if (ok) c->prompt_index[c->n_prompts++] = all.items[i];
    }
    free(all.items);
    if (rc < 0 || c->n_prompts > 0) return rc;
    if (c->left_out.n == 0) return err_set(e, "%s: no prompt in it yet", c->files[0].path);
    const struct left_out *l = &c->left_out.items[0];
    return err_set(e, "no prompt is ok in all files: prompt %lld in %.200s: %.160s",
                   (long long)l->prompt_index, c->files[l->file].path, l->why);
}

/* Best-of-N first, then by N, alpha and rounds; repetitions of one point behind each other, by
 * seed. Files come as a shell lists them, by their ids. */
static int by_point(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    if (x->method != y->method) return x->method < y->method ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    if (x->alpha != y->alpha) return x->alpha < y->alpha ? -1 : 1;
    int rest = strcmp(x->rounds, y->rounds);
    if (rest == 0) rest = strcmp(x->family, y->family);
    if (rest != 0) return rest;
    if (x->seed != y->seed) return x->seed < y->seed ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* ---- numbers ---- */

/* All files' numbers of the compared prompts: [n_files][n_prompts], caller frees. */
static struct metrics_prompt *gather(const struct comparison *c)
{
    size_t n = (size_t)c->n_prompts;
    struct metrics_prompt *all = mem_calloc((size_t)c->n_files * n, sizeof *all);
    for (int f = 0; f < c->n_files; f++)
        for (size_t i = 0; i < n; i++)
            all[(size_t)f * n + i] = source_find(&c->files[f], c->prompt_index[i])->numbers;
    return all;
}

static const struct metrics_prompt *numbers_of(const struct metrics_prompt *all,
                                               const struct comparison *c, int file)
{
    return all + (size_t)file * (size_t)c->n_prompts;
}

static void fill_row(struct comparison *c, const struct metrics_prompt *all, int file)
{
    struct compare_row *row = &c->rows[file];
    const struct metrics_prompt *x = numbers_of(all, c, file);
    int64_t n = c->n_prompts;
    double rounds = 0;
    for (int64_t i = 0; i < n; i++)
        rounds += source_find(&c->files[file], c->prompt_index[i])->rounds;
    row->rounds = rounds / (double)n;
    row->best_reward = metrics_mean_best(x, n, NULL);
    row->score = row->kept = row->survival = row->regret = row->relative_compute = NAN;
    if (row->reference >= 0) {
        const struct metrics_prompt *ref = numbers_of(all, c, row->reference);
        row->score = metrics_improvement_score(ref, x, n, NULL);
        row->without_spread = metrics_without_spread(ref, n);
        row->relative_compute = metrics_share(ref, x, n, NULL, AMOUNT_COMPUTE_S);
    }
    const struct metrics_prompt *mate = row->partner >= 0 ? numbers_of(all, c, row->partner) : NULL;
    for (int a = 0; a < METRICS_AMOUNTS; a++) {
        row->total[a] = metrics_total(x, n, NULL, (enum metrics_amount)a);
        row->partner_share[a] =
            mate ? metrics_share(mate, x, n, NULL, (enum metrics_amount)a) : NAN;
    }
    if (mate && baseline_knows_single_sample(c, file))
        row->kept = metrics_kept_share(mate, x, n, NULL);
    if (mate && row->is_paired) {
        row->survival = metrics_survival(mate, x, n, NULL);
        row->regret = metrics_regret(mate, x, n, NULL);
    }
    const struct source *s = &c->files[file];
    row->rank_hours = (s->compute_s + s->load_s + s->idle_s) / 3600;
}

/* The curve of a reference: one file for each N, of its seed, runs or replays as it is. */
static void fill_speedup(struct comparison *c, int file)
{
    struct compare_row *row = &c->rows[file];
    if (row->reference < 0) return;
    const struct source *ref = &c->files[row->reference];
    struct curve_point *curve = mem_calloc((size_t)c->n_files, sizeof *curve);
    int64_t n = 0;
    for (int f = 0; f < c->n_files; f++) {
        if (c->rows[f].reference != row->reference) continue;
        if (!baseline_has_place(c, &c->files[f])) continue;
        if (c->files[f].is_replayed != ref->is_replayed) continue;
        if (f != baseline_find(c, c->files[f].n, ref, false)) continue;
        curve[n++] = (struct curve_point){c->rows[f].total[AMOUNT_COMPUTE_S], c->rows[f].score};
    }
    metrics_curve(curve, n);
    row->speedup = metrics_speedup(curve, n, row->score, row->total[AMOUNT_COMPUTE_S]);
    free(curve);
}

/* The place of one number of one file: [COMPARE_RESAMPLES]. */
static double *resamples_of(const struct comparison *c, enum resampled what, int file)
{
    size_t row = (size_t)what * (size_t)c->n_files + (size_t)file;
    return c->resampled + row * COMPARE_RESAMPLES;
}

static void resample(struct comparison *c, const struct metrics_prompt *all)
{
    size_t values = (size_t)RESAMPLED_NUMBERS * (size_t)c->n_files * COMPARE_RESAMPLES;
    struct resample_file *files = mem_calloc((size_t)c->n_files, sizeof *files);
    c->resampled = mem_calloc(values, sizeof *c->resampled);
    for (int f = 0; f < c->n_files; f++) {
        int ref = c->rows[f].reference, partner = c->rows[f].partner;
        files[f] = (struct resample_file){
            numbers_of(all, c, f),
            ref < 0 ? NULL : numbers_of(all, c, ref),
            baseline_knows_single_sample(c, f) ? numbers_of(all, c, partner) : NULL,
            resamples_of(c, RESAMPLED_SCORE, f),
            resamples_of(c, RESAMPLED_KEPT, f),
            resamples_of(c, RESAMPLED_COMPUTE, f)};
    }
    resample_files(files, c->n_files, c->n_prompts, COMPARE_SEED, COMPARE_RESAMPLES);
    free(files);
}

static void fill_intervals(struct comparison *c)
{
    double *sorted = mem_calloc(COMPARE_RESAMPLES, sizeof *sorted);
    for (int f = 0; f < c->n_files; f++) {
        struct compare_row *row = &c->rows[f];
        size_t bytes = COMPARE_RESAMPLES * sizeof *sorted;
        memcpy(sorted, resamples_of(c, RESAMPLED_SCORE, f), bytes);
        row->score_interval = metrics_interval(sorted, COMPARE_RESAMPLES);
        memcpy(sorted, resamples_of(c, RESAMPLED_KEPT, f), bytes);
        row->kept_interval = metrics_interval(sorted, COMPARE_RESAMPLES);
    }
    free(sorted);
}

static int compare(struct comparison *c, struct err *e)
{
    qsort(c->files, (size_t)c->n_files, sizeof *c->files, by_point);
    TRY(match_prompts(c, e));
    TRY(baseline_choose(c, e));
    struct metrics_prompt *all = gather(c);
    for (int f = 0; f < c->n_files; f++) fill_row(c, all, f);
    for (int f = 0; f < c->n_files; f++) fill_speedup(c, f);
    resample(c, all);
    fill_intervals(c);
    free(all);
    return 0;
}

int comparison_of(struct comparison *c, struct source *sources, int n,
                  const struct reference *asked, struct err *e)
{
    static const struct reference nothing = {0};
    *c = (struct comparison){
        .files = sources, .n_files = n, .asked = asked ? asked : &nothing, .reference = -1};
    c->rows = mem_calloc((size_t)n, sizeof *c->rows);
    for (int f = 1; f < n; f++) TRY(check_same_job(&c->files[0], &c->files[f], e));
    return compare(c, e);
}

void comparison_free(struct comparison *c)
{
    for (int f = 0; f < c->n_files; f++) source_free(&c->files[f]);
    for (size_t i = 0; i < c->left_out.n; i++) free(c->left_out.items[i].why);
    free(c->left_out.items);
    free(c->files);
    free(c->rows);
    free(c->prompt_index);
    free(c->resampled);
    *c = (struct comparison){0};
}
