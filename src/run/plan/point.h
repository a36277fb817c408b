/* One point of a sweep on `tensor` x `groups` ranks: does it fit, how long will it take. */
#pragma once

#include "run/memory.h"
#include "run/plan/hardware.h"
#include "run/plan/inputs.h"
#include "run/plan/lengths.h"
#include "run/plan/price.h"

struct point_memory { /* bytes of a rank */
    double device, weights[2], workspace, kv[2], taken;
    int64_t budget_tokens, reward_tokens; /* reward_tokens: of the reward model's pool */
};

struct plan_point {
    const struct job *job; /* borrowed */
    char id[HASH_HEX];
    char shape[HASH_HEX]; /* its id with seed 0: points of one shape have one plan */
    int64_t tensor, groups;
    struct point_memory memory, judge_memory; /* judge: zero without one */
    int64_t n_least, n_most;                  /* candidates of a prompt, over the prompts */
    int64_t n_simulated; /* of them, the others being like these (run/plan/count.h); 0: all */
    int64_t n_fits; /* the largest n whose candidates all reach min_round_tokens, median prompt */
    struct work mean_work; /* per prompt; its arrays are empty */
    struct price mean;     /* per prompt */
    double *prompt_s;      /* owned [n_prompts] expected, in the order in which they are run */
    double *prompt_floor_s;
    int64_t n_prompts;
    double start_s, judge_s, job_s, job_floor_s; /* job_s: start and judge included */
    double file_bytes;
    /* Tokens generated and time of a prompt over those of Best-of-N with as many candidates; NaN:
     * not compared. */
    double of_best_of_n_tokens, of_best_of_n_time;
};

struct point_setup {
    const struct plan_inputs *inputs; /* borrowed */
    const struct hardware *hardware;  /* borrowed */
    const struct lengths *lengths;    /* borrowed */
    int64_t most_samples; /* prompts that are counted one by one; the others take turns with their
                             times */
};

void point_shape(const struct job *j, char out[HASH_HEX]);
/* -1 with *e: it does not fit.  Release with point_free in both cases. */
int point_make(struct plan_point *p, const struct point_setup *s, const struct job *j,
               int64_t tensor, int64_t groups, struct err *e);
void point_free(struct plan_point *p);
/* The same for a job of this shape.  Caller point_free()s. */
struct plan_point point_copy(const struct plan_point *p, const struct job *j);

/* Seconds until n prompts are done that take prompt_s[i % n_times], given to whichever of `groups`
 * is free first, and written down one after the other in commit_s each. */
double point_makespan_s(const double *prompt_s, int64_t n_times, int64_t n, int64_t groups,
                        double commit_s);

/* Start-up of tensor x groups ranks: weights are read once and sent to the other groups. */
double point_start_s(const struct point_setup *s, const struct job *j, int64_t tensor,
                     int64_t groups);
