/* What the CUDA backend's shared object offers to the program that opens it (backend/open.c): one
 * symbol.  Everything else passes through struct backend's ops; the object takes base, comm and
 * backend.c from the program. */
#pragma once

#include "backend/backend.h"

#define CUDA_MODULE_SYMBOL "backend_cuda_module"

/* Both sides must have been built from the same structs. */
#define CUDA_MODULE_LAYOUT                                                                         \
    (sizeof(struct backend) << 20 | sizeof(struct backend_ops) << 8 | sizeof(struct segment))

struct cuda_module {
    size_t layout; /* CUDA_MODULE_LAYOUT */
    /* The device of the rank with this number on its host.  -1 with *e: why there is none that this
     * build's kernels run on. */
    int (*find_device)(int rank_on_host, int *device, struct err *e);
    /* Collective over tensor, shard (NULL on all ranks or on none) and host (the ranks of the world
     * on this machine). */
    struct backend *(*create)(const struct backend_config *c, int device, struct comm *host,
                              struct comm *tensor, struct comm *shard, struct err *e);
};
