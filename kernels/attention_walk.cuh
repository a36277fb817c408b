/* The kernel that walks keys: a block of threads has WARPS * 16 rows of one item and one kv head,
 * and takes tile after tile of K and V to shared memory, the next while it works on this one.
 *
 * Shared memory: queries [rows], two stages of K and V tiles [2][2][TILE], rows of STRIDE elements
 * each; then the folded state's o, a lane's own numbers together.  Columns beyond E are zero.
 * Queries that are kept in registers pass through the second stage, before its first tile. */
#pragma once

#include "attention_row.cuh"
#include "launch.cuh"

namespace attention
{

struct Arguments {
    void *out;
    const void *qkv, *kv;
    struct k_batch batch;
    int H, G, E, window;
    Score score;
    const int32_t *plan;
    float *workspace;
};

template <typename T, int EP, int WARPS> struct Block {
    using S = Shape<T, EP>;
    static constexpr int THREADS = WARPS * 32;
    static constexpr int ROWS = WARPS * WARP_ROWS;
    static constexpr int TILE_ELEMENTS = S::TILE * S::STRIDE;
    static constexpr int TILES_AT = S::KEEPS_QUERIES ? 0 : ROWS * S::STRIDE;
    static constexpr int QUERIES_AT = S::KEEPS_QUERIES ? 2 * TILE_ELEMENTS : 0;
    static_assert(!S::KEEPS_QUERIES || ROWS <= 2 * S::TILE, "a stage holds the queries");
    static constexpr int SHARED_ELEMENTS = TILES_AT + 4 * TILE_ELEMENTS;
    static constexpr size_t SHARED_BYTES =
        SHARED_ELEMENTS * sizeof(T) + (size_t)S::BLOCKS * THREADS * sizeof(float4);
};

/* Where a row comes from and goes to. */
struct Row {
    bool valid;
    int token, head;
    Seen seen; /* nothing where not valid */
};

/* What all threads of a block agree on. */
struct Work {
    struct k_attention_item item;
    struct k_segment segment;
    int heads, kv_head; /* heads: query heads of a kv head */
    int first, rows;    /* rows [first, first + rows) of the item's, tokens first */
    int chunks_end;
    Seen seen; /* by any row */
};

__device__ __forceinline__ Row row_of(const Arguments &a, const Work &w, int r)
{
    Row row = {r < w.rows, 0, 0, {INT32_MAX, 0}};
    if (row.valid) {
        int f = w.first + r;
        row.token = w.item.token + f / w.heads;
        row.head = w.kv_head * w.heads + f % w.heads;
        row.seen = seen_from(a.batch.position[row.token], a.window);
    }
    return row;
}

/* This block's item; false where there is nothing to do. */
template <typename T, int EP, int WARPS>
__device__ __forceinline__ bool take_work(Work &w, const Arguments &a, bool wide)
{
    constexpr int ROWS = Block<T, EP, WARPS>::ROWS;
    const struct k_attention_head *head = (const struct k_attention_head *)a.plan;
    const struct k_attention_item *items = (const struct k_attention_item *)(head + 1);
    int n = wide ? head->n_wide : head->n_narrow;
    if ((int)blockIdx.x >= n) return false;
    w.item = items[(wide ? 0 : head->n_wide) + (int)blockIdx.x];
    w.heads = a.H / a.G;
    w.kv_head = (int)blockIdx.y % a.G;
    w.first = (int)blockIdx.y / a.G * ROWS;
    w.rows = w.item.n_tokens * w.heads - w.first;
    if (w.rows <= 0) return false;
    w.rows = min(w.rows, ROWS);
    w.segment = a.batch.segments[a.batch.segment_of[w.item.token]];
    w.seen = {INT32_MAX, 0};
    for (int r = threadIdx.x % 32; r < w.rows; r += 32) {
        Seen s = row_of(a, w, r).seen;
        w.seen = {min(w.seen.begin, s.begin), max(w.seen.end, s.end)};
    }
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        w.seen.begin = min(w.seen.begin, __shfl_xor_sync(FULL_WARP, w.seen.begin, lanes));
        w.seen.end = max(w.seen.end, __shfl_xor_sync(FULL_WARP, w.seen.end, lanes));
    }
    w.chunks_end = min(w.item.end, Chunks(w.segment.prefix_len).up_to(w.seen.end));
    return true;
}

/* A place in the walk: a tile of keys that some row sees. */
struct Place {
    int chunk;
    int base;      /* position of the first key of the chunk's part */
    int tile, end; /* tiles [tile, end) of the part are left in this chunk */
    int keys_end;  /* of the part, in its keys: none is read from here on */
};

/* The first place in `chunk` or a later one of the item; false at the end. */
template <int TILE> __device__ __forceinline__ bool enter_chunk(Place &p, const Work &w, int chunk)
{
    Chunks chunks(w.segment.prefix_len);
    for (; chunk < w.chunks_end; chunk += w.item.step) {
        if (!chunks.visible(chunk, w.seen)) continue;
        Seen keys = chunks.keys(chunk);
        p.chunk = chunk;
        p.base = chunk < chunks.of_prefix ? 0 : w.segment.prefix_len;
        p.tile = (max(keys.begin, w.seen.begin) - p.base) / TILE;
        p.end = (min(keys.end, w.seen.end) - p.base + TILE - 1) / TILE;
        p.keys_end =
            (chunk < chunks.of_prefix ? min(w.segment.prefix_len, w.seen.end) : w.seen.end) -
            p.base;
        return true;
    }
    return false;
}

template <int TILE> __device__ __forceinline__ bool next_place(Place &p, const Work &w)
{
    if (++p.tile < p.end) return true;
    return enter_chunk<TILE>(p, w, p.chunk + w.item.step);
}

/* Page numbers, 32 at a time, one in each lane. */
struct Pages {
    int base = -1, group = -1; /* of which part, and pages [32 group, 32 group + 32) of it */
    int32_t page = 0;

    __device__ __forceinline__ void hold(const Arguments &a, const Work &w, const Place &p,
                                         int wanted)
    {
        if (p.base == base && wanted / 32 == group) return;
        base = p.base;
        group = wanted / 32;
        bool own = p.chunk >= Chunks(w.segment.prefix_len).of_prefix;
        int at = group * 32 + (int)threadIdx.x % 32;
        page = 0;
        if (at * PAGE_TOKENS < p.keys_end)
            page = a.batch.pages[(own ? w.segment.own_at : w.segment.prefix_at) + at];
    }
};

/* Begin to copy a tile of K and V, page by page.  Keys that no row has reached and columns beyond E
 * become zero. */
template <typename T, int EP, int WARPS>
__device__ __forceinline__ void load_tile(T *stage, Pages &pages, const Arguments &a, const Work &w,
                                          const Place &p)
{
    using B = Block<T, EP, WARPS>;
    using S = Shape<T, EP>;
    constexpr int ROWS = S::TILE < PAGE_TOKENS ? S::TILE : PAGE_TOKENS;
    int first = p.tile * S::TILE;
    int64_t part = (int64_t)a.G * PAGE_TOKENS * a.E; /* from a page's K to its V */
    pages.hold(a, w, p, first / PAGE_TOKENS);
#pragma unroll
    for (int at = 0; at < S::TILE; at += ROWS) {
        int key = first + at;
        int64_t page = __shfl_sync(FULL_WARP, pages.page, key / PAGE_TOKENS % 32);
        const T *k =
            (const T *)a.kv + page * 2 * part + (w.kv_head * PAGE_TOKENS + key % PAGE_TOKENS) * a.E;
        T *to = stage + at * S::STRIDE;
#pragma unroll 4
        for (int i = 0; i < ROWS * S::VECTORS; i += B::THREADS) {
            int v = i + (int)threadIdx.x, row = v / S::VECTORS;
            int column = v % S::VECTORS * S::VECTOR;
            if (ROWS * S::VECTORS % B::THREADS && row >= ROWS) break;
            const T *from = k + row * a.E + column;
            bool seen = key + row < p.keys_end && column < a.E;
            cp_async_16_or_zero(to + row * S::STRIDE + column, from, seen);
            cp_async_16_or_zero(to + B::TILE_ELEMENTS + row * S::STRIDE + column, from + part,
                                seen);
        }
    }
    cp_async_commit();
}

template <typename T, int EP, int WARPS>
__device__ __forceinline__ void load_queries(T *q, const Arguments &a, const Work &w)
{
    using B = Block<T, EP, WARPS>;
    using S = Shape<T, EP>;
    int64_t stride = ((int64_t)a.H + 2 * a.G) * a.E;
    for (int v = threadIdx.x; v < B::ROWS * S::VECTORS; v += B::THREADS) {
        int r = v / S::VECTORS, column = v % S::VECTORS * S::VECTOR;
        uint4 x = {0, 0, 0, 0};
        if (r < w.rows && column < a.E) {
            int f = w.first + r;
            int64_t token = w.item.token + f / w.heads, head = w.kv_head * w.heads + f % w.heads;
            x = *(const uint4 *)((const T *)a.qkv + token * stride + head * a.E + column);
        }
        *(uint4 *)(q + r * S::STRIDE + column) = x;
    }
}

/* A warp's rows pass one tile; begin, end: visible keys of the lane's rows, counted in the part. */
template <typename T, int EP>
__device__ __forceinline__ void pass_tile(Partial<EP / 8> &x, const Queries<T, EP> &q, const T *k,
                                          const T *v, Score score, int first, const Seen (&seen)[2])
{
    constexpr int TILE = Shape<T, EP>::TILE;
    int begin[2] = {seen[0].begin - first, seen[1].begin - first};
    int end[2] = {seen[0].end - first, seen[1].end - first};
    bool sees = (begin[0] < TILE && end[0] > 0) || (begin[1] < TILE && end[1] > 0);
    if (!__any_sync(FULL_WARP, sees)) return;
    float s[TILE / 8][4];
    scores<T, EP>(s, q, k);
    softmax_step<TILE>(x, s, score, begin, end);
    add_values<T, EP>(x.o, s, v);
}

/* Sum l over the lanes of a row: then all of them have it. */
template <int BLOCKS> __device__ __forceinline__ void gather_sums(Partial<BLOCKS> &x)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        x.l[r] += __shfl_xor_sync(FULL_WARP, x.l[r], 1);
        x.l[r] += __shfl_xor_sync(FULL_WARP, x.l[r], 2);
    }
}

/* The state of a lane's two rows over the chunks so far; o in shared memory, block n at n * stride.
 */
struct State {
    float m[2], l[2];
    float4 *o;
    int stride;
};

template <int BLOCKS>
__device__ __forceinline__ void fold_in(State &s, const Partial<BLOCKS> &x, Score score)
{
    Fold low = fold(s.m[0], s.l[0], x.m[0], x.l[0], score);
    Fold high = fold(s.m[1], s.l[1], x.m[1], x.l[1], score);
#pragma unroll
    for (int n = 0; n < BLOCKS; n++) {
        float4 o = s.o[n * s.stride];
        o.x = folded(low, o.x, x.o[n][0]);
        o.y = folded(low, o.y, x.o[n][1]);
        o.z = folded(high, o.z, x.o[n][2]);
        o.w = folded(high, o.w, x.o[n][3]);
        s.o[n * s.stride] = o;
    }
}

/* A lane's share of its rows' slots: read, nothing where a row sees nothing of it. */
template <int BLOCKS>
__device__ __forceinline__ void read_slots(Partial<BLOCKS> &x, const float *const (&slot)[2], int E)
{
    int pair = threadIdx.x % 4 * 2;
    x.clear();
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (!slot[r]) continue;
        x.m[r] = slot[r][0];
        x.l[r] = slot[r][1];
#pragma unroll
        for (int n = 0; n < BLOCKS; n++) {
            if (n * 8 >= E) break;
            float2 o = *(const float2 *)(slot[r] + 2 + n * 8 + pair);
            x.o[n][2 * r] = o.x;
            x.o[n][2 * r + 1] = o.y;
        }
    }
}

__device__ __forceinline__ int64_t slot_of(const Work &w, const Row &row)
{
    return w.item.slot + (int64_t)(row.token - w.item.token) * w.item.slots;
}

/* Fold the slots that stand before the item's own chunks. */
template <int BLOCKS>
__device__ __forceinline__ void fold_before(State &s, Partial<BLOCKS> &x, const Arguments &a,
                                            const Work &w, const Row (&row)[2])
{
    Chunks chunks(w.segment.prefix_len);
    for (int c = 0; c < w.item.before; c++) {
        const float *slot[2] = {NULL, NULL};
        bool state = w.item.before == 1 && chunks.of_prefix > 1;
#pragma unroll
        for (int r = 0; r < 2; r++)
            if (row[r].valid && (state || chunks.visible(c, row[r].seen)))
                slot[r] = slot_row(a.workspace, slot_of(w, row[r]) + c, a.H, a.E, row[r].head);
        read_slots(x, slot, a.E);
        fold_in(s, x, a.score);
    }
}

/* o.x, o.y belong to row 0 of the lane, o.z, o.w to row 1; columns n * 8 + pair + {0, 1}. */
template <int BLOCKS, typename F>
__device__ __forceinline__ void write_slots(const Arguments &a, const Work &w, const Row (&row)[2],
                                            int offset, const float (&m)[2], const float (&l)[2],
                                            F o_of)
{
    int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (!row[r].valid) continue;
        float *slot = slot_row(a.workspace, slot_of(w, row[r]) + offset, a.H, a.E, row[r].head);
        if (pair == 0) *(float2 *)slot = make_float2(m[r], l[r]);
#pragma unroll
        for (int n = 0; n < BLOCKS; n++) {
            if (n * 8 >= a.E) break;
            float4 o = o_of(n);
            *(float2 *)(slot + 2 + n * 8 + pair) =
                r == 0 ? make_float2(o.x, o.y) : make_float2(o.z, o.w);
        }
    }
}

template <typename T, int BLOCKS>
__device__ __forceinline__ void write_out(const Arguments &a, const Row (&row)[2], const State &s)
{
    int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (!row[r].valid) continue;
        float one_over_l = 1.0f / s.l[r];
        T *out = (T *)a.out + ((int64_t)row[r].token * a.H + row[r].head) * a.E + pair;
#pragma unroll
        for (int n = 0; n < BLOCKS; n++) {
            if (n * 8 >= a.E) break;
            float4 o = s.o[n * s.stride];
            store_pair(out + n * 8, finished(r == 0 ? o.x : o.z, one_over_l),
                       finished(r == 0 ? o.y : o.w, one_over_l));
        }
    }
}

template <typename T, int EP, int WARPS>
static __global__ void __launch_bounds__(WARPS * 32)
    attention_kernel(const __grid_constant__ Arguments a, bool wide)
{
    using B = Block<T, EP, WARPS>;
    using S = Shape<T, EP>;
    DYNAMIC_SHARED(T, shared);
    Work w;
    if (!take_work<T, EP, WARPS>(w, a, wide)) return;

    /* the first tile is on its way while queries and what stands before are fetched */
    T *tiles = shared + B::TILES_AT, *staged = shared + B::QUERIES_AT;
    Pages pages;
    Place place = {}, next;
    bool more = enter_chunk<S::TILE>(place, w, w.item.begin);
    if (more) load_tile<T, EP, WARPS>(tiles, pages, a, w, place);

    State state = {{NOTHING, NOTHING}, {0.0f, 0.0f}, NULL, B::THREADS};
    state.o = (float4 *)(shared + B::SHARED_ELEMENTS) + threadIdx.x;
#pragma unroll
    for (int n = 0; n < S::BLOCKS; n++) state.o[n * B::THREADS] = make_float4(0, 0, 0, 0);
    load_queries<T, EP, WARPS>(staged, a, w);

    int warp = threadIdx.x / 32, r = warp * WARP_ROWS + threadIdx.x % 32 / 4;
    Row row[2] = {row_of(a, w, r), row_of(a, w, r + 8)};
    Partial<S::BLOCKS> x;
    if (w.item.before > 0) fold_before(state, x, a, w, row);
    x.clear();

    __syncthreads(); /* the queries are there */
    Queries<T, EP> q(staged + warp * WARP_ROWS * S::STRIDE);
    for (int stage = 0; more; stage ^= 1) {
        next = place;
        more = next_place<S::TILE>(next, w);
        cp_async_wait<0>();
        /* this tile has come for all, and all have left the one before */
        __syncthreads();
        if (more)
            load_tile<T, EP, WARPS>(tiles + (stage ^ 1) * 2 * B::TILE_ELEMENTS, pages, a, w, next);
        const T *k = tiles + stage * 2 * B::TILE_ELEMENTS;
        Seen seen[2];
#pragma unroll
        for (int i = 0; i < 2; i++)
            seen[i] = {row[i].seen.begin - place.base,
                       min(row[i].seen.end - place.base, place.keys_end)};
        pass_tile<T, EP>(x, q, k, k + B::TILE_ELEMENTS, a.score, place.tile * S::TILE, seen);
        if (!more || next.chunk != place.chunk) {
            gather_sums(x);
            if (w.item.to == ATTENTION_TO_SLOTS)
                write_slots<S::BLOCKS>(a, w, row, place.chunk, x.m, x.l, [&x](int n) {
                    return make_float4(x.o[n][0], x.o[n][1], x.o[n][2], x.o[n][3]);
                });
            else
                fold_in(state, x, a.score);
            x.clear();
        }
        place = next;
    }
    if (w.item.to == ATTENTION_TO_OUT)
        write_out<T, S::BLOCKS>(a, row, state);
    else if (w.item.to == ATTENTION_TO_SLOT)
        write_slots<S::BLOCKS>(a, w, row, 0, state.m, state.l,
                               [&state](int n) { return state.o[n * state.stride]; });
}

} // namespace attention
