#include "ref/plain_backend.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static struct plain_backend *plain(struct backend *b)
{
    return (struct plain_backend *)b;
}

static bool allowed(struct backend *b)
{
    struct plain_backend *p = plain(b);
    if (p->allow == 0) return false;
    if (p->allow > 0) p->allow--;
    p->live++;
    return true;
}

static void *plain_alloc(struct backend *b, size_t bytes)
{
    return allowed(b) ? mem_calloc(bytes, 1) : NULL;
}

static void plain_free(struct backend *b, void *p)
{
    plain(b)->live--;
    free(p);
}

static void plain_copy(struct backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b;
    memcpy(dst, src, bytes);
}

static struct weight *plain_weight_create(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                          struct err *e)
{
    ENSURE(type == b->dtype || type == dtype_beside(b->dtype));
    if (!allowed(b)) {
        err_set(e, "no memory for a matrix");
        return NULL;
    }
    struct weight *w = mem_calloc(1, sizeof *w);
    *w = (struct weight){.N = N, .K = K, .rows = mem_calloc((size_t)(N * K), sizeof(float))};
    return w;
}

static int plain_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                             int64_t n_rows, struct err *e)
{
    if (w->filled + n_rows > w->N) return err_set(e, "too many rows");
    dtype_widen(w->rows + w->filled * w->K, rows, from, (size_t)(n_rows * w->K));
    w->filled += n_rows;
    size_t bytes = (size_t)(n_rows * w->K) * dtype_bytes(from);
    if (bytes > plain(b)->largest_fill_bytes) plain(b)->largest_fill_bytes = bytes;
    return 0;
}

static int plain_weight_finish(struct backend *b, struct weight *w, struct err *e)
{
    (void)b;
    if (w->filled != w->N) return err_set(e, "too few rows");
    w->finished = true;
    return 0;
}

static void plain_weight_destroy(struct backend *b, struct weight *w)
{
    if (!w) return;
    plain(b)->live--;
    free(w->rows);
    free(w);
}

static size_t plain_weight_bytes(const struct weight *w)
{
    return (size_t)(w->N * w->K) * sizeof(float);
}

static const struct backend_ops plain_ops = {
    .name = "plain",
    .alloc = plain_alloc,
    .free = plain_free,
    .upload = plain_copy,
    .download = plain_copy,
    .weight_create = plain_weight_create,
    .weight_fill = plain_weight_fill,
    .weight_finish = plain_weight_finish,
    .weight_destroy = plain_weight_destroy,
    .weight_bytes = plain_weight_bytes,
};

void plain_backend_init(struct plain_backend *p, enum dtype dtype)
{
    *p = (struct plain_backend){.b = {.ops = &plain_ops, .dtype = dtype, .device = "plain memory"},
                                .allow = -1};
}
