/* Memory with checked sizes.
 *
 * mem_* quit() when memory runs out: they are for small things whose failure nobody can act on. Big
 * memory (weights, pages, arenas) uses mem_try_aligned and reports a message with the sum. */
#pragma once

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* n * size bytes, zeroed; quits on overflow or exhaustion.  n == 0 gives a valid pointer.  Caller
 * frees. */
void *mem_calloc(size_t n, size_t size);
/* Grow or shrink; new bytes are not initialised. */
void *mem_realloc(void *p, size_t n, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
/* printf into a fresh string.  Caller frees. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
/* The same end for what a library could not make for want of memory: "out of memory: WHAT". */
_Noreturn void mem_exhausted(const char *what);

/* 64-byte aligned, zeroed; NULL when it cannot be had.  free() releases it.  On huge pages where
 * the system has them: weights and KV are read all over at each step, and finding 4 KiB pages costs
 * as much as reading them. */
void *mem_try_aligned(size_t bytes);
/* The same, but not initialised, so that what is not written to takes no memory. */
void *mem_try_untouched(size_t bytes);

/* Narrowing with a check: the one way from a wide to a narrow integer. */
static inline int32_t to_i32(int64_t v)
{
    ENSURE(v >= INT32_MIN && v <= INT32_MAX);
    return (int32_t)v;
}
static inline int to_int(int64_t v)
{
    return (int)to_i32(v);
}

/* Growable array: fields `items`, `n`, `cap` in the caller's struct.
 *     struct { int32_t *items; size_t n, cap; } a = {0};
 *     ARRAY_PUSH(a, 7); ... free(a.items); */
#define ARRAY_RESERVE(a, want)                                                                     \
    do {                                                                                           \
        if ((size_t)(want) > (a).cap) {                                                            \
            size_t cap_ = (a).cap ? (a).cap * 2 : 16;                                              \
            if (cap_ < (size_t)(want)) cap_ = (size_t)(want);                                      \
            (a).items = mem_realloc((a).items, cap_, sizeof *(a).items);                           \
            (a).cap = cap_;                                                                        \
        }                                                                                          \
    } while (0)
#define ARRAY_PUSH(a, value)                                                                       \
    do {                                                                                           \
        ARRAY_RESERVE(a, (a).n + 1);                                                               \
        (a).items[(a).n++] = (value);                                                              \
    } while (0)
