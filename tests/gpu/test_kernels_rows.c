/* The kernels over rows against the cpu's ops, bit for bit where nothing is added up in another
 * order, and against oracles in double elsewhere.  Every shape also as a row alone: its bits must
 * not change. */
#include "kernels.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "kernel_test.h"
#include "ref/compare.h"
#include "ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const enum dtype types[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16};
#define TYPES (sizeof types / sizeof *types)

/* ---- numbers of a type ---- */

/* To nearest, ties to even: what a kernel's last step does to a number of f32. */
static uint16_t narrowed(float f, enum dtype type)
{
    if (type == DTYPE_ID_BF16) {
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    double size = fabs((double)f);
    if (size >= 65520) return sign | 0x7c00;
    int exponent = size < 0x1p-14 ? -14 : ilogb(size);
    int units = (int)nearbyint(ldexp(size, 10 - exponent));
    return (uint16_t)(sign | (units + ((exponent + 14) << 10)));
}

/* n numbers of f32 as `type`, on the host; caller frees. */
static void *as_type(const float *x, int64_t n, enum dtype type)
{
    if (type == DTYPE_ID_F32) {
        float *same = mem_calloc((size_t)n, sizeof *same);
        memcpy(same, x, (size_t)n * sizeof *same);
        return same;
    }
    uint16_t *half = mem_calloc((size_t)n, sizeof *half);
    for (int64_t i = 0; i < n; i++) half[i] = narrowed(x[i], type);
    return half;
}

/* Random numbers that `type` holds exactly, as f32; caller frees. */
static float *random_of(int64_t n, uint64_t seed, float spread, enum dtype type)
{
    float *x = mem_calloc((size_t)n, sizeof *x);
    fill_random(x, n, seed);
    for (int64_t i = 0; i < n; i++) x[i] *= spread;
    void *rounded = as_type(x, n, type);
    dtype_widen(x, rounded, type, (size_t)n);
    free(rounded);
    return x;
}

/* ---- device memory ---- */

/* Numbers of f32, as `type`. */
static void *to_device(const float *x, int64_t n, enum dtype type)
{
    void *rounded = as_type(x, n, type), *p = on_device(rounded, (size_t)n * dtype_bytes(type));
    free(rounded);
    return p;
}

/* `bytes` of NaN: what is not written shows. */
static void *unwritten(size_t bytes)
{
    void *p;
    CHECK(cudaMalloc(&p, bytes));
    CHECK(cudaMemset(p, 0xff, bytes));
    return p;
}

/* Device numbers as f32; caller frees. */
static float *from_device(const void *device, int64_t n, enum dtype type)
{
    size_t bytes = (size_t)n * dtype_bytes(type);
    void *host = mem_calloc(1, bytes);
    float *x = mem_calloc((size_t)n, sizeof *x);
    CHECK(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    dtype_widen(x, host, type, (size_t)n);
    free(host);
    return x;
}

/* The bytes of `device` are those of f32 numbers, rounded to `type`. */
static void assert_rounded(const void *device, const float *want, int64_t n, enum dtype type)
{
    size_t bytes = (size_t)n * dtype_bytes(type);
    void *got = mem_calloc(1, bytes), *rounded = as_type(want, n, type);
    CHECK(cudaMemcpy(got, device, bytes, cudaMemcpyDeviceToHost));
    assert_memory_equal(got, rounded, bytes);
    free(got);
    free(rounded);
}

static void assert_same_bytes(const void *device, const void *device_too, size_t bytes)
{
    void *a = mem_calloc(1, bytes), *b = mem_calloc(1, bytes);
    CHECK(cudaMemcpy(a, device, bytes, cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(b, device_too, bytes, cudaMemcpyDeviceToHost));
    assert_memory_equal(a, b, bytes);
    free(a);
    free(b);
}

/* Rows whose sums run in another order than the oracle's: in f32 1e-5 in norm; rounded to 16 bits
 * 3e-3 in norm, and no number off by more than 2 of its last places and 1e-3 of its row's largest.
 */
static void assert_close(const char *what, const float *got, const double *want, int64_t rows,
                         int64_t width, enum dtype type)
{
    double last_place = type == DTYPE_ID_BF16 ? 0x1p-7 : 0x1p-10;
    double tolerance = type == DTYPE_ID_F32 ? 1e-5 : 3e-3;
    assert_true(close_to(what, got, want, rows * width, tolerance * tolerance));
    for (int64_t r = 0; type != DTYPE_ID_F32 && r < rows; r++, got += width, want += width) {
        double largest = 0;
        for (int64_t i = 0; i < width; i++) largest = fmax(largest, fabs(want[i]));
        for (int64_t i = 0; i < width; i++)
            assert_true(fabs((double)got[i] - want[i]) <=
                        2 * last_place * fabs(want[i]) + 1e-3 * largest);
    }
}

static struct backend *cpu_create(void)
{
    struct err e = {{0}};
    struct backend *b = backend_cpu_create(world, DTYPE_ID_F32, 2, &e);
    if (!b) fail_msg("%s", e.text);
    return b;
}

/* ---- embedding ---- */

static void check_embed(enum dtype type, int64_t T, int64_t D, float scale)
{
    enum { ROWS = 37, BEGIN = 5 };
    struct backend *b = cpu_create();
    float *table = random_of(ROWS * D, 3, 1, type);
    float *want = mem_calloc((size_t)(T * D), sizeof *want);
    int32_t *token = mem_calloc((size_t)T, sizeof *token);
    for (int64_t t = 0; t < T; t++) token[t] = (int32_t)(t * 7 % (ROWS + 2 * BEGIN)) - 1;
    struct batch batch = {.token = token, .T = T};
    b->ops->batch_begin(b, NULL, &batch);
    b->ops->embed(b, want, table, T, D, BEGIN, ROWS, scale);

    void *device_table = to_device(table, ROWS * D, type);
    int32_t *device_token = on_device(token, (size_t)T * sizeof *token);
    float *out = unwritten((size_t)(T * D) * sizeof *out);
    struct k_batch k = {.token = device_token, .T = (int32_t)T};
    CHECK(k_embed(out, device_table, type, k, D, BEGIN, ROWS, scale, NULL));
    assert_rounded(out, want, T * D, DTYPE_ID_F32);
    cudaFree(device_table);
    cudaFree(device_token);
    cudaFree(out);
    free(table);
    free(want);
    free(token);
    backend_destroy(b);
}

static void test_embed(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 8, 13, 32, 64, 172, 1032, 2064};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            check_embed(types[i], 19, widths[w], w % 2 ? 1.0f : sqrtf(32));
}

/* ---- norms ---- */

/* Rows of ordinary numbers, one of zeros, one with a number far above the rest. */
static void check_norm(enum dtype type, int64_t T, int64_t D, bool residual, float w_offset)
{
    float *x = random_of(T * D, 1, 3, DTYPE_ID_F32), *delta = random_of(T * D, 2, 1, DTYPE_ID_F32);
    float *w = random_of(D, 3, 1, DTYPE_ID_F32), *sum = mem_calloc((size_t)(T * D), sizeof *sum);
    double *want = mem_calloc((size_t)(T * D), sizeof *want);
    for (int64_t d = 0; d < D; d++) x[D + d] = delta[D + d] = 0;
    x[2 * D + D / 2] = 3e4f;
    for (int64_t i = 0; i < T * D; i++) sum[i] = residual ? x[i] + delta[i] : x[i];
    ref_rmsnorm(want, sum, w, T, D, 1e-6, (double)w_offset);

    float *dev_x = to_device(x, T * D, DTYPE_ID_F32), *dev_w = to_device(w, D, DTYPE_ID_F32);
    float *dev_delta = to_device(delta, T * D, DTYPE_ID_F32);
    void *out = unwritten((size_t)(T * D) * dtype_bytes(type));
    if (residual)
        CHECK(k_residual_rmsnorm(out, type, dev_x, dev_delta, dev_w, T, D, 1e-6f, w_offset, NULL));
    else
        CHECK(k_rmsnorm(out, type, dev_x, dev_w, T, D, 1e-6f, w_offset, NULL));
    assert_rounded(dev_x, sum, T * D, DTYPE_ID_F32);
    float *got = from_device(out, T * D, type);
    assert_close("rmsnorm", got, want, T, D, type);
    for (int64_t d = 0; d < D; d++) assert_true(got[D + d] == 0);
    /* each row alone, of x that is summed already; f32 in place */
    void *alone = unwritten((size_t)D * dtype_bytes(type));
    for (int64_t t = 0; t < T; t++) {
        const char *row = (const char *)out + (size_t)(t * D) * dtype_bytes(type);
        CHECK(k_rmsnorm(alone, type, dev_x + t * D, dev_w, 1, D, 1e-6f, w_offset, NULL));
        assert_same_bytes(alone, row, (size_t)D * dtype_bytes(type));
    }
    if (type == DTYPE_ID_F32) {
        CHECK(k_rmsnorm(dev_x, type, dev_x, dev_w, T, D, 1e-6f, w_offset, NULL));
        assert_same_bytes(dev_x, out, (size_t)(T * D) * sizeof(float));
    }
    cudaFree(dev_x);
    cudaFree(dev_w);
    cudaFree(dev_delta);
    cudaFree(out);
    cudaFree(alone);
    free(x);
    free(delta);
    free(w);
    free(sum);
    free(want);
    free(got);
}

static void test_norm(void **state)
{
    (void)state;
    static const int64_t widths[] = {8, 13, 32, 172, 288, 1027, 4096, 16384, 17000, 17001};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            check_norm(types[i], 4, widths[w], true, w % 2 ? 1.0f : 0.0f);
            check_norm(types[i], 4, widths[w], false, w % 2 ? 0.0f : 1.0f);
        }
}

/* ---- gated activations ---- */

static void check_glu(enum dtype type, int64_t T, int64_t F, enum activation activation)
{
    struct backend *b = cpu_create();
    float *x = random_of(T * 2 * F, (uint64_t)F, 12, type);
    float *want = mem_calloc((size_t)(T * F), sizeof *want);
    if (type == DTYPE_ID_F32) x[0] = -200, x[1] = 200, x[2] = -0.0f;
    b->ops->glu(b, want, x, T, F, activation);
    void *in = to_device(x, T * 2 * F, type), *out = unwritten((size_t)(T * F) * dtype_bytes(type));
    CHECK(k_glu(out, in, type, T, F, activation, NULL));
    assert_rounded(out, want, T * F, type);
    cudaFree(in);
    cudaFree(out);
    free(x);
    free(want);
    backend_destroy(b);
}

static void test_glu(void **state)
{
    (void)state;
    static const int64_t widths[] = {3, 32, 172, 173, 1400, 4104};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (int a = ACT_SILU; a <= ACT_RELU; a++)
                check_glu(types[i], 5, widths[w], (enum activation)a);
}

/* ---- flat ops ---- */

static void test_softcap(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 7, 1024, 5000, 5001};
    struct backend *b = cpu_create();
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int64_t n = lengths[l];
        float *want = random_of(n, 9, 120, DTYPE_ID_F32), *x = to_device(want, n, DTYPE_ID_F32);
        b->ops->softcap(b, want, n, 30);
        CHECK(k_softcap(x, n, 30, NULL));
        assert_rounded(x, want, n, DTYPE_ID_F32);
        cudaFree(x);
        free(want);
    }
    backend_destroy(b);
}

static void test_bias(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 48, 172, 2050};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            int64_t T = 7, N = widths[w];
            size_t bytes = (size_t)(T * N) * dtype_bytes(types[i]);
            float *x = random_of(T * N, 4, 5, DTYPE_ID_F32);
            float *bias = random_of(N, 5, 1, DTYPE_ID_F32);
            float *dev_x = to_device(x, T * N, DTYPE_ID_F32),
                  *dev_bias = to_device(bias, N, DTYPE_ID_F32);
            void *out = unwritten(bytes);
            CHECK(k_add_bias(out, types[i], dev_x, dev_bias, T, N, NULL));
            for (int64_t j = 0; j < T * N; j++) x[j] += bias[j % N];
            assert_rounded(out, x, T * N, types[i]);
            if (types[i] == DTYPE_ID_F32) {
                CHECK(k_add_bias(dev_x, types[i], dev_x, dev_bias, T, N, NULL));
                assert_same_bytes(dev_x, out, bytes);
            }
            cudaFree(dev_x);
            cudaFree(dev_bias);
            cudaFree(out);
            free(x);
            free(bias);
        }
}

static void test_gather_rows(void **state)
{
    (void)state;
    enum { N = 11, R = 6 };
    static const int32_t rows[R] = {10, 0, 3, 3, 7, 1};
    static const size_t sizes[] = {1, 7, 12, 64, 346, 8192, 16400};
    int32_t *dev_rows = on_device(rows, sizeof rows);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = sizes[i];
        unsigned char *x = mem_calloc(N, bytes);
        for (size_t j = 0; j < N * bytes; j++) x[j] = (unsigned char)(j * 31 + j / 256);
        char *dev_x = on_device(x, N * bytes), *out = unwritten(R * bytes);
        CHECK(k_gather_rows(out, dev_x, dev_rows, R, bytes, NULL));
        for (size_t r = 0; r < R; r++)
            assert_same_bytes(out + r * bytes, dev_x + (size_t)rows[r] * bytes, bytes);
        cudaFree(dev_x);
        cudaFree(out);
        free(x);
    }
    cudaFree(dev_rows);
}

static void test_kv_copy(void **state)
{
    (void)state;
    enum { L = 3, PAGES = 5 };
    static const size_t sizes[] = {16, 512, 8192, 65536 + 16};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t page = sizes[i], layer = (PAGES + 1) * page; /* something between the layers */
        unsigned char *want = mem_calloc(L, layer), *got = mem_calloc(L, layer);
        for (size_t j = 0; j < L * layer; j++) want[j] = (unsigned char)(j * 13 + j / 251);
        void *kv = on_device(want, L * layer);
        CHECK(k_kv_copy(kv, L, layer, page, 4, 1, NULL));
        CHECK(cudaMemcpy(got, kv, L * layer, cudaMemcpyDeviceToHost));
        for (size_t l = 0; l < L; l++)
            memcpy(want + l * layer + 4 * page, want + l * layer + page, page);
        assert_memory_equal(got, want, L * layer);
        cudaFree(kv);
        free(want);
        free(got);
    }
}

/* To pinned memory of the host, and back to other pages; one layer, or all. */
static void test_kv_pages(void **state)
{
    (void)state;
    enum { L = 3, PAGES = 7, N = 4 };
    static const size_t sizes[] = {16, 512, 8192, 65536 + 16};
    static const int32_t away[N] = {5, 0, 6, 2}, home[N] = {1, 5, 2, 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t page = sizes[i], layer = (PAGES + 1) * page; /* something between the layers */
        unsigned char *want = mem_calloc(L, layer), *got = mem_calloc(L, layer), *parked;
        struct kv_place places[N];
        for (size_t j = 0; j < L * layer; j++) want[j] = (unsigned char)(j * 13 + j / 251);
        void *kv = on_device(want, L * layer);
        CHECK(cudaMallocHost((void **)&parked, N * L * page));
        for (size_t p = 0; p < N; p++)
            places[p] = (struct kv_place){parked + (N - 1 - p) * L * page, away[p]};
        struct kv_place *on = on_device(places, sizeof places);
        struct k_kv_layers all = {
            .data = kv, .layer_bytes = layer, .page_bytes = page, .n_layers = L};
        CHECK(k_kv_pages(all, on, N, true, 3, NULL));
        CHECK(cudaDeviceSynchronize());
        for (size_t p = 0; p < N; p++)
            for (size_t l = 0; l < L; l++)
                assert_memory_equal((char *)places[p].p + l * page,
                                    want + l * layer + (size_t)away[p] * page, page);
        struct k_kv_layers one = all;
        one.first_layer = one.n_layers = 1;
        for (size_t p = 0; p < N; p++) places[p].page = home[p];
        CHECK(cudaMemcpy(on, places, sizeof places, cudaMemcpyHostToDevice));
        CHECK(k_kv_pages(one, on, N, false, 100, NULL));
        CHECK(cudaMemcpy(got, kv, L * layer, cudaMemcpyDeviceToHost));
        for (size_t p = 0; p < N; p++)
            memcpy(want + layer + (size_t)home[p] * page, (char *)places[p].p + page, page);
        assert_memory_equal(got, want, L * layer);
        CHECK(k_kv_pages(one, on, 0, false, 100, NULL));
        CHECK(cudaFreeHost(parked));
        cudaFree(on);
        cudaFree(kv);
        free(want);
        free(got);
    }
}

static void test_sum_ranks(void **state)
{
    (void)state;
    enum { P = 4 };
    static const int64_t lengths[] = {1, 30, 4096, 4099};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        int64_t n = lengths[l];
        float *parts = random_of(P * n, 6, 1, DTYPE_ID_F32), *x = unwritten((size_t)n * sizeof *x);
        float *want = mem_calloc((size_t)n, sizeof *want);
        float *dev_parts = to_device(parts, P * n, DTYPE_ID_F32);
        CHECK(k_sum_ranks(x, dev_parts, P, n, NULL));
        memcpy(want, parts, (size_t)n * sizeof *want);
        for (int64_t i = n; i < P * n; i++) want[i % n] += parts[i];
        assert_rounded(x, want, n, DTYPE_ID_F32);
        cudaFree(x);
        cudaFree(dev_parts);
        free(parts);
        free(want);
    }
}

static void test_advance(void **state)
{
    (void)state;
    enum { S = 300 };
    int32_t token[S + 1], position[S + 1], drawn[S];
    uint32_t draw_position[S + 1];
    for (int s = 0; s <= S; s++)
        token[s] = -7, position[s] = 3 * s, draw_position[s] = 5u * (uint32_t)s;
    for (int s = 0; s < S; s++) drawn[s] = s % 10 == 9 ? -1 : s;
    int32_t *dev_token = on_device(token, sizeof token);
    int32_t *dev_position = on_device(position, sizeof position);
    int32_t *dev_drawn = on_device(drawn, sizeof drawn);
    uint32_t *dev_draw_position = on_device(draw_position, sizeof draw_position);
    CHECK(k_advance(dev_token, dev_position, dev_draw_position, dev_drawn, S, NULL));
    CHECK(cudaMemcpy(token, dev_token, sizeof token, cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(position, dev_position, sizeof position, cudaMemcpyDeviceToHost));
    CHECK(
        cudaMemcpy(draw_position, dev_draw_position, sizeof draw_position, cudaMemcpyDeviceToHost));
    for (int s = 0; s <= S; s++) {
        assert_int_equal(token[s], s == S ? -7 : s % 10 == 9 ? 0 : s);
        assert_int_equal(position[s], 3 * s + (s < S));
        assert_int_equal(draw_position[s], 5 * s + (s < S));
    }
    cudaFree(dev_token);
    cudaFree(dev_position);
    cudaFree(dev_drawn);
    cudaFree(dev_draw_position);
}

/* ---- rotary embedding and the write of k and v ---- */

enum { SEQUENCES = 3, PREFIX = 21, PADDING = 2 };

/* Rows of three sequences: the first is the prefix itself, the others go on from it at different
 * places; then rows that belong to nobody. */
struct rope_case {
    enum dtype type;
    int64_t H, G, E, T;
    bool norms;
    int32_t position[64], segment_of[64];
    struct k_segment segments[SEQUENCES];
    int32_t pages[16];
};

static struct rope_case rope_case(enum dtype type, int64_t H, int64_t G, int64_t E, bool norms)
{
    struct rope_case c = {.type = type, .H = H, .G = G, .E = E, .norms = norms};
    static const int32_t pages[] = {4, 2, 9, 1, 7, 3};
    static const int32_t first[SEQUENCES] = {0, PREFIX, PREFIX + 14};
    static const int32_t n_rows[SEQUENCES] = {PREFIX, 1, 9};
    memcpy(c.pages, pages, sizeof pages);
    for (int32_t s = 0; s < SEQUENCES; s++) {
        c.segments[s] = (struct k_segment){.prefix_at = 0,
                                           .prefix_len = PREFIX,
                                           .own_at = s == 0 ? -1 : 2 * s,
                                           .row = (int32_t)c.T,
                                           .n_rows = n_rows[s]};
        for (int32_t i = 0; i < n_rows[s]; i++, c.T++) {
            c.position[c.T] = first[s] + i;
            c.segment_of[c.T] = s;
        }
    }
    for (int i = 0; i < PADDING; i++) {
        c.position[c.T + i] = 1 << 30;
        c.segment_of[c.T + i] = -1;
    }
    return c;
}

/* What row t's head h must become: oracle in double, and where k or v of it lies. */
static void rope_want(const struct rope_case *c, double *want, const float *qkv, int64_t t,
                      int64_t h, const float *rope, const float *norm)
{
    const float *x = qkv + (t * (c->H + 2 * c->G) + h) * c->E;
    if (h < c->H + c->G)
        ref_head(want, x, norm, rope + c->position[t] * c->E, c->E, 1e-6, 1);
    else
        for (int64_t e = 0; e < c->E; e++) want[e] = (double)x[e];
}

static int64_t kv_place(const struct rope_case *c, int64_t t, int64_t h)
{
    const struct k_segment *g = &c->segments[c->segment_of[t]];
    bool in_prefix = c->position[t] < PREFIX;
    int32_t place = in_prefix ? c->position[t] : c->position[t] - PREFIX;
    int64_t page = c->pages[(in_prefix ? g->prefix_at : g->own_at) + place / PAGE_TOKENS];
    int64_t head = h - c->H; /* k heads, then v heads, as in a page */
    return ((page * 2 * c->G + head) * PAGE_TOKENS + place % PAGE_TOKENS) * c->E;
}

static struct k_batch k_batch_of(const struct rope_case *c, int64_t first, int64_t T)
{
    return (struct k_batch){.position = on_device(c->position + first, (size_t)T * sizeof(int32_t)),
                            .segment_of =
                                on_device(c->segment_of + first, (size_t)T * sizeof(int32_t)),
                            .segments = on_device(c->segments, sizeof c->segments),
                            .pages = on_device(c->pages, sizeof c->pages),
                            .T = (int32_t)T,
                            .S = SEQUENCES};
}

static void k_batch_free(struct k_batch *b)
{
    cudaFree((void *)(uintptr_t)b->position);
    cudaFree((void *)(uintptr_t)b->segment_of);
    cudaFree((void *)(uintptr_t)b->segments);
    cudaFree((void *)(uintptr_t)b->pages);
}

static void check_rope(struct rope_case c)
{
    int64_t heads = c.H + 2 * c.G, T = c.T + PADDING, n = T * heads * c.E;
    int64_t kv_n = 10 * 2 * c.G * PAGE_TOKENS * c.E;
    size_t size = dtype_bytes(c.type), row_bytes = (size_t)(heads * c.E) * size;
    float *qkv = random_of(n, 1, 2, c.type), *rope = random_of(80 * c.E, 2, 1, DTYPE_ID_F32);
    float *norm = random_of(2 * c.E, 3, 1, DTYPE_ID_F32);
    struct k_attention p = {.H = (int32_t)c.H, .G = (int32_t)c.G, .E = (int32_t)c.E};
    float *dev_rope = to_device(rope, 80 * c.E, DTYPE_ID_F32);
    float *dev_q_norm = c.norms ? to_device(norm, c.E, DTYPE_ID_F32) : NULL;
    float *dev_k_norm = c.norms ? to_device(norm + c.E, c.E, DTYPE_ID_F32) : NULL;
    void *in = to_device(qkv, n, c.type), *out = to_device(qkv, n, c.type);
    void *kv = unwritten((size_t)kv_n * size);
    struct k_batch batch = k_batch_of(&c, 0, T);
    CHECK(k_rope_kv_write(out, kv, c.type, batch, p, dev_rope, dev_q_norm, dev_k_norm, 1e-6f, 1,
                          NULL));
    k_batch_free(&batch);
    float *got = from_device(out, n, c.type), *got_kv = from_device(kv, kv_n, c.type);
    double *want = mem_calloc((size_t)n, sizeof *want);
    int64_t written = 0;
    for (int64_t i = 0; i < c.T * heads; i++) {
        int64_t t = i / heads, h = i % heads;
        const float *w = !c.norms ? NULL : h < c.H ? norm : norm + c.E;
        rope_want(&c, want + i * c.E, qkv, t, h, rope, w);
        if (h >= c.H) /* the row's own k and v mean nothing any more */
            memcpy(got + i * c.E, got_kv + kv_place(&c, t, h), (size_t)c.E * sizeof *got);
    }
    assert_close("rope", got, want, c.T * heads, c.E, c.type);
    for (int64_t i = 0; i < kv_n; i++) written += !isnan(got_kv[i]);
    assert_int_equal(written, c.T * 2 * c.G * c.E);
    /* rows alone, into other pages of the same kind */
    for (int64_t t = 0; t < c.T; t += 5) {
        struct k_batch alone = k_batch_of(&c, t, 1);
        char *row = (char *)in + (size_t)t * row_bytes;
        CHECK(k_rope_kv_write(row, kv, c.type, alone, p, dev_rope, dev_q_norm, dev_k_norm, 1e-6f, 1,
                              NULL));
        assert_same_bytes(row, (char *)out + (size_t)t * row_bytes, (size_t)(c.H * c.E) * size);
        k_batch_free(&alone);
    }
    float *again = from_device(kv, kv_n, c.type);
    assert_memory_equal(again, got_kv, (size_t)kv_n * sizeof *again);
    cudaFree(in);
    cudaFree(out);
    cudaFree(kv);
    cudaFree(dev_rope);
    cudaFree(dev_q_norm);
    cudaFree(dev_k_norm);
    free(qkv);
    free(rope);
    free(norm);
    free(got);
    free(got_kv);
    free(again);
    free(want);
}

static void test_rope_kv_write(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{4, 2, 8},  {3, 1, 16},  {4, 4, 10}, {2, 1, 64},
                                        {3, 3, 80}, {8, 2, 128}, {2, 1, 256}};
    for (size_t i = 0; i < TYPES; i++)
        for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++)
            for (int norms = 0; norms < 2; norms++)
                check_rope(
                    rope_case(types[i], shapes[j][0], shapes[j][1], shapes[j][2], norms == 1));
}

/* The sum over a row's numbers of a mixture of each with its place. */
static uint64_t hash_want(const uint16_t *row, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = ((uint64_t)i << 16 | row[i]) + 0x9e3779b97f4a7c15u;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
        x = (x ^ x >> 27) * 0x94d049bb133111ebu;
        sum += x ^ x >> 31;
    }
    return sum;
}

/* Rows of less than a thread's piece, of pieces and a rest; two rows that differ in their last bit
 * or in the order of their numbers. */
static void test_hash_rows(void **state)
{
    (void)state;
    enum { ROWS = 5, MOST = 5001 };
    static const int64_t lengths[] = {1, 2, 64, 127, 128, 129, 384, MOST};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        int64_t n = lengths[k];
        uint16_t *x = mem_calloc((size_t)(ROWS * n), sizeof *x);
        for (int64_t i = 0; i < n; i++)
            x[i] = x[n + i] = x[2 * n + i] = x[3 * n + n - 1 - i] = (uint16_t)(i * 40503 + 1);
        x[3 * n - 1] ^= 0x8000;
        void *in = on_device(x, (size_t)(ROWS * n) * sizeof *x);
        uint64_t *hash = unwritten(ROWS * sizeof *hash), got[ROWS];
        CHECK(k_hash_rows(hash, in, ROWS, (size_t)n * sizeof *x, NULL));
        CHECK(cudaMemcpy(got, hash, sizeof got, cudaMemcpyDeviceToHost));
        for (int64_t r = 0; r < ROWS; r++) assert_int_equal(got[r], hash_want(x + r * n, n));
        assert_int_equal(got[0], got[1]);
        assert_int_not_equal(got[0], got[2]);
        if (n > 1) assert_int_not_equal(got[0], got[3]);
        cudaFree(in);
        cudaFree(hash);
        free(x);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_embed),     cmocka_unit_test(test_norm),
    cmocka_unit_test(test_glu),       cmocka_unit_test(test_softcap),
    cmocka_unit_test(test_bias),      cmocka_unit_test(test_gather_rows),
    cmocka_unit_test(test_kv_copy),   cmocka_unit_test(test_kv_pages),
    cmocka_unit_test(test_sum_ranks), cmocka_unit_test(test_advance),
    cmocka_unit_test(test_hash_rows), cmocka_unit_test(test_rope_kv_write),
};
RUN_KERNEL_TESTS(tests)
