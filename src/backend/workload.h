/* What ops need of a device's memory beside their arguments, weights and pages: known before
 * anything is taken, so that it counts in what must fit, and taken once (backend.h: reserve).
 *
 * Pure arithmetic: bounds that hold whatever a step looks like.  The CUDA backend ends the program
 * where one does not. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The most that one model asks for. */
struct workload {
    int64_t max_rows, max_positions; /* of a forward pass; of a sequence */
    int64_t D, H, E;                 /* H: of this rank */
    int64_t bias_columns;            /* of the widest product with a bias, this rank; 0: none */
    int ranks;                       /* that add up [max_rows, D] */
    int64_t draws;                   /* rows that are drawn from at a time; 0: none */
    int64_t V_local, top_k;          /* of these draws */
    int peers;                       /* ranks that KV pages move to and from; 0: none move */
    size_t page_bytes;               /* of such a page, all layers */
};

/* The memory by purpose; models that take turns share each. */
enum workload_part {
    WORK_BATCH,    /* a step's rows, segments, page lists and plan of attention */
    WORK_DRAWN,    /* what the steps of a run drew */
    WORK_SLOTS,    /* attention's partial results */
    WORK_GATHER,   /* all ranks' summands */
    WORK_ROWS,     /* indices of gathered rows */
    WORK_BIASED,   /* a product before its bias and rounding */
    WORK_SAMPLE,   /* sampling's records */
    WORK_DRAW_IO,  /* draws, tokens and log-probabilities of one call */
    WORK_EXCHANGE, /* KV pages on their way to and from peers */
    WORK_PARTS
};

#define WORK_SPARE_SLOTS    1024 /* of attention, besides one for each row */
#define WORK_LEAST_TOP_K    50   /* the self-test draws with it */
#define WORK_EXCHANGE_BYTES ((size_t)128 << 20)

/* Pages that are on their way to, and as many from, each peer at a time, in this much memory; the
 * rest goes in rounds. */
int64_t workload_exchange_pages(size_t memory_bytes, int peers, size_t page_bytes);

void workload_parts(const struct workload *w, size_t bytes[WORK_PARTS]);
/* Of n workloads that take turns. */
size_t workload_bytes(const struct workload *w, int n);
