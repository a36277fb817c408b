/* Matrices of weights: [N, K] of the backend's type, as they come. */
#include "gemm.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES ((size_t)8 << 20) /* of converted rows on their way to the device */

struct weight {
    int64_t N, K, filled; /* rows so far */
    size_t bytes;
    char *data;                                      /* device memory, owned */
    const struct gemm_shape *to_f32, *to_activation; /* borrowed from the backend */
};

struct weight *cuda_weight_create(struct backend *b, int64_t N, int64_t K, struct err *e)
{
    if (N < 1 || K < 1 || N > INT32_MAX || K > INT32_MAX) {
        err_set(e, "a weight of %lld x %lld is out of range", (long long)N, (long long)K);
        return NULL;
    }
    struct weight *w = mem_calloc(1, sizeof *w);
    *w = (struct weight){.N = N, .K = K, .bytes = (size_t)(N * K) * dtype_bytes(b->dtype)};
    w->data = cuda_alloc(b, w->bytes);
    if (!w->data) {
        err_set(e, "out of device memory: a weight of %lld x %lld takes %.1f MiB", (long long)N,
                (long long)K, (double)w->bytes / (1 << 20));
        cuda_weight_destroy(b, w);
        return NULL;
    }
    w->to_f32 = gemm_shape_of(b, N, K, DTYPE_ID_F32, w->data, e);
    if (w->to_f32) w->to_activation = gemm_shape_of(b, N, K, b->activation, w->data, e);
    if (w->to_activation) return w;
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

/* n numbers to the backend's type. */
static void convert(struct backend *b, void *out, const void *in, enum dtype from, float *wide,
                    size_t n)
{
    if (from == b->dtype) {
        memcpy(out, in, n * dtype_bytes(from));
    } else {
        dtype_widen(wide, in, from, n);
        dtype_narrow(out, wide, b->dtype, n);
    }
}

int cuda_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                     int64_t n_rows, struct err *e)
{
    if (n_rows < 0 || n_rows > w->N - w->filled)
        return err_set(e, "a weight of %lld rows is given %lld rows after its first %lld",
                       (long long)w->N, (long long)n_rows, (long long)w->filled);
    size_t in_bytes = dtype_bytes(from), out_bytes = dtype_bytes(b->dtype);
    if (!in_bytes) return err_set(e, "weights of type %s cannot be read", dtype_name(from));
    size_t numbers = (size_t)(n_rows * w->K), piece = PIECE_BYTES / sizeof(float);
    float *wide = mem_calloc(piece < numbers ? piece : numbers, sizeof *wide);
    char *to = w->data + (size_t)(w->filled * w->K) * out_bytes;
    for (size_t at = 0, n; at < numbers; at += n) {
        n = numbers - at < piece ? numbers - at : piece;
        void *staged = cuda_stage(b, n * out_bytes);
        convert(b, staged, (const char *)rows + at * in_bytes, from, wide, n);
        CUDA_CHECK(cudaMemcpyAsync(to + at * out_bytes, staged, n * out_bytes,
                                   cudaMemcpyHostToDevice, cuda_of(b)->stream));
        cuda_staged(b);
    }
    free(wide);
    w->filled += n_rows;
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

void cuda_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
               const struct weight *w, const float *bias, int64_t T)
{
    struct cuda *cuda = cuda_of(b);
    if (T == 0) return;
    if (bias) { /* rounded once, after the bias */
        size_t bytes = (size_t)(T * w->N) * sizeof(float);
        float *sum = out_type == DTYPE_ID_F32 ? out : cuda_need(b, &cuda->sum, bytes);
        gemm_run(b, w->to_f32, sum, x, w->data, T);
        CUDA_CHECK(k_add_bias(out, out_type, sum, bias, T, w->N, cuda->stream));
    } else {
        gemm_run(b, out_type == DTYPE_ID_F32 ? w->to_f32 : w->to_activation, out, x, w->data, T);
    }
    b->stats.gemm_flops += 2.0 * (double)T * (double)w->N * (double)w->K;
    b->stats.gemm_rows += T;
}
