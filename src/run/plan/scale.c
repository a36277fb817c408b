#include "run/plan/scale.h"

#include "run/plan/count.h"

#include <math.h>
#include <stdlib.h>

#define WEAK_PROMPTS 16
#define SAMPLES      8 /* prompts that are counted one by one for each cell */
#define FEW_SAMPLES  2 /* of so many candidates that prompts differ little */

/* A prompt that all groups share: its candidates are divided, its budget is the sum of theirs. */
static double candidate_s(const struct point_setup *s, const struct job *j, int64_t tensor,
                          int64_t groups)
{
    struct point_setup few = *s;
    struct job shared = *j;
    struct plan_point p;
    struct err e;
    few.most_samples = 1;
    shared.parallel.split = SPLIT_CANDIDATES;
    double t = point_make(&p, &few, &shared, tensor, groups, &e) < 0 ? NAN : p.mean.expected_s;
    point_free(&p);
    return t;
}

static void fill(struct scale_cell *c, const struct point_setup *s, const struct plan_point *p,
                 int64_t ranks)
{
    int64_t groups = ranks / p->tensor;
    double commit = hardware_get(s->hardware, FIGURE_COMMIT);
    double start = point_start_s(s, p->job, p->tensor, groups);
    double judge = p->judge_s * (double)p->groups;
    c->fits = true;
    c->strong_s = start + judge / (double)groups +
                  point_makespan_s(p->prompt_s, p->n_prompts, p->n_prompts, groups, commit);
    c->weak_s = start + judge / (double)p->n_prompts * WEAK_PROMPTS +
                point_makespan_s(p->prompt_s, p->n_prompts, WEAK_PROMPTS * groups, groups, commit);
    c->weak_alone_s = point_start_s(s, p->job, p->tensor, 1) +
                      judge / (double)p->n_prompts * WEAK_PROMPTS +
                      WEAK_PROMPTS * p->mean.expected_s + commit;
    c->candidate_s = candidate_s(s, p->job, p->tensor, groups);
}

/* The best of each row, against the first row where anything fits. */
static void compare(struct scale *t)
{
    const struct scale_row *first = NULL;
    for (int i = 0; i < t->n_rows; i++) {
        struct scale_row *r = &t->rows[i];
        r->best = -1;
        for (int k = 0; k < SCALE_TENSORS; k++)
            if (r->cells[k].fits &&
                (r->best < 0 || r->cells[k].strong_s < r->cells[r->best].strong_s))
                r->best = k;
        if (r->best < 0) continue;
        if (!first) first = r;
        const struct scale_cell *c = &r->cells[r->best], *base = &first->cells[first->best];
        r->speedup = base->strong_s / c->strong_s;
        r->efficiency = r->speedup * (double)first->ranks / (double)r->ranks;
        r->rank_hours = c->strong_s * (double)r->ranks / 3600;
        /* Weak: the same split as in the first row, where there is one, so that only groups grow.
         */
        const struct scale_cell *w = &r->cells[first->best];
        r->weak_efficiency = w->fits ? w->weak_alone_s / w->weak_s : NAN;
    }
}

void scale_make(struct scale *t, const struct point_setup *s, const struct job *j)
{
    struct point_setup few = *s;
    struct job divided = *j;
    int64_t per_node = (int64_t)hardware_get(s->hardware, FIGURE_RANKS_PER_NODE);
    few.most_samples = j->n > COUNT_MOST ? FEW_SAMPLES : SAMPLES;
    divided.parallel.split = SPLIT_PROMPTS;
    *t = (struct scale){.weak_prompts = WEAK_PROMPTS};
    for (int64_t ranks = 1; ranks <= SCALE_MAX_RANKS; ranks *= 2)
        t->rows[t->n_rows++] = (struct scale_row){
            .ranks = ranks, .nodes = (ranks + per_node - 1) / per_node, .best = -1};
    for (int k = 0; k < SCALE_TENSORS; k++) {
        struct plan_point p;
        struct err e;
        t->tensors[k] = (int64_t)1 << k;
        if (point_make(&p, &few, &divided, t->tensors[k], 1, &e) == 0)
            for (int i = k; i < t->n_rows; i++)
                fill(&t->rows[i].cells[k], &few, &p, t->rows[i].ranks);
        point_free(&p);
    }
    compare(t);
}
