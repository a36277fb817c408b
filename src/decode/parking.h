/* Pages of host memory, for KV that is parked there (cache: host).
 *
 * Pinned memory is dear to take and give back: it is taken in slabs, which stay until the end;
 * pages that are given back are used again. */
#pragma once

#include "model/transformer.h"

struct parking {
    struct model *model; /* borrowed */
    size_t page_bytes;
    struct {
        void **items;
        size_t n, cap;
    } slabs, free_pages;
    bool is_full; /* there is no more memory */
};

void parking_init(struct parking *p, struct model *m);
/* A page, NULL without memory.  Collective over the tensor group. */
void *parking_take(struct parking *p);
void parking_give(struct parking *p, void *page);
/* All of it, pages that were not given back included. */
void parking_free(struct parking *p);
