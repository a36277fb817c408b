/* What a person sees while a job runs, and FILE.status.json (run/status_file.h).  Rank 0 only.
 *
 * On a terminal: one line that is rewritten.  Otherwise: a header, a line per prompt or per minute,
 * whichever is rarer, and a last line. */
#pragma once

#include "run/status_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress; /* opaque */

/* Every line begins with whose it is: the job's name, which of its points (" 2/5", or ""), and,
 * where there is room, what the point is.  total prompts asked for, of which `before` were in the
 * file already; path: the result file.  quiet: no lines. */
struct progress *progress_begin(const char *name, const char *which, const char *point,
                                const char *path, int64_t total, int64_t before, bool quiet);
/* A prompt was committed that need not be done again. */
void progress_prompt(struct progress *p, float best_reward);
/* Now and then: live candidates here, tokens drawn here so far. */
void progress_tick(struct progress *p, int64_t live, int64_t tokens);
int64_t progress_done(const struct progress *p);
/* The line goes; what the status file says at the end is the caller's.  Accepts NULL. */
void progress_end(struct progress *p);
