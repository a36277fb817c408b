/* Lines for a person, at most 80 columns wide. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "  label             text", wrapped at spaces; words that are too long stay whole.  The text may
 * hold line ends. */
void print_field(FILE *out, const char *label, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Text in an indented block, wrapped at spaces. */
void print_block(FILE *out, int indent, const char *text, size_t n);

/* "12.3 GiB"; "12.3 M", "-" for NaN; into out[24]. */
char *format_bytes(char out[24], double bytes);
char *format_count(char out[24], double n);
