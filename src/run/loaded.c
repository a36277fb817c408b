#include "run/loaded.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* All of a job that decides what lies in memory, and where.  Caller frees. */
static char *key_of(const struct job *j)
{
    return mem_printf("%s\n%d\n%s\n%d\n%d %d %d %d %lld", j->generator.path,
                      (int)j->generator.weights, j->reward.path, (int)j->reward.weights,
                      (int)j->backend, (int)j->dtype, (int)j->reproducible, (int)j->parallel.split,
                      (long long)j->parallel.tensor);
}

void loaded_keep(struct loaded *l, struct worker *w)
{
    if (!w->is_loaded || w->role != WORKER_JOB) return;
    worker_release(w);
    *l = (struct loaded){.key = key_of(w->job),
                         .grid = w->grid,
                         .backend = w->backend,
                         .generator = w->generator,
                         .reward = w->reward};
    memcpy(l->threads_how, w->threads_how, sizeof l->threads_how);
    w->grid = (struct grid){0};
    w->backend = NULL;
    w->generator = w->reward = (struct model){0};
}

bool loaded_give(struct loaded *l, struct worker *w)
{
    if (!l->key) return false;
    char *key = key_of(w->job);
    bool same = strcmp(key, l->key) == 0;
    free(key);
    if (!same) {
        loaded_free(l);
        return false;
    }
    w->grid = l->grid;
    w->backend = l->backend;
    memcpy(w->threads_how, l->threads_how, sizeof w->threads_how);
    w->generator = l->generator;
    w->reward = l->reward;
    w->is_loaded = w->was_given = true;
    free(l->key);
    *l = (struct loaded){0};
    return true;
}

void loaded_free(struct loaded *l)
{
    if (!l->key) return;
    model_close(&l->generator);
    model_close(&l->reward);
    backend_destroy(l->backend);
    grid_destroy(&l->grid);
    free(l->key);
    *l = (struct loaded){0};
}
