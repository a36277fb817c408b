/* What the files of job share and nobody else needs. */
#pragma once

#include "job/entries.h"
#include "job/job.h"

/* A whole file as text with a NUL behind it, at most max_bytes, regular files only.  Caller frees.
 */
int file_read(const char *path, size_t max_bytes, char **text, size_t *n_bytes, struct err *e);

/* Defaults, file, overrides: the entries of a job, `sweep.` included.  entries_free() in every
 * case. */
int job_read_entries(struct entries *es, const char *file, const char *const *overrides,
                     int n_overrides, struct err *e);
/* The same of a text; `file` is its name in messages. */
int job_text_entries(struct entries *es, const char *text, size_t n_bytes, const char *file,
                     const char *const *overrides, int n_overrides, struct err *e);

/* Is the entry one that the schema knows, of the right kind and type?  Entries under `sweep.` must
 * be lists of such values. */
int job_check_entry(const struct entry *en, struct err *e);

/* Entries -> job: typed, paths resolved from `folder`, ranges and rules checked; entries under
 * `sweep.` are left out. */
int job_load(struct job *j, const struct entries *es, const char *file, const char *folder,
             struct err *e);

/* Ranges. */
int job_check(const struct job *j, const struct entries *es, const char *file, struct err *e);

/* Rules between keys.  A point of a sweep over methods may carry a key that only another method
 * uses. */
int job_check_rules(const struct job *j, const struct entries *es, const char *file, struct err *e);

/* Every key of the job with its canonical text, in the schema's order. */
void job_to_entries(const struct job *j, struct entries *es);
