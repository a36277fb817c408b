#include "report/print.h"

#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 80
#define LABEL 18 /* columns of a label, the two before it included */

/* Columns that UTF-8 text takes, one per character. */
static size_t columns(const char *s, size_t n)
{
    size_t c = 0;
    for (size_t i = 0; i < n; i++) c += ((unsigned char)s[i] & 0xc0) != 0x80;
    return c;
}

/* Control characters other than line ends would disturb the terminal. */
static void put_word(FILE *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        fputc(c < 32 || c == 127 ? '?' : c, out);
    }
}

static bool is_break(char c)
{
    return c == ' ' || c == '\n';
}

/* Words from column `indent` on; the cursor stands there already. */
static void put_wrapped(FILE *out, size_t indent, const char *s, size_t n)
{
    size_t at = indent;
    for (size_t i = 0; i < n;) {
        if (s[i] == '\n') {
            fprintf(out, "\n%*s", i + 1 < n ? (int)indent : 0, "");
            at = indent;
            i++;
            continue;
        }
        size_t space = 0, word = 0;
        while (i + space < n && s[i + space] == ' ') space++;
        while (i + space + word < n && !is_break(s[i + space + word])) word++;
        size_t wide = columns(s + i + space, word);
        if (at > indent && at + space + wide > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            i += space;
            space = 0;
        }
        put_word(out, s + i, space + word);
        at += space + wide;
        i += space + word;
    }
    fputc('\n', out);
}

void print_field(FILE *out, const char *label, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    fprintf(out, "  %-*s", LABEL - 2, label);
    put_wrapped(out, LABEL, text, strlen(text));
    free(text);
}

void print_block(FILE *out, int indent, const char *text, size_t n)
{
    fprintf(out, "%*s", indent, "");
    put_wrapped(out, (size_t)indent, text, n);
}

char *format_bytes(char out[24], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    snprintf(out, 24, bytes < 10 && u > 0 ? "%.2f %s" : "%.4g %s", bytes, units[u]);
    return out;
}

char *format_count(char out[24], double n)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t u = 0;
    if (isnan(n)) return strcpy(out, "-"); /* as clock_text */
    if (n >= 100000)
        for (; n >= 1000 && u < 4; u++) n /= 1000;
    snprintf(out, 24, u ? "%.4g%s" : "%.0f%s", n, units[u]);
    return out;
}
