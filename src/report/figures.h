/* The figures of a comparison, drawn by gnuplot: NAME.gp holds script and data, so that it can be
 * adapted and drawn again (gnuplot NAME.gp >NAME.svg); NAME.svg is what it prints.
 *
 * improvement   improvement score against relative compute, on a logarithmic axis: Best-of-N as a
 *               curve over N, every other method's points with their alpha; bars are the 95 %
 *               intervals.  The form of Sun et al. 2024, arXiv:2410.20290, figure 3. */
#pragma once

#include "report/averages.h"

/* Into a folder that exists.  Without gnuplot the scripts alone, with a warning on the log.  -1
 * with *e; OUTPUT_UNWRITTEN (output.h) with *e. */
int figures_write(const struct comparison *c, const struct averages *a, const char *folder,
                  struct err *e);
