/* Where a result file lies: its folders, its kind of file system. */
#pragma once

#include "base/err.h"

/* Make the folders above a file. */
int place_make_folders(const char *path, struct err *e);

/* The name of the network file system that a file lies on, of those without SWMR; NULL on others.
 */
const char *place_network_name(const char *path);
