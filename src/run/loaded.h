/* Models that stay loaded from one point of a sweep to the next: where points are short, loading
 * would take longer than their prompts.  Everything else of a worker is made anew for each point,
 * the self-test included. */
#pragma once

#include "run/worker.h"

struct loaded {
    char *key; /* owned: of which models, stored and divided how; NULL: nothing is kept */
    struct grid grid;
    struct backend *backend;
    char threads_how[THREADS_HOW];
    struct model generator, reward; /* archs, shards and weights */
};

/* Take the models of a worker that is about to be closed; one that has not loaded any gives none.
 */
void loaded_keep(struct loaded *l, struct worker *w);
/* Hand them to a worker that is being opened for its job.  False: the job wants others, or the same
 * ones stored or divided differently; then they are unloaded. */
bool loaded_give(struct loaded *l, struct worker *w);
void loaded_free(struct loaded *l); /* accepts a zeroed one */
