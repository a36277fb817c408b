/* Ranks: collectives against sums and copies that each rank computes alone, bit for bit; point to
 * point; agreement. A check that fails ends all ranks (ENSURE), so that none waits for the others.
 *
 *     test_comm             on any number of ranks
 *     test_comm large       also sends more than 2 GiB (needs as much memory on every rank) */
#include "base/clock.h"
#include "base/fmath.h"
#include "base/mem.h"
#include "base/rng.h"
#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WHOLE_PIECES = 1 << 30, SMALL_PIECES = 24 };

/* What rank r holds at place i: any rank can say it. */
static uint32_t word(int r, size_t i)
{
    return draw_word((struct draw){1, (uint32_t)r, 0, 0}, (uint32_t)i);
}

static void fill_bytes(unsigned char *p, size_t n, int r)
{
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)word(r, i);
}

static void ensure_bytes(const unsigned char *p, size_t n, int r)
{
    for (size_t i = 0; i < n; i++) ENSURE(p[i] == (unsigned char)word(r, i));
}

static void test_bcast(struct comm *c)
{
    static const size_t sizes[] = {0, 1, 23, 24, 25, 48, 1001};
    unsigned char buf[1001];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int root = 0; root < comm_size(c); root++) {
            memset(buf, 0, sizeof buf);
            if (comm_rank(c) == root) fill_bytes(buf, sizes[k], root);
            comm_bcast(c, buf, sizes[k], root);
            ensure_bytes(buf, sizes[k], root);
            for (size_t i = sizes[k]; i < sizeof buf; i++) ENSURE(buf[i] == 0);
        }
}

static void test_allgather(struct comm *c)
{
    static const size_t sizes[] = {0, 1, 6, 7, 24, 25, 333};
    size_t n = (size_t)comm_size(c);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        unsigned char *mine = mem_calloc(sizes[k], 1), *all = mem_calloc(sizes[k] * n, 1);
        fill_bytes(mine, sizes[k], comm_rank(c));
        comm_allgather(c, mine, sizes[k], all);
        for (size_t r = 0; r < n; r++) ensure_bytes(all + r * sizes[k], sizes[k], (int)r);
        memset(all, 0, sizes[k] * n);
        unsigned char *place = all + (size_t)comm_rank(c) * sizes[k];
        fill_bytes(place, sizes[k], comm_rank(c));
        comm_allgather(c, place, sizes[k], all);
        for (size_t r = 0; r < n; r++) ensure_bytes(all + r * sizes[k], sizes[k], (int)r);
        free(mine);
        free(all);
    }
}

/* Every third rank has nothing, the others more the higher their rank. */
static size_t gather_size(int r, int shift)
{
    return (r + shift) % 3 == 0 ? 0 : (size_t)(r + 1) * 41;
}

static void test_gatherv(struct comm *c)
{
    for (int shift = 0; shift < 3; shift++)
        for (int root = 0; root < comm_size(c); root++) {
            size_t n = gather_size(comm_rank(c), shift),
                   *sizes = mem_calloc((size_t)comm_size(c), sizeof *sizes);
            unsigned char *mine = mem_calloc(n, 1);
            void *all;
            fill_bytes(mine, n, comm_rank(c));
            comm_gatherv(c, n ? mine : NULL, n, &all, sizes, root);
            ENSURE((all != NULL) == (comm_rank(c) == root));
            const unsigned char *p = all;
            for (int r = 0; p && r < comm_size(c); r++) {
                ENSURE(sizes[r] == gather_size(r, shift));
                ensure_bytes(p, sizes[r], r);
                p += sizes[r];
            }
            free(all);
            free(mine);
            free(sizes);
        }
}

static void test_integers(struct comm *c)
{
    int64_t n = comm_size(c), r = comm_rank(c), big = (int64_t)1 << 40;
    ENSURE(comm_sum_i64(c, big + r) == n * big + n * (n - 1) / 2);
    ENSURE(comm_min_i64(c, big - r) == big - (n - 1));
    ENSURE(comm_max_i64(c, -big + r) == -big + n - 1);
    uint64_t v[77];
    for (uint64_t i = 0; i < 77; i++) v[i] = ((uint64_t)1 << 60) + i * (uint64_t)(r + 1);
    comm_sum_u64_array(c, v, 77);
    for (uint64_t i = 0; i < 77; i++)
        ENSURE(v[i] == (uint64_t)n * ((uint64_t)1 << 60) + i * (uint64_t)(n * (n + 1) / 2));
}

/* Small whole numbers: every order of adding gives the same bits. */
static float exact_value(int r, size_t i)
{
    return (float)(word(r, i) % 2001) - 1000.0f;
}

/* Exponents from -20 to 20 and both signs: another order gives other bits. */
static float rough_value(int r, size_t i)
{
    uint32_t w = word(r, i);
    return ldexpf((float)(int32_t)w, (int)(w % 41) - 20 - 31);
}

static float sum_in_order(float (*value)(int, size_t), int n, size_t i)
{
    float s = value(0, i);
    for (int r = 1; r < n; r++) s += value(r, i);
    return s;
}

static void check_sum(struct comm *c, float (*value)(int, size_t), size_t n)
{
    int size = comm_size(c);
    float *x = mem_calloc(n, sizeof *x), *scratch = mem_calloc(n * (size_t)size, sizeof *x);
    size_t order_matters = 0;
    for (size_t i = 0; i < n; i++) x[i] = value(comm_rank(c), i);
    comm_sum_f32_in_rank_order(c, x, n, scratch);
    for (size_t i = 0; i < n; i++) {
        ENSURE(fm_bits(x[i]) == fm_bits(sum_in_order(value, size, i)));
        float backwards = value(size - 1, i);
        for (int r = size - 2; r >= 0; r--) backwards += value(r, i);
        order_matters += fm_bits(backwards) != fm_bits(x[i]);
    }
    ENSURE(value == rough_value || order_matters == 0);
    ENSURE(value == exact_value || size < 3 || n < 1000 || order_matters > n / 20);
    free(x);
    free(scratch);
}

static void test_sum_f32(struct comm *c)
{
    static const size_t sizes[] = {0, 1, 5, 6, 7, 1000, 20011};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        check_sum(c, exact_value, sizes[k]);
        check_sum(c, rough_value, sizes[k]);
    }
}

/* Each rank but 0 sends two messages with different tags and sizes; rank 0 takes them as they come.
 */
static void test_messages(struct comm *c)
{
    enum { TAG_A = 3, TAG_B = 31999 };
    int n = comm_size(c), me = comm_rank(c), from = -1;
    unsigned char buf[500];
    ENSURE(!comm_probe(c, TAG_A, &from));
    comm_barrier(c);
    if (me > 0) {
        fill_bytes(buf, sizeof buf, me);
        comm_send(c, buf, (size_t)me * 100, 0, TAG_A);
        comm_send(c, NULL, 0, 0, TAG_B);
        size_t bytes;
        unsigned char *answer = comm_recv(c, 0, TAG_A, &bytes);
        ENSURE(bytes == 77);
        ensure_bytes(answer, bytes, me + 100);
        free(answer);
        return;
    }
    for (int k = 1; k < n; k++) {
        size_t bytes;
        from = comm_wait_any(c, TAG_A);
        ENSURE(from > 0 && from < n);
        unsigned char *got = comm_recv(c, from, TAG_A, &bytes);
        ENSURE(bytes == (size_t)from * 100);
        ensure_bytes(got, bytes, from);
        free(got);
        free(comm_recv(c, comm_wait_any(c, TAG_B), TAG_B, &bytes));
        ENSURE(bytes == 0);
        fill_bytes(buf, 77, from + 100);
        comm_send(c, buf, 77, from, TAG_A);
    }
}

/* A rank that waits for 0.3 s sleeps: its processor time stays far below. */
static void test_wait_sleeps(struct comm *c)
{
    if (comm_size(c) < 2) return;
    comm_barrier(c);
    if (comm_rank(c) == 1) {
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
        comm_send(c, "x", 1, 0, 5);
    } else if (comm_rank(c) == 0) {
        clock_t before = clock();
        double start = clock_s();
        size_t bytes;
        ENSURE(comm_wait_any(c, 5) == 1);
        double cpu_s = (double)(clock() - before) / CLOCKS_PER_SEC;
        ENSURE(clock_s() - start > 0.2 && cpu_s < 0.15);
        free(comm_recv(c, 1, 5, &bytes));
    }
    comm_barrier(c);
}

static void test_agree(struct comm *c)
{
    struct err e = {0};
    int n = comm_size(c), me = comm_rank(c);
    ENSURE(comm_agree(c, 0, &e) == 0 && !e.text[0]);
    for (int first = 0; first < n; first++) {
        int rc = me >= first ? err_set(&e, "disk %d is full", me) : 0;
        ENSURE(comm_agree(c, rc, &e) == -1);
        char expected[64];
        snprintf(expected, sizeof expected, n > 1 ? "rank %d: disk %d is full" : "disk %d is full",
                 first, first);
        ENSURE(strcmp(e.text, expected) == 0);
        e = (struct err){0};
    }
    ENSURE(comm_agree(c, me == n - 1 ? -1 : 0, &e) == -1);
    ENSURE(strstr(e.text, "failed without saying why"));
    e = (struct err){0};
    ENSURE(comm_agree(c, 0, &e) == 0);
}

/* Rank r is tensor rank r % tensor of group r / tensor; collectives of a group reach its ranks
 * alone. */
static void test_grid(struct comm *world)
{
    int n = comm_size(world), me = comm_rank(world);
    for (int tensor = 1; tensor <= n; tensor *= 2) {
        if (n % tensor != 0) continue;
        struct comm *group = comm_split(world, me / tensor),
                    *peers = comm_split(world, me % tensor);
        ENSURE(comm_size(group) == tensor && comm_rank(group) == me % tensor);
        ENSURE(comm_size(peers) == n / tensor && comm_rank(peers) == me / tensor);
        ENSURE(comm_sum_i64(group, me) ==
               tensor * (int64_t)(me / tensor * tensor) + tensor * (tensor - 1) / 2);
        int leader = me;
        comm_bcast(group, &leader, sizeof leader, 0);
        ENSURE(leader == me / tensor * tensor);
        check_sum(group, rough_value, 100);
        struct err e = {0};
        int rc = me == 0 ? err_set(&e, "only group 0 fails") : 0;
        ENSURE(comm_agree(group, rc, &e) == (me / tensor == 0 ? -1 : 0));
        comm_destroy(group);
        comm_destroy(peers);
    }
    struct comm *node = comm_split_node(world);
    ENSURE(comm_size(node) >= 1 && comm_size(node) <= n);
    ENSURE(comm_max_i64(node, comm_rank(node)) == comm_size(node) - 1);
    comm_destroy(node);
    comm_destroy(NULL);
}

static void test_all(struct comm *c)
{
    test_bcast(c);
    test_allgather(c);
    test_gatherv(c);
    test_integers(c);
    test_sum_f32(c);
    test_messages(c);
    test_agree(c);
    test_grid(c);
}

/* ---- more than an int can count, through every call that moves bytes ---- */

static void large_bcast(struct comm *c, unsigned char *p, size_t n)
{
    if (comm_rank(c) == 0) memset(p, 7, n);
    comm_bcast(c, p, n, 0);
    for (size_t i = 0; i < n; i += 4099) ENSURE(p[i] == 7);
    ENSURE(p[n - 1] == 7);
}

/* Every rank's part is its number. */
static void large_allgather(struct comm *c, unsigned char *p, size_t n)
{
    size_t part = n / (size_t)comm_size(c);
    memset(p, 0, n);
    memset(p + (size_t)comm_rank(c) * part, comm_rank(c) + 1, part);
    comm_allgather(c, p + (size_t)comm_rank(c) * part, part, p);
    for (int r = 0; r < comm_size(c); r++) {
        const unsigned char *q = p + (size_t)r * part;
        for (size_t i = 0; i < part; i += 4099) ENSURE(q[i] == r + 1);
        ENSURE(q[part - 1] == r + 1);
    }
}

static void large_sum(struct comm *c, unsigned char *p, size_t n)
{
    uint64_t *v = (uint64_t *)(void *)p, ranks = (uint64_t)comm_size(c);
    for (size_t i = 0; i < n / 8; i++) v[i] = i;
    comm_sum_u64_array(c, v, n / 8);
    for (size_t i = 0; i < n / 8; i++) ENSURE(v[i] == i * ranks);
}

/* From the last rank to rank 0, as a message and as its part of a gathering. */
static void large_message(struct comm *c, size_t n)
{
    int last = comm_size(c) - 1, me = comm_rank(c);
    size_t *sizes = mem_calloc((size_t)comm_size(c), sizeof *sizes), bytes = me == last ? n : 0;
    unsigned char *p = mem_calloc(bytes, 1);
    void *got = NULL;
    if (me == last) memset(p, 7, n);
    if (me == last) p[n - 1] = 9;
    for (int k = 0; k < 2; k++) {
        if (k == 1) comm_gatherv(c, p, bytes, &got, sizes, 0);
        if (k == 0 && me == last) comm_send(c, p, n, 0, 1);
        if (k == 0 && me == 0) got = comm_recv(c, last, 1, &sizes[last]);
        ENSURE(me != 0 || sizes[last] == n);
        const unsigned char *q = got;
        for (size_t i = 0; q && i < n - 1; i += 4099) ENSURE(q[i] == 7);
        ENSURE(!q || q[n - 1] == 9);
        free(got);
        got = NULL;
    }
    free(sizes);
    free(p);
}

static void test_large(struct comm *c)
{
    size_t n = ((size_t)1 << 31) + 5;
    unsigned char *p = mem_calloc(n, 1);
    large_bcast(c, p, n);
    large_allgather(c, p, n);
    large_sum(c, p, n);
    free(p);
    if (comm_size(c) > 1) large_message(c, n);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    test_all(world);
    comm_set_piece(world, SMALL_PIECES);
    test_all(world);
    comm_set_piece(world, WHOLE_PIECES);
    test_wait_sleeps(world);
    if (argc > 1 && strcmp(argv[1], "large") == 0) test_large(world);
    comm_barrier(world);
    if (comm_rank(world) == 0) printf("%d ranks: passed\n", comm_size(world));
    comm_stop(world);
    return 0;
}
