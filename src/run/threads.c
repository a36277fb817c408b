#include "run/threads.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int threads_of_masks(const cpu_set_t *mask, int ranks, int rank)
{
    double share = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int users = 0;
        for (int r = 0; r < ranks; r++) users += CPU_ISSET(cpu, &mask[r]) != 0;
        if (CPU_ISSET(cpu, &mask[rank])) share += 1.0 / users;
    }
    int n = (int)(share + 1e-6); /* a sum of thirds is whole again */
    return n > 0 ? n : 1;
}

void threads_part(cpu_set_t *part, const int *cpu, int n, int ranks, int rank)
{
    int begin = n < ranks ? 0 : (int)((int64_t)n * rank / ranks),
        end = n < ranks ? n : (int)((int64_t)n * (rank + 1) / ranks);
    CPU_ZERO(part);
    for (int i = begin; i < end; i++) CPU_SET((size_t)cpu[i], part);
}

/* The lowest CPU of the core that this one belongs to: two threads of a core stay together. */
static int core_of(int cpu)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "r");
    int first;
    if (!f || fscanf(f, "%d", &first) != 1) first = cpu;
    if (f) fclose(f);
    return first;
}

/* The mask's CPUs, core by core. */
static int list_cpus(const cpu_set_t *mask, int *cpu)
{
    int n = 0, core[CPU_SETSIZE];
    for (int c = 0; c < CPU_SETSIZE; c++) {
        if (!CPU_ISSET((size_t)c, mask)) continue;
        int of = core_of(c), i = n++;
        for (; i > 0 && core[i - 1] > of; i--) core[i] = core[i - 1], cpu[i] = cpu[i - 1];
        core[i] = of;
        cpu[i] = c;
    }
    return n;
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

/* Bound by mpirun as it does by itself: the user's wish shows in these variables, of its fourth and
 * fifth release. */
static bool is_bound_by_default(void)
{
    const char *mapping = getenv("OMPI_MCA_rmaps_base_mapping_policy"),
               *later = getenv("PRTE_MCA_rmaps_default_mapping_policy");
    if (!is_set("OMPI_COMM_WORLD_RANK") || is_set("OMPI_MCA_hwloc_base_binding_policy") ||
        is_set("PRTE_MCA_hwloc_default_binding_policy"))
        return false;
    return !(mapping && strcasestr(mapping, "pe=")) && !(later && strcasestr(later, "pe="));
}

/* All CPUs that the kernel allows, whatever the launcher chose. */
static cpu_set_t widen(cpu_set_t mine)
{
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    if (sched_setaffinity(0, sizeof all, &all) == 0) sched_getaffinity(0, sizeof mine, &mine);
    return mine;
}

static bool all_equal(const cpu_set_t *mask, int ranks)
{
    for (int r = 1; r < ranks; r++)
        if (!CPU_EQUAL(&mask[0], &mask[r])) return false;
    return true;
}

int threads_choose(struct comm *world, char *how)
{
    struct comm *host = comm_split_node(world);
    int ranks = comm_size(host), rank = comm_rank(host), cpu[CPU_SETSIZE];
    cpu_set_t mine, part, *mask = mem_calloc((size_t)ranks, sizeof *mask);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) CPU_ZERO(&mine);
    const char *text = getenv("OMP_NUM_THREADS");
    int asked = text ? (int)strtol(text, NULL, 10) : 0;
    bool widens = is_bound_by_default() && asked <= 0;
    if (widens) mine = widen(mine);
    comm_allgather(host, &mine, sizeof mine, mask);
    comm_destroy(host);
    int threads = asked > 0 ? asked : threads_of_masks(mask, ranks, rank), n = CPU_COUNT(&mine);
    bool divides = asked <= 0 && ranks > 1 && n >= ranks && all_equal(mask, ranks) &&
                   (widens || is_set("SLURM_JOB_ID"));
    free(mask);
    if (divides) {
        threads_part(&part, cpu, list_cpus(&mine, cpu), ranks, rank);
        divides = sched_setaffinity(0, sizeof part, &part) == 0;
        if (divides) threads = CPU_COUNT(&part);
    }
    const char *what = asked > 0 ? "as OMP_NUM_THREADS says"
                       : divides ? "each rank pinned to its part"
                       : widens  ? "mpirun's default binding undone"
                                 : "as the launcher left them";
    snprintf(how, THREADS_HOW, "%d ranks on this node, %d CPUs, %s", ranks, n, what);
    return threads;
}
