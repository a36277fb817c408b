/* A recording's own prompts, replayed under its own job: what is to come out as recorded. */
#pragma once

#include "report/work.h"

struct own {
    const struct recording *recording; /* borrowed */
    struct replay *replays;            /* owned [n_prompts]; n 0: not ok, or skipped */
    struct work *work;                 /* owned [n_prompts] */
};

/* -1 with *e: the job asks for more candidates than the file holds.  Release *o in both cases. */
int own_make(struct own *o, const struct recording *r, struct err *e);
void own_free(struct own *o);

static inline const struct prompt_row *own_row(const struct own *o, int64_t i)
{
    return o->recording->prompts[i].row;
}

/* Counts and times can be held against the record: ok, and every candidate in memory all the time.
 */
static inline bool own_is_plain(const struct own *o, int64_t i)
{
    return o->replays[i].n > 0 && o->replays[i].is_at_once && own_row(o, i)->evictions == 0;
}
