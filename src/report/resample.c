#include "report/resample.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Resamples lie side by side in LANES of a vector, each with sums of its own: every sum is formed
 * in the order of the prompts, whatever the vector's width.  A BLOCK of resamples stays in a cache
 * while all files go by. */
enum { LANES = 4, BLOCK = 80 };

typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));

/* What a prompt adds to a file's sums, per time that it counts.  A prompt that does not count adds
 * 0, which leaves a sum's bits as they are. */
struct term {
    double distance, spread, counts; /* improvement score */
    double got, there;               /* share kept */
    double compute;
};

static struct term term_of(const struct metrics_prompt *x, const struct metrics_prompt *ref,
                           const struct metrics_prompt *mate)
{
    struct term t = {.spread = 1, .compute = x->amount[AMOUNT_COMPUTE_S]};
    if (ref && metrics_without_spread(ref, 1) == 0 && isfinite(x->best)) {
        t.distance = x->best - ref->max;
        t.spread = ref->max - ref->min;
        t.counts = 1;
    }
    if (mate && isfinite(mate->mean) && isfinite(mate->best) && isfinite(x->best)) {
        t.got = x->best - mate->mean;
        t.there = mate->best - mate->mean;
    }
    return t;
}

static struct term *make_terms(const struct resample_file *files, int n_files, int64_t n)
{
    struct term *all = mem_calloc((size_t)n_files * (size_t)n, sizeof *all);
    for (int f = 0; f < n_files; f++)
        for (int64_t i = 0; i < n; i++) {
            const struct resample_file *x = &files[f];
            all[f * n + i] = term_of(&x->x[i], x->reference ? &x->reference[i] : NULL,
                                     x->partner ? &x->partner[i] : NULL);
        }
    return all;
}

/* How often each prompt counts in the resamples first .. first + BLOCK - 1:
 * times [BLOCK / LANES][n]; scratch [n]. */
static void draw(lanes *times, uint64_t seed, int64_t first, int64_t n, int32_t *scratch)
{
    for (int64_t b = 0; b < BLOCK; b++) {
        metrics_resample(seed, (uint32_t)(first + b), scratch, n);
        for (int64_t i = 0; i < n; i++) times[b / LANES * n + i][b % LANES] = (double)scratch[i];
    }
}

/* LANES resamples of one file, of which `keep` are wanted, from the number `at` on. */
static void sum_up(const struct resample_file *f, const struct term *t, const lanes *times,
                   int64_t n, int64_t at, int64_t keep)
{
    lanes distance = {0}, counted = {0}, got = {0}, there = {0}, compute = {0};
    for (int64_t i = 0; i < n; i++) {
        lanes w = times[i];
        distance += w * t[i].distance / t[i].spread;
        counted += w * t[i].counts;
        got += w * t[i].got;
        there += w * t[i].there;
        compute += w * t[i].compute;
    }
    for (int64_t k = 0; k < keep; k++) {
        f->score[at + k] = f->reference ? 100 * (1 + metrics_ratio(distance[k], counted[k])) : NAN;
        f->kept[at + k] = f->partner ? metrics_ratio(got[k], there[k]) : NAN;
        f->compute[at + k] = compute[k];
    }
}

void resample_files(const struct resample_file *files, int n_files, int64_t n, uint64_t seed,
                    int64_t count)
{
    struct term *terms = make_terms(files, n_files, n);
    lanes *times = mem_try_aligned((size_t)(n * (BLOCK / LANES)) * sizeof *times);
    int32_t *scratch = mem_calloc((size_t)n, sizeof *scratch);
    ENSURE(times);
    for (int64_t first = 0; first < count; first += BLOCK) {
        draw(times, seed, first, n, scratch);
        for (int f = 0; f < n_files; f++)
            for (int64_t k = 0; k < BLOCK && first + k < count; k += LANES) {
                int64_t left = count - first - k;
                sum_up(&files[f], terms + f * n, times + k / LANES * n, n, first + k,
                       left < LANES ? left : LANES);
            }
    }
    free(scratch);
    free(times);
    free(terms);
}
