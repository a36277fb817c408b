/* A sweep: the product of the lists under `sweep:`, the first key varying slowest, points that
 * cannot differ merged (the first of them stays).  Whether two points can differ is what their ids
 * say: job_point_id(). */
#pragma once

#include "job/job.h"

struct sweep {
    struct job *points; /* owned; each complete and validated */
    int64_t n_points;
};

/* Read FILE with overrides; without a `sweep:` section there is one point.  A key of the sweep that
 * --set gives is fixed at that value; --set "sweep.alpha=[0.3, 0.5]" gives another list; --set
 * "sweep={}" leaves one point. Errors, besides those of job_open for each point: more than one
 * point and an output without %p, a list over a key that does not count in the ids, more than
 * 100000 combinations.  Returns 0 or -1 with *e set. */
int sweep_open(struct sweep *s, const char *file, const char *const *overrides, int n_overrides,
               struct err *e);
/* The same from text that job_to_yaml wrote (job.h: job_from_yaml).  Nothing is asked of its
 * output.
 */
int sweep_from_yaml(struct sweep *s, const char *yaml, const char *file,
                    const char *const *overrides, int n_overrides, struct err *e);
void sweep_free(struct sweep *s);

/* The point with this id, or NULL.  Borrowed. */
const struct job *sweep_find(const struct sweep *s, const char *id);
