/* Pages of keys and values, and the ops that work on them. */
#include "cuda.h"

#include "base/mem.h"

#include <stdlib.h>

int64_t cuda_attention_slots(int64_t T)
{
    return T + WORK_SPARE_SLOTS;
}

static size_t layer_page_bytes(const struct backend *b, struct kv_shape s)
{
    return (size_t)(2 * s.G * PAGE_TOKENS * s.E) * dtype_bytes(b->activation);
}

size_t cuda_kv_page_bytes(const struct backend *b, struct kv_shape shape)
{
    return (size_t)shape.L * layer_page_bytes(b, shape);
}

static struct k_attention kernel_params(const struct attention_params *p)
{
    return (struct k_attention){.H = to_i32(p->H),
                                .G = to_i32(p->G),
                                .E = to_i32(p->E),
                                .scale = p->scale,
                                .softcap = p->softcap,
                                .window = to_i32(p->window)};
}

static int prepare(struct backend *b, struct kv_shape s, struct err *e)
{
    struct k_attention p = {.H = to_i32(s.H), .G = to_i32(s.G), .E = to_i32(s.E)};
    cudaError_t status = k_attention_prepare(b->activation, p);
    if (status == cudaSuccess) return 0;
    cudaGetLastError();
    return err_set(e,
                   "backend cuda has no attention for %d query heads, %d key heads of %d numbers "
                   "(%s)",
                   p.H, p.G, p.E, cuda_status_name((int)status));
}

struct kv_pool *cuda_kv_create(struct backend *b, struct kv_shape shape, int64_t n_pages,
                               struct err *e)
{
    size_t bytes;
    if (n_pages < 0 || n_pages > INT32_MAX ||
        __builtin_mul_overflow((size_t)n_pages, cuda_kv_page_bytes(b, shape), &bytes)) {
        err_set(e, "%lld KV pages are more than memory can name", (long long)n_pages);
        return NULL;
    }
    if (prepare(b, shape, e) < 0) return NULL;
    char *data = cuda_alloc(b, bytes);
    if (!data) {
        err_set(e,
                "cannot have %.3g GiB of device memory for %lld KV pages; set a smaller "
                "budget_tokens",
                (double)bytes / (1 << 30), (long long)n_pages);
        return NULL;
    }
    struct kv_pool *kv = mem_calloc(1, sizeof *kv);
    *kv = (struct kv_pool){.shape = shape, .n_pages = n_pages, .data = data};
    kv->page_bytes = layer_page_bytes(b, shape);
    kv->layer_bytes = (size_t)n_pages * kv->page_bytes;
    return kv;
}

void cuda_kv_destroy(struct backend *b, struct kv_pool *kv)
{
    if (!kv) return;
    cuda_kv_all_arrived(b);
    cuda_release(b, kv->data);
    free(kv);
}

static char *layer_of(const struct kv_pool *kv, int64_t layer)
{
    ENSURE(layer >= 0 && layer < kv->shape.L);
    return kv->data + (size_t)layer * kv->layer_bytes;
}

void cuda_rope_kv_write(struct backend *b, void *qkv, struct kv_pool *kv,
                        const struct attention_params *p, const float *rope, const float *q_norm,
                        const float *k_norm, float eps, float w_offset)
{
    cuda_kv_arrived(b, kv, p->layer);
    CUDA_CHECK(k_rope_kv_write(qkv, layer_of(kv, p->layer), b->activation, cuda_batch_of(b)->k,
                               kernel_params(p), rope, q_norm, k_norm, eps, w_offset,
                               cuda_of(b)->stream));
}

void cuda_attention(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                    const struct attention_params *p)
{
    struct cuda *cuda = cuda_of(b);
    const struct cuda_batch *batch = cuda_batch_of(b);
    ENSURE(batch->kv == kv && p->H == kv->shape.H);
    cuda_kv_arrived(b, kv, p->layer);
    CUDA_CHECK(k_attention_run(out, qkv, layer_of(kv, p->layer), b->activation, batch->k,
                               kernel_params(p), batch->plan, batch->grid, cuda->slots.p,
                               cuda->stream));
}

void cuda_kv_copy(struct backend *b, struct kv_pool *kv, int32_t dst, int32_t src)
{
    ENSURE(dst >= 0 && dst < kv->n_pages && src >= 0 && src < kv->n_pages);
    if (dst == src) return;
    cuda_kv_all_arrived(b);
    CUDA_CHECK(k_kv_copy(kv->data, kv->shape.L, kv->layer_bytes, kv->page_bytes, dst, src,
                         cuda_of(b)->stream));
}

struct k_kv_layers cuda_kv_layers(const struct kv_pool *kv)
{
    return (struct k_kv_layers){.data = kv->data,
                                .layer_bytes = kv->layer_bytes,
                                .page_bytes = kv->page_bytes,
                                .n_layers = kv->shape.L};
}
