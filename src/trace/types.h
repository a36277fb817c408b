/* The rows of format.h, described to HDF5: eight datasets, their names, element types and chunk
 * sizes. */
#pragma once

#include "trace/format.h"
#include "trace/h5.h"

#include <stddef.h>

/* The datasets: the variable-size tables (enum trace_table), then /runs and /prompts. */
enum { D_RUNS = TRACE_TABLES, D_PROMPTS, TRACE_DATASETS };

const char *types_name(int dataset); /* "/candidates" */
size_t types_row_bytes(int dataset); /* in memory and in the file */
hsize_t types_chunk_rows(int dataset);
size_t types_n_fields(int dataset); /* of a row; 0: plain numbers */
const char *types_field(int dataset, size_t field);
/* Text of fixed length, padded with NUL.  Caller H5Tclose()s. */
hid_t types_text(size_t bytes);
/* Element type, for memory and file alike.  Caller H5Tclose()s. */
hid_t types_create(int dataset);
/* The same as files have it that were made before FINISH_NUMERICS; HDF5 reads it as the above. */
hid_t types_create_older(int dataset);

/* Name of the first text of a row that has no NUL, which no writer of ours makes; NULL: all have.
 */
const char *types_endless_text(int dataset, const void *row);

/* Zero what follows the NUL of every string field, so that equal rows have equal bytes. */
void types_tidy(int dataset, void *row);
