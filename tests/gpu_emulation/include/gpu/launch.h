/* How a kernel runs here: a block's threads are fibers of one thread of the host, and change only
 * where they meet: at barriers, at the collectives of a warp and, now and then, at atomics.  Blocks
 * run one after another.  The order of blocks and, between two meetings, of threads is drawn from
 * SPECREJ_EMULATION_SEED.  block.cpp. */
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__  inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)

/* One copy serves, as blocks run one after another.  shared.ld gathers these variables of a module
 * between the two symbols below, so that a block finds them full of 0xff: NaN, -1. */
#define __shared__ static
extern "C" {
extern unsigned char gpu_shared_begin[] __attribute__((weak, visibility("hidden")));
extern unsigned char gpu_shared_end[] __attribute__((weak, visibility("hidden")));
}

/* Of the thread that runs now. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace gpu
{

struct kernel_launch {
    const char *name;
    const void *kernel;
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
    unsigned char *shared_begin, *shared_end; /* its module's __shared__ variables */
    std::function<void()> thread;             /* the kernel with its arguments */
};

/* Checks what a GPU checks, and puts the kernel onto the stream.  Errors: cudaGetLastError. */
void launch(kernel_launch launch);

template <typename... P, typename... A>
void launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            void (*kernel)(P...), A &&...arguments)
{
    static_assert(sizeof...(P) == sizeof...(A), "the kernel has another number of parameters");
    std::tuple<std::decay_t<P>...> copied(std::forward<A>(arguments)...);
    launch({name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes, stream,
            gpu_shared_begin, gpu_shared_end, [kernel, copied] { std::apply(kernel, copied); }});
}

/* ---- from here on: called by threads of a running kernel ---- */

void *dynamic_shared();

/* Where a barrier or collective stands in the source. */
struct site {
    const char *what, *file;
    int line;
};

enum reduction { REDUCE_NONE, REDUCE_COUNT, REDUCE_AND, REDUCE_OR };

/* All threads of the block meet; the value counts where `predicate` holds. */
int block_barrier(site where, reduction r = REDUCE_NONE, bool predicate = false);

/* The lanes of `mask` meet.  Each brings a slot of its own; the last to come runs `exchange` over
 * all of them (slot[lane], others NULL), then all go on.  orders: what each has written, all see.
 */
typedef void (*exchange_fn)(void *const slot[32], unsigned mask);
void warp_meet(site where, unsigned mask, void *slot, exchange_fn exchange, bool orders = false);
unsigned lane();

/* Another thread may go on first. */
void perhaps_yield();

/* Ends the program with a message that names the kernel and the calling thread. */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends it unless [p, p + bytes) lies in shared memory and p is aligned to 16. */
void require_shared(const char *what, const void *p, size_t bytes);

/* The running thread, if there is one, accesses memory: races.cpp. */
void note_access(const void *p, size_t bytes, bool is_write, const void *caller);

/* cp.async: `bytes` (16, or 0 for zeros) to shared memory, at once or at the wait. */
void copy_async(void *shared, const void *global, int bytes);
void copy_commit();
void copy_wait(int newest);

} // namespace gpu

static inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    gpu::block_barrier({"__syncthreads", file, line});
}

static inline int __syncthreads_count(int predicate, const char *file = __builtin_FILE(),
                                      int line = __builtin_LINE())
{
    return gpu::block_barrier({"__syncthreads_count", file, line}, gpu::REDUCE_COUNT, predicate);
}

static inline int __syncthreads_and(int predicate, const char *file = __builtin_FILE(),
                                    int line = __builtin_LINE())
{
    return gpu::block_barrier({"__syncthreads_and", file, line}, gpu::REDUCE_AND, predicate);
}

static inline int __syncthreads_or(int predicate, const char *file = __builtin_FILE(),
                                   int line = __builtin_LINE())
{
    return gpu::block_barrier({"__syncthreads_or", file, line}, gpu::REDUCE_OR, predicate);
}

/* Threads of one OS thread see each other's writes in order. */
static inline void __threadfence_block() {}
static inline void __threadfence() {}
static inline void __threadfence_system() {}
