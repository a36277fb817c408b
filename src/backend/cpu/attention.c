/* Causal attention over pages, one op for prefill and decode.
 *
 * A row is one head of one token.  Rows whose tokens share a prefix go through it together, in
 * blocks, so that its keys and values are read from memory once for many candidates; then each
 * segment's rows go through their own pages.  Keys are taken in chunks counted from the start of
 * the part (prefix or own) that holds them; per row and chunk: s = scale q.k (capped), m' = max(m,
 * s), p = exp(s - m'), l = l exp(m - m') + sum p, o = o exp(m - m') + p v with p v summed page by
 * page.  Which chunks a row sees, and where they begin, depends on its position alone; keys that it
 * must not see have p = 0 and their values are never multiplied. */
#include "backend/cpu/page.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define BLOCK_ROWS 48              /* rows of one piece of work, where heads of a token are few */
#define SUB_ROWS   CHUNK_MOST_ROWS /* most rows that pass a chunk together */
_Static_assert(SUB_ROWS >= TILE_MOST_ROWS, "a tile's rows pass a chunk together");

struct row {
    struct softmax softmax;
    int64_t begin, end; /* keys [begin, end) are seen, absolute positions */
};

struct block {
    int64_t token, n_tokens; /* of the batch; all share a prefix */
};

struct job {
    float *out;
    const float *qkv;
    const struct kv_pool *kv;
    const struct batch *batch;
    const struct attention_params *p;
    const int32_t *segment_of;
    struct page_products products;
    int64_t sub_rows; /* rows that pass a chunk together */
    int64_t heads;    /* query heads of one kv head */
    int64_t padded;
    int64_t block_rows; /* most rows of a block */
};

/* A thread's memory for one block of rows, carved from one piece. */
struct room {
    char *q;      /* [rows, E] of the products' type */
    float *o;     /* [rows, padded] */
    float *score; /* [SUB_ROWS, CHUNK] */
    uint16_t *p;  /* [SUB_ROWS, CHUNK], of products with chunks */
    float *page;  /* the products' own */
    struct row *row;
    int64_t head; /* of keys and values */
    /* What is read when the chunk under way is through: K of its pages, NULL where there are none
     * or rows that the chunk has not seen yet. */
    const void *next[CHUNK_PAGES];
};

/* Keys at positions [begin, end). */
struct part {
    const int32_t *pages;
    int64_t begin, end;
};

static size_t room_floats(const struct job *j)
{
    size_t rows = (size_t)j->block_rows, row_floats = sizeof(struct row) / sizeof(float);
    size_t n = rows * (size_t)(j->p->E + j->padded) + SUB_ROWS * (CHUNK + CHUNK / 2) +
               rows * row_floats + (size_t)page_room(&j->products);
    return (n + 15) / 16 * 16;
}

static struct room room_at(const struct job *j, int64_t head, float *memory)
{
    struct room m = {.head = head};
    m.score = memory;
    m.p = (uint16_t *)(void *)(memory + SUB_ROWS * CHUNK);
    m.page = memory + SUB_ROWS * (CHUNK + CHUNK / 2);
    m.o = m.page + page_room(&j->products);
    m.row = (struct row *)(void *)(m.o + j->block_rows * j->padded);
    m.q = (char *)(m.row + j->block_rows);
    return m;
}

static char *query_row(const struct job *j, const struct room *m, int64_t r)
{
    return m->q + (size_t)(r * j->p->E) * dtype_bytes(j->products.query_type);
}

FM_INLINE void cap_scores(float *s, int64_t n, float scale, float cap)
{
    if (cap > 0.0f) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) s[i] = cap * fm_tanh(s[i] * scale / cap);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) s[i] *= scale;
    }
}

/* The largest of s [n], n a multiple of 16. */
FM_INLINE float largest(const float *s, int64_t n, float at_least)
{
    float lane[PAGE_TOKENS];
    for (int j = 0; j < PAGE_TOKENS; j++) lane[j] = at_least;
    for (int64_t i = 0; i < n; i += PAGE_TOKENS) {
#pragma omp simd
        for (int j = 0; j < PAGE_TOKENS; j++) lane[j] = s[i + j] > lane[j] ? s[i + j] : lane[j];
    }
    for (int half = PAGE_TOKENS / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] = lane[j + half] > lane[j] ? lane[j + half] : lane[j];
    return lane[0];
}

/* s = exp(s - m); returns the sum, in 16 lanes by place in the chunk. */
FM_INLINE float exponentials(float *s, int64_t n, float m)
{
    float lane[PAGE_TOKENS] = {0};
    for (int64_t i = 0; i < n; i += PAGE_TOKENS) {
#pragma omp simd
        for (int j = 0; j < PAGE_TOKENS; j++) {
            s[i + j] = fm_exp(s[i + j] - m);
            lane[j] += s[i + j];
        }
    }
    for (int half = PAGE_TOKENS / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

FM_INLINE void scale_values(float *o, int64_t n, float by)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) o[i] *= by;
}

/* Scores of one row to weights; keys [begin, end) of the chunk are seen. */
CPU_CLONES static void softmax_step(const struct job *j, struct row *row, float *o, float *s,
                                    int64_t begin, int64_t end)
{
    int64_t first = begin / PAGE_TOKENS * PAGE_TOKENS, last = pages_of(end) * PAGE_TOKENS;
    cap_scores(s + first, last - first, j->p->scale, j->p->softcap);
    for (int64_t i = first; i < begin; i++) s[i] = -INFINITY;
    for (int64_t i = end; i < last; i++) s[i] = -INFINITY;
    struct softmax *f = &row->softmax;
    float m = largest(s + first, last - first, f->m);
    float keep = fm_exp(f->m - m);
    *f = (struct softmax){m, fmaf(f->l, keep, exponentials(s + first, last - first, m))};
    if (keep != 1.0f) scale_values(o, j->padded, keep);
}

static const void *keys_of(const struct job *j, const struct room *m, int32_t page)
{
    return kv_keys(j->kv, page, j->p->layer, m->head);
}

static const void *values_of(const struct job *j, const struct room *m, int32_t page)
{
    return kv_values(j->kv, page, j->p->layer, m->head);
}

/* o [rows, padded] += p [rows, keys] v for keys [begin, end) of the chunk. */
static void add_values(const struct job *j, const struct room *m, float *o, const float *p,
                       int64_t rows, const int32_t *pages, int64_t begin, int64_t end)
{
    if (begin >= end) return; /* not even zeros are added: -0 would change */
    for (int64_t page = begin / PAGE_TOKENS; page * PAGE_TOKENS < end; page++) {
        int64_t at = page * PAGE_TOKENS, first = begin > at ? begin : at,
                past = at + PAGE_TOKENS < end ? at + PAGE_TOKENS : end;
        page_values(&j->products, o, p + at, CHUNK, rows, values_of(j, m, pages[page]), first - at,
                    past - at, m->page,
                    past < end   ? values_of(j, m, pages[page + 1])
                    : m->next[0] ? m->next[0]
                                 : values_of(j, m, pages[page]));
    }
}

/* Scores of `rows` rows against pages [page, past) of the chunk, two at a time. */
static void score_pages(const struct job *j, const struct room *m, const char *q, int64_t rows,
                        const int32_t *pages, int64_t page, int64_t past)
{
    const void *values = values_of(j, m, pages[page]);
    for (int64_t n; page < past; page += n) {
        n = page + 1 < past ? 2 : 1;
        page_scores(&j->products, m->score + page * PAGE_TOKENS, CHUNK, q, rows,
                    keys_of(j, m, pages[page]), n == 2 ? keys_of(j, m, pages[page + 1]) : NULL,
                    m->page, page + n < past ? keys_of(j, m, pages[page + n]) : values);
    }
}

/* add_values for rows that may see different keys: what all see is taken together, in whole pages
 * where they differ. */
static void add_values_each(const struct job *j, const struct room *m, float *o, int64_t rows,
                            const int32_t *pages, const int64_t *begin, const int64_t *end)
{
    int64_t low = begin[0], high = end[0], least = begin[0], most = end[0];
    for (int64_t i = 1; i < rows; i++) {
        if (begin[i] > low) low = begin[i];
        if (begin[i] < least) least = begin[i];
        if (end[i] < high) high = end[i];
        if (end[i] > most) most = end[i];
    }
    if (low > least) low = pages_of(low) * PAGE_TOKENS;
    if (high < most) high = high / PAGE_TOKENS * PAGE_TOKENS;
    bool shares = low < high;
    const float *p = m->score;
    for (int64_t i = 0; i < rows; i++)
        add_values(j, m, o + i * j->padded, p + i * CHUNK, 1, pages, begin[i],
                   shares ? low : end[i]);
    if (!shares) return;
    add_values(j, m, o, p, rows, pages, low, high);
    for (int64_t i = 0; i < rows; i++)
        add_values(j, m, o + i * j->padded, p + i * CHUNK, 1, pages, high, end[i]);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* Page by page. */
static void by_pages(const struct job *j, const struct room *m, int64_t r,
                     const struct chunk_rows *c, const int32_t *pages)
{
    float *o = m->o + r * j->padded;
    score_pages(j, m, query_row(j, m, r), c->rows, pages, c->first, c->past);
    for (int64_t i = 0; i < c->rows; i++)
        if (c->begin[i] < c->end[i])
            softmax_step(j, &m->row[r + i], o + i * j->padded, m->score + i * CHUNK, c->begin[i],
                         c->end[i]);
    add_values_each(j, m, o, c->rows, pages, c->begin, c->end);
}

/* The same of all pages at once; is_first: nobody has asked for their V yet. */
static void by_chunk(const struct job *j, const struct room *m, int64_t r,
                     const struct chunk_rows *c, const int32_t *pages, bool is_first)
{
    static const void *const nothing[CHUNK_PAGES];
    const struct chunk_products *f = j->products.chunk;
    struct softmax *softmax[SUB_ROWS];
    const void *keys[CHUNK_PAGES], *values[CHUNK_PAGES];
    float keep[SUB_ROWS], cap = j->p->softcap;
    for (int64_t page = c->first; page < c->past; page++) {
        keys[page] = keys_of(j, m, pages[page]);
        values[page] = (const char *)keys[page] + j->kv->value_bytes;
    }
    f->scores(m->score, (const uint16_t *)(const void *)query_row(j, m, r), j->p->E, c, keys,
              is_first ? values : nothing);
    for (int64_t i = 0; i < c->rows; i++) {
        softmax[i] = &m->row[r + i].softmax;
        if (cap > 0.0f)
            cap_scores(m->score + i * CHUNK + c->first * PAGE_TOKENS,
                       (c->past - c->first) * PAGE_TOKENS, j->p->scale, cap);
    }
    f->weights(m->p, keep, softmax, m->score, c, cap > 0.0f ? 1.0f : j->p->scale);
    f->values(m->o + r * j->padded, j->padded, keep, m->p, c, values, m->next);
}

/* At most SUB_ROWS rows from `r` pass one chunk: its keys stand at positions [at, at + n) on pages.
 */
static void chunk_step(const struct job *j, const struct room *m, int64_t r, int64_t rows,
                       const int32_t *pages, int64_t at, int64_t n, bool is_first)
{
    struct chunk_rows c = {.rows = rows};
    int64_t least = n, most = 0;
    for (int64_t i = 0; i < rows; i++) {
        c.begin[i] = clamp(m->row[r + i].begin - at, 0, n);
        c.end[i] = clamp(m->row[r + i].end - at, 0, n);
        if (c.begin[i] >= c.end[i]) continue;
        if (c.begin[i] < least) least = c.begin[i];
        if (c.end[i] > most) most = c.end[i];
    }
    if (least >= most) return;
    c.first = least / PAGE_TOKENS;
    c.past = pages_of(most);
    if (j->products.chunk)
        by_chunk(j, m, r, &c, pages, is_first);
    else
        by_pages(j, m, r, &c, pages);
}

/* What is read after the chunk of `part` that begins at `at`: its next one, or the first of `then`.
 */
static void find_next(const struct job *j, struct room *m, const struct part *part, int64_t at,
                      const struct part *then)
{
    bool is_last = at + CHUNK >= part->end;
    const int32_t *pages =
        is_last ? then->pages : part->pages + (at + CHUNK - part->begin) / PAGE_TOKENS;
    int64_t n = pages_of(is_last ? then->end - then->begin : part->end - at - CHUNK);
    for (int64_t i = 0; i < CHUNK_PAGES; i++) m->next[i] = i < n ? keys_of(j, m, pages[i]) : NULL;
}

/* Rows [r, r + rows) pass the keys of one part, chunk by chunk; then: the part that comes next. */
static void part_pass(const struct job *j, struct room *m, int64_t r, int64_t rows,
                      const struct part *part, const struct part *then)
{
    const int32_t *pages = part->pages;
    for (int64_t at = part->begin; at < part->end; at += CHUNK, pages += CHUNK_PAGES) {
        int64_t n = part->end - at < CHUNK ? part->end - at : CHUNK;
        memset(m->next, 0, sizeof m->next);
        for (int64_t i = 0; i < rows; i += j->sub_rows) {
            bool is_last = i + j->sub_rows >= rows;
            if (is_last) find_next(j, m, part, at, then);
            chunk_step(j, m, r + i, is_last ? rows - i : j->sub_rows, pages, at, n, i == 0);
        }
    }
}

/* Copy the block's queries, heads of a token together, and start their sums. */
static int64_t load_rows(const struct job *j, const struct room *m, struct block b)
{
    int64_t E = j->p->E, stride = (j->p->H + 2 * j->p->G) * E, r = 0, most = 0;
    for (int64_t t = b.token; t < b.token + b.n_tokens; t++) {
        int64_t position = j->batch->position[t], window = j->p->window;
        int64_t begin = window > 0 && position >= window ? position - window + 1 : 0;
        if (position + 1 > most) most = position + 1;
        for (int64_t h = 0; h < j->heads; h++, r++) {
            page_query(&j->products, query_row(j, m, r),
                       j->qkv + t * stride + (m->head * j->heads + h) * E);
            m->row[r] = (struct row){{-INFINITY, 0}, begin, position + 1};
        }
    }
    memset(m->o, 0, (size_t)(r * j->padded) * sizeof *m->o);
    return most;
}

CPU_CLONES static void scaled_row(float *out, const float *o, int64_t n, float by)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = o[i] * by;
}

static void store_rows(const struct job *j, const struct room *m, struct block b)
{
    int64_t E = j->p->E;
    for (int64_t r = 0; r < b.n_tokens * j->heads; r++) {
        int64_t t = b.token + r / j->heads, h = m->head * j->heads + r % j->heads;
        scaled_row(j->out + (t * j->p->H + h) * E, m->o + r * j->padded, E,
                   1.0f / m->row[r].softmax.l);
    }
}

/* Past the last token from `t` on that is in its segment and in the block. */
static int64_t own_end(const struct job *j, struct block b, int64_t t)
{
    const struct segment *s = &j->batch->segments[j->segment_of[t]];
    return clamp(s->row + s->n_rows, t, b.token + b.n_tokens);
}

/* The own keys of these tokens. */
static struct part own_part(const struct job *j, struct block b, int64_t t)
{
    const struct segment *s = &j->batch->segments[j->segment_of[t]];
    int64_t past = s->own_pages ? j->batch->position[own_end(j, b, t) - 1] + 1 : 0;
    return (struct part){s->own_pages, s->prefix_len, past > s->prefix_len ? past : s->prefix_len};
}

static void attend_block(const struct job *j, struct block b, int64_t head, float *memory)
{
    struct room m = room_at(j, head, memory);
    const struct segment *s = &j->batch->segments[j->segment_of[b.token]];
    int64_t most = load_rows(j, &m, b), past = b.token + b.n_tokens;
    struct part prefix = {s->prefix_pages, 0, most < s->prefix_len ? most : s->prefix_len},
                next = own_part(j, b, b.token);
    part_pass(j, &m, 0, b.n_tokens * j->heads, &prefix, &next);
    for (int64_t t = b.token, end; t < past; t = end) {
        struct part own = next;
        end = own_end(j, b, t);
        next = end < past ? own_part(j, b, end) : (struct part){0};
        part_pass(j, &m, (t - b.token) * j->heads, (end - t) * j->heads, &own, &next);
    }
    store_rows(j, &m, b);
}

static bool same_prefix(const struct segment *a, const struct segment *b)
{
    if (a->prefix_len != b->prefix_len) return false;
    return a->prefix_pages == b->prefix_pages || a->prefix_len == 0 ||
           memcmp(a->prefix_pages, b->prefix_pages,
                  (size_t)pages_of(a->prefix_len) * sizeof(int32_t)) == 0;
}

/* Cut the batch's rows into blocks of at most `most` tokens that share a prefix. */
static int64_t cut_blocks(const struct job *j, struct block *blocks, int64_t most)
{
    const struct segment *segments = j->batch->segments;
    int64_t n = 0;
    for (int64_t t = 0; t < j->batch->T; t++) {
        bool fits = n > 0 && blocks[n - 1].n_tokens < most &&
                    (j->segment_of[t] == j->segment_of[t - 1] ||
                     same_prefix(&segments[j->segment_of[t]], &segments[j->segment_of[t - 1]]));
        if (fits)
            blocks[n - 1].n_tokens++;
        else
            blocks[n++] = (struct block){t, 1};
    }
    return n;
}

void cpu_attention(struct backend *b, void *out, const void *qkv, const struct kv_pool *kv,
                   const struct attention_params *p)
{
    struct cpu *cpu = cpu_of(b);
    const struct batch *batch = cpu->batch;
    struct job j = {.out = out,
                    .qkv = qkv,
                    .kv = kv,
                    .batch = batch,
                    .p = p,
                    .products = page_products_of(&cpu->tiles, kv),
                    .heads = p->H / p->G,
                    .padded = kv->padded,
                    .segment_of = batch_segments(cpu, batch)};
    j.sub_rows = j.products.chunk ? j.products.chunk->rows : cpu->tiles.rows;
    /* few rows: smaller blocks, so that every thread has work */
    int64_t share = batch->T * p->G / (2 * cpu->threads);
    int64_t tokens = clamp(share, 1, j.heads < BLOCK_ROWS ? BLOCK_ROWS / j.heads : 1);
    j.block_rows = tokens * j.heads;
    size_t blocks_bytes = ((size_t)batch->T * sizeof(struct block) + 63) / 64 * 64;
    char *memory = scratch_need(
        &cpu->attention, blocks_bytes + (size_t)cpu->threads * room_floats(&j) * sizeof(float));
    struct block *blocks = (struct block *)(void *)memory;
    float *rooms = (float *)(void *)(memory + blocks_bytes);
    int64_t n = cut_blocks(&j, blocks, tokens);
    int64_t keys = batch->T > 0 ? batch->position[batch->T - 1] + 1 : 0; /* about */
    int threads = threads_for(cpu, batch->T * p->H * p->E * (keys + 4));
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < n * p->G; i++)
        attend_block(&j, blocks[i / p->G], i % p->G,
                     rooms + (size_t)omp_get_thread_num() * room_floats(&j));
}
