/* Weights: in panels of 16 rows, [K][16] each, so that a tile reads its weights as one stream.
 *
 * Panels of several weights lie one after the other in a slab, so that all of them is on huge
 * pages: the end of a piece of memory of its own is on small ones. */
#include "backend/cpu/cpu.h"

#include "base/mem.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES ((size_t)16 << 20) /* or a multiple */

static struct slab *slab_with_room(struct cpu *cpu, size_t bytes)
{
    for (size_t i = 0; i < cpu->slabs.n; i++)
        if (cpu->slabs.items[i].bytes - cpu->slabs.items[i].used >= bytes)
            return &cpu->slabs.items[i];
    struct slab s = {.bytes = (bytes + SLAB_BYTES - 1) / SLAB_BYTES * SLAB_BYTES};
    if (s.bytes >= bytes) s.data = mem_try_untouched(s.bytes);
    if (!s.data) return NULL;
    ARRAY_PUSH(cpu->slabs, s);
    return &cpu->slabs.items[cpu->slabs.n - 1];
}

/* Zeroed; NULL when it cannot be had. */
static void *slab_take(struct cpu *cpu, size_t bytes)
{
    size_t whole = (bytes + 63) / 64 * 64;
    struct slab *s = whole < bytes ? NULL : slab_with_room(cpu, whole);
    if (!s) return NULL;
    void *p = s->data + s->used;
    s->used += whole;
    s->users++;
    return memset(p, 0, whole);
}

/* NULL is accepted. */
static void slab_give(struct cpu *cpu, const void *p)
{
    for (size_t i = 0; p && i < cpu->slabs.n; i++) {
        struct slab *s = &cpu->slabs.items[i];
        if ((const char *)p < s->data || (const char *)p >= s->data + s->bytes) continue;
        if (--s->users > 0) return;
        free(s->data);
        *s = cpu->slabs.items[--cpu->slabs.n];
        return;
    }
}

static int64_t panels_of(const struct weight *w)
{
    return (w->N + TILE_COLS - 1) / TILE_COLS;
}

struct weight *cpu_weight_create(struct backend *b, enum dtype type, int64_t N, int64_t K,
                                 struct err *e)
{
    ENSURE(type == b->dtype);
    if (N < 1 || K < 1 || N > INT32_MAX || K > INT32_MAX) {
        err_set(e, "a weight of %lld x %lld is out of range", (long long)N, (long long)K);
        return NULL;
    }
    struct weight *w = mem_calloc(1, sizeof *w);
    *w = (struct weight){.N = N, .K = K, .dtype = type};
    w->in_pairs = type == DTYPE_ID_BF16 && cpu_of(b)->tiles.bf16;
    w->bytes = (size_t)panels_of(w) * TILE_COLS * (size_t)weight_depth(w) * dtype_bytes(w->dtype);
    w->panels = slab_take(cpu_of(b), w->bytes);
    if (!w->panels) {
        err_set(e, "out of memory: a weight of %lld x %lld takes %.1f MiB", (long long)N,
                (long long)K, (double)w->bytes / (1 << 20));
        cpu_weight_destroy(b, w);
        return NULL;
    }
    return w;
}

void cpu_weight_destroy(struct backend *b, struct weight *w)
{
    if (!w) return;
    slab_give(cpu_of(b), w->panels);
    free(w);
}

size_t cpu_weight_bytes(const struct weight *w)
{
    return w->bytes;
}

/* One row of W into its column of a panel. */
static void place_row(const struct weight *w, int64_t n, const float *row)
{
    size_t first = (size_t)(n / TILE_COLS * TILE_COLS * weight_depth(w));
    if (w->in_pairs) {
        uint16_t *out = (uint16_t *)w->panels + first + n % TILE_COLS * 2;
        for (int64_t k = 0; k < w->K; k++) out[k / 2 * 2 * TILE_COLS + k % 2] = bf16_round(row[k]);
        return;
    }
    first += (size_t)(n % TILE_COLS);
    if (w->dtype == DTYPE_ID_F32) {
        float *out = (float *)w->panels + first;
        for (int64_t k = 0; k < w->K; k++) out[k * TILE_COLS] = row[k];
    } else {
        uint16_t *out = (uint16_t *)w->panels + first;
        for (int64_t k = 0; k < w->K; k++) out[k * TILE_COLS] = bf16_round(row[k]);
    }
}

int cpu_weight_fill(struct backend *b, struct weight *w, const void *rows, enum dtype from,
                    int64_t n_rows, struct err *e)
{
    if (n_rows < 0 || n_rows > w->N - w->filled)
        return err_set(e, "a weight of %lld rows is given %lld rows after its first %lld",
                       (long long)w->N, (long long)n_rows, (long long)w->filled);
    size_t row_bytes = (size_t)w->K * dtype_bytes(from);
    if (!row_bytes) return err_set(e, "weights of type %s cannot be read", dtype_name(from));
    struct cpu *cpu = cpu_of(b);
    const char *bytes = rows;
    float *wide = scratch_need(&cpu->gemm, (size_t)cpu->threads * (size_t)w->K * sizeof *wide);
    /* a thread takes whole panels where it can: rows of one panel share cache lines */
#pragma omp parallel for num_threads(cpu->threads) schedule(static, TILE_COLS)
    for (int64_t r = 0; r < n_rows; r++) {
        float *row = wide + omp_get_thread_num() * w->K;
        dtype_widen(row, bytes + (size_t)r * row_bytes, from, (size_t)w->K);
        place_row(w, w->filled + r, row);
    }
    w->filled += n_rows;
    return 0;
}

int cpu_weight_finish(struct backend *b, struct weight *w, struct err *e)
{
    (void)b;
    if (w->filled != w->N)
        return err_set(e, "a weight of %lld rows was given %lld", (long long)w->N,
                       (long long)w->filled);
    return 0;
}
