/* The single writer of a result file (rank 0, one thread).  Takes the lock, makes or resumes the
 * file, commits prompts.
 *
 * New file: made as PATH.tmp with every dataset, closed, fsynced, renamed, then opened for SWMR
 * writing.  Resume: unless it was closed in order and holds nothing but committed prompts, the file
 * is copied up to its last committed prompt, without failed ones, into PATH.tmp, which replaces it
 * by rename; then opened.
 *
 * After a write error the writer neither flushes nor closes: HDF5's descriptor is pointed at a
 * sink, so that nothing reaches the file any more, not even from trace_close, exit or MPI_Finalize
 * (a parallel HDF5 closes all files there). The file stays as if the process had been killed at the
 * error; that call returns the reason, every later one that it must be started again.
 *
 * A process that ends without trace_close (exit, _exit, abort, a signal) writes nothing more:
 * HDF5's exit handler is off.  Call trace_close before MPI_Finalize. */
#pragma once

#include "base/err.h"
#include "trace/format.h"
#include "trace/lock.h"

#include <stdbool.h>
#include <stddef.h>

struct trace; /* opaque */

/* What the counts of bytes are made of: of a forward pass at most `rows` rows, which reads all
 * weights; of a token K and V.  Over all ranks of a group; 0: no such model. */
struct trace_passes {
    int64_t rows;
    int64_t generator_weight_bytes, reward_weight_bytes;
    int64_t generator_kv_bytes, reward_kv_bytes;
};

/* Attributes of a new file.  On resume job_hash, point_id, dtype, budget_tokens, n and reproducible
 * must be equal to the file's; the error names the one that differs and the first lines of the YAML
 * that do.  NULL reads as "". */
struct trace_meta {
    const char *job_yaml, *job_hash, *point_id, *program_version, *commit, *dtype;
    int64_t budget_tokens,
        n; /* n: resolved number of candidates; 0 while auto depends on the prompt */
    bool reproducible;
    struct trace_passes passes;
    lock_slurm_ended_fn slurm_ended; /* for a lock that another host left; may be NULL */
};

/* What one prompt adds, all borrowed.  Candidate rows come with tokens_offset and text_offset
 * relative to this record's own pools (or -1); the writer makes them those of the file, and fills
 * in prompt.run, row_check, content_hash, first and count. */
struct trace_record {
    struct prompt_row prompt;
    struct candidate_row *candidates;
    int64_t n_candidates;
    struct round_row *rounds;
    int64_t n_rounds;
    struct partial_reward_row *partial_rewards;
    int64_t n_partial_rewards;
    int32_t *tokens;
    int64_t n_tokens;
    uint8_t *text;
    int64_t n_text;
    struct trace_row *trace;
    int64_t n_trace;
    bool ends_job; /* not for the file: whoever commits it begins no other prompt */
};

/* Create PATH, or resume it when it exists.  Folders are made as needed.  allow_mixed: another
 * fingerprint, device or `versions` than those of the committed prompts' runs may continue. Appends
 * `run` to /runs with status RUN_RUNNING. NULL with *e: locked by someone (who), another job's file
 * (what differs), not a specrej file, damaged (where), not writable, no space.  On a network file
 * system without SWMR it warns: reading while the job runs may then fail. */
struct trace *trace_open(const char *path, const struct trace_meta *meta, const struct run_row *run,
                         bool allow_mixed, struct err *e);

/* Prompt indices that are committed (status ok or skipped; failed ones are done again).  Borrowed
 * until the next commit. */
const int64_t *trace_committed(const struct trace *t, int64_t *n);

/* Commit one prompt: tables, flush + fsync, then the /prompts row, flush + fsync.  Returns 0, or
 * -1: not committed. */
int trace_commit(struct trace *t, const struct trace_record *r, struct err *e);

/* Rewrite this run's row in /runs (status, end, totals) in place; first_prompt and last_prompt are
 * filled in. */
int trace_update_run(struct trace *t, const struct run_row *run, struct err *e);

/* Close and unlock; accepts NULL.  What was committed does not depend on it. */
void trace_close(struct trace *t);
