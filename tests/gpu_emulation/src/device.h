/* What the parts of the emulated device know of each other. */
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>

namespace gpu
{

struct kernel_launch;

/* SPECREJ_EMULATION_SEED, or 0. */
uint64_t seed();

/* A number from the environment; ends the program where it is none. */
uint64_t environment_number(const char *name, uint64_t otherwise);

/* 16 bytes, NULL: zeros; the sanitizers watch. */
void copy_16(void *to, const void *from);

/* Compute capability, 10 * major + minor: SPECREJ_EMULATION_CAPABILITY, or 90. */
int capability();

/* Runs all blocks, now. */
void run_grid(const kernel_launch &launch);

/* Remembers an error for cudaGetLastError, and gives it back. */
cudaError_t report(cudaError_t error);

/* Something that a stream does.  Called again and again until it gives true; a copy made before
 * its first call starts afresh. */
typedef std::function<bool()> work;

/* Adds to the stream; runs at once unless SPECREJ_EMULATION_LAZY=1, or records while the stream is
 * captured.  The returned error is not yet reported. */
cudaError_t submit(cudaStream_t stream, work w);

/* Waits for the stream, or for all of them. */
void finish(cudaStream_t stream);
void finish_all();

bool is_captured(cudaStream_t stream);

/* For calls that a capture forbids: invalidates every capture; false when there is none. */
bool breaks_capture();

} // namespace gpu
