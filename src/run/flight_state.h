/* What the files of the flight share: flight.c (who takes turns), flight_memory.c (who holds
 * pages), flight_meter.c (whose time it is). */
#pragma once

#include "run/flight.h"
#include "run/prompt_state.h"

struct flight {
    struct worker *w;
    const struct policy *policy;
    const struct flight_source *source;
    struct prompt_state **prompts; /* [n] owned, the oldest first */
    int64_t n, n_fresh;            /* places that were never filled */
    struct decoding *parts;        /* [overlap] of a step */
    uint64_t *sums;                /* [overlap] of each rank of the group (prompt_agree.c) */

    int64_t promised; /* pages of the pool that prompts arranged so far take with the next step */

    int64_t mark_ns; /* up to here the group's time is shared out */
    double energy_mark_j;
    bool in_stretch;             /* decode steps since stretch_ns are not in the trace yet */
    int64_t stretch_ns, step_ns; /* where the stretch, and its last step, began */
};

/* ---- flight_memory.c ---- */
/* Before a step: the oldest takes what it needs, the others of what is left; sets who runs. */
void flight_arrange(struct flight *f);

/* ---- flight_meter.c ----
 * A prompt's wall_s is its part of its group's time: what was done for it alone, by rows its part
 * of shared steps, and in equal parts what was done for none, such as serving other groups.  So the
 * parts add up, and with one prompt in flight it is the time from its start to its end.  Energy
 * goes by time. */
void meter_begin(struct flight *f, struct prompt_state *st); /* before the first work for st */
void meter_end(struct flight *f);  /* before one is recorded, its time shared out */
void meter_skip(struct flight *f); /* until now: nobody's */
void meter_all(struct flight *f);  /* until now: everybody's that was begun */
double meter_one(struct flight *f, struct prompt_state *st); /* until now: st's; seconds */
/* Until now: by step_rows, of the step that was taken. */
void meter_step(struct flight *f);
/* A stretch of decoding for the trace and the profiler: from the first step after a decision or a
 * prefill of any prompt to the next. */
void stretch_open(struct flight *f);
void stretch_close(struct flight *f);
