/* Calls that can be made to fail, for tests: how a wrapper asks whether this is the call. */
#pragma once

#include <stdbool.h>

enum fault_class {
    FAULT_ALLOC,
    FAULT_HDF5,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_CLOSE,
    FAULT_SYSTEM,
    FAULT_MPI,
    FAULT_SHORT,
    FAULT_CLASSES
};

/* Count one call of this class and name, made from the code at `caller`; true when it is to fail.
 * Calls from elsewhere than the program and the libraries that work for it are not counted. */
bool fault_due(enum fault_class class, const char *name, const void *caller);
