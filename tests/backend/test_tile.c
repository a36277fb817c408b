/* The inner products of every instruction set that this processor has: in f32 the bits of the chain
 * that tile.h promises, whatever the number of rows and panels. */
#include "backend/cpu/tile.h"
#include "backend/fixture.h"

#include <math.h>

enum { ROWS = 21, K = 37, PANEL = K * TILE_COLS, LDC = 2 * TILE_COLS + 3, LDA = K + 5 };

struct numbers {
    float a[ROWS * LDA], b[2 * PANEL], c[ROWS * LDC];
};

static struct numbers *random_operands(void)
{
    struct numbers *n = host_memory(1, sizeof *n);
    fill_random(n->a, ROWS * LDA, 1);
    fill_random(n->b, 2 * PANEL, 2);
    fill_random(n->c, ROWS * LDC, 3);
    return n;
}

static float chain(const struct numbers *n, int r, int p, int j, float before, bool add)
{
    float sum = 0;
    for (int i = 0; i < K; i++)
        sum = fmaf(n->a[r * LDA + i], n->b[p * PANEL + i * TILE_COLS + j], sum);
    return add ? before + sum : sum;
}

/* c as it must be after `rows` rows of `panels` panels; the rest untouched. */
static void check(const struct numbers *n, const float *c, int64_t rows, int64_t panels, bool add)
{
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < LDC; j++) {
            float want = n->c[r * LDC + j];
            if (r < rows && j < panels * TILE_COLS)
                want = chain(n, r, j / TILE_COLS, j % TILE_COLS, want, add);
            assert_memory_equal(&c[r * LDC + j], &want, sizeof want);
        }
}

static void test_chains(void **state)
{
    (void)state;
    struct numbers *n = random_operands();
    float c[ROWS * LDC];
    for (int avx512 = 0; avx512 < 2; avx512++) {
        struct tiles t = tiles_choose(avx512, false);
        printf("%s\n", t.isa);
        assert_null(t.bf16);
        for (int64_t rows = 0; rows <= ROWS; rows++)
            for (int add = 0; add < 2; add++) {
                for (int64_t panels = 1; panels <= 2; panels++) {
                    memcpy(c, n->c, sizeof c);
                    t.f32(c, LDC, n->a, LDA, n->b, TILE_COLS, PANEL, panels, rows, K, add, n->b);
                    check(n, c, rows, panels, add);
                }
            }
    }
    free(n);
}

/* bf16: small whole numbers, whose sums are exact in any order. */
static void test_pairs(void **state)
{
    (void)state;
    struct tiles t = tiles_choose(true, true);
    if (!t.bf16) skip();
    enum { EVEN = K + 1 };
    static uint16_t a[ROWS * LDA], b[2 * EVEN * TILE_COLS];
    float c[ROWS * LDC];
    for (int i = 0; i < ROWS * LDA; i++)
        dtype_narrow(&a[i], &(float){(float)(i % 7 - 3)}, DTYPE_ID_BF16, 1);
    for (int i = 0; i < 2 * EVEN * TILE_COLS; i++)
        dtype_narrow(&b[i], &(float){(float)(i % 11 - 5)}, DTYPE_ID_BF16, 1);
    for (int64_t rows = 1; rows <= ROWS; rows++)
        for (int64_t panels = 1; panels <= 2; panels++) {
            for (int i = 0; i < ROWS * LDC; i++) c[i] = 1;
            t.bf16(c, LDC, a, LDA, b, 0, EVEN * TILE_COLS, panels, rows, EVEN, true, b);
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < LDC; j++) {
                    int want = 1;
                    for (int i = 0; i < EVEN && r < rows && j < panels * TILE_COLS; i++)
                        want += ((r * LDA + i) % 7 - 3) *
                                ((j / TILE_COLS * EVEN * TILE_COLS + i / 2 * 2 * TILE_COLS +
                                  j % TILE_COLS * 2 + i % 2) %
                                     11 -
                                 5);
                    assert_true(c[r * LDC + j] == (float)want);
                }
        }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_chains),
    cmocka_unit_test(test_pairs),
};
RUN_TESTS(tests)
