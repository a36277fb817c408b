/* The batch of a forward pass on the device, and one that advances by itself.
 *
 * All of a batch is one piece of device memory, written by one copy from pinned memory.  Where its
 * parts lie depends on the number of rows alone (page lists come last), so that a recorded step
 * finds them wherever it is run again. */
#include "cuda.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const int64_t ladder[] = CUDA_RUNGS;
enum { RUNGS = sizeof ladder / sizeof *ladder };

#define STEPS_AHEAD PAGE_TOKENS

/* Where the parts begin, in bytes. */
struct places {
    size_t token, position, segment_of, segments, draws, draw_position, step, plan, pages;
    size_t bytes; /* of all */
};

struct steps {
    struct cuda_batch batch;
    struct attention_plan plan;
    struct cuda_buffer memory, drawn;
    /* Of a batch that advances; device memory. */
    int64_t S, T, steps;
    int32_t *token, *position, *step;
    struct draw *draws;
    uint32_t *draw_position;
    int32_t *drawn_token, *history_token; /* [T], [STEPS_AHEAD, T] */
    float *drawn_logprob, *history_logprob;
};

static struct steps *steps_of(struct backend *b)
{
    struct cuda *cuda = cuda_of(b);
    if (!cuda->steps) cuda->steps = mem_calloc(1, sizeof *cuda->steps);
    return cuda->steps;
}

struct cuda_buffer *cuda_batch_memory(struct backend *b)
{
    return &steps_of(b)->memory;
}

struct cuda_buffer *cuda_drawn_memory(struct backend *b)
{
    return &steps_of(b)->drawn;
}

const struct cuda_batch *cuda_batch_of(struct backend *b)
{
    return &steps_of(b)->batch;
}

void cuda_steps_free(struct backend *b)
{
    struct steps *s = cuda_of(b)->steps;
    if (!s) return;
    attention_plan_free(&s->plan);
    cuda_release(b, s->memory.p);
    cuda_release(b, s->drawn.p);
    free(s);
    cuda_of(b)->steps = NULL;
}

/* ---- layout ---- */

static size_t take(size_t *at, size_t bytes)
{
    size_t place = *at;
    *at += (bytes + 15) / 16 * 16;
    return place;
}

static struct places places_of(int64_t T, int64_t S, int64_t n_pages, bool planned)
{
    struct places p = {0};
    size_t rows = (size_t)T, at = 0;
    p.token = take(&at, rows * sizeof(int32_t));
    p.position = take(&at, rows * sizeof(int32_t));
    p.segment_of = take(&at, rows * sizeof(int32_t));
    p.segments = take(&at, (size_t)S * sizeof(struct k_segment));
    p.draws = take(&at, rows * sizeof(struct draw));
    p.draw_position = take(&at, rows * sizeof(uint32_t));
    p.step = take(&at, sizeof(int32_t));
    p.plan = take(&at, planned ? attention_plan_max_bytes(T, cuda_attention_slots(T)) : 0);
    p.pages = take(&at, (size_t)n_pages * sizeof(int32_t));
    p.bytes = at;
    return p;
}

/* ---- page lists ---- */

static bool same_prefix(const struct segment *a, const struct segment *b)
{
    if (a->prefix_len != b->prefix_len) return false;
    return a->prefix_pages == b->prefix_pages || a->prefix_len == 0 ||
           memcmp(a->prefix_pages, b->prefix_pages,
                  (size_t)pages_of(a->prefix_len) * sizeof(int32_t)) == 0;
}

/* Pages that the segment's rows of `steps` steps reach in own tokens. */
static int64_t own_pages(const struct segment *s, int64_t steps)
{
    int64_t own = s->first_position + s->n_rows + steps - 1 - s->prefix_len;
    return s->own_pages && own > 0 ? pages_of(own) : 0;
}

static int64_t count_pages(const struct segment *segments, int64_t S, int64_t steps)
{
    int64_t n = 0;
    for (int64_t s = 0; s < S; s++) {
        if (s == 0 || !same_prefix(&segments[s], &segments[s - 1]))
            n += pages_of(segments[s].prefix_len);
        n += own_pages(&segments[s], steps);
    }
    return n;
}

static int32_t add_list(int32_t *pages, int64_t *n, const int32_t *list, int64_t count)
{
    int32_t at = to_i32(*n);
    if (count > 0) memcpy(pages + *n, list, (size_t)count * sizeof *list);
    *n += count;
    return at;
}

/* Segments, the rows' segments, and page lists; a prefix that the segment before has, too, once. */
static void fill_segments(char *memory, const struct places *p, const struct segment *segments,
                          int64_t S, int64_t T, int64_t steps)
{
    struct k_segment *out = (struct k_segment *)(void *)(memory + p->segments);
    int32_t *segment_of = (int32_t *)(void *)(memory + p->segment_of),
            *pages = (int32_t *)(void *)(memory + p->pages);
    int64_t n = 0;
    for (int64_t t = 0; t < T; t++) segment_of[t] = -1;
    for (int64_t s = 0; s < S; s++) {
        const struct segment *g = &segments[s];
        ENSURE(g->row >= 0 && g->n_rows >= 0 && g->row + g->n_rows <= T);
        bool again = s > 0 && same_prefix(g, &segments[s - 1]);
        out[s] = (struct k_segment){
            .prefix_at = again ? out[s - 1].prefix_at
                               : add_list(pages, &n, g->prefix_pages, pages_of(g->prefix_len)),
            .prefix_len = to_i32(g->prefix_len),
            .own_at = -1,
            .row = to_i32(g->row),
            .n_rows = to_i32(g->n_rows)};
        if (g->own_pages) out[s].own_at = add_list(pages, &n, g->own_pages, own_pages(g, steps));
        for (int64_t r = g->row; r < g->row + g->n_rows; r++) segment_of[r] = (int32_t)s;
    }
}

/* ---- any batch ---- */

static void plan_attention(struct backend *b, struct steps *s, struct kv_pool *kv,
                           const struct segment *segments, int64_t S, int64_t T, int64_t steps)
{
    int64_t slots = cuda_attention_slots(T);
    struct attention_target target = {.H = kv->shape.H,
                                      .G = kv->shape.G,
                                      .multiprocessors = cuda_of(b)->multiprocessors,
                                      .max_slots = slots};
    cuda_need(b, &cuda_of(b)->slots, k_attention_workspace_bytes(slots, kv->shape.H, kv->shape.E));
    attention_plan_make(&s->plan, segments, S, steps, &target);
}

/* Stage the parts that every batch has; the caller adds its own, then sends. */
static char *stage(struct backend *b, struct kv_pool *kv, const struct places *p,
                   const struct segment *segments, int64_t S, int64_t T, int64_t steps)
{
    struct steps *s = steps_of(b);
    char *memory = cuda_stage(b, p->bytes);
    fill_segments(memory, p, segments, S, T, steps);
    s->batch = (struct cuda_batch){.kv = kv};
    if (kv) {
        plan_attention(b, s, kv, segments, S, T, steps);
        memcpy(memory + p->plan, s->plan.data, s->plan.bytes);
        s->batch.grid = s->plan.grid;
    }
    return memory;
}

static void send(struct backend *b, const struct places *p, const char *staged, int64_t S,
                 int64_t T)
{
    struct steps *s = steps_of(b);
    char *memory = cuda_need(b, &s->memory, p->bytes);
    CUDA_CHECK(
        cudaMemcpyAsync(memory, staged, p->bytes, cudaMemcpyHostToDevice, cuda_of(b)->stream));
    cuda_staged(b);
    s->token = (int32_t *)(void *)(memory + p->token);
    s->position = (int32_t *)(void *)(memory + p->position);
    s->draws = (struct draw *)(void *)(memory + p->draws);
    s->draw_position = (uint32_t *)(void *)(memory + p->draw_position);
    s->step = (int32_t *)(void *)(memory + p->step);
    s->batch.plan = memory + p->plan;
    s->batch.k = (struct k_batch){.token = s->token,
                                  .position = s->position,
                                  .segment_of = (int32_t *)(void *)(memory + p->segment_of),
                                  .segments = (struct k_segment *)(void *)(memory + p->segments),
                                  .pages = (int32_t *)(void *)(memory + p->pages),
                                  .T = to_i32(T),
                                  .S = to_i32(S)};
}

void cuda_batch_begin(struct backend *b, struct kv_pool *kv, const struct batch *batch)
{
    int64_t T = batch->T, S = batch->S;
    size_t bytes = (size_t)T * sizeof *batch->token;
    struct places p = places_of(T, S, count_pages(batch->segments, S, 1), kv != NULL);
    char *memory = stage(b, kv, &p, batch->segments, S, T, 1);
    if (batch->token) memcpy(memory + p.token, batch->token, bytes);
    if (batch->position) memcpy(memory + p.position, batch->position, bytes);
    send(b, &p, memory, S, T);
}

/* ---- a batch that advances ---- */

/* Rows of a step: padded to a rung, so that few numbers of rows occur. */
static int64_t padded(int64_t S, int64_t max_rows)
{
    int64_t T = (S + 255) / 256 * 256;
    for (int i = RUNGS - 1; i >= 0 && ladder[i] >= S; i--) T = ladder[i];
    return T < max_rows ? T : max_rows;
}

static void take_drawn(struct backend *b, struct steps *s)
{
    size_t T = (size_t)s->T, cells = STEPS_AHEAD * T;
    int32_t *memory = cuda_need(b, &s->drawn, 2 * (T + cells) * sizeof *memory);
    s->drawn_token = memory;
    s->drawn_logprob = (float *)(void *)(memory + T);
    s->history_token = memory + 2 * T;
    s->history_logprob = (float *)(void *)(memory + 2 * T + cells);
}

/* Padding rows: token and position 0, no segment, the last row's draw. */
static void fill_rows(char *memory, const struct places *p, const struct decode *d, int64_t T)
{
    int32_t *token = (int32_t *)(void *)(memory + p->token),
            *position = (int32_t *)(void *)(memory + p->position);
    struct draw *draws = (struct draw *)(void *)(memory + p->draws);
    uint32_t *draw_position = (uint32_t *)(void *)(memory + p->draw_position);
    for (int64_t t = 0; t < T; t++) {
        bool real = t < d->S;
        token[t] = real ? d->token[t] : 0;
        position[t] = real ? to_i32(d->segments[t].first_position) : 0;
        draws[t] = d->draws[real ? t : d->S - 1];
        draw_position[t] = draws[t].position;
    }
    memset(memory + p->step, 0, sizeof(int32_t));
}

int64_t cuda_decode_begin(struct backend *b, struct kv_pool *kv, const struct decode *d)
{
    struct steps *s = steps_of(b);
    int64_t T = padded(d->S, d->max_rows);
    ENSURE(d->S > 0 && d->S <= d->max_rows && d->steps <= STEPS_AHEAD);
    cuda_kv_all_arrived(b); /* no step that is recorded waits for another stream */
    for (int64_t i = 0; i < d->S; i++)
        ENSURE(d->segments[i].n_rows == 1 && d->segments[i].row == i);
    struct places p = places_of(T, T, count_pages(d->segments, d->S, d->steps), true);
    char *memory = stage(b, kv, &p, d->segments, d->S, T, d->steps);
    fill_rows(memory, &p, d, T);
    s->S = d->S;
    s->T = T;
    s->steps = d->steps;
    take_drawn(b, s);
    send(b, &p, memory, T, T);
    return T;
}

void cuda_decode_draw(struct backend *b, const float *logits, int64_t at, int64_t n,
                      const struct sample_params *p)
{
    struct steps *s = steps_of(b);
    struct cuda_draws draws = {.draws = s->draws + at, .position = s->draw_position + at};
    cuda_draw(b, logits, n, p, &draws, s->drawn_token + at, s->drawn_logprob + at);
}

void cuda_decode_advance(struct backend *b)
{
    struct steps *s = steps_of(b);
    cudaStream_t stream = cuda_of(b)->stream;
    CUDA_CHECK(k_record(s->history_token, s->history_logprob, s->step, s->drawn_token,
                        s->drawn_logprob, s->T, stream));
    CUDA_CHECK(k_advance(s->token, s->position, s->draw_position, s->drawn_token, s->T, stream));
}

void cuda_decode_end(struct backend *b, int32_t *token, float *logprob)
{
    struct steps *s = steps_of(b);
    cudaStream_t stream = cuda_of(b)->stream;
    size_t T = (size_t)s->T, S = (size_t)s->S, bytes = (size_t)s->steps * T * sizeof *token;
    int32_t *staged = cuda_stage(b, 2 * bytes + sizeof(int32_t));
    float *staged_logprob = (float *)(void *)((char *)staged + bytes);
    int32_t *step = (int32_t *)(void *)((char *)staged + 2 * bytes);
    CUDA_CHECK(cudaMemcpyAsync(staged, s->history_token, bytes, cudaMemcpyDeviceToHost, stream));
    CUDA_CHECK(
        cudaMemcpyAsync(staged_logprob, s->history_logprob, bytes, cudaMemcpyDeviceToHost, stream));
    CUDA_CHECK(cudaMemcpyAsync(step, s->step, sizeof *step, cudaMemcpyDeviceToHost, stream));
    cuda_staged(b);
    cuda_wait(b);
    ENSURE(*step == s->steps);
    for (size_t k = 0; k < (size_t)s->steps; k++) {
        memcpy(token + k * S, staged + k * T, S * sizeof *token);
        memcpy(logprob + k * S, staged_logprob + k * T, S * sizeof *logprob);
    }
}
