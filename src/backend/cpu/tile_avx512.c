/* The inner product for processors with AVX-512: up to 8 rows times one or two panels of 16
 * columns, the sums in registers.  In f32 the same chains of fused multiply-adds as in tile.c, so
 * the same bits.  In bf16 a chain takes two numbers of k at a time: the processor's own rule, which
 * looks at one row and one column. */
#include "backend/cpu/tile.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>

#define FOR_ROWS _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)
#define PANEL_OF _Pragma("GCC unroll 2") for (int p = 0; p < panels; p++)

/* The function of each number of rows and panels, all known to the compiler. */
#define BY_ROWS(f, panels, ...)                                                                    \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        f(1, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 2:                                                                                        \
        f(2, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 3:                                                                                        \
        f(3, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 4:                                                                                        \
        f(4, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 5:                                                                                        \
        f(5, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 6:                                                                                        \
        f(6, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 7:                                                                                        \
        f(7, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    case 8:                                                                                        \
        f(8, panels, __VA_ARGS__);                                                                 \
        break;                                                                                     \
    default:                                                                                       \
        break;                                                                                     \
    }

#define INLINE_512(isa) __attribute__((target(isa), always_inline)) static inline

/* What a pass over k fetches for later: `step` bytes at each number (pair) of k, from `at` on; in a
 * single pass of two panels also of the second one, `panel` bytes further on. */
struct fetch {
    const char *at;
    int64_t step, panel;
};

INLINE_512("avx512f")
void store_sums(const int rows, const int panels, float *c, int64_t ldc, __m512 sum[][2], bool add)
{
    FOR_ROWS PANEL_OF
    {
        float *out = c + r * ldc + p * TILE_COLS;
        _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), sum[r][p]) : sum[r][p]);
    }
}

INLINE_512("avx512f,prfchw")
void rows_f32(const int rows, const int panels, const bool single, float *c, int64_t ldc,
              const float *a, int64_t lda, const float *b, int64_t ldb, int64_t panel, int64_t k,
              bool add, struct fetch next)
{
    __m512 sum[TILE_ROWS_AVX512][2];
    FOR_ROWS PANEL_OF
    {
        sum[r][p] = _mm512_setzero_ps();
        __builtin_prefetch(c + r * ldc + p * TILE_COLS, 1, 3);
    }
    for (int64_t i = 0; i < k; i++) {
        __m512 w[2];
        _mm_prefetch(next.at, _MM_HINT_T1);
        if (single && panels == 2) _mm_prefetch(next.at + next.panel, _MM_HINT_T1);
        next.at += next.step;
        PANEL_OF w[p] = _mm512_loadu_ps(b + p * panel + i * ldb);
        FOR_ROWS
        {
            __m512 x = _mm512_set1_ps(a[r * lda + i]);
            PANEL_OF sum[r][p] = _mm512_fmadd_ps(x, w[p], sum[r][p]);
        }
    }
    store_sums(rows, panels, c, ldc, sum, add);
}

/* Pairs of k: a [rows][k / 2] of two numbers, b [k / 2][16] of two numbers. */
INLINE_512("avx512f,avx512bf16,prfchw")
void rows_bf16(const int rows, const int panels, const bool single, float *c, int64_t ldc,
               const uint16_t *a, int64_t lda, const uint16_t *b, int64_t panel, int64_t k,
               bool add, struct fetch next)
{
    __m512 sum[TILE_ROWS_AVX512][2];
    FOR_ROWS PANEL_OF
    {
        float *out = c + r * ldc + p * TILE_COLS;
        __builtin_prefetch(out, 1, 3);
        sum[r][p] = add ? _mm512_loadu_ps(out) : _mm512_setzero_ps();
    }
    for (int64_t i = 0; i < k; i += 2) {
        __m512bh w[2];
        _mm_prefetch(next.at, _MM_HINT_T1);
        if (single && panels == 2) _mm_prefetch(next.at + next.panel, _MM_HINT_T1);
        next.at += next.step;
        PANEL_OF w[p] = (__m512bh)_mm512_loadu_si512(b + p * panel + i * TILE_COLS);
        FOR_ROWS
        {
            int pair;
            memcpy(&pair, a + r * lda + i, sizeof pair);
            __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            PANEL_OF sum[r][p] = _mm512_dpbf16_ps(sum[r][p], x, w[p]);
        }
    }
    store_sums(rows, panels, c, ldc, sum, false);
}

__attribute__((target("avx512f,prfchw"))) static void
some_f32(int64_t rows, int64_t panels, bool single, float *c, int64_t ldc, const float *a,
         int64_t lda, const float *b, int64_t ldb, int64_t panel, int64_t k, bool add,
         struct fetch next)
{
    if (panels == 1)
        BY_ROWS(rows_f32, 1, false, c, ldc, a, lda, b, ldb, panel, k, add, next)
    else if (single)
        BY_ROWS(rows_f32, 2, true, c, ldc, a, lda, b, ldb, panel, k, add, next)
    else
        BY_ROWS(rows_f32, 2, false, c, ldc, a, lda, b, ldb, panel, k, add, next)
}

__attribute__((target("avx512f,avx512bf16,prfchw"))) static void
some_bf16(int64_t rows, int64_t panels, bool single, float *c, int64_t ldc, const uint16_t *a,
          int64_t lda, const uint16_t *b, int64_t panel, int64_t k, bool add, struct fetch next)
{
    if (panels == 1)
        BY_ROWS(rows_bf16, 1, false, c, ldc, a, lda, b, panel, k, add, next)
    else if (single)
        BY_ROWS(rows_bf16, 2, true, c, ldc, a, lda, b, panel, k, add, next)
    else
        BY_ROWS(rows_bf16, 2, false, c, ldc, a, lda, b, panel, k, add, next)
}

/* How `rows` rows are cut into passes: heights as even as can be, 9 rows are 5 and 4, not 8 and 1.
 * And what each pass fetches of `next`, `line` bytes in each panel for each number (pair) of k: all
 * in the first one would wait for memory. */
struct passes {
    int64_t n, height, higher; /* the first `higher` are one row more */
    int64_t each;              /* passes for a panel; one too many fetches nothing new */
    int64_t step;              /* bytes of a pass at each number (pair) */
};

static struct passes cut_rows(int64_t rows, int64_t line, int64_t panels)
{
    if (rows <= 0) return (struct passes){0};
    uint32_t n = (uint32_t)(rows + TILE_ROWS_AVX512 - 1) / TILE_ROWS_AVX512,
             each = n == 1 ? 1 : n / (uint32_t)panels;
    return (struct passes){.n = n,
                           .height = (uint32_t)rows / n,
                           .higher = (uint32_t)rows % n,
                           .each = each,
                           .step = n == 1 ? line : ((uint32_t)line + each - 1) / each};
}

static struct fetch fetch_part(const struct passes *c, const void *next, int64_t k, int64_t panel,
                               int64_t pass)
{
    struct fetch f = {next, c->step, panel};
    if (c->n == 1) return f;
    bool is_second = pass >= c->each;
    if (is_second) pass -= c->each;
    if (pass >= c->each) f.step = 0;
    f.at += (is_second ? panel : 0) + pass * k * f.step;
    return f;
}

void tile_f32_avx512(float *c, int64_t ldc, const void *a, int64_t lda, const void *b, int64_t ldb,
                     int64_t panel, int64_t panels, int64_t rows, int64_t k, bool add,
                     const void *next)
{
    const float *x = a;
    int64_t number = (int64_t)sizeof *x;
    struct passes cut = cut_rows(rows, ldb * number, panels);
    for (int64_t n, pass = 0; pass < cut.n; x += n * lda, c += n * ldc, pass++) {
        struct fetch f = fetch_part(&cut, next, k, panel * number, pass);
        n = cut.height + (pass < cut.higher);
        some_f32(n, panels, cut.n == 1, c, ldc, x, lda, b, ldb, panel, k, add, f);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void
round_avx512(uint16_t *out, const float *x, int64_t n)
{
    for (; n >= 2 * TILE_COLS; n -= 2 * TILE_COLS, x += 2 * TILE_COLS, out += 2 * TILE_COLS)
        _mm512_storeu_si512(
            out, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + TILE_COLS), _mm512_loadu_ps(x)));
    for (; n > 0; n -= TILE_COLS, x += TILE_COLS, out += TILE_COLS) {
        __mmask16 is_there = (__mmask16)(n < TILE_COLS ? (1u << n) - 1 : 0xffff);
        __m256bh y = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(is_there, x));
        _mm256_mask_storeu_epi16(out, is_there, (__m256i)y);
    }
}

void tile_bf16_avx512(float *c, int64_t ldc, const void *a, int64_t lda, const void *b, int64_t ldb,
                      int64_t panel, int64_t panels, int64_t rows, int64_t k, bool add,
                      const void *next)
{
    (void)ldb;
    const uint16_t *x = a;
    int64_t number = (int64_t)sizeof *x;
    struct passes cut = cut_rows(rows, 2 * TILE_COLS * number, panels);
    for (int64_t n, pass = 0; pass < cut.n; x += n * lda, c += n * ldc, pass++) {
        struct fetch f = fetch_part(&cut, next, k / 2, panel * number, pass);
        n = cut.height + (pass < cut.higher);
        some_bf16(n, panels, cut.n == 1, c, ldc, x, lda, b, panel, k, add, f);
    }
}
#endif
