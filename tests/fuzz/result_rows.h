/* A small recorded Best-of-N run (score_at: every 16) as rows in memory, to be changed before they
 * are written: the file itself is whole then, and every value in it is the fuzzer's. */
#pragma once

#include "trace/store.h"

enum { ROWS_PROMPTS = 3, ROWS_N = 4 };

struct result_rows {
    void *rows[TRACE_DATASETS]; /* owned; of types_row_bytes(dataset) each */
    int64_t n[TRACE_DATASETS];
    char *job_yaml; /* owned */
    int64_t budget_tokens, n_attribute, n_lengths;
};

/* Else the method is best_of_n, scored at two lengths. */
enum { ROWS_REJECTING = 0x80, ROWS_ONE_LENGTH = 0x40 };

void result_rows_make(struct result_rows *r, unsigned variant);
void result_rows_free(struct result_rows *r);
/* Write all as a result file; rows of /prompts get the check that belongs to them. */
void result_rows_write(struct result_rows *r, const char *path);
/* One of the readers of result files, `which` modulo their number: reader and verification,
 * inspect, export, timeline, report, replay, report's files. */
void result_read(const char *path, unsigned which);
