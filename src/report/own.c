#include "report/own.h"

#include "base/mem.h"

#include <stdlib.h>

int own_make(struct own *o, const struct recording *r, struct err *e)
{
    struct replay_point point = replay_point_of(r, &r->result.job);
    size_t n = (size_t)r->n_prompts;
    *o = (struct own){r, mem_calloc(n, sizeof *o->replays), mem_calloc(n, sizeof *o->work)};
    for (size_t i = 0; i < n; i++) {
        if (!r->prompts[i].candidates) continue;
        TRY(replay_prompt(&o->replays[i], r, &r->prompts[i], &point, NULL, e));
    }
    return 0;
}

void own_free(struct own *o)
{
    for (int64_t i = 0; i < o->recording->n_prompts; i++) replay_free(&o->replays[i]);
    free(o->replays);
    free(o->work);
}
