/* The CUDA backend: cuBLASLt for matrices, kernels/ for the rest, NCCL between ranks. */
#include "cuda.h"

#include "gemm.h"
#include "module.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define LEAST_CAPABILITY     8 /* bf16 on tensor cores, asynchronous copies */
#define LEAST_FP8_CAPABILITY 89
#define SLACK_NS             1000UL /* of this thread's naps (wait.c); the system's own is 50 us */

const char *cuda_status_name(int status)
{
    return cudaGetErrorString((cudaError_t)status);
}

const char *cublas_status_name(int status)
{
    return cublasLtGetStatusString((cublasStatus_t)status);
}

const char *nccl_status_name(int status)
{
    return ncclGetErrorString((ncclResult_t)status);
}

static void cuda_destroy(struct backend *b)
{
    struct cuda *cuda = cuda_of(b);
    if (cuda->stream) {
        cuda_kv_all_arrived(b);
        cuda_wait(b);
        cuda_graphs_free(b);
        cuda_ranks_end(b);
        cuda_steps_free(b);
        gemm_end(b);
        struct cuda_buffer *const buffers[] = {&cuda->gather, &cuda->slots,    &cuda->rows,
                                               &cuda->sum,    &cuda->sample,   &cuda->sample_io,
                                               &cuda->places, &cuda->exchange, &cuda->quantized};
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            cuda_release(b, buffers[i]->p);
        cuda_staging_free(&cuda->staging);
        cuda_arrivals_free(&cuda->arrivals);
        CUDA_CHECK(cudaStreamDestroy(cuda->stream));
    }
    cuda_energy_close(cuda->energy);
    free(cuda);
    free(b);
}

static const struct backend_ops cuda_ops = {
    .name = "cuda",
    .destroy = cuda_destroy,
    .alloc = cuda_alloc,
    .free = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .free_bytes = cuda_free_bytes,
    .host_free_bytes = backend_host_free_bytes,
    .weight_create = cuda_weight_create,
    .weight_fill = cuda_weight_fill,
    .weight_finish = cuda_weight_finish,
    .weight_destroy = cuda_weight_destroy,
    .weight_bytes = cuda_weight_bytes,
    .gemm = cuda_gemm,
    .batch_begin = cuda_batch_begin,
    .decode_begin = cuda_decode_begin,
    .decode_draw = cuda_decode_draw,
    .decode_advance = cuda_decode_advance,
    .decode_end = cuda_decode_end,
    .graph = cuda_graph,
    .embed = cuda_embed,
    .rmsnorm = cuda_rmsnorm,
    .residual_rmsnorm = cuda_residual_rmsnorm,
    .softcap = cuda_softcap,
    .glu = cuda_glu,
    .gather_rows = cuda_gather_rows,
    .workspace_bytes = cuda_workspace_bytes,
    .reserve = cuda_reserve,
    .kv_create = cuda_kv_create,
    .kv_destroy = cuda_kv_destroy,
    .kv_page_bytes = cuda_kv_page_bytes,
    .rope_kv_write = cuda_rope_kv_write,
    .attention = cuda_attention,
    .kv_copy = cuda_kv_copy,
    .kv_read = cuda_kv_read,
    .kv_write = cuda_kv_write,
    .kv_exchange = cuda_kv_exchange,
    .sum_ranks = cuda_sum_ranks,
    .sample = cuda_sample,
    .logprob = cuda_logprob,
    .energy_j = cuda_energy_j,
    .range = cuda_range,
};

static int err_no_device(cudaError_t status, struct err *e)
{
    int driver = 0, runtime = 0;
    cudaGetLastError();
    CUDA_CHECK(cudaDriverGetVersion(&driver)); /* 0: no driver */
    CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    return err_set(e,
                   "no CUDA device can be used: %s (this build: CUDA %d.%d; the driver: for CUDA "
                   "%d.%d, 0.0 is none)",
                   cudaGetErrorString(status), runtime / 1000, runtime % 1000 / 10, driver / 1000,
                   driver % 1000 / 10);
}

/* A build for other cards has no code that this one runs; a card may be another program's alone. */
static int check_kernels(int device, int major, int minor, struct err *e)
{
    cudaError_t status = cudaSetDevice(device);
    if (status != cudaSuccess) {
        cudaGetLastError();
        return err_set(e, "CUDA device %d cannot be used: %s", device, cudaGetErrorString(status));
    }
    status = k_attention_prepare(DTYPE_ID_BF16, (struct k_attention){.H = 1, .G = 1, .E = 64});
    if (status == cudaSuccess) return 0;
    cudaGetLastError();
    return err_set(e,
                   "this build has no kernels for CUDA device %d, compute capability %d.%d (%s): "
                   "build with -D SPECREJ_CUDA_ARCHITECTURES=%d%d",
                   device, major, minor, cudaGetErrorString(status), major, minor);
}

static int find_device(int rank_on_host, int *device, struct err *e)
{
    int n = 0, major = 0, minor = 0;
    cudaError_t status = cudaGetDeviceCount(&n);
    if (status != cudaSuccess) return err_no_device(status, e);
    if (n < 1) return err_set(e, "no CUDA device is visible");
    *device = rank_on_host % n;
    CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, *device));
    CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, *device));
    if (major >= LEAST_CAPABILITY) return check_kernels(*device, major, minor, e);
    return err_set(e, "CUDA device %d has compute capability %d.%d; %d.0 is the least", *device,
                   major, minor, LEAST_CAPABILITY);
}

/* Name, versions, and how many ranks of this host have the same device. */
static void describe(struct backend *b, struct comm *host)
{
    struct cuda *cuda = cuda_of(b);
    struct cudaDeviceProp p;
    int driver = 0, runtime = 0, nccl = 0;
    CUDA_CHECK(cudaGetDeviceProperties(&p, cuda->device));
    CUDA_CHECK(cudaDriverGetVersion(&driver));
    CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    NCCL_CHECK(ncclGetVersion(&nccl));
    cuda->multiprocessors = p.multiProcessorCount;
    cuda->energy = cuda_energy_open((const unsigned char *)p.uuid.bytes);
    snprintf(b->device, sizeof b->device, "%.127s", p.name);
    snprintf(b->isa, sizeof b->isa, "sm_%d%d", p.major, p.minor);
    snprintf(b->versions, sizeof b->versions,
             "CUDA %d.%d, driver for %d.%d, cuBLASLt %zu, NCCL %d.%d.%d", runtime / 1000,
             runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, cublasLtGetVersion(),
             nccl / 10000, nccl / 100 % 100, nccl % 100);
    size_t ranks = (size_t)comm_size(host);
    cudaUUID_t *all = mem_calloc(ranks, sizeof *all);
    comm_allgather(host, &p.uuid, sizeof p.uuid, all);
    for (size_t r = 0; r < ranks; r++)
        b->ranks_on_device += memcmp(&all[r], &p.uuid, sizeof p.uuid) == 0;
    free(all);
}

/* Tensor cores multiply e4m3 from Ada on. */
static int has_dtype(const struct backend *b, struct err *e)
{
    int device = cuda_of(b)->device, major = 0, minor = 0;
    if (b->dtype != DTYPE_ID_FP8) return 0;
    CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    if (10 * major + minor >= LEAST_FP8_CAPABILITY) return 0;
    return err_set(e,
                   "dtype fp8 needs compute capability 8.9 or later; CUDA device %d (%s) has "
                   "%d.%d: set dtype: bf16",
                   device, b->device, major, minor);
}

static struct backend *create(const struct backend_config *c, int device, struct comm *host,
                              struct comm *tensor, struct comm *shard, struct err *e)
{
    struct backend *b = mem_calloc(1, sizeof *b);
    struct cuda *cuda = mem_calloc(1, sizeof *cuda);
    enum dtype dtype = c->dtype == DTYPE_NONE ? DTYPE_ID_BF16 : c->dtype;
    *cuda = (struct cuda){.device = device, .reproducible = c->reproducible};
    *b = (struct backend){.ops = &cuda_ops,
                          .tensor = tensor,
                          .shard = shard,
                          .impl = cuda,
                          .dtype = dtype,
                          .activation = dtype_beside(dtype),
                          .max_rows = 1024,
                          .steps_ahead = PAGE_TOKENS,
                          .threads = c->threads > 0 ? c->threads : 1};
    prctl(PR_SET_TIMERSLACK, SLACK_NS); /* where it is refused, naps are longer */
    CUDA_CHECK(cudaSetDevice(device));
    describe(b, host);
    CUDA_CHECK(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    int rc = cuda_deadline(&cuda->deadline_s, e);
    if (rc == 0) rc = has_dtype(b, e);
    if (rc == 0) rc = gemm_begin(b, e);
    if (cuda_ranks_begin(b, rc, e) == 0) return b;
    cuda_destroy(b);
    return NULL;
}

__attribute__((visibility("default"))) extern const struct cuda_module backend_cuda_module;
const struct cuda_module backend_cuda_module = {
    .layout = CUDA_MODULE_LAYOUT, .find_device = find_device, .create = create};
