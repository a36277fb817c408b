/* A reading of the logits with the maximum known: sums of weights, and the race.
 *
 * Bytes: 4 for each id.  Some 30 operations for a weight and its sum, as many again for the race:
 * an id whose exponential can't be below the best time so far, as v < -log1p(-v), is left before
 * the logarithm and the division. */
#include "sample.cuh"

struct racer {
    u64 best;    /* race_key of this thread's best */
    float x;     /* its logit */
    float bound; /* no id with a greater time can win */
};

/* One group of four ids; weight 0: the id takes no part. */
static __device__ __forceinline__ void race_group(struct racer &racer, const float *x,
                                                  const float (&weight)[4], int group,
                                                  const struct draw &d)
{
    float most = fmaxf(fmaxf(weight[0], weight[1]), fmaxf(weight[2], weight[3]));
    if (!(most > 0.0f)) return;
    struct philox words =
        philox4x32(d.seed, d.prompt, d.candidate, d.position, static_cast<uint32_t>(group));
#pragma unroll
    for (int i = 0; i < 4; i++) {
        /* v, cut to 23 bits; the factor covers all that is rounded from here to the time */
        float v = fm_from_bits(0x3f800000u | words.word[i] >> 9) - 1.0f;
        if (!(v * 0.999999f <= racer.bound * weight[i]) || !(weight[i] > 0.0f)) continue;
        float time = draw_exponential(words.word[i]) / weight[i];
        u64 key = race_key(time, 4 * group + i);
        if (!(time < HUGE_VALF) || key >= racer.best) continue;
        racer.best = key;
        racer.x = x[i];
        racer.bound = fminf(racer.bound, time);
    }
}

/* The least bound of the warp's lanes serves all. */
static __device__ __forceinline__ void share_bound(struct racer &racer)
{
#pragma unroll
    for (int bit = 1; bit < 32; bit *= 2)
        racer.bound = fminf(racer.bound, __shfl_xor_sync(SAMPLE_ALL_LANES, racer.bound, bit));
}

/* raw, tempered: which sums; kept: ids below the searched threshold weigh nothing. */
template <bool raw, bool tempered, bool race, bool kept>
static __global__ void __launch_bounds__(SAMPLE_THREADS, SAMPLE_RESIDENT)
    weigh_kernel(struct sample a, struct sample_record *out)
{
    struct row_part r = row_part_of_block(a);
    struct row_max max = max_of_row(a, r.row);
    struct draw d = {};
    if constexpr (race) d = draw_of_row(a, r.row);
    u64 low = kept ? a.search[r.row].low : 0;
    u64 raw_sum = 0, tempered_sum = 0;
    struct racer racer = {SAMPLE_NOBODY, 0.0f, HUGE_VALF};
    for (int tile = r.first; max.usable && tile < r.end; tile += tile_step()) {
        float x[4 * SAMPLE_TILE];
        struct fixed_sum of_raw = {0, 0, 0}, of_tempered = {0, 0, 0};
        load_tile(x, r, tile);
#pragma unroll
        for (int j = 0; j < SAMPLE_TILE; j++) {
            int group = tile_group(tile, j);
            float weight[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float logit = x[4 * j + i];
                if constexpr (raw) fixed_add(of_raw, weight_of(logit, max.x, 1.0f));
                if constexpr (!tempered && !race) continue;
                weight[i] = weight_of(logit, max.x, a.inverse_temperature);
                if (kept && search_key(a, logit, 4 * group + i) < low) weight[i] = 0.0f;
                if constexpr (tempered) fixed_add(of_tempered, weight[i]);
                if (!(weight[i] >= a.min_p)) weight[i] = 0.0f;
            }
            if constexpr (race) race_group(racer, x + 4 * j, weight, group, d);
        }
        if constexpr (raw) raw_sum += fixed_total(of_raw);
        if constexpr (tempered) tempered_sum += fixed_total(of_tempered);
        if constexpr (race) share_bound(racer);
    }
    if (a.given && threadIdx.x == 0) { /* its logit, as the winner of a race without others */
        int i = a.given[r.row] - r.begin, group = a.given[r.row] / 4;
        if (i >= 0 && i < r.n && group >= r.first && group < r.end) {
            racer.best = race_key(0.0f, i + r.begin);
            racer.x = r.x[i];
        }
    }
    if constexpr (raw) raw_sum = block_all<u64_sum>(raw_sum);
    if constexpr (tempered) tempered_sum = block_all<u64_sum>(tempered_sum);
    u64 best = block_all<u64_min>(racer.best);
    if (racer.best == best && (best != SAMPLE_NOBODY || threadIdx.x == 0))
        out[blockIdx.x] = {raw_sum, tempered_sum, best, racer.x, 0};
}

template <bool raw, bool tempered, bool race, bool kept>
static void launch(const struct sample *a, struct sample_record *out, int threads,
                   cudaStream_t stream)
{
    LAUNCH((weigh_kernel<raw, tempered, race, kept>), dim3(static_cast<unsigned>(a->S * a->parts)),
           dim3(static_cast<unsigned>(threads)), 0, stream, *a, out);
}

void sample_weigh(const struct sample *a, bool race, bool tempered, int threads,
                  cudaStream_t stream)
{
    if (race)
        launch<true, false, true, false>(a, a->sums_send, threads, stream);
    else if (tempered)
        launch<true, true, false, false>(a, a->sums_send, threads, stream);
    else
        launch<true, false, false, false>(a, a->sums_send, threads, stream);
}

void sample_weigh_kept(const struct sample *a, bool race, int threads, cudaStream_t stream)
{
    if (race)
        launch<false, false, true, true>(a, a->kept_send, threads, stream);
    else
        launch<false, true, false, true>(a, a->kept_send, threads, stream);
}
