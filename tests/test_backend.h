/* The backend that tests run on: the one that $SPECREJ_TEST_BACKEND names, cpu where it is not set,
 * or cuda ($SPECREJ_CUDA_BACKEND says where its library is). */
#pragma once

#include "backend/backend.h"

#include <stdlib.h>
#include <string.h>

static inline bool tests_cuda(void)
{
    const char *name = getenv("SPECREJ_TEST_BACKEND");
    return name && strcmp(name, "cuda") == 0;
}

/* Collective over world, as backend_open.  NULL with *e. */
static inline struct backend *test_backend_open_grid(struct comm *world, struct comm *tensor,
                                                     struct comm *shard, enum dtype dtype,
                                                     int threads, struct err *e)
{
    struct backend_config c = {.device = tests_cuda() ? DEVICE_CUDA : DEVICE_CPU,
                               .dtype = dtype,
                               .threads = threads,
                               .reproducible = true};
    return backend_open(&c, world, tensor, shard, e);
}

/* The same where the world is one group. */
static inline struct backend *test_backend_open(struct comm *tensor, enum dtype dtype, int threads,
                                                struct err *e)
{
    return test_backend_open_grid(tensor, tensor, NULL, dtype, threads, e);
}
