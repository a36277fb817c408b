#include "run/threads.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- how this rank was started ---- */

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static bool has(const char *name, const char *part)
{
    const char *value = getenv(name);
    return value && strcasestr(value, part);
}

struct threads_launch threads_launch(void)
{
    struct threads_launch l = {0};
    const char *asked = getenv("OMP_NUM_THREADS"), *most = getenv("SLURM_CPUS_ON_NODE");
    if (asked) l.asked = (int)strtol(asked, NULL, 10);
    if (l.asked > 0) return l;
    l.asked = 0;
    if (most) l.most = (int)strtol(most, NULL, 10);
    if (is_set("OMPI_COMM_WORLD_RANK")) { /* the wish shows as of mpirun's 4th and 5th release */
        bool is_wished = is_set("OMPI_MCA_hwloc_base_binding_policy") ||
                         is_set("PRTE_MCA_hwloc_default_binding_policy");
        l.is_default = !is_wished && !has("OMPI_MCA_rmaps_base_mapping_policy", "pe=") &&
                       !has("PRTE_MCA_rmaps_default_mapping_policy", "pe=");
        l.may_pin = l.is_default || (!is_wished && is_set("SLURM_JOB_ID"));
    } else { /* mpirun starts its daemons with srun's `none`: there it is nobody's wish */
        l.may_pin = is_set("SLURM_JOB_ID") && !has("SLURM_CPU_BIND", "none");
    }
    return l;
}

/* The parent of a process and its program's name; 0 and "": it cannot be seen. */
static pid_t parent_of(pid_t process, char name[32])
{
    char path[48], line[256];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)process);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f) fclose(f);
    line[n] = name[0] = '\0';
    char *open = strchr(line, '('), *shut = strrchr(line, ')'); /* a name may hold both */
    if (!open || !shut || shut < open || strlen(shut) < 4) return 0;
    *shut = '\0';
    snprintf(name, 32, "%s", open + 1);
    return (pid_t)strtol(shut + 4, NULL, 10); /* after the state */
}

/* The CPUs of the mpirun, or its daemon on this node, that started the rank. */
static bool launcher_cpus(cpu_set_t *cpus)
{
    static const char *const names[] = {"mpirun",  "mpiexec", "orterun", "orted",
                                        "prterun", "prte",    "prted"};
    char name[32];
    for (pid_t p = getppid(), up; p > 0; p = up) {
        up = parent_of(p, name);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strcmp(name, names[i]) == 0) return sched_getaffinity(p, sizeof *cpus, cpus) == 0;
    }
    return false;
}

/* From mpirun's default to all CPUs that mpirun itself was left; false: nothing has changed. */
static bool widen(cpu_set_t *mine)
{
    cpu_set_t all;
    return launcher_cpus(&all) && sched_setaffinity(0, sizeof all, &all) == 0 &&
           sched_getaffinity(0, sizeof *mine, mine) == 0;
}

/* ---- the choice ---- */

/* Of all ranks: their CPUs; do all have the same, or no two any in common? */
struct masks {
    int n;
    bool same, apart;
};

static struct masks compare_masks(const cpu_set_t *mask, int ranks)
{
    struct masks m = {.same = true, .apart = ranks > 1};
    cpu_set_t seen = mask[0], both;
    for (int r = 1; r < ranks; r++) {
        CPU_AND(&both, &seen, &mask[r]);
        CPU_OR(&seen, &seen, &mask[r]);
        m.same = m.same && CPU_EQUAL(&mask[0], &mask[r]);
        m.apart = m.apart && CPU_COUNT(&both) == 0;
    }
    m.n = CPU_COUNT(&seen);
    return m;
}

int threads_decide(const struct threads_launch *l, const cpu_set_t *mask, int ranks, int rank,
                   bool is_widened, cpu_set_t *part, char *how)
{
    struct masks m = compare_masks(mask, ranks);
    bool is_more = l->asked == 0 && l->most > 0 && m.n > l->most;
    bool pins = l->may_pin && !is_more && ranks > 1 && m.n >= ranks && m.same;
    int cpu[CPU_SETSIZE], threads = threads_of_masks(mask, ranks, rank);
    CPU_ZERO(part);
    if (pins) {
        threads_part(part, cpu, list_cpus(&mask[rank], cpu), ranks, rank);
        threads = CPU_COUNT(part);
    }
    int share = l->most / ranks > 1 ? l->most / ranks : 1;
    if (is_more && threads > share) threads = share;
    if (l->asked > 0) threads = l->asked;
    const char *what = l->asked > 0 ? "as OMP_NUM_THREADS says"
                       : pins       ? "each rank pinned to its part"
                       : is_widened ? "mpirun's default binding undone"
                       : m.apart    ? "each rank bound to its own"
                                    : "as the launcher left them";
    char limit[40] = "";
    if (is_more) snprintf(limit, sizeof limit, "; Slurm gave %d of them", l->most);
    snprintf(how, THREADS_HOW, "%d rank%s on this node, %d CPU%s, %s%s", ranks,
             ranks == 1 ? "" : "s", m.n, m.n == 1 ? "" : "s", what, limit);
    return threads;
}

int threads_choose(struct comm *world, char *how)
{
    struct threads_launch l = threads_launch();
    struct comm *host = comm_split_node(world);
    int ranks = comm_size(host), rank = comm_rank(host);
    cpu_set_t mine, part, *mask = mem_calloc((size_t)ranks, sizeof *mask);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) CPU_ZERO(&mine);
    bool is_widened = l.is_default && widen(&mine);
    if (l.is_default && !is_widened) l.may_pin = false;
    comm_allgather(host, &mine, sizeof mine, mask);
    comm_destroy(host);
    int threads = threads_decide(&l, mask, ranks, rank, is_widened, &part, how);
    if (CPU_COUNT(&part) > 0 && sched_setaffinity(0, sizeof part, &part) != 0) {
        l.may_pin = false;
        threads = threads_decide(&l, mask, ranks, rank, is_widened, &part, how);
    }
    free(mask);
    return threads;
}
