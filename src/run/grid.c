#include "run/worker.h"

#include <string.h>

int grid_create(struct grid *g, const struct job *j, struct comm *world, struct err *e)
{
    int size = comm_size(world), rank = comm_rank(world);
    int64_t tensor = j->parallel.tensor;
    if (size % tensor != 0)
        return err_set(e,
                       "parallel.tensor is %lld, but %d rank%s not divide by it; start a "
                       "multiple of %lld ranks",
                       (long long)tensor, size, size == 1 ? " does" : "s do", (long long)tensor);
    int t = (int)tensor;
    *g = (struct grid){
        .world = world, .n_groups = size / t, .group_index = rank / t, .is_leader = rank % t == 0};
    g->group = comm_split(world, rank / t);
    g->shard = comm_split(world, rank % t);
    g->share = j->parallel.split == SPLIT_CANDIDATES ? world : g->group;
    return 0;
}

void grid_destroy(struct grid *g)
{
    comm_destroy(g->group);
    comm_destroy(g->shard);
    memset(g, 0, sizeof *g);
}
