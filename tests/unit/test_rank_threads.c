/* Threads of a rank: the CPUs of a node divided among its ranks. */
#include "run/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* CPUs [begin, end). */
static cpu_set_t range(size_t begin, size_t end)
{
    cpu_set_t s;
    CPU_ZERO(&s);
    for (size_t i = begin; i < end; i++) CPU_SET(i, &s);
    return s;
}

static void test_masks(void **state)
{
    (void)state;
    cpu_set_t own[] = {range(0, 4), range(4, 6)};
    assert_int_equal(threads_of_masks(own, 2, 0), 4);
    assert_int_equal(threads_of_masks(own, 2, 1), 2);
    cpu_set_t shared[] = {range(0, 9), range(0, 9), range(0, 9)};
    for (int r = 0; r < 3; r++) assert_int_equal(threads_of_masks(shared, 3, r), 3);
    cpu_set_t sockets[] = {range(0, 8), range(8, 16), range(0, 8)};
    assert_int_equal(threads_of_masks(sockets, 3, 0), 4);
    assert_int_equal(threads_of_masks(sockets, 3, 1), 8);
    cpu_set_t crowd[] = {range(0, 1), range(0, 1), range(0, 0)};
    for (int r = 0; r < 3; r++) assert_int_equal(threads_of_masks(crowd, 3, r), 1);
}

/* Every CPU in one part, parts as even as can be. */
static void test_parts(void **state)
{
    (void)state;
    enum { MOST = 9 };
    static const int cpu[MOST] = {0, 4, 1, 5, 2, 6, 3, 7, 30};
    for (int n = 1; n <= MOST; n++)
        for (int ranks = 1; ranks <= n; ranks++) {
            cpu_set_t all = range(0, 0), part;
            int sum = 0;
            for (int r = 0; r < ranks; r++) {
                threads_part(&part, cpu, n, ranks, r);
                int count = CPU_COUNT(&part);
                assert_true(count == n / ranks || count == n / ranks + 1);
                CPU_OR(&all, &all, &part);
                sum += count;
            }
            assert_int_equal(sum, n);
            assert_int_equal(CPU_COUNT(&all), n);
        }
    cpu_set_t part, want = range(0, 0);
    threads_part(&part, cpu, 8, 4, 1);
    CPU_SET(1, &want);
    CPU_SET(5, &want);
    assert_true(CPU_EQUAL(&part, &want));
    threads_part(&part, cpu, 2, 3, 2);
    assert_int_equal(CPU_COUNT(&part), 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
