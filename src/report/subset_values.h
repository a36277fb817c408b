/* What random subsets of a recording's candidates give for a replayed point (subsets.h): means over
 * the subsets and the middle 95 % of them.  These intervals say how much hangs on which candidates
 * a run happens to get; a report's others, over resamples of the prompts, say how much hangs on the
 * prompts. */
#pragma once

#include "base/json.h"
#include "report/metrics.h"

enum subset_value {
    SUBSET_BEST_REWARD,
    SUBSET_KEPT,     /* share kept */
    SUBSET_SURVIVAL, /* winners that survived */
    SUBSET_TOKENS,   /* generated */
    SUBSET_VALUES
};
extern const char *const subset_value_names[SUBSET_VALUES]; /* "best_reward" */

struct subset_values {
    int64_t draws; /* subsets; 0: none were drawn, the rest says nothing */
    double mean[SUBSET_VALUES];
    struct interval interval[SUBSET_VALUES];
};

/* {"draws": 20, "best_reward": [mean, low, high], ...}; null without draws.  The caller's. */
json_t *subset_values_json(const struct subset_values *v);
/* The same back; null: without draws.  -1 with *e, what is wrong alone. */
int subset_values_read(struct subset_values *v, const json_t *o, struct err *e);
