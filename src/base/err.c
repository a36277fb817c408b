#include "base/err.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*die_hook)(void) = NULL;

static void print(struct err *e, const char *fmt, va_list ap)
{
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    for (char *c = e->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = strchr("\n\r\t", *c) ? ' ' : '?';
}

int err_set(struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print(e, fmt, ap);
    va_end(ap);
    return -1;
}

int err_context(struct err *e, const char *fmt, ...)
{
    char inner[sizeof e->text];
    memcpy(inner, e->text, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    print(e, fmt, ap);
    va_end(ap);
    size_t n = strlen(e->text), length = strnlen(inner, sizeof e->text - 1 - n);
    memcpy(e->text + n, inner, length);
    e->text[n + length] = 0;
    return -1;
}

_Noreturn void quit(const char *fmt, ...)
{
    char host[64] = "?", text[1024];
    gethostname(host, sizeof host - 1);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "specrej: error: [rank %d/%s] %s\n", log_rank(), host, text);
    fflush(stderr);
    if (die_hook) die_hook();
    _exit(1);
}

_Noreturn void die(const char *file, int line, const char *fmt, ...)
{
    char host[64] = "?", text[1024];
    gethostname(host, sizeof host - 1);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "specrej: [rank %d/%s] %s:%d: %s\n", log_rank(), host, file, line, text);
    fflush(stderr);
    if (die_hook) die_hook();
    abort();
}
