/* What the kernels of sampling share: how a row is divided, order and weight of its ids, the
 * records that ranks exchange, sums over a block.  sample.h tells the stages, sample.cu puts them
 * in order.
 *
 * Nothing here depends on an order of execution: maxima and races are decided by unique 64-bit
 * numbers, sums are integers. */
#pragma once

#include "launch.cuh"
#include "ptx.cuh"
#include "sample.h"

#include "base/fmath.h"

#include <float.h>

#define SAMPLE_THREADS   256 /* at most, of a block that reads logits */
#define SAMPLE_RESIDENT  3   /* such blocks on a multiprocessor */
#define SAMPLE_BLOCKS    512 /* wanted in all: a few for each multiprocessor of a large card */
#define SAMPLE_PARTS     16  /* most parts of one rank's share of a row */
#define SAMPLE_TILE      4   /* groups that a thread has in hand at a time */
#define SAMPLE_ALL_LANES 0xffffffffu

typedef unsigned long long u64; /* as atomics and shuffles have it */

/* One call, for kernels.  A rank's share of each row is divided into `parts`, a block for each;
 * what the blocks of all ranks found lies in records [ranks][S][parts]. */
struct sample {
    const float *logits;
    int S, V, V_local, begin, n; /* n: true columns of V_local; the rest is padding */
    int parts, ranks;
    int listed; /* k of the lists; 0: none */
    float inverse_temperature, top_p, min_p;
    bool greedy;
    const struct draw *draws;
    const uint32_t *draw_position;
    const int32_t *given;
    int32_t *token;
    float *logprob;
    struct sample_max *max_send, *max;      /* then the lists, u64 [S][parts][listed] */
    struct sample_record *sums_send, *sums; /* of all ids */
    struct sample_record *kept_send, *kept; /* of those above a searched threshold */
    size_t max_bytes;                       /* of one rank, lists included */
    struct sample_search *search;           /* [S] */
    u64 *histogram;                         /* [S][SAMPLE_BINS][2]: count, weight */
    int id_bits;                            /* of a searched key */
};

/* The best id of a part. */
struct sample_max {
    u64 key;
    uint32_t broken, unused;
};

struct sample_record {
    u64 raw, tempered; /* sums of weights: at temperature 1, at the one asked for */
    u64 race;          /* of the winner: race_key; SAMPLE_NOBODY: no id took part */
    float x;           /* its logit */
    uint32_t unused;
};
#define SAMPLE_NOBODY (~(u64)0)

/* Where the last id that is kept is searched: keys (search_key) in [low, high]. */
struct sample_search {
    u64 low, high;
    u64 before; /* count or weight of all ids above */
    u64 target;
    uint32_t found, unused;
};
#define SAMPLE_DIGIT_BITS 10
#define SAMPLE_BINS       (1 << SAMPLE_DIGIT_BITS)

/* ---- the stages' kernels ---- */

enum sample_by { SAMPLE_BY_COUNT, SAMPLE_BY_WEIGHT };

/* Each block's maximum and list. */
void sample_scan(const struct sample *a, int threads, cudaStream_t stream);
/* Each block's sums, and its race where no filter is on; `given`: that token's logit. */
void sample_weigh(const struct sample *a, bool race, bool tempered, int threads,
                  cudaStream_t stream);
/* The same of ids above the searched threshold: the tempered sum, or the race. */
void sample_weigh_kept(const struct sample *a, bool race, int threads, cudaStream_t stream);
/* A search: begin, then for each digit fill the histogram (summed over ranks) and descend.  top_k:
 * the target by count; begin by weight goes on from the threshold by count where `after_count`. */
void sample_search_begin(const struct sample *a, enum sample_by by, int64_t top_k, bool after_count,
                         cudaStream_t stream);
void sample_search_fill(const struct sample *a, enum sample_by by, int shift, int threads,
                        cudaStream_t stream);
void sample_search_descend(const struct sample *a, enum sample_by by, int shift,
                           cudaStream_t stream);
/* Token and log-probability.  The lists' race decides where there are lists, else the races in
 * `from`, else (NULL: greedy) the maxima. */
void sample_choose(const struct sample *a, const struct sample_record *from, cudaStream_t stream);

/* ---- order of ids: by logit, ties by lower id ---- */

/* Order of floats as unsigned integers; -0 counts as 0. */
static __device__ __forceinline__ uint32_t ordered(float x)
{
    uint32_t u = fm_bits(x + 0.0f);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static __device__ __forceinline__ float from_ordered(uint32_t u)
{
    return fm_from_bits(u & 0x80000000u ? u & 0x7fffffffu : ~u);
}

/* The greater, the better. 0 is the key of no id. */
static __device__ __forceinline__ u64 key_of(float x, int id)
{
    return static_cast<u64>(ordered(x)) << 32 | ~static_cast<uint32_t>(id);
}
static __device__ __forceinline__ float key_logit(u64 key)
{
    return from_ordered(static_cast<uint32_t>(key >> 32));
}
static __device__ __forceinline__ int key_id(u64 key)
{
    return static_cast<int>(~static_cast<uint32_t>(key));
}

/* The same order in as few bits as the vocabulary needs, for searches. */
static __device__ __forceinline__ u64 search_key(const struct sample &a, float x, int id)
{
    return static_cast<u64>(ordered(x)) << a.id_bits | static_cast<uint32_t>(a.V - 1 - id);
}

/* The less, the better: times are positive. */
static __device__ __forceinline__ u64 race_key(float time, int id)
{
    return static_cast<u64>(fm_bits(time)) << 32 | static_cast<uint32_t>(id);
}

/* ---- weights: exp((x - max) / temperature) in [0, 1] ---- */

static __device__ __forceinline__ float weight_of(float x, float max, float inverse_temperature)
{
    return fm_exp((x - max) * inverse_temperature);
}

#define SAMPLE_ONE (static_cast<u64>(1) << 44) /* a weight of 1 */

/* Sums of up to 2^9 weights, each rounded to the nearest multiple of 1 / SAMPLE_ONE, ties to even
 * (what the cpu does in double).  A weight is split at 2^-22: adding 1.5 * 2^23 leaves the nearest
 * integer in a float's low bits, what is beyond it is exact, and goes the same way. */
#define SAMPLE_MAGIC 12582912.0f

struct fixed_sum {
    uint32_t high, low, n;
};

static __device__ __forceinline__ void fixed_add(struct fixed_sum &sum, float w)
{
    float scaled = w * 4194304.0f;
    float high = scaled + SAMPLE_MAGIC;
    float low = fmaf(scaled - (high - SAMPLE_MAGIC), 4194304.0f, SAMPLE_MAGIC);
    sum.high += fm_bits(high);
    sum.low += fm_bits(low);
    sum.n++;
}

static __device__ __forceinline__ u64 fixed_total(const struct fixed_sum &sum)
{
    uint32_t magics = sum.n * 0x4b400000u;
    u64 low = static_cast<u64>(static_cast<long long>(static_cast<int32_t>(sum.low - magics)));
    return (static_cast<u64>(sum.high - magics) << 22) + low;
}

static __device__ __forceinline__ u64 fixed_of(float w)
{
    struct fixed_sum sum = {0, 0, 0};
    fixed_add(sum, w);
    return fixed_total(sum);
}

/* The weight that top-p keeps of `sum`: at least one id. */
static __device__ __forceinline__ u64 top_p_target(float top_p, u64 sum)
{
    u64 share = static_cast<u64>(ceil(static_cast<double>(top_p) * static_cast<double>(sum)));
    return share > 1 ? share : 1;
}

/* ---- a part of a row: groups of four ids from a multiple of 4 on, as one Philox block draws ----
 */

struct row_part {
    const float *x; /* of the row's first id */
    int begin, n;   /* its ids */
    int first, end; /* groups of the part */
    bool aligned;   /* a group's logits are 16 aligned bytes */
    int row, part;
};

static __device__ __forceinline__ struct row_part row_part_of_block(const struct sample &a)
{
    struct row_part r;
    r.row = static_cast<int>(blockIdx.x) / a.parts;
    r.part = static_cast<int>(blockIdx.x) % a.parts;
    r.x = a.logits + static_cast<size_t>(r.row) * static_cast<size_t>(a.V_local);
    r.begin = a.begin;
    r.n = a.n;
    int first = r.begin / 4, end = a.n > 0 ? (r.begin + r.n + 3) / 4 : first;
    int each = (end - first + a.parts - 1) / a.parts;
    r.first = min(first + r.part * each, end);
    r.end = min(r.first + each, end);
    r.aligned = (reinterpret_cast<uintptr_t>(r.x) / 4 - static_cast<uintptr_t>(r.begin)) % 4 == 0;
    return r;
}

/* Logits of ids 4 group + {0..3}; -inf for ids that are not the row's. */
static __device__ __forceinline__ void load_group(float *x, const struct row_part &r, int group)
{
    int i = 4 * group - r.begin;
    bool inside = group < r.end;
    if (inside && r.aligned && i >= 0 && i + 4 <= r.n) {
        uint4 v = load_streaming_16(r.x + i);
        x[0] = fm_from_bits(v.x);
        x[1] = fm_from_bits(v.y);
        x[2] = fm_from_bits(v.z);
        x[3] = fm_from_bits(v.w);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        x[j] = inside && i + j >= 0 && i + j < r.n ? r.x[i + j] : -HUGE_VALF;
}

/* The group of x[4 j ...) of the tile that begins at group `tile`. */
static __device__ __forceinline__ int tile_group(int tile, int j)
{
    return tile + j * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
}

static __device__ __forceinline__ void load_tile(float (&x)[4 * SAMPLE_TILE],
                                                 const struct row_part &r, int tile)
{
#pragma unroll
    for (int j = 0; j < SAMPLE_TILE; j++) load_group(x + 4 * j, r, tile_group(tile, j));
}

static __device__ __forceinline__ int tile_step()
{
    return SAMPLE_TILE * static_cast<int>(blockDim.x);
}

/* ---- over a warp and a block ---- */

struct u64_sum {
    static __device__ __forceinline__ u64 of(u64 a, u64 b) { return a + b; }
    static constexpr u64 empty = 0;
};
struct u64_max {
    static __device__ __forceinline__ u64 of(u64 a, u64 b) { return a > b ? a : b; }
    static constexpr u64 empty = 0;
};
struct u64_min {
    static __device__ __forceinline__ u64 of(u64 a, u64 b) { return a < b ? a : b; }
    static constexpr u64 empty = ~static_cast<u64>(0);
};

/* The same for every lane; all of the warp call. */
template <typename F> static __device__ __forceinline__ u64 warp_all(u64 v)
{
#pragma unroll
    for (int bit = 1; bit < 32; bit *= 2) v = F::of(v, __shfl_xor_sync(SAMPLE_ALL_LANES, v, bit));
    return v;
}

/* The same for every thread; all of the block call. */
template <typename F> static __device__ u64 block_all(u64 v)
{
    __shared__ u64 of_warp[32];
    unsigned lane = threadIdx.x % 32, warps = blockDim.x / 32;
    v = warp_all<F>(v);
    if (lane == 0) of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    v = warp_all<F>(lane < warps ? of_warp[lane] : F::empty);
    __syncthreads(); /* of_warp is free again */
    return v;
}

/* ---- what all blocks found of row s; all of the warp call ---- */

struct row_max {
    float x;
    int id;
    bool usable; /* no NaN, no +inf, something above -inf */
};

/* Record i of row s, in the order of ranks and parts; a rank's records begin rank_bytes apart. */
template <typename T>
static __device__ __forceinline__ const T &record_at(const struct sample &a, const T *all,
                                                     size_t rank_bytes, int s, int i)
{
    const char *rank =
        reinterpret_cast<const char *>(all) + static_cast<size_t>(i / a.parts) * rank_bytes;
    return reinterpret_cast<const T *>(rank)[static_cast<size_t>(s) * a.parts + i % a.parts];
}

static __device__ __forceinline__ const struct sample_record &
sums_at(const struct sample &a, const struct sample_record *all, int s, int i)
{
    return record_at(a, all, static_cast<size_t>(a.S) * a.parts * sizeof *all, s, i);
}

static __device__ __forceinline__ struct row_max max_of_row(const struct sample &a, int s)
{
    u64 key = 0;
    bool broken = false;
    for (int i = threadIdx.x % 32; i < a.ranks * a.parts; i += 32) {
        const struct sample_max &m = record_at(a, a.max, a.max_bytes, s, i);
        key = u64_max::of(key, m.key);
        broken = broken || m.broken;
    }
    key = warp_all<u64_max>(key);
    struct row_max max = {key_logit(key), key_id(key), false};
    max.usable = !__any_sync(SAMPLE_ALL_LANES, broken) && max.x > -HUGE_VALF;
    return max;
}

static __device__ __forceinline__ struct draw draw_of_row(const struct sample &a, int s)
{
    struct draw d = a.draws[s];
    if (a.draw_position) d.position = a.draw_position[s];
    return d;
}
