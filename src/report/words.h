/* What a comparison says in words, for every form of it: what is compared, what a careful reader
 * must know of the files, what the columns mean. */
#pragma once

#include "report/averages.h"

#define WORDS_MAX_NAMED                                                                            \
    5 /* prompts that are left out, points that are missing (--json has                            \
         all), files that read alike */

/* One field: a label ("" goes on with the one before) and its text, plain, both borrowed. */
typedef void word_fn(void *to, const char *label, const char *text);

void words_head(const struct comparison *c, word_fn *fn, void *to);
/* Labels are "file 3". */
void words_notes(const struct comparison *c, word_fn *fn, void *to);
void words_legend(const struct comparison *c, word_fn *fn, void *to);
