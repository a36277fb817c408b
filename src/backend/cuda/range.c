/* Phases as NVTX ranges: Nsight Systems shows them under the names that the trace has.  Headers
 * alone: the profiler that starts the program brings what they call; without one they do nothing.
 * A toolkit may come without NVTX: then there are no ranges.  Never seen in a profiler yet: it has
 * not run on a GPU. */
#include "cuda.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>

void cuda_range(struct backend *b, const char *name)
{
    (void)b;
    if (name)
        nvtxRangePushA(name);
    else
        nvtxRangePop();
}
#else
void cuda_range(struct backend *b, const char *name)
{
    (void)b;
    (void)name;
}
#endif
