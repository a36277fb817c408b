/* Time of the kernels on KV pages, each by its launcher, beside its floor: attention of decoding,
 * prefill and scoring, rotary embedding with the write of K and V, copies and moves of pages.  See
 * gpu_bench.h.
 *
 * Attention's bytes: K and V of the prompt once, however many share it, own tokens once each, the
 * queries and the result.  Its pages lie as an engine's do: page j of all candidates, then page
 * j + 1. */
#include "gpu_bench.h"

#include "attention.h"
#include "backend/backend.h"
#include "backend/cuda/attention_plan.h"
#include "backend/workload.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* B sequences of a prompt of P tokens and S own ones; the last `n` of each are this step's rows (of
 * the prompt itself where S is 0). */
struct point {
    const char *name;
    int64_t B, P, S, n;
};

/* The batch of a point on the device, and what launches need beside it. */
struct work {
    const struct gpu_shape *s;
    struct k_attention p;
    struct k_batch batch;
    struct attention_plan plan;
    int64_t T, n_pages;
    void *plan_device, *workspace;
    float *rope;
};

static size_t page_bytes(const struct gpu_shape *s)
{
    return (size_t)(2 * s->G * PAGE_TOKENS * s->E) * 2;
}

static size_t kv_bytes(const struct work *w)
{
    return (size_t)w->n_pages * page_bytes(w->s);
}

static size_t qkv_bytes(const struct work *w)
{
    return gpu_bench_aligned((size_t)(w->T * (w->s->H + 2 * w->s->G) * w->s->E) * 2);
}

static size_t out_bytes(const struct work *w)
{
    return gpu_bench_aligned((size_t)(w->T * w->s->H * w->s->E) * 2);
}

/* ---- the batch ---- */

/* Page lists in one array: the prompt's, then each sequence's own. */
static int32_t *list_pages(const struct point *p)
{
    int64_t prefix = pages_of(p->P), own = pages_of(p->S);
    int32_t *pages = mem_calloc((size_t)(prefix + p->B * own), sizeof *pages);
    for (int64_t j = 0; j < prefix; j++) pages[j] = to_i32(j);
    for (int64_t i = 0; i < p->B; i++)
        for (int64_t j = 0; j < own; j++)
            pages[prefix + i * own + j] = to_i32(prefix + j * p->B + i);
    return pages;
}

static struct segment *list_segments(const struct point *p, const int32_t *pages)
{
    int64_t prefix = pages_of(p->P), own = pages_of(p->S);
    struct segment *segments = mem_calloc((size_t)p->B, sizeof *segments);
    for (int64_t i = 0; i < p->B; i++)
        segments[i] = (struct segment){.prefix_pages = pages,
                                       .prefix_len = p->P,
                                       .own_pages = p->S ? pages + prefix + i * own : NULL,
                                       .first_position = p->P + p->S - p->n,
                                       .row = i * p->n,
                                       .n_rows = p->n};
    return segments;
}

static void upload_batch(struct work *w, const struct segment *segments, int64_t B,
                         const int32_t *pages)
{
    struct k_segment *on = mem_calloc((size_t)B, sizeof *on);
    int32_t *position = mem_calloc((size_t)w->T, sizeof *position),
            *segment_of = mem_calloc((size_t)w->T, sizeof *segment_of);
    for (int64_t i = 0; i < B; i++) {
        const struct segment *s = &segments[i];
        on[i] = (struct k_segment){0, to_i32(s->prefix_len),
                                   s->own_pages ? to_i32(s->own_pages - pages) : -1, to_i32(s->row),
                                   to_i32(s->n_rows)};
        for (int64_t r = 0; r < s->n_rows; r++) {
            position[s->row + r] = to_i32(s->first_position + r);
            segment_of[s->row + r] = to_i32(i);
        }
    }
    w->batch = (struct k_batch){
        .position = gpu_bench_copy(position, (size_t)w->T * sizeof *position),
        .segment_of = gpu_bench_copy(segment_of, (size_t)w->T * sizeof *segment_of),
        .segments = gpu_bench_copy(on, (size_t)B * sizeof *on),
        .pages = gpu_bench_copy(pages, (size_t)w->n_pages * sizeof *pages),
        .T = to_i32(w->T),
        .S = to_i32(B)};
    free(on);
    free(position);
    free(segment_of);
}

static float *make_rope(const struct gpu_shape *s, int64_t positions)
{
    int64_t half = s->E / 2;
    float *rope = mem_calloc((size_t)(positions * half * 2), sizeof *rope);
    for (int64_t i = 0; i < positions * half; i++) {
        rope[2 * i] = cosf((float)(i % 1000) * 0.01f);
        rope[2 * i + 1] = sinf((float)(i % 1000) * 0.01f);
    }
    float *there = gpu_bench_copy(rope, (size_t)(positions * half * 2) * sizeof *rope);
    free(rope);
    return there;
}

static struct work begin(const struct gpu_bench *b, const struct point *p)
{
    const struct gpu_shape *s = &b->shape;
    struct work w = {
        .s = s,
        .p = {to_i32(s->H), to_i32(s->G), to_i32(s->E), 1.0f / sqrtf((float)s->E), 0, 0},
        .T = p->B * p->n,
        .n_pages = pages_of(p->P) + p->B * pages_of(p->S)};
    int32_t *pages = list_pages(p);
    struct segment *segments = list_segments(p, pages);
    upload_batch(&w, segments, p->B, pages);
    struct attention_target target = {s->H, s->G, b->multiprocessors, w.T + WORK_SPARE_SLOTS};
    attention_plan_make(&w.plan, segments, p->B, 1, &target);
    w.plan_device = gpu_bench_copy(w.plan.data, w.plan.bytes);
    w.workspace = gpu_bench_copy(NULL, k_attention_workspace_bytes(w.plan.n_slots, s->H, s->E));
    w.rope = make_rope(s, p->P + p->S);
    CHECK(k_attention_prepare(DTYPE_ID_BF16, w.p));
    free(pages);
    free(segments);
    return w;
}

static void end(struct work *w)
{
    attention_plan_free(&w->plan);
    CHECK(cudaFree((void *)(uintptr_t)w->batch.position));
    CHECK(cudaFree((void *)(uintptr_t)w->batch.segment_of));
    CHECK(cudaFree((void *)(uintptr_t)w->batch.segments));
    CHECK(cudaFree((void *)(uintptr_t)w->batch.pages));
    CHECK(cudaFree(w->plan_device));
    CHECK(cudaFree(w->workspace));
    CHECK(cudaFree(w->rope));
}

/* ---- launches: memory holds K and V, queries, the result ---- */

static int attention(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct work *w = arg;
    char *qkv = memory + kv_bytes(w), *out = qkv + qkv_bytes(w);
    (void)turn;
    return (int)k_attention_run(out, qkv, memory, DTYPE_ID_BF16, w->batch, w->p, w->plan_device,
                                w->plan.grid, w->workspace, stream);
}

static int rope_kv_write(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct work *w = arg;
    (void)turn;
    return (int)k_rope_kv_write(memory + kv_bytes(w), memory, DTYPE_ID_BF16, w->batch, w->p,
                                w->rope, NULL, NULL, 0, 0, stream);
}

/* ---- points ---- */

/* Keys that the step's rows attend to, all together. */
static double attended(const struct point *p)
{
    double keys = 0;
    for (int64_t r = 0; r < p->n; r++) keys += (double)(p->P + p->S - p->n + r + 1);
    return keys * (double)p->B;
}

static void measure(const struct gpu_bench *b, const struct point *p)
{
    const struct gpu_shape *s = &b->shape;
    struct work w = begin(b, p);
    double q = (double)(w.T * s->H * s->E), kv = (double)(2 * s->G * s->E), T = (double)w.T;
    struct gpu_work line = {
        .rows = w.T, .turn_bytes = kv_bytes(&w) + qkv_bytes(&w) + out_bytes(&w), .arg = &w};
    snprintf(line.shape, sizeof line.shape, "B %lld P %lld S %lld", (long long)p->B,
             (long long)p->P, (long long)p->S);
    line.name = p->name;
    line.launch = attention;
    line.bytes = 2 * (kv * (double)(p->P + p->B * p->S) + 2 * q);
    line.flops = 4 * (double)(s->H * s->E) * attended(p);
    gpu_bench_run(b, &line);
    line.name = "rope_kv_write";
    line.launch = rope_kv_write;
    line.bytes = 2 * (2 * q + 2 * kv * T) + 4 * T * (double)s->E; /* and cos, sin */
    line.flops = 3 * (q + kv / 2 * T);
    gpu_bench_run(b, &line);
    end(&w);
}

static void decode(const struct gpu_bench *b)
{
    static const int64_t full[] = {512, 2048, 64}, own[] = {512, 1024, 64};
    for (int i = 0; i < (b->quick ? 1 : 3); i++)
        for (int j = 0; j < (b->quick ? 1 : 3); j++)
            for (int k = 0; k < b->n_rows; k++)
                measure(b, &(struct point){"attention decode", b->rows[k], b->quick ? 33 : full[i],
                                           b->quick ? 17 : own[j], 1});
}

/* The prompt's last pass: at most 1024 rows. */
static void prefill(const struct gpu_bench *b)
{
    static const int64_t full[] = {64, 512, 2048, 8192};
    for (int i = 0; i < (b->quick ? 1 : 4); i++) {
        int64_t P = b->quick ? 40 : full[i];
        measure(b, &(struct point){"attention prefill", 1, P, 0, P < 1024 ? P : 1024});
    }
}

/* A pass of scoring: chunks of new tokens of many candidates against what is kept. */
static void scoring(const struct gpu_bench *b)
{
    static const int64_t chunks[] = {16, 64, 256};
    for (int i = 0; i < (b->quick ? 1 : 3); i++) {
        int64_t n = b->quick ? 8 : chunks[i];
        measure(b, &(struct point){"attention scoring", b->quick ? 2 : 1024 / n,
                                   b->quick ? 20 : 512, b->quick ? 24 : 512, n});
    }
}

/* ---- pages ---- */

struct pages {
    const struct gpu_shape *s;
    struct kv_place *places; /* device memory */
    int64_t n, pool_pages;
    bool to_flat;
    int64_t blocks;
};

static int copy_page(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct pages *a = arg;
    (void)turn;
    return (int)k_kv_copy(memory, a->s->L, (size_t)a->pool_pages * page_bytes(a->s),
                          page_bytes(a->s), 0, 1, stream);
}

static int move_pages(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    const struct pages *a = arg;
    (void)turn;
    struct k_kv_layers kv = {memory, (size_t)a->pool_pages * page_bytes(a->s), page_bytes(a->s), 0,
                             a->s->L};
    return (int)k_kv_pages(kv, a->places, a->n, a->to_flat, a->blocks, stream);
}

static void measure_moves(const struct gpu_bench *b, struct pages *a, char *flat, const char *where,
                          int64_t blocks)
{
    size_t whole = page_bytes(a->s) * (size_t)a->s->L;
    struct kv_place *places = mem_calloc((size_t)a->n, sizeof *places);
    for (int64_t i = 0; i < a->n; i++)
        places[i] = (struct kv_place){flat + (size_t)i * whole, to_i32(a->n - 1 - i)};
    a->places = gpu_bench_copy(places, (size_t)a->n * sizeof *places);
    a->blocks = blocks;
    for (int to_flat = 0; to_flat < 2; to_flat++) {
        struct gpu_work w = {.name = to_flat ? "kv_pages leaving" : "kv_pages arriving",
                             .rows = a->n,
                             .bytes = 2 * (double)whole * (double)a->n,
                             .turn_bytes = whole * (size_t)a->pool_pages,
                             .launch = move_pages,
                             .arg = a};
        a->to_flat = to_flat;
        snprintf(w.shape, sizeof w.shape, "%zu B each; %s", whole, where);
        gpu_bench_run(b, &w);
    }
    CHECK(cudaFree(a->places));
    free(places);
}

static void pages(const struct gpu_bench *b)
{
    struct pages a = {.s = &b->shape, .n = b->quick ? 3 : 64, .pool_pages = b->quick ? 3 : 64};
    size_t whole = page_bytes(a.s) * (size_t)a.s->L;
    struct gpu_work w = {.name = "kv_copy",
                         .rows = 1,
                         .bytes = 2 * (double)whole,
                         .turn_bytes = whole * (size_t)a.pool_pages,
                         .launch = copy_page,
                         .arg = &a};
    snprintf(w.shape, sizeof w.shape, "%zu B", whole);
    gpu_bench_run(b, &w);
    char *flat = gpu_bench_copy(NULL, whole * (size_t)a.n);
    measure_moves(b, &a, flat, "the device's memory", 256);
    CHECK(cudaFree(flat));
    CHECK(cudaMallocHost((void **)&flat, whole * (size_t)a.n));
    /* its floor is that of the device's memory: compare gb_s with half of ceilings' host_to_device
     */
    measure_moves(b, &a, flat, "pinned memory of the host", 32);
    CHECK(cudaFreeHost(flat));
}

int main(int argc, char **argv)
{
    struct gpu_bench b;
    gpu_bench_begin(&b, argc, argv);
    printf(GPU_BENCH_HEADER);
    decode(&b);
    prefill(&b);
    scoring(&b);
    pages(&b);
    gpu_bench_end(&b);
    return 0;
}
