/* Finds two accesses to the same byte, one of them a write, that no barrier orders. */
#pragma once

#include <cstdint>

namespace gpu
{

/* Where a thread stands between barriers. */
struct moment {
    uint64_t block;       /* in its launch */
    unsigned thread;      /* in its block */
    unsigned block_clock; /* __syncthreads passed */
    unsigned warp_clock;  /* __syncwarp passed */
};

/* Whether any kernel of the program was compiled for this. */
bool races_watch();

/* All that came before is over: a launch begins. */
void races_begin();

/* The running thread reads or writes.  seen [32]: warp clocks of its warp's lanes that a __syncwarp
 * has shown it.  orders_blocks: other blocks' accesses are no race: shared memory is each block's
 * own, and after an atomic the block may know what others have done. */
void races_access(const moment &now, const unsigned *seen, bool orders_blocks, const void *p,
                  uint64_t bytes, bool is_write, const void *caller);

} // namespace gpu
