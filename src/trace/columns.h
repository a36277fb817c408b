/* What the columns of the tables are: their units and a sentence on each, as attributes `units` and
 * `description` of the datasets.  For people who open a file elsewhere; no reader of ours needs
 * them, and files of older programs have none. */
#pragma once

#include "base/err.h"
#include "trace/h5.h"

/* Write both attributes of dataset `dataset` (trace/types.h), which is open as `data`: texts of
 * fixed length, one for each field in the order of the fields; of /tokens and /text one alone. */
int columns_write(hid_t data, int dataset, const char *path, struct err *e);
