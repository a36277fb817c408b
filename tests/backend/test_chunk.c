/* The products of chunk.h, which not every processor has: whole numbers, whose sums are exact in
 * any order, and weights against their definition. */
#include "backend/cpu/chunk.h"
#include "backend/cpu/cpu.h"
#include "backend/fixture.h"
#include "backend/isa_here.h"

#include <math.h>

enum { ROWS = CHUNK_MOST_ROWS, MOST_E = 96, PADDED = 7 * TILE_COLS };

struct numbers {
    uint16_t q[ROWS * MOST_E], k[CHUNK_PAGES][PAGE_TOKENS * MOST_E],
        v[CHUNK_PAGES][PAGE_TOKENS * PADDED];
    uint16_t p[ROWS * CHUNK];
    float s[ROWS * CHUNK], o[ROWS * PADDED];
    const void *keys[CHUNK_PAGES], *values[CHUNK_PAGES];
};

static uint16_t narrow(int number)
{
    return bf16_round((float)number);
}

static int key_at(int token, int e)
{
    return (token * 7 + e * 3) % 9 - 4;
}
static int value_at(int token, int column)
{
    return (token * 5 + column) % 11 - 5;
}
static int query_at(int r, int e)
{
    return (r * 3 + e) % 7 - 3;
}

static struct numbers *whole_numbers(int E)
{
    struct numbers *n = host_memory(1, sizeof *n);
    for (int r = 0; r < ROWS; r++)
        for (int e = 0; e < E; e++) n->q[r * E + e] = narrow(query_at(r, e));
    for (int t = 0; t < CHUNK; t++) {
        int page = t / PAGE_TOKENS, slot = t % PAGE_TOKENS;
        for (int e = 0; e < E; e++)
            n->k[page][(e / 2 * PAGE_TOKENS + slot) * 2 + e % 2] = narrow(key_at(t, e));
        for (int c = 0; c < PADDED; c++)
            n->v[page][(slot / 2 * PADDED + c) * 2 + slot % 2] = narrow(value_at(t, c));
    }
    for (int page = 0; page < CHUNK_PAGES; page++) {
        n->keys[page] = n->k[page];
        n->values[page] = n->v[page];
    }
    return n;
}

/* What `rows` rows see: all; or ends and begins that differ, the last row of several nothing. */
static struct chunk_rows seen_by(int64_t rows, bool all)
{
    struct chunk_rows c = {.rows = rows, .first = all ? 0 : 1, .past = CHUNK_PAGES - !all};
    for (int64_t r = 0; r < rows; r++) {
        c.begin[r] = all ? 0 : PAGE_TOKENS + 5 * r % 40;
        c.end[r] = all ? CHUNK : CHUNK - PAGE_TOKENS - 3 * r % 40;
    }
    if (!all && rows > 1) c.end[rows - 1] = c.begin[rows - 1];
    return c;
}

static bool sees(const struct chunk_rows *c, int64_t r, int64_t key)
{
    return key >= c->begin[r] && key < c->end[r];
}

static void check_scores(const struct chunk_products *f, int E, struct numbers *n,
                         const struct chunk_rows *c)
{
    f->scores(n->s, n->q, E, c, n->keys, n->values[0]);
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t t = c->first * PAGE_TOKENS; t < c->past * PAGE_TOKENS; t++) {
            int want = 0;
            for (int e = 0; e < E; e++) want += query_at((int)r, e) * key_at((int)t, e);
            assert_true(n->s[r * CHUNK + t] == (float)want);
        }
}

static void check_values(const struct chunk_products *f, struct numbers *n,
                         const struct chunk_rows *c)
{
    float keep[ROWS];
    for (int64_t r = 0; r < c->rows; r++) {
        keep[r] = (float)(r % 3);
        for (int64_t t = 0; t < CHUNK; t++)
            n->p[r * CHUNK + t] = narrow(sees(c, r, t) ? (int)(r + t) % 4 : 0);
        for (int i = 0; i < PADDED; i++) n->o[r * PADDED + i] = (float)(i - 2);
    }
    f->values(n->o, PADDED, keep, n->p, c, n->values, n->keys[0]);
    for (int64_t r = 0; r < c->rows; r++)
        for (int i = 0; i < PADDED; i++) {
            int want = (i - 2) * (int)(r % 3);
            for (int64_t t = 0; t < CHUNK; t++)
                if (sees(c, r, t)) want += (int)(r + t) % 4 * value_at((int)t, i);
            assert_true(n->o[r * PADDED + i] == (float)want);
        }
}

/* Values that no row may see are no numbers. */
static void break_unseen(struct numbers *n, const struct chunk_rows *c)
{
    for (int64_t t = 0; t < CHUNK; t++) {
        bool seen = false;
        for (int64_t r = 0; r < c->rows; r++) seen = seen || sees(c, r, t);
        for (int i = 0; i < PADDED && !seen; i++)
            n->v[t / PAGE_TOKENS][(t % PAGE_TOKENS / 2 * PADDED + i) * 2 + t % 2] = 0xffff;
    }
}

static const struct chunk_products *products(void)
{
    return tiles_choose(isa_here()).chunk;
}

/* Of the processor's tiles, where it has them; else NULL. */
static const struct chunk_products *deep_products(void)
{
    return tiles_choose(isa_here()).deep;
}

static void check_products(const struct chunk_products *f, int E)
{
    for (int64_t rows = 1; rows <= f->rows; rows++)
        for (int all = 0; all < 2; all++) {
            struct numbers *n = whole_numbers(E);
            struct chunk_rows c = seen_by(rows, all);
            check_scores(f, E, n, &c);
            break_unseen(n, &c);
            check_values(f, n, &c);
            free(n);
        }
}

static void test_products(void **state)
{
    (void)state;
    if (!products()) skip();
    check_products(products(), 24);
    check_products(products(), 96);
    printf("amx: %s\n", deep_products() ? "yes" : "no");
    if (deep_products()) check_products(deep_products(), 96);
}

/* One row: its weights are exp, rounded; l is their sum. */
static void check_weights(const struct numbers *n, const struct chunk_rows *c, int64_t r,
                          const float *s, struct softmax before, struct softmax after, float keep)
{
    float m = before.m, scale = 0.25f;
    double sum = 0;
    if (c->begin[r] >= c->end[r]) {
        assert_true(keep == 1.0f && after.m == before.m && after.l == before.l);
        return;
    }
    for (int64_t t = c->begin[r]; t < c->end[r]; t++) m = fmaxf(m, s[r * CHUNK + t] * scale);
    for (int64_t t = c->begin[r] / PAGE_TOKENS * PAGE_TOKENS; t < pages_of(c->end[r]) * PAGE_TOKENS;
         t++) {
        uint16_t want =
            sees(c, r, t) ? bf16_round(fm_exp(s[r * CHUNK + t] * scale - m)) : (uint16_t)0;
        assert_int_equal(n->p[r * CHUNK + t], want);
        sum += (double)bf16_widen(want);
    }
    assert_true(after.m == m && keep == fm_exp(before.m - m));
    sum += (double)before.l * (double)keep;
    assert_true(fabs((double)after.l - sum) <= 1e-6 * sum);
}

static void test_weights(void **state)
{
    (void)state;
    if (!products()) skip();
    struct numbers *n = host_memory(1, sizeof *n);
    float s[ROWS * CHUNK], keep[ROWS];
    fill_random(s, ROWS * CHUNK, 1);
    for (int i = 0; i < ROWS * CHUNK; i++) s[i] *= i % 5 == 0 ? 900.0f : 20.0f; /* some exp are 0 */
    for (int64_t rows = 1; rows <= ROWS; rows++)
        for (int all = 0; all < 2; all++) {
            struct chunk_rows c = seen_by(rows, all);
            struct softmax before[ROWS], after[ROWS], *at[ROWS];
            for (int r = 0; r < ROWS; r++) {
                before[r] = after[r] =
                    r % 2 ? (struct softmax){3.0f, 17.0f} : (struct softmax){-INFINITY, 0.0f};
                at[r] = &after[r];
            }
            memcpy(n->s, s, sizeof s);
            products()->weights(n->p, keep, at, n->s, &c, 0.25f);
            for (int64_t r = 0; r < rows; r++)
                check_weights(n, &c, r, s, before[r], after[r], keep[r]);
        }
    free(n);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_products),
    cmocka_unit_test(test_weights),
};
RUN_TESTS(tests)
