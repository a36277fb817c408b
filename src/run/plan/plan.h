/* `specrej plan`: everything that can be known of a job before it runs, in seconds, without ranks
 * and without a GPU.
 *
 *   plan_inputs    what the job reads: checkpoints, tokenizers, templates, prompts
 *   plan_hardware  what a rank is (plan_measure: this machine; plan_like: what a result file shows)
 *   plan_lengths   how long responses are
 *   plan_work      a prompt without a model: the real policy over counts of candidates and pages
 *   plan_price     counted work in seconds
 *   plan_count     both for one prompt, however many candidates it has
 *   plan_point     memory, candidates and times of one point
 *   plan_scale     the same on more ranks
 *   plan_files     where results go
 *   plan_text, plan_json   telling it */
#pragma once

#include "comm/comm.h"
#include "job/sweep.h"
#include "run/options.h"
#include "run/plan/files.h"
#include "run/plan/scale.h"

#include <jansson.h>
#include <stdio.h>

struct plan {
    const char *file; /* the job's */
    int64_t ranks;    /* asked for, or one group */
    struct sweep sweep;
    struct plan_notes notes;

    /* What points have in common; made again when a point differs in it. */
    const struct job *job; /* the point that the rest was made for */
    struct plan_inputs inputs;
    struct hardware hardware;
    struct lengths lengths;
    struct plan_output output;

    struct plan_point *points; /* owned [n_points] */
    int64_t n_points;
    struct { /* Best-of-N that points are held against and that is none of them */
        struct plan_point *items;
        size_t n, cap;
    } best_of_n;
    struct scale scale;   /* of the first point */
    bool is_bound;        /* lengths and efficiency are nobody's measurement */
    double program_bytes; /* host memory of a rank besides its models */
    char *submit;         /* owned: a command line; NULL: there is no point */
};

/* The verb.  Exit status: 0, or 2 with a line for each problem. */
int verb_plan(const struct options *o, const char *command, struct comm *world, struct err *e);

/* What a person asks first: does it fit, how long, how many rounds, what is saved; then the points.
 */
void plan_print_text(const struct plan *p, FILE *out);
/* Everything else: models, prompts, memory, scaling, figures, what was assumed. */
void plan_print_details(const struct plan *p, FILE *out);
/* The same for programs; caller json_decref()s. */
json_t *plan_to_json(const struct plan *p);
