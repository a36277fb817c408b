/* A backend to test (test_backend.h says which).  Every program of this folder tests the op table
 * through it.  Backend memory is never touched:
 * numbers are prepared on the host and put there, and fetched back, widened to f32. */
#pragma once

#include "backend/backend.h"
#include "base/mem.h"
#include "ref/compare.h"
#include "ref/ref.h"
#include "test_backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct comm *world;

static inline struct backend *backend_for_test(enum dtype dtype, int threads)
{
    struct err e = {{0}};
    struct backend *b = test_backend_open(world, dtype, threads, &e);
    if (!b) fail_msg("%s", e.text);
    return b;
}

/* The types that the backend computes in; DTYPE_NONE ends the list. */
static inline const enum dtype *types_for_test(void)
{
    static const enum dtype cpu[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_NONE},
                            cuda[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16, DTYPE_NONE};
    return tests_cuda() ? cuda : cpu;
}

/* An emulated device is thousands of times slower: large cases are for real ones. */
static inline bool is_emulated(const struct backend *b)
{
    return strstr(b->device, "mulated") != NULL;
}

/* ---- numbers ---- */

static inline void *host_memory(int64_t n, size_t bytes)
{
    return mem_calloc((size_t)n, bytes);
}

/* Random numbers on the host that `type` holds exactly; caller frees. */
static inline float *random_numbers(int64_t n, enum dtype type, uint64_t seed)
{
    float *x = host_memory(n, sizeof *x);
    void *narrow = host_memory(n, dtype_bytes(type));
    fill_random(x, n, seed);
    dtype_narrow(narrow, x, type, (size_t)n);
    dtype_widen(x, narrow, type, (size_t)n);
    free(narrow);
    return x;
}

static inline void *device_memory(struct backend *b, int64_t n, enum dtype type)
{
    void *p = b->ops->alloc(b, (size_t)n * dtype_bytes(type));
    assert_non_null(p);
    return p;
}

/* n numbers, rounded to `type`, to place `at` of backend memory. */
static inline void put_at(struct backend *b, void *to, int64_t at, const float *host, int64_t n,
                          enum dtype type)
{
    void *narrow = host_memory(n, dtype_bytes(type));
    dtype_narrow(narrow, host, type, (size_t)n);
    b->ops->upload(b, (char *)to + (size_t)at * dtype_bytes(type), narrow,
                   (size_t)n * dtype_bytes(type));
    free(narrow);
}

/* The same in backend memory of its own; freed by the backend's free. */
static inline void *put(struct backend *b, const float *host, int64_t n, enum dtype type)
{
    void *p = device_memory(b, n, type);
    put_at(b, p, 0, host, n, type);
    return p;
}

static inline void *put_random(struct backend *b, int64_t n, enum dtype type, uint64_t seed)
{
    float *x = random_numbers(n, type, seed);
    void *p = put(b, x, n, type);
    free(x);
    return p;
}

static inline void get_at(struct backend *b, float *host, const void *from, int64_t at, int64_t n,
                          enum dtype type)
{
    void *narrow = host_memory(n, dtype_bytes(type));
    b->ops->download(b, narrow, (const char *)from + (size_t)at * dtype_bytes(type),
                     (size_t)n * dtype_bytes(type));
    dtype_widen(host, narrow, type, (size_t)n);
    free(narrow);
}

static inline void get(struct backend *b, float *host, const void *from, int64_t n, enum dtype type)
{
    get_at(b, host, from, 0, n, type);
}

/* Until all ops that were issued are done. */
static inline void wait_for(struct backend *b)
{
    char one, *p = b->ops->alloc(b, 1);
    b->ops->download(b, &one, p, 1);
    b->ops->free(b, p);
}

/* ---- how close a result must be ---- */

/* The distance between neighbours of `type` at x. */
static inline double ulp(double x, enum dtype type)
{
    int digits = type == DTYPE_ID_BF16 ? 8 : 11, exponent;
    frexp(x, &exponent);
    int least = type == DTYPE_ID_BF16 ? -125 : -13;
    return ldexp(1, (exponent > least ? exponent : least) - digits);
}

/* got [rows, width], a result that was rounded to `type`.  f32: the normalised mean square error is
 * within `tolerance`.  Halves: 3e-3 in norm, and no number off by more than 2 ulp and 1e-3 of its
 * row's largest. */
static inline bool result_close(const char *what, const float *got, const double *want,
                                int64_t rows, int64_t width, enum dtype type, double tolerance)
{
    if (type == DTYPE_ID_F32) return close_to(what, got, want, rows * width, tolerance);
    /* a norm of a few numbers is one rounding's */
    if (rows * width >= 64 && !close_to(what, got, want, rows * width, 3e-3 * 3e-3)) return false;
    for (int64_t r = 0; r < rows; r++) {
        double largest = 0;
        for (int64_t i = r * width; i < (r + 1) * width; i++)
            largest = fmax(largest, fabs(want[i]));
        for (int64_t i = r * width; i < (r + 1) * width; i++) {
            double off = fabs((double)got[i] - want[i]);
            if (off <= 2 * ulp(want[i], type) + 1e-3 * largest) continue;
            printf("    [%d, %d] got %g want %g, row's largest %g\n", (int)r, (int)(i - r * width),
                   (double)got[i], want[i], largest);
            return false;
        }
    }
    return true;
}

#define RUN_TESTS(tests)                                                                           \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        world = comm_start(&argc, &argv);                                                          \
        int failed = cmocka_run_group_tests(tests, NULL, NULL);                                    \
        comm_stop(world);                                                                          \
        return failed;                                                                             \
    }
