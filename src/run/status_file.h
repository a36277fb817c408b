/* FILE.status.json: what the run that writes a result file says of itself, while it goes on and at
 * its end.  Replaced by rename every few seconds: a reader never sees half of it, and never has to
 * open a file that is being written.  It is a notice for people and `specrej status`; what is
 * committed stands in the result file alone. */
#pragma once

#include "base/err.h"
#include "base/hash.h"

#include <stdint.h>

enum run_state {
    STATE_RUNNING,
    STATE_JUDGING,  /* the prompts are done, the judge is at work */
    STATE_COMPLETE, /* every prompt that was asked for is in the file, and judged where asked */
    STATE_STOPPED,  /* by SIGTERM: to be continued when somebody wants it */
    STATE_CONTINUE, /* by SIGUSR1: to be continued by whoever sent it */
    STATE_FAILED    /* with a message */
};

struct status_file {
    char name[128];       /* of the job */
    char point[HASH_HEX]; /* whose results these are; "": it does not say (while it runs) */
    enum run_state state;
    int64_t prompts, prompts_done;    /* asked for; of them in the file.  0, 0: not known yet */
    int64_t live;                     /* candidates of rank 0's group */
    double tokens_per_s;              /* of rank 0's group */
    double eta_s;                     /* NaN: unknown */
    double updated_unix_s;            /* filled in when it is written */
    char host[64];                    /* of rank 0; filled in */
    int64_t pid;                      /* filled in */
    char slurm_job[64], message[512]; /* "": none */
};

/* Write FILE.status.json of the result file at `path`; s->state and the numbers are the caller's,
 * who and when are filled in.  Best effort: a full disk must not end a job that can go on. */
void status_file_write(const char *path, struct status_file *s);

/* 1: read; 0: there is none; -1 with *e: not one of ours. */
int status_file_read(const char *path, struct status_file *s, struct err *e);
