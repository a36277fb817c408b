/* The points of a replay as data: what a comparison takes of each (source.h), so that `specrej
 * report` puts them beside files of real runs.  `specrej replay -o FILE.json` writes them as the
 * member "report" of its JSON; results/README.md describes it. */
#pragma once

#include "report/replay_grid.h"
#include "report/source_list.h"

/* The member's value, as text: of the grid's sources [n], in any order. */
void replay_points_write(const struct replay_grid *g, const struct source *sources, int n,
                         FILE *out);

/* Whether the file begins as JSON does.  A file that cannot be read does not. */
bool replay_points_is_file(const char *path);

/* Append the points of a replay's JSON.  Everything is checked: -1 with *e names the file, the
 * place in it and the cure. */
int replay_points_read(struct source_list *list, const char *path, struct err *e);
