/* The prompts in flight of a group: as many as the job's `overlap` says go through their loops at
 * the same time, and the decode steps of all their candidates are one batch, so that a pass over
 * the weights serves them all.  flight.c says how. */
#pragma once

#include "policy/of_job.h"
#include "run/worker.h"
#include "trace/writer.h"

enum prompt_outcome { PROMPT_DONE, PROMPT_ABANDONED };

/* Where the prompts come from and their results go to. */
struct flight_source {
    /* A place is free: its last prompt was `was`, NULL at the start.  On the first rank of the
     * share *done holds the rows of a prompt that is done (borrowed; other ranks get empty ones); a
     * prompt that cannot be run is recorded with status PROMPT_SKIPPED or PROMPT_FAILED and its
     * reason. PROMPT_ABANDONED: the worker was told to stop, there are none.  Returns the place's
     * next prompt, borrowed until it comes back as `was`; NULL: the place stays empty.  Collective
     * over grid.share. */
    const struct prompt_input *(*next)(void *arg, const struct prompt_input *was,
                                       enum prompt_outcome outcome, struct trace_record *done);
    void *arg;
};

/* Run prompts until all places are empty.  Collective over grid.share. */
void flight_run(struct worker *w, const struct policy *policy, const struct flight_source *source);
