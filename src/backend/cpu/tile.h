/* The inner products of the backend, chosen for the processor: a few rows times panels of 16
 * columns.  GEMM, q.k and p.v all come here. */
#pragma once

#include "backend/cpu/isa.h"

#include <stdbool.h>
#include <stdint.h>

#define TILE_MOST_ROWS  8   /* of tiles.rows */
#define TILE_CHUNK      144 /* rows that pass a weight together, whatever K is */
#define TILE_MOST_CHUNK 384 /* of tiles.chunk_bf16 */
#define TILE_COLS       16 /* columns of a tile: weights are packed in panels of this many rows of W */

/* c [rows, 16 panels] = a [rows, k] * b, added to c where `add`.  b: one or two panels [k, 16],
 * whose rows stand ldb numbers apart, the second one `panel` numbers after the first.
 *
 * f32: each number is one chain of k fused multiply-adds from zero in order of k; the addition to c
 * comes last: the same bits on every processor.
 * bf16, both sides: k is even, panels are [k / 2][16][2] (ldb is not looked at), and a chain takes
 * two numbers of k at a time, by the processor's own rule; where `add`, it goes on from c.
 *
 * next: what a coming call will take as b, fetched meanwhile. */
typedef void tile_fn(float *c, int64_t ldc, const void *a, int64_t lda, const void *b, int64_t ldb,
                     int64_t panel, int64_t panels, int64_t rows, int64_t k, bool add,
                     const void *next);

/* Numbers as bf16: to nearest, ties to even.  Where a bf16 tile is, as it takes them: subnormal
 * ones, which it counts as zeros, are zeros. */
typedef void round_fn(uint16_t *out, const float *x, int64_t n);

struct tiles {
    tile_fn *f32, *bf16; /* bf16 NULL: weights are widened */
    round_fn *round;
    const struct chunk_products *chunk; /* chunk.h; where bf16 is, else NULL */
    const struct chunk_products *deep;  /* likewise, for E that are multiples of 32; or NULL */
    int64_t rows;                       /* that one pass takes: best multiples for f32 */
    int64_t chunk_bf16;                 /* most rows of bf16 that pass a weight together */
};
struct tiles tiles_choose(enum isa isa);

round_fn round_portable; /* bf16_round of cpu.h */

/* ---- tile_avx512.c, on x86-64 ---- */
tile_fn tile_f32_avx512, tile_bf16_avx512;
round_fn round_avx512;     /* where the bf16 tile is */
#define TILE_ROWS_AVX512 8 /* 16 sums keep the multipliers busy; more were slower */
_Static_assert(TILE_ROWS_AVX512 <= TILE_MOST_ROWS, "room is made for TILE_MOST_ROWS");

/* ---- tile_amx.c, on x86-64 ---- */
tile_fn tile_bf16_amx; /* where the system lets the process use it */
