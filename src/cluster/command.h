/* Other programs: started by name and arguments, never through a shell, waited for with a limit. */
#pragma once

#include "base/err.h"

#include <stddef.h>

struct command_output {
    int status;         /* exit status; 128 + signal when it was killed */
    char *out, *errors; /* stdout and stderr, with a NUL behind; owned */
    size_t out_bytes;   /* of stdout, the NUL left out */
};

/* Run argv[0], found in PATH, with an empty stdin.  environment: NULL or "KEY=VALUE" texts, ended
 * by NULL, laid over this program's environment.  With *e COMMAND_NOT_STARTED: it cannot be
 * started; -1: it did not end within limit_s and was killed, or it printed more than 64 MiB.
 * Whatever its status, 0 means that it ran; command_free() then. */
#define COMMAND_NOT_STARTED (-2)
int command_run(const char *const *argv, const char *const *environment, double limit_s,
                struct command_output *o, struct err *e);
void command_free(struct command_output *o);
