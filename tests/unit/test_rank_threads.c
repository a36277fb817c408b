/* Threads of a rank: the CPUs of a node divided among its ranks. */
#include "run/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* ---- how a rank was started ---- */

static const char *const variables[] = {"OMP_NUM_THREADS",
                                        "SLURM_CPUS_ON_NODE",
                                        "SLURM_JOB_ID",
                                        "SLURM_CPU_BIND",
                                        "OMPI_COMM_WORLD_RANK",
                                        "OMPI_MCA_hwloc_base_binding_policy",
                                        "PRTE_MCA_hwloc_default_binding_policy",
                                        "OMPI_MCA_rmaps_base_mapping_policy",
                                        "PRTE_MCA_rmaps_default_mapping_policy"};

/* With these pairs of name and value, up to NULL, and no other variable of those above. */
static struct threads_launch launched(const char *const *pairs)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    for (; *pairs; pairs += 2) setenv(pairs[0], pairs[1], 1);
    return threads_launch();
}
#define LAUNCHED(...) launched((const char *const[]){__VA_ARGS__, NULL})

#define MPIRUN "OMPI_COMM_WORLD_RANK", "0"
#define SLURM  "SLURM_JOB_ID", "7", "SLURM_CPUS_ON_NODE", "16"

static void test_launch(void **state)
{
    (void)state;
    struct threads_launch l = LAUNCHED("OMP_NUM_THREADS", "3", MPIRUN, SLURM);
    assert_true(l.asked == 3 && !l.is_default && !l.may_pin);
    l = LAUNCHED("OMP_NUM_THREADS", "");
    assert_true(l.asked == 0 && l.most == 0 && !l.is_default && !l.may_pin);
    l = LAUNCHED(MPIRUN);
    assert_true(l.is_default && l.may_pin);
    l = LAUNCHED(MPIRUN, "OMPI_MCA_rmaps_base_mapping_policy", "slot:PE=2");
    assert_true(!l.is_default && !l.may_pin);
    l = LAUNCHED(SLURM);
    assert_true(!l.is_default && l.may_pin && l.most == 16);
    l = LAUNCHED(SLURM, "SLURM_CPU_BIND", "quiet,mask_cpu:0x3");
    assert_true(!l.is_default && l.may_pin);
    /* nobody wants to be bound: mpirun's own, srun's; srun's where mpirun used it is no wish */
    l = LAUNCHED(MPIRUN, SLURM, "OMPI_MCA_hwloc_base_binding_policy", "none");
    assert_true(!l.is_default && !l.may_pin && l.most == 16);
    l = LAUNCHED(MPIRUN, SLURM, "PRTE_MCA_hwloc_default_binding_policy", "none");
    assert_true(!l.is_default && !l.may_pin);
    l = LAUNCHED(SLURM, "SLURM_CPU_BIND", "quiet,none");
    assert_true(!l.is_default && !l.may_pin);
    l = LAUNCHED(MPIRUN, SLURM, "SLURM_CPU_BIND", "quiet,none");
    assert_true(l.is_default && l.may_pin);
    LAUNCHED(NULL);
}

/* ---- the choice, and what the log says of it ---- */

/* Of the last of the ranks; part: how many CPUs it is pinned to. */
static void decides(struct threads_launch l, const cpu_set_t *mask, int ranks, bool is_widened,
                    int threads, int part, const char *how)
{
    cpu_set_t its;
    char said[THREADS_HOW];
    assert_int_equal(threads_decide(&l, mask, ranks, ranks - 1, is_widened, &its, said), threads);
    assert_int_equal(CPU_COUNT(&its), part);
    assert_string_equal(said, how);
}

static void test_decide(void **state)
{
    (void)state;
    cpu_set_t same[] = {range(0, 8), range(0, 8)}, apart[] = {range(0, 4), range(4, 8)},
              crowd[] = {range(0, 1), range(0, 1)};
    struct threads_launch plain = {0}, asked = {.asked = 3, .most = 4},
                          by_default = {.is_default = true, .may_pin = true},
                          slurm = {.most = 8, .may_pin = true},
                          shared = {.most = 4, .may_pin = true}, unbound = {.most = 8};
    decides(plain, same, 2, false, 4, 0, "2 ranks on this node, 8 CPUs, as the launcher left them");
    decides(plain, same, 1, false, 8, 0, "1 rank on this node, 8 CPUs, as the launcher left them");
    decides(asked, same, 2, false, 3, 0, "2 ranks on this node, 8 CPUs, as OMP_NUM_THREADS says");
    decides(by_default, same, 2, true, 4, 4,
            "2 ranks on this node, 8 CPUs, each rank pinned to its part");
    decides(by_default, crowd, 2, true, 1, 0,
            "2 ranks on this node, 1 CPU, mpirun's default binding undone");
    decides(slurm, same, 2, false, 4, 4,
            "2 ranks on this node, 8 CPUs, each rank pinned to its part");
    /* a second time in one process */
    decides(slurm, apart, 2, false, 4, 0,
            "2 ranks on this node, 8 CPUs, each rank bound to its own");
    decides(unbound, same, 2, false, 4, 0,
            "2 ranks on this node, 8 CPUs, as the launcher left them");
    /* no cpuset: which four are the job's is not known */
    decides(shared, same, 2, false, 2, 0,
            "2 ranks on this node, 8 CPUs, as the launcher left them; Slurm gave 4 of them");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_launch),
        cmocka_unit_test(test_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
