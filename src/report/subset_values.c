#include "report/subset_values.h"

#include "text/json_text.h"

#include <math.h>

const char *const subset_value_names[SUBSET_VALUES] = {"best_reward", "share_kept",
                                                       "winners_survived", "tokens_generated"};

json_t *subset_values_json(const struct subset_values *v)
{
    if (v->draws == 0) return json_null();
    json_t *o = json_object();
    json_put(o, "draws", json_integer(v->draws));
    for (int k = 0; k < SUBSET_VALUES; k++) {
        json_t *three = json_array();
        json_array_append_new(three, json_finite(v->mean[k]));
        json_array_append_new(three, json_finite(v->interval[k].low));
        json_array_append_new(three, json_finite(v->interval[k].high));
        json_put(o, subset_value_names[k], three);
    }
    return o;
}

static int read_number(double *to, const json_t *v)
{
    *to = json_is_number(v) ? json_number_value(v) : NAN;
    return json_is_number(v) || json_is_null(v) ? 0 : -1;
}

int subset_values_read(struct subset_values *v, const json_t *o, struct err *e)
{
    *v = (struct subset_values){0};
    if (!o || json_is_null(o)) return 0;
    const json_t *draws = json_object_get(o, "draws");
    v->draws = (int64_t)json_integer_value(draws);
    if (!json_is_integer(draws) || v->draws < 1)
        return err_set(e, "'subsets' has no whole number of 'draws'");
    for (int k = 0; k < SUBSET_VALUES; k++) {
        const json_t *three = json_object_get(o, subset_value_names[k]);
        struct interval *i = &v->interval[k];
        if (json_array_size(three) != 3 || read_number(&v->mean[k], json_array_get(three, 0)) < 0 ||
            read_number(&i->low, json_array_get(three, 1)) < 0 ||
            read_number(&i->high, json_array_get(three, 2)) < 0 || i->low > i->high)
            return err_set(e, "'subsets': '%s' is not a mean and the limits of an interval",
                           subset_value_names[k]);
    }
    return 0;
}
