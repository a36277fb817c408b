/* out = x W^T + bias by tiles.
 *
 * A number of out is a sum over blocks of K_BLOCK, each block one chain of fused multiply-adds
 * (tile.c): an order that knows nothing of T, of the other rows or of the threads.  bf16 weights
 * are widened one block of a panel at a time. */
#include "backend/cpu/onednn.h"

#include "base/fmath.h"

#include <omp.h>
#include <string.h>

#define K_BLOCK                                                                                    \
    256 /* a block of a panel is 16 KiB: it stays in the first cache for all rows of a chunk */
#define ROW_CHUNK 96 /* rows whose block of x stays in the second cache while panels pass */

struct work {
    float *out;
    const float *x;
    const struct weight *w;
    const float *bias;
    int64_t T;
    tile_fn *tile;
};

/* What a thread needs: a widened block, and a chunk of the last panel, of which only a part belongs
 * to out. */
struct thread_room {
    float block[K_BLOCK * TILE_COLS];
    float edge[ROW_CHUNK * TILE_COLS];
};

CPU_CLONES static void widen_block(float *out, const uint16_t *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = fm_from_bits((uint32_t)in[i] << 16);
}

static const float *panel_block(const struct weight *w, int64_t panel, int64_t k, int64_t n,
                                float *room)
{
    size_t first = (size_t)(panel * w->K + k) * TILE_COLS;
    if (w->dtype == DTYPE_ID_F32) return (const float *)w->panels + first;
    widen_block(room, (const uint16_t *)w->panels + first, n * TILE_COLS);
    return room;
}

/* Rows [row, row + rows) of panels [begin, end). */
static void gemm_block(const struct work *g, int64_t row, int64_t rows, int64_t begin, int64_t end,
                       struct thread_room *room)
{
    int64_t N = g->w->N, K = g->w->K;
    for (int64_t k = 0; k < K; k += K_BLOCK) {
        int64_t n = K - k < K_BLOCK ? K - k : K_BLOCK;
        for (int64_t panel = begin; panel < end; panel++) {
            const float *block = panel_block(g->w, panel, k, n, room->block);
            bool whole = (panel + 1) * TILE_COLS <= N;
            float *out = whole ? g->out + row * N + panel * TILE_COLS : room->edge;
            bool more = panel + 1 < end && g->w->dtype == DTYPE_ID_F32;
            g->tile(out, whole ? N : TILE_COLS, g->x + row * K + k, K, block, TILE_COLS, rows, n,
                    k > 0, more ? block + K * TILE_COLS : block);
        }
    }
    int64_t columns = N - (end - 1) * TILE_COLS;
    for (int64_t r = 0; r < rows && columns < TILE_COLS; r++)
        memcpy(g->out + (row + r) * N + (end - 1) * TILE_COLS, room->edge + r * TILE_COLS,
               (size_t)columns * sizeof *g->out);
    if (!g->bias) return;
    int64_t first = begin * TILE_COLS, last = end * TILE_COLS < N ? end * TILE_COLS : N;
    for (int64_t r = row; r < row + rows; r++)
        for (int64_t i = first; i < last; i++) g->out[r * N + i] += g->bias[i];
}

static void add_bias(struct cpu *cpu, float *out, const float *bias, int64_t T, int64_t N)
{
    int threads = threads_for(cpu, T * N);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < T; t++)
        for (int64_t n = 0; n < N; n++) out[t * N + n] += bias[n];
}

static void gemm_by_tiles(struct cpu *cpu, const struct work *g)
{
    struct thread_room *rooms = scratch_need(&cpu->gemm, (size_t)cpu->threads * sizeof *rooms);
    int64_t panels = (g->w->N + TILE_COLS - 1) / TILE_COLS,
            chunks = (g->T + ROW_CHUNK - 1) / ROW_CHUNK;
    /* about four pieces of work a thread */
    int64_t groups = chunks >= 4 * cpu->threads ? 1 : (4 * cpu->threads + chunks - 1) / chunks;
    int64_t width = (panels + groups - 1) / groups;
    groups = (panels + width - 1) / width;
    int threads = threads_for(cpu, g->T * g->w->N * g->w->K / 8);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < chunks * groups; i++) {
        int64_t row = i % chunks * ROW_CHUNK, begin = i / chunks * width;
        int64_t rows = g->T - row < ROW_CHUNK ? g->T - row : ROW_CHUNK;
        int64_t end = begin + width < panels ? begin + width : panels;
        gemm_block(g, row, rows, begin, end, rooms + omp_get_thread_num());
    }
}

void cpu_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
              const struct weight *w, const float *bias, int64_t T)
{
    struct cpu *cpu = cpu_of(b);
    ENSURE(out_type == DTYPE_ID_F32);
    if (T == 0) return;
    if (w->packed) {
        omp_set_num_threads(cpu->threads);
        b->stats.gemm_rows_padded += onednn_gemm(cpu->onednn, out, x, w->packed, T);
        if (bias) add_bias(cpu, out, bias, T, w->N);
    } else {
        gemm_by_tiles(cpu, &(struct work){out, x, w, bias, T, cpu->tile});
    }
    b->stats.gemm_flops += 2.0 * (double)T * (double)w->N * (double)w->K;
    b->stats.gemm_rows += T;
}
