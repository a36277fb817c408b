/* Validated reads of a result file, also of a running or dead job's (SWMR reading; no h5clear).
 *
 * A reader shows the file as it was when it was opened; open again to see more.  Close it before
 * MPI_Finalize. */
#pragma once

#include "base/err.h"
#include "trace/format.h"

#include <stddef.h>

struct trace_reader;

struct trace_reader *trace_reader_open(const char *path, struct err *e);
void trace_reader_close(struct trace_reader *r);

/* Attribute as text (owned by the reader), NULL when absent. */
const char *trace_reader_attr(const struct trace_reader *r, const char *name);

/* Rows in one table, orphans of an interrupted commit included, as far as the file has room for
 * them. */
int64_t trace_n_rows(const struct trace_reader *r, enum trace_table table);

int64_t trace_n_runs(const struct trace_reader *r);
int64_t trace_n_prompts(const struct trace_reader *r);
/* Whole tables: owned by the reader. */
const struct run_row *trace_runs(const struct trace_reader *r);
const struct prompt_row *trace_prompts(const struct trace_reader *r);

/* Rows of one prompt (row number in /prompts) in one table; each caller frees.  Count in *n. */
int trace_read_candidates(struct trace_reader *r, int64_t prompt, struct candidate_row **out,
                          int64_t *n, struct err *e);
int trace_read_rounds(struct trace_reader *r, int64_t prompt, struct round_row **out, int64_t *n,
                      struct err *e);
int trace_read_partial_rewards(struct trace_reader *r, int64_t prompt,
                               struct partial_reward_row **out, int64_t *n, struct err *e);
int trace_read_spans(struct trace_reader *r, int64_t prompt, struct trace_row **out, int64_t *n,
                     struct err *e);
/* A slice of a pool. */
int trace_read_tokens(struct trace_reader *r, int64_t offset, int64_t n, int32_t *out,
                      struct err *e);
int trace_read_text(struct trace_reader *r, int64_t offset, int64_t n, char *out, struct err *e);

/* Read all rows of one prompt and compare them with the hash that was taken when it was committed.
 */
int trace_reader_verify(struct trace_reader *r, int64_t prompt, struct err *e);
