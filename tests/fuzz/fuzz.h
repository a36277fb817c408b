/* What the fuzz targets share.  A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput: it
 * feeds the bytes to one reader of ours, which must give a result or an error, nothing else.
 *
 * Two mains call it: libFuzzer's (preset fuzz) and inputs.c, which runs the inputs that are kept in
 * corpus/NAME and crashes/NAME as an ordinary test. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The process's own folder, made at the first call and removed at exit.  Borrowed. */
const char *fuzz_folder(void);
/* FOLDER/name.  Borrowed until the next call with the same name; names are literals. */
const char *fuzz_path(const char *name);
/* Make FOLDER/name hold the bytes; returns its path as fuzz_path does. */
const char *fuzz_write(const char *name, const void *bytes, size_t n);
void fuzz_remove(const char *name);

/* Several texts in one input, separated by lines of "%%".  Part i, NUL-terminated (a copy, caller
 * frees) and its length; NULL when the input has fewer parts. */
char *fuzz_part(const uint8_t *bytes, size_t n, int i, size_t *length);

/* A sink for output. */
FILE *fuzz_null(void);

/* What a reader returned, and its message: a failure must have words, success none. */
void fuzz_check(int rc, const struct err *e);
