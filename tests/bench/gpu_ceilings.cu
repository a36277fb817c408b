/* What this card gives: the ceilings that the floors of all other measurements are computed from.
 *
 *     gpu_ceilings [--quick]  CSV: name, value, unit, shape
 *
 * Medians of 9 runs after 2 that do not count, timed by events on the device.  Buffers hold random
 * numbers and are far larger than the cache.  --quick: small ones, to try the program itself. */
#include "launch.cuh"
#include "ptx.cuh"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cublasLt.h>
#include <functional>
#include <vector>

static const char *text(cudaError_t status)
{
    return cudaGetErrorString(status);
}
static const char *text(cublasStatus_t status)
{
    return cublasLtGetStatusString(status);
}

#define CHECK(call)                                                                                \
    do {                                                                                           \
        auto status = (call);                                                                      \
        if (status != 0) {                                                                         \
            fprintf(stderr, "gpu_ceilings: %s: %s (%d)\n", #call, text(status), (int)status);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define ROOM  ((size_t)64 << 20) /* of a product's workspace, before its matrices */
#define AHEAD 4                  /* loads of a thread */

/* Random bits where `random` has them, those of `ones` elsewhere. */
static __global__ void fill_kernel(uint32_t *x, int64_t n, uint32_t random, uint32_t ones)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t stride = (int64_t)gridDim.x * blockDim.x; i < n; i += stride) {
        uint32_t v = (uint32_t)i * 2654435761u;
        v ^= v >> 15;
        x[i] = (v & random) | ones;
    }
}

/* Reads n vectors; the sum keeps the compiler from leaving them out. */
static __global__ void read_kernel(const uint4 *x, int64_t n, uint32_t *out)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    uint32_t sum = 0;
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (; i + (AHEAD - 1) * stride < n; i += AHEAD * stride) {
        uint4 v[AHEAD]; /* all on their way before the first is needed */
#pragma unroll
        for (int a = 0; a < AHEAD; a++) v[a] = load_streaming_16(x + i + a * stride);
#pragma unroll
        for (int a = 0; a < AHEAD; a++) sum ^= v[a].x ^ v[a].y ^ v[a].z ^ v[a].w;
    }
    for (; i < n; i += stride) sum ^= load_streaming_16(x + i).x;
    if (sum == 0x12345678u) *out = sum;
}

static __global__ void empty_kernel() {}

/* Median milliseconds of work(). */
static double timed_ms(const std::function<void()> &work)
{
    cudaEvent_t begin, end;
    CHECK(cudaEventCreate(&begin));
    CHECK(cudaEventCreate(&end));
    std::vector<float> ms;
    for (int run = 0; run < 11; run++) {
        float t;
        CHECK(cudaEventRecord(begin, 0));
        work();
        CHECK(cudaGetLastError());
        CHECK(cudaEventRecord(end, 0));
        CHECK(cudaEventSynchronize(end));
        CHECK(cudaEventElapsedTime(&t, begin, end));
        if (run >= 2) ms.push_back(t);
    }
    CHECK(cudaEventDestroy(begin));
    CHECK(cudaEventDestroy(end));
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
}

static void line(const char *name, double value, const char *unit, const char *shape)
{
    printf("%s,%.4g,%s,%s\n", name, value, unit, shape);
    fflush(stdout);
}

static void line_of_bytes(const char *name, size_t bytes, double touched, double ms)
{
    char shape[32];
    snprintf(shape, sizeof shape, "%zu B", bytes);
    line(name, touched / ms * 1e-6, "GB/s", shape);
}

static void memory(int blocks, void *buffer, size_t bytes)
{
    uint32_t *out;
    CHECK(cudaMalloc((void **)&out, sizeof *out));
    double ms = timed_ms([&] {
        LAUNCH(read_kernel, blocks, 512, 0, 0, (const uint4 *)buffer,
               (int64_t)(bytes / sizeof(uint4)), out);
    });
    line_of_bytes("memory_read", bytes, (double)bytes, ms);
    size_t half = bytes / 2;
    ms = timed_ms([&] {
        CHECK(cudaMemcpyAsync((char *)buffer + half, buffer, half, cudaMemcpyDeviceToDevice, 0));
    });
    line_of_bytes("memory_copy", half, 2 * (double)half, ms); /* read and written */
    CHECK(cudaFree(out));
}

static void host_link(void *buffer, size_t bytes)
{
    void *host;
    CHECK(cudaMallocHost(&host, bytes));
    double ms =
        timed_ms([&] { CHECK(cudaMemcpyAsync(buffer, host, bytes, cudaMemcpyHostToDevice, 0)); });
    line_of_bytes("host_to_device", bytes, (double)bytes, ms);
    ms = timed_ms([&] { CHECK(cudaMemcpyAsync(host, buffer, bytes, cudaMemcpyDeviceToHost, 0)); });
    line_of_bytes("device_to_host", bytes, (double)bytes, ms);
    CHECK(cudaFreeHost(host));
}

/* out [M, N] bf16 = x [M, K] w [N, K]^T with f32 sums, as the library likes it best. */
static double gemm_tflops(cublasLtHandle_t lt, cudaDataType_t type, char *buffer, int64_t M,
                          int64_t N, int64_t K)
{
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t w, x, out;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t best;
    cublasOperation_t transposed = CUBLAS_OP_T;
    size_t room = ROOM;
    int found = 0;
    float one = 1, zero = 0;
    CHECK(cublasLtMatmulDescCreate(&op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECK(cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed));
    CHECK(cublasLtMatrixLayoutCreate(&w, type, K, N, K));
    CHECK(cublasLtMatrixLayoutCreate(&x, type, K, M, K));
    CHECK(cublasLtMatrixLayoutCreate(&out, CUDA_R_16BF, N, M, N));
    CHECK(cublasLtMatmulPreferenceCreate(&preference));
    CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &room, sizeof room));
    CHECK(cublasLtMatmulAlgoGetHeuristic(lt, op, w, x, out, out, preference, 1, &best, &found));
    if (found < 1) {
        fprintf(stderr, "gpu_ceilings: cuBLASLt has no algorithm for %lld x %lld x %lld\n",
                (long long)M, (long long)N, (long long)K);
        exit(1);
    }
    int64_t bytes = type == CUDA_R_8F_E4M3 ? 1 : 2;
    char *at_w = buffer + room, *at_x = at_w + N * K * bytes, *at_out = at_x + M * K * bytes;
    double ms = timed_ms([&] {
        CHECK(cublasLtMatmul(lt, op, &one, at_w, w, at_x, x, &zero, at_out, out, at_out, out,
                             &best.algo, buffer, room, 0));
    });
    CHECK(cublasLtMatmulPreferenceDestroy(preference));
    CHECK(cublasLtMatrixLayoutDestroy(w));
    CHECK(cublasLtMatrixLayoutDestroy(x));
    CHECK(cublasLtMatrixLayoutDestroy(out));
    CHECK(cublasLtMatmulDescDestroy(op));
    return 2.0 * (double)M * (double)N * (double)K / ms * 1e-9;
}

/* Time from one kernel of a graph to the next. */
static void launch_gap(int kernels)
{
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamCreate(&stream));
    LAUNCH(empty_kernel, 1, 32, 0, stream); /* loads it: a capture is no place for that */
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kernels; i++) LAUNCH(empty_kernel, 1, 32, 0, stream);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    line("kernel_in_graph", timed_ms([&] { CHECK(cudaGraphLaunch(exec, 0)); }) * 1e3 / kernels,
         "us", "1 warp");
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaStreamDestroy(stream));
}

struct product {
    const char *name;
    int64_t M, N, K;
};

/* Names are the same in a trial. */
static void products(cublasLtHandle_t lt, cudaDataType_t type, char *buffer, bool quick)
{
    bool fp8 = type == CUDA_R_8F_E4M3;
    const product all[] = {
        {fp8 ? "gemm_fp8_square" : "gemm_bf16_square", 8192, 8192, 8192},
        {fp8 ? "gemm_fp8_1024_rows" : "gemm_bf16_1024_rows", 1024, 28672, 4096},
        {fp8 ? "gemm_fp8_256_rows" : "gemm_bf16_256_rows", 256, 28672, 4096},
    };
    for (product p : all) {
        char shape[64];
        if (quick) p = {p.name, 16, 32, 64};
        snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)p.M, (long long)p.N,
                 (long long)p.K);
        line(p.name, gemm_tflops(lt, type, buffer, p.M, p.N, p.K), "TFLOP/s", shape);
    }
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    if (argc > (quick ? 2 : 1)) {
        fprintf(stderr, "usage: gpu_ceilings [--quick]\n");
        return 2;
    }
    cudaDeviceProp device;
    cublasLtHandle_t lt;
    char *buffer;
    const size_t bytes = quick ? ROOM + ((size_t)1 << 20) : (size_t)8 << 30,
                 touched = quick ? (size_t)1 << 16 : bytes;
    CHECK(cudaGetDeviceProperties(&device, 0));
    CHECK(cudaMalloc((void **)&buffer, bytes));
    CHECK(cublasLtCreate(&lt));
    auto fill = [&](uint32_t random, uint32_t ones) {
        LAUNCH(fill_kernel, quick ? 1 : device.multiProcessorCount * 16, 512, 0, 0,
               (uint32_t *)buffer, (int64_t)(bytes / sizeof(uint32_t)), random, ones);
        CHECK(cudaGetLastError());
        CHECK(cudaDeviceSynchronize());
    };
    fill(0x807f807fu, 0x3f803f80u); /* bf16 of [1, 2) and either sign */
    printf("# %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n", device.name,
           device.major, device.minor, device.multiProcessorCount,
           (double)device.totalGlobalMem / (1 << 30));
    printf("name,value,unit,shape\n");
    memory(quick ? 1 : device.multiProcessorCount * 16, buffer, touched);
    host_link(buffer, quick ? touched : (size_t)1 << 28);
    products(lt, CUDA_R_16BF, buffer, quick);
    if (10 * device.major + device.minor >= 89) {
        fill(0x87878787u, 0x38383838u); /* e4m3 of [1, 2) and either sign */
        products(lt, CUDA_R_8F_E4M3, buffer, quick);
    }
    launch_gap(quick ? 10 : 1000);
    CHECK(cublasLtDestroy(lt));
    CHECK(cudaFree(buffer));
    return 0;
}
