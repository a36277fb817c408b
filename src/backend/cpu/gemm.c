/* out = x W^T + bias by tiles.
 *
 * A number of out is a sum over blocks of K_BLOCK, each block one chain of multiply-adds (tile.h):
 * an order that knows nothing of T, of the other rows or of the threads.  bf16 weights are
 * multiplied as they are where the processor can, x being rounded first, in one chain over K in
 * blocks of any size; they are else widened one block of a panel at a time.
 *
 * A thread takes a chunk of rows and a range of panels.  What it holds: a block of one or two
 * panels in the first cache while the chunk's rows pass, in bf16 in the second, where longer blocks
 * gain more than they lose; the chunk's share of x in the second. */
#include "backend/cpu/cpu.h"

#include "base/fmath.h"

#include <omp.h>
#include <string.h>

#define K_BLOCK 256         /* of f32: 1 KiB of a row of x and of a column of W */
#define K_OUTER 1024        /* 4 KiB of a row of x, while all panels pass */
#define X_BYTES (576 << 10) /* of a piece with more rows: half of the second cache or less */

#define AHEAD_BYTES 2560 /* of each panel: best of 1 to 32 KiB on Zen 4 */

struct work {
    float *out;
    const void *x; /* as the tile takes it */
    int64_t ldx;
    const struct weight *w;
    const float *bias;
    int64_t T;
    tile_fn *tile;
    int64_t number; /* of x and of the panels' blocks: bytes */
};

/* What a thread needs: widened blocks of two panels, and a chunk of the last panel, of which only a
 * part belongs to out. */
struct thread_room {
    float block[2 * K_BLOCK * TILE_COLS];
    float edge[TILE_MOST_CHUNK * TILE_COLS];
    int64_t next, past; /* pieces that are left of its share */
};

CPU_CLONES static void widen_block(float *out, const uint16_t *in, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = fm_from_bits((uint32_t)in[i] << 16);
}

/* One piece of work: rows [row, row + rows) of panels [begin, end). */
struct piece {
    int64_t row, rows, begin, end;
};

/* A block: numbers [k, k + n) of `panels` panels, one or two, within a slice [k0, k1) of K. */
struct block {
    int64_t panel, panels, k, n, k0, k1;
};

/* The block as the tile takes it; *stride: from one panel to the next. */
static const void *block_numbers(const struct work *g, const struct block *b, float *room,
                                 int64_t *stride)
{
    const struct weight *w = g->w;
    int64_t depth = weight_depth(w), first = (b->panel * depth + b->k) * TILE_COLS;
    *stride = depth * TILE_COLS;
    if (w->dtype == DTYPE_ID_F32) return (const float *)w->panels + first;
    if (w->in_pairs) return (const uint16_t *)w->panels + first;
    for (int64_t p = 0; p < b->panels; p++)
        widen_block(room + p * K_BLOCK * TILE_COLS,
                    (const uint16_t *)w->panels + first + p * *stride, b->n * TILE_COLS);
    *stride = K_BLOCK * TILE_COLS;
    return room;
}

/* What is fetched during a block.  Of one row: what follows it closely, as memory is slower than
 * the sums.  Else the same numbers of k of the next panels: the next block may be of another
 * length, and its end would come too late. */
static const void *following(const struct work *g, const struct piece *p, const struct block *b)
{
    int64_t depth = weight_depth(g->w), panel = b->panel, k = b->k;
    int64_t all = (g->w->N + TILE_COLS - 1) / TILE_COLS, ahead = p->rows == 1 ? AHEAD_BYTES : 0;
    if (p->rows > 1) panel += b->panels;
    if (panel >= p->end && b->k1 < depth) { /* the next slice */
        panel = p->begin;
        k = b->k1 + (b->k - b->k0) % (depth - b->k1);
    } else if (panel >= all) {
        panel = b->panel;
    }
    return (const char *)g->w->panels + (panel * depth + k) * TILE_COLS * g->number + ahead;
}

/* The piece's rows times the block, into c. */
static void multiply(const struct work *g, float *c, int64_t ldc, const struct piece *p,
                     const struct block *b, float *room)
{
    int64_t stride;
    const void *block = block_numbers(g, b, room, &stride);
    const void *x = (const char *)g->x + (p->row * g->ldx + b->k) * g->number;
    g->tile(c, ldc, x, g->ldx, block, TILE_COLS, stride, b->panels, p->rows, b->n, b->k > 0,
            block == room ? block : following(g, p, b));
}

static void gemm_piece(const struct work *g, const struct piece *p, struct thread_room *room)
{
    int64_t N = g->w->N, depth = weight_depth(g->w), whole = N / TILE_COLS;
    int64_t outer = K_OUTER * (int64_t)sizeof(float) / g->number,
            step = g->w->in_pairs ? outer : K_BLOCK;
    struct block b;
    for (b.k0 = 0; b.k0 < depth; b.k0 = b.k1) {
        b.k1 = depth - b.k0 < outer ? depth : b.k0 + outer;
        for (b.panel = p->begin; b.panel < p->end; b.panel += b.panels) {
            bool is_whole = b.panel < whole;
            float *c = is_whole ? g->out + p->row * N + b.panel * TILE_COLS : room->edge;
            b.panels = b.panel + 1 < p->end && b.panel + 1 < whole ? 2 : 1;
            for (b.k = b.k0; b.k < b.k1; b.k += step) {
                b.n = b.k1 - b.k < step ? b.k1 - b.k : step;
                multiply(g, c, is_whole ? N : TILE_COLS, p, &b, room->block);
            }
        }
    }
}

/* What is left of a piece: the columns of a last panel that is not whole, and the bias. */
static void finish_piece(const struct work *g, const struct piece *p,
                         const struct thread_room *room)
{
    int64_t N = g->w->N, whole = N / TILE_COLS, columns = N - whole * TILE_COLS;
    for (int64_t r = 0; r < p->rows && whole < p->end && columns > 0; r++)
        memcpy(g->out + (p->row + r) * N + whole * TILE_COLS, room->edge + r * TILE_COLS,
               (size_t)columns * sizeof *g->out);
    if (!g->bias) return;
    int64_t first = p->begin * TILE_COLS, last = p->end * TILE_COLS < N ? p->end * TILE_COLS : N;
    for (int64_t r = p->row; r < p->row + p->rows; r++)
        for (int64_t i = first; i < last; i++) g->out[r * N + i] += g->bias[i];
}

/* x as the tile takes it: rounded; rows that would all start in the same few sets of the first
 * cache are moved apart. */
static void prepare_rows(struct cpu *cpu, struct work *g, const float *x)
{
    int64_t K = g->w->K, depth = weight_depth(g->w), T = g->T, line = 64 / g->number;
    bool moves = T > 4 && K % 512 == 0;
    g->x = x;
    g->ldx = K;
    if (!g->w->in_pairs && !moves) return;
    g->ldx = (depth + line - 1) / line * line + line;
    char *rows = scratch_need(&cpu->rounded, (size_t)(T * g->ldx * g->number));
    g->x = rows;
    int threads = threads_for(cpu, T * K);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < T; t++) {
        char *row = rows + t * g->ldx * g->number;
        if (!g->w->in_pairs) {
            memcpy(row, x + t * K, (size_t)K * sizeof *x);
            continue;
        }
        cpu->tiles.round((uint16_t *)(void *)row, x + t * K, K);
        if (depth > K) ((uint16_t *)(void *)row)[K] = 0;
    }
}

/* Each thread's share of n pieces: those that follow each other, so that what was fetched during
 * one is for the next. */
static void share_pieces(struct thread_room *rooms, int threads, int64_t n)
{
    for (int t = 0; t < threads; t++) {
        rooms[t].next = n * t / threads;
        rooms[t].past = n * (t + 1) / threads;
    }
}

/* A piece of the thread's own share, or of one whose thread is behind; -1: none is left. */
static int64_t take_piece(struct thread_room *rooms, int threads, int self)
{
    for (int t = 0; t < threads; t++) {
        struct thread_room *r = &rooms[(self + t) % threads];
        int64_t i;
#pragma omp atomic capture
        i = r->next++;
        if (i < r->past) return i;
    }
    return -1;
}

/* Most rows of one piece of work.  Weights come from memory once for each: the faster the product,
 * the more rows it takes to wait for it and not for them. */
static int64_t most_rows(const struct cpu *cpu, const struct work *g)
{
    int64_t fits = X_BYTES / (g->w->K * g->number);
    if (!g->w->in_pairs || fits < TILE_CHUNK) return TILE_CHUNK;
    return fits < cpu->tiles.chunk_bf16 ? fits : cpu->tiles.chunk_bf16;
}

static void gemm_by_tiles(struct cpu *cpu, struct work *g, const float *x)
{
    g->tile = g->w->in_pairs ? cpu->tiles.bf16 : cpu->tiles.f32;
    g->number = g->w->in_pairs ? (int64_t)sizeof(uint16_t) : (int64_t)sizeof(float);
    prepare_rows(cpu, g, x);
    struct thread_room *rooms = scratch_need(&cpu->gemm, (size_t)cpu->threads * sizeof *rooms);
    int64_t panels = (g->w->N + TILE_COLS - 1) / TILE_COLS, most = most_rows(cpu, g),
            chunks = (g->T + most - 1) / most;
    int64_t height = (g->T + chunks - 1) / chunks;
    /* about four pieces of work a thread */
    int64_t groups = chunks >= 4 * cpu->threads ? 1 : (4 * cpu->threads + chunks - 1) / chunks;
    int64_t width = ((panels + groups - 1) / groups + 1) / 2 * 2;
    groups = (panels + width - 1) / width;
    int threads = threads_for(cpu, g->T * g->w->N * g->w->K / 8);
    share_pieces(rooms, threads, chunks * groups);
#pragma omp parallel num_threads(threads)
    {
        int self = omp_get_thread_num();
        for (int64_t i; (i = take_piece(rooms, threads, self)) >= 0;) {
            struct piece p = {.row = i % chunks * height, .begin = i / chunks * width};
            p.rows = g->T - p.row < height ? g->T - p.row : height;
            p.end = p.begin + width < panels ? p.begin + width : panels;
            if (p.rows <= 0) continue;
            gemm_piece(g, &p, &rooms[self]);
            finish_piece(g, &p, &rooms[self]);
        }
    }
}

void cpu_gemm(struct backend *b, void *out, enum dtype out_type, const void *x,
              const struct weight *w, const float *bias, int64_t T)
{
    struct cpu *cpu = cpu_of(b);
    ENSURE(out_type == DTYPE_ID_F32);
    if (T == 0) return;
    gemm_by_tiles(cpu, &(struct work){.out = out, .w = w, .bias = bias, .T = T}, x);
    b->stats.gemm_flops += 2.0 * (double)T * (double)w->N * (double)w->K;
    b->stats.gemm_rows += T;
}
