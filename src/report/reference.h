/* Which point of a comparison all others are held against, as --reference says it with the words of
 * the tables: METHOD:N, then what else its job must say.
 *
 *     120                                          best_of_n:120
 *     static:120                                   "best_of_n, static" in the column method
 *     speculative_rejection:960,alpha=0.5,rounds=every 128
 *     best_of_n:120,budget_tokens=4096             any key of the job
 *
 * Only its N is one file's: the rest names a curve, of which every file finds the point of its own
 * N, too (baseline.h). */
#pragma once

#include "report/source.h"

struct reference {
    char *text; /* owned, as it was given; NULL: not asked for */
    enum method method;
    unsigned words;      /* of the column method, one bit each: static, replayed, ... */
    int64_t n;           /* 0: auto */
    struct entries keys; /* owned; of the job */
};

/* text NULL: nothing is asked for.  -1 with *e: it is not of the form above.  Release *r with
 * reference_free in both cases. */
int reference_parse(struct reference *r, const char *text, struct err *e);
void reference_free(struct reference *r);

/* Whether a file is of the curve that is asked for, whatever its N. */
bool reference_fits(const struct reference *r, const struct source *s);

/* What --reference takes for this point: "speculative_rejection:960,alpha=0.5,rounds=memory".
 * Caller frees. */
char *reference_text(const struct source *s);
