/* The end of a step: which token, and its log-probability.
 *
 * Rows are processed side by side; between ranks go, for all rows at once: the maxima, the sum of
 * weights, histograms where a filter is on, and each rank's best id.  A row's sum is fixed point
 * and its race is decided number by number, so the token does not depend on how many ranks share
 * the vocabulary. */
#include "backend/cpu/cut.h"

#include <float.h>
#include <math.h>

/* Working memory of one call, carved from one piece of scratch. */
struct step {
    int64_t S;
    const struct sample_params *p;
    struct vocab_row *row;   /* [S] */
    struct vocab_max *max;   /* [S] of the whole vocabulary */
    uint64_t *sum;           /* [S] of weights at temperature 1 */
    uint64_t *target, *cut;  /* [S] */
    struct vocab_race *best; /* [S] */
    void *gathered;          /* [ranks, S] of vocab_max or vocab_race */
};

static char *take(char **memory, size_t bytes)
{
    char *p = *memory;
    *memory += (bytes + 63) / 64 * 64;
    return p;
}

static struct step step_begin(struct backend *b, const float *logits, int64_t S,
                              const struct sample_params *p)
{
    size_t n = (size_t)S, ranks = (size_t)comm_size(b->tensor);
    size_t spans = (size_t)vocab_spans(p->V_local);
    size_t each = sizeof(struct vocab_row) + sizeof(struct vocab_max) + 3 * sizeof(uint64_t) +
                  (1 + ranks) * sizeof(struct vocab_race) + spans * sizeof(float);
    char *memory = scratch_need(&cpu_of(b)->sample, n * each + 8 * 64);
    struct step t = {.S = S, .p = p};
    t.row = (struct vocab_row *)(void *)take(&memory, n * sizeof *t.row);
    t.max = (struct vocab_max *)(void *)take(&memory, n * sizeof *t.max);
    t.sum = (uint64_t *)(void *)take(&memory, n * sizeof *t.sum);
    t.target = (uint64_t *)(void *)take(&memory, n * sizeof *t.target);
    t.cut = (uint64_t *)(void *)take(&memory, n * sizeof *t.cut);
    t.best = (struct vocab_race *)(void *)take(&memory, n * sizeof *t.best);
    t.gathered = take(&memory, ranks * n * sizeof *t.best);
    float *top = (float *)(void *)take(&memory, n * spans * sizeof *top);
    for (int64_t s = 0; s < S; s++) t.row[s] = vocab_row_at(logits, s, p, top + (size_t)s * spans);
    return t;
}

static bool usable(const struct step *t, int64_t s)
{
    return !t->max[s].broken;
}

/* Maxima over all ranks, ties by lower id. */
static void find_max(struct backend *b, struct step *t)
{
    int threads = threads_for(cpu_of(b), t->S * t->p->V_local);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t s = 0; s < t->S; s++) t->max[s] = vocab_max(t->row[s]);
    struct vocab_max *all = t->gathered;
    comm_allgather(b->tensor, t->max, (size_t)t->S * sizeof *t->max, all);
    for (int64_t s = 0; s < t->S; s++) {
        struct vocab_max best = all[s];
        for (int64_t r = 1; r < comm_size(b->tensor); r++) {
            struct vocab_max m = all[r * t->S + s];
            if (m.x > best.x || (m.x == best.x && m.id < best.id)) best.x = m.x, best.id = m.id;
            best.broken |= m.broken;
        }
        best.broken |= !(best.x > -INFINITY);
        t->max[s] = best;
    }
}

/* Sums of weights of ids with key >= cut over all ranks; cut NULL: of all ids. */
static void sum_weights(struct backend *b, const struct step *t, float inverse_temperature,
                        const uint64_t *cut, uint64_t *sum)
{
    int threads = threads_for(cpu_of(b), t->S * t->p->V_local);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t s = 0; s < t->S; s++)
        sum[s] = usable(t, s)
                     ? vocab_sum(t->row[s], t->max[s].x, inverse_temperature, cut ? cut[s] : 0)
                     : 0;
    if (comm_size(b->tensor) > 1) comm_sum_u64_array(b->tensor, sum, (size_t)t->S);
}

/* Top-k, then top-p on what it leaves. */
static void find_cuts(struct backend *b, struct step *t, float inverse_temperature)
{
    struct cpu *cpu = cpu_of(b);
    struct cut_rows rows = {t->S, t->row, t->max, inverse_temperature};
    for (int64_t s = 0; s < t->S; s++) t->cut[s] = 0;
    if (t->p->top_k > 0 && t->p->top_k < t->p->V) {
        for (int64_t s = 0; s < t->S; s++) t->target[s] = usable(t, s) ? (uint64_t)t->p->top_k : 0;
        cut_search(cpu, b->tensor, &rows, CUT_COUNT, t->target, t->cut);
    }
    if (!(t->p->top_p < 1.0f)) return;
    sum_weights(b, t, inverse_temperature, t->cut, t->target);
    for (int64_t s = 0; s < t->S; s++) {
        uint64_t share = (uint64_t)ceil((double)t->p->top_p * (double)t->target[s]);
        t->target[s] = !usable(t, s) ? 0 : share > 1 ? share : 1;
    }
    cut_search(cpu, b->tensor, &rows, CUT_WEIGHT, t->target, t->cut);
}

/* The winner over all ranks, ties by lower id. */
static void find_winner(struct backend *b, struct step *t, float inverse_temperature,
                        const struct draw *draws)
{
    int threads = threads_for(cpu_of(b), t->S * t->p->V_local);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t s = 0; s < t->S; s++)
        if (usable(t, s))
            t->best[s] = vocab_race(t->row[s], t->max[s].x, inverse_temperature, t->cut[s],
                                    t->p->min_p, draws[s]);
        else
            t->best[s] = (struct vocab_race){.time = INFINITY, .id = -1};
    struct vocab_race *all = t->gathered;
    comm_allgather(b->tensor, t->best, (size_t)t->S * sizeof *t->best, all);
    for (int64_t s = 0; s < t->S; s++)
        for (int64_t r = 0; r < comm_size(b->tensor); r++) {
            struct vocab_race x = all[r * t->S + s];
            if (r == 0 || x.time < t->best[s].time ||
                (x.time == t->best[s].time && x.id < t->best[s].id))
                t->best[s] = x;
        }
}

static float logprob_of(const struct step *t, int64_t s, float x)
{
    if (!usable(t, s)) return NAN;
    return (float)((double)x - (double)t->max[s].x - log((double)t->sum[s] / (double)VOCAB_ONE));
}

void cpu_sample(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                const struct draw *draws, int32_t *token, float *logprob)
{
    struct step t = step_begin(b, logits, S, p);
    bool greedy = p->temperature < FLT_MIN;
    find_max(b, &t);
    sum_weights(b, &t, 1.0f, NULL, t.sum);
    if (!greedy) {
        float inverse_temperature = 1.0f / p->temperature;
        find_cuts(b, &t, inverse_temperature);
        find_winner(b, &t, inverse_temperature, draws);
    }
    for (int64_t s = 0; s < S; s++) {
        token[s] = !usable(&t, s) ? -1 : greedy ? t.max[s].id : t.best[s].id;
        logprob[s] = logprob_of(&t, s, greedy ? t.max[s].x : t.best[s].x);
    }
}

void cpu_logprob(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                 const int32_t *token, float *logprob)
{
    struct step t = step_begin(b, logits, S, p);
    find_max(b, &t);
    sum_weights(b, &t, 1.0f, NULL, t.sum);
    float *mine = (float *)(void *)t.best, *all = t.gathered;
    for (int64_t s = 0; s < S; s++) {
        int64_t i = token[s] - t.row[s].begin;
        mine[s] = i >= 0 && i < t.row[s].n ? t.row[s].x[i] : NAN;
    }
    comm_allgather(b->tensor, mine, (size_t)S * sizeof *mine, all);
    for (int64_t s = 0; s < S; s++) {
        float x = NAN; /* one rank has the column */
        for (int64_t r = 0; r < comm_size(b->tensor); r++)
            if (all[r * S + s] == all[r * S + s]) x = all[r * S + s];
        logprob[s] = logprob_of(&t, s, x);
    }
}
