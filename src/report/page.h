/* report.html: a comparison as one page that opens from disk, with its figures inside and nothing
 * fetched from anywhere.  No script; XML as well as HTML.
 *
 * Tables scroll inside boxes of their own that the keyboard reaches; the page follows the reader's
 * choice of light or dark. */
#pragma once

#include "report/facts.h"
#include "report/figures.h"

#include <stdio.h>

struct page {
    const struct comparison *c;
    const struct averages *a;
    const struct figures *figures;
    const struct facts *facts; /* [n_files] */
    const char *command;       /* that made the page; NULL: not told */
};

/* Into FOLDER/report.html.  -1 or OUTPUT_UNWRITTEN (output.h) with *e. */
int page_write(const struct page *p, const char *folder, struct err *e);

/* What every page begins with, up to <body>. */
void page_begin(FILE *f, const char *title);
extern const char page_style[]; /* its CSS */
