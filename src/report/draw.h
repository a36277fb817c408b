/* gnuplot: a script that draws as SVG or as PNG, and running it. */
#pragma once

#include "base/err.h"

#include <stddef.h>

#define DRAW_NO_GNUPLOT (-3) /* it cannot be started */

/* The beginning of a script: how to draw it again, terminals, colours that are told apart by the
 * colour-blind.  Caller frees. */
char *draw_head(const char *name, const char *title, int height);

struct drawing {
    char *svg, *png; /* owned */
    size_t svg_bytes, png_bytes;
};

/* Run a script in both forms.  -1 with *e: gnuplot refuses it, or what it prints is no picture;
 * DRAW_NO_GNUPLOT with *e.  Release *d with drawing_free in all cases. */
int draw_script(struct drawing *d, const char *script, struct err *e);
void drawing_free(struct drawing *d);
