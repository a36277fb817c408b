/* Objects into a file of one of the export's forms. */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdio.h>

enum export_format { EXPORT_JSONL, EXPORT_ALPACA_EVAL, EXPORT_CSV };

struct export_writer;

/* path: the file, written as PATH.tmp until export_end; NULL or "-": to `out`.  NULL with *e. */
struct export_writer *export_begin(const char *path, FILE *out, enum export_format format,
                                   struct err *e);
/* csv: the first columns, in this order, before the first object, whose further fields follow. */
void export_columns(struct export_writer *w, const json_t *fields);
/* Takes the object, also when it fails: OUTPUT_UNWRITTEN. */
int export_write(struct export_writer *w, json_t *o, struct err *e);
/* rc: how it went so far.  When it went well, finish the file and let it appear under its name,
 * else remove what there is.  Returns the whole's rc; releases the writer. */
int export_end(struct export_writer *w, int rc, struct err *e);
