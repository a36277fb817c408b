/* Per-head RMSNorm of q and k, rotary embedding, q in place, k and v into their pages.
 *
 * A head of one token is done by `lanes` neighbouring threads, N numbers of each half a thread, so
 * that both partners of a pair (j, j + E / 2) are at hand.  In f32 from load to store.  The squares
 * of a head: a thread's, first half then second, then the threads' (sum_of_lanes); an order that
 * depends on E and the type alone.
 * Bytes: qkv read once; q, k and v written once. */
#include "kernels.h"
#include "rows.cuh"

#define THREADS 256

/* Where the token's k of kv head g goes; its v lies G heads of a page further. */
template <typename T>
static __device__ __forceinline__ T *page_place(T *kv, const struct k_batch &batch,
                                                const struct k_attention &p, int64_t t, int64_t g)
{
    const struct k_segment segment = batch.segments[batch.segment_of[t]];
    int32_t position = batch.position[t];
    bool in_prefix = position < segment.prefix_len;
    int32_t place = in_prefix ? position : position - segment.prefix_len;
    int32_t first = in_prefix ? segment.prefix_at : segment.own_at;
    int64_t page = batch.pages[first + place / PAGE_TOKENS];
    return kv + ((page * 2 * p.G + g) * PAGE_TOKENS + place % PAGE_TOKENS) * p.E;
}

template <typename T, bool whole>
static __global__ void rope_kv_write_kernel(T *qkv, T *kv, struct k_batch batch,
                                            struct k_attention p, unsigned lanes, const float *rope,
                                            const float *q_norm, const float *k_norm, float eps,
                                            float w_offset)
{
    constexpr int N = vector_of<T>;
    unsigned heads = static_cast<unsigned>(p.H + 2 * p.G),
             thread = blockIdx.x * THREADS + threadIdx.x;
    unsigned unit = thread / lanes;
    int64_t half = p.E / 2, j = thread % lanes * N, t = unit / heads, h = unit % heads;
    /* Threads without work go on to the shuffles. */
    bool has_work = t < batch.T && j < half && batch.segment_of[t] >= 0;
    bool is_q = h < p.H, is_v = h >= p.H + p.G;
    T *x = qkv + static_cast<int64_t>(unit) * p.E + j;
    float low[N] = {0}, high[N] = {0};
    if (has_work) {
        load_some<whole>(low, x, half - j);
        load_some<whole>(high, x + half, half - j);
    }
    if (q_norm || k_norm) {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < N; i++) sum = fmaf(low[i], low[i], sum);
#pragma unroll
        for (int i = 0; i < N; i++) sum = fmaf(high[i], high[i], sum);
        float r = 1.0f /
                  sqrtf(sum_of_lanes(sum, static_cast<int>(lanes)) / static_cast<float>(p.E) + eps);
        const float *norm = is_q ? q_norm : is_v ? NULL : k_norm;
        if (has_work && norm) {
            float w[N];
            load_some<whole>(w, norm + j, half - j);
#pragma unroll
            for (int i = 0; i < N; i++) low[i] = low[i] * r * (w[i] + w_offset);
            load_some<whole>(w, norm + half + j, half - j);
#pragma unroll
            for (int i = 0; i < N; i++) high[i] = high[i] * r * (w[i] + w_offset);
        }
    }
    if (!has_work) return;
    if (!is_v) {
        float turn[2 * N]; /* cos, sin of each pair */
        load_some<whole>(turn, rope + (batch.position[t] * half + j) * 2, 2 * (half - j));
#pragma unroll
        for (int i = 0; i < N; i++) {
            float c = turn[2 * i], s = turn[2 * i + 1], l = low[i], u = high[i];
            low[i] = fmaf(l, c, -(u * s));
            high[i] = fmaf(u, c, l * s);
        }
    }
    if (!is_q) {
        int64_t g = (h - p.H) % p.G + (is_v ? p.G : 0);
        x = page_place(kv, batch, p, t, g) + j;
    }
    store_some<whole>(x, low, half - j);
    store_some<whole>(x + half, high, half - j);
}

extern "C" cudaError_t k_rope_kv_write(void *qkv, void *kv_layer, enum dtype act,
                                       struct k_batch batch, struct k_attention p,
                                       const float *rope, const float *q_norm, const float *k_norm,
                                       float eps, float w_offset, cudaStream_t stream)
{
    if (batch.T == 0) return cudaSuccess;
    bool whole = is_whole(p.E / 2, act) && is_aligned(qkv) && is_aligned(kv_layer) &&
                 is_aligned(rope) && is_aligned(q_norm) && is_aligned(k_norm);
    int lanes = 1, needed = static_cast<int>(ceil_div(p.E / 2, act == DTYPE_ID_F32 ? 4 : 8));
    while (lanes < needed) lanes *= 2;
    if (p.E % 2 != 0 || lanes > 32) return cudaErrorInvalidValue;
    int64_t threads = static_cast<int64_t>(batch.T) * (p.H + 2 * p.G) * lanes;
    if (threads >= INT32_MAX) return cudaErrorInvalidValue;
    return launch_for(act, whole, [&](auto type, auto is_whole) {
        using T = typename decltype(type)::type;
        LAUNCH((rope_kv_write_kernel<T, decltype(is_whole)::value>),
               dim3(static_cast<unsigned>(ceil_div(threads, THREADS))), THREADS, 0, stream,
               static_cast<T *>(qkv), static_cast<T *>(kv_layer), batch, p,
               static_cast<unsigned>(lanes), rope, q_norm, k_norm, eps, w_offset);
    });
}
