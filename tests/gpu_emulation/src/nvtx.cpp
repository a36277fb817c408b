#include "nvtx3/nvToolsExt.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

static std::vector<std::string> open_ranges;

extern "C" int nvtxRangePushA(const char *name)
{
    open_ranges.push_back(name);
    return (int)open_ranges.size() - 1;
}

extern "C" int nvtxRangePop(void)
{
    const char *path = getenv("SPECREJ_EMULATION_NVTX");
    if (open_ranges.empty()) {
        fprintf(stderr, "nvtxRangePop without a range\n");
        abort();
    }
    int depth = (int)open_ranges.size() - 1;
    if (path) {
        FILE *f = fopen(path, "a");
        if (!f) abort();
        fprintf(f, "%*s%s\n", 2 * depth, "", open_ranges.back().c_str());
        fclose(f);
    }
    open_ranges.pop_back();
    return depth;
}
