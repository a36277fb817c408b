/* The inner products of the backend, chosen for the processor: a few rows times panels of 16
 * columns.  GEMM, q.k and p.v all come here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TILE_COLS 16 /* columns of a tile: weights are packed in panels of this many rows of W */

/* c [rows, 16] = a [rows, k] * b [k, 16], added to c where `add`.  Each number is one chain of k
 * fused multiply-adds from zero in order of k; the addition to c comes last: the same bits on every
 * processor.  next: what a coming call will take as b, fetched meanwhile. */
typedef void tile_fn(float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                     int64_t ldb, int64_t rows, int64_t k, bool add, const float *next);

/* The same over one or two panels side by side, each [k][16], `panel` numbers apart, of f32 or
 * bf16.  bf16: both sides; k is even, panels are [k / 2][16][2], and a chain takes two numbers of k
 * at a time, by the processor's own rule. */
typedef void product_fn(float *c, int64_t ldc, const void *a, int64_t lda, const void *b,
                        int64_t panel, int64_t panels, int64_t rows, int64_t k, bool add,
                        const void *next);

struct tiles {
    tile_fn *tile;
    product_fn *f32, *bf16; /* bf16 NULL: weights are widened */
    const char *isa;        /* "avx512-bf16", "avx512", "avx2" or "portable" */
};
/* The best of those that the processor has and that `avx512` and `bf16` allow. */
struct tiles tiles_choose(bool avx512, bool bf16);

/* ---- tile_avx512.c, on x86-64 ---- */
tile_fn tile_avx512;
product_fn product_f32_avx512, product_bf16_avx512;
