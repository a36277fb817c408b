/* Scores and p v by AMX: a page's K [E / 2][16][2] is E / 32 of the processor's tiles as it lies,
 * of its V [8][padded][2] 16 columns are one of half the depth.  Softmax: chunk_avx512.c. */
#include "backend/cpu/chunk.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include "backend/cpu/amx.h"

#define ISA        AMX_ISA ",avx512f"
#define INLINE_AMX __attribute__((target(ISA), always_inline)) static inline
#define PAIRS      (PAGE_TOKENS / 2)

#define MOST_COLUMNS (4 * TILE_COLS) /* of add_columns */

/* Tiles 0 to 3: results; 4 and 5: rows of q and of p; 6 and 7: numbers of K and of V. */
INLINE_AMX void configure(int64_t rows)
{
    struct amx_config g = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        g.row_bytes[i] = 64;
        g.rows[i] = (uint8_t)rows;
    }
    g.row_bytes[5] = PAGE_TOKENS * 2;
    g.rows[6] = AMX_DEPTH / 2;
    g.rows[7] = PAIRS;
    AMX_FENCE;
    _tile_loadconfig(&g);
}

INLINE_AMX void fetch_tile(const char *at, int64_t rows, int64_t stride)
{
    for (int64_t i = 0; i < rows; i++) _mm_prefetch(at + i * stride, _MM_HINT_T1);
}

/* Scores of the four pages from `page` on, or of what is there of them. */
INLINE_AMX void score_pages(float *s, const uint16_t *q, int64_t E, const void *const *keys,
                            int64_t n, const void *const *next)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t e = 0; e < E; e += AMX_DEPTH) {
        int64_t at = e * PAGE_TOKENS * 2;
        _tile_loadd(4, q + e, E * 2);
        _tile_loadd(6, (const char *)keys[0] + at, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (n > 1) {
            _tile_loadd(6, (const char *)keys[1] + at, 64);
            _tile_dpbf16ps(1, 4, 6);
        }
        if (n > 2) {
            _tile_loadd(6, (const char *)keys[2] + at, 64);
            _tile_dpbf16ps(2, 4, 6);
        }
        if (n > 3) {
            _tile_loadd(6, (const char *)keys[3] + at, 64);
            _tile_dpbf16ps(3, 4, 6);
        }
        for (int64_t i = 0; i < n; i++)
            if (next[i]) fetch_tile((const char *)next[i] + at, 16, 64);
    }
    int64_t stride = CHUNK * (int64_t)sizeof *s;
    _tile_stored(0, s, stride);
    if (n > 1) _tile_stored(1, s + PAGE_TOKENS, stride);
    if (n > 2) _tile_stored(2, s + 2 * PAGE_TOKENS, stride);
    if (n > 3) _tile_stored(3, s + 3 * PAGE_TOKENS, stride);
}

__attribute__((target(ISA))) static void scores(float *s, const uint16_t *q, int64_t E,
                                                const struct chunk_rows *c, const void *const *keys,
                                                const void *const *next)
{
    configure(c->rows);
    for (int64_t page = c->first; page < c->past; page += 4) {
        int64_t n = c->past - page;
        if (n >= 4)
            score_pages(s + page * PAGE_TOKENS, q, E, keys + page, 4, next + page);
        else
            score_pages(s + page * PAGE_TOKENS, q, E, keys + page, n, next + page);
    }
    AMX_FENCE;
}

/* V as it lies: of each page, pairs of tokens `pair` bytes apart. */
struct value_pages {
    const void *const *at, *const *next;
    int64_t n, pair;
};

/* o [rows, 16 tiles] += p v for columns from `column` on. */
INLINE_AMX void add_columns(float *o, int64_t padded, const int64_t tiles, const uint16_t *p,
                            const struct value_pages *v, int64_t column)
{
    int64_t stride = padded * (int64_t)sizeof *o;
    _tile_loadd(0, o, stride);
    if (tiles > 1) {
        _tile_loadd(1, o + TILE_COLS, stride);
        _tile_loadd(2, o + 2 * TILE_COLS, stride);
        _tile_loadd(3, o + 3 * TILE_COLS, stride);
    }
    for (int64_t i = 0; i < v->n; i++) {
        const char *from = (const char *)v->at[i] + 4 * column;
        if (v->next[i])
            fetch_tile((const char *)v->next[i] + PAIRS * 4 * column, PAIRS * tiles, 64);
        _tile_loadd(5, p + i * PAGE_TOKENS, CHUNK * 2);
        _tile_loadd(7, from, v->pair);
        _tile_dpbf16ps(0, 5, 7);
        if (tiles > 1) {
            _tile_loadd(7, from + 64, v->pair);
            _tile_dpbf16ps(1, 5, 7);
            _tile_loadd(7, from + 128, v->pair);
            _tile_dpbf16ps(2, 5, 7);
            _tile_loadd(7, from + 192, v->pair);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, o, stride);
    if (tiles > 1) {
        _tile_stored(1, o + TILE_COLS, stride);
        _tile_stored(2, o + 2 * TILE_COLS, stride);
        _tile_stored(3, o + 3 * TILE_COLS, stride);
    }
}

/* Columns [0, columns) of rows that stand `padded` numbers apart. */
__attribute__((target(ISA))) static void add_pages(float *o, int64_t padded, int64_t columns,
                                                   const uint16_t *p, const struct value_pages *v)
{
    int64_t column = 0;
    for (; column + MOST_COLUMNS <= columns; column += MOST_COLUMNS)
        add_columns(o + column, padded, 4, p, v, column);
    for (; column < columns; column += TILE_COLS) add_columns(o + column, padded, 1, p, v, column);
}

/* out [8][columns][2]: what is seen of a page's columns, zeros for the rest, as what stands there
 * may be no numbers. */
INLINE_AMX void copy_seen(uint16_t *out, const uint16_t *page, int64_t padded, int64_t columns,
                          uint32_t seen)
{
    static const uint32_t halves[] = {0, 0x0000ffff, 0xffff0000, 0xffffffff};
    for (int i = 0; i < PAIRS; i++, page += 2 * padded) {
        __m512i half = _mm512_set1_epi32((int)halves[seen >> 2 * i & 3]);
        for (int64_t c = 0; c < columns; c += TILE_COLS, out += 2 * TILE_COLS)
            _mm512_store_si512(out, _mm512_and_si512(half, _mm512_loadu_si512(page + 2 * c)));
    }
    AMX_FENCE;
}

/* A page of which all rows see the same keys, a bit each. */
__attribute__((target(ISA))) static void add_seen(float *o, int64_t padded, const uint16_t *p,
                                                  const uint16_t *page, uint32_t seen)
{
    _Alignas(64) uint16_t copy[PAIRS * MOST_COLUMNS * 2];
    const void *pages[] = {copy}, *nothing[] = {NULL};
    for (int64_t column = 0, n; column < padded; column += n) {
        n = padded - column < MOST_COLUMNS ? padded - column : MOST_COLUMNS;
        copy_seen(copy, page + 2 * column, padded, n, seen);
        add_pages(o + column, padded, n, p, &(struct value_pages){pages, nothing, 1, n * 4});
    }
}

/* Rows that see the same of the page together; one that sees nothing is left as it is. */
__attribute__((target(ISA))) static void add_parts(float *o, int64_t padded, const uint16_t *p,
                                                   const struct chunk_rows *c, int64_t page,
                                                   const uint16_t *v)
{
    int64_t configured = c->rows;
    for (int64_t r = 0, past; r < c->rows; r = past) {
        uint32_t seen = chunk_seen(c->begin[r], c->end[r], page);
        for (past = r + 1; past < c->rows; past++)
            if (chunk_seen(c->begin[past], c->end[past], page) != seen) break;
        if (!seen) continue;
        if (past - r != configured) configure(configured = past - r);
        add_seen(o + r * padded, padded, p + r * CHUNK + page * PAGE_TOKENS, v, seen);
    }
    if (configured != c->rows) configure(c->rows);
}

__attribute__((target(ISA))) static void shrink(float *o, int64_t n, float keep)
{
    for (int64_t i = 0; i < n; i += TILE_COLS)
        _mm512_storeu_ps(o + i, _mm512_mul_ps(_mm512_loadu_ps(o + i), _mm512_set1_ps(keep)));
}

__attribute__((target(ISA))) static void values(float *o, int64_t padded, const float *keep,
                                                const uint16_t *p, const struct chunk_rows *c,
                                                const void *const *pages, const void *const *next)
{
    for (int64_t r = 0; r < c->rows; r++)
        if (keep[r] != 1.0f) shrink(o + r * padded, padded, keep[r]);
    for (int64_t page = c->first, past; page < c->past; page = past) {
        for (past = page; past < c->past && chunk_all_see(c, past);) past++;
        if (past > page) {
            add_pages(o, padded, padded, p + page * PAGE_TOKENS,
                      &(struct value_pages){pages + page, next + page, past - page, padded * 4});
            continue;
        }
        if (next[page]) fetch_tile(next[page], padded / 2, 64);
        add_parts(o, padded, p, c, past++, pages[page]);
    }
    AMX_FENCE;
}

const struct chunk_products chunk_amx = {AMX_ROWS, scores, chunk_weights_avx512, values};
#endif
