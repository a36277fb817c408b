/* The verbs of this module, from options to an exit status (run/coordinator.h).
 *
 * All ranks call them and return the same status; what is serial happens on rank 0.  All but
 * verb_score also work without ranks: world NULL. */
#pragma once

#include "comm/comm.h"
#include "run/options.h"

int verb_inspect(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_export(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_tokenize(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_report(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_timeline(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_replay(const struct options *o, const char *command, struct comm *world, struct err *e);
int verb_score(const struct options *o, const char *command, struct comm *world, struct err *e);
