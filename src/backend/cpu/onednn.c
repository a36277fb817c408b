#include "backend/cpu/onednn.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

#include <dnnl.h>
#include <dnnl_debug.h>
#include <stdlib.h>
#include <string.h>

#define PANEL_BYTES ((int64_t)16 << 20)

static const char *status_name(int status)
{
    return dnnl_status2str((dnnl_status_t)status);
}
#define DNNL_CHECK(call) CHECK_GEN(call, dnnl_success, status_name)

static const int64_t ladder[] = {1,   2,   4,   8,   16,  32,  48,  64,  80,  96,
                                 112, 128, 160, 192, 224, 256, 320, 384, 448, 512};
enum { RUNGS = sizeof ladder / sizeof *ladder };
#define MOST_ROWS 512

/* The primitive of one number of rows. */
struct rung {
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, out, scratchpad;
};

/* Panels of n rows of W, whose results stand in rows of `stride` numbers. */
struct shape {
    int64_t n, K, stride;
    dnnl_memory_desc_t packed;
    size_t scratchpad_bytes;
    bool is_there, keeps_rows; /* its primitives are; and passed the test */
    struct rung rung[RUNGS];
};

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_data_type_t type;
    enum dtype dtype;
    bool any_kernel;
    struct shape **items; /* kept until the end: weights borrow them */
    size_t n, cap;
    struct scratch scratchpad, x, out;
};

struct panel {
    const struct shape *shape;
    void *data; /* packed, owned */
};

struct onednn_weight {
    int64_t N, K, filled;
    struct panel *panels;
    int64_t n_panels;
    void *staging; /* [rows of a panel, K]; NULL once all is packed */
};

const char *onednn_isa(void)
{
    switch ((unsigned)dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse4.1";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2-vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512-vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512-bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "amx";
    default:
        return "other";
    }
}

bool onednn_has_bf16(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(),
             bf16 = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16;
}

bool onednn_has_avx512(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(),
             avx512 = (unsigned)dnnl_cpu_isa_avx512_core;
    return (isa & avx512) == avx512;
}

bool onednn_has_amx(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(),
             amx = (unsigned)dnnl_cpu_isa_avx512_core_amx;
    return (isa & amx) == amx;
}

struct onednn *onednn_create(enum dtype dtype, bool any_kernel)
{
    struct onednn *o = mem_calloc(1, sizeof *o);
    o->dtype = dtype;
    o->type = dtype == DTYPE_ID_BF16 ? dnnl_bf16 : dnnl_f32;
    o->any_kernel = any_kernel;
    if (dnnl_engine_create(&o->engine, dnnl_cpu, 0) != dnnl_success) {
        free(o);
        return NULL;
    }
    DNNL_CHECK(dnnl_stream_create(&o->stream, o->engine, dnnl_stream_in_order));
    return o;
}

static void shape_destroy(struct shape *s)
{
    for (int i = 0; i < RUNGS && s->rung[i].primitive; i++) {
        DNNL_CHECK(dnnl_primitive_destroy(s->rung[i].primitive));
        DNNL_CHECK(dnnl_memory_destroy(s->rung[i].x));
        DNNL_CHECK(dnnl_memory_destroy(s->rung[i].w));
        DNNL_CHECK(dnnl_memory_destroy(s->rung[i].out));
        DNNL_CHECK(dnnl_memory_destroy(s->rung[i].scratchpad));
    }
    free(s);
}

void onednn_destroy(struct onednn *o)
{
    if (!o) return;
    for (size_t i = 0; i < o->n; i++) shape_destroy(o->items[i]);
    free(o->items);
    free(o->scratchpad.p);
    free(o->x.p);
    free(o->out.p);
    DNNL_CHECK(dnnl_stream_destroy(o->stream));
    DNNL_CHECK(dnnl_engine_destroy(o->engine));
    free(o);
}

/* out [M, n] = x [M, K] w [K, n]; w NULL: in whatever layout the library likes.  NULL where it has
 * no kernel. */
static dnnl_primitive_desc_t describe(struct onednn *o, const struct shape *s, int64_t M,
                                      const dnnl_memory_desc_t *w)
{
    dnnl_dims_t x_dims = {M, s->K}, w_dims = {s->K, s->n}, out_dims = {M, s->n},
                out_strides = {s->stride, 1};
    dnnl_memory_desc_t x, any, out;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attributes;
    dnnl_primitive_desc_t d = NULL;
    DNNL_CHECK(dnnl_memory_desc_init_by_tag(&x, 2, x_dims, o->type, dnnl_ab));
    DNNL_CHECK(dnnl_memory_desc_init_by_tag(&any, 2, w_dims, o->type, dnnl_format_tag_any));
    DNNL_CHECK(dnnl_memory_desc_init_by_strides(&out, 2, out_dims, dnnl_f32, out_strides));
    DNNL_CHECK(dnnl_matmul_desc_init(&matmul, &x, w ? w : &any, NULL, &out));
    DNNL_CHECK(dnnl_primitive_attr_create(&attributes));
    DNNL_CHECK(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (dnnl_primitive_desc_create(&d, &matmul, attributes, o->engine, NULL) != dnnl_success)
        d = NULL;
    DNNL_CHECK(dnnl_primitive_attr_destroy(attributes));
    return d;
}

static const dnnl_memory_desc_t *memory_of(dnnl_primitive_desc_t d, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(d, what, 0);
}

/* The packed layout that the library wants for M rows.  False where it has none. */
static bool choose_layout(struct onednn *o, struct shape *s, int64_t M)
{
    dnnl_primitive_desc_t d = describe(o, s, M, NULL);
    if (!d) return false;
    const char *kernel = "";
    DNNL_CHECK(dnnl_primitive_desc_query(d, dnnl_query_impl_info_str, 0, &kernel));
    s->packed = *memory_of(d, dnnl_query_weights_md);
    bool usable = o->any_kernel || strncmp(kernel, "brg", 3) == 0;
    DNNL_CHECK(dnnl_primitive_desc_destroy(d));
    return usable;
}

static bool rung_begin(struct onednn *o, struct shape *s, int i)
{
    dnnl_primitive_desc_t d = describe(o, s, ladder[i], &s->packed);
    if (!d) return false;
    struct rung *r = &s->rung[i];
    const dnnl_memory_desc_t *scratchpad = memory_of(d, dnnl_query_scratchpad_md);
    size_t bytes = dnnl_memory_desc_get_size(scratchpad);
    if (bytes > s->scratchpad_bytes) s->scratchpad_bytes = bytes;
    DNNL_CHECK(dnnl_primitive_create(&r->primitive, d));
    DNNL_CHECK(
        dnnl_memory_create(&r->x, memory_of(d, dnnl_query_src_md), o->engine, DNNL_MEMORY_NONE));
    DNNL_CHECK(dnnl_memory_create(&r->w, &s->packed, o->engine, DNNL_MEMORY_NONE));
    DNNL_CHECK(
        dnnl_memory_create(&r->out, memory_of(d, dnnl_query_dst_md), o->engine, DNNL_MEMORY_NONE));
    DNNL_CHECK(dnnl_memory_create(&r->scratchpad, scratchpad, o->engine, DNNL_MEMORY_NONE));
    DNNL_CHECK(dnnl_primitive_desc_destroy(d));
    return true;
}

static void rung_run(struct onednn *o, const struct shape *s, int i, float *out, const void *x,
                     const void *w)
{
    const struct rung *r = &s->rung[i];
    DNNL_CHECK(dnnl_memory_set_data_handle(r->x, (void *)(uintptr_t)x));
    DNNL_CHECK(dnnl_memory_set_data_handle(r->w, (void *)(uintptr_t)w));
    DNNL_CHECK(dnnl_memory_set_data_handle(r->out, out));
    DNNL_CHECK(dnnl_memory_set_data_handle(r->scratchpad,
                                           scratch_need(&o->scratchpad, s->scratchpad_bytes + 64)));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, r->x},
                              {DNNL_ARG_WEIGHTS, r->w},
                              {DNNL_ARG_DST, r->out},
                              {DNNL_ARG_SCRATCHPAD, r->scratchpad}};
    DNNL_CHECK(dnnl_primitive_execute(r->primitive, o->stream, 4, args));
    DNNL_CHECK(dnnl_stream_wait(o->stream));
}

/* rows [n, K] into the packed layout. */
static void pack(struct onednn *o, const struct shape *s, void *packed, void *rows)
{
    dnnl_dims_t dims = {s->K, s->n}, strides = {1, s->K};
    dnnl_memory_desc_t plain;
    dnnl_primitive_desc_t d;
    dnnl_primitive_t reorder;
    dnnl_memory_t from, to;
    DNNL_CHECK(dnnl_memory_desc_init_by_strides(&plain, 2, dims, o->type, strides));
    DNNL_CHECK(
        dnnl_reorder_primitive_desc_create(&d, &plain, o->engine, &s->packed, o->engine, NULL));
    DNNL_CHECK(dnnl_primitive_create(&reorder, d));
    DNNL_CHECK(dnnl_memory_create(&from, &plain, o->engine, rows));
    DNNL_CHECK(dnnl_memory_create(&to, &s->packed, o->engine, packed));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    DNNL_CHECK(dnnl_primitive_execute(reorder, o->stream, 2, args));
    DNNL_CHECK(dnnl_stream_wait(o->stream));
    DNNL_CHECK(dnnl_memory_destroy(from));
    DNNL_CHECK(dnnl_memory_destroy(to));
    DNNL_CHECK(dnnl_primitive_destroy(reorder));
    DNNL_CHECK(dnnl_primitive_desc_destroy(d));
}

/* x [n] as numbers [at, at + n) of rows. */
static void store(void *rows, enum dtype dtype, int64_t at, const float *x, int64_t n)
{
    if (dtype == DTYPE_ID_F32)
        memcpy((float *)rows + at, x, (size_t)n * sizeof *x);
    else
        round_portable((uint16_t *)rows + at, x, n);
}

/* Numbers in [-1, 1) without a pattern. */
static void fill_noise(void *rows, enum dtype dtype, int64_t n, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        float x = (float)(int32_t)seed * 0x1p-31f;
        store(rows, dtype, i, &x, 1);
    }
}

/* One row, the first of x, at the start, the middle and the end of every rung: always the bits it
 * has alone? */
static bool same_everywhere(struct onednn *o, const struct shape *s, char *x, float *out,
                            const void *w)
{
    size_t row_bytes = (size_t)s->K * dtype_bytes(o->dtype), out_bytes = (size_t)s->n * sizeof *out;
    float *alone = out + MOST_ROWS * s->stride;
    rung_run(o, s, 0, alone, x, w);
    for (int i = 1; i < RUNGS; i++) {
        int64_t M = ladder[i], places[] = {0, M / 2, M - 1};
        for (int p = 1; p < 3; p++) memcpy(x + (size_t)places[p] * row_bytes, x, row_bytes);
        rung_run(o, s, i, out, x, w);
        for (int p = 0; p < 3; p++)
            if (memcmp(out + places[p] * s->stride, alone, out_bytes) != 0) {
                logr(LOG_DEBUG,
                     "oneDNN %lld x %lld: row %lld of %lld differs from the row alone; own tiles "
                     "instead",
                     (long long)s->n, (long long)s->K, (long long)places[p], (long long)M);
                return false;
            }
    }
    return true;
}

static bool test_shape(struct onednn *o, const struct shape *s)
{
    size_t bytes = dtype_bytes(o->dtype), packed_bytes = dnnl_memory_desc_get_size(&s->packed);
    char *x = mem_try_aligned((size_t)(MOST_ROWS * s->K) * bytes);
    float *out = mem_try_aligned((size_t)((MOST_ROWS + 1) * s->stride) * sizeof *out);
    void *rows = mem_try_aligned((size_t)(s->n * s->K) * bytes),
         *packed = mem_try_aligned(packed_bytes);
    bool good = x && out && rows && packed;
    if (good) {
        fill_noise(x, o->dtype, MOST_ROWS * s->K, 1);
        fill_noise(rows, o->dtype, s->n * s->K, 2);
        pack(o, s, packed, rows);
        good = same_everywhere(o, s, x, out, packed);
    }
    free(x);
    free(out);
    free(rows);
    free(packed);
    return good;
}

/* The shape's primitives, made and tested when it is met first. */
static const struct shape *shape_of(struct onednn *o, int64_t n, int64_t K, int64_t stride)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->items[i]->n == n && o->items[i]->K == K && o->items[i]->stride == stride)
            return o->items[i];
    struct shape *s = mem_calloc(1, sizeof *s);
    *s = (struct shape){.n = n, .K = K, .stride = stride};
    s->is_there = choose_layout(o, s, 64);
    for (int i = 0; i < RUNGS && s->is_there; i++) s->is_there = rung_begin(o, s, i);
    s->keeps_rows = s->is_there && test_shape(o, s);
    ARRAY_PUSH(*o, s);
    return s;
}

static int64_t panel_rows(const struct onednn *o, int64_t N, int64_t K)
{
    int64_t rows = PANEL_BYTES / (K * (int64_t)dtype_bytes(o->dtype)) / 64 * 64;
    return rows < 64 ? 64 : rows < N ? rows : N;
}

bool onednn_keeps_rows(struct onednn *o, int64_t N, int64_t K)
{
    int64_t rows = panel_rows(o, N, K), rest = N % rows;
    if (!shape_of(o, rows < N ? rows : N, K, N)->keeps_rows) return false;
    return rest == 0 || N < rows || shape_of(o, rest, K, N)->keeps_rows;
}

bool onednn_multiplies(struct onednn *o, int64_t N, int64_t K)
{
    int64_t rows = panel_rows(o, N, K), rest = N % rows;
    if (!shape_of(o, rows < N ? rows : N, K, N)->is_there) return false;
    return rest == 0 || N < rows || shape_of(o, rest, K, N)->is_there;
}

struct onednn_weight *onednn_weight_create(struct onednn *o, int64_t N, int64_t K, size_t *bytes)
{
    int64_t rows = panel_rows(o, N, K);
    struct onednn_weight *w = mem_calloc(1, sizeof *w);
    *w = (struct onednn_weight){.N = N, .K = K, .n_panels = (N + rows - 1) / rows};
    w->panels = mem_calloc((size_t)w->n_panels, sizeof *w->panels);
    w->staging = mem_try_aligned((size_t)(rows * K) * dtype_bytes(o->dtype));
    bool good = w->staging != NULL;
    *bytes = 0;
    for (int64_t i = 0; i < w->n_panels && good; i++) {
        struct panel *p = &w->panels[i];
        p->shape = shape_of(o, N - i * rows < rows ? N - i * rows : rows, K, N);
        p->data = mem_try_aligned(dnnl_memory_desc_get_size(&p->shape->packed));
        *bytes += dnnl_memory_desc_get_size(&p->shape->packed);
        good = p->data != NULL;
    }
    if (good) return w;
    onednn_weight_destroy(w);
    return NULL;
}

void onednn_weight_destroy(struct onednn_weight *w)
{
    if (!w) return;
    for (int64_t i = 0; i < w->n_panels; i++) free(w->panels[i].data);
    free(w->panels);
    free(w->staging);
    free(w);
}

void onednn_weight_row(struct onednn *o, struct onednn_weight *w, const float *row)
{
    int64_t rows = w->panels[0].shape->n;
    const struct panel *p = &w->panels[w->filled / rows];
    int64_t place = w->filled % rows;
    store(w->staging, o->dtype, place * w->K, row, w->K);
    w->filled++;
    if (place + 1 < p->shape->n) return;
    pack(o, p->shape, p->data, w->staging);
    if (w->filled < w->N) return;
    free(w->staging);
    w->staging = NULL;
}

/* x [T, K] as the primitive takes it: rounded, and padded to M rows. */
static const void *prepared_rows(struct onednn *o, const float *x, int64_t T, int64_t M, int64_t K)
{
    if (o->dtype == DTYPE_ID_F32 && M == T) return x;
    size_t bytes = dtype_bytes(o->dtype);
    char *rows = scratch_need(&o->x, (size_t)(MOST_ROWS * K) * bytes);
#pragma omp parallel for schedule(static) if (T > 8)
    for (int64_t t = 0; t < T; t++) store(rows, o->dtype, t * K, x + t * K, K);
    memset(rows + (size_t)(T * K) * bytes, 0, (size_t)((M - T) * K) * bytes);
    return rows;
}

int64_t onednn_gemm(struct onednn *o, float *out, const float *x, const struct onednn_weight *w,
                    int64_t T)
{
    int64_t padded = 0;
    for (int64_t t = 0; t < T; t += MOST_ROWS) {
        int64_t rows = T - t < MOST_ROWS ? T - t : MOST_ROWS;
        int i = 0;
        while (ladder[i] < rows) i++;
        const void *from = prepared_rows(o, x + t * w->K, rows, ladder[i], w->K);
        float *to = ladder[i] == rows
                        ? out + t * w->N
                        : scratch_need(&o->out, (size_t)(MOST_ROWS * w->N) * sizeof *out);
        float *column = to;
        for (int64_t p = 0; p < w->n_panels; column += w->panels[p].shape->n, p++)
            rung_run(o, w->panels[p].shape, i, column, from, w->panels[p].data);
        if (ladder[i] != rows) memcpy(out + t * w->N, to, (size_t)(rows * w->N) * sizeof *out);
        padded += ladder[i] - rows;
    }
    return padded;
}
