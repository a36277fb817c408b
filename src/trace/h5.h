/* What every HDF5 call of this module goes through, and the only place that knows HDF5's versions
 * (1.10 to 2.x).
 *
 * HDF5 is used through its serial interface by one thread at a time, also when the library is a
 * parallel build. */
#pragma once

#include "base/err.h"

#include <hdf5.h>

/* Before any other HDF5 call: no error stacks on stderr, no flushing when the process exits. */
void h5_setup(void);

/* File access: plain POSIX driver, no file locks by HDF5, newest on-disk format that 1.10 reads,
 * metadata written at flushes only.  Caller H5Pclose()s. */
hid_t h5_access(void);

/* File creation: metadata never straddles a page, attributes of any size.  Caller H5Pclose()s. */
hid_t h5_creation(void);

/* Set *e to the text and the library's innermost reason, then clear the library's error stack.
 * Always -1. */
int h5_err(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For calls on what lives in memory alone (types, spaces, property lists), which fail for want of
 * it: quit() with the library's reason.  H5_MUST(call) gives the call's value. */
#define H5_MUST(call) h5_must((int64_t)(call), #call)
int64_t h5_must(int64_t value, const char *call);

/* The POSIX descriptor behind an open file; -1 when there is none.  Borrowed. */
int h5_descriptor(hid_t file);
