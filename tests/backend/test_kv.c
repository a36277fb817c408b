/* Pages: copies, the way to the host and back, and layers that come back while others compute. */
#include "backend/fixture.h"

enum { LAYERS = 5, PAGES = 40 };

static const struct kv_shape shape = {.L = LAYERS, .G = 2, .E = 24, .H = 4};
static const int64_t row_numbers = (4 + 2 * 2) * 24, out_numbers = 4 * 24;

struct pool {
    struct backend *b;
    struct kv_pool *kv;
    size_t page_bytes;
};

static struct pool open_pool(enum dtype type)
{
    struct pool p = {.b = backend_for_test(type, 1)};
    struct err e = {{0}};
    p.kv = p.b->ops->kv_create(p.b, shape, PAGES, &e);
    if (!p.kv) fail_msg("%s", e.text);
    p.page_bytes = p.b->ops->kv_page_bytes(p.b, shape);
    return p;
}

static void close_pool(struct pool *p)
{
    p->b->ops->kv_destroy(p->b, p->kv);
    backend_destroy(p->b);
}

/* Host memory for n pages. */
static char *pages_on_host(const struct pool *p, int64_t n)
{
    char *host = p->b->ops->host_alloc(p->b, (size_t)n * p->page_bytes);
    assert_non_null(host);
    return host;
}

/* The i-th page of the host is that of the pool with this number. */
static int32_t page_of(int64_t i)
{
    return (int32_t)(i * 7 % PAGES);
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct pool p = open_pool(DTYPE_ID_F32);
    char *there = pages_on_host(&p, PAGES), *back = pages_on_host(&p, PAGES);
    struct kv_place to[PAGES], from[PAGES];
    fill_random((float *)(void *)there, (int64_t)(PAGES * p.page_bytes / sizeof(float)), 9);
    for (int64_t i = 0; i < PAGES; i++) {
        to[i] = (struct kv_place){there + (size_t)i * p.page_bytes, page_of(i)};
        from[i] = (struct kv_place){back + (size_t)(PAGES - 1 - i) * p.page_bytes, page_of(i)};
    }
    p.b->ops->kv_write(p.b, p.kv, to, PAGES);
    p.b->ops->kv_read(p.b, p.kv, from, PAGES);
    wait_for(p.b);
    for (size_t i = 0; i < PAGES; i++) assert_memory_equal(from[i].p, to[i].p, p.page_bytes);
    /* some of them, one after the other: what is read is what was written last */
    memset(back, 0, PAGES * p.page_bytes);
    to[3].page = to[5].page;
    p.b->ops->kv_write(p.b, p.kv, to + 3, 1);
    p.b->ops->kv_copy(p.b, p.kv, page_of(8), page_of(5));
    p.b->ops->kv_read(p.b, p.kv, from + 8, 2);
    p.b->ops->kv_write(p.b, p.kv, to + 20, 0);
    wait_for(p.b);
    assert_memory_equal(from[8].p, to[3].p, p.page_bytes);
    assert_memory_equal(from[9].p, to[9].p, p.page_bytes);
    p.b->ops->host_free(p.b, there);
    p.b->ops->host_free(p.b, back);
    p.b->ops->host_free(p.b, NULL);
    close_pool(&p);
}

/* ---- layers that come back ---- */

/* One sequence of 60 tokens in two halves, every layer with rows of its own. */
enum { TOKENS = 60, HALF = 27, FIRST_PAGE = 11 };

struct work {
    struct pool p;
    void *rope;
    float *rows; /* [LAYERS, TOKENS, row_numbers] host */
    float *out;  /* [LAYERS, TOKENS, out_numbers] host */
    int32_t pages[(TOKENS + PAGE_TOKENS - 1) / PAGE_TOKENS];
};

static struct work begin(enum dtype type)
{
    struct work w = {.p = open_pool(type)};
    w.rows = random_numbers(LAYERS * TOKENS * row_numbers, w.p.b->activation, 4);
    w.out = host_memory(LAYERS * TOKENS * out_numbers, sizeof *w.out);
    w.rope = put_random(w.p.b, TOKENS * shape.E, DTYPE_ID_F32, 5);
    for (int32_t i = 0; i < (int32_t)pages_of(TOKENS); i++) w.pages[i] = FIRST_PAGE + 3 * i;
    return w;
}

static void end(struct work *w)
{
    w->p.b->ops->free(w->p.b, w->rope);
    free(w->rows);
    free(w->out);
    close_pool(&w->p);
}

/* All layers of tokens [at, at + n); nothing waits before the last of them. */
static void compute(struct work *w, int64_t at, int64_t n)
{
    struct backend *b = w->p.b;
    enum dtype type = b->activation;
    int32_t position[TOKENS];
    for (int64_t t = 0; t < n; t++) position[t] = (int32_t)(at + t);
    struct segment segment = {.own_pages = w->pages, .first_position = at, .n_rows = n};
    struct batch batch = {.position = position, .segments = &segment, .T = n, .S = 1};
    void *rows[LAYERS], *out[LAYERS];
    for (int64_t l = 0; l < LAYERS; l++) {
        rows[l] = put(b, w->rows + (l * TOKENS + at) * row_numbers, n * row_numbers, type);
        out[l] = device_memory(b, n * out_numbers, type);
    }
    b->ops->batch_begin(b, w->p.kv, &batch);
    for (int64_t l = 0; l < LAYERS; l++) {
        struct attention_params p = {
            .H = shape.H, .G = shape.G, .E = shape.E, .layer = l, .scale = 0.2f};
        b->ops->rope_kv_write(b, rows[l], w->p.kv, &p, w->rope, NULL, NULL, 1e-5f, 0);
        b->ops->attention(b, out[l], rows[l], w->p.kv, &p);
    }
    for (int64_t l = 0; l < LAYERS; l++) {
        get(b, w->out + (l * TOKENS + at) * out_numbers, out[l], n * out_numbers, type);
        b->ops->free(b, rows[l]);
        b->ops->free(b, out[l]);
    }
}

/* The first half's pages go to the host, are written over and come back, to other places, while the
 * second half computes: the same bits as without. */
static void check_parked(enum dtype type)
{
    enum { PARKED = (HALF + PAGE_TOKENS - 1) / PAGE_TOKENS };
    struct work a = begin(type), b = begin(type);
    struct pool *p = &b.p;
    struct kv_place there[PARKED], over[PARKED];
    char *parked = pages_on_host(p, PARKED), *nan = pages_on_host(p, 1);
    memset(nan, 0xff, p->page_bytes);
    compute(&a, 0, HALF);
    compute(&a, HALF, TOKENS - HALF);
    compute(&b, 0, HALF);
    for (size_t i = 0; i < PARKED; i++) {
        there[i] = (struct kv_place){parked + i * p->page_bytes, b.pages[i]};
        over[i] = (struct kv_place){nan, b.pages[i]};
    }
    p->b->ops->kv_read(p->b, p->kv, there, PARKED);
    p->b->ops->kv_write(p->b, p->kv, over, PARKED);
    for (int32_t i = 0; i < (int32_t)pages_of(TOKENS); i++) b.pages[i] += 1;
    for (size_t i = 0; i < PARKED; i++) there[i].page = b.pages[i];
    p->b->ops->kv_write(p->b, p->kv, there, PARKED);
    compute(&b, HALF, TOKENS - HALF);
    assert_memory_equal(a.out, b.out, (size_t)(LAYERS * TOKENS * out_numbers) * sizeof *a.out);
    p->b->ops->kv_write(p->b, p->kv, there, PARKED); /* nobody waits for these */
    p->b->ops->host_free(p->b, parked);
    p->b->ops->host_free(p->b, nan);
    end(&a);
    end(&b);
}

static void test_parked(void **state)
{
    (void)state;
    for (const enum dtype *d = types_for_test(); *d; d++) check_parked(*d);
}

static void test_refusals(void **state)
{
    (void)state;
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    struct err e = {{0}};
    assert_null(b->ops->kv_create(b, (struct kv_shape){80, 8, 128, 64}, INT64_MAX / 1000, &e));
    assert_true(e.text[0] != 0);
    b->ops->kv_destroy(b, NULL);
    backend_destroy(b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_there_and_back),
    cmocka_unit_test(test_parked),
    cmocka_unit_test(test_refusals),
};
RUN_TESTS(tests)
