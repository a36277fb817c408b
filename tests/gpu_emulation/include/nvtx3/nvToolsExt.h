/* NVTX ranges of the emulated GPU's profiler: with $SPECREJ_EMULATION_NVTX set, each range is a
 * line in that file when it ends, its name behind two spaces for each one that encloses it. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif
int nvtxRangePushA(const char *name);
int nvtxRangePop(void); /* dies when none is open */
#ifdef __cplusplus
}
#endif
