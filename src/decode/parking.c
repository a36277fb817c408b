#include "decode/parking.h"

#include "base/mem.h"

#include <stdlib.h>

#define SLAB_BYTES      ((size_t)64 << 20)
#define MOST_SLAB_PAGES 256

void parking_init(struct parking *p, struct model *m)
{
    size_t bytes = m->backend->ops->kv_page_bytes(m->backend, model_kv_shape(m));
    *p = (struct parking){.model = m, .page_bytes = bytes};
}

static void add_slab(struct parking *p)
{
    struct backend *b = p->model->backend;
    size_t pages = SLAB_BYTES / p->page_bytes;
    pages = pages < 1 ? 1 : pages > MOST_SLAB_PAGES ? MOST_SLAB_PAGES : pages;
    char *slab = b->ops->host_alloc(b, pages * p->page_bytes);
    p->is_full = comm_min_i64(b->tensor, slab != NULL) == 0;
    if (p->is_full) {
        b->ops->host_free(b, slab);
        return;
    }
    ARRAY_PUSH(p->slabs, slab);
    for (size_t i = pages; i-- > 0;) ARRAY_PUSH(p->free_pages, slab + i * p->page_bytes);
}

void *parking_take(struct parking *p)
{
    if (p->free_pages.n == 0 && !p->is_full) add_slab(p);
    return p->free_pages.n > 0 ? p->free_pages.items[--p->free_pages.n] : NULL;
}

void parking_give(struct parking *p, void *page)
{
    ARRAY_PUSH(p->free_pages, page);
}

void parking_free(struct parking *p)
{
    for (size_t i = 0; i < p->slabs.n; i++)
        p->model->backend->ops->host_free(p->model->backend, p->slabs.items[i]);
    free(p->slabs.items);
    free(p->free_pages.items);
    *p = (struct parking){0};
}
