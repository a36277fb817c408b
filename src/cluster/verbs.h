/* The verbs of this module, from options to an exit status (run/coordinator.h).  They need no
 * ranks: rank 0 alone works where there are some. */
#pragma once

#include "comm/comm.h"
#include "run/options.h"

int verb_status(const struct options *o, const char *command, struct comm *world, struct err *e);
/* sweep --submit */
int verb_submit(const struct options *o, const char *command, struct err *e);
