#include "report/source_list.h"

#include "base/mem.h"
#include "report/replay_points.h"

#include <stdlib.h>

int source_list_read(struct source_list *list, const char *path, struct err *e)
{
    if (replay_points_is_file(path)) return replay_points_read(list, path, e);
    ARRAY_PUSH(*list, (struct source){0});
    return source_read(&list->items[list->n - 1], path, e);
}

void source_list_free(struct source_list *list)
{
    for (size_t i = 0; i < list->n; i++) source_free(&list->items[i]);
    free(list->items);
    *list = (struct source_list){0};
}
