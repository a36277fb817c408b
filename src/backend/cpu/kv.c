/* Pages of keys and values. */
#include "backend/cpu/cpu.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TAG_PAGE 8 /* on the shard's communicator */

static int64_t padded_to_tile(int64_t E)
{
    return (E + TILE_COLS - 1) / TILE_COLS * TILE_COLS;
}

static size_t matrix_bytes(const struct backend *b, int64_t columns)
{
    return (size_t)(PAGE_TOKENS * columns) * dtype_bytes(dtype_beside(b->dtype));
}

size_t cpu_kv_page_bytes(const struct backend *b, struct kv_shape s)
{
    return (size_t)(s.L * s.G) * matrix_bytes(b, s.E + padded_to_tile(s.E));
}

static size_t page_bytes(const struct kv_pool *kv)
{
    return (size_t)(kv->shape.L * kv->shape.G) * kv->head_bytes;
}

struct kv_pool *cpu_kv_create(struct backend *b, struct kv_shape shape, int64_t n_pages,
                              struct err *e)
{
    size_t bytes;
    if (n_pages < 0 ||
        __builtin_mul_overflow((size_t)n_pages, cpu_kv_page_bytes(b, shape), &bytes)) {
        err_set(e, "%lld KV pages are more than memory can name", (long long)n_pages);
        return NULL;
    }
    char *data = mem_try_aligned(bytes);
    if (!data) {
        err_set(e, "no memory: cannot have %.3g GiB for %lld KV pages; set a smaller budget_tokens",
                (double)bytes / (1 << 30), (long long)n_pages);
        return NULL;
    }
    struct kv_pool *kv = mem_calloc(1, sizeof *kv);
    *kv = (struct kv_pool){.shape = shape,
                           .n_pages = n_pages,
                           .type = dtype_beside(b->dtype),
                           .padded = padded_to_tile(shape.E),
                           .value_bytes = matrix_bytes(b, shape.E),
                           .data = data};
    kv->head_bytes = matrix_bytes(b, shape.E + kv->padded);
    return kv;
}

void cpu_kv_destroy(struct backend *b, struct kv_pool *kv)
{
    (void)b;
    if (!kv) return;
    free(kv->data);
    free(kv);
}

static char *page_at(const struct kv_pool *kv, int32_t page)
{
    ENSURE(page >= 0 && page < kv->n_pages);
    return kv->data + (size_t)page * page_bytes(kv);
}

void *kv_keys(const struct kv_pool *kv, int32_t page, int64_t layer, int64_t head)
{
    return page_at(kv, page) + (size_t)(layer * kv->shape.G + head) * kv->head_bytes;
}

void cpu_kv_copy(struct backend *b, struct kv_pool *kv, int32_t dst, int32_t src)
{
    (void)b;
    if (dst != src) memcpy(page_at(kv, dst), page_at(kv, src), page_bytes(kv));
}

void cpu_kv_read(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n)
{
    (void)b;
    for (int64_t i = 0; i < n; i++)
        memcpy(places[i].p, page_at(kv, places[i].page), page_bytes(kv));
}

void cpu_kv_write(struct backend *b, struct kv_pool *kv, const struct kv_place *places, int64_t n)
{
    (void)b;
    for (int64_t i = 0; i < n; i++)
        memcpy(page_at(kv, places[i].page), places[i].p, page_bytes(kv));
}

/* In the order that all agree on, so that nobody waits for who waits for him. */
void cpu_kv_exchange(struct backend *b, struct kv_pool *kv, const struct kv_move *moves, int64_t n)
{
    size_t bytes = page_bytes(kv), received;
    for (int64_t i = 0; i < n; i++) {
        char *page = page_at(kv, moves[i].page);
        if (!moves[i].arrives) {
            comm_send(b->shard, page, bytes, moves[i].peer, TAG_PAGE);
            continue;
        }
        void *message = comm_recv(b->shard, moves[i].peer, TAG_PAGE, &received);
        ENSURE(received == bytes);
        memcpy(page, message, bytes);
        free(message);
    }
}
