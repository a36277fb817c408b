/* Opening what is to be read whole or in parts: ordinary files and nothing else. */
#pragma once

#include "base/err.h"

#include <stdint.h>

/* Open path for reading; symbolic links are followed.  A pipe, a device or a folder is refused
 * without waiting for it.  Returns the descriptor and the size in *size (may be NULL), or -1 with
 * *e.  Caller close()s. */
int file_open(const char *path, int64_t *size, struct err *e);
