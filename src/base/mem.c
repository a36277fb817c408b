#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE  ((size_t)2 << 20)
#define CACHE_LINE ((size_t)64)

_Noreturn void mem_exhausted(const char *what)
{
    quit("out of memory: %s", what);
}

void *mem_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) quit("out of memory: %zu x %zu bytes", n, size);
    return p;
}

void *mem_realloc(void *p, size_t n, size_t size)
{
    void *q = reallocarray(p, n ? n : 1, size ? size : 1);
    if (!q) quit("out of memory: %zu x %zu bytes", n, size);
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    char *p = mem_calloc(n + 1, 1);
    memcpy(p, s, n);
    return p;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = mem_vprintf(fmt, ap);
    va_end(ap);
    return s;
}

/* Not by vasprintf: a leak sanitizer would not see who asked for the memory. */
char *mem_vprintf(const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) mem_exhausted("a text");
    char *s = mem_calloc((size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

/* Bytes in whole cache lines, one at least; 0: more than there can be. */
static size_t whole_lines(size_t bytes)
{
    size_t lines = bytes / CACHE_LINE + (bytes % CACHE_LINE != 0);
    return (lines ? lines : 1) * CACHE_LINE;
}

void *mem_try_untouched(size_t bytes)
{
    size_t size = whole_lines(bytes), huge = size / HUGE_PAGE * HUGE_PAGE;
    void *p;
    if (size == 0 || posix_memalign(&p, huge ? HUGE_PAGE : CACHE_LINE, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) madvise(p, huge, MADV_HUGEPAGE); /* a wish: where there are none, small ones do */
#endif
    return p;
}

void *mem_try_aligned(size_t bytes)
{
    void *p = mem_try_untouched(bytes);
    if (p) memset(p, 0, whole_lines(bytes));
    return p;
}
