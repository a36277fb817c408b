/* What a comparison compares: a source from each result file, and one from each point of a replay's
 * JSON. */
#pragma once

#include "report/source.h"

#include <stddef.h>

struct source_list {
    struct source *items; /* owned; zeroed: empty */
    size_t n, cap;
};

/* Append what a file holds.  -1 with *e: it cannot be read; the list is to be freed all the same.
 */
int source_list_read(struct source_list *list, const char *path, struct err *e);
void source_list_free(struct source_list *list);
