/* Matrices of weights: [N, K] of the backend's type, as they come, or of FP8.
 *
 * FP8: rows are rounded on the device, weights as they arrive and rows of x before each product, by
 * one kernel, so that both follow one rule.  The product's sums are multiplied by both scales
 * afterwards (kernels/scale_rows.cu).  The library wants multiples of 16 of FP8: columns are padded
 * with zeros, and what padded rows of W give is not looked at. */
#include "gemm.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)8 << 20) /* of rows on their way to the device */

struct weight {
    int64_t N, K, filled;       /* rows so far */
    int64_t N_stored, K_stored; /* as multiplied */
    enum dtype type;
    size_t bytes;
    char *data;   /* device memory, owned: [N_stored, K_stored] */
    float *scale; /* [N_stored] behind it, NULL unless FP8 */
    const struct gemm_shape *to_f32,
        *to_activation; /* borrowed from the backend; FP8: to_f32 only */
};

static int64_t padded(int64_t n, enum dtype type)
{
    return type == DTYPE_ID_FP8 ? (n + 15) / 16 * 16 : n;
}

/* ---- rows of FP8 ---- */

/* [T, K] rounded, then [T] scales. */
static size_t quantized_bytes(const struct weight *w, int64_t T)
{
    return (size_t)T * ((size_t)w->K_stored + sizeof(float));
}

static size_t sum_bytes(const struct weight *w, int64_t T)
{
    return (size_t)(T * w->N_stored) * sizeof(float);
}

/* What products of up to max_rows rows need, and a row on its way here, taken with the weights:
 * what is free after them stays free. */
static int reserve(struct backend *b, const struct weight *w, struct err *e)
{
    struct cuda *cuda = cuda_of(b);
    size_t sum = sum_bytes(w, b->max_rows), row = (size_t)w->K * sizeof(float);
    cuda->sum.is_reserved = false; /* another model's, perhaps */
    if (cuda_try_need(b, &cuda->quantized, quantized_bytes(w, b->max_rows)) &&
        cuda_try_need(b, &cuda->sum, sum > row ? sum : row))
        return 0;
    return err_set(e,
                   "out of device memory: products of fp8 with a weight of %lld x %lld take "
                   "%.1f MiB of workspace",
                   (long long)w->N, (long long)w->K,
                   (double)(quantized_bytes(w, b->max_rows) + sum_bytes(w, b->max_rows)) /
                       (1 << 20));
}

static void multiply_quantized(struct backend *b, void *out, enum dtype out_type, const void *x,
                               const struct weight *w, const float *bias, int64_t T)
{
    struct cuda *cuda = cuda_of(b);
    char *rows = cuda_need(b, &cuda->quantized, quantized_bytes(w, T));
    float *scale = (float *)(void *)(rows + (size_t)(T * w->K_stored));
    bool in_place = out_type == DTYPE_ID_F32 && w->N == w->N_stored;
    float *sum = in_place ? out : cuda_need(b, &cuda->sum, sum_bytes(w, T));
    CUDA_CHECK(k_quantize(rows, scale, x, b->activation, T, w->K, w->K_stored, cuda->stream));
    gemm_run(b, w->to_f32, sum, rows, w->data, T);
    CUDA_CHECK(k_scale_rows(out, out_type, sum, w->N_stored, scale, w->scale, bias, T, w->N,
                            cuda->stream));
}

/* ---- weights ---- */

static int find_algorithms(struct backend *b, struct weight *w, struct err *e)
{
    w->to_f32 = gemm_shape_of(b, w->N_stored, w->K_stored, w->type, DTYPE_ID_F32, w->data, e);
    if (!w->to_f32) return -1;
    if (w->type == DTYPE_ID_FP8) return reserve(b, w, e);
    w->to_activation =
        gemm_shape_of(b, w->N_stored, w->K_stored, w->type, b->activation, w->data, e);
    return w->to_activation ? 0 : -1;
}

struct weight *cuda_weight_create(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                  struct err *e)
{
    if (N < 1 || K < 1 || N > INT32_MAX || K > INT32_MAX) {
        err_set(e, "a weight of %lld x %lld is out of range", (long long)N, (long long)K);
        return NULL;
    }
    struct weight *w = mem_calloc(1, sizeof *w);
    *w = (struct weight){.N = N,
                         .K = K,
                         .N_stored = padded(N, type),
                         .K_stored = padded(K, type),
                         .type = type,
                         .bytes = dtype_matrix_bytes(type, N, K)};
    w->data = cuda_alloc(b, w->bytes);
    if (!w->data) {
        err_set(e, "out of device memory: a weight of %lld x %lld takes %.1f MiB", (long long)N,
                (long long)K, (double)w->bytes / (1 << 20));
        cuda_weight_destroy(b, w);
        return NULL;
    }
    if (type == DTYPE_ID_FP8)
        w->scale = (float *)(void *)(w->data + (size_t)(w->N_stored * w->K_stored));
    if (find_algorithms(b, w, e) == 0) return w;
    cuda_weight_destroy(b, w);
    return NULL;
}

void cuda_weight_destroy(struct backend *b, struct weight *w)
{
    if (!w) return;
    cuda_release(b, w->data);
    free(w);
}

size_t cuda_weight_bytes(const struct weight *w)
{
    return w->bytes;
}

/* ---- filling: rows [filled, filled + n) ---- */

static void send(struct backend *b, void *to, const void *staged, size_t bytes)
{
    CUDA_CHECK(cudaMemcpyAsync(to, staged, bytes, cudaMemcpyHostToDevice, cuda_of(b)->stream));
    cuda_staged(b);
}

/* The numbers, rounded here.  wide: room for them. */
static void fill_converted(struct backend *b, const struct weight *w, const void *rows,
                           enum dtype from, int64_t n, float *wide)
{
    size_t numbers = (size_t)(n * w->K), bytes = numbers * dtype_bytes(w->type);
    char *to = w->data + (size_t)(w->filled * w->K) * dtype_bytes(w->type);
    void *staged = cuda_stage(b, bytes);
    if (from == w->type) {
        memcpy(staged, rows, bytes);
    } else if (from == DTYPE_ID_F32) {
        dtype_narrow(staged, rows, w->type, numbers);
    } else {
        dtype_widen(wide, rows, from, numbers);
        dtype_narrow(staged, wide, w->type, numbers);
    }
    send(b, to, staged, bytes);
}

/* The numbers as they are, rounded there. */
static void fill_quantized(struct backend *b, const struct weight *w, const void *rows,
                           enum dtype from, int64_t n)
{
    struct cuda *cuda = cuda_of(b);
    size_t bytes = (size_t)(n * w->K) * dtype_bytes(from);
    void *there = cuda_need(b, &cuda->sum, bytes), *staged = cuda_stage(b, bytes);
    memcpy(staged, rows, bytes);
    send(b, there, staged, bytes);
    CUDA_CHECK(k_quantize(w->data + (size_t)(w->filled * w->K_stored), w->scale + w->filled, there,
                          from, n, w->K, w->K_stored, cuda->stream));
}

int cuda_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                     int64_t n_rows, struct err *e)
{
    if (n_rows < 0 || n_rows > w->N - w->filled)
        return err_set(e, "a weight of %lld rows is given %lld rows after its first %lld",
                       (long long)w->N, (long long)n_rows, (long long)w->filled);
    if (from == DTYPE_NONE || from == DTYPE_ID_FP8)
        return err_set(e, "weights of type %s cannot be read", dtype_name(from));
    size_t row_numbers = (size_t)w->K, row_bytes = row_numbers * dtype_bytes(from);
    bool quantized = w->type == DTYPE_ID_FP8;
    size_t room = PIECE_BYTES, there = cuda_of(b)->sum.bytes;
    if (quantized && there < room) room = there; /* at least a row */
    int64_t piece = (int64_t)(room / (row_numbers * sizeof(float)));
    if (piece < 1) piece = 1;
    if (piece > n_rows) piece = n_rows;
    float *wide = quantized ? NULL : mem_calloc((size_t)piece * row_numbers, sizeof *wide);
    for (int64_t at = 0, n; at < n_rows; at += n, w->filled += n) {
        const char *some = (const char *)rows + (size_t)at * row_bytes;
        n = n_rows - at < piece ? n_rows - at : piece;
        if (quantized)
            fill_quantized(b, w, some, from, n);
        else
            fill_converted(b, w, some, from, n, wide);
    }
    free(wide);
    return 0;
}

int cuda_weight_finish(struct backend *b, struct weight *w, struct err *e)
{
    (void)b;
    if (w->filled != w->N)
        return err_set(e, "a weight of %lld rows was given %lld", (long long)w->N,
                       (long long)w->filled);
    return 0;
}

/* ---- products ---- */

static void multiply(struct backend *b, void *out, enum dtype out_type, const void *x,
                     const struct weight *w, const float *bias, int64_t T)
{
    struct cuda *cuda = cuda_of(b);
    if (!bias) {
        gemm_run(b, out_type == DTYPE_ID_F32 ? w->to_f32 : w->to_activation, out, x, w->data, T);
        return;
    }
    /* rounded once, after the bias */
    float *sum = out_type == DTYPE_ID_F32 ? out : cuda_need(b, &cuda->sum, sum_bytes(w, T));
    gemm_run(b, w->to_f32, sum, x, w->data, T);
    CUDA_CHECK(k_add_bias(out, out_type, sum, bias, T, w->N, cuda->stream));
}

void cuda_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
               const struct weight *w, const float *bias, int64_t T)
{
    if (T == 0) return;
    if (w->type == DTYPE_ID_FP8)
        multiply_quantized(b, out, out_type, x, w, bias, T);
    else
        multiply(b, out, out_type, x, w, bias, T);
    b->stats.gemm_flops += 2.0 * (double)T * (double)w->N * (double)w->K;
    b->stats.gemm_rows += T;
}
