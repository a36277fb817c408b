/* What this card gives: the ceilings that the floors of all other measurements are computed from.
 *
 *     gpu_ceilings            CSV: name, value, unit
 *
 * Medians of 9 runs after 2 that do not count, timed by events on the device.  Buffers hold random
 * numbers and are far larger than the cache. */
#include "launch.cuh"
#include "ptx.cuh"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cublasLt.h>
#include <functional>
#include <vector>

#define CHECK(call)                                                                                \
    do {                                                                                           \
        auto status = (call);                                                                      \
        if (status != 0) {                                                                         \
            fprintf(stderr, "gpu_ceilings: %s: status %d\n", #call, (int)status);                  \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

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
    for (int64_t stride = (int64_t)gridDim.x * blockDim.x; i < n; i += stride) {
        uint4 v = load_streaming_16(x + i);
        sum ^= v.x ^ v.y ^ v.z ^ v.w;
    }
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
        CHECK(cudaEventRecord(end, 0));
        CHECK(cudaEventSynchronize(end));
        CHECK(cudaEventElapsedTime(&t, begin, end));
        if (run >= 2) ms.push_back(t);
    }
    std::sort(ms.begin(), ms.end());
    return ms[ms.size() / 2];
}

static void line(const char *name, double value, const char *unit)
{
    printf("%s,%.4g,%s\n", name, value, unit);
    fflush(stdout);
}

static void memory(int processors, void *buffer, size_t bytes)
{
    uint32_t *out;
    CHECK(cudaMalloc((void **)&out, sizeof *out));
    double ms = timed_ms([&] {
        LAUNCH(read_kernel, processors * 16, 512, 0, 0, (const uint4 *)buffer,
               (int64_t)(bytes / sizeof(uint4)), out);
    });
    line("memory_read", (double)bytes / ms * 1e-6, "GB/s");
    size_t half = bytes / 2;
    ms = timed_ms([&] {
        CHECK(cudaMemcpyAsync((char *)buffer + half, buffer, half, cudaMemcpyDeviceToDevice, 0));
    });
    line("memory_copy", 2 * (double)half / ms * 1e-6, "GB/s read + written");
    CHECK(cudaFree(out));
}

static void host_link(void *buffer)
{
    size_t bytes = (size_t)1 << 28;
    void *host;
    CHECK(cudaMallocHost(&host, bytes));
    double ms =
        timed_ms([&] { CHECK(cudaMemcpyAsync(buffer, host, bytes, cudaMemcpyHostToDevice, 0)); });
    line("host_to_device", (double)bytes / ms * 1e-6, "GB/s");
    ms = timed_ms([&] { CHECK(cudaMemcpyAsync(host, buffer, bytes, cudaMemcpyDeviceToHost, 0)); });
    line("device_to_host", (double)bytes / ms * 1e-6, "GB/s");
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
    size_t room = (size_t)64 << 20;
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
static void launch_gap()
{
    const int kernels = 1000;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < kernels; i++) LAUNCH(empty_kernel, 1, 32, 0, stream);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    line("kernel_in_graph", timed_ms([&] { CHECK(cudaGraphLaunch(exec, 0)); }) * 1e3 / kernels,
         "us");
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaStreamDestroy(stream));
}

int main()
{
    cudaDeviceProp device;
    cublasLtHandle_t lt;
    char *buffer;
    const size_t bytes = (size_t)8 << 30;
    CHECK(cudaGetDeviceProperties(&device, 0));
    CHECK(cudaMalloc((void **)&buffer, bytes));
    CHECK(cublasLtCreate(&lt));
    auto fill = [&](uint32_t random, uint32_t ones) {
        LAUNCH(fill_kernel, device.multiProcessorCount * 16, 512, 0, 0, (uint32_t *)buffer,
               (int64_t)(bytes / sizeof(uint32_t)), random, ones);
        CHECK(cudaDeviceSynchronize());
    };
    auto gemm = [&](const char *name, cudaDataType_t type, int64_t M, int64_t N, int64_t K) {
        line(name, gemm_tflops(lt, type, buffer, M, N, K), "TFLOP/s");
    };
    fill(0x807f807fu, 0x3f803f80u); /* bf16 of [1, 2) and either sign */
    printf("# %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n", device.name,
           device.major, device.minor, device.multiProcessorCount,
           (double)device.totalGlobalMem / (1 << 30));
    printf("name,value,unit\n");
    memory(device.multiProcessorCount, buffer, bytes);
    host_link(buffer);
    gemm("gemm_bf16_8192", CUDA_R_16BF, 8192, 8192, 8192);
    gemm("gemm_bf16_1024_rows", CUDA_R_16BF, 1024, 28672, 4096);
    gemm("gemm_bf16_256_rows", CUDA_R_16BF, 256, 28672, 4096);
    if (10 * device.major + device.minor >= 89) {
        fill(0x87878787u, 0x38383838u); /* e4m3 of [1, 2) and either sign */
        gemm("gemm_fp8_8192", CUDA_R_8F_E4M3, 8192, 8192, 8192);
        gemm("gemm_fp8_1024_rows", CUDA_R_8F_E4M3, 1024, 28672, 4096);
        gemm("gemm_fp8_256_rows", CUDA_R_8F_E4M3, 256, 28672, 4096);
    }
    launch_gap();
    CHECK(cublasLtDestroy(lt));
    CHECK(cudaFree(buffer));
    return 0;
}
