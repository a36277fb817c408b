/* What a result file already holds, so that a job goes on where it stopped.  Rank 0 only. */
#pragma once

#include "run/worker.h"

struct resume {
    int64_t *done; /* owned: prompt indices that are committed (ok or skipped), ascending */
    char (*keys)[40];
    int64_t n;
    double start_unix_s;   /* of the file's first run */
    int64_t budget_tokens; /* that the file was made with, 0: there is no file */
};

/* A missing file gives an empty set.  Another job's file is an error that says what differs.
 * identity: of the job j (run/identity.h). */
int resume_open(struct resume *r, const char *path, const struct job *j, const char *identity,
                struct err *e);
void resume_free(struct resume *r);
/* The same once more, from the file as it was opened for writing: another start of the job may have
 * gone on in between. */
void resume_update(struct resume *r, const int64_t *done, int64_t n);
bool resume_has(const struct resume *r, int64_t prompt_index);
/* The dataset's rows must still be the ones that were run. */
int resume_check_inputs(const struct resume *r, const struct prompt_input *items, int64_t n,
                        struct err *e);
