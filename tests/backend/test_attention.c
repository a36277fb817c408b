/* Rotary embedding and attention against their oracles, and their invariance. */
#include "backend/fixture.h"

#define MAX_POSITION 700

struct setup {
    struct attention_params p;
    int64_t prefix, own; /* tokens */
    int64_t sequences;
    bool norms;
};

/* One model layer's worth of everything; sequence s has own tokens `own + s % 3`. */
struct world_of {
    struct setup s;
    struct backend *b;
    struct kv_pool *kv;
    float *rope, *q_norm, *k_norm; /* on the host, and in backend memory: */
    void *drope, *dq_norm, *dk_norm;
    float *tokens; /* [prefix + sequences * (own + 2)][(H + 2G) E] inputs, host */
    float *out;    /* [the same][H E] host */
    int32_t *prefix_pages, *own_pages;
};

static int64_t stride_of(const struct setup *s)
{
    return (s->p.H + 2 * s->p.G) * s->p.E;
}
static int64_t own_of(const struct setup *s, int64_t i)
{
    return s->own + i % 3;
}
static int64_t own_slot(const struct setup *s, int64_t i)
{
    return s->prefix + i * (s->own + 2);
}
static int64_t tokens_of(const struct setup *s)
{
    return own_slot(s, s->sequences);
}

static struct world_of begin(struct setup s, enum dtype type, int threads)
{
    struct world_of w = {.s = s, .b = backend_for_test(type, threads)};
    struct err e = {{0}};
    int64_t own_pages = pages_of(s.own + 2), n = pages_of(s.prefix) + s.sequences * own_pages;
    w.kv =
        w.b->ops->kv_create(w.b, (struct kv_shape){s.p.layer + 1, s.p.G, s.p.E, s.p.H}, n + 1, &e);
    if (!w.kv) fail_msg("%s", e.text);
    w.rope = random_numbers(MAX_POSITION * s.p.E, DTYPE_ID_F32, 1);
    for (int64_t i = 0; i < MAX_POSITION * s.p.E / 2; i++) {
        float angle = w.rope[2 * i] * 3;
        w.rope[2 * i] = cosf(angle);
        w.rope[2 * i + 1] = sinf(angle);
    }
    w.q_norm = random_numbers(s.p.E, DTYPE_ID_F32, 2);
    w.k_norm = random_numbers(s.p.E, DTYPE_ID_F32, 3);
    w.drope = put(w.b, w.rope, MAX_POSITION * s.p.E, DTYPE_ID_F32);
    w.dq_norm = put(w.b, w.q_norm, s.p.E, DTYPE_ID_F32);
    w.dk_norm = put(w.b, w.k_norm, s.p.E, DTYPE_ID_F32);
    w.tokens = random_numbers(tokens_of(&s) * stride_of(&s), w.b->activation, 4);
    w.out = host_memory(tokens_of(&s) * s.p.H * s.p.E, sizeof *w.out);
    w.prefix_pages = host_memory(n, sizeof *w.prefix_pages);
    w.own_pages = w.prefix_pages + pages_of(s.prefix);
    for (int64_t i = 0; i < n; i++) w.prefix_pages[i] = (int32_t)(n - i); /* page 0 stays unused */
    return w;
}

static void end(struct world_of *w)
{
    w->b->ops->kv_destroy(w->b, w->kv);
    w->b->ops->free(w->b, w->drope);
    w->b->ops->free(w->b, w->dq_norm);
    w->b->ops->free(w->b, w->dk_norm);
    free(w->rope);
    free(w->q_norm);
    free(w->k_norm);
    free(w->tokens);
    free(w->out);
    free(w->prefix_pages);
    backend_destroy(w->b);
}

/* rope_kv_write and attention of one batch of T rows: qkv, out host. */
static void run_ops(struct world_of *w, const struct batch *batch, const float *qkv, float *out)
{
    const struct setup *s = &w->s;
    enum dtype type = w->b->activation;
    int64_t T = batch->T, heads = s->p.H * s->p.E;
    void *dqkv = put(w->b, qkv, T * stride_of(s), type),
         *dout = device_memory(w->b, T * heads, type);
    w->b->ops->batch_begin(w->b, w->kv, batch);
    w->b->ops->rope_kv_write(w->b, dqkv, w->kv, &s->p, w->drope, s->norms ? w->dq_norm : NULL,
                             s->norms ? w->dk_norm : NULL, 1e-5f, 0.5f);
    w->b->ops->attention(w->b, dout, dqkv, w->kv, &s->p);
    get(w->b, out, dout, T * heads, type);
    w->b->ops->free(w->b, dqkv);
    w->b->ops->free(w->b, dout);
}

/* One step: rows [first, first + n) of the prefix (sequence -1), or n own tokens from own token
 * `first` of each of the sequences [from, to). */
static void step(struct world_of *w, int64_t from, int64_t to, int64_t first, int64_t n)
{
    struct setup *s = &w->s;
    int64_t S = from < 0 ? 1 : to - from, T = 0, stride = stride_of(s), heads = s->p.H * s->p.E;
    struct segment *segments = mem_calloc((size_t)S, sizeof *segments);
    int32_t *position = mem_calloc((size_t)(S * n), sizeof *position);
    float *qkv = mem_calloc((size_t)(S * n * stride), sizeof *qkv),
          *out = mem_calloc((size_t)(S * n * heads), sizeof *out);
    int64_t *slot = mem_calloc((size_t)(S * n), sizeof *slot);
    for (int64_t i = 0; i < S; i++) {
        int64_t at = from < 0 ? first : s->prefix + first, rows = n;
        if (from >= 0 && rows > own_of(s, from + i) - first) rows = own_of(s, from + i) - first;
        if (rows < 0) rows = 0;
        segments[i] =
            (struct segment){w->prefix_pages,
                             s->prefix,
                             from < 0 ? NULL : w->own_pages + (from + i) * pages_of(s->own + 2),
                             at,
                             T,
                             rows};
        for (int64_t r = 0; r < rows; r++, T++) {
            position[T] = (int32_t)(at + r);
            slot[T] = from < 0 ? first + r : own_slot(s, from + i) + first + r;
            memcpy(qkv + T * stride, w->tokens + slot[T] * stride, (size_t)stride * sizeof *qkv);
        }
    }
    struct batch batch = {.position = position, .segments = segments, .T = T, .S = S};
    if (T > 0) run_ops(w, &batch, qkv, out);
    for (int64_t t = 0; t < T; t++)
        memcpy(w->out + slot[t] * heads, out + t * heads, (size_t)heads * sizeof *out);
    free(segments);
    free(position);
    free(qkv);
    free(out);
    free(slot);
}

/* As the pages, and the queries beside them, hold a head: rounded. */
static void round_head(double *x, int64_t E, enum dtype type)
{
    float wide[256] = {0};
    uint16_t narrow[256];
    if (type == DTYPE_ID_F32) return;
    for (int64_t d = 0; d < E; d++) wide[d] = (float)x[d];
    dtype_narrow(narrow, wide, type, (size_t)E);
    dtype_widen(wide, narrow, type, (size_t)E);
    for (int64_t d = 0; d < E; d++) x[d] = (double)wide[d];
}

/* The oracle's output of every token. */
static double *oracle(const struct world_of *w)
{
    enum dtype type = dtype_beside(w->b->dtype);
    const struct setup *s = &w->s;
    int64_t E = s->p.E, heads = s->p.H + s->p.G, stride = stride_of(s),
            n_max = s->prefix + s->own + 2;
    double *want = mem_calloc((size_t)(tokens_of(s) * s->p.H * E), sizeof *want);
    double *q = mem_calloc((size_t)(n_max * E), sizeof *q),
           *k = mem_calloc((size_t)(n_max * E), sizeof *k),
           *v = mem_calloc((size_t)(n_max * E), sizeof *v);
    for (int64_t i = 0; i < s->sequences; i++)
        for (int64_t h = 0; h < s->p.H; h++) {
            int64_t g = h / (s->p.H / s->p.G), n = s->prefix + own_of(s, i);
            for (int64_t t = 0; t < n; t++) {
                int64_t slot = t < s->prefix ? t : own_slot(s, i) + t - s->prefix;
                const float *row = w->tokens + slot * stride, *rope = w->rope + t * E;
                ref_head(q + t * E, row + h * E, s->norms ? w->q_norm : NULL, rope, E,
                         (double)1e-5f, 0.5);
                ref_head(k + t * E, row + (s->p.H + g) * E, s->norms ? w->k_norm : NULL, rope, E,
                         (double)1e-5f, 0.5);
                round_head(q + t * E, E, type);
                round_head(k + t * E, E, type);
                for (int64_t d = 0; d < E; d++) v[t * E + d] = (double)row[(heads + g) * E + d];
                round_head(v + t * E, E, type);
                ref_attention_row(want + (slot * s->p.H + h) * E, q + t * E, k, v, t + 1, E, &s->p);
            }
        }
    free(q);
    free(k);
    free(v);
    return want;
}

static const struct setup setups[] = {
    {{4, 4, 16, 0, 0.25f, 0, 0}, 37, 21, 5, false},
    {{8, 2, 64, 1, 0.125f, 0, 0}, 129, 10, 3, true},
    {{6, 1, 24, 0, 0.2f, 30.0f, 0}, 48, 33, 4, false},
    {{4, 2, 40, 2, 0.2f, 0, 20}, 150, 40, 4, true},
    {{2, 2, 8, 0, 0.3f, 50.0f, 128}, 200, 150, 2, false},
    {{3, 1, 32, 0, 0.2f, 0, 0}, 0, 40, 3, false},
};

/* Prefill in pieces, then own tokens in pieces. */
static void compute(struct world_of *w, int64_t prefill_piece, int64_t own_piece)
{
    struct setup *s = &w->s;
    for (int64_t t = 0; t < s->prefix; t += prefill_piece)
        step(w, -1, 0, t, s->prefix - t < prefill_piece ? s->prefix - t : prefill_piece);
    for (int64_t t = 0; t < s->own + 2; t += own_piece) step(w, 0, s->sequences, t, own_piece);
}

/* K of bf16: where the op's f32 and the oracle's double lie on both sides of a tie, one number of
 * thousands, they are rounded to neighbours, 2^-8 apart.  Where weights are rounded too, each is
 * off by up to 2^-9. */
static double tolerance_of(const struct backend *b, enum dtype type)
{
    if (type == DTYPE_ID_F32) return 1e-12;
    return strstr(b->isa, "avx512-bf16") || strstr(b->isa, "amx") ? 0x1p-18 : 1e-9;
}

static void check_oracle(struct setup setup, enum dtype type)
{
    struct world_of w = begin(setup, type, 2);
    double tolerance = tolerance_of(w.b, type);
    compute(&w, 64, 1);
    double *want = oracle(&w);
    const struct setup *s = &w.s;
    enum dtype activation = w.b->activation;
    int64_t row = s->p.H * s->p.E;
    char name[80];
    snprintf(name, sizeof name, "attention %s, H %lld G %lld E %lld, prefix", dtype_name(type),
             (long long)s->p.H, (long long)s->p.G, (long long)s->p.E);
    assert_true(result_close(name, w.out, want, s->prefix * s->p.H, s->p.E, activation, tolerance));
    for (int64_t q = 0; q < s->sequences; q++)
        assert_true(result_close("  own", w.out + own_slot(s, q) * row, want + own_slot(s, q) * row,
                                 own_of(s, q) * s->p.H, s->p.E, activation, tolerance));
    free(want);
    end(&w);
}

static void test_oracle(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++)
        for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) check_oracle(setups[i], *d);
}

/* The same tokens computed in other pieces, other company and by other numbers of threads: the same
 * bits. */
static void check_invariance(struct setup setup, enum dtype type)
{
    struct world_of a = begin(setup, type, 1);
    compute(&a, is_emulated(a.b) ? 7 : 1, 1);
    size_t bytes = (size_t)(tokens_of(&a.s) * a.s.p.H * a.s.p.E) * sizeof *a.out;
    for (int threads = 1; threads <= 3; threads++) {
        struct world_of b = begin(setup, type, threads);
        compute(&b, threads == 1 ? MAX_POSITION : 17 * threads, threads == 2 ? MAX_POSITION : 5);
        assert_memory_equal(a.out, b.out, bytes);
        for (int64_t t = 0; t < b.s.own + 2; t++) step(&b, 1, 2, t, 1); /* one sequence alone */
        assert_memory_equal(a.out, b.out, bytes);
        end(&b);
    }
    end(&a);
}

static void test_invariance(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++)
        for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) check_invariance(setups[i], *d);
}

/* What stands in unused slots is never looked at. */
static void check_stale_pages(struct setup setup, enum dtype type)
{
    struct world_of a = begin(setup, type, 2), b = begin(setup, type, 2);
    size_t page_bytes =
        a.b->ops->kv_page_bytes(a.b, (struct kv_shape){a.s.p.layer + 1, a.s.p.G, a.s.p.E, a.s.p.H});
    struct kv_place place = {.p = b.b->ops->host_alloc(b.b, page_bytes)};
    assert_non_null(place.p);
    memset(place.p, 0xff, page_bytes); /* NaN in every type */
    int64_t n = pages_of(a.s.prefix) + a.s.sequences * pages_of(a.s.own + 2);
    for (; place.page <= n; place.page++) b.b->ops->kv_write(b.b, b.kv, &place, 1);
    compute(&a, 16, 1);
    compute(&b, 16, 1);
    size_t own = (size_t)(tokens_of(&a.s) * a.s.p.H * a.s.p.E) * sizeof *a.out;
    assert_memory_equal(a.out, b.out, own);
    b.b->ops->host_free(b.b, place.p);
    end(&a);
    end(&b);
}

static void test_stale_pages(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++)
        for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
            check_stale_pages(setups[i], *d);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_oracle),
    cmocka_unit_test(test_invariance),
    cmocka_unit_test(test_stale_pages),
};
RUN_TESTS(tests)
