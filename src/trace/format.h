/* The result file, on disk: one HDF5 file per point.  Flat tables of fixed-size compound rows and
 * byte pools.
 *
 * A prompt is in the file if and only if its row in /prompts is, with a row_check that holds.
 * Everything beyond what the last such row refers to (first row and count in every table) is an
 * orphan of an interrupted commit and is cut off on resume.
 *
 * The structs below are the rows; trace/types.c describes their fields to HDF5 under the same names
 * (first[] and count[] as first_candidates, count_candidates, ...).  Strings are fixed-size,
 * NUL-padded UTF-8.  Times: *_s seconds relative to the run's start (unix time in /runs), *_ns
 * likewise.
 *
 * Why no fletcher32: a checksummed chunk is rewritten whole when a row is appended to it, and a
 * kill in the middle of that write would lose the rows that were committed before.  Without a
 * filter the old bytes are overwritten by themselves; what is new is covered by row_check and
 * content_hash.
 *
 * HDF5's own blocks have checksums and are rewritten in place.  They are kept within pages of 4
 * KiB, which a kill does not tear; a power cut does not either on a disk that writes pages whole.
 */
#pragma once

#include <stdint.h>

#define TRACE_FORMAT_VERSION 1

/* RUN_CONTINUE: SIGUSR1.  RUN_KILLED: found running by a later run; a reader sees RUN_RUNNING until
 * then. */
enum run_status {
    RUN_RUNNING,
    RUN_COMPLETE,
    RUN_STOPPED,
    RUN_CONTINUE,
    RUN_FAILED,
    RUN_KILLED,
    RUN_STATUSES
};
enum prompt_status { PROMPT_OK, PROMPT_SKIPPED, PROMPT_FAILED, PROMPT_STATUSES };
enum candidate_status {
    CANDIDATE_FINISHED,
    CANDIDATE_TRUNCATED,
    CANDIDATE_REJECTED,
    CANDIDATE_STATUSES
};
enum finish_reason {
    FINISH_NONE,
    FINISH_END_TOKEN,
    FINISH_LENGTH,
    FINISH_REJECTED,
    FINISH_NUMERICS, /* the logits of its next token were not finite; status rejected, no reward */
    FINISH_REASONS
};
enum round_trigger {
    TRIGGER_MEMORY,
    TRIGGER_SCHEDULE,
    TRIGGER_EARLY,
    TRIGGER_FINAL,
    ROUND_TRIGGERS
};

/* The variable-size tables, in the order of prompt_row.first / .count. */
enum trace_table {
    T_CANDIDATES,
    T_ROUNDS,
    T_PARTIAL_REWARDS,
    T_TOKENS,
    T_TEXT,
    T_TRACE,
    TRACE_TABLES
};

struct run_row {
    double start_unix_s, end_unix_s;
    char hosts[256], device[128], isa[64], versions[512], fingerprint[40], slurm_job_id[32];
    int32_t slurm_restart, ranks, threads, groups, tensor, status;
    int64_t first_prompt, last_prompt; /* rows of /prompts that this run committed: [first, last) */
    double load_s, idle_s;             /* summed over ranks */
};

struct prompt_row {
    int64_t prompt_index;
    char key[40];
    char reason[160]; /* of a skipped or failed prompt; of an ok one: what was not finite in it */
    int32_t status, run, group, rounds;
    int64_t prompt_tokens, n;
    double alpha;
    int64_t best_candidate; /* -1: none */
    float best_reward;      /* NaN: none */
    uint32_t
        row_check; /* of this row (seal.h); filled in by the writer, like the last three fields */
    double start_s, wall_s, prefill_s, generate_s, score_s, comm_s, wait_s;
    int64_t tokens_generated, tokens_scored, rows_computed;
    double generator_flops, reward_flops, bytes, energy_j;
    int64_t kv_peak_tokens, evictions;
    char content_hash[40]; /* of this prompt's rows in the six tables, offsets relative (seal.h) */
    int64_t first[TRACE_TABLES], count[TRACE_TABLES];
};

struct candidate_row {
    int64_t prompt_index;
    int32_t candidate, status, finish_reason, rejected_round; /* -1: never */
    float reward, judge_reward;                               /* NaN: not taken */
    double logprob_sum;
    int64_t tokens_offset, n_tokens, text_offset,
        text_length; /* offsets in /tokens and /text; -1: not recorded */
};

struct round_row {
    int64_t prompt_index;
    int32_t round, trigger;
    int64_t step; /* tokens that the live candidates had */
    int64_t ranked, kept, complete;
    float cut_reward; /* worst reward that was kept */
    int32_t reserved;
    int64_t budget_tokens, live_tokens; /* KV tokens of pages in use when the round began */
    double start_s, end_s;
};

struct partial_reward_row {
    int64_t prompt_index;
    int32_t round,
        candidate; /* round: number in /rounds; for score_at the number of the recorded length */
    int64_t n_tokens;
    float reward;
    int32_t reserved;
};

struct trace_row {
    int32_t rank, phase; /* enum span_phase (base/span.h) */
    int64_t prompt_index, step, start_ns, end_ns, sequences, tokens, bytes;
};
