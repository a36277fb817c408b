/* Pages that move between groups: each arrives where it should, the others stay as they are. */
#include "backend/fixture.h"

enum { PAGES = 60, LAYERS = 3 };

static const struct kv_shape shape = {.L = LAYERS, .G = 1, .E = 8, .H = 1};

/* A grid of ranks / tensor groups. */
struct grid {
    struct comm *group, *shard;
    struct backend *b;
    struct kv_pool *kv;
    size_t page_bytes;
    char *host; /* [PAGES] */
    struct kv_place places[PAGES];
};

static struct grid open_grid(int tensor, enum dtype type)
{
    int rank = comm_rank(world);
    struct grid g = {.group = comm_split(world, rank / tensor),
                     .shard = comm_split(world, rank % tensor)};
    struct err e = {{0}};
    g.b = test_backend_open_grid(world, g.group, g.shard, type, 1, &e);
    if (!g.b) fail_msg("%s", e.text);
    g.kv = g.b->ops->kv_create(g.b, shape, PAGES, &e);
    if (!g.kv) fail_msg("%s", e.text);
    g.page_bytes = g.b->ops->kv_page_bytes(g.b, shape);
    g.host = g.b->ops->host_alloc(g.b, PAGES * g.page_bytes);
    for (size_t i = 0; i < PAGES; i++)
        g.places[i] = (struct kv_place){g.host + i * g.page_bytes, (int32_t)i};
    return g;
}

static void close_grid(struct grid *g)
{
    g->b->ops->host_free(g->b, g->host);
    g->b->ops->kv_destroy(g->b, g->kv);
    backend_destroy(g->b);
    comm_destroy(g->group);
    comm_destroy(g->shard);
}

/* What page `page` of this group holds at first: another thing on every rank of the group. */
static void fill_page(const struct grid *g, char *out, int group, int64_t page)
{
    uint64_t seed = (uint64_t)((group * 16 + comm_rank(g->group)) * PAGES) + (uint64_t)page;
    fill_random((float *)(void *)out, (int64_t)(g->page_bytes / sizeof(float)), seed);
}

/* n moves that all agree on, as `kv_exchange` wants this rank's, and where its pages then came from
 * (group * PAGES + page). */
static int64_t make_moves(int groups, int me, uint64_t seed, int64_t n, struct kv_move *mine,
                          int64_t origin[PAGES])
{
    bool *used = mem_calloc((size_t)(groups * PAGES), sizeof *used); /* as source or target */
    int64_t n_mine = 0;
    for (int64_t i = 0; i < PAGES; i++) origin[i] = me * PAGES + i;
    for (uint32_t i = 0; n > 0; i++) {
        struct philox p = philox4x32(seed, i, 0, 0, 0);
        int from = (int)(p.word[0] % (uint32_t)groups), to = (int)(p.word[1] % (uint32_t)groups);
        int32_t source = (int32_t)(p.word[2] % PAGES), target = (int32_t)(p.word[3] % PAGES);
        if (from == to || used[from * PAGES + source] || used[to * PAGES + target]) continue;
        used[from * PAGES + source] = used[to * PAGES + target] = true;
        if (from == me) mine[n_mine++] = (struct kv_move){source, to, false};
        if (to == me) mine[n_mine++] = (struct kv_move){target, from, true};
        if (to == me) origin[target] = from * PAGES + source;
        n--;
    }
    free(used);
    return n_mine;
}

static void check_exchange(int tensor, enum dtype type)
{
    struct grid g = open_grid(tensor, type);
    int groups = comm_size(g.shard), me = comm_rank(g.shard);
    struct kv_move moves[2 * PAGES];
    int64_t origin[PAGES];
    char *want = mem_calloc(1, g.page_bytes);
    static const int64_t sizes[] = {0, 1, 5, PAGES / 2};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = make_moves(groups, me, s, sizes[s] * groups / 2, moves, origin);
        for (int64_t i = 0; i < PAGES; i++) fill_page(&g, g.places[i].p, me, i);
        g.b->ops->kv_write(g.b, g.kv, g.places, PAGES);
        g.b->ops->kv_exchange(g.b, g.kv, moves, n);
        g.b->ops->kv_read(g.b, g.kv, g.places, PAGES);
        wait_for(g.b);
        for (int64_t i = 0; i < PAGES; i++) {
            fill_page(&g, want, (int)(origin[i] / PAGES), origin[i] % PAGES);
            assert_memory_equal(g.places[i].p, want, g.page_bytes);
        }
    }
    free(want);
    close_grid(&g);
}

static void test_exchange(void **state)
{
    (void)state;
    int ranks = comm_size(world);
    for (int tensor = 1; tensor < ranks; tensor *= 2)
        for (const enum dtype *d = types_for_test(); *d; d++) check_exchange(tensor, *d);
}

/* Pages that are larger than a message may be (beyond 2 GiB; here beyond 40 bytes). */
static void test_large_pages(void **state)
{
    (void)state;
    comm_set_piece(world, 40);
    if (comm_size(world) > 1) check_exchange(1, DTYPE_ID_F32);
    comm_set_piece(world, 1 << 30);
}

/* One group: nothing to talk about. */
static void test_alone(void **state)
{
    (void)state;
    struct grid g = open_grid(comm_size(world), DTYPE_ID_F32);
    g.b->ops->kv_exchange(g.b, g.kv, NULL, 0);
    close_grid(&g);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchange),
                                          cmocka_unit_test(test_large_pages),
                                          cmocka_unit_test(test_alone)};
RUN_TESTS(tests)
