#include "report/draw.h"

#include "base/mem.h"
#include "cluster/command.h"
#include "report/figures/figure.h"

#include <stdlib.h>
#include <string.h>

#define GNUPLOT_LIMIT_S 60

/* Okabe and Ito's colours, the pale yellow left out; terminals differ in nothing but their form. */
char *draw_head(const char *name, const char *title, int height)
{
    return mem_printf("# %s.  Change it as you like and draw it again:\n"
                      "#   gnuplot %s.gp >%s.svg\n"
                      "#   gnuplot -c %s.gp png >%s.png\n"
                      "if (exists(\"ARGC\") && ARGC > 0) {\n"
                      "    set terminal pngcairo size %d,%d noenhanced font \"sans-serif,22\" "
                      "linewidth 2 pointscale 2 background \"white\"\n"
                      "} else {\n"
                      "    set terminal svg size %d,%d noenhanced font \"sans-serif,14\" "
                      "background \"white\"\n"
                      "}\n"
                      "set linetype 1 linecolor rgb \"#0072b2\"\n"
                      "set linetype 2 linecolor rgb \"#d55e00\"\n"
                      "set linetype 3 linecolor rgb \"#009e73\"\n"
                      "set linetype 4 linecolor rgb \"#cc79a7\"\n"
                      "set linetype 5 linecolor rgb \"#e69f00\"\n"
                      "set linetype 6 linecolor rgb \"#56b4e9\"\n"
                      "set linetype 7 linecolor rgb \"#000000\"\n"
                      "set linetype 8 linecolor rgb \"#999999\"\n"
                      "set linetype cycle 8\n"
                      "set grid linetype 1 linecolor rgb \"#e4e4e4\"\n"
                      "set border linecolor rgb \"#555555\"\n"
                      "set key below left Left reverse samplen 2 height 0.5\n",
                      title, name, name, name, name, 2 * FIGURE_WIDTH, 2 * height, FIGURE_WIDTH,
                      height);
}

static bool begins_with(const char *text, size_t n, const char *mark, size_t m)
{
    return n >= m && memcmp(text, mark, m) == 0;
}

static bool ends_with(const char *text, size_t n, const char *mark, size_t m)
{
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    return n >= m && memcmp(text + n - m, mark, m) == 0;
}

/* form: NULL for SVG.  *out: what it printed, owned. */
static int run(const char *script, const char *form, char **out, size_t *n, struct err *e)
{
    struct command_output o;
    const char *const svg[] = {"gnuplot", "-d", script, NULL}, /* -d: not what ~/.gnuplot says */
        *const other[] = {"gnuplot", "-d", "-c", script, form, NULL};
    int rc = command_run(form ? other : svg, NULL, GNUPLOT_LIMIT_S, &o, e);
    if (rc == COMMAND_NOT_STARTED) return DRAW_NO_GNUPLOT;
    if (rc < 0) return err_context(e, "%s: ", script);
    bool whole = form ? begins_with(o.out, o.out_bytes, "\x89PNG", 4) &&
                            ends_with(o.out, o.out_bytes, "IEND\xae\x42\x60\x82", 8)
                      : begins_with(o.out, o.out_bytes, "<?xml", 5) &&
                            ends_with(o.out, o.out_bytes, "</svg>", 6);
    if (o.status != 0 || !whole)
        rc = err_set(e, "%s: gnuplot made no whole %s (status %d): %.140s", script,
                     form ? "PNG" : "SVG", o.status, o.errors);
    if (rc == 0) {
        *out = o.out;
        *n = o.out_bytes;
        o.out = NULL;
    }
    command_free(&o);
    return rc;
}

int draw_script(struct drawing *d, const char *script, struct err *e)
{
    *d = (struct drawing){0};
    int rc = run(script, NULL, &d->svg, &d->svg_bytes, e);
    return rc == 0 ? run(script, "png", &d->png, &d->png_bytes, e) : rc;
}

void drawing_free(struct drawing *d)
{
    free(d->svg);
    free(d->png);
    *d = (struct drawing){0};
}
