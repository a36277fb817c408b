/* Opening what is to be read whole or in parts: ordinary files and nothing else; and system calls
 * that may do less than was asked. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open path for reading; symbolic links are followed.  A pipe, a device or a folder is refused
 * without waiting for it.  Returns the descriptor and the size in *size (may be NULL), or -1 with
 * *e.  Caller close()s. */
int file_open(const char *path, int64_t *size, struct err *e);

/* Is there something at path?  -1 with *e when that cannot be told: who then took it for missing
 * might write over it. */
int file_exists(const char *path, bool *exists, struct err *e);
int file_exists_in(const char *folder, const char *name, bool *exists, struct err *e);

/* Bytes from where fd stands, in as many reads as it takes, to the end or to `most`; returns their
 * number, or -1 with errno. */
int64_t file_read_start(int fd, void *out, size_t most);
/* All n bytes, or -1 with errno. */
int file_write_all(int fd, const void *bytes, size_t n);
