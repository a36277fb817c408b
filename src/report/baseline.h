/* What each file of a comparison is held against.  The reference is a point; with its N left open
 * it is a curve: Best-of-N unless --reference names another.  Of that curve a file has
 *
 *     its reference   the point of the reference's N: improvement score, relative compute
 *     its partner     the point of its own N: share kept, winners, regret, "of BoN"
 *     its speedup     read along all of it
 *
 * each of its own seed, arithmetic and kind (run or replay) as far as there is one. */
#pragma once

#include "report/compare.h"

#define BASELINE_NAME 192 /* bytes of a reference's name */

/* Fill in c->reference and of every row reference, partner and is_paired.  Files are sorted.  -1
 * with *e: none of the files, or several points, are what --reference asks for; names what there
 * is. */
int baseline_choose(struct comparison *c, struct err *e);

/* Whether the file is of the reference's curve; without a reference, of Best-of-N. */
bool baseline_is_of_curve(const struct comparison *c, const struct source *s);
/* Whether it is, and has one N for all prompts, or is the reference's point itself. */
bool baseline_has_place(const struct comparison *c, const struct source *s);

/* The file of the curve with this N for `x`, -1 when there is none. */
int baseline_find(const struct comparison *c, int64_t n, const struct source *x, bool any_seed);

/* Whether the file's partner has final rewards of all its candidates, whose mean is a single
 * sample: what rejects has none of what it rejected. */
bool baseline_knows_single_sample(const struct comparison *c, int file);

/* N of the reference, 0: auto, or there is none. */
int64_t baseline_n(const struct comparison *c);
/* Whether the reference is Speculative Rejection. */
bool baseline_rejects(const struct comparison *c);

/* "Best-of-120", "static Best-of-120", "Speculative Rejection, N 960, alpha 0.5, rounds memory".
 */
char *baseline_name(char out[BASELINE_NAME], const struct comparison *c);
/* The curve: "Best-of-N", "static Best-of-N", "Speculative Rejection, alpha 0.5, rounds memory".
 */
char *baseline_curve_name(char out[BASELINE_NAME], const struct comparison *c);
/* Of the reference or its curve, the same without rounds. */
char *baseline_short_name(char out[BASELINE_NAME], const struct comparison *c, bool is_curve);
