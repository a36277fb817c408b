/* cuBLASLt's products, as the backend asks for them: y [T, N] = x [T, K] w^T with w [N, K], all
 * row-major, which is column-major y^T = w x^T. */
#include <cublasLt.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK(call) assert_int_equal(call, 0)

enum { MAX_ALGORITHMS = 8 };

struct product {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found[MAX_ALGORITHMS];
    int n_found;
    uint64_t T, N, K;
    void *w_p, *x_p, *workspace;
    float *bias_p;
    size_t workspace_bytes;
};

static void *on_device(const void *from, size_t bytes)
{
    void *p;
    CHECK(cudaMalloc(&p, bytes));
    CHECK(cudaMemcpy(p, from, bytes, cudaMemcpyHostToDevice));
    return p;
}

/* Element i of an operand: a bf16, of very different sizes, so that the order of adding shows. */
static float value(uint64_t i, uint64_t salt)
{
    uint64_t h = (i + salt) * 0x9e3779b97f4a7c15u;
    return ldexpf((float)((int64_t)(h >> 56) - 128), -7 - (int)(h >> 40 & 15));
}

static void *operand(uint64_t n, uint64_t salt, cudaDataType type)
{
    float *wide = malloc(n * sizeof *wide);
    uint16_t *narrow = malloc(n * sizeof *narrow);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits;
        wide[i] = value(i, salt);
        memcpy(&bits, &wide[i], sizeof bits);
        narrow[i] = (uint16_t)(bits >> 16);
    }
    void *p = type == CUDA_R_32F ? on_device(wide, n * 4) : on_device(narrow, n * 2);
    free(wide);
    free(narrow);
    return p;
}

static void open_product(struct product *p, uint64_t T, uint64_t N, uint64_t K, cudaDataType in,
                         cudaDataType out, size_t workspace_bytes)
{
    *p = (struct product){.T = T, .N = N, .K = K, .workspace_bytes = workspace_bytes};
    int32_t transpose = CUBLAS_OP_T;
    CHECK(cublasLtCreate(&p->handle));
    CHECK(cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECK(cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                         sizeof transpose));
    CHECK(cublasLtMatrixLayoutCreate(&p->w, in, K, N, (int64_t)K));
    CHECK(cublasLtMatrixLayoutCreate(&p->x, in, K, T, (int64_t)K));
    CHECK(cublasLtMatrixLayoutCreate(&p->y, out, N, T, (int64_t)N));
    CHECK(cublasLtMatmulPreferenceCreate(&p->preference));
    CHECK(cublasLtMatmulPreferenceSetAttribute(p->preference,
                                               CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace_bytes, sizeof workspace_bytes));
    CHECK(cublasLtMatmulAlgoGetHeuristic(p->handle, p->desc, p->w, p->x, p->y, p->y, p->preference,
                                         MAX_ALGORITHMS, p->found, &p->n_found));
    p->w_p = operand(N * K, 1, in);
    p->x_p = operand(T * K, 2, in);
    float bias[1000];
    for (uint64_t n = 0; n < N; n++) bias[n] = (float)n / 4;
    p->bias_p = on_device(bias, N * sizeof *bias);
    CHECK(cudaMalloc(&p->workspace, workspace_bytes));
}

static void close_product(struct product *p)
{
    CHECK(cudaFree(p->w_p));
    CHECK(cudaFree(p->x_p));
    CHECK(cudaFree(p->bias_p));
    CHECK(cudaFree(p->workspace));
    CHECK(cublasLtMatmulPreferenceDestroy(p->preference));
    CHECK(cublasLtMatrixLayoutDestroy(p->w));
    CHECK(cublasLtMatrixLayoutDestroy(p->x));
    CHECK(cublasLtMatrixLayoutDestroy(p->y));
    CHECK(cublasLtMatmulDescDestroy(p->desc));
    CHECK(cublasLtDestroy(p->handle));
}

/* y [T, N] on the host, with an algorithm of the heuristic's or its own choice (NULL). */
static void multiply(struct product *p, const cublasLtMatmulAlgo_t *algo, void *y,
                     size_t element_bytes)
{
    float one = 1, zero = 0;
    size_t bytes = p->T * p->N * element_bytes;
    void *y_p;
    CHECK(cudaMalloc(&y_p, bytes));
    CHECK(cublasLtMatmul(p->handle, p->desc, &one, p->w_p, p->w, p->x_p, p->x, &zero, y_p, p->y,
                         y_p, p->y, algo, p->workspace, p->workspace_bytes, NULL));
    CHECK(cudaMemcpy(y, y_p, bytes, cudaMemcpyDeviceToHost));
    CHECK(cudaFree(y_p));
}

static double exact(const struct product *p, uint64_t t, uint64_t n)
{
    double sum = 0;
    for (uint64_t k = 0; k < p->K; k++)
        sum += (double)value(t * p->K + k, 2) * (double)value(n * p->K + k, 1);
    return sum;
}

static void test_products(void **state)
{
    (void)state;
    const struct {
        uint64_t T, N, K;
        cudaDataType in, out;
    } cases[] = {
        {1, 8, 64, CUDA_R_16BF, CUDA_R_32F},    {7, 33, 96, CUDA_R_16BF, CUDA_R_16BF},
        {16, 5, 7, CUDA_R_32F, CUDA_R_32F},     {3, 64, 200, CUDA_R_16BF, CUDA_R_32F},
        {40, 129, 128, CUDA_R_32F, CUDA_R_32F},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct product p;
        open_product(&p, cases[i].T, cases[i].N, cases[i].K, cases[i].in, cases[i].out, 1 << 20);
        assert_in_range(p.n_found, cases[i].K >= 64 ? 4 : 3, MAX_ALGORITHMS);
        size_t element_bytes = cases[i].out == CUDA_R_32F ? 4 : 2;
        void *y = malloc(p.T * p.N * element_bytes);
        for (int a = -1; a < p.n_found; a++) {
            multiply(&p, a < 0 ? NULL : &p.found[a].algo, y, element_bytes);
            for (uint64_t t = 0; t < p.T; t++)
                for (uint64_t n = 0; n < p.N; n++) {
                    float got;
                    uint32_t bits = 0;
                    if (element_bytes == 4)
                        memcpy(&got, (float *)y + t * p.N + n, 4);
                    else
                        bits = (uint32_t)((uint16_t *)y)[t * p.N + n] << 16, memcpy(&got, &bits, 4);
                    double want = exact(&p, t, n);
                    double tolerance = 1e-2 + (element_bytes == 4 ? 0 : fabs(want) / 256);
                    assert_true(fabs((double)got - want) <= tolerance);
                }
        }
        free(y);
        close_product(&p);
    }
}

/* alpha, beta, bias, a plain and a transposed second operand. */
static void test_epilogue(void **state)
{
    (void)state;
    struct product p;
    float alpha = 2, beta = -1, y[2 * 3];
    uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    open_product(&p, 2, 3, 8, CUDA_R_32F, CUDA_R_32F, 0);
    CHECK(cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                         sizeof epilogue));
    CHECK(cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias_p,
                                         sizeof p.bias_p));
    for (int i = 0; i < 6; i++) y[i] = (float)i;
    float *y_p = on_device(y, sizeof y);
    CHECK(cublasLtMatmul(p.handle, p.desc, &alpha, p.w_p, p.w, p.x_p, p.x, &beta, y_p, p.y, y_p,
                         p.y, NULL, NULL, 0, NULL));
    CHECK(cudaMemcpy(y, y_p, sizeof y, cudaMemcpyDeviceToHost));
    for (uint64_t i = 0; i < 6; i++)
        assert_true(fabs((double)y[i] -
                         (2 * exact(&p, i / 3, i % 3) - (double)i + (double)(i % 3) / 4)) < 1e-2);
    CHECK(cudaFree(y_p));
    close_product(&p);
}

/* A row's bits: the same for every T with one algorithm, others with another. */
static void test_orders(void **state)
{
    (void)state;
    enum { N = 64, K = 500, T = 9 };
    float whole[T * N], row[N];
    struct product p, single;
    open_product(&p, T, N, K, CUDA_R_16BF, CUDA_R_32F, 1 << 20);
    open_product(&single, 1, N, K, CUDA_R_16BF, CUDA_R_32F, 1 << 20);
    int n_other = 0, first_differs = 0;
    for (int a = 0; a < p.n_found; a++) {
        multiply(&p, &p.found[a].algo, whole, sizeof *whole);
        multiply(&single, &p.found[a].algo, row, sizeof *row);
        assert_memory_equal(row, whole, sizeof row);
        multiply(&p, &p.found[0].algo, whole, sizeof *whole);
        n_other += memcmp(row, whole, sizeof row) != 0;
    }
    assert_in_range(n_other, 2, 3);     /* two of the four share an order */
    for (uint64_t t = 1; t < 30; t++) { /* which comes first depends on the shape */
        struct product q;
        open_product(&q, t, N, K, CUDA_R_16BF, CUDA_R_32F, 1 << 20);
        first_differs += q.found[0].algo.data[0] != p.found[0].algo.data[0];
        close_product(&q);
    }
    assert_in_range(first_differs, 5, 29);
    close_product(&p);
    close_product(&single);
}

static int n_found(uint64_t T, uint64_t N, uint64_t K)
{
    struct product p;
    int32_t transpose = CUBLAS_OP_T;
    CHECK(cublasLtCreate(&p.handle));
    CHECK(cublasLtMatmulDescCreate(&p.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECK(cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                         sizeof transpose));
    CHECK(cublasLtMatrixLayoutCreate(&p.w, CUDA_R_8F_E4M3, K, N, (int64_t)K));
    CHECK(cublasLtMatrixLayoutCreate(&p.x, CUDA_R_8F_E4M3, K, T, (int64_t)K));
    CHECK(cublasLtMatrixLayoutCreate(&p.y, CUDA_R_32F, N, T, (int64_t)N));
    CHECK(cublasLtMatmulPreferenceCreate(&p.preference));
    cublasLtMatmulAlgoGetHeuristic(p.handle, p.desc, p.w, p.x, p.y, p.y, p.preference,
                                   MAX_ALGORITHMS, p.found, &p.n_found);
    CHECK(cublasLtMatmulPreferenceDestroy(p.preference));
    CHECK(cublasLtMatrixLayoutDestroy(p.w));
    CHECK(cublasLtMatrixLayoutDestroy(p.x));
    CHECK(cublasLtMatrixLayoutDestroy(p.y));
    CHECK(cublasLtMatmulDescDestroy(p.desc));
    CHECK(cublasLtDestroy(p.handle));
    return p.n_found;
}

/* Row n of w: code n and zeros; row t of x: 2^t and ones. */
static void test_e4m3(void **state)
{
    (void)state;
    enum { T = 3, N = 256, K = 32 };
    uint8_t w[N * K] = {0}, x[T * K];
    float y[T * N];
    struct product p;
    open_product(&p, T, N, K, CUDA_R_8F_E4M3, CUDA_R_32F, 1 << 20);
    memset(x, 0x38, sizeof x);
    for (int n = 0; n < N; n++) w[n * K] = (uint8_t)n;
    for (int t = 0; t < T; t++) x[t * K] = (uint8_t)(0x38 + 8 * t);
    CHECK(cudaMemcpy(p.w_p, w, sizeof w, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy(p.x_p, x, sizeof x, cudaMemcpyHostToDevice));
    multiply(&p, NULL, y, sizeof *y);
    for (int t = 0; t < T; t++)
        for (int n = 0; n < N; n++) {
            int exponent = n >> 3 & 15, fraction = n & 7;
            double want = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
            want = ldexp(n & 0x80 ? -want : want, t);
            if ((n & 0x7f) == 0x7f)
                assert_true(isnan(y[t * N + n]));
            else
                assert_true((double)y[t * N + n] == want);
        }
    float one = 1, zero = 0;
    const char *odd = (char *)p.x_p + 1;
    assert_int_equal(cublasLtMatmul(p.handle, p.desc, &one, p.w_p, p.w, odd, p.x, &zero, p.w_p, p.y,
                                    p.w_p, p.y, NULL, p.workspace, p.workspace_bytes, NULL),
                     CUBLAS_STATUS_INVALID_VALUE);
    close_product(&p);
    assert_in_range(n_found(3, 32, 64), 1, MAX_ALGORITHMS);
    assert_int_equal(n_found(3, 32, 40), 0);
    assert_int_equal(n_found(3, 24, 64), 0);
    setenv("SPECREJ_EMULATION_CAPABILITY", "80", 1);
    assert_int_equal(n_found(3, 32, 64), 0);
    unsetenv("SPECREJ_EMULATION_CAPABILITY");
}

static void test_refusals(void **state)
{
    (void)state;
    struct product p;
    float one = 1, zero = 0;
    open_product(&p, 4, 8, 64, CUDA_R_32F, CUDA_R_32F, 1 << 20);
    void *y;
    CHECK(cudaMalloc(&y, 4 * 8 * 4));
    for (int a = 0; a < p.n_found; a++) /* a workspace that is too small */
        if (p.found[a].workspaceSize > 0)
            assert_int_equal(cublasLtMatmul(p.handle, p.desc, &one, p.w_p, p.w, p.x_p, p.x, &zero,
                                            y, p.y, y, p.y, &p.found[a].algo, p.workspace, 16,
                                            NULL),
                             CUBLAS_STATUS_INVALID_VALUE);
    /* shapes that do not fit */
    assert_int_equal(cublasLtMatmul(p.handle, p.desc, &one, p.w_p, p.w, p.w_p, p.w, &zero, y, p.y,
                                    y, p.y, NULL, p.workspace, p.workspace_bytes, NULL),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(p.desc, CUBLASLT_MATMUL_DESC_TRANSA, &one, 2),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_string_equal(cublasLtGetStatusString(CUBLAS_STATUS_SUCCESS), "success");
    CHECK(cudaFree(y));
    close_product(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_epilogue),
        cmocka_unit_test(test_orders),   cmocka_unit_test(test_e4m3),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
