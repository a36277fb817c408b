/* How much of the machine's memory a rank may take. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

/* The number after `key` in a file of "key number" lines, or at the file's start where key is "".
 */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        char *end, *number = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0) continue;
        unsigned long long v = strtoull(number, &end, 10);
        if (end == number) break; /* "max" */
        *out = v;
        found = true;
    }
    fclose(f);
    return found;
}

/* Free bytes below the limit of one control group folder; cache that can be dropped counts as free.
 */
static uint64_t cgroup_room(const char *folder, const char *limit_file, const char *usage_file,
                            const char *cache_key)
{
    char path[4400];
    uint64_t limit, usage = 0, cache = 0;
    snprintf(path, sizeof path, "%s/%s", folder, limit_file);
    if (!read_number(path, "", &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/%s", folder, usage_file);
    read_number(path, "", &usage);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    read_number(path, cache_key, &cache);
    usage = usage > cache ? usage - cache : 0;
    return limit > usage ? limit - usage : 0;
}

/* The least room in the group and all that hold it.  mount: where the hierarchy is; group: "/a/b".
 */
static uint64_t cgroup_path_room(const char *mount, char *group, bool v2)
{
    uint64_t room = UINT64_MAX;
    char folder[4300];
    for (;;) {
        snprintf(folder, sizeof folder, "%s%s", mount, group);
        uint64_t r = v2 ? cgroup_room(folder, "memory.max", "memory.current", "inactive_file ")
                        : cgroup_room(folder, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file ");
        if (r < room) room = r;
        char *slash = strrchr(group, '/');
        if (!slash) return room;
        *slash = 0;
    }
}

static uint64_t cgroup_all_room(void)
{
    FILE *f = fopen("/proc/self/cgroup", "r");
    uint64_t room = UINT64_MAX;
    char line[4200];
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'),
             *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        bool v2 = controllers[1] == 0, v1 = strstr(controllers, "memory") != NULL;
        if (!v1 && !v2) continue;
        uint64_t r = cgroup_path_room(v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory", group, v2);
        if (r < room) room = r;
    }
    if (f) fclose(f);
    return room;
}

static uint64_t env_number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

/* What Slurm granted on this node, less what this process already holds on behalf of its rank. */
static uint64_t slurm_rank_room(uint64_t ranks)
{
    uint64_t limit = env_number("SLURM_MEM_PER_NODE") * MIB, resident = 0;
    if (!limit) limit = env_number("SLURM_MEM_PER_CPU") * MIB * env_number("SLURM_CPUS_ON_NODE");
    if (!limit) return UINT64_MAX;
    if (read_number("/proc/self/status", "VmRSS:", &resident)) resident *= 1024;
    return limit / ranks > resident ? limit / ranks - resident : 0;
}

size_t host_free_bytes(int ranks_on_host)
{
    uint64_t ranks = ranks_on_host > 0 ? (uint64_t)ranks_on_host : 1;
    uint64_t available = 0, cgroup = cgroup_all_room() / ranks, slurm = slurm_rank_room(ranks);
    if (read_number("/proc/meminfo", "MemAvailable:", &available))
        available *= 1024;
    else /* less: without the cache that can be dropped */
        available = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t room = available / ranks;
    if (cgroup < room) room = cgroup;
    if (slurm < room) room = slurm;
    return (size_t)room;
}

size_t backend_host_free_bytes(struct backend *b)
{
    return host_free_bytes(b->ranks_on_host);
}
