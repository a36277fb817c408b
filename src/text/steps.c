#include "text/steps.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Published files have up to six. */
enum { MAX_STEPS = 64 };

int steps_unroll(const json_t *root, const char *list_key, const char *where, struct steps *out,
                 struct err *e)
{
    struct {
        const json_t **items;
        size_t n, cap;
    } todo = {0}; /* a stack: what comes first lies on top */
    int rc = 0;
    *out = (struct steps){0};
    if (root && !json_is_null(root)) ARRAY_PUSH(todo, root);
    while (rc == 0 && todo.n) {
        struct step step = {.json = todo.items[--todo.n]};
        rc = json_get_str(step.json, where, "type", &step.type, e);
        if (rc == 0 && out->n == MAX_STEPS)
            rc = err_set(e, "%s: more than %d steps in a Sequence", where, MAX_STEPS);
        if (rc < 0 || strcmp(step.type, "Sequence") != 0) {
            ARRAY_PUSH(*out, step);
            continue;
        }
        const json_t *list = json_object_get(step.json, list_key);
        if (!json_is_array(list))
            rc = err_set(e, "%s: a Sequence without the array '%s'", where, list_key);
        for (size_t i = json_array_size(list); i-- > 0;) ARRAY_PUSH(todo, json_array_get(list, i));
    }
    free(todo.items);
    if (rc < 0) {
        free(out->items);
        *out = (struct steps){0};
    }
    return rc;
}
