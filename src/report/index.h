/* report.html of several groups: which there are, and the way to the page of each. */
#pragma once

#include "report/compare.h"

struct index_entry {
    const struct comparison *c; /* borrowed */
    size_t number;              /* its folder */
};

/* Into FOLDER/report.html; the groups' pages are FOLDER/NUMBER/report.html.  -1 or OUTPUT_UNWRITTEN
 * (output.h) with *e. */
int index_write(const struct index_entry *entries, size_t n, const char *folder, struct err *e);
