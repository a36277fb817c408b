/* What a result file of such a job shows: how long responses are, and how close to the floors its
 * machine came. */
#pragma once

#include "run/plan/hardware.h"
#include "run/plan/inputs.h"
#include "run/plan/lengths.h"

/* Fills lengths, and in h the efficiencies, overhead and start as measured: the floors of h's
 * ceilings for the work in the file, over the times in the file.  So they hold for h whatever its
 * ceilings are, as long as it is the same kind of machine; notes warn where it is not.  -1 with *e:
 * no result file, or one without its candidates. */
int like_read(const char *path, const struct job *j, struct plan_inputs *in, struct hardware *h,
              struct lengths *lengths, struct plan_notes *notes, struct err *e);
