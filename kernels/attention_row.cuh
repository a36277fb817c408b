/* The arithmetic of a row of attention: the one place that decides its bits (attention.h).
 *
 * A warp holds 16 rows as the tensor core has them: lane l has rows l / 4 and l / 4 + 8 of the
 * warp, of each block of 8 columns (keys of a tile, or values) those at 2 (l % 4) + {0, 1}.
 * A score is s = q.k, or tanh(q.k scale / cap), and its weight 2^(c (s - m)) with c = scale log2 e,
 * or cap log2 e: what is rounded is the difference to the maximum, so that large scores lose
 * nothing.  Per tile, with m' = max(m, s) over its visible keys:
 *     p = 2^(c (s - m')),  keep = 2^(c (m - m')),  l = l keep + sum p,  o = o keep + p v
 * all in f32.  l is summed per lane, and over the four lanes of a row at the chunk's end.  16-bit
 * types go through the tensor cores, p as the sum of two numbers of that type, so that the result
 * is as good as with p in f32 (it loses 2^-17 of p at most; one alone would lose 2^-9); f32 is
 * multiplied and added, keys and columns in order.  A row's bits do not depend on its place in the
 * warp, as every row takes the same path through instructions that treat rows alike. */
#pragma once

#include "attention.h"
#include "ptx.cuh"
#include "rows.cuh"

#include <math.h>

namespace attention
{

constexpr int WARP_ROWS = 16;
constexpr float NOTHING = -INFINITY;

/* Of heads of up to EP columns (a multiple of 16), padded with zeros in shared memory. */
template <typename T, int EP> struct Shape {
    static constexpr int ROW_BYTES = EP * (int)sizeof(T);
    static constexpr int TILE = ROW_BYTES <= 256 ? 32 : ROW_BYTES <= 512 ? 16 : 8; /* keys */
    static constexpr int BLOCKS = EP / 8;              /* of columns, in a lane's o */
    static constexpr int VECTOR = 16 / (int)sizeof(T); /* elements of 16 bytes */
    static constexpr int VECTORS = EP / VECTOR;        /* of a row */
    static constexpr int STRIDE = EP + VECTOR; /* of rows in shared memory: no bank conflicts */
    /* Queries wait in registers where these have room, so that shared memory has it for more
     * blocks. */
    static constexpr bool KEEPS_QUERIES = sizeof(T) == 2 && EP <= 128;
};

/* From q.k to weights; scale > 0. */
struct Score {
    float inner; /* s = tanh(inner q.k); 0: s = q.k */
    float c;     /* weight 2^(c (s - m)) */

    __device__ __forceinline__ float weight(float s, float m) const { return exp2f((s - m) * c); }
};

/* The running softmax of a lane's two rows over one chunk; l: this lane's share. */
template <int BLOCKS> struct Partial {
    float m[2], l[2], o[BLOCKS][4];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            m[r] = NOTHING;
            l[r] = 0.0f;
        }
#pragma unroll
        for (int n = 0; n < BLOCKS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) o[n][i] = 0.0f;
    }
};

__device__ __forceinline__ uint32_t packed(__nv_bfloat16 low, __nv_bfloat16 high)
{
    return __bfloat16_as_ushort(low) | (uint32_t)__bfloat16_as_ushort(high) << 16;
}

__device__ __forceinline__ uint32_t packed(__half low, __half high)
{
    return __half_as_ushort(low) | (uint32_t)__half_as_ushort(high) << 16;
}

/* A warp's queries [16, EP]: in shared memory, or taken from there as the tensor cores want them.
 */
template <typename T, int EP, bool kept = Shape<T, EP>::KEEPS_QUERIES> struct Queries {
    const T *q;
    __device__ __forceinline__ explicit Queries(const T *shared) : q(shared) {}
};

template <typename T, int EP> struct Queries<T, EP, true> {
    uint32_t a[EP / 16][4];
    __device__ __forceinline__ explicit Queries(const T *shared)
    {
        int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < EP / 16; i++)
            ldmatrix_x4(a[i], shared + lane % 16 * Shape<T, EP>::STRIDE + lane / 16 * 8 + 16 * i);
    }
};

/* s [16, TILE] = q [16, EP] k [TILE, EP]^T, k in shared memory. */
template <typename T, int EP>
__device__ __forceinline__ void scores(float (&s)[Shape<T, EP>::TILE / 8][4],
                                       const Queries<T, EP> &queries, const T *k)
{
    using S = Shape<T, EP>;
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < S::TILE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s[n][i] = 0.0f;
    if constexpr (sizeof(T) == 2) {
        const T *k_at = k + (lane / 16 * 8 + lane % 8) * S::STRIDE + lane / 8 % 2 * 8;
#pragma unroll
        for (int e = 0; e < EP; e += 16) {
            uint32_t a[4], b[4];
            if constexpr (S::KEEPS_QUERIES)
                memcpy(a, queries.a[e / 16], sizeof a);
            else
                ldmatrix_x4(a, queries.q + lane % 16 * S::STRIDE + lane / 16 * 8 + e);
#pragma unroll
            for (int n = 0; n < S::TILE / 8; n += 2) {
                ldmatrix_x4(b, k_at + n * 8 * S::STRIDE + e);
                mma_m16n8k16<T>(s[n], a, b[0], b[1]);
                mma_m16n8k16<T>(s[n + 1], a, b[2], b[3]);
            }
        }
    } else {
        const T *q_at = queries.q + lane / 4 * S::STRIDE, *k_at = k + lane % 4 * 2 * S::STRIDE;
#pragma unroll 2
        for (int e = 0; e < EP; e += 4) {
            float4 q4[2] = {*(const float4 *)(q_at + e),
                            *(const float4 *)(q_at + 8 * S::STRIDE + e)};
#pragma unroll
            for (int n = 0; n < S::TILE / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float4 k4 = *(const float4 *)(k_at + (n * 8 + i % 2) * S::STRIDE + e);
                    float4 a = q4[i / 2];
                    s[n][i] = fmaf(a.x, k4.x, s[n][i]);
                    s[n][i] = fmaf(a.y, k4.y, s[n][i]);
                    s[n][i] = fmaf(a.z, k4.z, s[n][i]);
                    s[n][i] = fmaf(a.w, k4.w, s[n][i]);
                }
        }
    }
}

/* Two neighbours of a result. */
template <typename T> __device__ __forceinline__ void store_pair(T *to, float x, float y)
{
    if constexpr (sizeof(T) == 2)
        *(uint32_t *)to = packed(narrow<T>(x), narrow<T>(y));
    else
        *(float2 *)to = make_float2(x, y);
}

/* Two numbers of type T whose sum is p, for a pair of neighbours. */
template <typename T>
__device__ __forceinline__ void split(uint32_t &high, uint32_t &low, const float *p)
{
    T h[2] = {narrow<T>(p[0]), narrow<T>(p[1])};
    high = packed(h[0], h[1]);
    low = packed(narrow<T>(p[0] - widen(h[0])), narrow<T>(p[1] - widen(h[1])));
}

/* o [16, EP] += p [16, TILE] v [TILE, EP], v in shared memory. */
template <typename T, int EP>
__device__ __forceinline__ void add_values(float (&o)[EP / 8][4],
                                           const float (&p)[Shape<T, EP>::TILE / 8][4], const T *v)
{
    using S = Shape<T, EP>;
    int lane = threadIdx.x % 32;
    if constexpr (sizeof(T) == 2) {
        const T *v_at = v + lane % 16 * S::STRIDE + lane / 16 * 8;
#pragma unroll
        for (int j = 0; j < S::TILE / 8; j += 2) {
            uint32_t high[4], low[4], b[4];
#pragma unroll
            for (int i = 0; i < 4; i++) split<T>(high[i], low[i], &p[j + i / 2][i % 2 * 2]);
#pragma unroll
            for (int n = 0; n < EP / 8; n += 2) {
                ldmatrix_x4_trans(b, v_at + j * 8 * S::STRIDE + n * 8);
                mma_m16n8k16<T>(o[n], high, b[0], b[1]);
                mma_m16n8k16<T>(o[n + 1], high, b[2], b[3]);
                mma_m16n8k16<T>(o[n], low, b[0], b[1]);
                mma_m16n8k16<T>(o[n + 1], low, b[2], b[3]);
            }
        }
    } else {
        const T *v_at = v + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < S::TILE; j++) {
            int owner = lane / 4 * 4 + j % 8 / 2;
            float p_low = __shfl_sync(FULL_WARP, p[j / 8][j % 2], owner);
            float p_high = __shfl_sync(FULL_WARP, p[j / 8][2 + j % 2], owner);
#pragma unroll
            for (int n = 0; n < EP / 8; n++) {
                float2 v2 = *(const float2 *)(v_at + j * S::STRIDE + n * 8);
                o[n][0] = fmaf(p_low, v2.x, o[n][0]);
                o[n][1] = fmaf(p_low, v2.y, o[n][1]);
                o[n][2] = fmaf(p_high, v2.x, o[n][2]);
                o[n][3] = fmaf(p_high, v2.y, o[n][3]);
            }
        }
    }
}

/* Products s to weights of this tile, and the sums so far to its maximum.  Of row r of the lane,
 * keys [begin[r], end[r]) of the tile are visible. */
template <int TILE, int BLOCKS>
__device__ __forceinline__ void softmax_step(Partial<BLOCKS> &x, float (&s)[TILE / 8][4],
                                             Score score, const int (&begin)[2],
                                             const int (&end)[2])
{
    int pair = threadIdx.x % 4 * 2;
    float top[2] = {NOTHING, NOTHING}, keep[2], sum[2] = {0.0f, 0.0f};
    if (score.inner > 0.0f) {
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) s[n][i] = tanhf(s[n][i] * score.inner);
    }
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int key = n * 8 + pair + i % 2, r = i / 2;
            if (key < begin[r] || key >= end[r]) s[n][i] = NOTHING;
            top[r] = fmaxf(top[r], s[n][i]);
        }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        top[r] = fmaxf(top[r], __shfl_xor_sync(FULL_WARP, top[r], 1));
        top[r] = fmaxf(top[r], __shfl_xor_sync(FULL_WARP, top[r], 2));
        top[r] = fmaxf(top[r], x.m[r]);
        /* nothing seen yet: 2^(-inf - 0) = 0 instead of 2^(-inf + inf) */
        float base = top[r] == NOTHING ? 0.0f : top[r];
        keep[r] = score.weight(x.m[r], base);
        x.m[r] = top[r];
        top[r] = base;
    }
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            s[n][i] = score.weight(s[n][i], top[i / 2]);
            sum[i / 2] += s[n][i];
        }
#pragma unroll
    for (int r = 0; r < 2; r++) x.l[r] = fmaf(x.l[r], keep[r], sum[r]);
    /* to multiply by one changes nothing: mostly it can be left out */
    if (__any_sync(FULL_WARP, !(keep[0] == 1.0f && keep[1] == 1.0f))) {
#pragma unroll
        for (int n = 0; n < BLOCKS; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) x.o[n][i] *= keep[i / 2];
    }
}

/* A state (m, l, o) and the next chunk's (m2, l2, o2): m and l here, then o = o keep + o2 add.  A
 * chunk of which nothing is visible (-inf, 0, 0) leaves it as it is, a state of nothing becomes the
 * chunk's. */
struct Fold {
    float keep, add;
};

__device__ __forceinline__ Fold fold(float &m, float &l, float m2, float l2, Score score)
{
    float top = fmaxf(m, m2), base = top == NOTHING ? 0.0f : top;
    Fold f = {score.weight(m, base), score.weight(m2, base)};
    l = fmaf(l, f.keep, l2 * f.add);
    m = top;
    return f;
}

__device__ __forceinline__ float folded(Fold f, float o, float o2)
{
    return fmaf(o, f.keep, o2 * f.add);
}

/* One element of the result.  Adding zero makes -0 of +0: which zero o is may depend on tiles that
 * the row does not see. */
__device__ __forceinline__ float finished(float o, float one_over_l)
{
    return fmaf(o, one_over_l, 0.0f);
}

/* What a row sees: positions [begin, end). */
struct Seen {
    int begin, end;
};

__device__ __forceinline__ Seen seen_from(int position, int window)
{
    return {window > 0 && position >= window ? position - window + 1 : 0, position + 1};
}

/* Chunks of a segment, numbered through. */
struct Chunks {
    int prefix_len, of_prefix;

    __device__ __forceinline__ explicit Chunks(int prefix)
        : prefix_len(prefix), of_prefix((prefix + ATTENTION_CHUNK - 1) / ATTENTION_CHUNK)
    {
    }
    /* How many chunks there are up to a row that sees to `end`. */
    __device__ __forceinline__ int up_to(int end) const
    {
        return end <= prefix_len
                   ? (end + ATTENTION_CHUNK - 1) / ATTENTION_CHUNK
                   : of_prefix + (end - prefix_len + ATTENTION_CHUNK - 1) / ATTENTION_CHUNK;
    }
    /* The first chunk that a row sees of which sees from `begin`. */
    __device__ __forceinline__ int from(int begin) const
    {
        return begin < prefix_len ? begin / ATTENTION_CHUNK
                                  : of_prefix + (begin - prefix_len) / ATTENTION_CHUNK;
    }
    /* The keys of a chunk: positions. */
    __device__ __forceinline__ Seen keys(int chunk) const
    {
        if (chunk >= of_prefix) {
            int begin = prefix_len + (chunk - of_prefix) * ATTENTION_CHUNK;
            return {begin, begin + ATTENTION_CHUNK};
        }
        int begin = chunk * ATTENTION_CHUNK;
        return {begin, min(begin + ATTENTION_CHUNK, prefix_len)};
    }
    __device__ __forceinline__ bool visible(int chunk, Seen seen) const
    {
        Seen k = keys(chunk);
        return max(k.begin, seen.begin) < min(k.end, seen.end);
    }
};

/* A row of a slot: m, l, then o [E]. */
__device__ __forceinline__ float *slot_row(float *workspace, int64_t slot, int H, int E, int head)
{
    return workspace + (slot * H + head) * (E + 2);
}

} // namespace attention
