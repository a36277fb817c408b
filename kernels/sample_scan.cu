/* The first reading of the logits: the maximum, whether a row is broken, and the k best ids.
 *
 * Bytes: 4 for each id; a record and a list of 8 k bytes for each block.  A first bound for the
 * list comes from the threads' own maxima in the first tile: k of them reach the k-th of them. */
#include "sample_top.cuh"

/* The lowest of the ids whose logit is `most`, in the order of x. */
static __device__ __forceinline__ int first_with(const float (&x)[4 * SAMPLE_TILE], float most,
                                                 int tile)
{
    int id = INT32_MAX;
#pragma unroll
    for (int i = 4 * SAMPLE_TILE - 1; i >= 0; i--)
        if (x[i] == most) id = 4 * tile_group(tile, i / 4) + i % 4;
    return id;
}

/* The k-th greatest of the threads' values, as the least key with that logit. */
static __device__ u64 bound_of_threads(struct top &t, float most, unsigned k)
{
    t.key[threadIdx.x] = key_of(most, static_cast<int>(threadIdx.x));
    __syncthreads();
    u64 bound = top_kth(t, blockDim.x, k);
    return bound >> 32 << 32;
}

/* The least logit that a key with this bound can have; never -inf, whose weight is nothing. */
static __device__ __forceinline__ float bound_logit(u64 bound)
{
    float x = key_logit(bound);
    return x > -FLT_MAX ? x : -FLT_MAX;
}

/* The logits of a tile that reach the bound go to the buffer; returns the bound to use from now. */
static __device__ __forceinline__ u64 offer_tile(struct top &t, const float (&x)[4 * SAMPLE_TILE],
                                                 int tile, u64 bound, unsigned k)
{
    unsigned open = 0;
    float least = bound_logit(bound);
#pragma unroll
    for (int i = 0; i < 4 * SAMPLE_TILE; i++) open |= x[i] >= least ? 1u << i : 0;
    for (;;) {
        if (open) {
#pragma unroll
            for (int i = 0; i < 4 * SAMPLE_TILE; i++) {
                if (!(open >> i & 1)) continue;
                u64 key = key_of(x[i], 4 * tile_group(tile, i / 4) + i % 4);
                if (key < bound || top_store(t, key)) open &= ~(1u << i);
            }
        }
        if (!__syncthreads_or(open != 0)) return bound;
        bound = top_shrink(t, k);
    }
}

static __device__ __forceinline__ struct top &shared_top()
{
    __shared__ struct top t;
    return t;
}

template <bool greedy, bool listed>
static __global__ void __launch_bounds__(SAMPLE_THREADS, SAMPLE_RESIDENT)
    scan_kernel(struct sample a)
{
    struct row_part r = row_part_of_block(a);
    unsigned k = static_cast<unsigned>(a.listed);
    u64 bound = 1;
    float max = -HUGE_VALF;
    int id = INT32_MAX;
    bool broken = false;
    if constexpr (listed) top_begin(shared_top());
    for (int tile = r.first; tile < r.end; tile += tile_step()) {
        float x[4 * SAMPLE_TILE], most = -HUGE_VALF;
        load_tile(x, r, tile);
#pragma unroll
        for (int i = 0; i < 4 * SAMPLE_TILE; i++) {
            broken |= !(x[i] < HUGE_VALF);
            most = fmaxf(most, x[i]);
        }
        if (greedy && most > max) id = first_with(x, most, tile);
        max = fmaxf(max, most);
        if constexpr (listed) {
            if (tile == r.first && k <= blockDim.x) bound = bound_of_threads(shared_top(), most, k);
            bound = offer_tile(shared_top(), x, tile, bound, k);
        }
    }
    broken = __syncthreads_or(broken);
    u64 best = block_all<u64_max>(key_of(max, id));
    size_t place = blockIdx.x;
    if (threadIdx.x == 0) a.max_send[place] = {best, broken, 0};
    if constexpr (listed) {
        struct top &t = shared_top();
        u64 *lists = reinterpret_cast<u64 *>(a.max_send + static_cast<size_t>(a.S) * a.parts);
        top_shrink(t, k);
        for (unsigned i = threadIdx.x; i < k; i += blockDim.x)
            lists[place * k + i] = i < t.n ? t.key[i] : 0;
    }
}

void sample_scan(const struct sample *a, int threads, cudaStream_t stream)
{
    dim3 grid(static_cast<unsigned>(a->S * a->parts)), block(static_cast<unsigned>(threads));
    if (a->greedy)
        LAUNCH((scan_kernel<true, false>), grid, block, 0, stream, *a);
    else if (a->listed)
        LAUNCH((scan_kernel<false, true>), grid, block, 0, stream, *a);
    else
        LAUNCH((scan_kernel<false, false>), grid, block, 0, stream, *a);
}
