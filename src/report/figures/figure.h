/* One figure of a comparison: what it needs of the files beyond the comparison, and its gnuplot
 * script.  figures.h draws them all.
 *
 * A figure sees the compared prompts of the files that it wants, one after the other, in one pass
 * that all figures share; then it writes its script. */
#pragma once

#include "report/averages.h"
#include "report/baseline.h"
#include "report/result.h"

#include <stdio.h>

struct figure_scene {
    const struct comparison *c;
    const struct averages *a;
};

/* Tables that a figure wants of a file. */
enum { SEE_PROMPT = 1, SEE_CANDIDATES = 2, SEE_ROUNDS = 4, SEE_PARTIALS = 8 };

/* One compared prompt of one file.  Borrowed; what nobody wants is NULL. */
struct figure_view {
    int file, point;   /* of the comparison, of the averages */
    int64_t prompt;    /* number among the compared ones */
    const char *judge; /* hash of the judge, "": none */
    const struct prompt_row *row;
    const struct candidate_row *candidates;
    const struct round_row *rounds;
    const struct partial_reward_row *partials;
    int64_t n_candidates, n_rounds, n_partials;
};

/* What a figure says of itself. */
struct figure_words {
    char caption[640]; /* what is to be seen, in a sentence or two */
    char why[320];     /* why it cannot be drawn */
    int height;        /* of the drawing, points; FIGURE_WIDTH wide */
};
#define FIGURE_WIDTH  520 /* readable on a phone, too: it is scaled to fit */
#define FIGURE_HEIGHT 400 /* unless the figure says otherwise */

struct figure_kind {
    const char *name;  /* of its files: improvement.gp */
    const char *title; /* plain text */
    /* What gathers; NULL functions: the comparison is enough. */
    void *(*create)(const struct figure_scene *s);
    unsigned (*wants)(const void *state, const struct figure_scene *s, int file, int point);
    void (*see)(void *state, const struct figure_scene *s, const struct figure_view *v);
    void (*destroy)(void *state);
    /* Data blocks and plot commands; false with w->why (nothing of the script counts then). */
    bool (*write)(const void *state, const struct figure_scene *s, FILE *script,
                  struct figure_words *w);
};

extern const struct figure_kind figure_improvement, figure_speedup, figure_sawtooth, figure_partial,
    figure_lost, figure_phases, figure_lengths, figure_judge, figure_subsets;

/* ---- what figures share ---- */

#define FIGURE_LABEL (4 * CELL)

/* The point among the others, short: "Best-of-120", "Rejection, N 120, alpha 0.5"; with its rounds
 * where those of the points differ; ", replayed" of what is no run. */
char *figure_label(char out[FIGURE_LABEL], const struct figure_scene *s, int point);

/* ", every 128" where the points' rounds differ, else "". */
char *figure_rounds(char out[CELL], const struct figure_scene *s, int point);

/* A text as gnuplot quotes it, in single quotes. */
void figure_put_quoted(FILE *f, const char *text);

/* What an axis calls the reference or its curve: its name where that is short; a longer one is put
 * above the drawing. */
char *figure_put_reference(char out[BASELINE_NAME], FILE *f, const struct figure_scene *s,
                           bool is_curve);

/* The key below the drawing, n titles in one column: gnuplot leaves some out otherwise. */
void figure_put_key(FILE *f, int n);

/* One row of a drawing with a row per point: its labels, and the height that n rows take. */
#define FIGURE_MAX_ROWS 100 /* more are no drawing, and soon no PNG */
void figure_put_rows(FILE *f, const struct figure_scene *s, const int *points, int n);
int figure_rows_height(int n, int key_rows);

/* The first file of a point. */
const struct source *figure_source(const struct figure_scene *s, int point);

/* Mean over the prompts of each of `rows` rows [rows][n_prompts] (NaN: not counted) and the middle
 * 95 % of its means over the comparison's resamples of the prompts. */
struct figure_mean {
    double mean;
    struct interval interval;
    int64_t n; /* prompts that count */
};
void figure_means(struct figure_mean *out, const double *values, int64_t rows, int64_t n_prompts);
