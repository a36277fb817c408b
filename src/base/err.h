/* Errors: three kinds, three treatments.
 *
 * 1. Bad input or environment: the function returns -1 with a message for a person in *e; no side
 * effects.
 * 2. One rank fails inside collective work: finish the local part, then comm_agree() (comm/comm.h).
 * 3. A broken promise inside the program, or a failing MPI/CUDA call while running: die().
 *
 * Between 1 and 3 stands what the machine may refuse anywhere and nobody can act on, such as memory
 * for something small: quit(). */
#pragma once

#include <stdarg.h>

/* Caller-owned; no globals, no allocation.  A zeroed struct is "no error". */
struct err {
    char text[512];
};

/* Set the text; a control character in it becomes a blank or a '?', so that a name out of
 * somebody's file is neither a line of its own nor a command to the terminal.  Always returns -1,
 * so that `return err_set(e, "...")` works. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prepend context ("while loading x: ") to the text that is there.  Always returns -1. */
int err_context(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What die() and quit() call after printing; comm sets it to MPI_Abort with status 1.  Without it
 * die() leaves a core, quit() ends with status 1. */
extern void (*die_hook)(void);

/* Print rank, host, place and message to stderr, then end the whole job.  Never returns. */
_Noreturn void die(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Print rank, host and an error for a person, then end the whole job with status 1: no core, no
 * unwinding.  Takes no memory.  Never returns. */
_Noreturn void quit(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define DIE(...) die(__FILE__, __LINE__, __VA_ARGS__)

#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((call) < 0) return -1;                                                                 \
    } while (0)

#define TRY_GOTO(call, label)                                                                      \
    do {                                                                                           \
        if ((call) < 0) goto label;                                                                \
    } while (0)

#define ENSURE(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) die(__FILE__, __LINE__, "%s does not hold", #cond);                           \
    } while (0)
