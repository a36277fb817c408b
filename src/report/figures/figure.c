#include "report/figures/figure.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROW_HEIGHT  26 /* points, of a drawing with a row per point */
#define ROWS_AROUND 80 /* its axis and labels */
#define KEY_HEIGHT  22 /* of a row of the key */

const struct source *figure_source(const struct figure_scene *s, int point)
{
    return &s->c->files[s->a->items[point].first];
}

void figure_put_quoted(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', f);
        fputc((unsigned char)*text < 32 ? ' ' : *text, f);
    }
    fputc('\'', f);
}

/* Whether points of one method differ in their rounds. */
static bool rounds_differ(const struct figure_scene *s)
{
    const char *first = NULL;
    for (int i = 0; i < s->a->n; i++) {
        const struct source *x = figure_source(s, i);
        if (!source_rejects(x)) continue;
        if (!first) first = x->rounds;
        if (strcmp(first, x->rounds) != 0) return true;
    }
    return false;
}

char *figure_rounds(char out[CELL], const struct figure_scene *s, int point)
{
    const struct source *x = figure_source(s, point);
    bool shown = source_rejects(x) && rounds_differ(s);
    out[0] = 0;
    if (shown) snprintf(out, CELL, ", %.24s%s", x->rounds, strlen(x->rounds) > 24 ? "..." : "");
    return out;
}

/* The file's number where another point reads the same. */
static bool is_alike(const struct figure_scene *s, int point)
{
    const struct source *x = figure_source(s, point);
    for (int i = 0; i < s->a->n; i++) {
        const struct source *y = figure_source(s, i);
        if (i != point && x->method == y->method && x->compat == y->compat && x->n == y->n &&
            x->is_static == y->is_static && x->is_replayed == y->is_replayed &&
            x->scores_on_the_way == y->scores_on_the_way && x->alpha == y->alpha &&
            (!source_rejects(x) || strcmp(x->rounds, y->rounds) == 0))
            return true;
    }
    return false;
}

char *figure_label(char out[FIGURE_LABEL], const struct figure_scene *s, int point)
{
    const struct source *x = figure_source(s, point);
    char n[CELL], rest[CELL + 24] = "", rounds[CELL], number[32] = "";
    const char *method = "Best-of-";
    if (source_rejects(x)) {
        method = x->compat == COMPAT_PAPER_CODE_2024 ? "2024 code, N " : "Rejection, N ";
        snprintf(rest, sizeof rest, ", alpha %g%s", x->alpha, figure_rounds(rounds, s, point));
    } else if (x->is_static) {
        strcpy(rest, ", static");
    } else if (x->scores_on_the_way) {
        strcpy(rest, ", score_at");
    }
    if (is_alike(s, point))
        snprintf(number, sizeof number, " (file %d)", s->a->items[point].first + 1);
    snprintf(out, FIGURE_LABEL, "%s%s%s%s%s", method, cell_n(n, x->n), rest,
             x->is_replayed ? ", replayed" : "", number);
    return out;
}

char *figure_put_reference(char out[BASELINE_NAME], FILE *f, const struct figure_scene *s,
                           bool is_curve)
{
    const struct comparison *c = s->c;
    char text[BASELINE_NAME + 16];
    baseline_short_name(out, c, is_curve);
    if (strncmp(out, "Best-of-", 8) == 0) return out;
    snprintf(text, sizeof text, "reference: %s", out);
    fputs("set tmargin 2.5\nset label 1 ", f);
    figure_put_quoted(f, text);
    fputs(" at screen 0.5, screen 1 center offset 0,-0.8\n", f);
    return strcpy(out, "reference");
}

void figure_put_key(FILE *f, int n)
{
    fprintf(f, "set key bmargin left Left reverse vertical maxrows %d\n", n);
}

void figure_put_rows(FILE *f, const struct figure_scene *s, const int *points, int n)
{
    char label[FIGURE_LABEL];
    size_t longest = 0;
    fputs("set ytics (", f);
    for (int i = 0; i < n; i++) {
        if (i > 0) fputs(", ", f);
        figure_put_quoted(f, figure_label(label, s, points[i]));
        fprintf(f, " %d", i + 1);
        if (strlen(label) > longest) longest = strlen(label);
    }
    /* gnuplot takes all letters for wide ones, and would leave half of the drawing empty */
    fprintf(f, ") scale 0\nset yrange [%d.6:0.4]\nset lmargin %zu\n", n, longest * 4 / 5 + 3);
}

int figure_rows_height(int n, int key_rows)
{
    return ROWS_AROUND + ROW_HEIGHT * (n < 3 ? 3 : n) + KEY_HEIGHT * key_rows;
}

void figure_means(struct figure_mean *out, const double *values, int64_t rows, int64_t n_prompts)
{
    size_t n = (size_t)n_prompts;
    double *means = mem_calloc((size_t)rows * COMPARE_RESAMPLES, sizeof *means);
    int32_t *times = mem_calloc(n, sizeof *times);
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        out[r] = (struct figure_mean){0};
        for (size_t i = 0; i < n; i++) {
            double v = values[(size_t)r * n + i];
            if (isnan(v)) continue;
            sum += v;
            out[r].n++;
        }
        out[r].mean = out[r].n ? sum / (double)out[r].n : NAN;
    }
    for (size_t b = 0; b < COMPARE_RESAMPLES; b++) {
        metrics_resample(COMPARE_SEED, (uint32_t)b, times, n_prompts);
        for (int64_t r = 0; r < rows; r++) {
            double sum = 0, count = 0;
            for (size_t i = 0; i < n; i++) {
                double v = values[(size_t)r * n + i];
                if (times[i] == 0 || isnan(v)) continue;
                sum += times[i] * v;
                count += times[i];
            }
            means[(size_t)r * COMPARE_RESAMPLES + b] = count > 0 ? sum / count : NAN;
        }
    }
    for (int64_t r = 0; r < rows; r++)
        out[r].interval =
            metrics_interval(means + (size_t)r * COMPARE_RESAMPLES, COMPARE_RESAMPLES);
    free(times);
    free(means);
}
