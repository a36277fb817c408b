/* Where top-k by count, or top-p by weight, cuts the order of a row's ids: an id is kept where what
 * stands before it is less than a target.  The last such id is found from the top digit of the keys
 * down: a histogram of the keys that may still be it, summed over parts and ranks, then the bin
 * whose sum reaches the target.  Integers throughout: the same whoever adds them when. */
#include "sample.cuh"

#define THREADS 256 /* of a block for each row */
#define BINS    (SAMPLE_BINS / THREADS)

static __device__ __forceinline__ u64 *row_histogram(const struct sample &a, int s)
{
    return a.histogram + static_cast<size_t>(s) * SAMPLE_BINS * 2;
}

static __device__ __forceinline__ u64 tempered_sum(const struct sample &a,
                                                   const struct sample_record *all, int s)
{
    u64 sum = 0;
    for (int i = 0; i < a.ranks * a.parts; i++) sum += sums_at(a, all, s, i).tempered;
    return sum;
}

/* from: the records that hold the tempered sums; NULL: by count. */
static __global__ void begin_kernel(struct sample a, const struct sample_record *from, u64 top_k,
                                    bool after_count)
{
    int s = static_cast<int>(blockIdx.x);
    u64 *histogram = row_histogram(a, s);
    for (int i = threadIdx.x; i < 2 * SAMPLE_BINS; i += THREADS) histogram[i] = 0;
    struct row_max max = max_of_row(a, s);
    if (threadIdx.x != 0) return;
    struct sample_search f = {};
    if (after_count) f.low = a.search[s].low;
    f.high = (static_cast<u64>(1) << (32 + a.id_bits)) - 1;
    f.target = from ? top_p_target(a.top_p, tempered_sum(a, from, s)) : top_k;
    f.found = !max.usable;
    a.search[s] = f;
}

/* Adds to a 64-bit sum in two words; `high` has room for 2^20 weights of 1. */
static __device__ __forceinline__ void add_wide(unsigned *low, unsigned *high, u64 v)
{
    unsigned part = static_cast<unsigned>(v);
    unsigned old = atomicAdd(low, part);
    unsigned rest = static_cast<unsigned>(v >> 32) + (old + part < old);
    if (rest) atomicAdd(high, rest);
}

template <bool by_weight>
static __global__ void __launch_bounds__(SAMPLE_THREADS, SAMPLE_RESIDENT)
    fill_kernel(struct sample a, int shift)
{
    __shared__ unsigned count[SAMPLE_BINS], low[SAMPLE_BINS], high[SAMPLE_BINS];
    struct row_part r = row_part_of_block(a);
    const struct sample_search f = a.search[r.row];
    if (f.found) return;
    struct row_max max = max_of_row(a, r.row);
    for (unsigned i = threadIdx.x; i < SAMPLE_BINS; i += blockDim.x)
        count[i] = low[i] = high[i] = 0;
    __syncthreads();
    for (int tile = r.first; tile < r.end; tile += tile_step()) {
        float x[4 * SAMPLE_TILE];
        load_tile(x, r, tile);
#pragma unroll
        for (int i = 0; i < 4 * SAMPLE_TILE; i++) {
            u64 key = search_key(a, x[i], 4 * tile_group(tile, i / 4) + i % 4);
            if (!(x[i] > -HUGE_VALF) || key < f.low || key > f.high) continue;
            unsigned bin = static_cast<unsigned>(key >> shift) & (SAMPLE_BINS - 1);
            atomicAdd(&count[bin], 1u);
            if constexpr (by_weight)
                add_wide(&low[bin], &high[bin],
                         fixed_of(weight_of(x[i], max.x, a.inverse_temperature)));
        }
    }
    __syncthreads();
    u64 *histogram = row_histogram(a, r.row);
    for (unsigned i = threadIdx.x; i < SAMPLE_BINS; i += blockDim.x) {
        if (count[i] == 0) continue;
        atomicAdd(&histogram[2 * i], static_cast<u64>(count[i]));
        if constexpr (by_weight)
            atomicAdd(&histogram[2 * i + 1], static_cast<u64>(high[i]) << 32 | low[i]);
    }
}

/* One more digit.  Found: the bin holds one id, or all of it is kept.  Thread t has the bins from
 * SAMPLE_BINS - 1 - BINS t down. */
static __global__ void descend_kernel(struct sample a, bool by_weight, int shift)
{
    __shared__ u64 of_warp[THREADS / 32];
    int s = static_cast<int>(blockIdx.x), t = static_cast<int>(threadIdx.x);
    struct sample_search f = a.search[s];
    if (f.found) return;
    u64 *bins = row_histogram(a, s) + 2 * (SAMPLE_BINS - BINS * (t + 1));
    u64 count[BINS], measure[BINS], sum = 0;
#pragma unroll
    for (int j = 0; j < BINS; j++) { /* from the highest down */
        u64 *bin = bins + 2 * (BINS - 1 - j);
        count[j] = bin[0];
        measure[j] = by_weight ? bin[1] : bin[0];
        sum += measure[j];
        bin[0] = bin[1] = 0; /* for the next digit */
    }
    u64 up_to = sum;
#pragma unroll
    for (unsigned by = 1; by < 32; by *= 2) {
        u64 above = __shfl_up_sync(SAMPLE_ALL_LANES, up_to, by);
        if (t % 32 >= static_cast<int>(by)) up_to += above;
    }
    if (t % 32 == 31) of_warp[t / 32] = up_to;
    __syncthreads();
    u64 before = f.before + up_to - sum;
    for (int w = 0; w < t / 32; w++) before += of_warp[w];
    /* The last thread takes what nobody reaches: ids of weight 0 are not counted. */
    bool is_last = t == THREADS - 1;
    if (before >= f.target || (before + sum < f.target && !is_last)) return;
    int above = shift + SAMPLE_DIGIT_BITS;
    u64 known = f.high >> above << above;
    bool is_there = false;
#pragma unroll
    for (int j = 0; j < BINS; j++) {
        if (is_there) continue;
        is_there = before + measure[j] >= f.target || j == BINS - 1;
        if (is_there) {
            u64 low = known | static_cast<u64>(SAMPLE_BINS - 1 - (BINS * t + j)) << shift;
            f.low = max(f.low, low);
            f.high = low | ((static_cast<u64>(1) << shift) - 1);
            f.found = shift == 0 || count[j] <= 1 || before + measure[j] == f.target;
            f.before = before;
        }
        before += measure[j];
    }
    a.search[s] = f;
}

void sample_search_begin(const struct sample *a, enum sample_by by, int64_t top_k, bool after_count,
                         cudaStream_t stream)
{
    const struct sample_record *from = by == SAMPLE_BY_COUNT ? NULL
                                       : after_count         ? a->kept
                                                             : a->sums;
    LAUNCH(begin_kernel, dim3(static_cast<unsigned>(a->S)), THREADS, 0, stream, *a, from,
           static_cast<u64>(top_k), after_count);
}

void sample_search_fill(const struct sample *a, enum sample_by by, int shift, int threads,
                        cudaStream_t stream)
{
    dim3 grid(static_cast<unsigned>(a->S * a->parts)), block(static_cast<unsigned>(threads));
    if (by == SAMPLE_BY_WEIGHT)
        LAUNCH(fill_kernel<true>, grid, block, 0, stream, *a, shift);
    else
        LAUNCH(fill_kernel<false>, grid, block, 0, stream, *a, shift);
}

void sample_search_descend(const struct sample *a, enum sample_by by, int shift,
                           cudaStream_t stream)
{
    LAUNCH(descend_kernel, dim3(static_cast<unsigned>(a->S)), THREADS, 0, stream, *a,
           by == SAMPLE_BY_WEIGHT, shift);
}
