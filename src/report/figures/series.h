/* Points as marks with bars on two axes, the horizontal one logarithmic: Best-of-N as curves over
 * N, every other method's points with their alpha, a look and a title for each series of points
 * that differ in nothing else. */
#pragma once

#include "report/figures/figure.h"

struct series_mark {
    bool is_drawn;
    double x, y;
    struct interval x_95, y_95;
};

/* Data blocks and the plot command, behind the labels of the axes; marks: a mark for each point of
 * the averages.  Returns how many series there are. */
int series_put(FILE *f, const struct figure_scene *s, const struct series_mark *marks);
/* Of a drawing with so many. */
int series_height(int n);
