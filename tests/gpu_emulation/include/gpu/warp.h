/* Shuffles, votes, tensor core and matrix loads: what the lanes of a warp do together. */
#pragma once

#include "launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>
#include <type_traits>

#define GPU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace gpu
{

/* A value brought to a shuffle, and the lane whose value is wanted. */
struct shuffle_slot {
    uint64_t value, result;
    unsigned source;
};

/* A lane that is not in the mask has nothing to give: 0xff. */
inline void shuffle_exchange(void *const slot[32], unsigned mask)
{
    for (unsigned i = 0; i < 32; i++) {
        if (!slot[i]) continue;
        shuffle_slot *mine = static_cast<shuffle_slot *>(slot[i]);
        unsigned source = mine->source;
        bool is_there = source < 32 && (mask >> source & 1);
        mine->result = is_there ? static_cast<shuffle_slot *>(slot[source])->value : ~uint64_t(0);
    }
}

template <typename T> T shuffle(site where, unsigned mask, T value, unsigned source)
{
    static_assert(std::is_arithmetic_v<T> || sizeof(T) <= 4, "no shuffle of this type");
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "no shuffle of this type");
    shuffle_slot slot = {0, 0, source};
    memcpy(&slot.value, &value, sizeof value);
    warp_meet(where, mask, &slot, shuffle_exchange);
    memcpy(&value, &slot.result, sizeof value);
    return value;
}

struct vote_slot {
    bool predicate;
    unsigned ballot;
};

inline void vote_exchange(void *const slot[32], unsigned)
{
    unsigned ballot = 0;
    for (unsigned i = 0; i < 32; i++)
        if (slot[i] && static_cast<vote_slot *>(slot[i])->predicate) ballot |= 1u << i;
    for (unsigned i = 0; i < 32; i++)
        if (slot[i]) static_cast<vote_slot *>(slot[i])->ballot = ballot;
}

inline unsigned vote(site where, unsigned mask, bool predicate, bool orders = false)
{
    vote_slot slot = {predicate, 0};
    warp_meet(where, mask, &slot, vote_exchange, orders);
    return slot.ballot;
}

/* The first lane of this lane's segment of `width` lanes. */
inline unsigned segment_begin(int width)
{
    if (width <= 0 || width > 32 || (width & (width - 1))) fail("a shuffle of width %d", width);
    return lane() & ~(static_cast<unsigned>(width) - 1);
}

} // namespace gpu

template <typename T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, GPU_SITE)
{
    unsigned begin = gpu::segment_begin(width);
    unsigned from = begin + (static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1));
    return gpu::shuffle({"__shfl_sync", file, line}, mask, value, from);
}

template <typename T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, GPU_SITE)
{
    unsigned end = gpu::segment_begin(width) + static_cast<unsigned>(width);
    unsigned from = gpu::lane() ^ static_cast<unsigned>(bits);
    return gpu::shuffle({"__shfl_xor_sync", file, line}, mask, value,
                        from < end ? from : gpu::lane());
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, GPU_SITE)
{
    unsigned end = gpu::segment_begin(width) + static_cast<unsigned>(width);
    unsigned from = delta < 32 ? gpu::lane() + delta : 32;
    return gpu::shuffle({"__shfl_down_sync", file, line}, mask, value,
                        from < end ? from : gpu::lane());
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, GPU_SITE)
{
    unsigned within = gpu::lane() - gpu::segment_begin(width);
    return gpu::shuffle({"__shfl_up_sync", file, line}, mask, value,
                        delta <= within ? gpu::lane() - delta : gpu::lane());
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, GPU_SITE)
{
    return gpu::vote({"__ballot_sync", file, line}, mask, predicate);
}

static inline int __any_sync(unsigned mask, int predicate, GPU_SITE)
{
    return gpu::vote({"__any_sync", file, line}, mask, predicate) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, GPU_SITE)
{
    return gpu::vote({"__all_sync", file, line}, mask, predicate) == mask;
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, GPU_SITE)
{
    gpu::vote({"__syncwarp", file, line}, mask, false, true);
}

namespace gpu
{

/* ---- what kernels/ptx.cuh stands for ---- */

struct mma_slot {
    float *d;
    uint32_t a[4], b[2];
};

/* The two elements of a register, as floats. */
template <typename T> void unpack(float out[2], uint32_t packed)
{
    for (int i = 0; i < 2; i++) {
        T element;
        uint16_t bits = static_cast<uint16_t>(packed >> (16 * i));
        memcpy(&element, &bits, sizeof element);
        out[i] = static_cast<float>(element);
    }
}

/* d = c + sum over k of a(row, k) b(k, column), k ascending, in f32: a row's result depends on that
 * row alone.  Products of two bf16 or f16 are exact.  Only lanes' registers: nothing to sanitize.
 */
template <typename T>
__attribute__((no_sanitize("address", "undefined"))) void mma_exchange(void *const slot[32],
                                                                       unsigned)
{
    float a[16][16], b[16][8];
    for (int i = 0; i < 32; i++) {
        const mma_slot *mine = static_cast<const mma_slot *>(slot[i]);
        int row = i / 4, pair = i % 4 * 2;
        unpack<T>(&a[row][pair], mine->a[0]);
        unpack<T>(&a[row + 8][pair], mine->a[1]);
        unpack<T>(&a[row][pair + 8], mine->a[2]);
        unpack<T>(&a[row + 8][pair + 8], mine->a[3]);
        for (int half = 0; half < 2; half++) {
            float v[2];
            unpack<T>(v, mine->b[half]);
            b[half * 8 + pair][row] = v[0];
            b[half * 8 + pair + 1][row] = v[1];
        }
    }
    for (int row = 0; row < 16; row++) {
        float sum[8];
        auto lane_of = [&](int column) {
            return static_cast<mma_slot *>(slot[row % 8 * 4 + column / 2]);
        };
        for (int column = 0; column < 8; column++)
            sum[column] = lane_of(column)->d[row / 8 * 2 + column % 2];
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) sum[column] += a[row][k] * b[k][column];
        for (int column = 0; column < 8; column++)
            lane_of(column)->d[row / 8 * 2 + column % 2] = sum[column];
    }
}

template <typename T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, GPU_SITE)
{
    mma_slot slot = {d, {a[0], a[1], a[2], a[3]}, {b0, b1}};
    warp_meet({"mma_m16n8k16", file, line}, 0xffffffffu, &slot, mma_exchange<T>);
}

struct matrix_slot {
    const void *row;
    uint32_t *r;
};

template <bool transposed> void ldmatrix_exchange(void *const slot[32], unsigned)
{
    for (int m = 0; m < 4; m++) {
        uint16_t matrix[8][8];
        for (int row = 0; row < 8; row++)
            memcpy(matrix[row], static_cast<const matrix_slot *>(slot[m * 8 + row])->row, 16);
        for (int i = 0; i < 32; i++) {
            int row = i / 4, pair = i % 4 * 2;
            uint16_t low = transposed ? matrix[pair][row] : matrix[row][pair];
            uint16_t high = transposed ? matrix[pair + 1][row] : matrix[row][pair + 1];
            static_cast<const matrix_slot *>(slot[i])->r[m] = low | static_cast<uint32_t>(high)
                                                                        << 16;
        }
    }
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, bool transposed, GPU_SITE)
{
    require_shared("ldmatrix", row, 16);
    note_access(row, 16, false, __builtin_return_address(0));
    matrix_slot slot = {row, r};
    warp_meet({"ldmatrix", file, line}, 0xffffffffu, &slot,
              transposed ? ldmatrix_exchange<true> : ldmatrix_exchange<false>);
}

inline uint4 load_16(const void *global)
{
    return *static_cast<const uint4 *>(global);
}

} // namespace gpu

#undef GPU_SITE
