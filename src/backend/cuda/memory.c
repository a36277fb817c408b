/* Device memory, and the way of bytes between host and device: through pinned memory, in pieces,
 * two of which take turns. */
#include "cuda.h"

#include <string.h>

#define PIECE_BYTES ((size_t)8 << 20)

/* Zeroed; NULL without memory.  The failed call leaves no error behind for the next launch. */
void *cuda_alloc(struct backend *b, size_t bytes)
{
    void *p = NULL;
    cudaError_t status = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    if (status == cudaErrorMemoryAllocation || status == cudaErrorInvalidValue) {
        cudaGetLastError();
        return NULL;
    }
    CUDA_CHECK(status);
    CUDA_CHECK(cudaMemsetAsync(p, 0, bytes, cuda_of(b)->stream));
    return p;
}

void cuda_release(struct backend *b, void *p)
{
    if (!p) return;
    cuda_wait(b);
    cuda_of(b)->generation++;
    CUDA_CHECK(cudaFree(p));
}

void *cuda_try_need(struct backend *b, struct cuda_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->bytes) return buffer->p;
    ENSURE(!cuda_of(b)->recording && !buffer->is_reserved); /* else workload.c counts too little */
    cuda_release(b, buffer->p);
    *buffer = (struct cuda_buffer){0};
    buffer->p = cuda_alloc(b, bytes);
    if (buffer->p) buffer->bytes = bytes;
    return buffer->p;
}

void *cuda_need(struct backend *b, struct cuda_buffer *buffer, size_t bytes)
{
    void *p = cuda_try_need(b, buffer, bytes);
    if (!p) DIE("out of device memory: %zu bytes of workspace", bytes);
    return p;
}

void *cuda_stage(struct backend *b, size_t bytes)
{
    struct cuda_staging *s = &cuda_of(b)->staging;
    int i = s->next;
    if (!s->turn[i].read)
        CUDA_CHECK(cudaEventCreateWithFlags(&s->turn[i].read, cudaEventDisableTiming));
    else
        cuda_wait_event(b, s->turn[i].read);
    if (bytes > s->turn[i].bytes) {
        if (bytes < PIECE_BYTES) bytes = PIECE_BYTES;
        if (s->turn[i].p) CUDA_CHECK(cudaFreeHost(s->turn[i].p));
        CUDA_CHECK(cudaMallocHost((void **)&s->turn[i].p, bytes));
        s->turn[i].bytes = bytes;
    }
    return s->turn[i].p;
}

void cuda_staged(struct backend *b)
{
    struct cuda_staging *s = &cuda_of(b)->staging;
    CUDA_CHECK(cudaEventRecord(s->turn[s->next].read, cuda_of(b)->stream));
    s->next = (s->next + 1) % STAGING_TURNS;
}

void cuda_staging_free(struct cuda_staging *s)
{
    for (int i = 0; i < STAGING_TURNS; i++) {
        if (s->turn[i].p) CUDA_CHECK(cudaFreeHost(s->turn[i].p));
        if (s->turn[i].read) CUDA_CHECK(cudaEventDestroy(s->turn[i].read));
    }
}

void cuda_upload(struct backend *b, void *dst, const void *host, size_t bytes)
{
    for (size_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        char *piece = cuda_stage(b, n);
        memcpy(piece, (const char *)host + at, n);
        CUDA_CHECK(cudaMemcpyAsync((char *)dst + at, piece, n, cudaMemcpyHostToDevice,
                                   cuda_of(b)->stream));
        cuda_staged(b);
    }
}

void cuda_download(struct backend *b, void *host, const void *src, size_t bytes)
{
    for (size_t at = 0, n; at < bytes; at += n) {
        n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        char *piece = cuda_stage(b, n);
        CUDA_CHECK(cudaMemcpyAsync(piece, (const char *)src + at, n, cudaMemcpyDeviceToHost,
                                   cuda_of(b)->stream));
        cuda_staged(b);
        cuda_wait(b);
        memcpy((char *)host + at, piece, n);
    }
}

size_t cuda_free_bytes(struct backend *b)
{
    size_t free_bytes = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total));
    return free_bytes / (size_t)(b->ranks_on_device > 0 ? b->ranks_on_device : 1);
}
