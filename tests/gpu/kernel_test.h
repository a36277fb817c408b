/* What the tests of the kernels share: they call the launchers, of a GPU's kernels or the emulated
 * ones. */
#pragma once

#include "comm/comm.h"

#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define CHECK(call) assert_int_equal(call, cudaSuccess)

static struct comm *world;

/* A copy in device memory of exactly so many bytes, or nothing written there (host NULL). */
static inline void *on_device(const void *host, size_t bytes)
{
    void *p = NULL;
    CHECK(cudaMalloc(&p, bytes > 0 ? bytes : 1));
    if (host && bytes > 0) CHECK(cudaMemcpy(p, host, bytes, cudaMemcpyHostToDevice));
    return p;
}

static inline bool has_device(void)
{
    int devices = 0;
    cudaError_t error = cudaGetDeviceCount(&devices);
    if (error == cudaSuccess && devices > 0) return true;
    printf("skipped: no CUDA device: %s\n", cudaGetErrorString(error));
    return false;
}

#define RUN_KERNEL_TESTS(tests)                                                                    \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        if (!has_device()) return 77;                                                              \
        world = comm_start(&argc, &argv);                                                          \
        int failed = cmocka_run_group_tests(tests, NULL, NULL);                                    \
        comm_stop(world);                                                                          \
        return failed;                                                                             \
    }
