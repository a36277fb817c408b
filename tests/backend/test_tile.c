/* The inner products of every instruction set that this processor has: in f32 the bits of the chain
 * that tile.h promises, whatever the number of rows and panels. */
#include "backend/cpu/cpu.h"
#include "backend/fixture.h"
#include "backend/isa_here.h"

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
    for (enum isa isa = ISA_PORTABLE; isa <= isa_here(); isa++) {
        struct tiles t = tiles_choose(isa);
        printf("%s\n", isa_name(isa));
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

enum { HIGH = 70, EVEN = K + 1 }; /* rows of bf16: more than two passes take */

/* Number of k i of column j, two panels side by side. */
static int place_of(int64_t i, int64_t j)
{
    return (int)(j / TILE_COLS * EVEN * TILE_COLS + i / 2 * 2 * TILE_COLS + j % TILE_COLS * 2 +
                 i % 2);
}

/* bf16: small whole numbers, whose sums are exact in any order. */
static void check_pairs(tile_fn *tile)
{
    static uint16_t a[HIGH * LDA], b[2 * EVEN * TILE_COLS];
    static float c[HIGH * LDC];
    for (int i = 0; i < HIGH * LDA; i++)
        dtype_narrow(&a[i], &(float){(float)(i % 7 - 3)}, DTYPE_ID_BF16, 1);
    for (int i = 0; i < 2 * EVEN * TILE_COLS; i++)
        dtype_narrow(&b[i], &(float){(float)(i % 11 - 5)}, DTYPE_ID_BF16, 1);
    for (int64_t rows = 1; rows <= HIGH; rows++)
        for (int64_t panels = 1; panels <= 2; panels++) {
            for (int i = 0; i < HIGH * LDC; i++) c[i] = 1;
            tile(c, LDC, a, LDA, b, 0, EVEN * TILE_COLS, panels, rows, EVEN, rows % 2, b);
            for (int r = 0; r < HIGH; r++)
                for (int j = 0; j < LDC; j++) {
                    bool is_there = r < rows && j < panels * TILE_COLS;
                    int want = is_there ? (int)(rows % 2) : 1;
                    for (int i = 0; i < EVEN && is_there; i++)
                        want += ((r * LDA + i) % 7 - 3) * (place_of(i, j) % 11 - 5);
                    assert_true(c[r * LDC + j] == (float)want);
                }
        }
}

/* Any numbers: a row's bits are those it has alone, whatever stands beside it. */
static void check_alone(tile_fn *tile)
{
    static uint16_t a[HIGH * LDA], b[2 * EVEN * TILE_COLS];
    static float c[HIGH * LDC], alone[2 * TILE_COLS];
    for (int i = 0; i < HIGH * LDA; i++)
        dtype_narrow(&a[i], &(float){sinf((float)i)}, DTYPE_ID_BF16, 1);
    for (int i = 0; i < 2 * EVEN * TILE_COLS; i++)
        dtype_narrow(&b[i], &(float){sinf((float)(7 * i))}, DTYPE_ID_BF16, 1);
    for (int64_t rows = 1; rows <= HIGH; rows++) {
        tile(c, LDC, a, LDA, b, 0, EVEN * TILE_COLS, 2, rows, EVEN, false, b);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t p = 0; p < 2; p++) {
                tile(alone, TILE_COLS, a + r * LDA, LDA, b + p * EVEN * TILE_COLS, 0, 0, 1, 1, EVEN,
                     false, b);
                assert_memory_equal(c + r * LDC + p * TILE_COLS, alone, TILE_COLS * sizeof *c);
            }
    }
}

static void test_pairs(void **state)
{
    (void)state;
    tile_fn *last = NULL;
    if (isa_here() < ISA_AVX512_BF16) skip();
    for (enum isa isa = ISA_AVX512_BF16; isa <= isa_here(); isa++) {
        struct tiles t = tiles_choose(isa);
        printf("%s\n", isa_name(isa));
        assert_ptr_not_equal(t.bf16, last);
        last = t.bf16;
        check_pairs(t.bf16);
        check_alone(t.bf16);
    }
}

/* Rows of any length, of all kinds of numbers; what is beyond a row is untouched. */
static void check_round(const struct tiles *t)
{
    static const float some[] = {0.0f,  1.0f,       0x1.01p0f,      0x1.03p0f,       0x1.0100002p0f,
                                 -3.3f, 0x1p-126f,  0x1.fffffep-3f, 0x1.fffffep127f, INFINITY,
                                 NAN,   -0x1p-127f, 0x1p-149f,      -INFINITY};
    enum { KINDS = sizeof some / sizeof *some, MOST = 70 };
    float x[MOST];
    uint16_t out[MOST + 1];
    for (int64_t i = 0; i < MOST; i++) x[i] = some[i % KINDS];
    for (int64_t n = 0; n <= MOST; n++) {
        memset(out, 0xab, sizeof out);
        t->round(out, x, n);
        for (int64_t i = 0; i < n; i++) {
            bool is_zero = t->bf16 && fabsf(x[i]) < 0x1p-126f;
            assert_int_equal(out[i], bf16_round(is_zero ? copysignf(0, x[i]) : x[i]));
        }
        assert_int_equal(out[n], 0xabab);
    }
}

static void test_round(void **state)
{
    (void)state;
    for (enum isa isa = ISA_PORTABLE; isa <= isa_here(); isa++) {
        struct tiles t = tiles_choose(isa);
        printf("%s\n", isa_name(isa));
        check_round(&t);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_chains),
    cmocka_unit_test(test_pairs),
    cmocka_unit_test(test_round),
};
RUN_TESTS(tests)
