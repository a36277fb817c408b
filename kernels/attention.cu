/* Launchers of attention.h, and the kernel that folds what was spread over slots. */
#include "attention_launch.cuh"

using namespace attention;

namespace
{

constexpr int MERGE_WARPS = 4;
constexpr int MAX_E = 256;

/* A row's state, columns 2 (lane + 32 i) + {0, 1} in each lane. */
struct MergeState {
    float m, l;
    float2 o[MAX_E / 64];
};

__device__ __forceinline__ void fold_slots(MergeState &s, const float *slot, int64_t from_slot_to,
                                           int begin, int end, int E, Score score)
{
    int lane = threadIdx.x % 32;
#pragma unroll 2
    for (int c = begin; c < end; c++) {
        const float *next = slot + c * from_slot_to;
        float2 ml = *(const float2 *)next;
        Fold f = fold(s.m, s.l, ml.x, ml.y, score);
#pragma unroll
        for (int i = 0; i < MAX_E / 64; i++) {
            int column = 2 * (lane + 32 * i);
            if (column >= E) break;
            float2 o = *(const float2 *)(next + 2 + column);
            s.o[i].x = folded(f, s.o[i].x, o.x);
            s.o[i].y = folded(f, s.o[i].y, o.y);
        }
    }
}

/* A warp per row. */
template <typename T>
static __global__ void __launch_bounds__(MERGE_WARPS * 32)
    merge_kernel(const __grid_constant__ Arguments a)
{
    const struct k_attention_head *head = (const struct k_attention_head *)a.plan;
    int h = (int)blockIdx.y * MERGE_WARPS + (int)threadIdx.x / 32;
    if ((int)blockIdx.x >= head->n_merge || h >= a.H) return;
    const struct k_attention_item *items = (const struct k_attention_item *)(head + 1);
    struct k_attention_merge t =
        ((const struct k_attention_merge *)(items + head->n_wide + head->n_narrow))[blockIdx.x];
    Chunks chunks(a.batch.segments[a.batch.segment_of[t.token]].prefix_len);
    Seen seen = seen_from(a.batch.position[t.token], a.window);
    int n = chunks.up_to(seen.end), first = chunks.from(seen.begin);

    MergeState s = {};
    s.m = NOTHING;
    const float *slot = slot_row(a.workspace, t.slot, a.H, a.E, h);
    int64_t step = (int64_t)a.H * (a.E + 2);
    int prefix = min(n, chunks.of_prefix);
    if (t.before == 1 && chunks.of_prefix > 1)
        fold_slots(s, slot, step, 0, 1, a.E, a.score);
    else
        fold_slots(s, slot, step, first, prefix, a.E, a.score);
    int own = t.before - chunks.of_prefix; /* own chunk c stands in slot c + own */
    fold_slots(s, slot, step, max(first, chunks.of_prefix) + own, n + own, a.E, a.score);

    float one_over_l = 1.0f / s.l;
    T *out = (T *)a.out + ((int64_t)t.token * a.H + h) * a.E;
#pragma unroll
    for (int i = 0; i < MAX_E / 64; i++) {
        int column = 2 * ((int)threadIdx.x % 32 + 32 * i);
        if (column >= a.E) break;
        store_pair(out + column, finished(s.o[i].x, one_over_l), finished(s.o[i].y, one_over_l));
    }
}

template <typename T>
cudaError_t run(const Arguments &a, struct k_attention_grid grid, cudaStream_t stream)
{
    cudaError_t e = cudaSuccess;
    if (grid.wide > 0) e = attention::launch<T>(a, grid.wide, grid.wide_tokens, true, stream);
    if (e == cudaSuccess && grid.narrow > 0)
        e = attention::launch<T>(a, grid.narrow, grid.narrow_tokens, false, stream);
    if (e == cudaSuccess && grid.merge > 0) {
        dim3 blocks((unsigned)grid.merge, (unsigned)((a.H + MERGE_WARPS - 1) / MERGE_WARPS));
        LAUNCH((merge_kernel<T>), blocks, dim3(MERGE_WARPS * 32), 0, stream, a);
        e = cudaGetLastError();
    }
    return e;
}

} // namespace

extern "C" cudaError_t k_attention_prepare(enum dtype act, struct k_attention p)
{
    if (p.G < 1 || p.H < p.G || p.H % p.G) return cudaErrorInvalidValue;
    switch (act) {
    case DTYPE_ID_F32:
        return prepare<float>(p.E);
    case DTYPE_ID_BF16:
        return prepare<__nv_bfloat16>(p.E);
    case DTYPE_ID_F16:
        return prepare<__half>(p.E);
    default:
        return cudaErrorInvalidValue;
    }
}

extern "C" cudaError_t k_attention_run(void *out, const void *qkv, const void *kv_layer,
                                       enum dtype act, struct k_batch batch, struct k_attention p,
                                       const void *plan, struct k_attention_grid grid,
                                       float *workspace, cudaStream_t stream)
{
    const double log2_e = 1.4426950408889634;
    Arguments a = {out, qkv, kv_layer, batch, p.H, p.G, p.E, p.window, {}, NULL, workspace};
    bool capped = p.softcap > 0.0f;
    a.score.inner = capped ? p.scale / p.softcap : 0.0f;
    a.score.c = (float)((double)(capped ? p.softcap : p.scale) * log2_e);
    a.plan = (const int32_t *)plan;
    switch (act) {
    case DTYPE_ID_F32:
        return run<float>(a, grid, stream);
    case DTYPE_ID_BF16:
        return run<__nv_bfloat16>(a, grid, stream);
    case DTYPE_ID_F16:
        return run<__half>(a, grid, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
