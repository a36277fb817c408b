/* GEMM by oneDNN, where it has a kernel for packed weights that keeps a row's bits whatever the
 * number of rows.
 *
 * Weights are packed in panels of rows.  A primitive exists for each number of rows of a ladder; a
 * batch is cut into slices of the largest and its rest is padded up to the next.  That all of the
 * ladder gives the same bits for a row, wherever it stands, is tested per shape before a weight is
 * packed this way. */
#pragma once

#include "backend/cpu/cpu.h"

struct onednn;

/* dtype F32 or BF16.  any_kernel: also the library's fallback kernels, which the tests use: they
 * are slow, and most shapes fail the test.  NULL where the library cannot start. */
struct onednn *onednn_create(enum dtype dtype, bool any_kernel);
void onednn_destroy(struct onednn *o); /* accepts NULL */

/* The instruction set that oneDNN uses, by its name. */
const char *onednn_isa(void);

/* Does this processor multiply bf16, as far as oneDNN may use it? */
bool onednn_has_bf16(void);

/* Does it have AVX-512, likewise?  DNNL_MAX_CPU_ISA, oneDNN's variable, holds own tiles down, too,
 * but to AVX2 at the lowest. */
bool onednn_has_avx512(void);

/* And AMX, for which the library has asked the system, too. */
bool onednn_has_amx(void);

/* Is [N, K] fit to be packed?  The first question for a shape runs the test. */
bool onednn_keeps_rows(struct onednn *o, int64_t N, int64_t K);
/* Can it be multiplied at all, whatever becomes of a row's bits?  What the library can do, for a
 * comparison. */
bool onednn_multiplies(struct onednn *o, int64_t N, int64_t K);

struct onednn_weight;
struct onednn_weight *onednn_weight_create(struct onednn *o, int64_t N, int64_t K,
                                           size_t *bytes); /* NULL: no memory */
void onednn_weight_destroy(struct onednn_weight *w);       /* accepts NULL */
/* The next row [K], rounded to the dtype. */
void onednn_weight_row(struct onednn *o, struct onednn_weight *w, const float *row);

/* out [T, N] = x [T, K] W^T.  Returns the rows computed beyond T. */
int64_t onednn_gemm(struct onednn *o, float *out, const float *x, const struct onednn_weight *w,
                    int64_t T);
