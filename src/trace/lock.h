/* One writer per file: FILE.lock appears atomically with its contents (link() of a finished file;
 * it fails when a lock is there) and says host, boot, pid and its start time, Slurm job and
 * restart, and since when.
 *
 * It is stale when that process is gone on this host, when this is a later start of the same Slurm
 * job, or when Slurm says that job has ended.  A stale lock is replaced by rename.  Anything else
 * is refused. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct lock; /* held lock */

/* Whether Slurm says that this start of the job has ended.  A job with that id which was submitted
 * or started after `since_unix_s` is another one, or another start: ids can be used again.  False
 * where Slurm cannot be asked.  May be NULL: then another host's lock is stale only for a later
 * start of its job. */
typedef bool (*lock_slurm_ended_fn)(const char *cluster, const char *job_id, double since_unix_s);

/* NULL with *e: who holds it, since when, and what to do when it is wrong. */
struct lock *lock_take(const char *path, lock_slurm_ended_fn slurm_ended, struct err *e);

/* 0 while the lock file is still ours; -1 when somebody removed or replaced it. */
int lock_check(const struct lock *l, struct err *e);

/* Whether somebody else may be writing the result file at `path`: there is a lock that counts.
 * holder: who, in words, when there is. */
bool lock_is_held(const char *path, lock_slurm_ended_fn slurm_ended, char *holder, size_t bytes);

/* Removes the lock file if it is still ours; accepts NULL. */
void lock_release(struct lock *l);
