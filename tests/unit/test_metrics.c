/* The metrics on made-up numbers whose results are computed by hand: ties, one prompt, equal
 * rewards (zero denominators), rewards that are no numbers, resamples.  On files: test_report.c. */
#include "base/mem.h"
#include "base/rng.h"
#include "report/resample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)))) fail_msg("%.17g, not %.17g", got, want);
}

static void is_nan(double got)
{
    if (!isnan(got)) fail_msg("%.17g, not NaN", got);
}

static struct metrics_prompt prompt(const float *rewards, int64_t n, double best, int64_t winner,
                                    const int32_t *complete, int64_t n_complete)
{
    struct metrics_prompt p = {
        .best = best, .winner = winner, .complete = complete, .n_complete = n_complete};
    metrics_spread(&p, rewards, n);
    return p;
}

/* Best-of-N on three prompts: rewards 1, 3, 5 and one NaN; a tie of equal rewards; 0 and 4. */
static void make(struct metrics_prompt ref[3], struct metrics_prompt x[3])
{
    static const float a[] = {1, 3, 5, NAN}, b[] = {2, 2}, c[] = {0, 4};
    static const int32_t all[] = {0, 1, 2, 3}, second[] = {1};
    ref[0] = prompt(a, 4, 5, 2, all, 4);
    ref[1] = prompt(b, 2, 2, 0, all, 2);
    ref[2] = prompt(c, 2, 4, 1, all, 2);
    x[0] = prompt(a, 2, 4, 1, all, 2); /* its answer has 4 */
    x[1] = prompt(b, 1, 2, 0, all, 1);
    x[2] = prompt(c + 1, 1, 4, 1, second, 1);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < METRICS_AMOUNTS; k++) {
            ref[i].amount[k] = 10 * (i + 1) + k;
            x[i].amount[k] = i + 1;
        }
}

static void test_spread(void **state)
{
    (void)state;
    static const float some[] = {NAN, -2, INFINITY, 4, -2, NAN}, none[] = {NAN, -INFINITY};
    struct metrics_prompt p = {0};
    metrics_spread(&p, some, 6);
    near(p.min, -2);
    near(p.max, 4);
    near(p.mean, 0);
    metrics_spread(&p, none, 2);
    is_nan(p.min);
    is_nan(p.max);
    is_nan(p.mean);
    metrics_spread(&p, none, 0);
    is_nan(p.mean);
    float equal[120];
    for (int i = 0; i < 120; i++) equal[i] = 0.1f;
    metrics_spread(&p, equal, 120);
    assert_true(p.mean == p.max && p.min == p.max);
}

static void test_by_hand(void **state)
{
    (void)state;
    struct metrics_prompt ref[3], x[3];
    make(ref, x);
    near(metrics_mean_best(x, 3, NULL), 10.0 / 3);
    /* prompts 0 and 2 have a spread: (4 - 5) / (5 - 1) and (4 - 4) / (4 - 0) */
    assert_int_equal(metrics_without_spread(ref, 3), 1);
    near(metrics_improvement_score(ref, x, 3, NULL), 87.5);
    near(metrics_improvement_score(ref, ref, 3, NULL), 100);
    /* ((4 - 3) + (2 - 2) + (4 - 2)) / ((5 - 3) + (2 - 2) + (4 - 2)) */
    near(metrics_kept_share(ref, x, 3, NULL), 0.75);
    near(metrics_kept_share(ref, ref, 3, NULL), 1);
    near(metrics_survival(ref, x, 3, NULL), 2.0 / 3);
    near(metrics_regret(ref, x, 3, NULL), 1.0 / 3);
    near(metrics_total(ref, 3, NULL, AMOUNT_COMPUTE_S), 63);
    near(metrics_share(ref, x, 3, NULL, AMOUNT_WALL_S), 0.1);
}

static void test_resampled_by_hand(void **state)
{
    (void)state;
    struct metrics_prompt ref[3], x[3];
    static const int32_t times[] = {2, 0, 1}, only_equal[] = {0, 3, 0};
    make(ref, x);
    near(metrics_mean_best(x, 3, times), 4);
    near(metrics_improvement_score(ref, x, 3, times), 100 * (1 - 1.0 / 6));
    near(metrics_kept_share(ref, x, 3, times), 4.0 / 6);
    near(metrics_survival(ref, x, 3, times), 1.0 / 3);
    near(metrics_regret(ref, x, 3, times), 2.0 / 3);
    near(metrics_total(x, 3, times, AMOUNT_TOKENS_SCORED), 5);
    is_nan(metrics_improvement_score(ref, x, 3, only_equal));
    is_nan(metrics_kept_share(ref, x, 3, only_equal));
    near(metrics_survival(ref, x, 3, only_equal), 1);
}

/* The worst candidate of the reference has 0; better than the reference is more than 100. */
static void test_scale(void **state)
{
    (void)state;
    struct metrics_prompt ref[3], x[3];
    make(ref, x);
    for (int i = 0; i < 3; i++) x[i].best = ref[i].min;
    near(metrics_improvement_score(ref, x, 3, NULL), 0);
    x[0].best = 9;
    near(metrics_improvement_score(ref, x, 1, NULL), 200);
    x[0].best = ref[0].mean;
    near(metrics_kept_share(ref, x, 1, NULL), 0);
}

static void test_nothing_to_compare(void **state)
{
    (void)state;
    struct metrics_prompt ref[3], x[3];
    make(ref, x);
    is_nan(metrics_improvement_score(&ref[1], &x[1], 1, NULL)); /* equal rewards */
    is_nan(metrics_kept_share(&ref[1], &x[1], 1, NULL));
    is_nan(metrics_mean_best(x, 0, NULL));
    is_nan(metrics_share(ref, x, 0, NULL, AMOUNT_COMPUTE_S));
    is_nan(metrics_regret(ref, x, 0, NULL));
    x[2].best = NAN; /* that prompt does not count */
    near(metrics_improvement_score(ref, x, 3, NULL), 75);
    near(metrics_kept_share(ref, x, 3, NULL), 0.5);
    near(metrics_mean_best(x, 3, NULL), 3);
    ref[0].mean = ref[0].min = NAN; /* only the answer was recorded */
    is_nan(metrics_kept_share(ref, x, 2, NULL));
}

static void test_survival_unknown(void **state)
{
    (void)state;
    struct metrics_prompt ref[3], x[3];
    make(ref, x);
    x[0].n_complete = -1;
    near(metrics_survival(ref, x, 3, NULL), 1);
    ref[1].winner = ref[2].winner = -1;
    is_nan(metrics_survival(ref, x, 3, NULL));
    x[0].n_complete = 0; /* everything was rejected */
    near(metrics_survival(ref, x, 3, NULL), 0);
}

static void check_speedup(const struct curve_point *curve, int64_t n, double score, double compute,
                          enum speedup_kind kind, double value)
{
    struct speedup s = metrics_speedup(curve, n, score, compute);
    assert_int_equal(s.kind, kind);
    if (kind == SPEEDUP_NONE)
        is_nan(s.value);
    else
        near(s.value, value);
}

static void test_speedup(void **state)
{
    (void)state;
    struct curve_point curve[] = {{4, 110}, {1, 100}, {2, 90}};
    metrics_curve(curve, 3);
    near(curve[1].compute, 2);
    near(curve[1].score, 100); /* the running maximum, not 90 */
    near(curve[2].score, 110);
    check_speedup(curve, 3, 105, 0.5, SPEEDUP_EQUAL, 4 * sqrt(2)); /* halfway from 2 to 4, in log */
    check_speedup(curve, 3, 100, 0.5, SPEEDUP_EQUAL, 2);           /* where it is first reached */
    check_speedup(curve, 3, 110, 8, SPEEDUP_EQUAL, 0.5);
    check_speedup(curve, 3, 110.001, 0.5, SPEEDUP_AT_LEAST, 8);
    check_speedup(curve, 3, 99.999, 0.5, SPEEDUP_AT_MOST, 2);
    check_speedup(curve, 3, NAN, 0.5, SPEEDUP_NONE, 0);
    check_speedup(curve, 3, 105, 0, SPEEDUP_NONE, 0);
    check_speedup(curve, 3, 105, NAN, SPEEDUP_NONE, 0);
    check_speedup(curve, 0, 105, 1, SPEEDUP_NONE, 0);
    check_speedup(curve, 1, 100, 1, SPEEDUP_EQUAL, 1);
    struct curve_point tie[] = {{1, 100}, {1, 90}}, bad[] = {{1, 100}, {2, NAN}};
    metrics_curve(tie, 2);
    near(tie[0].score, 90);
    check_speedup(tie, 2, 95, 1, SPEEDUP_EQUAL, 1);
    check_speedup(bad, 2, 100, 1, SPEEDUP_NONE, 0);
}

static void test_interval(void **state)
{
    (void)state;
    double v[103], one[] = {7}, none[] = {NAN};
    for (int i = 0; i < 101; i++) v[i] = (i * 37) % 101;
    v[101] = v[102] = NAN;
    struct interval i = metrics_interval(v, 103);
    near(i.low, 2.5);
    near(i.high, 97.5);
    i = metrics_interval(one, 1);
    near(i.low, 7);
    near(i.high, 7);
    i = metrics_interval(none, 1);
    is_nan(i.low);
    is_nan(i.high);
}

/* n draws each time; every prompt as often as it should; the same ones for the same seed. */
static void test_resample(void **state)
{
    (void)state;
    enum { N = 101, RESAMPLES = 20000 };
    int32_t times[N], again[N];
    double sum[N] = {0}, squares = 0;
    for (uint32_t b = 0; b < RESAMPLES; b++) {
        int64_t draws = 0;
        metrics_resample(5, b, times, N);
        for (int i = 0; i < N; i++) {
            assert_in_range(times[i], 0, N);
            draws += times[i];
            sum[i] += times[i];
            squares += (double)(times[i] - 1) * (times[i] - 1);
        }
        assert_int_equal(draws, N);
    }
    for (int i = 0; i < N; i++) assert_true(fabs(sum[i] / RESAMPLES - 1) < 5 / sqrt(RESAMPLES));
    assert_true(fabs(squares / RESAMPLES / N - (1 - 1.0 / N)) < 0.01); /* binomial variance */
    metrics_resample(5, RESAMPLES - 1, again, N);
    assert_memory_equal(times, again, sizeof times);
    metrics_resample(6, RESAMPLES - 1, again, N);
    assert_memory_not_equal(times, again, sizeof times);
}

static void same_bits(double a, double b)
{
    if (isnan(a) && isnan(b)) return;
    assert_memory_equal(&a, &b, sizeof a);
}

/* Many files at once are what the functions give one after the other, to the bit: prompts that do
 * not count, numbers that are not known, and no reference among them. */
static void test_all_resamples_at_once(void **state)
{
    (void)state;
    enum { FILES = 4, N = 23, COUNT = 203 };
    static struct metrics_prompt x[FILES][N];
    static double out[FILES][3][COUNT];
    struct resample_file files[FILES];
    for (int f = 0; f < FILES; f++) {
        for (int i = 0; i < N; i++) {
            struct philox u = philox4x32(3, (uint32_t)f, (uint32_t)i, 0, 0);
            struct metrics_prompt *p = &x[f][i];
            p->best = (double)u.word[0] / 3e9;
            p->max = p->best;
            p->min = i % 7 == 0 ? p->max : p->max - (double)u.word[1] / 7e9;
            p->mean = i % 11 == 0 ? NAN : p->max - (double)u.word[2] / 9e9;
            if ((i + f) % 9 == 0) p->best = NAN;
            p->amount[AMOUNT_COMPUTE_S] = f == 3 && i == 5 ? NAN : (double)u.word[3] / 1e7;
        }
        files[f] = (struct resample_file){
            x[f], f == 2 ? NULL : x[0], f == 1 ? NULL : x[f / 2], out[f][0], out[f][1], out[f][2]};
    }
    resample_files(files, FILES, N, 9, COUNT);
    for (int b = 0; b < COUNT; b++) {
        int32_t times[N];
        metrics_resample(9, (uint32_t)b, times, N);
        for (int f = 0; f < FILES; f++) {
            const struct resample_file *r = &files[f];
            same_bits(out[f][0][b],
                      r->reference ? metrics_improvement_score(r->reference, r->x, N, times) : NAN);
            same_bits(out[f][1][b],
                      r->partner ? metrics_kept_share(r->partner, r->x, N, times) : NAN);
            same_bits(out[f][2][b], metrics_total(r->x, N, times, AMOUNT_COMPUTE_S));
        }
    }
    resample_files(files, 1, N, 9, 0);
}

/* With a reference that gains 1 everywhere the kept share is a mean, whose interval is known. */
static void test_interval_of_a_mean(void **state)
{
    (void)state;
    enum { N = 400, RESAMPLES = 10000 };
    struct metrics_prompt *ref = mem_calloc(N, sizeof *ref), *x = mem_calloc(N, sizeof *x);
    double *values = mem_calloc(RESAMPLES, sizeof *values), mean = 0, squares = 0;
    int32_t times[N];
    for (int i = 0; i < N; i++) {
        ref[i].best = 1;
        x[i].best = (i * 7919 % N) / (double)N;
        mean += x[i].best / N;
    }
    for (int i = 0; i < N; i++) squares += (x[i].best - mean) * (x[i].best - mean);
    double half = 1.959964 * sqrt(squares / N / N);
    for (uint32_t b = 0; b < RESAMPLES; b++) {
        metrics_resample(1, b, times, N);
        values[b] = metrics_kept_share(ref, x, N, times);
    }
    struct interval i = metrics_interval(values, RESAMPLES);
    assert_true(fabs(i.low - (mean - half)) < 0.05 * half);
    assert_true(fabs(i.high - (mean + half)) < 0.05 * half);
    free(values);
    free(x);
    free(ref);
}

/* Mean over all subsets of k of n of the best one's value, the lower number where rewards tie. */
static double over_subsets(const double *reward, const double *value, int n, int k)
{
    double sum = 0, count = 0;
    for (unsigned set = 0; set < 1u << n; set++) {
        int best = -1, size = 0;
        for (int i = 0; i < n; i++) {
            if (!(set >> i & 1)) continue;
            size++;
            if (best < 0 || reward[i] > reward[best]) best = i;
        }
        if (size != k) continue;
        sum += value[best];
        count++;
    }
    return sum / count;
}

static void test_best_of_subset(void **state)
{
    (void)state;
    static const double reward[] = {1, 3, 2, 3, -4, 0, 2.5}, value[] = {5, 1, 4, 2, 9, -3, 8};
    near(metrics_best_of_subset(reward, value, 7, 1), 26.0 / 7); /* the mean */
    near(metrics_best_of_subset(reward, value, 7, 7), 1);        /* of two best the first */
    near(metrics_best_of_subset(reward, reward, 3, 2), 8.0 / 3); /* (3 + 2 + 3) / 3 */
    for (int n = 1; n <= 7; n++)
        for (int k = 1; k <= n; k++)
            near(metrics_best_of_subset(reward, value, n, k), over_subsets(reward, value, n, k));
    is_nan(metrics_best_of_subset(reward, value, 3, 4));
    is_nan(metrics_best_of_subset(reward, value, 3, 0));
    is_nan(metrics_best_of_subset(reward, value, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_resampled_by_hand),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_nothing_to_compare),
        cmocka_unit_test(test_survival_unknown),
        cmocka_unit_test(test_speedup),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_resample),
        cmocka_unit_test(test_all_resamples_at_once),
        cmocka_unit_test(test_interval_of_a_mean),
        cmocka_unit_test(test_best_of_subset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
