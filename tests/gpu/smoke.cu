/* First contact with a card: what everything else rests on, each thing by itself, in seconds. Needs
 * the toolkit, cuBLASLt and NCCL alone, so that it runs before anything else is built (gpu.sh).
 *
 * The instructions of ptx.cuh against plain loops, since on the emulated GPU they are plain loops
 * themselves; functions that promise the host's bits; a recorded launch; the host's pinned memory
 * read by a kernel; a product; NCCL with itself.  One line each; goes on after a failure. */
#include "launch.cuh"
#include "ptx.cuh"
#include "rows.cuh"

#include "base/fmath.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <cublasLt.h>
#include <nccl.h>
#include <vector>

#define STRIDE  24         /* elements of a row in shared memory: 16, and 16 bytes apart */
#define HIGH    (64 << 10) /* bytes of shared memory before what is used: beyond 48 KiB */
#define SHARED  (HIGH + 2 * 16 * STRIDE * 2)
#define VISIBLE 12 /* rows of b; those behind are zeros */
#ifdef SPECREJ_EMULATED
#define BITS (1 << 12) /* numbers that functions are tried with */
#else
#define BITS (1 << 20)
#endif

static const char *text(cudaError_t status)
{
    return cudaGetErrorString(status);
}
static const char *text(cublasStatus_t status)
{
    return cublasLtGetStatusString(status);
}
static const char *text(ncclResult_t status)
{
    return ncclGetErrorString(status);
}

/* A test returns false where a call fails or a number is wrong, and says which. */
#define TRY_CALL(call)                                                                             \
    do {                                                                                           \
        auto status = (call);                                                                      \
        if (status != 0) {                                                                         \
            printf("    %s: %s (%d)\n", #call, text(status), (int)status);                         \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

template <typename T> struct Device {
    T *p = NULL;
    explicit Device(size_t n) { cudaMalloc((void **)&p, n * sizeof *p); }
    ~Device() { cudaFree(p); }
};

/* ---- the instructions of ptx.cuh ---- */

/* d [2][16][16]: a b^T, and a b, of a [16, 16] and the first VISIBLE rows of b [16, 16]. */
template <typename T> static __global__ void tensor_kernel(float *d, const T *a, const T *b)
{
    DYNAMIC_SHARED(unsigned char, shared);
    T *q = (T *)(shared + HIGH), *k = q + 16 * STRIDE;
    int lane = threadIdx.x, row = lane / 2, column = lane % 2 * 8;
    cp_async_16(q + row * STRIDE + column, a + row * 16 + column);
    cp_async_16_or_zero(k + row * STRIDE + column, b + row * 16 + column, row < VISIBLE);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    uint32_t x[4], y[4];
    float sum[2][2][4] = {};
    ldmatrix_x4(x, q + lane % 16 * STRIDE + lane / 16 * 8);
    ldmatrix_x4(y, k + (lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2 * 8);
    mma_m16n8k16<T>(sum[0][0], x, y[0], y[1]);
    mma_m16n8k16<T>(sum[0][1], x, y[2], y[3]);
    ldmatrix_x4_trans(y, k + lane % 16 * STRIDE + lane / 16 * 8);
    mma_m16n8k16<T>(sum[1][0], x, y[0], y[1]);
    mma_m16n8k16<T>(sum[1][1], x, y[2], y[3]);
    for (int product = 0; product < 2; product++)
        for (int n = 0; n < 2; n++)
            for (int i = 0; i < 4; i++)
                d[product * 256 + (lane / 4 + i / 2 * 8) * 16 + n * 8 + lane % 4 * 2 + i % 2] =
                    sum[product][n][i];
}

template <typename T> static bool tensor_cores()
{
    T a[256], b[256];
    float d[512];
    for (int i = 0; i < 256; i++) {
        a[i] = T((float)(i * 7 % 19 - 9));
        b[i] = T((float)(i * 5 % 23 - 11));
    }
    Device<T> on_a(256), on_b(256);
    Device<float> on_d(512);
    TRY_CALL(cudaMemcpy(on_a.p, a, sizeof a, cudaMemcpyHostToDevice));
    TRY_CALL(cudaMemcpy(on_b.p, b, sizeof b, cudaMemcpyHostToDevice));
    TRY_CALL(cudaFuncSetAttribute(tensor_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  SHARED));
    LAUNCH(tensor_kernel<T>, 1, 32, SHARED, 0, on_d.p, on_a.p, on_b.p);
    TRY_CALL(cudaGetLastError());
    TRY_CALL(cudaMemcpy(d, on_d.p, sizeof d, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 512; i++) {
        int row = i / 16 % 16, column = i % 16;
        float want = 0;
        for (int k = 0; k < 16; k++) {
            int n = i < 256 ? column : k, at = i < 256 ? n * 16 + k : k * 16 + column;
            if (n < VISIBLE) want += (float)a[row * 16 + k] * (float)b[at];
        }
        if (d[i] == want) continue;
        printf("    product %d, row %d, column %d: %g, not %g\n", i / 256, row, column, d[i], want);
        return false;
    }
    return true;
}

/* ---- functions that promise the host's bits ---- */

struct functions {
    uint32_t exp, log, tanh, divided, root, streamed;
    uint32_t e4m3;
};

/* Numbers of all sizes; logarithms are of normal positive ones. */
static __host__ __device__ float number(int i)
{
    uint32_t step = (1u << 31) / (BITS / 2);
    return fm_from_bits((uint32_t)i * step + (uint32_t)i * 2654435761u % step);
}
static __host__ __device__ float positive(int i)
{
    return fm_from_bits(0x00800000u + (uint32_t)i * (0x7f000000u / BITS));
}

static __host__ __device__ struct functions plain(int i)
{
    struct functions f = {};
    float x = number(i);
    f.exp = fm_bits(fm_exp(x));
    f.log = fm_bits(fm_log(positive(i)));
    f.tanh = fm_bits(fm_tanh(x));
    f.divided = fm_bits(3.0f / positive(i));
    f.root = fm_bits(sqrtf(positive(i)));
    return f;
}

static __global__ void functions_kernel(struct functions *out, const uint32_t *bits)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    struct functions f = plain(i);
    f.streamed = load_streaming_16(bits + i / 4 * 4).x;
    f.e4m3 = e4m3_pair(number(i), -number(i));
    out[i] = f;
}

static bool is_nan(uint32_t bits)
{
    return (bits & 0x7fffffffu) > 0x7f800000u;
}

static bool same_bits()
{
    std::vector<uint32_t> bits(BITS);
    std::vector<functions> got(BITS);
    for (int i = 0; i < BITS; i++) bits[(size_t)i] = (uint32_t)i * 2654435761u;
    Device<uint32_t> on_bits(BITS);
    Device<functions> out(BITS);
    TRY_CALL(cudaMemcpy(on_bits.p, bits.data(), BITS * sizeof(uint32_t), cudaMemcpyHostToDevice));
    LAUNCH(functions_kernel, BITS / 256, 256, 0, 0, out.p, on_bits.p);
    TRY_CALL(cudaGetLastError());
    TRY_CALL(cudaMemcpy(got.data(), out.p, BITS * sizeof(functions), cudaMemcpyDeviceToHost));
    for (int i = 0; i < BITS; i++) {
        struct functions want = plain(i);
        want.streamed = bits[(size_t)(i / 4 * 4)];
        want.e4m3 = e4m3_narrow(number(i)) | (uint32_t)e4m3_narrow(-number(i)) << 8;
        const uint32_t *g = &got[(size_t)i].exp, *w = &want.exp;
        static const char *const names[] = {
            "exp", "log", "tanh", "a quotient", "a root", "a streamed load", "e4m3"};
        for (int n = 0; n < 7; n++) {
            if (g[n] == w[n] || (n < 5 && is_nan(g[n]) && is_nan(w[n]))) continue;
            printf("    %s of number %d (%a): 0x%x, not 0x%x\n", names[n], i, (double)number(i),
                   g[n], w[n]);
            return false;
        }
    }
    return true;
}

/* ---- the runtime ---- */

static __global__ void add_kernel(uint32_t *sum, const uint32_t *x)
{
    *sum += *x;
}

/* A launch that is recorded and runs three times; x lies in the host's pinned memory. */
static bool recorded()
{
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    Device<uint32_t> sum(1);
    uint32_t *x, got = 0;
    TRY_CALL(cudaMallocHost((void **)&x, sizeof *x));
    *x = 14;
    TRY_CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    TRY_CALL(cudaMemsetAsync(sum.p, 0, sizeof *x, stream));
    LAUNCH(add_kernel, 1, 1, 0, stream, sum.p, x); /* loads it */
    TRY_CALL(cudaGetLastError());
    TRY_CALL(cudaMemsetAsync(sum.p, 0, sizeof *x, stream));
    TRY_CALL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    LAUNCH(add_kernel, 1, 1, 0, stream, sum.p, x);
    TRY_CALL(cudaGetLastError());
    TRY_CALL(cudaStreamEndCapture(stream, &graph));
    TRY_CALL(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 3; i++) TRY_CALL(cudaGraphLaunch(exec, stream));
    TRY_CALL(cudaStreamSynchronize(stream));
    TRY_CALL(cudaMemcpy(&got, sum.p, sizeof got, cudaMemcpyDeviceToHost));
    TRY_CALL(cudaGraphExecDestroy(exec));
    TRY_CALL(cudaGraphDestroy(graph));
    TRY_CALL(cudaStreamDestroy(stream));
    TRY_CALL(cudaFreeHost(x));
    if (got != 42) printf("    three times 14 is %u\n", got);
    return got == 42;
}

/* ---- the libraries ---- */

/* out [16, 32] f32 = x [16, 64] w [32, 64]^T of numbers whose sums are exact. */
template <typename T> static bool product(cudaDataType_t type, T (*of)(int))
{
    const int64_t M = 16, N = 32, K = 64;
    std::vector<T> x((size_t)(M * K)), w((size_t)(N * K));
    std::vector<float> out((size_t)(M * N));
    auto at = [](int64_t i) { return (int)(i * 7 % 5) - 2; };
    for (int64_t i = 0; i < M * K; i++) x[(size_t)i] = of(at(i));
    for (int64_t i = 0; i < N * K; i++) w[(size_t)i] = of(at(i * 3 + 1));
    Device<T> on_x((size_t)(M * K)), on_w((size_t)(N * K));
    Device<float> on_out((size_t)(M * N));
    TRY_CALL(cudaMemcpy(on_x.p, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice));
    TRY_CALL(cudaMemcpy(on_w.p, w.data(), w.size() * sizeof(T), cudaMemcpyHostToDevice));
    cublasLtHandle_t lt;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t lw, lx, lo;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
    cublasOperation_t transposed = CUBLAS_OP_T;
    float one = 1, zero = 0;
    int found = 0;
    TRY_CALL(cublasLtCreate(&lt));
    TRY_CALL(cublasLtMatmulDescCreate(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    TRY_CALL(cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                            sizeof transposed));
    TRY_CALL(cublasLtMatrixLayoutCreate(&lw, type, K, N, K));
    TRY_CALL(cublasLtMatrixLayoutCreate(&lx, type, K, M, K));
    TRY_CALL(cublasLtMatrixLayoutCreate(&lo, CUDA_R_32F, N, M, N));
    TRY_CALL(cublasLtMatmulPreferenceCreate(&preference));
    TRY_CALL(cublasLtMatmulAlgoGetHeuristic(lt, op, lw, lx, lo, lo, preference, 1, &best, &found));
    if (found < 1) {
        printf("    cuBLASLt proposes no algorithm\n");
        return false;
    }
    TRY_CALL(cublasLtMatmul(lt, op, &one, on_w.p, lw, on_x.p, lx, &zero, on_out.p, lo, on_out.p, lo,
                            &best.algo, NULL, 0, 0));
    TRY_CALL(cudaMemcpy(out.data(), on_out.p, out.size() * sizeof(float), cudaMemcpyDeviceToHost));
    TRY_CALL(cublasLtMatmulPreferenceDestroy(preference));
    TRY_CALL(cublasLtMatrixLayoutDestroy(lw));
    TRY_CALL(cublasLtMatrixLayoutDestroy(lx));
    TRY_CALL(cublasLtMatrixLayoutDestroy(lo));
    TRY_CALL(cublasLtMatmulDescDestroy(op));
    TRY_CALL(cublasLtDestroy(lt));
    for (int64_t i = 0; i < M * N; i++) {
        int want = 0;
        for (int64_t k = 0; k < K; k++) want += at(i / N * K + k) * at((i % N * K + k) * 3 + 1);
        if (out[(size_t)i] == (float)want) continue;
        printf("    row %d, column %d: %g, not %d\n", (int)(i / N), (int)(i % N), out[(size_t)i],
               want);
        return false;
    }
    return true;
}

static __nv_bfloat16 bf16_of(int x)
{
    return __nv_bfloat16((float)x);
}
static uint8_t e4m3_of(int x)
{
    return e4m3_narrow((float)x);
}
static bool bf16_product()
{
    return product<__nv_bfloat16>(CUDA_R_16BF, bf16_of);
}
static bool fp8_product()
{
    return product<uint8_t>(CUDA_R_8F_E4M3, e4m3_of);
}

/* A group of one, so that NCCL starts, finds the card and runs a kernel. */
static bool nccl()
{
    ncclUniqueId id;
    ncclComm_t comm;
    Device<float> x(4), all(4);
    const float numbers[4] = {1, 2, 3, 4};
    float got[4] = {};
    TRY_CALL(cudaMemcpy(x.p, numbers, sizeof numbers, cudaMemcpyHostToDevice));
    TRY_CALL(ncclGetUniqueId(&id));
    TRY_CALL(ncclCommInitRank(&comm, 1, id, 0));
    TRY_CALL(ncclAllGather(x.p, all.p, 4, ncclFloat32, comm, 0));
    TRY_CALL(cudaDeviceSynchronize());
    TRY_CALL(cudaMemcpy(got, all.p, sizeof got, cudaMemcpyDeviceToHost));
    TRY_CALL(ncclCommDestroy(comm));
    if (memcmp(got, numbers, sizeof got) == 0) return true;
    printf("    what was gathered is not what was sent\n");
    return false;
}

static bool print_device(int *capability)
{
    cudaDeviceProp p;
    int driver = 0, runtime = 0, nccl = 0;
    TRY_CALL(cudaDriverGetVersion(&driver));
    TRY_CALL(cudaRuntimeGetVersion(&runtime));
    printf("runtime CUDA %d.%d, driver for CUDA %d.%d\n", runtime / 1000, runtime % 1000 / 10,
           driver / 1000, driver % 1000 / 10);
    TRY_CALL(cudaGetDeviceProperties(&p, 0));
    TRY_CALL(ncclGetVersion(&nccl));
    printf("%s, compute capability %d.%d, %d multiprocessors, %.1f GiB, cuBLASLt %zu, NCCL %d\n",
           p.name, p.major, p.minor, p.multiProcessorCount, (double)p.totalGlobalMem / (1 << 30),
           cublasLtGetVersion(), nccl);
    *capability = 10 * p.major + p.minor;
    return true;
}

int main(void)
{
    const struct {
        const char *name;
        bool (*test)();
        int capability;
    } all[] = {
        {"tensor cores, ldmatrix, cp.async, bf16", tensor_cores<__nv_bfloat16>, 80},
        {"the same, f16", tensor_cores<__half>, 80},
        {"functions have the host's bits", same_bits, 80},
        {"a recorded launch, pinned memory", recorded, 80},
        {"cuBLASLt, bf16", bf16_product, 80},
        {"cuBLASLt, fp8", fp8_product, 89},
        {"NCCL", nccl, 80},
    };
    int failed = 0, capability = 0;
    if (!print_device(&capability)) return 1;
    for (const auto &t : all) {
        bool passed = capability < t.capability || t.test();
        failed += !passed;
        printf("%s  %s\n",
               capability < t.capability ? "skipped"
               : passed                  ? "passed "
                                         : "FAILED ",
               t.name);
        fflush(stdout);
        cudaGetLastError();
    }
    return failed > 0;
}
