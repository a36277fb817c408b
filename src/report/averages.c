#include "report/averages.h"

#include "base/mem.h"
#include "report/baseline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which files ---- */

bool averages_same_method(const struct source *a, const struct source *b)
{
    return a->method == b->method && a->compat == b->compat && a->is_static == b->is_static &&
           a->is_replayed == b->is_replayed;
}

static bool same_rounds(const struct source *a, const struct source *b)
{
    return !source_rejects(a) || strcmp(a->rounds, b->rounds) == 0;
}

const struct entry *averages_differ(const struct comparison *c, int a, int b)
{
    const struct source *x = &c->files[a], *y = &c->files[b];
    if (!averages_same_method(x, y) || x->n != y->n || x->alpha != y->alpha || !same_rounds(x, y))
        return NULL;
    if (strcmp(x->family, y->family) == 0) return NULL;
    for (size_t i = 0; i < x->keys.n; i++) {
        const struct entry *one = &x->keys.items[i];
        if (strcmp(one->key, "seed") == 0 || !job_key_is_scientific(one->key)) continue;
        const struct entry *other = entries_find(&y->keys, one->key);
        if (!other || strcmp(one->text, other->text) != 0) return one;
    }
    return NULL;
}

/* Keys in which the points of one curve may differ, or that change nothing for its method. */
static bool is_free(const struct source *s, const char *key)
{
    static const char *const any[] = {"seed", "n", "alpha", "method"},
                             *const best_of_n[] = {"rounds", "compat"},
                             *const rejection[] = {"score_at", "batching"},
                             *const automatic[] = {"n_max", "min_round_tokens"};
    const char *const *own = source_rejects(s) ? rejection : best_of_n;
    for (int i = 0; i < 4; i++)
        if (strcmp(key, any[i]) == 0) return true;
    for (int i = 0; i < 2; i++)
        if (strcmp(key, own[i]) == 0 || (s->n != 0 && strcmp(key, automatic[i]) == 0)) return true;
    return strncmp(key, "dataset.", 8) == 0; /* all have the same prompts */
}

const struct entry *averages_curve_differs(const struct source *a, const struct source *b)
{
    for (size_t i = 0; i < b->keys.n; i++) {
        const struct entry *x = &b->keys.items[i], *y;
        if (!job_key_is_scientific(x->key) || is_free(b, x->key)) continue;
        y = entries_find(&a->keys, x->key);
        if (!y || strcmp(x->text, y->text) != 0) return x;
    }
    return NULL;
}

/* Files come sorted, those of one family behind each other. */
static void group_files(struct averages *p, const struct comparison *c)
{
    p->items = mem_calloc((size_t)c->n_files, sizeof *p->items);
    for (int f = 0; f < c->n_files; f++) {
        if (f == 0 || strcmp(c->files[f].family, c->files[f - 1].family) != 0)
            p->items[p->n++].first = f;
        p->items[p->n - 1].n_files++;
    }
}

static bool is_there(const struct comparison *c, const struct missing_point *m)
{
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        if (averages_same_method(s, &c->files[m->like]) && s->n == m->n && s->alpha == m->alpha &&
            same_rounds(s, &c->files[m->rounds]) && s->seed == m->seed)
            return true;
    }
    return false;
}

/* Of N from the file a, alpha from b, rounds from d (all of one method) and every seed. */
static void look_for(struct averages *p, const struct comparison *c, int a, int b, int d)
{
    for (int f = 0; f < c->n_files; f++) {
        struct missing_point m = {.like = a,
                                  .rounds = d,
                                  .n = c->files[a].n,
                                  .alpha = c->files[b].alpha,
                                  .seed = c->files[f].seed};
        bool seen = false;
        for (int g = 0; g < f && !seen; g++) seen = c->files[g].seed == m.seed;
        if (!seen && !is_there(c, &m)) ARRAY_PUSH(p->missing, m);
    }
}

/* Whether an earlier point of the same method has the same value already. */
static bool is_repeated(const struct averages *p, const struct comparison *c, int at,
                        bool (*same)(const struct source *, const struct source *))
{
    const struct source *s = &c->files[p->items[at].first];
    for (int i = 0; i < at; i++) {
        const struct source *x = &c->files[p->items[i].first];
        if (averages_same_method(x, s) && same(x, s)) return true;
    }
    return false;
}

static bool same_n(const struct source *a, const struct source *b)
{
    return a->n == b->n;
}

static bool same_alpha(const struct source *a, const struct source *b)
{
    return a->alpha == b->alpha;
}

/* A replay's points are what was asked for, and of one seed: none is missing. */
static void list_missing(struct averages *p, const struct comparison *c)
{
    for (int i = 0; i < p->n; i++) {
        if (c->files[p->items[i].first].is_replayed || is_repeated(p, c, i, same_n)) continue;
        for (int j = 0; j < p->n; j++) {
            const struct source *x = &c->files[p->items[i].first],
                                *y = &c->files[p->items[j].first];
            if (!averages_same_method(x, y) || is_repeated(p, c, j, same_alpha)) continue;
            for (int k = 0; k < p->n; k++) {
                const struct source *z = &c->files[p->items[k].first];
                if (averages_same_method(x, z) && !is_repeated(p, c, k, same_rounds))
                    look_for(p, c, p->items[i].first, p->items[j].first, p->items[k].first);
            }
        }
    }
}

char *averages_missing_text(char out[4 * CELL], const struct comparison *c,
                            const struct missing_point *m)
{
    const struct source *like = &c->files[m->like];
    char method[CELL], n[CELL], what[CELL + 64] = "";
    if (source_rejects(like))
        snprintf(what, sizeof what, ", alpha %g, rounds %.64s", m->alpha,
                 c->files[m->rounds].rounds);
    snprintf(out, 4 * CELL, "%s, N %s%s, seed %llu", cell_method(method, like), cell_n(n, m->n),
             what, (unsigned long long)m->seed);
    return out;
}

/* ---- numbers ---- */

static double mean_of(const struct comparison *c, const struct average *p, size_t field)
{
    double sum = 0;
    for (int f = p->first; f < p->first + p->n_files; f++)
        sum += *(const double *)((const char *)&c->rows[f] + field);
    return sum / p->n_files;
}
#define MEAN_OF(c, p, field) mean_of(c, p, offsetof(struct compare_row, field))

/* The mean over the seeds in one resample. */
static double resampled_mean(const struct comparison *c, const struct average *p,
                             enum resampled what, int b)
{
    double sum = 0;
    for (int f = p->first; f < p->first + p->n_files; f++) sum += resampled_at(c, what, f, b);
    return sum / p->n_files;
}

/* relative compute = sum over the seeds of the point's compute / the same of their references. */
static double resampled_compute(const struct comparison *c, const struct average *p, int b)
{
    double own = 0, reference = 0;
    for (int f = p->first; f < p->first + p->n_files; f++) {
        int ref = c->rows[f].reference;
        if (ref < 0) return NAN;
        own += resampled_at(c, RESAMPLED_COMPUTE, f, b);
        reference += resampled_at(c, RESAMPLED_COMPUTE, ref, b);
    }
    return reference > 0 ? own / reference : NAN;
}

static void fill_means(struct average *p, const struct comparison *c)
{
    double own = 0, reference = 0;
    p->rounds = MEAN_OF(c, p, rounds);
    p->best_reward = MEAN_OF(c, p, best_reward);
    p->score = MEAN_OF(c, p, score);
    p->kept = MEAN_OF(c, p, kept);
    p->survival = MEAN_OF(c, p, survival);
    p->regret = MEAN_OF(c, p, regret);
    p->rank_hours = MEAN_OF(c, p, rank_hours) * p->n_files;
    for (size_t a = 0; a < METRICS_AMOUNTS; a++) p->total[a] = MEAN_OF(c, p, total[a]);
    for (int f = p->first; f < p->first + p->n_files; f++) {
        int ref = c->rows[f].reference;
        own += c->rows[f].total[AMOUNT_COMPUTE_S];
        reference += ref < 0 ? NAN : c->rows[ref].total[AMOUNT_COMPUTE_S];
    }
    p->relative_compute = reference > 0 ? own / reference : NAN;
}

/* ---- speedups ---- */

/* Whether the point is held against a replayed reference. */
static bool is_against_replay(const struct averages *p, const struct comparison *c, int point)
{
    int reference = c->rows[p->items[point].first].reference;
    return reference >= 0 && c->files[reference].is_replayed;
}

/* The points of the reference's curve: one for each N, the strongest that there is.  Runs and
 * replays have a curve each: a model of times next to measured ones would be neither. */
static int choose_curve(const struct averages *p, const struct comparison *c, bool replayed,
                        int *curve)
{
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        const struct source *s = &c->files[p->items[i].first];
        bool is_formed = isfinite(p->items[i].score) && isfinite(p->items[i].relative_compute);
        if (!baseline_has_place(c, s) || !is_formed) continue;
        if (s->is_replayed != replayed || is_against_replay(p, c, i) != replayed) continue;
        const struct source *last = n ? &c->files[p->items[curve[n - 1]].first] : NULL;
        if (!last || last->n != s->n)
            curve[n++] = i;
        else if (last->scores_on_the_way != s->scores_on_the_way ? last->scores_on_the_way
                                                                 : last->is_static && !s->is_static)
            curve[n - 1] = i;
    }
    return n;
}

/* From values [COMPARE_RESAMPLES], and how many are of which kind, to the limits of the middle 95 %
 * of those that could be formed. */
static void limits(struct average *p, double *values, const int count[4])
{
    int formed = COMPARE_RESAMPLES - count[SPEEDUP_NONE], tail = formed / 40;
    struct interval i = metrics_interval(values, COMPARE_RESAMPLES);
    enum speedup_kind low = SPEEDUP_EQUAL, high = SPEEDUP_EQUAL;
    if (!isfinite(i.low)) low = high = SPEEDUP_NONE;
    if (count[SPEEDUP_AT_MOST] > tail) low = SPEEDUP_AT_MOST;
    if (count[SPEEDUP_AT_MOST] >= formed - tail) high = SPEEDUP_AT_MOST;
    if (count[SPEEDUP_AT_LEAST] > tail) high = SPEEDUP_AT_LEAST;
    if (count[SPEEDUP_AT_LEAST] >= formed - tail) low = SPEEDUP_AT_LEAST;
    p->speedup_low = (struct speedup){low, i.low};
    p->speedup_high = (struct speedup){high, i.high};
}

/* Of the points along one curve.  score and compute: [n][COMPARE_RESAMPLES + 1], the last one of
 * all prompts once. */
static void fill_speedups(struct averages *p, const struct comparison *c, bool replayed,
                          const double *score, const double *compute)
{
    size_t m = COMPARE_RESAMPLES + 1;
    int *chosen = mem_calloc((size_t)p->n, sizeof *chosen),
        n = choose_curve(p, c, replayed, chosen);
    struct curve_point *curves = mem_calloc((size_t)n * m, sizeof *curves);
    double *values = mem_calloc(m, sizeof *values);
    for (size_t b = 0; b < m; b++) {
        for (int k = 0; k < n; k++)
            curves[b * (size_t)n + (size_t)k] = (struct curve_point){
                compute[(size_t)chosen[k] * m + b], score[(size_t)chosen[k] * m + b]};
        metrics_curve(curves + b * (size_t)n, n);
    }
    for (int i = 0; i < p->n; i++) {
        if (is_against_replay(p, c, i) != replayed) continue;
        int count[4] = {0};
        struct speedup s = {0};
        for (size_t b = 0; b < m; b++) {
            size_t at = (size_t)i * m + b;
            s = metrics_speedup(curves + b * (size_t)n, n, score[at], compute[at]);
            values[b] = s.value;
            if (b < COMPARE_RESAMPLES) count[s.kind]++;
        }
        p->items[i].speedup = s;
        limits(&p->items[i], values, count);
    }
    free(values);
    free(curves);
    free(chosen);
}

static struct interval interval_of(const double *values, double *scratch)
{
    memcpy(scratch, values, COMPARE_RESAMPLES * sizeof *scratch);
    return metrics_interval(scratch, COMPARE_RESAMPLES);
}

static void fill_intervals(struct averages *p, const struct comparison *c)
{
    size_t m = COMPARE_RESAMPLES + 1;
    double *score = mem_calloc((size_t)p->n * m, sizeof *score);
    double *compute = mem_calloc((size_t)p->n * m, sizeof *compute);
    double *scratch = mem_calloc(m, sizeof *scratch);
    for (int i = 0; i < p->n; i++) {
        struct average *x = &p->items[i];
        double *own_score = score + (size_t)i * m, *own_compute = compute + (size_t)i * m;
        for (int b = 0; b < COMPARE_RESAMPLES; b++) {
            own_score[b] = resampled_mean(c, x, RESAMPLED_SCORE, b);
            own_compute[b] = resampled_compute(c, x, b);
            scratch[b] = resampled_mean(c, x, RESAMPLED_KEPT, b);
        }
        own_score[COMPARE_RESAMPLES] = x->score;
        own_compute[COMPARE_RESAMPLES] = x->relative_compute;
        x->kept_interval = metrics_interval(scratch, COMPARE_RESAMPLES);
        x->score_interval = interval_of(own_score, scratch);
        x->compute_interval = interval_of(own_compute, scratch);
    }
    fill_speedups(p, c, false, score, compute);
    fill_speedups(p, c, true, score, compute);
    free(scratch);
    free(compute);
    free(score);
}

void averages_make(struct averages *p, const struct comparison *c)
{
    *p = (struct averages){0};
    group_files(p, c);
    list_missing(p, c);
    for (int i = 0; i < p->n; i++) fill_means(&p->items[i], c);
    fill_intervals(p, c);
}

void averages_free(struct averages *p)
{
    free(p->items);
    free(p->missing.items);
    *p = (struct averages){0};
}
