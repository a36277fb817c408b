/* The verb timeline: a result file's trace as JSON of the Trace Event Format (viewers:
 * ui.perfetto.dev, chrome://tracing).
 *
 * Processes are the job (its runs) and each group of ranks; threads are ranks.  On a rank's track a
 * prompt encloses the phases recorded of it (complete events); its rounds are instant events on the
 * track of the first rank that worked on it, at the moment of the decision.  Counters of a group:
 *
 *   live candidates  of a decoding phase, from its start on (record.trace: rounds: those of its
 *                    last step)
 *   tokens/s         drawn in a decoding phase, over its time; 0 between such phases
 *   KV tokens        in use, in whole pages, the prompt's included: as recorded where a round
 *                    begins; where decoding goes on, what follows from the candidates' lengths.
 *                    Only of prompts with rejection: Best-of-N records its peak alone, which is
 *                    among the prompt's arguments
 *
 * Timestamps are microseconds since the first start of the program.  A later run begins at the
 * distance of its start by the wall clock.  Ranks of other hosts count by their own clocks, each
 * from its own start: tracks of one host agree, those of several are as close as their starts were.
 *
 * The document is written as it is made, one event a line, ordered by time on every track (and over
 * all tracks, as far as hosts' clocks agree): memory holds one prompt of every group. */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <stdio.h>

struct timeline_options {
    const char *output; /* a file, which appears when it is complete; NULL or "-": `out` */
    int64_t prompt;     /* prompt_index of the only prompt to show, -1: all */
};

/* -1 with *e: a bad file, no such prompt; OUTPUT_UNWRITTEN (output.h) with *e. */
int timeline_file(const char *path, const struct timeline_options *o, FILE *out, struct err *e);
