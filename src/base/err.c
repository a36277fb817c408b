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

/* The message of a job that ends here, and the end of its other ranks. */
static void end_job(const char *kind, const char *place, const char *fmt, va_list ap)
{
    char host[64] = "?", text[1024];
    gethostname(host, sizeof host - 1);
    vsnprintf(text, sizeof text, fmt, ap);
    fprintf(stderr, "specrej: %s[rank %d/%s] %s%s\n", kind, log_rank(), host, place, text);
    fflush(stderr);
    if (die_hook) die_hook();
}

_Noreturn void quit(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    end_job("error: ", "", fmt, ap);
    va_end(ap);
    _exit(1);
}

_Noreturn void die(const char *file, int line, const char *fmt, ...)
{
    char place[512];
    snprintf(place, sizeof place, "%s:%d: ", file, line);
    va_list ap;
    va_start(ap, fmt);
    end_job("", place, fmt, ap);
    va_end(ap);
    abort();
}
