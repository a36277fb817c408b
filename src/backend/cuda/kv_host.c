/* KV pages between the device and pinned memory of the host.
 *
 * A kernel moves them, in both directions: a page's layers lie apart on the device, so that copy
 * engines would be asked for many small pieces.  Pages leave on the backend's stream.  They arrive
 * on a stream of their own, the first layer of all pages before the second: while a layer
 * computes, the next one crosses the bus.  An event behind each layer is what the layer's ops wait
 * for, on the device; the host waits for nothing. */
#include "cuda.h"

#include "base/mem.h"

#include <stdlib.h>

/* Of a layer's pages: enough accesses under way to fill a bus, most of the device left to others.
 */
#define HOST_BLOCKS  32
#define LEAST_PLACES 4096

void *cuda_host_alloc(struct backend *b, size_t bytes)
{
    (void)b;
    void *p = NULL;
    cudaError_t status = cudaMallocHost(&p, bytes > 0 ? bytes : 1);
    if (status == cudaErrorMemoryAllocation || status == cudaErrorInvalidValue) {
        cudaGetLastError();
        return NULL;
    }
    CUDA_CHECK(status);
    return p;
}

void cuda_host_free(struct backend *b, void *p)
{
    if (!p) return;
    cuda_kv_all_arrived(b);
    cuda_wait(b);
    CUDA_CHECK(cudaFreeHost(p));
}

/* ---- what arrives ---- */

void cuda_kv_arrived(struct backend *b, const struct kv_pool *kv, int64_t layer)
{
    struct cuda_arrivals *a = &cuda_of(b)->arrivals;
    if (!a->kv || a->kv != kv || layer < a->next) return;
    CUDA_CHECK(cudaStreamWaitEvent(cuda_of(b)->stream, a->layer[layer], 0));
    a->next = layer + 1;
    if (a->next == kv->shape.L) a->kv = NULL;
}

void cuda_kv_all_arrived(struct backend *b)
{
    const struct kv_pool *kv = cuda_of(b)->arrivals.kv;
    if (kv) cuda_kv_arrived(b, kv, kv->shape.L - 1);
}

static void new_event(cudaEvent_t *event)
{
    CUDA_CHECK(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
}

/* Its blocks go before those of the layers that compute, which would otherwise keep it waiting. */
static void begin_arrivals(struct cuda_arrivals *a, int64_t n_layers)
{
    if (!a->stream) {
        int least = 0, greatest = 0;
        CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
        CUDA_CHECK(cudaStreamCreateWithPriority(&a->stream, cudaStreamNonBlocking, greatest));
        new_event(&a->begin);
    }
    if (n_layers <= a->n_layers) return;
    a->layer = mem_realloc(a->layer, (size_t)n_layers, sizeof *a->layer);
    while (a->n_layers < n_layers) new_event(&a->layer[a->n_layers++]);
}

void cuda_arrivals_free(struct cuda_arrivals *a)
{
    for (int64_t l = 0; l < a->n_layers; l++) CUDA_CHECK(cudaEventDestroy(a->layer[l]));
    free(a->layer);
    if (!a->stream) return;
    CUDA_CHECK(cudaEventDestroy(a->begin));
    CUDA_CHECK(cudaStreamDestroy(a->stream));
}

/* ---- there and back ---- */

const struct kv_place *cuda_kv_places(struct backend *b, const struct kv_pool *kv,
                                      const struct kv_place *places, int64_t n)
{
    size_t bytes = (size_t)n * sizeof *places, room = LEAST_PLACES * sizeof *places;
    for (int64_t i = 0; i < n; i++)
        ENSURE(places[i].page >= 0 && places[i].page < kv->n_pages &&
               (uintptr_t)places[i].p % 16 == 0);
    cuda_kv_all_arrived(b);         /* it reads the places before these */
    while (room < bytes) room *= 2; /* growing forgets recorded steps: seldom */
    void *on_device = cuda_need(b, &cuda_of(b)->places, room);
    cuda_upload(b, on_device, places, bytes);
    return on_device;
}

void cuda_kv_read(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n)
{
    if (n == 0) return;
    const struct kv_place *on_device = cuda_kv_places(b, kv, places, n);
    CUDA_CHECK(k_kv_pages(cuda_kv_layers(kv), on_device, n, true, HOST_BLOCKS, cuda_of(b)->stream));
}

void cuda_kv_write(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n)
{
    struct cuda *cuda = cuda_of(b);
    struct cuda_arrivals *a = &cuda->arrivals;
    if (n == 0) return;
    begin_arrivals(a, kv->shape.L);
    const struct kv_place *on_device = cuda_kv_places(b, kv, places, n);
    CUDA_CHECK(cudaEventRecord(a->begin, cuda->stream));
    CUDA_CHECK(cudaStreamWaitEvent(a->stream, a->begin, 0));
    struct k_kv_layers one = cuda_kv_layers(kv);
    one.n_layers = 1;
    for (one.first_layer = 0; one.first_layer < kv->shape.L; one.first_layer++) {
        CUDA_CHECK(k_kv_pages(one, on_device, n, false, HOST_BLOCKS, a->stream));
        CUDA_CHECK(cudaEventRecord(a->layer[one.first_layer], a->stream));
    }
    a->kv = kv;
    a->next = 0;
}
