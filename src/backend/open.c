/* Which backend computes.  The CUDA backend is opened at run time, so that the same program starts
 * where neither driver nor toolkit is. */
#include "backend/cuda/module.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libspecrej_cuda.so"

/* Path of the library into out. */
static int library_path(char *out, size_t size, struct err *e)
{
    const char *named = getenv("SPECREJ_CUDA_BACKEND");
    char program[PATH_MAX];
    if (named && *named) {
        snprintf(out, size, "%s", named);
        return 0;
    }
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0) return err_set(e, "the program's folder, where " LIBRARY " should be, is unknown");
    program[n] = 0;
    *strrchr(program, '/') = 0;
    snprintf(out, size, "%s/" LIBRARY, program);
    return 0;
}

/* Stays open until the program ends: its functions are in backends' tables. */
static const struct cuda_module *open_module(struct err *e)
{
    char path[PATH_MAX + sizeof LIBRARY];
    if (library_path(path, sizeof path, e) < 0) return NULL;
    if (access(path, R_OK) != 0) {
        err_set(e, "%s is missing: this build has no CUDA backend", path);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        err_set(e, "%s cannot be opened: %s", path, dlerror());
        return NULL;
    }
    const struct cuda_module *module = dlsym(library, CUDA_MODULE_SYMBOL);
    if (!module || module->layout != CUDA_MODULE_LAYOUT) {
        err_set(e, "%s belongs to another build of the program", path);
        return NULL;
    }
    return module;
}

static struct backend *open_cpu(const struct backend_config *c, struct comm *host,
                                struct comm *tensor, struct comm *shard, struct err *e)
{
    struct backend *b = backend_cpu_create(tensor, c->dtype, c->threads, e);
    if (!b) return NULL;
    b->shard = shard;
    b->ranks_on_device = comm_size(host);
    return b;
}

/* The ranks' agreement decides: all compute by the same backend. */
static struct backend *open_auto(const struct backend_config *c, struct comm *world,
                                 struct comm *host, struct comm *tensor, struct comm *shard,
                                 struct err *e)
{
    int device = 0;
    const struct cuda_module *module = open_module(e);
    int rc = module ? module->find_device(comm_rank(host), &device, e) : -1;
    bool cuda = comm_agree(world, rc, e) == 0;
    if (!cuda && c->device == DEVICE_CUDA) {
        err_context(e, "backend: cuda: ");
        return NULL;
    }
    struct err why = *e;
    struct backend *b = cuda ? module->create(c, device, host, tensor, shard, e)
                             : open_cpu(c, host, tensor, shard, e);
    if (!b && !cuda) err_context(e, "backend auto took cpu, since %s: ", why.text);
    if (b && c->device == DEVICE_AUTO)
        snprintf(b->choice, sizeof b->choice, "backend auto: %s%s%s", b->ops->name,
                 cuda ? "" : ", since ", cuda ? "" : why.text);
    return b;
}

struct backend *backend_open(const struct backend_config *c, struct comm *world,
                             struct comm *tensor, struct comm *shard, struct err *e)
{
    struct comm *host = comm_split_node(world);
    struct backend *b = c->device == DEVICE_CPU ? open_cpu(c, host, tensor, shard, e)
                                                : open_auto(c, world, host, tensor, shard, e);
    if (b) b->ranks_on_host = comm_size(host);
    comm_destroy(host);
    return b;
}
