/* The figures of a comparison (figures/figure.h has one file for each), drawn by gnuplot.  For each
 * one, in the folder:
 *
 * NAME.gp    script and data, so that it can be adapted and drawn again
 * NAME.svg, NAME.png
 *
 * A figure that cannot be drawn says why; what an earlier report left of it in the folder goes. */
#pragma once

#include "report/averages.h"

#define FIGURES 9

struct figure_result {
    const char *name, *title;
    char *caption; /* owned */
    char *why;     /* owned; why there is no script; NULL: there is */
    char *svg;     /* owned text; NULL: not drawn, for `why` or for figures.no_gnuplot */
};

struct figures {
    struct figure_result items[FIGURES];
    int n;
    char *no_gnuplot; /* owned; why gnuplot could not be started; NULL: it could */
};

/* Into a folder that exists.  Without gnuplot the scripts alone, with a warning on the log.  -1
 * with *e: a file cannot be read again, or gnuplot refuses a script; OUTPUT_UNWRITTEN (output.h)
 * with *e.  Release *f with figures_free in all cases. */
int figures_write(struct figures *f, const struct comparison *c, const struct averages *a,
                  const char *folder, struct err *e);
void figures_free(struct figures *f); /* accepts a zeroed one */
