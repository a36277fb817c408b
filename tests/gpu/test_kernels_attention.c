/* Attention's kernels against the oracle, and the promise that a row's bits depend on that row
 * alone.
 *
 * A world has two prompts and a few sequences on each of them.  Rows are computed in batches of all
 * kinds: the first time a row is met it is compared with the oracle in double, from then on with
 * the bits of the first time.  Pages hold NaN wherever the batch's last row of a sequence sees
 * nothing. */
#include "attention.h"
#include "backend/cuda/attention_plan.h"
#include "base/mem.h"
#include "kernel_test.h"
#include "ref/ref.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PROMPTS   2
#define SEQUENCES 5
#define PADDING   3   /* rows behind a batch that belong to nobody */
#define SPARE     300 /* slots beyond one per token */

enum numbers {
    RANDOM,
    DOMINANT, /* a key that takes nearly all weight, at position `edge` of each part */
    EQUAL,    /* all scores alike */
    LARGE     /* scores of many thousands; exact in f32 */
};

struct setup {
    enum dtype act;
    int32_t H, G, E;
    float softcap;
    int32_t window;
    int64_t prefix, own; /* tokens of the first prompt, and of a sequence */
    enum numbers numbers;
    int64_t edge;
};

struct world {
    struct setup s;
    struct k_attention p;
    uint64_t random;
    int64_t prompt_tokens[PROMPTS], own_tokens[SEQUENCES];
    int64_t prompt_at[PROMPTS], own_at[SEQUENCES], n_tokens; /* places in the arrays below */
    float *q, *k, *v;                                        /* [n_tokens, H or G, E] */
    int32_t *prompt_pages[PROMPTS], *own_pages[SEQUENCES];
    int64_t n_pages;
    char *out; /* [n_tokens, H, E] act: what a row gave the first time */
    bool *is_known;
    double error, norm; /* squares, over all rows */
};

/* Rows of one sequence, or of prompt -1 - `sequence`. */
struct rows {
    int64_t sequence, first, n;
};

static uint64_t next_random(struct world *w, uint64_t below)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % below;
}

static float random_float(struct world *w)
{
    return (float)next_random(w, 1u << 20) / (float)(1 << 19) - 1.0f;
}

/* ---- numbers of the device's types ---- */

static float widened(const void *x, enum dtype type, int64_t i)
{
    float f;
    dtype_widen(&f, (const char *)x + (size_t)i * dtype_bytes(type), type, 1);
    return f;
}

static void put(void *x, enum dtype type, int64_t i, float f)
{
    dtype_narrow((char *)x + (size_t)i * dtype_bytes(type), &f, type, 1);
}

static float rounded(float f, enum dtype type)
{
    char x[4];
    put(x, type, 0, f);
    return widened(x, type, 0);
}

/* One unit in the last place of a number of this size. */
static double ulp(double x, enum dtype type)
{
    int bits = type == DTYPE_ID_F32 ? 23 : type == DTYPE_ID_F16 ? 10 : 7, exponent;
    frexp(x, &exponent);
    if (type == DTYPE_ID_F16 && exponent < -13) exponent = -13;
    return ldexp(1.0, exponent - 1 - bits);
}

/* ---- the world ---- */

static int64_t prompt_of(int64_t sequence)
{
    return sequence < 0 ? -1 - sequence : sequence < 3 ? 0 : 1;
}

static int64_t prefix_of(const struct world *w, int64_t sequence)
{
    return w->prompt_tokens[prompt_of(sequence)];
}

static int64_t length_of(const struct world *w, int64_t sequence)
{
    return prefix_of(w, sequence) + (sequence < 0 ? 0 : w->own_tokens[sequence]);
}

static int64_t place_of(const struct world *w, int64_t sequence, int64_t position)
{
    int64_t prefix = prefix_of(w, sequence);
    return position < prefix ? w->prompt_at[prompt_of(sequence)] + position
                             : w->own_at[sequence] + position - prefix;
}

static void fill_tokens(struct world *w, int64_t at, int64_t n, const float *direction)
{
    const struct setup *s = &w->s;
    for (int64_t t = at; t < at + n; t++) {
        for (int64_t i = 0; i < s->H * s->E; i++) {
            float *q = &w->q[t * s->H * s->E + i], d = direction[i % s->E];
            *q = random_float(w);
            if (s->numbers == DOMINANT) *q = d + 0.1f * *q;
            if (s->numbers == LARGE) *q = truncf(*q * 8.0f) * 16.0f;
            *q = rounded(*q, s->act);
        }
        for (int64_t i = 0; i < s->G * s->E; i++) {
            float *k = &w->k[t * s->G * s->E + i], d = direction[i % s->E];
            *k = random_float(w);
            if (s->numbers == DOMINANT && t - at == s->edge)
                *k = 16.0f / (float)s->E * d / w->p.scale;
            if (s->numbers == EQUAL) *k = d;
            if (s->numbers == LARGE) *k = truncf(*k * 8.0f) * 16.0f;
            *k = rounded(*k, s->act);
            w->v[t * s->G * s->E + i] = rounded(random_float(w), s->act);
        }
    }
}

static int32_t *new_pages(struct world *w, int64_t n_tokens)
{
    int64_t n = pages_of(n_tokens);
    int32_t *pages = mem_calloc((size_t)n, sizeof *pages);
    for (int64_t i = 0; i < n; i++) pages[i] = (int32_t)(w->n_pages + n - 1 - i);
    w->n_pages += n;
    return pages;
}

static struct world begin(struct setup s)
{
    struct world w = {.s = s, .random = 12345 + (uint64_t)s.E};
    float scale = s.numbers == LARGE ? 0.25f : 1.0f / sqrtf((float)s.E);
    w.p = (struct k_attention){s.H, s.G, s.E, 2.0f * scale, s.softcap, s.window};
    for (int64_t i = 0; i < PROMPTS; i++) {
        w.prompt_tokens[i] = i == 0 ? s.prefix : s.prefix / 2 + 1;
        w.prompt_at[i] = w.n_tokens;
        w.n_tokens += w.prompt_tokens[i];
        w.prompt_pages[i] = new_pages(&w, w.prompt_tokens[i]);
    }
    for (int64_t i = 0; i < SEQUENCES; i++) {
        w.own_tokens[i] = s.own > 2 * i ? s.own - i : s.own;
        w.own_at[i] = w.n_tokens;
        w.n_tokens += w.own_tokens[i];
        w.own_pages[i] = new_pages(&w, w.own_tokens[i]);
    }
    size_t n = (size_t)w.n_tokens;
    w.q = mem_calloc(n * (size_t)(s.H * s.E), sizeof *w.q);
    w.k = mem_calloc(n * (size_t)(s.G * s.E), sizeof *w.k);
    w.v = mem_calloc(n * (size_t)(s.G * s.E), sizeof *w.v);
    w.out = mem_calloc(n * (size_t)(s.H * s.E), dtype_bytes(s.act));
    w.is_known = mem_calloc(n, sizeof *w.is_known);
    float direction[256];
    for (int64_t e = 0; e < s.E; e++) direction[e] = next_random(&w, 2) ? 1.0f : -1.0f;
    for (int64_t i = 0; i < PROMPTS; i++)
        fill_tokens(&w, w.prompt_at[i], w.prompt_tokens[i], direction);
    for (int64_t i = 0; i < SEQUENCES; i++)
        fill_tokens(&w, w.own_at[i], w.own_tokens[i], direction);
    CHECK(k_attention_prepare(s.act, w.p));
    return w;
}

static void end(struct world *w)
{
    for (int64_t i = 0; i < PROMPTS; i++) free(w->prompt_pages[i]);
    for (int64_t i = 0; i < SEQUENCES; i++) free(w->own_pages[i]);
    free(w->q);
    free(w->k);
    free(w->v);
    free(w->out);
    free(w->is_known);
}

/* ---- the oracle ---- */

static void oracle(const struct world *w, double *want, int64_t sequence, int64_t position,
                   int64_t h)
{
    const struct setup *s = &w->s;
    int64_t E = s->E, n = position + 1, g = h / (s->H / s->G);
    double *k = mem_calloc((size_t)(n * E), sizeof *k), *v = mem_calloc((size_t)(n * E), sizeof *v),
           q[256];
    struct attention_params p = {.H = s->H,
                                 .G = s->G,
                                 .E = E,
                                 .scale = w->p.scale,
                                 .softcap = s->softcap,
                                 .window = s->window};
    for (int64_t t = 0; t < n; t++)
        for (int64_t e = 0; e < E; e++) {
            int64_t at = (place_of(w, sequence, t) * s->G + g) * E + e;
            k[t * E + e] = (double)w->k[at];
            v[t * E + e] = (double)w->v[at];
        }
    for (int64_t e = 0; e < E; e++)
        q[e] = (double)w->q[(place_of(w, sequence, position) * s->H + h) * E + e];
    ref_attention_row(want, q, k, v, n, E, &p);
    free(k);
    free(v);
}

/* Compare one row of f32 or wider error sources; counts its squares. */
static void compare_row(struct world *w, const float *got, const double *want, int64_t sequence,
                        int64_t position, int64_t h)
{
    double largest = 0;
    for (int64_t e = 0; e < w->s.E; e++) largest = fmax(largest, fabs(want[e]));
    for (int64_t e = 0; e < w->s.E; e++) {
        double d = fabs((double)got[e] - want[e]);
        if (!(d <= 2 * ulp(want[e], w->s.act) + 1e-3 * largest))
            fail_msg(
                "%s E %d: sequence %lld, position %lld, head %lld, column %lld: %.9g, not %.9g",
                dtype_name(w->s.act), (int)w->s.E, (long long)sequence, (long long)position,
                (long long)h, (long long)e, (double)got[e], want[e]);
        w->error += d * d;
        w->norm += want[e] * want[e];
    }
}

/* ---- a batch ---- */

/* Pages of one layer: tokens below seen[sequence] (own) and prompt_seen; NaN elsewhere. */
static void *pages_on_device(const struct world *w, const int64_t *prompt_seen, const int64_t *seen)
{
    const struct setup *s = &w->s;
    int64_t page_elements = 2 * s->G * PAGE_TOKENS * s->E, n = w->n_pages * page_elements;
    char *kv = mem_calloc((size_t)n, dtype_bytes(s->act));
    for (int64_t i = 0; i < n; i++) put(kv, s->act, i, NAN);
    for (int64_t part = 0; part < PROMPTS + SEQUENCES; part++) {
        bool own = part >= PROMPTS;
        const int32_t *pages = own ? w->own_pages[part - PROMPTS] : w->prompt_pages[part];
        int64_t tokens = own ? seen[part - PROMPTS] : prompt_seen[part];
        int64_t at = own ? w->own_at[part - PROMPTS] : w->prompt_at[part];
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t g = 0; g < s->G; g++)
                for (int64_t e = 0; e < s->E; e++) {
                    int64_t i = pages[t / PAGE_TOKENS] * page_elements +
                                (g * PAGE_TOKENS + t % PAGE_TOKENS) * s->E + e;
                    put(kv, s->act, i, w->k[((at + t) * s->G + g) * s->E + e]);
                    put(kv, s->act, i + page_elements / 2, w->v[((at + t) * s->G + g) * s->E + e]);
                }
    }
    void *device = on_device(kv, (size_t)n * dtype_bytes(s->act));
    free(kv);
    return device;
}

static void *queries_on_device(const struct world *w, const struct rows *rows, int64_t S, int64_t T)
{
    const struct setup *s = &w->s;
    int64_t stride = (s->H + 2 * s->G) * s->E, t = 0;
    char *qkv = mem_calloc((size_t)(T * stride), dtype_bytes(s->act));
    for (int64_t i = 0; i < T * stride; i++) put(qkv, s->act, i, NAN);
    for (int64_t i = 0; i < S; i++)
        for (int64_t r = 0; r < rows[i].n; r++, t++)
            for (int64_t c = 0; c < s->H * s->E; c++)
                put(qkv, s->act, t * stride + c,
                    w->q[place_of(w, rows[i].sequence, rows[i].first + r) * s->H * s->E + c]);
    void *device = on_device(qkv, (size_t)(T * stride) * dtype_bytes(s->act));
    free(qkv);
    return device;
}

struct device_batch {
    struct k_batch batch;
    void *position, *segment_of, *segments, *pages;
};

static struct device_batch upload_batch(const struct segment *segments, int64_t S, int64_t T)
{
    struct {
        int32_t *items;
        size_t n, cap;
    } pages = {0};
    struct k_segment *on = mem_calloc((size_t)S, sizeof *on);
    int32_t *position = mem_calloc((size_t)T, sizeof *position),
            *segment_of = mem_calloc((size_t)T, sizeof *segment_of);
    for (int64_t t = 0; t < T; t++) segment_of[t] = -1;
    for (int64_t i = 0; i < S; i++) {
        const struct segment *s = &segments[i];
        on[i] = (struct k_segment){(int32_t)pages.n, (int32_t)s->prefix_len, -1, (int32_t)s->row,
                                   (int32_t)s->n_rows};
        for (int64_t p = 0; p < pages_of(s->prefix_len); p++) ARRAY_PUSH(pages, s->prefix_pages[p]);
        if (s->own_pages) on[i].own_at = (int32_t)pages.n;
        int64_t own = s->first_position + s->n_rows - s->prefix_len;
        for (int64_t p = 0; s->own_pages && p < pages_of(own); p++)
            ARRAY_PUSH(pages, s->own_pages[p]);
        for (int64_t r = 0; r < s->n_rows; r++) {
            position[s->row + r] = (int32_t)(s->first_position + r);
            segment_of[s->row + r] = (int32_t)i;
        }
    }
    struct device_batch d = {.position = on_device(position, (size_t)T * sizeof *position),
                             .segment_of = on_device(segment_of, (size_t)T * sizeof *segment_of),
                             .segments = on_device(on, (size_t)S * sizeof *on),
                             .pages = on_device(pages.items, pages.n * sizeof *pages.items)};
    d.batch = (struct k_batch){.position = d.position,
                               .segment_of = d.segment_of,
                               .segments = d.segments,
                               .pages = d.pages,
                               .T = (int32_t)T,
                               .S = (int32_t)S};
    free(pages.items);
    free(on);
    free(position);
    free(segment_of);
    return d;
}

static void free_batch(struct device_batch *d)
{
    CHECK(cudaFree(d->position));
    CHECK(cudaFree(d->segment_of));
    CHECK(cudaFree(d->segments));
    CHECK(cudaFree(d->pages));
}

/* What each sequence and prompt has on its pages when these rows are computed. */
static void count_seen(const struct world *w, const struct rows *rows, int64_t S,
                       int64_t *prompt_seen, int64_t *seen)
{
    for (int64_t i = 0; i < S; i++) {
        int64_t prompt = prompt_of(rows[i].sequence), last = rows[i].first + rows[i].n,
                prefix = w->prompt_tokens[prompt];
        int64_t shared = last < prefix ? last : prefix;
        if (shared > prompt_seen[prompt]) prompt_seen[prompt] = shared;
        if (rows[i].sequence >= 0 && last - prefix > seen[rows[i].sequence])
            seen[rows[i].sequence] = last - prefix;
    }
}

/* Run attention over the batch with the plan given; host results [T, H, E] act. */
static char *run(const struct world *w, const struct rows *rows, const struct segment *segments,
                 int64_t S, int64_t T, const struct attention_plan *plan, float *slots)
{
    const struct setup *s = &w->s;
    int64_t prompt_seen[PROMPTS] = {0}, seen[SEQUENCES] = {0};
    count_seen(w, rows, S, prompt_seen, seen);
    void *kv = pages_on_device(w, prompt_seen, seen), *qkv = queries_on_device(w, rows, S, T);
    struct device_batch d = upload_batch(segments, S, T);
    size_t out_bytes = (size_t)(T * s->H * s->E) * dtype_bytes(s->act),
           slot_bytes = k_attention_workspace_bytes(plan->n_slots, s->H, s->E);
    char *out = mem_calloc(out_bytes, 1);
    memset(out, 0x5a, out_bytes);
    void *out_device = on_device(out, out_bytes), *workspace = on_device(NULL, slot_bytes);
    CHECK(cudaMemset(workspace, 0xff, slot_bytes));
    void *plan_device = on_device(plan->data, plan->bytes);
    CHECK(k_attention_run(out_device, qkv, kv, s->act, d.batch, w->p, plan_device, plan->grid,
                          workspace, 0));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaMemcpy(out, out_device, out_bytes, cudaMemcpyDeviceToHost));
    if (slots) CHECK(cudaMemcpy(slots, workspace, slot_bytes, cudaMemcpyDeviceToHost));
    CHECK(cudaFree(kv));
    CHECK(cudaFree(qkv));
    CHECK(cudaFree(out_device));
    CHECK(cudaFree(workspace));
    CHECK(cudaFree(plan_device));
    free_batch(&d);
    return out;
}

static int64_t make_segments(const struct world *w, struct segment *segments,
                             const struct rows *rows, int64_t S)
{
    int64_t T = 0;
    for (int64_t i = 0; i < S; i++) {
        int64_t prompt = prompt_of(rows[i].sequence);
        segments[i] = (struct segment){
            .prefix_pages = w->prompt_pages[prompt],
            .prefix_len = w->prompt_tokens[prompt],
            .own_pages = rows[i].sequence < 0 ? NULL : w->own_pages[rows[i].sequence],
            .first_position = rows[i].first,
            .row = T,
            .n_rows = rows[i].n};
        T += rows[i].n;
    }
    return T;
}

/* Of a row: the same bits as ever, or close to the oracle. */
static void check_row(struct world *w, int64_t sequence, int64_t position, const char *got)
{
    const struct setup *s = &w->s;
    int64_t place = place_of(w, sequence, position);
    size_t bytes = (size_t)(s->H * s->E) * dtype_bytes(s->act);
    char *known = w->out + (size_t)place * bytes;
    if (w->is_known[place]) {
        if (memcmp(known, got, bytes) != 0)
            fail_msg("%s E %d: sequence %lld, position %lld: other bits in another batch",
                     dtype_name(s->act), (int)s->E, (long long)sequence, (long long)position);
        return;
    }
    w->is_known[place] = true;
    memcpy(known, got, bytes);
    for (int64_t h = 0; h < s->H; h++) {
        double want[256];
        float row[256];
        oracle(w, want, sequence, position, h);
        for (int64_t e = 0; e < s->E; e++) row[e] = widened(got, s->act, h * s->E + e);
        compare_row(w, row, want, sequence, position, h);
    }
}

/* Compute these rows for a device of so many multiprocessors, by a plan made `late` steps ago. */
static void step(struct world *w, const struct rows *rows, int64_t S, int64_t multiprocessors,
                 int64_t late)
{
    const struct setup *s = &w->s;
    struct segment segments[SEQUENCES + PROMPTS];
    struct attention_plan plan = {0};
    int64_t rows_T = make_segments(w, segments, rows, S), T = rows_T + PADDING;
    struct attention_target target = {s->H, s->G, multiprocessors,
                                      rows_T + (next_random(w, 4) ? SPARE : 0)};
    for (int64_t i = 0; i < S; i++) segments[i].first_position -= late;
    attention_plan_make(&plan, segments, S, late + 1, &target);
    for (int64_t i = 0; i < S; i++) segments[i].first_position += late;
    assert_true(plan.n_slots <= target.max_slots);
    assert_true(plan.bytes <= attention_plan_max_bytes(rows_T, target.max_slots));
    char *out = run(w, rows, segments, S, T, &plan, NULL);
    size_t bytes = (size_t)(s->H * s->E) * dtype_bytes(s->act);
    for (int64_t i = 0; i < S; i++)
        for (int64_t r = 0; r < rows[i].n; r++)
            check_row(w, rows[i].sequence, rows[i].first + r,
                      out + (size_t)(segments[i].row + r) * bytes);
    for (size_t i = (size_t)rows_T * bytes; i < (size_t)T * bytes; i++)
        assert_int_equal(out[i], 0x5a); /* padding is left alone */
    free(out);
    attention_plan_free(&plan);
}

/* ---- batches ---- */

static const int64_t sizes[] = {1, 16, 1000}; /* of the device: how far chunks are spread */

/* The newest token of every sequence, together, alone and by plans of other sizes and ages. */
static void decode_batches(struct world *w)
{
    struct rows rows[SEQUENCES];
    for (int64_t back = 0; back < 2; back++) {
        for (int64_t i = 0; i < SEQUENCES; i++)
            rows[i] = (struct rows){i, length_of(w, i) - 1 - back, 1};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            step(w, rows, SEQUENCES, sizes[i], i == 1 ? w->own_tokens[4] - 1 - back : 0);
            step(w, rows + 1, 1, sizes[i], 0);
        }
        step(w, rows + 2, 2, 16, 0);
    }
}

/* A prompt in one piece and in two, a sequence's own tokens in one piece and in some. */
static void chunk_batches(struct world *w, int64_t piece)
{
    int64_t prefix = prefix_of(w, 0), length = length_of(w, 0);
    if (prefix > 0) {
        struct rows half[2] = {{-1, 0, (prefix + 1) / 2}, {-2, prefix_of(w, 3) - 1, 1}};
        step(w, half, 2, 16, 0);
        step(w, &(struct rows){-1, 0, prefix}, 1, 1, 0);
        step(w, &(struct rows){-1, prefix / 2, prefix - prefix / 2}, 1, 1000, 0);
    }
    step(w, &(struct rows){0, prefix, length - prefix}, 1, 1, 0);
    for (int64_t at = prefix; at < length; at += piece) {
        int64_t n = length - at < piece ? length - at : piece;
        struct rows rows[2] = {{3, length_of(w, 3) - 1, 1}, {0, at, n}};
        step(w, rows, 2, at / piece % 2 ? 16 : 1000, 0);
    }
}

static void random_batches(struct world *w, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        struct rows rows[SEQUENCES + PROMPTS];
        int64_t S = 0, first = (int64_t)next_random(w, SEQUENCES),
                step_by = next_random(w, 2) ? 1 : 2;
        for (int64_t j = 0; j < SEQUENCES; j++) {
            int64_t sequence = (first + j * step_by) % SEQUENCES;
            if (next_random(w, 4) == 0) continue;
            int64_t prefix = prefix_of(w, sequence), own = w->own_tokens[sequence];
            int64_t at = (int64_t)next_random(w, (uint64_t)own), kind = (int64_t)next_random(w, 8);
            int64_t most = kind < 5 ? 1 : kind < 7 ? 6 : 40;
            int64_t rows_n = own - at < most ? own - at : most;
            rows[S++] = (struct rows){sequence, prefix + at, rows_n};
        }
        if (S > 0) step(w, rows, S, sizes[next_random(w, sizeof sizes / sizeof *sizes)], 0);
    }
}

static void check_norm(struct world *w, const char *name)
{
    double error = sqrt(w->error / w->norm), most = w->s.act == DTYPE_ID_F32 ? 1e-5 : 3e-3;
    print_message("%s: %s H %d G %d E %d cap %g window %d prefix %lld own %lld: error %.2g of %g\n",
                  name, dtype_name(w->s.act), (int)w->s.H, (int)w->s.G, (int)w->s.E,
                  (double)w->s.softcap, (int)w->s.window, (long long)w->s.prefix,
                  (long long)w->s.own, error, most);
    assert_true(error <= most);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct setup setups[] = {
        {DTYPE_ID_F32, 2, 2, 8, 0, 0, 17, 37, RANDOM, 0},
        {DTYPE_ID_F32, 4, 1, 24, 30, 0, 0, 135, RANDOM, 0},
        {DTYPE_ID_F32, 2, 1, 128, 0, 20, 130, 20, RANDOM, 0},
        {DTYPE_ID_F32, 1, 1, 256, 0, 0, 16, 20, RANDOM, 0},
        {DTYPE_ID_BF16, 2, 1, 8, 0, 0, 1, 34, RANDOM, 0},
        {DTYPE_ID_BF16, 4, 4, 16, 0, 0, 15, 33, RANDOM, 0},
        {DTYPE_ID_BF16, 4, 1, 64, 0, 0, 300, 130, RANDOM, 0},
        {DTYPE_ID_BF16, 8, 1, 80, 50, 0, 16, 20, RANDOM, 0},
        {DTYPE_ID_BF16, 3, 1, 96, 0, 0, 17, 31, RANDOM, 0},
        {DTYPE_ID_BF16, 4, 2, 128, 0, 0, 257, 9, RANDOM, 0},
        {DTYPE_ID_BF16, 2, 1, 256, 20, 40, 60, 30, RANDOM, 0},
        {DTYPE_ID_BF16, 1, 1, 16, 0, 0, 1100, 530, RANDOM, 0},
        {DTYPE_ID_F16, 2, 1, 32, 0, 0, 128, 129, RANDOM, 0},
        {DTYPE_ID_F16, 2, 2, 40, 0, 130, 270, 40, RANDOM, 0},
        {DTYPE_ID_F16, 20, 1, 16, 0, 7, 40, 12, RANDOM, 0},
    };
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        struct world w = begin(setups[i]);
        decode_batches(&w);
        chunk_batches(&w, i % 2 ? 5 : 11);
        random_batches(&w, 6);
        check_norm(&w, "shape");
        end(&w);
    }
}

static void test_edges(void **state)
{
    (void)state;
    static const int64_t edges[] = {0, 15, 16, 31, 32, 127, 128, 143};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (enum dtype act = DTYPE_ID_F32; act <= DTYPE_ID_F16; act++) {
            struct world w =
                begin((struct setup){act, 2, 1, 16, 0, 0, 144, 150, DOMINANT, edges[i]});
            decode_batches(&w);
            random_batches(&w, 2);
            check_norm(&w, "one key");
            end(&w);
        }
}

static void test_scores(void **state)
{
    (void)state;
    for (enum numbers numbers = EQUAL; numbers <= LARGE; numbers++)
        for (enum dtype act = DTYPE_ID_F32; act <= DTYPE_ID_F16; act++) {
            struct world w = begin((struct setup){act, 4, 2, 32, 0, 0, 131, 33, numbers, 0});
            decode_batches(&w);
            chunk_batches(&w, 7);
            check_norm(&w, numbers == EQUAL ? "equal scores" : "large scores");
            end(&w);
        }
}

/* What a slot holds before anything is rounded to 16 bits. */
static void test_before_rounding(void **state)
{
    (void)state;
    for (enum dtype act = DTYPE_ID_BF16; act <= DTYPE_ID_F16; act++) {
        struct world w = begin((struct setup){act, 4, 1, 64, 0, 0, 140, 20, RANDOM, 0});
        struct rows rows = {0, length_of(&w, 0) - 1, 1};
        struct segment segment;
        int64_t T = make_segments(&w, &segment, &rows, 1);
        struct {
            struct k_attention_head head;
            struct k_attention_item item;
        } data = {
            {0, 1, 0, 0},
            {.n_tokens = 1, .end = INT32_MAX, .step = 1, .to = ATTENTION_TO_SLOT, .slots = 1}};
        struct attention_plan plan = {.grid = {.narrow = 1, .narrow_tokens = 1},
                                      .n_slots = 1,
                                      .data = (int32_t *)(void *)&data,
                                      .bytes = sizeof data};
        float slots[4][66];
        free(run(&w, &rows, &segment, 1, T, &plan, &slots[0][0]));
        for (int64_t h = 0; h < 4; h++) {
            double want[64];
            oracle(&w, want, 0, rows.first, h);
            for (int64_t e = 0; e < 64; e++) {
                double d = (double)slots[h][2 + e] / (double)slots[h][1] - want[e];
                w.error += d * d;
                w.norm += want[e] * want[e];
            }
        }
        print_message("before rounding to %s: error %.2g of 1e-05\n", dtype_name(act),
                      sqrt(w.error / w.norm));
        assert_true(sqrt(w.error / w.norm) <= 1e-5);
        end(&w);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct k_attention wrong[] = {
        {4, 2, 12, 1, 0, 0}, {4, 2, 264, 1, 0, 0}, {4, 3, 16, 1, 0, 0}, {2, 0, 16, 1, 0, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(k_attention_prepare(DTYPE_ID_BF16, wrong[i]), cudaErrorInvalidValue);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_refused), cmocka_unit_test(test_before_rounding),
    cmocka_unit_test(test_shapes),  cmocka_unit_test(test_edges),
    cmocka_unit_test(test_scores),
};

RUN_KERNEL_TESTS(tests)
