#include "report/subsets.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUBSET_SEED 20541 /* any fixed number */

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The first n of a random order (Fisher and Yates).  Philox: key = seed, counter = (draw, prompt,
 * i / 4), word = i mod 4; place = the high part of word * range, whose bias is below range / 2^32.
 */
void subsets_draw(uint32_t draw, int64_t prompt_index, int32_t *which, int64_t n, int64_t all,
                  int32_t *scratch)
{
    struct philox x = {{0}};
    for (int64_t i = 0; i < all; i++) scratch[i] = to_i32(i);
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            x = philox4x32(SUBSET_SEED, draw, (uint32_t)prompt_index, (uint32_t)(i / 4), 0);
        int64_t k = i + (int64_t)(((uint64_t)x.word[i % 4] * (uint64_t)(all - i)) >> 32);
        int32_t taken = scratch[k];
        scratch[k] = scratch[i];
        which[i] = scratch[i] = taken;
    }
    qsort(which, (size_t)n, sizeof *which, by_number);
}

/* What a draw works with. */
struct desk {
    const struct recording *recording;
    struct replay x, best;
    struct metrics_prompt *mine, *reference; /* [n_prompts] */
    int32_t **complete;                      /* [2 n_prompts], owned */
    int32_t *which, *scratch;                /* [most candidates] */
};

static void desk_make(struct desk *d, const struct recording *r)
{
    size_t n = (size_t)r->n_prompts;
    int64_t most = 0;
    for (size_t i = 0; i < n; i++)
        if (r->prompts[i].row->n > most) most = r->prompts[i].row->n;
    *d = (struct desk){.recording = r};
    d->mine = mem_calloc(n, sizeof *d->mine);
    d->reference = mem_calloc(n, sizeof *d->reference);
    d->complete = mem_calloc(2 * n, sizeof *d->complete);
    d->which = mem_calloc((size_t)most, sizeof *d->which);
    d->scratch = mem_calloc((size_t)most, sizeof *d->scratch);
}

static void desk_free(struct desk *d)
{
    replay_free(&d->x);
    replay_free(&d->best);
    free(d->mine);
    free(d->reference);
    free(d->complete);
    free(d->which);
    free(d->scratch);
}

static void take(struct metrics_prompt *to, int32_t **complete, const struct prompt_row *row,
                 const struct replay *x)
{
    const struct cost_of_prompt no_cost = {NAN, NAN, NAN, NAN};
    struct source_prompt p;
    replay_grid_fill(&p, row, x, &no_cost);
    *to = p.numbers;
    *complete = p.complete;
}

/* One draw of all prompts: a run. */
static int draw_once(struct desk *d, const struct job *j, const struct job *best_of_n,
                     uint32_t draw, double value[SUBSET_VALUES], struct err *e)
{
    const struct recording *r = d->recording;
    struct replay_point point = replay_point_of(r, j), best = replay_point_of(r, best_of_n);
    int64_t n = 0;
    int rc = 0;
    for (int64_t i = 0; i < r->n_prompts && rc == 0; i++) {
        const struct recorded_prompt *p = &r->prompts[i];
        if (!p->candidates || j->n > p->row->n) continue;
        subsets_draw(draw, p->row->prompt_index, d->which, j->n, p->row->n, d->scratch);
        rc = replay_prompt(&d->x, r, p, &point, d->which, e);
        if (rc == 0) rc = replay_prompt(&d->best, r, p, &best, d->which, e);
        if (rc < 0 || d->x.is_skipped || d->best.is_skipped) continue;
        take(&d->mine[n], &d->complete[2 * n], p->row, &d->x);
        take(&d->reference[n], &d->complete[2 * n + 1], p->row, &d->best);
        n++;
    }
    if (rc == 0) {
        value[SUBSET_BEST_REWARD] = metrics_mean_best(d->mine, n, NULL);
        value[SUBSET_KEPT] = metrics_kept_share(d->reference, d->mine, n, NULL);
        value[SUBSET_SURVIVAL] = metrics_survival(d->reference, d->mine, n, NULL);
        value[SUBSET_TOKENS] = metrics_total(d->mine, n, NULL, AMOUNT_TOKENS_GENERATED);
    }
    for (int64_t i = 0; i < 2 * n; i++) free(d->complete[i]);
    return rc;
}

static int draw_point(struct subset_values *p, struct desk *d, const struct job *j, int64_t draws,
                      struct err *e)
{
    struct job best_of_n = *j;
    best_of_n.method = METHOD_BEST_OF_N;
    double *values = mem_calloc((size_t)draws * SUBSET_VALUES, sizeof *values);
    int rc = 0;
    p->draws = draws;
    for (int64_t k = 0; k < draws && rc == 0; k++) {
        double value[SUBSET_VALUES];
        rc = draw_once(d, j, &best_of_n, (uint32_t)k, value, e);
        for (int v = 0; v < SUBSET_VALUES && rc == 0; v++) values[v * draws + k] = value[v];
    }
    for (int v = 0; v < SUBSET_VALUES; v++) {
        double sum = 0;
        for (int64_t k = 0; k < draws; k++) sum += values[v * draws + k];
        p->mean[v] = sum / (double)draws;
        p->interval[v] = metrics_interval(values + v * draws, draws);
    }
    free(values);
    return rc;
}

int subsets_make(struct replay_grid *g, int64_t draws, struct err *e)
{
    if (draws == 0) return 0;
    struct desk d;
    int rc = 0;
    desk_make(&d, &g->recording);
    for (int i = 0; i < g->n && rc == 0; i++)
        if (g->jobs[i].n > 0 && g->jobs[i].n < g->recording.result.job.n)
            rc = draw_point(&g->sources[i].subsets, &d, &g->jobs[i], draws, e);
    desk_free(&d);
    return rc;
}
