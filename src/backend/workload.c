#include "backend/workload.h"

#include "backend/backend.h"

/* Of a row: token, position, segment and its number, draw and its position; an item of attention's
 * plan or two, and a merge. */
#define ROW_BYTES   256
#define ITEM_BYTES  48                 /* of a slot's item */
#define LIST_ROOM   512                /* records of sampling, besides one for each row */
#define LONG_PART   ((int64_t)1 << 19) /* most ids of a record */
#define LONGEST     1024               /* top-k that travels as a list; beyond it a search */
#define RECORD      16 /* bytes of a maximum, and of a listed id with its share of rounding */
#define SUMS        40
#define BINS_BYTES  (1024 * 16)
#define SMALL_PARTS 4096 /* what aligning the parts adds */

static size_t product(int64_t a, int64_t b, int64_t c)
{
    return (size_t)a * (size_t)b * (size_t)c;
}

/* Every segment has page lists of its own, for prefix and own tokens. */
static size_t batch_bytes(const struct workload *w)
{
    int64_t pages = pages_of(w->max_positions + PAGE_TOKENS) + 2;
    return product(w->max_rows, 1, ROW_BYTES) + WORK_SPARE_SLOTS * ITEM_BYTES +
           product(w->max_rows, pages, sizeof(int32_t)) + SMALL_PARTS;
}

static size_t sample_bytes(const struct workload *w)
{
    if (w->draws == 0) return 0;
    int64_t k = w->top_k > LONGEST ? 0 : w->top_k;
    if (k < WORK_LEAST_TOP_K) k = WORK_LEAST_TOP_K;
    int64_t records = w->draws + LIST_ROOM, parts = (w->V_local + LONG_PART - 1) / LONG_PART;
    if (records < w->draws * parts) records = w->draws * parts;
    int64_t of_rank = records * (RECORD + k * (int64_t)sizeof(uint64_t) + 2 * SUMS);
    int64_t ranks = w->ranks == 1 ? 1 : w->ranks + 1; /* one's own apart */
    return product(of_rank, ranks, 1) + product(w->draws, SUMS + BINS_BYTES, 1) + SMALL_PARTS;
}

int64_t workload_exchange_pages(size_t memory_bytes, int peers, size_t page_bytes)
{
    size_t n = memory_bytes / ((size_t)(2 * peers) * page_bytes);
    return n > 0 ? (int64_t)n : 1;
}

static size_t exchange_bytes(const struct workload *w)
{
    if (w->peers == 0) return 0;
    int64_t pages = workload_exchange_pages(WORK_EXCHANGE_BYTES, w->peers, w->page_bytes);
    return product(2 * w->peers, pages, (int64_t)w->page_bytes);
}

void workload_parts(const struct workload *w, size_t bytes[WORK_PARTS])
{
    int64_t T = w->max_rows;
    bytes[WORK_BATCH] = batch_bytes(w);
    bytes[WORK_DRAWN] = w->draws ? product(T, 2 * (1 + PAGE_TOKENS), sizeof(int32_t)) : 0;
    bytes[WORK_SLOTS] = product(T + WORK_SPARE_SLOTS, w->H, (w->E + 2) * (int64_t)sizeof(float));
    bytes[WORK_GATHER] = w->ranks > 1 ? product(T, w->D, w->ranks * (int64_t)sizeof(float)) : 0;
    bytes[WORK_ROWS] = product(T, 1, sizeof(int32_t));
    bytes[WORK_BIASED] = product(T, w->bias_columns, sizeof(float));
    bytes[WORK_SAMPLE] = sample_bytes(w);
    bytes[WORK_DRAW_IO] =
        product(w->draws, 1, sizeof(struct draw) + sizeof(int32_t) + sizeof(float));
    bytes[WORK_EXCHANGE] = exchange_bytes(w);
}

size_t workload_bytes(const struct workload *w, int n)
{
    size_t most[WORK_PARTS] = {0}, sum = 0;
    for (int i = 0; i < n; i++) {
        size_t bytes[WORK_PARTS];
        workload_parts(&w[i], bytes);
        for (int p = 0; p < WORK_PARTS; p++)
            if (bytes[p] > most[p]) most[p] = bytes[p];
    }
    for (int p = 0; p < WORK_PARTS; p++) sum += most[p];
    return sum;
}
