/* Inside timeline: its document, in pieces.
 *
 *   {"traceEvents": [
 *   {"ph": "M", ...},       names of the tracks
 *   {"ph": "X", ...},       complete: runs, prompts, phases
 *   {"ph": "i", ...},       instant: rounds
 *   {"ph": "C", ...}        counter
 *   ], "displayTimeUnit": "ms", "otherData": {...}}
 *
 * What was written is checked by the caller (output.h). */
#pragma once

#include "report/timeline_events.h"

#include <stdio.h>

void timeline_write_head(FILE *f, const struct result *r);
void timeline_write_event(FILE *f, const struct result *r, const struct timeline_event *e);
void timeline_write_tail(FILE *f, const struct result *r);
