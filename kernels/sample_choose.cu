/* The end: each row's token and log-probability, from what all blocks of all ranks found. */
#include "sample_top.cuh"

#define THREADS 256 /* at most */

/* What a thread would choose. */
struct choice {
    u64 race; /* SAMPLE_NOBODY: nothing */
    float x;
};

/* The k best ids of all lists of row s into the buffer; returns how many there are.  One list is
 * taken as it is. */
static __device__ unsigned merge_lists(struct top &t, const struct sample &a, int s)
{
    unsigned k = static_cast<unsigned>(a.listed);
    size_t rank_keys = a.max_bytes / sizeof(u64), lists = static_cast<size_t>(a.S) * a.parts;
    const u64 *keys =
        reinterpret_cast<const u64 *>(a.max + lists) + static_cast<size_t>(s) * a.parts * k;
    unsigned each = static_cast<unsigned>(a.parts) * k, n = static_cast<unsigned>(a.ranks) * each;
    u64 bound = 1;
    top_begin(t);
    for (unsigned first = 0; first < n; first += blockDim.x) {
        unsigned i = first + threadIdx.x;
        u64 key = i < n ? keys[i / each * rank_keys + i % each] : 0;
        bool open = key >= bound;
        for (;;) {
            if (open) open = !top_store(t, key);
            if (!__syncthreads_or(open)) break;
            bound = top_shrink(t, k);
            open = open && key >= bound;
        }
    }
    top_shrink(t, k);
    return t.n;
}

/* Weight of all ids in the buffer that stand before `key`. */
static __device__ __forceinline__ u64 weight_before(const struct top &t, const u64 *weight,
                                                    unsigned n, u64 key)
{
    u64 sum = 0;
    for (unsigned i = 0; i < n; i++) sum += t.key[i] > key ? weight[i] : 0;
    return sum;
}

/* Top-p and min-p on what top-k left, then the race. */
static __device__ struct choice race_of_lists(const struct sample &a, int s, float max)
{
    __shared__ struct top t;
    __shared__ u64 weight[K_SAMPLE_LIST];
    struct choice best = {SAMPLE_NOBODY, 0.0f};
    struct draw d = draw_of_row(a, s);
    unsigned n = merge_lists(t, a, s);
    u64 target = ~static_cast<u64>(0);
    if (a.top_p < 1.0f) {
        u64 sum = 0;
        for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
            weight[i] = fixed_of(weight_of(key_logit(t.key[i]), max, a.inverse_temperature));
            sum += weight[i];
        }
        target = top_p_target(a.top_p, block_all<u64_sum>(sum));
    }
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) {
        u64 key = t.key[i];
        float x = key_logit(key), w = weight_of(x, max, a.inverse_temperature);
        uint32_t id = static_cast<uint32_t>(key_id(key));
        if (!(w > 0.0f) || !(w >= a.min_p)) continue;
        if (a.top_p < 1.0f && weight_before(t, weight, n, key) >= target) continue;
        float time = draw_exponential(draw_word(d, id)) / w;
        u64 race = race_key(time, static_cast<int>(id));
        if (time < HUGE_VALF && race < best.race) best = {race, x};
    }
    return best;
}

static __device__ struct choice race_of_records(const struct sample &a,
                                                const struct sample_record *from, int s)
{
    struct choice best = {SAMPLE_NOBODY, 0.0f};
    for (int i = threadIdx.x; i < a.ranks * a.parts; i += static_cast<int>(blockDim.x)) {
        const struct sample_record &r = sums_at(a, from, s, i);
        if (r.race < best.race) best = {r.race, r.x};
    }
    return best;
}

/* One block a row. */
template <bool listed>
static __global__ void __launch_bounds__(THREADS)
    choose_kernel(struct sample a, const struct sample_record *from)
{
    int s = static_cast<int>(blockIdx.x);
    struct row_max max = max_of_row(a, s);
    u64 sum = 0;
    for (int i = threadIdx.x % 32; i < a.ranks * a.parts; i += 32)
        sum += sums_at(a, a.sums, s, i).raw;
    sum = warp_all<u64_sum>(sum);
    struct choice mine = {SAMPLE_NOBODY, 0.0f};
    if (!max.usable) {
        /* nobody */
    } else if constexpr (listed) {
        mine = race_of_lists(a, s, max.x);
    } else if (from) {
        mine = race_of_records(a, from, s);
    } else if (threadIdx.x == 0) {
        mine = {race_key(0.0f, max.id), max.x};
    }
    u64 best = block_all<u64_min>(mine.race);
    if (best == SAMPLE_NOBODY && threadIdx.x == 0) {
        if (a.token) a.token[s] = -1;
        a.logprob[s] = NAN;
    } else if (best != SAMPLE_NOBODY && mine.race == best) {
        if (a.token) a.token[s] = static_cast<int32_t>(best & 0xffffffffu);
        double of_max = static_cast<double>(mine.x) - static_cast<double>(max.x);
        double total = static_cast<double>(sum) / static_cast<double>(SAMPLE_ONE);
        a.logprob[s] = static_cast<float>(of_max - log(total));
    }
}

void sample_choose(const struct sample *a, const struct sample_record *from, cudaStream_t stream)
{
    dim3 grid(static_cast<unsigned>(a->S));
    unsigned keys = static_cast<unsigned>(a->listed * a->parts * a->ranks);
    if (a->listed)
        LAUNCH(choose_kernel<true>, grid,
               min((keys + 31) / 32 * 32, static_cast<unsigned>(THREADS)), 0, stream, *a, from);
    else
        LAUNCH(choose_kernel<false>, grid, 32, 0, stream, *a, from);
}
