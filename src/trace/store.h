/* One open HDF5 file with its eight datasets: append, read, rewrite a row, sync.  Knows nothing of
 * prompts.
 *
 * A store that is written to is either a new file that nobody else sees yet (store_create) or in
 * SWMR mode (STORE_APPEND).  After an error of a writing call the only thing to do with it is
 * store_abandon(). */
#pragma once

#include "trace/attrs.h"
#include "trace/types.h"

struct store {
    char *path; /* owned */
    bool is_writing;
    hid_t file;
    hid_t data[TRACE_DATASETS]; /* open datasets */
    hid_t type[TRACE_DATASETS];
    bool is_filtered[TRACE_DATASETS]; /* compressed, by another program */
    bool is_older;                    /* its rows lack values that ours may have: to read only */
    int64_t rows[TRACE_DATASETS];     /* as of opening, plus what was appended since */
};

enum store_mode { STORE_READ, STORE_APPEND };

/* A new file with all datasets, empty; replaces what is there. */
struct store *store_create(const char *path, const struct attrs *a, struct err *e);

/* STORE_READ works on any file that a writer left or is writing.  STORE_APPEND needs one that was
 * closed. */
struct store *store_open(const char *path, enum store_mode mode, struct err *e);

/* Whether the last writer closed the file. */
bool store_was_closed(const char *path);

int store_append(struct store *s, int dataset, const void *rows, int64_t n, struct err *e);
/* How many of its rows the file can hold.  The number of rows is a number in the file that costs
 * nothing to write (a full disk leaves one that is too high); without a filter every row takes its
 * bytes. */
int64_t store_room(const struct store *s, int dataset);
/* Before memory is taken for n rows: -1 with *e when the file cannot hold them. */
int store_check_room(const struct store *s, int dataset, int64_t n, struct err *e);
int store_read(struct store *s, int dataset, int64_t first, int64_t n, void *out, struct err *e);
int store_rewrite(struct store *s, int dataset, int64_t row, const void *bytes, struct err *e);

/* Everything so far survives a kill and, as far as the disk keeps its word, a power cut. */
int store_sync(struct store *s, struct err *e);

/* Close, then fsync; accepts NULL.  The store is gone even on failure. */
int store_close(struct store *s, struct err *e);

/* Give up after a failed write: the file stays as if the process had been killed here; accepts
 * NULL. */
void store_abandon(struct store *s);

/* Replace `path` by the closed file `tmp`, durably. */
int store_publish(const char *tmp, const char *path, struct err *e);
