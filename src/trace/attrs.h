/* The attributes of a result file: numbers and fixed-length strings in the file, text in memory. */
#pragma once

#include "trace/h5.h"
#include "trace/writer.h"

enum attr {
    A_FORMAT_VERSION,
    A_PROGRAM_VERSION,
    A_COMMIT,
    A_JOB_YAML,
    A_JOB_HASH,
    A_POINT_ID,
    A_DTYPE,
    A_BUDGET_TOKENS,
    A_N,
    A_REPRODUCIBLE,
    A_JUDGE,
    A_JUDGED_RUNS,
    A_PASS_ROWS,
    A_GENERATOR_WEIGHT_BYTES,
    A_REWARD_WEIGHT_BYTES,
    A_GENERATOR_KV_BYTES,
    A_REWARD_KV_BYTES,
    ATTRS
};

struct attrs {
    char *value[ATTRS]; /* owned */
};

const char *attrs_name(enum attr a);
void attrs_from_meta(struct attrs *a, const struct trace_meta *meta);
void attrs_free(struct attrs *a);

/* Whose the judge's rewards are ("": nobody's), and how many rows of /runs were there then: what
 * later ones committed is not judged yet. */
void attrs_set_judge(struct attrs *a, const char *judge, int64_t judged_runs);

/* Write all to / read all from the root of an open file.  Reading refuses files of another kind or
 * version. */
int attrs_write(const struct attrs *a, hid_t file, const char *path, struct err *e);
int attrs_read(struct attrs *a, hid_t file, const char *path, struct err *e);

/* Whether a file with attributes `have` may be continued by a job with `want`; *e names what
 * differs. */
int attrs_match(const struct attrs *have, const struct attrs *want, const char *path,
                struct err *e);
