/* The kernels that can be tested here; after fixture.h. */
#pragma once

#include "backend/cpu/isa.h"

static inline enum isa isa_here(void)
{
    enum isa isa;
    struct err e;
    assert_int_equal(isa_most(&isa, &e), 0);
    return isa;
}
