/* Correlations: golden values (scipy 1.17.1: pearsonr, kendalltau), ties, what is no number, and
 * Knight's sort against a count of all pairs. */
#include "base/mem.h"
#include "base/rng.h"
#include "report/correlation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12)) fail_msg("%.17g, not %.17g", got, want);
}

static void test_golden(void **state)
{
    (void)state;
    static const double x[] = {2.5, 1, 1, 3, 7, 7, 7, -2, 0, 4},
                        y[] = {1, 1, 2, 5, 5, 4, 9, 0, 3, 3};
    double a[200], b[200];
    near(correlation_pearson(x, y, 10), 0.7686004372260024);
    near(correlation_kendall(x, y, 10), 0.6265515005254438);
    for (int i = 0; i < 200; i++) {
        a[i] = i * 37 % 101;
        b[i] = i * i % 23;
    }
    near(correlation_pearson(a, b, 200), 0.004641817902776159);
    near(correlation_kendall(a, b, 200), 0.0003677298912054615);
}

/* Three pairs by hand: of (1, 2), (2, 2), (3, 5) one is tied in y: tau_b = 2 / sqrt(3 * 2). */
static void test_by_hand(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3}, up[] = {-1, 0, 7}, down[] = {5, 4, 3}, tie[] = {2, 2, 5};
    near(correlation_kendall(x, up, 3), 1);
    near(correlation_kendall(x, down, 3), -1);
    near(correlation_pearson(x, down, 3), -1);
    near(correlation_kendall(x, tie, 3), 2 / sqrt(6));
    near(correlation_pearson(x, tie, 3), sqrt(3) / 2); /* 3 / sqrt(2 * 6) */
    near(correlation_kendall(x, x, 2), 1);
}

static void test_not_formed(void **state)
{
    (void)state;
    static const double x[] = {1, NAN, 2, INFINITY, 3}, y[] = {3, 9, 2, 9, NAN},
                        equal[] = {0.1, 0.1, 0.1, 0.1, 0.1};
    near(correlation_pearson(x, y, 5), -1); /* of (1, 3) and (2, 2) alone */
    near(correlation_kendall(x, y, 5), -1);
    for (int64_t n = 0; n <= 1; n++) {
        assert_true(isnan(correlation_pearson(y, y, n)));
        assert_true(isnan(correlation_kendall(y, y, n)));
    }
    assert_true(isnan(correlation_pearson(equal, y, 5)));
    assert_true(isnan(correlation_pearson(y, equal, 5)));
    assert_true(isnan(correlation_kendall(equal, y, 5)));
    assert_true(isnan(correlation_kendall(y, equal, 5)));
}

static double sign(double v)
{
    return (v > 0) - (v < 0);
}

static double tau_of_all_pairs(const double *x, const double *y, int n)
{
    double sum = 0, in_x = 0, in_y = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            sum += sign(x[i] - x[k]) * sign(y[i] - y[k]);
            in_x += x[i] != x[k];
            in_y += y[i] != y[k];
        }
    return sum / sqrt(in_x * in_y);
}

static void test_all_pairs(void **state)
{
    (void)state;
    enum { MOST = 300 };
    double x[MOST], y[MOST];
    for (uint32_t round = 0; round < 40; round++) {
        int n = 2 + (int)(round * 7) % (MOST - 2);
        uint32_t values = 2 + round % 3 * 400; /* few: many ties */
        for (int i = 0; i < n; i++) {
            struct philox w = philox4x32(round, (uint32_t)i, 0, 0, 0);
            x[i] = w.word[0] % values;
            y[i] = w.word[1] % values + (round % 2 ? x[i] : 0);
        }
        double want = tau_of_all_pairs(x, y, n), got = correlation_kendall(x, y, n);
        if (isnan(want)) {
            assert_true(isnan(got));
            continue;
        }
        near(got, want);
        near(correlation_kendall(y, x, n), got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_not_formed),
        cmocka_unit_test(test_all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
