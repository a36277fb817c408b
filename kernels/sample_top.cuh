/* The k greatest of any number of different keys, by one block, in shared memory.
 *
 * Keys that reach the bound go into a buffer; when it is full, the k best stay and the least of
 * them is the new bound.  So most keys of a long row are passed over by one comparison. */
#pragma once

#include "sample.cuh"

#define TOP_ROOM 4096
static_assert(TOP_ROOM > K_SAMPLE_LIST, "room for more than what is kept");

struct top {
    u64 key[TOP_ROOM];
    unsigned n; /* keys offered since the last shrink; those beyond TOP_ROOM are not stored */
    unsigned bin[256];
    unsigned digit, need, count; /* of top_kth */
};

static __device__ __forceinline__ void top_begin(struct top &t)
{
    if (threadIdx.x == 0) t.n = 0;
    __syncthreads();
}

/* False: no room.  Any number of threads; a barrier before the buffer is read. */
static __device__ __forceinline__ bool top_store(struct top &t, u64 key)
{
    unsigned slot = atomicAdd(&t.n, 1u);
    if (slot < TOP_ROOM) t.key[slot] = key;
    return slot < TOP_ROOM;
}

/* One warp: the bin of the need-th key from above.  Lane l has bins 255 - 8 l and the seven below.
 */
static __device__ __forceinline__ void top_find_bin(struct top &t, unsigned need)
{
    unsigned lane = threadIdx.x, count[8], sum = 0;
#pragma unroll
    for (unsigned j = 0; j < 8; j++) sum += count[j] = t.bin[255 - 8 * lane - j];
    unsigned up_to = sum;
#pragma unroll
    for (unsigned by = 1; by < 32; by *= 2) {
        unsigned above = __shfl_up_sync(SAMPLE_ALL_LANES, up_to, by);
        if (lane >= by) up_to += above;
    }
    unsigned before = up_to - sum;
    if (before >= need || up_to < need) return;
#pragma unroll
    for (unsigned j = 0; j < 8; j++) {
        if (before < need && before + count[j] >= need) {
            t.digit = 255 - 8 * lane - j;
            t.need = need - before;
            t.count = count[j];
        }
        before += count[j];
    }
}

/* A bound that exactly k of the first n keys reach, 1 <= k <= n: digit by digit, until all of a bin
 * is wanted.  All threads call; begins and ends with the buffer at rest. */
static __device__ u64 top_kth(struct top &t, unsigned n, unsigned k)
{
    u64 known = 0;
    unsigned need = k;
    for (int shift = 56;; shift -= 8) {
        for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) t.bin[i] = 0;
        __syncthreads();
        for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
            u64 key = t.key[i];
            if ((key ^ known) >> shift >> 8 == 0) atomicAdd(&t.bin[key >> shift & 255], 1u);
        }
        __syncthreads();
        if (threadIdx.x < 32) top_find_bin(t, need);
        __syncthreads();
        known |= static_cast<u64>(t.digit) << shift;
        need = t.need;
        if (need == t.count) return known; /* at the latest at shift 0, as keys differ */
    }
}

/* Keeps the k greatest of the stored keys and returns the bound.  All threads call. */
static __device__ u64 top_shrink(struct top &t, unsigned k)
{
    unsigned n = min(t.n, static_cast<unsigned>(TOP_ROOM));
    if (n <= k) { /* nobody writes t.n before all have read it: a barrier follows */
        __syncthreads();
        return 1;
    }
    u64 bound = top_kth(t, n, k);
    if (threadIdx.x == 0) t.n = 0;
    for (unsigned first = 0; first < n; first += blockDim.x) {
        unsigned i = first + threadIdx.x;
        u64 key = i < n ? t.key[i] : 0;
        __syncthreads(); /* all keys up to here are read; fewer are written */
        if (key >= bound) t.key[atomicAdd(&t.n, 1u)] = key;
    }
    __syncthreads();
    return bound;
}
