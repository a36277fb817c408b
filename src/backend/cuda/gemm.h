/* Matrix products of cuBLASLt whose rows keep their bits, whatever the number of rows.
 *
 * What must stay fixed is the order of the sum over K, not the kernel.  When a shape is met first,
 * all algorithms that the library proposes for a ladder of row counts are tried (gemm_search.c) and
 * sorted into families of equal bits; the shape then has the fastest algorithm of one family for
 * each rung.  Which family depends on the library and the device alone, never on a measured time.
 */
#pragma once

#include "cuda.h"

#ifndef GEMM_MOST_ROWS
#define GEMM_MOST_ROWS 1024 /* of one call of the library */
#endif

static const int64_t gemm_ladder[] = CUDA_RUNGS;
enum { GEMM_RUNGS = sizeof gemm_ladder / sizeof *gemm_ladder };

/* out [T, N] of out_type = x [T, K] w [N, K]^T, x and w of `type`.  FP8: K and N are multiples of
 * 16, and out is F32. */
struct gemm_shape {
    int64_t N, K;
    enum dtype type, out_type;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, out; /* columns of x and out are set for each call */
    int rungs;                        /* used of the ladder */
    cublasLtMatmulAlgo_t algorithm[GEMM_RUNGS];
    int64_t
        fixed_rows; /* 0, or: no family covers the ladder, always so many rows by algorithm[0] */
};

struct gemm {
    cublasLtHandle_t library;
    void *workspace; /* device memory, owned */
    size_t workspace_bytes;
    struct gemm_shape **items; /* owned: weights borrow them */
    size_t n, cap;
    struct cuda_buffer pad_x, pad_out; /* of fixed_rows */
};

/* -1 with *e: no cuBLASLt. */
int gemm_begin(struct backend *b, struct err *e);
void gemm_end(struct backend *b);
/* How rows are multiplied with matrices of this shape; borrowed.  w: the matrix's memory, whose
 * contents are lost where the shape is met first.  NULL with *e. */
const struct gemm_shape *gemm_shape_of(struct backend *b, int64_t N, int64_t K, enum dtype type,
                                       enum dtype out_type, void *w, struct err *e);
void gemm_run(struct backend *b, const struct gemm_shape *s, void *out, const void *x,
              const void *w, int64_t T);

/* The columns that the layouts of x and out describe. */
void gemm_set_rows(const struct gemm_shape *s, int64_t rows);
/* One call of the library; rows <= GEMM_MOST_ROWS. */
cublasStatus_t gemm_call(struct backend *b, const struct gemm_shape *s,
                         const cublasLtMatmulAlgo_t *algorithm, void *out, const void *x,
                         const void *w, int64_t rows);
/* Does the library take this algorithm for so many rows? */
bool gemm_possible(struct backend *b, const struct gemm_shape *s,
                   const cublasLtMatmulAlgo_t *algorithm, int64_t rows);
/* Fill in rungs, algorithm, fixed_rows.  w: memory to spoil.  -1 with *e. */
int gemm_search(struct backend *b, struct gemm_shape *s, void *w, struct err *e);
