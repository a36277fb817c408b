#include "gemm.h"

#include "base/mem.h"

#include <stdlib.h>

#define WORKSPACE_BYTES ((size_t)32 << 20)

static cudaDataType_t library_type(enum dtype d)
{
    static const cudaDataType_t types[] = {[DTYPE_ID_F32] = CUDA_R_32F,
                                           [DTYPE_ID_BF16] = CUDA_R_16BF,
                                           [DTYPE_ID_F16] = CUDA_R_16F,
                                           [DTYPE_ID_FP8] = CUDA_R_8F_E4M3};
    return types[d];
}

int gemm_begin(struct backend *b, struct err *e)
{
    struct gemm *g = mem_calloc(1, sizeof *g);
    cublasStatus_t status = cublasLtCreate(&g->library);
    if (status != CUBLAS_STATUS_SUCCESS) {
        free(g);
        return err_set(e, "cuBLASLt does not start: %s", cublas_status_name((int)status));
    }
    cuda_of(b)->gemm = g;
    g->workspace_bytes = WORKSPACE_BYTES;
    g->workspace = cuda_alloc(b, g->workspace_bytes);
    if (!g->workspace) return err_set(e, "no device memory for cuBLASLt's workspace");
    return 0;
}

static void shape_destroy(struct gemm_shape *s)
{
    CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(s->w));
    CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(s->x));
    CUBLAS_CHECK(cublasLtMatrixLayoutDestroy(s->out));
    CUBLAS_CHECK(cublasLtMatmulDescDestroy(s->desc));
    free(s);
}

void gemm_end(struct backend *b)
{
    struct gemm *g = cuda_of(b)->gemm;
    if (!g) return;
    for (size_t i = 0; i < g->n; i++) shape_destroy(g->items[i]);
    free(g->items);
    cuda_release(b, g->workspace);
    cuda_release(b, g->pad_x.p);
    cuda_release(b, g->pad_out.p);
    CUBLAS_CHECK(cublasLtDestroy(g->library));
    free(g);
    cuda_of(b)->gemm = NULL;
}

/* The library counts in columns: out^T [N, T] = w (a [K, N] matrix, transposed) x^T [K, T]: the one
 * layout in which sm_89 and sm_90 multiply FP8.
 * Fast accumulation leaves an FP8 product's sums in the tensor core, which keeps fewer bits than
 * f32 (about 14), for all of K; without it they are added up in f32 registers every few products.
 */
static struct gemm_shape *shape_create(int64_t N, int64_t K, enum dtype in, enum dtype out_type)
{
    struct gemm_shape *s = mem_calloc(1, sizeof *s);
    *s = (struct gemm_shape){.N = N, .K = K, .type = in, .out_type = out_type};
    cudaDataType_t type = library_type(in), out = library_type(out_type);
    int32_t transposed = CUBLAS_OP_T;
    int8_t fast = 0;
    CUBLAS_CHECK(cublasLtMatmulDescCreate(&s->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(s->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                                sizeof transposed));
    CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(s->desc, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast,
                                                sizeof fast));
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&s->w, type, (uint64_t)K, (uint64_t)N, K));
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&s->x, type, (uint64_t)K, 1, K));
    CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&s->out, out, (uint64_t)N, 1, N));
    return s;
}

void gemm_set_rows(const struct gemm_shape *s, int64_t rows)
{
    uint64_t columns = (uint64_t)rows;
    CUBLAS_CHECK(cublasLtMatrixLayoutSetAttribute(s->x, CUBLASLT_MATRIX_LAYOUT_COLS, &columns,
                                                  sizeof columns));
    CUBLAS_CHECK(cublasLtMatrixLayoutSetAttribute(s->out, CUBLASLT_MATRIX_LAYOUT_COLS, &columns,
                                                  sizeof columns));
}

cublasStatus_t gemm_call(struct backend *b, const struct gemm_shape *s,
                         const cublasLtMatmulAlgo_t *algorithm, void *out, const void *x,
                         const void *w, int64_t rows)
{
    const struct gemm *g = cuda_of(b)->gemm;
    static const float one = 1, zero = 0;
    gemm_set_rows(s, rows);
    return cublasLtMatmul(g->library, s->desc, &one, w, s->w, x, s->x, &zero, out, s->out, out,
                          s->out, algorithm, g->workspace, g->workspace_bytes, cuda_of(b)->stream);
}

bool gemm_possible(struct backend *b, const struct gemm_shape *s,
                   const cublasLtMatmulAlgo_t *algorithm, int64_t rows)
{
    const struct gemm *g = cuda_of(b)->gemm;
    cublasLtMatmulHeuristicResult_t result;
    gemm_set_rows(s, rows);
    return cublasLtMatmulAlgoCheck(g->library, s->desc, s->w, s->x, s->out, s->out, algorithm,
                                   &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= g->workspace_bytes;
}

const struct gemm_shape *gemm_shape_of(struct backend *b, int64_t N, int64_t K, enum dtype type,
                                       enum dtype out_type, void *w, struct err *e)
{
    struct gemm *g = cuda_of(b)->gemm;
    for (size_t i = 0; i < g->n; i++) {
        struct gemm_shape *s = g->items[i];
        if (s->N == N && s->K == K && s->type == type && s->out_type == out_type) return s;
    }
    struct gemm_shape *s = shape_create(N, K, type, out_type);
    if (gemm_search(b, s, w, e) < 0) {
        shape_destroy(s);
        return NULL;
    }
    ARRAY_PUSH(*g, s);
    return s;
}

/* At most fixed_rows rows, padded to that many. */
static void run_padded(struct backend *b, const struct gemm_shape *s, void *out, const void *x,
                       const void *w, int64_t rows)
{
    struct cuda *cuda = cuda_of(b);
    struct gemm *g = cuda->gemm;
    size_t x_row = (size_t)s->K * dtype_bytes(s->type),
           out_row = (size_t)s->N * dtype_bytes(s->out_type), n = (size_t)rows,
           all = (size_t)s->fixed_rows;
    char *pad_x = cuda_need(b, &g->pad_x, all * x_row),
         *pad_out = cuda_need(b, &g->pad_out, all * out_row);
    CUDA_CHECK(cudaMemcpyAsync(pad_x, x, n * x_row, cudaMemcpyDeviceToDevice, cuda->stream));
    CUDA_CHECK(cudaMemsetAsync(pad_x + n * x_row, 0, (all - n) * x_row, cuda->stream));
    CUBLAS_CHECK(gemm_call(b, s, &s->algorithm[0], pad_out, pad_x, w, s->fixed_rows));
    CUDA_CHECK(cudaMemcpyAsync(out, pad_out, n * out_row, cudaMemcpyDeviceToDevice, cuda->stream));
    b->stats.gemm_rows_padded += s->fixed_rows - rows;
}

void gemm_run(struct backend *b, const struct gemm_shape *s, void *out, const void *x,
              const void *w, int64_t T)
{
    size_t x_row = (size_t)s->K * dtype_bytes(s->type),
           out_row = (size_t)s->N * dtype_bytes(s->out_type);
    int64_t most = s->fixed_rows ? s->fixed_rows : gemm_ladder[s->rungs - 1];
    for (int64_t t = 0; t < T; t += most) {
        int64_t rows = T - t < most ? T - t : most;
        char *to = (char *)out + (size_t)t * out_row;
        const char *from = (const char *)x + (size_t)t * x_row;
        int i = 0;
        while (gemm_ladder[i] < rows) i++;
        if (s->fixed_rows)
            run_padded(b, s, to, from, w, rows);
        else
            CUBLAS_CHECK(gemm_call(b, s, &s->algorithm[i], to, from, w, rows));
    }
}
