/* The kernels that can be tested here. */
#pragma once

#include "backend/cpu/isa.h"

#include <assert.h>

static inline enum isa isa_here(void)
{
    enum isa isa;
    struct err e;
    int rc = isa_most(&isa, &e);
    assert(rc == 0);
    (void)rc;
    return isa;
}
