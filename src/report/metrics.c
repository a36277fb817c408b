#include "report/metrics.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *const speedup_kind_names[SPEEDUP_KINDS] = {"none", "equal", "at_least", "at_most"};

static double weight(const int32_t *times, int64_t i)
{
    return times ? (double)times[i] : 1;
}

double metrics_ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* "A single sample" is the mean of the candidates' final rewards: design, section 9.  Rewards that
 * are no numbers are left out. */
void metrics_spread(struct metrics_prompt *p, const float *reward, int64_t n)
{
    double sum = 0;
    int64_t counted = 0;
    p->min = p->max = NAN;
    for (int64_t i = 0; i < n; i++) {
        double r = (double)reward[i];
        if (!isfinite(r)) continue;
        if (counted == 0 || r < p->min) p->min = r;
        if (counted == 0 || r > p->max) p->max = r;
        sum += r;
        counted++;
    }
    p->mean = counted ? sum / (double)counted : NAN;
}

/* mean over prompts of the answer's reward */
double metrics_mean_best(const struct metrics_prompt *x, int64_t n, const int32_t *times)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i].best)) continue;
        sum += weight(times, i) * x[i].best;
        count += weight(times, i);
    }
    return metrics_ratio(sum, count);
}

static bool has_spread(const struct metrics_prompt *ref)
{
    return isfinite(ref->max) && isfinite(ref->min) && ref->max > ref->min;
}

int64_t metrics_without_spread(const struct metrics_prompt *ref, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += !has_spread(&ref[i]);
    return count;
}

/* improvement score = 100 * (1 + mean over prompts of (max_x - max_ref) / (max_ref - min_ref)):
 * the reference has 100, one that always ended with the reference's worst candidate would have 0.
 * max_x: the answer's reward; prompts with max_ref = min_ref do not count.
 * Source: Sun et al. 2024, arXiv:2410.20290, section 5 (figure 3), with Best-of-120 as reference.
 */
double metrics_improvement_score(const struct metrics_prompt *ref, const struct metrics_prompt *x,
                                 int64_t n, const int32_t *times)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!has_spread(&ref[i]) || !isfinite(x[i].best)) continue;
        sum += weight(times, i) * (x[i].best - ref[i].max) / (ref[i].max - ref[i].min);
        count += weight(times, i);
    }
    return 100 * (1 + metrics_ratio(sum, count));
}

/* kept share = sum over prompts of (best_x - mean_ref) / sum over prompts of (best_ref - mean_ref):
 * how much of what Best-of-N of the same N gains over a single sample.  A ratio of sums, so that a
 * prompt on which nothing can be gained has no say.
 * Source: this project's design, section 9 (the paper reports the improvement score only). */
double metrics_kept_share(const struct metrics_prompt *ref, const struct metrics_prompt *x,
                          int64_t n, const int32_t *times)
{
    double got = 0, there = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(ref[i].mean) || !isfinite(ref[i].best) || !isfinite(x[i].best)) continue;
        got += weight(times, i) * (x[i].best - ref[i].mean);
        there += weight(times, i) * (ref[i].best - ref[i].mean);
    }
    return metrics_ratio(got, there);
}

static bool completed(const struct metrics_prompt *x, int64_t candidate)
{
    for (int64_t i = 0; i < x->n_complete; i++)
        if (x->complete[i] == candidate) return true;
    return false;
}

/* survival = share of prompts whose Best-of-N winner x completed.  For paired files only: the same
 * number must be the same candidate (design, section 2). */
double metrics_survival(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                        const int32_t *times)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ref[i].winner < 0 || x[i].n_complete < 0) continue;
        sum += completed(&x[i], ref[i].winner) ? weight(times, i) : 0;
        count += weight(times, i);
    }
    return metrics_ratio(sum, count);
}

/* regret = mean over prompts of best_ref - best_x, in reward units.  For paired files only. */
double metrics_regret(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                      const int32_t *times)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(ref[i].best) || !isfinite(x[i].best)) continue;
        sum += weight(times, i) * (ref[i].best - x[i].best);
        count += weight(times, i);
    }
    return metrics_ratio(sum, count);
}

double metrics_total(const struct metrics_prompt *x, int64_t n, const int32_t *times,
                     enum metrics_amount what)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += weight(times, i) * x[i].amount[what];
    return sum;
}

/* share = total of x / total of ref.  With AMOUNT_COMPUTE_S it is the relative GPU compute of Sun
 * et al. 2024, section 5: theirs is measured as wall time times GPUs too. */
double metrics_share(const struct metrics_prompt *ref, const struct metrics_prompt *x, int64_t n,
                     const int32_t *times, enum metrics_amount what)
{
    return metrics_ratio(metrics_total(x, n, times, what), metrics_total(ref, n, times, what));
}

struct ranked {
    double reward, value;
    int64_t number;
};

static int by_reward(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->reward != y->reward) return x->reward > y->reward ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* E = sum over i of C(n - 1 - i, k - 1) / C(n, k) * value of rank i, i from 0: a subset's best has
 * rank i when it holds that one and k - 1 of the n - 1 - i behind it.  The weights follow from each
 * other: w_0 = k / n, w_(i + 1) = w_i (n - k - i) / (n - 1 - i).
 * Source: the order statistics of draws without replacement; for 0/1 values it is the pass@k
 * estimator of Chen et al. 2021, arXiv:2107.03374, section 2.1. */
double metrics_best_of_subset(const double *reward, const double *value, int64_t n, int64_t k)
{
    if (k < 1 || n < k) return NAN;
    struct ranked *all = mem_calloc((size_t)n, sizeof *all);
    for (int64_t i = 0; i < n; i++) all[i] = (struct ranked){reward[i], value[i], i};
    qsort(all, (size_t)n, sizeof *all, by_reward);
    double sum = 0, w = (double)k / (double)n;
    for (int64_t i = 0; i <= n - k; i++) {
        sum += w * all[i].value;
        w *= (double)(n - k - i) / (double)(n - 1 - i > 0 ? n - 1 - i : 1);
    }
    free(all);
    return sum;
}

static int by_compute(const void *a, const void *b)
{
    const struct curve_point *x = a, *y = b;
    if (x->compute != y->compute) return x->compute < y->compute ? -1 : 1;
    return (x->score > y->score) - (x->score < y->score);
}

void metrics_curve(struct curve_point *points, int64_t n)
{
    qsort(points, (size_t)n, sizeof *points, by_compute);
    for (int64_t i = 1; i < n; i++) points[i].score = fmax(points[i].score, points[i - 1].score);
}

/* speedup at equal reward = C(score) / compute, C: what Best-of-N needs for this score, by straight
 * lines through the curve's points over the logarithm of compute, taken where the curve first
 * reaches the score.  Beyond the curve's ends it is only a bound, never extrapolated.
 * Source: Sun et al. 2024, arXiv:2410.20290, section 5 (their figure 3 reads speedups off along
 * horizontal lines). */
struct speedup metrics_speedup(const struct curve_point *curve, int64_t n, double score,
                               double compute)
{
    struct speedup none = {SPEEDUP_NONE, NAN};
    if (n == 0 || !isfinite(score) || !(compute > 0)) return none;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(curve[i].score) || !(curve[i].compute > 0)) return none;
    int64_t i = 0;
    while (i < n && curve[i].score < score) i++;
    if (i == n) return (struct speedup){SPEEDUP_AT_LEAST, curve[n - 1].compute / compute};
    if (curve[i].score == score) return (struct speedup){SPEEDUP_EQUAL, curve[i].compute / compute};
    if (i == 0) return (struct speedup){SPEEDUP_AT_MOST, curve[0].compute / compute};
    const struct curve_point *a = &curve[i - 1], *b = &curve[i];
    double part = (score - a->score) / (b->score - a->score);
    double log_c = log(a->compute) + part * (log(b->compute) - log(a->compute));
    return (struct speedup){SPEEDUP_EQUAL, exp(log_c) / compute};
}

/* Philox (base/rng.h): key = seed, counter = (resample, draw / 4), word = draw mod 4; prompt = the
 * high part of word * n, whose bias is below n / 2^32. */
void metrics_resample(uint64_t seed, uint32_t resample, int32_t *times, int64_t n)
{
    struct philox x = {{0}};
    memset(times, 0, (size_t)n * sizeof *times);
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) x = philox4x32(seed, resample, (uint32_t)(i / 4), 0, 0);
        times[((uint64_t)x.word[i % 4] * (uint64_t)n) >> 32]++;
    }
}

/* Bring the value that sorting would put at `at` there, smaller ones before it (Hoare's find): a
 * comparison of many files does this for millions of values. */
static double select_at(double *v, int64_t n, int64_t at)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        double pivot = v[low + (high - low) / 2];
        int64_t i = low, k = high;
        while (i <= k) {
            while (v[i] < pivot) i++;
            while (v[k] > pivot) k--;
            if (i > k) break;
            double x = v[i];
            v[i++] = v[k];
            v[k--] = x;
        }
        if (at <= k)
            high = k;
        else if (at >= i)
            low = i;
        else
            break;
    }
    return v[at];
}

/* The value at `part` of the way through the values in order, linear between neighbours. */
static double quantile(double *values, int64_t n, double part)
{
    double place = part * (double)(n - 1);
    int64_t below = (int64_t)place, above = below + (below + 1 < n);
    double a = select_at(values, n, below), b = select_at(values, n, above);
    return a + (place - (double)below) * (b - a);
}

/* Percentile bootstrap: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
 */
struct interval metrics_interval(double *values, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(values[i])) values[kept++] = values[i];
    if (kept == 0) return (struct interval){NAN, NAN};
    return (struct interval){quantile(values, kept, 0.025), quantile(values, kept, 0.975)};
}
