/* Matrix products of cuBLASLt: d = alpha op(a) op(b) + beta c, + bias, by plain loops, sums in f32.
 *
 * The heuristic offers several algorithms which add over K in different orders, so that their bits
 * differ, and which comes first depends on the shape: what a backend must not rely on shows.
 *
 *     id  order over K                          workspace
 *     0   ascending                             none
 *     1   ascending (another tile of 0)         none
 *     2   four sums of every fourth, added      none
 *     3   two halves, added afterwards          8 bytes for each element of d; K >= 64
 *
 * e4m3 as sm_89 and sm_90 take it: from capability 8.9 on, the first operand transposed, the second
 * not, rows and addresses of whole 16 bytes; sums in f32, so fast accumulation is refused.
 */
#include "device.h"

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

struct cublasLtContext {
    int unused;
};

struct cublasLtMatmulDescOpaque {
    cublasComputeType_t compute;
    cudaDataType_t scale, bias_type;
    bool has_bias_type;
    int32_t pointer_mode, trans_a, trans_b;
    uint32_t epilogue;
    const void *bias;
    int8_t fast_accumulation;
};

struct cublasLtMatrixLayoutOpaque {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
    int32_t order, batch_count;
    int64_t batch_stride;
};

struct cublasLtMatmulPreferenceOpaque {
    uint64_t workspace_bytes;
    uint32_t reduction_mask;
};

namespace
{

const int N_ALGORITHMS = 4;
enum { ASCENDING, ASCENDING_TOO, INTERLEAVED, HALVES };

typedef cublasLtMatrixLayoutOpaque layout;

size_t element_bytes(cudaDataType_t type)
{
    switch (type) {
    case CUDA_R_32F:
        return 4;
    case CUDA_R_16F:
    case CUDA_R_16BF:
        return 2;
    case CUDA_R_8F_E4M3:
        return 1;
    default:
        return 0;
    }
}

float of_e4m3(uint8_t v)
{
    int exponent = v >> 3 & 15, fraction = v & 7;
    float sign = v & 0x80 ? -1.0f : 1.0f;
    if (exponent == 15 && fraction == 7) return NAN;
    return sign * (exponent ? ldexpf(static_cast<float>(8 + fraction), exponent - 10)
                            : ldexpf(static_cast<float>(fraction), -9));
}

struct e4m3 {
    uint8_t bits;
    operator float() const
    {
        static const std::array<float, 256> values = [] {
            std::array<float, 256> all;
            for (unsigned i = 0; i < 256; i++) all[i] = of_e4m3(static_cast<uint8_t>(i));
            return all;
        }();
        return values[bits];
    }
};

float load(const void *p, size_t i, cudaDataType_t type)
{
    switch (type) {
    case CUDA_R_16BF:
        return static_cast<const __nv_bfloat16 *>(p)[i];
    case CUDA_R_16F:
        return static_cast<const __half *>(p)[i];
    default:
        return static_cast<const float *>(p)[i];
    }
}

void store(void *p, size_t i, cudaDataType_t type, float v)
{
    switch (type) {
    case CUDA_R_16BF:
        static_cast<__nv_bfloat16 *>(p)[i] = v;
        break;
    case CUDA_R_16F:
        static_cast<__half *>(p)[i] = v;
        break;
    default:
        static_cast<float *>(p)[i] = v;
    }
}

size_t index_of(const layout &l, size_t row, size_t col)
{
    size_t ld = static_cast<size_t>(l.ld);
    return l.order == CUBLASLT_ORDER_ROW ? row * ld + col : col * ld + row;
}

struct product {
    cublasLtMatmulDescOpaque desc;
    layout a_layout, b_layout, c_layout, d_layout;
    const void *a, *b, *c;
    void *d;
    float alpha, beta;
    uint64_t algorithm;
    float *workspace;
    size_t M, N, K;
};

bool is_e4m3(const product &p)
{
    return p.a_layout.type == CUDA_R_8F_E4M3;
}

/* The documented conditions of e4m3, addresses aside. */
bool takes_e4m3(const product &p)
{
    const layout &a = p.a_layout, &b = p.b_layout, &d = p.d_layout;
    return gpu::capability() >= 89 && p.desc.trans_a != CUBLAS_OP_N &&
           p.desc.trans_b == CUBLAS_OP_N && a.ld % 16 == 0 && b.ld % 16 == 0 && p.K % 16 == 0 &&
           p.M % 16 == 0 && d.ld * static_cast<int64_t>(element_bytes(d.type)) % 16 == 0;
}

/* What this library can do of cuBLASLt; the product's sizes. */
cublasStatus_t check(product *p)
{
    const layout &a = p->a_layout, &b = p->b_layout, &c = p->c_layout, &d = p->d_layout;
    if (p->desc.compute != CUBLAS_COMPUTE_32F && p->desc.compute != CUBLAS_COMPUTE_32F_PEDANTIC)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p->desc.scale != CUDA_R_32F || p->desc.pointer_mode != CUBLASLT_POINTER_MODE_HOST ||
        (p->desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
         p->desc.epilogue != CUBLASLT_EPILOGUE_BIAS))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p->desc.fast_accumulation || d.type == CUDA_R_8F_E4M3) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (a.type != b.type || c.type != d.type || !element_bytes(a.type) || !element_bytes(d.type))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    for (const layout *l : {&a, &b, &c, &d}) {
        uint64_t least = l->order == CUBLASLT_ORDER_ROW ? l->cols : l->rows;
        if (l->ld < static_cast<int64_t>(least)) return CUBLAS_STATUS_INVALID_VALUE;
        if (l->batch_count != 1) return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    bool is_a_transposed = p->desc.trans_a != CUBLAS_OP_N;
    bool is_b_transposed = p->desc.trans_b != CUBLAS_OP_N;
    p->M = is_a_transposed ? a.cols : a.rows;
    p->K = is_a_transposed ? a.rows : a.cols;
    p->N = is_b_transposed ? b.rows : b.cols;
    if (p->K != (is_b_transposed ? b.cols : b.rows) || c.rows != d.rows || c.cols != d.cols ||
        d.rows != p->M || d.cols != p->N || !p->M || !p->N || !p->K)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (is_e4m3(*p) && !takes_e4m3(*p)) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

size_t workspace_of(const product &p, uint64_t algorithm)
{
    return algorithm == HALVES ? p.M * p.N * 8 : 0;
}

bool is_possible(const product &p, uint64_t algorithm)
{
    return algorithm < N_ALGORITHMS && (algorithm != HALVES || p.K >= 64);
}

template <typename T>
void unpack_as(float *out, const void *x, const layout &l, bool is_k_rows, size_t K, size_t count)
{
    const T *in = static_cast<const T *>(x);
    size_t by_row = index_of(l, 1, 0), by_col = index_of(l, 0, 1);
    size_t by_k = is_k_rows ? by_row : by_col, by_i = is_k_rows ? by_col : by_row;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < K; k++) out[k * count + i] = in[k * by_k + i * by_i];
}

/* op(x) as f32: rows of K, each `count` long. */
std::vector<float> unpack(const void *x, const layout &l, bool is_k_rows, size_t K, size_t count)
{
    std::vector<float> out(K * count);
    switch (l.type) {
    case CUDA_R_16BF:
        unpack_as<__nv_bfloat16>(out.data(), x, l, is_k_rows, K, count);
        break;
    case CUDA_R_16F:
        unpack_as<__half>(out.data(), x, l, is_k_rows, K, count);
        break;
    case CUDA_R_8F_E4M3:
        unpack_as<e4m3>(out.data(), x, l, is_k_rows, K, count);
        break;
    default:
        unpack_as<float>(out.data(), x, l, is_k_rows, K, count);
    }
    return out;
}

/* sum [M] += the terms of column n in [begin, end), every `stride`-th.  Copies of the operands:
 * what the sanitizers are to see happened in unpack. */
__attribute__((no_sanitize("address", "undefined"))) void add_terms(float *sum, const product &p,
                                                                    const float *a, const float *b,
                                                                    size_t n, size_t begin,
                                                                    size_t end, size_t stride)
{
    for (size_t k = begin; k < end; k += stride) {
        const float *row = a + k * p.M;
        float factor = b[k * p.N + n];
        for (size_t m = 0; m < p.M; m++) sum[m] += row[m] * factor;
    }
}

void sum_column(float *sum, const product &p, const float *a, const float *b, size_t n)
{
    if (p.algorithm == INTERLEAVED) {
        std::vector<float> parts(4 * p.M);
        for (size_t i = 0; i < 4; i++) add_terms(&parts[i * p.M], p, a, b, n, i, p.K, 4);
        for (size_t m = 0; m < p.M; m++)
            sum[m] = (parts[m] + parts[p.M + m]) + (parts[2 * p.M + m] + parts[3 * p.M + m]);
    } else if (p.algorithm == HALVES) {
        float *low = p.workspace + n * p.M, *high = p.workspace + (p.N + n) * p.M;
        std::fill(low, low + p.M, 0.0f);
        std::fill(high, high + p.M, 0.0f);
        add_terms(low, p, a, b, n, 0, p.K / 2, 1);
        add_terms(high, p, a, b, n, p.K / 2, p.K, 1);
        for (size_t m = 0; m < p.M; m++) sum[m] = low[m] + high[m];
    } else {
        add_terms(sum, p, a, b, n, 0, p.K, 1);
    }
}

void run(const product &p)
{
    std::vector<float> a = unpack(p.a, p.a_layout, p.desc.trans_a != CUBLAS_OP_N, p.K, p.M);
    std::vector<float> b = unpack(p.b, p.b_layout, p.desc.trans_b == CUBLAS_OP_N, p.K, p.N);
    std::vector<float> sum(p.M);
    cudaDataType_t bias_type = p.desc.has_bias_type ? p.desc.bias_type : p.d_layout.type;
    for (size_t n = 0; n < p.N; n++) {
        std::fill(sum.begin(), sum.end(), 0.0f);
        sum_column(sum.data(), p, a.data(), b.data(), n);
        for (size_t m = 0; m < p.M; m++) {
            float v = p.alpha * sum[m];
            if (p.beta != 0) v += p.beta * load(p.c, index_of(p.c_layout, m, n), p.c_layout.type);
            if (p.desc.epilogue == CUBLASLT_EPILOGUE_BIAS) v += load(p.desc.bias, m, bias_type);
            store(p.d, index_of(p.d_layout, m, n), p.d_layout.type, v);
        }
    }
}

/* The algorithms for this shape, best first. */
std::vector<uint64_t> rank(const product &p, uint64_t workspace_bytes, uint32_t reduction_mask)
{
    uint64_t first = (p.M * 0x9e3779b97f4a7c15ULL ^ p.N * 0xbf58476d1ce4e5b9ULL ^ p.K) >> 7;
    std::vector<uint64_t> order;
    for (uint64_t i = 0; i < N_ALGORITHMS; i++) {
        uint64_t algorithm = (first + i) % N_ALGORITHMS;
        if (!is_possible(p, algorithm) || workspace_of(p, algorithm) > workspace_bytes) continue;
        if (algorithm == HALVES && !(reduction_mask & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE))
            continue;
        order.push_back(algorithm);
    }
    return order;
}

/* Copies an attribute whose size must be right. */
template <typename T> cublasStatus_t set(T *to, const void *value, size_t bytes)
{
    if (!value || bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

product describe(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    product p = {};
    p.desc = *desc;
    p.a_layout = *a;
    p.b_layout = *b;
    p.c_layout = *c;
    p.d_layout = *d;
    return p;
}

/* Not on whole 16 bytes. */
bool is_odd(const void *p)
{
    return reinterpret_cast<uintptr_t>(p) % 16 != 0;
}

struct status_text {
    cublasStatus_t status;
    const char *name, *text;
};

const status_text status_texts[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED",
     "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE",
     "an unsupported value or parameter was passed to the function"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED",
     "the GPU program failed to execute"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED",
     "the functionality requested is not supported"},
};

} // namespace

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    for (const status_text &text : status_texts)
        if (text.status == status) return text.name;
    return "unknown status";
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    for (const status_text &text : status_texts)
        if (text.status == status) return text.text;
    return "unknown status";
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    return cublasLtGetStatusName(status);
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return cublasLtGetStatusString(status);
}

size_t cublasLtGetVersion(void)
{
    return 130000;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new cublasLtContext{0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    *desc = new cublasLtMatmulDescOpaque{};
    (*desc)->compute = compute;
    (*desc)->scale = scale;
    (*desc)->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
        return set(&desc->compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
        return set(&desc->scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
        return set(&desc->pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&desc->trans_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&desc->trans_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
        return set(&desc->fast_accumulation, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        desc->has_bias_type = true;
        return set(&desc->bias_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    *l = new layout{type, rows, cols, ld, CUBLASLT_ORDER_COL, 1, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
        return set(&l->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return set(&l->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return set(&l->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return set(&l->cols, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
        return set(&l->ld, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return set(&l->batch_count, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return set(&l->batch_stride, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new cublasLtMatmulPreferenceOpaque{0, CUBLASLT_REDUCTION_SCHEME_MASK};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    uint32_t ignored;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&preference->reduction_mask, value, bytes);
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&ignored, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *returned)
{
    *returned = 0;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (requested <= 0) return CUBLAS_STATUS_INVALID_VALUE;
    product p = describe(desc, a, b, c, d);
    cublasStatus_t status = check(&p);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    for (uint64_t algorithm : rank(p, preference->workspace_bytes, preference->reduction_mask)) {
        if (*returned == requested) break;
        results[*returned] = {};
        results[*returned].algo.data[0] = algorithm;
        results[*returned].workspaceSize = workspace_of(p, algorithm);
        results[*returned].wavesCount = 1.0f;
        ++*returned;
    }
    return *returned ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *result)
{
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    product p = describe(desc, a, b, c, d);
    cublasStatus_t status = check(&p);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    if (!is_possible(p, algo->data[0])) return CUBLAS_STATUS_NOT_SUPPORTED;
    *result = {};
    result->algo = *algo;
    result->workspaceSize = workspace_of(p, algo->data[0]);
    result->wavesCount = 1.0f;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                    void *value, size_t bytes, size_t *written)
{
    uint32_t number = 0;
    bool splits = algo->data[0] == HALVES;
    switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
        number = static_cast<uint32_t>(algo->data[0]);
        break;
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
        number = algo->data[0] == ASCENDING_TOO ? 2 : 1;
        break;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
        number = splits ? 2 : 1;
        break;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
        number = splits ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE;
        break;
    default:
        break;
    }
    size_t size = attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
                          attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID
                      ? 2
                      : 4;
    if (bytes < size) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(value, &number, size);
    if (written) *written = size;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    product p = describe(desc, a_layout, b_layout, c_layout, d_layout);
    cublasStatus_t status = check(&p);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    p.a = a;
    p.b = b;
    p.c = c;
    p.d = d;
    p.workspace = static_cast<float *>(workspace);
    p.algorithm = algo ? algo->data[0] : 0;
    if (!algo) {
        std::vector<uint64_t> order = rank(p, workspace_bytes, CUBLASLT_REDUCTION_SCHEME_MASK);
        p.algorithm = order.front();
    }
    bool has_workspace = workspace_of(p, p.algorithm) <= workspace_bytes;
    if (!is_possible(p, p.algorithm) || !has_workspace) return CUBLAS_STATUS_INVALID_VALUE;
    if (!a || !b || !d || (p.beta != 0 && !c) || (workspace_of(p, p.algorithm) && !workspace))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p.desc.epilogue == CUBLASLT_EPILOGUE_BIAS && !p.desc.bias)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (is_e4m3(p) && (is_odd(a) || is_odd(b) || is_odd(d))) return CUBLAS_STATUS_INVALID_VALUE;
    cudaError_t error = gpu::submit(stream, [p] {
        run(p);
        return true;
    });
    return gpu::report(error) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                             : CUBLAS_STATUS_EXECUTION_FAILED;
}
