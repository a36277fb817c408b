/* Time of the ops that make up a step: useful GFLOP/s and GB/s of weights for each number of rows,
 * attention over a shared prompt and own tokens (GB/s: of keys and values, the prompt's once),
 * sampling.
 *
 *     bench_ops [threads [f32|bf16]]
 *
 * Times are processor time over the threads, so that a busy machine does not blur them; best of
 * several. */
#include "backend/backend.h"
#include "base/mem.h"
#include "ref/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double processor_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *tensor(struct backend *b, int64_t n, uint64_t seed)
{
    float *x = b->ops->alloc(b, (size_t)n * sizeof *x);
    if (!x) DIE("out of memory");
    fill_random(x, n, seed);
    return x;
}

static void bench_gemm(struct backend *b, int threads, int64_t N, int64_t K)
{
    static const int64_t sizes[] = {1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256, 512};
    struct err e = {{0}};
    float *x = tensor(b, 512 * K, 1), *out = tensor(b, 512 * N, 2), *rows = tensor(b, N * K, 3);
    struct weight *w = b->ops->weight_create(b, b->dtype, N, K, &e);
    if (!w || b->ops->weight_fill(b, w, rows, DTYPE_ID_F32, N, &e) < 0 ||
        b->ops->weight_finish(b, w, &e) < 0)
        DIE("%s", e.text);
    b->ops->free(b, rows);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double best = 1e9, work = (double)sizes[i] * (double)N * (double)K;
        for (int k = 0; k < (work > 1e9 ? 3 : 8); k++) {
            double start = processor_s();
            b->ops->gemm(b, out, DTYPE_ID_F32, x, w, NULL, sizes[i]);
            double s = (processor_s() - start) / threads;
            if (s < best) best = s;
        }
        printf("gemm %5lld x %4lld, %3lld rows: %9.1f us %7.1f GFLOP/s %6.1f GB/s\n", (long long)N,
               (long long)K, (long long)sizes[i], best * 1e6, 2 * work / best * 1e-9,
               (double)b->ops->weight_bytes(w) / best * 1e-9);
    }
    b->ops->weight_destroy(b, w);
    b->ops->free(b, x);
    b->ops->free(b, out);
}

/* Decode: S sequences with one row each, a shared prefix and own tokens. */
static void bench_attention(struct backend *b, int threads, struct attention_params p, int64_t S,
                            int64_t prefix, int64_t own)
{
    struct err e = {{0}};
    int64_t own_pages = pages_of(own), n = pages_of(prefix) + S * own_pages,
            stride = (p.H + 2 * p.G) * p.E;
    struct kv_pool *kv = b->ops->kv_create(b, (struct kv_shape){1, p.G, p.E, p.H}, n, &e);
    if (!kv) DIE("%s", e.text);
    int32_t *pages = mem_calloc((size_t)n, sizeof *pages),
            *position = mem_calloc((size_t)S, sizeof *position);
    struct segment *segments = mem_calloc((size_t)S, sizeof *segments);
    for (int64_t i = 0; i < n; i++) pages[i] = (int32_t)i;
    for (int64_t s = 0; s < S; s++) {
        position[s] = (int32_t)(prefix + own - 1);
        segments[s] = (struct segment){
            pages, prefix, pages + pages_of(prefix) + s * own_pages, position[s], s, 1};
    }
    struct batch batch = {.position = position, .segments = segments, .T = S, .S = S};
    float *qkv = tensor(b, S * stride, 1), *out = tensor(b, S * p.H * p.E, 2);
    double best = 1e9, flops = 4.0 * (double)(S * p.H * p.E) * (double)(prefix + own);
    b->ops->batch_begin(b, kv, &batch);
    for (int k = 0; k < 5; k++) {
        double start = processor_s();
        b->ops->attention(b, out, qkv, kv, &p);
        double s = (processor_s() - start) / threads;
        if (s < best) best = s;
    }
    double bytes = 2.0 * (double)((prefix + S * own) * p.G * p.E) *
                   (double)dtype_bytes(dtype_beside(b->dtype));
    printf("attention H %lld G %lld E %lld, %3lld sequences, %lld + %lld keys: %9.1f us %7.1f "
           "GFLOP/s %6.1f GB/s\n",
           (long long)p.H, (long long)p.G, (long long)p.E, (long long)S, (long long)prefix,
           (long long)own, best * 1e6, flops / best * 1e-9, bytes / best * 1e-9);
    b->ops->kv_destroy(b, kv);
    b->ops->free(b, qkv);
    b->ops->free(b, out);
    free(pages);
    free(position);
    free(segments);
}

static void bench_sample(struct backend *b, int threads, struct sample_params p, int64_t S)
{
    p.V_local = p.V;
    float *x = tensor(b, S * p.V, 1), *logprob = mem_calloc((size_t)S, sizeof *logprob);
    struct draw *draws = mem_calloc((size_t)S, sizeof *draws);
    int32_t *token = mem_calloc((size_t)S, sizeof *token);
    for (int64_t i = 0; i + 6 < S * p.V; i++)
        x[i] = 2 * (x[i] + x[i + 1] + x[i + 2] + x[i + 3] + x[i + 4] + x[i + 5]);
    for (int64_t s = 0; s < S; s++) draws[s].candidate = (uint32_t)s;
    double best = 1e9;
    for (int k = 0; k < 5; k++) {
        double start = processor_s();
        b->ops->sample(b, x, S, &p, draws, token, logprob);
        double s = (processor_s() - start) / threads;
        if (s < best) best = s;
    }
    printf("sample %lld rows of %lld, temperature %.1f top-k %lld top-p %.2f min-p %.2f: %9.1f us, "
           "%5.2f ns an id\n",
           (long long)S, (long long)p.V, (double)p.temperature, (long long)p.top_k, (double)p.top_p,
           (double)p.min_p, best * 1e6, best * 1e9 / (double)(S * p.V));
    b->ops->free(b, x);
    free(logprob);
    free(draws);
    free(token);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct err e = {{0}};
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    bool bf16 = argc > 2 && strcmp(argv[2], "bf16") == 0;
    struct backend *b = backend_cpu_create(world, bf16 ? DTYPE_ID_BF16 : DTYPE_ID_F32, threads, &e);
    if (!b) DIE("%s", e.text);
    printf("%s, %s, %s, %s, %d threads\n", b->device, b->isa, b->versions, dtype_name(b->dtype),
           threads);
    static const int64_t shapes[][2] = {
        {2304, 768}, {768, 768}, {4096, 768}, {768, 2048}, {32000, 768}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        bench_gemm(b, threads, shapes[i][0], shapes[i][1]);
    static const int64_t sequences[] = {1, 16, 64, 256};
    for (size_t i = 0; i < 4; i++)
        for (int64_t own = 1; own <= 256; own = own == 1 ? 64 : 4 * own) {
            bench_attention(b, threads, (struct attention_params){12, 12, 64, 0, 0.125f, 0, 0},
                            sequences[i], 256, own);
            bench_attention(b, threads, (struct attention_params){32, 8, 128, 0, 0.09f, 0, 0},
                            sequences[i], 256, own);
        }
    static const struct sample_params filters[] = {{1, 0, 1, 0, 32000, 0, 0},
                                                   {1, 50, 1, 0, 32000, 0, 0},
                                                   {1, 0, 0.9f, 0, 32000, 0, 0},
                                                   {1, 50, 0.9f, 0.05f, 32000, 0, 0}};
    for (size_t i = 0; i < 4; i++) bench_sample(b, threads, filters[i], 128);
    backend_destroy(b);
    comm_stop(world);
    return 0;
}
