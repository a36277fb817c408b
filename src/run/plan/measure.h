/* The ceilings of the machine at hand, measured. */
#pragma once

#include "run/plan/hardware.h"

/* Fills name, kind, threads, dtype and the figures memory, bandwidth, compute and ranks_per_node,
 * as one of `ranks` ranks has them that share this machine (a GPU is taken to be each rank's own).
 * Takes a second or two, but without `rates` of bandwidth and compute, which are then 0. */
int measure_this(struct hardware *h, const struct job *j, int64_t ranks, bool rates, struct err *e);
