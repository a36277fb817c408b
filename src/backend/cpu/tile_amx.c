/* The inner product in bf16 for processors with AMX: up to 32 rows times one or two panels of 16
 * columns, 32 numbers of k at a time.  A panel's [16][16][2] is a tile of the processor's as it
 * lies.  What a number of c becomes depends on its row and its column alone: the processor's rule
 * looks at no other. */
#include "backend/cpu/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include "backend/cpu/amx.h"

#include <string.h>

#define INLINE_AMX __attribute__((target(AMX_ISA), always_inline)) static inline

/* Tiles 0 to 3: c of upper rows and panel 0, upper and 1, lower and 0, lower and 1; 4 and 5: a of
 * upper and lower rows; 6 and 7: b of both panels. */
INLINE_AMX void configure(int64_t upper, int64_t lower)
{
    struct amx_config g = {.palette = 1};
    for (int i = 0; i < 8; i++) g.row_bytes[i] = 64;
    g.rows[0] = g.rows[1] = g.rows[4] = (uint8_t)upper;
    g.rows[2] = g.rows[3] = g.rows[5] = (uint8_t)(lower > 0 ? lower : 1);
    g.rows[6] = g.rows[7] = AMX_ROWS;
    AMX_FENCE;
    _tile_loadconfig(&g);
}

/* What all passes over the rows share. */
struct product {
    int64_t lda, ldc;
    const uint16_t *b;
    int64_t panel, k;
    bool add;
    const char *next;   /* to be fetched, `lines` lines at each AMX_DEPTH numbers of k */
    int64_t lines;      /* 0, 8 or 16 */
    int64_t next_panel; /* bytes from one panel to the other; 0: one only */
};

/* Loops of a length that is not known here would cost more than all else: where one ends is
 * mispredicted, and the multiplier runs dry. */
INLINE_AMX void fetch_lines(const int64_t n, const char *at)
{
#pragma GCC unroll 16
    for (int64_t j = 0; j < n; j++) _mm_prefetch(at + 64 * j, _MM_HINT_T1);
}

INLINE_AMX void fetch(const struct product *x, int64_t i)
{
    const char *at = x->next + i / AMX_DEPTH * x->lines * 64;
    if (x->lines == 8) fetch_lines(8, at);
    if (x->lines != 16) return;
    fetch_lines(16, at);
    if (x->next_panel) fetch_lines(16, at + x->next_panel);
}

/* The lines of c that the pass is going to write, those of two rows at each AMX_DEPTH numbers of k:
 * all at its end would wait for memory. */
INLINE_AMX void reserve(const bool two_panels, const struct product *x, const float *c,
                        int64_t rows, int64_t i)
{
    int64_t row = i / AMX_DEPTH * 2;
    if (row + 2 > rows) return;
#pragma GCC unroll 2
    for (int64_t r = row; r < row + 2; r++) {
        __builtin_prefetch(c + r * x->ldc, 1);
        if (two_panels) __builtin_prefetch(c + r * x->ldc + TILE_COLS, 1);
    }
}

/* AMX_DEPTH numbers of k. */
INLINE_AMX void multiply(const bool two_rows, const bool two_panels, const uint16_t *a0,
                         const uint16_t *a1, int64_t lda, const uint16_t *b0, const uint16_t *b1)
{
    _tile_loadd(6, b0, 64);
    _tile_loadd(4, a0, lda * 2);
    _tile_dpbf16ps(0, 4, 6);
    if (two_panels) {
        _tile_loadd(7, b1, 64);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (two_rows) {
        _tile_loadd(5, a1, lda * 2);
        _tile_dpbf16ps(2, 5, 6);
        if (two_panels) _tile_dpbf16ps(3, 5, 7);
    }
}

/* The numbers of k that fill no tile, followed by zeros. */
INLINE_AMX void multiply_rest(const bool two_rows, const bool two_panels, const struct product *x,
                              const uint16_t *a, int64_t i, int64_t rows)
{
    uint16_t pad_a[2 * AMX_ROWS * AMX_DEPTH] = {0}, pad_b[2][AMX_ROWS * AMX_DEPTH] = {{0}};
    size_t n = (size_t)(x->k - i);
    for (int64_t r = 0; r < rows; r++)
        memcpy(pad_a + r * AMX_DEPTH, a + r * x->lda + i, n * sizeof *a);
    for (int p = 0; p < 1 + two_panels; p++)
        memcpy(pad_b[p], x->b + p * x->panel + i * TILE_COLS, n * TILE_COLS * sizeof *pad_b[p]);
    int64_t upper = two_rows ? (rows + 1) / 2 : rows;
    AMX_FENCE;
    multiply(two_rows, two_panels, pad_a, pad_a + upper * AMX_DEPTH, AMX_DEPTH, pad_b[0], pad_b[1]);
}

/* Rows [0, rows) of a and c; two_rows: in two tiles, the upper one no less high. */
INLINE_AMX void pass(const bool two_rows, const bool two_panels, const struct product *x,
                     const uint16_t *a, float *c, int64_t rows)
{
    int64_t upper = two_rows ? (rows + 1) / 2 : rows, ldc = x->ldc * (int64_t)sizeof *c, i = 0;
    float *lower = c + upper * x->ldc;
    const uint16_t *a1 = a + upper * x->lda, *b0 = x->b, *b1 = x->b + x->panel;
    if (x->add) {
        _tile_loadd(0, c, ldc);
        if (two_panels) _tile_loadd(1, c + TILE_COLS, ldc);
        if (two_rows) _tile_loadd(2, lower, ldc);
        if (two_rows && two_panels) _tile_loadd(3, lower + TILE_COLS, ldc);
    } else {
        _tile_zero(0);
        if (two_panels) _tile_zero(1);
        if (two_rows) _tile_zero(2);
        if (two_rows && two_panels) _tile_zero(3);
    }
    for (; i + AMX_DEPTH <= x->k; i += AMX_DEPTH) {
        fetch(x, i);
        if (!x->add) reserve(two_panels, x, c, rows, i);
        multiply(two_rows, two_panels, a + i, a1 + i, x->lda, b0 + i * TILE_COLS,
                 b1 + i * TILE_COLS);
    }
    if (i < x->k) multiply_rest(two_rows, two_panels, x, a, i, rows);
    _tile_stored(0, c, ldc);
    if (two_panels) _tile_stored(1, c + TILE_COLS, ldc);
    if (two_rows) _tile_stored(2, lower, ldc);
    if (two_rows && two_panels) _tile_stored(3, lower + TILE_COLS, ldc);
}

__attribute__((target(AMX_ISA))) static void one_pass(const struct product *x, int64_t panels,
                                                      const uint16_t *a, float *c, int64_t rows)
{
    if (rows > AMX_ROWS && panels == 2)
        pass(true, true, x, a, c, rows);
    else if (rows > AMX_ROWS)
        pass(true, false, x, a, c, rows);
    else if (panels == 2)
        pass(false, true, x, a, c, rows);
    else
        pass(false, false, x, a, c, rows);
}

/* The part of what is to be fetched that falls to pass number `pass` of n: all in the first one
 * would wait for memory. */
static void share_fetch(struct product *x, const void *next, int64_t panels, int64_t pass,
                        int64_t n)
{
    int64_t panel = x->panel * (int64_t)sizeof *x->b, each = n / panels; /* passes for a panel */
    x->next = next;
    x->lines = AMX_ROWS;
    x->next_panel = n == 1 && panels == 2 ? panel : 0;
    if (n == 1) return;
    if (each > 1) x->lines /= 2;
    int64_t place = pass % each, needed = AMX_ROWS / x->lines;
    if (pass / each >= panels || place >= needed) x->lines = 0;
    x->next += pass / each * panel + place * (x->k / AMX_DEPTH) * x->lines * 64;
}

__attribute__((target(AMX_ISA))) void tile_bf16_amx(float *c, int64_t ldc, const void *a,
                                                    int64_t lda, const void *b, int64_t ldb,
                                                    int64_t panel, int64_t panels, int64_t rows,
                                                    int64_t k, bool add, const void *next)
{
    (void)ldb;
    struct product x = {.lda = lda, .ldc = ldc, .b = b, .panel = panel, .k = k, .add = add};
    int64_t n = (rows + 2 * AMX_ROWS - 1) / (2 * AMX_ROWS), configured = 0, row = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t height = rows / n + (i < rows % n); /* as even as can be */
        if (height != configured)
            configure(height > AMX_ROWS ? (height + 1) / 2 : height,
                      height > AMX_ROWS ? height / 2 : 0);
        configured = height;
        share_fetch(&x, next, panels, i, n);
        one_pass(&x, panels, (const uint16_t *)a + row * lda, c + row * ldc, height);
        row += height;
    }
    _tile_release();
    AMX_FENCE;
}
#endif
