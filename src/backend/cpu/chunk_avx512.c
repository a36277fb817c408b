/* Tiles as in tile_avx512.c: 8 rows times 2 panels of 16 keys or columns, or 4 times 4, the sums in
 * registers; up to all pages of the chunk pass a tile at once. */
#include "backend/cpu/chunk.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ISA         "avx512f,avx512bw,avx512vl,avx512bf16"
#define INLINE_BF16 __attribute__((target(ISA), always_inline)) static inline

#define FOR_ROWS _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)
#define PANEL_OF _Pragma("GCC unroll 4") for (int n = 0; n < panels; n++)

INLINE_BF16 __m512bh pair_of(const uint16_t *p)
{
    int pair;
    memcpy(&pair, p, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

/* What all tiles of q.k share. */
struct scoring {
    float *s;
    const uint16_t *q;
    int64_t E;
    const void *const *keys, *const *next;
    int64_t past; /* pages */
};

/* What is fetched beside a page: where there is nothing, the page again, which is near. */
INLINE_BF16 const char *beside(const void *const *next, const void *const *pages, int64_t page)
{
    return next[page] ? next[page] : pages[page];
}

/* Scores of pages [page, page + panels). */
INLINE_BF16 void score_pages(const int rows, const int panels, const struct scoring *a,
                             int64_t page)
{
    __m512 sum[TILE_MOST_ROWS][4];
    const uint16_t *k[4];
    const char *next[4];
    PANEL_OF
    {
        k[n] = a->keys[page + n];
        next[n] = beside(a->next, a->keys, page + n);
        FOR_ROWS sum[r][n] = _mm512_setzero_ps();
    }
    for (int64_t e = 0; e < a->E; e += 2) {
        __m512bh w[4];
        PANEL_OF
        {
            w[n] = (__m512bh)_mm512_loadu_si512(k[n] + e * PAGE_TOKENS);
            _mm_prefetch(next[n] + e * 2 * PAGE_TOKENS, _MM_HINT_T1);
        }
        FOR_ROWS
        {
            __m512bh x = pair_of(a->q + r * a->E + e);
            PANEL_OF sum[r][n] = _mm512_dpbf16_ps(sum[r][n], x, w[n]);
        }
    }
    FOR_ROWS PANEL_OF _mm512_storeu_ps(a->s + r * CHUNK + (page + n) * PAGE_TOKENS, sum[r][n]);
}

/* Few rows take more pages at a time: the chains hide each other's latency. */
#define SCORE_ROWS(rows, panels)                                                                   \
    case rows:                                                                                     \
        for (; page + panels <= a->past; page += panels) score_pages(rows, panels, a, page);       \
        for (; page < a->past; page++) score_pages(rows, 1, a, page);                              \
        break;

__attribute__((target(ISA))) static void score_rows(const struct scoring *a, int64_t rows,
                                                    int64_t page)
{
    switch (rows) {
        SCORE_ROWS(1, 4)
        SCORE_ROWS(2, 4)
        SCORE_ROWS(3, 4)
        SCORE_ROWS(4, 4)
        SCORE_ROWS(5, 2)
        SCORE_ROWS(6, 2)
        SCORE_ROWS(7, 2)
        SCORE_ROWS(8, 2)
    default:
        break;
    }
}

static void scores(float *s, const uint16_t *q, int64_t E, const struct chunk_rows *c,
                   const void *const *keys, const void *const *next)
{
    struct scoring a = {s, q, E, keys, next, c->past};
    score_rows(&a, c->rows, c->first);
}

/* exp(x) for x <= 0, and 1 above, where only rounding goes: fm_exp without what is beyond. */
INLINE_BF16 __m512 exponential(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(12582912.0f), low = _mm512_set1_ps(-87.0f);
    __m512 c = _mm512_min_ps(_mm512_setzero_ps(), x); /* NaN stays */
    __m512 t = _mm512_fmadd_ps(c, _mm512_set1_ps(1.44269504f), magic);
    __m512 n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693359375f), c);
    r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    /* 2^n: the low bits of t are n */
    __m512i two = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                   _mm512_set1_epi32(127 << 23));
    __mmask16 counts = _mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ);
    return _mm512_maskz_mul_ps(counts, p, _mm512_castsi512_ps(two));
}

/* -inf in s beside keys [begin, end), in the pages that hold them; returns the largest of s times
 * scale, which is no less than 0, at least m. */
INLINE_BF16 float largest_score(float *s, int64_t begin, int64_t end, float scale, float m)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 most = none;
    for (int64_t page = begin / PAGE_TOKENS; page * PAGE_TOKENS < end; page++) {
        __m512 x = _mm512_loadu_ps(s + page * PAGE_TOKENS);
        __mmask16 seen = (__mmask16)chunk_seen(begin, end, page);
        if (seen != CHUNK_WHOLE) {
            x = _mm512_mask_mov_ps(none, seen, x);
            _mm512_storeu_ps(s + page * PAGE_TOKENS, x);
        }
        most = _mm512_max_ps(x, most); /* a NaN is passed over, and met by exp */
    }
    float largest = _mm512_reduce_max_ps(most) * scale;
    return largest > m ? largest : m;
}

/* p = exp(s scale - m), rounded; returns the sum.  Two pages at a time, counted from the chunk's
 * begin; one that holds no key of [begin, end) has p = 0. */
INLINE_BF16 float rounded_weights(uint16_t *p, const float *s, int64_t begin, int64_t end,
                                  float scale, float m)
{
    enum { TWO = 2 * PAGE_TOKENS };
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    __m512 by = _mm512_set1_ps(scale), most = _mm512_set1_ps(m), sum = _mm512_setzero_ps();
    for (int64_t at = begin / TWO * TWO; at < end; at += TWO) {
        __m512 x = _mm512_setzero_ps(), y = x;
        if (begin < at + PAGE_TOKENS)
            x = exponential(_mm512_fmsub_ps(_mm512_loadu_ps(s + at), by, most));
        if (end > at + PAGE_TOKENS)
            y = exponential(_mm512_fmsub_ps(_mm512_loadu_ps(s + at + PAGE_TOKENS), by, most));
        __m512bh both = _mm512_cvtne2ps_pbh(y, x);
        _mm512_storeu_si512(p + at, (__m512i)both);
        sum = _mm512_dpbf16_ps(sum, both, ones);
    }
    return _mm512_reduce_add_ps(sum);
}

__attribute__((target(ISA))) void chunk_weights_avx512(uint16_t *p, float *keep,
                                                       struct softmax *const *softmax, float *s,
                                                       const struct chunk_rows *c, float scale)
{
    float m[CHUNK_MOST_ROWS], less[CHUNK_MOST_ROWS] = {0};
    for (int64_t r = 0; r < c->rows; r++) {
        m[r] = largest_score(s + r * CHUNK, c->begin[r], c->end[r], scale, softmax[r]->m);
        less[r] = softmax[r]->m - m[r];
    }
    _mm512_storeu_ps(less, exponential(_mm512_loadu_ps(less)));
    for (int64_t r = 0; r < c->rows; r++) {
        keep[r] = c->begin[r] < c->end[r] ? less[r] : 1.0f;
        if (c->begin[r] >= c->end[r]) continue;
        float sum =
            rounded_weights(p + r * CHUNK, s + r * CHUNK, c->begin[r], c->end[r], scale, m[r]);
        *softmax[r] = (struct softmax){m[r], fmaf(softmax[r]->l, keep[r], sum)};
    }
}

/* What all tiles of one call share. */
struct product {
    float *o;
    int64_t padded;
    const float *keep;
    const uint16_t *p;
    const void *const *values, *const *next;
    int64_t first, past; /* pages */
    uint16_t seen[CHUNK_PAGES][TILE_MOST_ROWS];
    bool whole[CHUNK_PAGES]; /* every row sees every key */
};

/* A page of which some rows see some keys only. */
INLINE_BF16 void add_part(const int rows, const int panels, __m512 sum[][4],
                          const struct product *a, int64_t page, const uint16_t *v,
                          const char *next)
{
    static const uint32_t halves[] = {0, 0x0000ffff, 0xffff0000, 0xffffffff};
    const uint16_t *p = a->p + page * PAGE_TOKENS;
    for (int i = 0; i < PAGE_TOKENS; i += 2, v += 2 * a->padded, next += 4 * a->padded) {
        PANEL_OF _mm_prefetch(next + n * 4 * TILE_COLS, _MM_HINT_T1);
        FOR_ROWS
        {
            uint32_t seen = a->seen[page][r];
            if (!seen) continue; /* not even zeros are added: -0 would change */
            __m512i half = _mm512_set1_epi32((int)halves[seen >> i & 3]);
            __m512bh x = pair_of(p + r * CHUNK + i);
            PANEL_OF
            {
                __m512i w = _mm512_and_si512(half, _mm512_loadu_si512(v + n * 2 * TILE_COLS));
                sum[r][n] = _mm512_dpbf16_ps(sum[r][n], x, (__m512bh)w);
            }
        }
    }
}

INLINE_BF16 void add_page(const int rows, const int panels, __m512 sum[][4],
                          const struct product *a, int64_t page, const uint16_t *v,
                          const char *next)
{
    const uint16_t *p = a->p + page * PAGE_TOKENS;
    for (int i = 0; i < PAGE_TOKENS; i += 2, v += 2 * a->padded, next += 4 * a->padded) {
        __m512bh w[4];
        PANEL_OF
        {
            w[n] = (__m512bh)_mm512_loadu_si512(v + n * 2 * TILE_COLS);
            _mm_prefetch(next + n * 4 * TILE_COLS, _MM_HINT_T1);
        }
        FOR_ROWS
        {
            __m512bh x = pair_of(p + r * CHUNK + i);
            PANEL_OF sum[r][n] = _mm512_dpbf16_ps(sum[r][n], x, w[n]);
        }
    }
}

/* Columns [column, column + 16 panels) of o. */
INLINE_BF16 void add_pages(const int rows, const int panels, const struct product *a,
                           int64_t column)
{
    float *o = a->o + column;
    __m512 sum[TILE_MOST_ROWS][4];
    FOR_ROWS PANEL_OF sum[r][n] = _mm512_mul_ps(_mm512_loadu_ps(o + r * a->padded + n * TILE_COLS),
                                                _mm512_set1_ps(a->keep[r]));
    for (int64_t page = a->first; page < a->past; page++) {
        const uint16_t *v = (const uint16_t *)a->values[page] + 2 * column;
        const char *next = beside(a->next, a->values, page) + 4 * column;
        if (a->whole[page])
            add_page(rows, panels, sum, a, page, v, next);
        else
            add_part(rows, panels, sum, a, page, v, next);
    }
    FOR_ROWS PANEL_OF _mm512_storeu_ps(o + r * a->padded + n * TILE_COLS, sum[r][n]);
}

/* As with pages above. */
#define SOME_ROWS(rows, panels)                                                                    \
    case rows:                                                                                     \
        for (; column + panels * TILE_COLS <= a->padded; column += panels * TILE_COLS)             \
            add_pages(rows, panels, a, column);                                                    \
        for (; column < a->padded; column += TILE_COLS) add_pages(rows, 1, a, column);             \
        break;

__attribute__((target(ISA))) static void add_columns(const struct product *a, int64_t rows)
{
    int64_t column = 0;
    switch (rows) {
        SOME_ROWS(1, 4)
        SOME_ROWS(2, 4)
        SOME_ROWS(3, 4)
        SOME_ROWS(4, 4)
        SOME_ROWS(5, 2)
        SOME_ROWS(6, 2)
        SOME_ROWS(7, 2)
        SOME_ROWS(8, 2)
    default:
        break;
    }
}

static void values(float *o, int64_t padded, const float *keep, const uint16_t *p,
                   const struct chunk_rows *c, const void *const *pages, const void *const *next)
{
    struct product a = {.o = o,
                        .padded = padded,
                        .keep = keep,
                        .p = p,
                        .values = pages,
                        .next = next,
                        .first = c->first,
                        .past = c->past};
    for (int64_t page = c->first; page < c->past; page++) {
        a.whole[page] = chunk_all_see(c, page);
        for (int64_t r = 0; r < c->rows && !a.whole[page]; r++)
            a.seen[page][r] = (uint16_t)chunk_seen(c->begin[r], c->end[r], page);
    }
    add_columns(&a, c->rows);
}

const struct chunk_products chunk_avx512 = {TILE_MOST_ROWS, scores, chunk_weights_avx512, values};
#endif
