/* What makes a prompt's rows recognisable as whole.
 *
 * row_check: 32 bits of the hash of a /prompts row with row_check = 0.  A row that a power cut left
 * unwritten or half written does not pass. content_hash: hash of the prompt's rows in the six
 * tables, in the order of enum trace_table, with tokens_offset and text_offset counted from the
 * prompt's own first row: rows that move as a whole keep it. */
#pragma once

#include "trace/store.h"

uint32_t seal_row_check(const struct prompt_row *row);

/* Rows and their number of one table of a record. */
const void *seal_record_rows(const struct trace_record *r, int table, int64_t *n);
void seal_record_hash(const struct trace_record *r, char out[40]);

/* Add to the offsets of candidate rows that have one (>= 0). */
void seal_shift(struct candidate_row *rows, int64_t n, int64_t tokens, int64_t text);

/* Whether a record that was read holds what its prompt's content_hash was made of: 0, or -1 with
 * *e. path: of the file, for *e. */
int seal_verify_record(const char *path, const struct trace_record *r, struct err *e);

/* Read all rows of a committed prompt and compare their hash; with `to`, also append them there.
 * Works in pieces of fixed size. */
int seal_verify_copy(struct store *from, const struct prompt_row *row, struct store *to,
                     struct err *e);
