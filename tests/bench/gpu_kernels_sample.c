/* Time of sampling and of log-probabilities, all stages of one rank, beside the time to read the
 * logits once: see gpu_bench.h. */
#include "gpu_bench.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "sample.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 1048573 /* of the block of logits that is repeated: a prime */

struct filter {
    const char *name;
    float temperature;
    int64_t top_k;
    float top_p, min_p;
    bool given; /* log-probabilities of given tokens, nothing is drawn */
};

static const struct filter filters[] = {
    {"sample greedy", 0, 0, 1, 0, false},
    {"sample", 1, 0, 1, 0, false},
    {"sample top-k 50", 1, 50, 1, 0, false},
    {"sample top-k 2000", 1, 2000, 1, 0, false},
    {"sample top-p 0.9", 1, 0, 0.9f, 0, false},
    {"sample top-k 50 top-p 0.9", 1, 50, 0.9f, 0, false},
    {"sample min-p 0.05", 1, 0, 1, 0.05f, false},
    {"log-probabilities", 0, 0, 1, 0, true},
};

static int launch(const void *arg, char *memory, int64_t turn, cudaStream_t stream)
{
    struct k_sample k = *(const struct k_sample *)arg;
    struct k_exchange exchange;
    (void)turn;
    k.logits = (const float *)(const void *)memory;
    for (int i = 0; i < k_sample_stages(&k); i++) {
        cudaError_t error = k_sample_stage(&k, i, &exchange, stream);
        if (error != cudaSuccess) return (int)error;
    }
    return 0;
}

static void measure(const struct gpu_bench *b, const struct filter *f, int64_t S)
{
    int64_t V = b->shape.V;
    struct draw *draws = mem_calloc((size_t)S, sizeof *draws);
    int32_t *given = mem_calloc((size_t)S, sizeof *given);
    for (int64_t s = 0; s < S; s++) {
        draws[s] = (struct draw){.seed = 1, .candidate = (uint32_t)s};
        given[s] = to_i32(s * 7919 % V);
    }
    struct k_sample k = {.S = S,
                         .temperature = f->temperature,
                         .top_k = f->top_k,
                         .top_p = f->top_p,
                         .min_p = f->min_p,
                         .V = V,
                         .V_local = V,
                         .ranks = 1,
                         .draws = gpu_bench_copy(draws, (size_t)S * sizeof *draws)};
    int32_t *tokens = gpu_bench_copy(given, (size_t)S * sizeof *given);
    if (f->given)
        k.given = tokens;
    else
        k.token = tokens;
    k.logprob = gpu_bench_copy(NULL, (size_t)S * sizeof *k.logprob);
    k.workspace = gpu_bench_copy(NULL, k_sample_workspace(&k));
    struct gpu_work w = {.name = f->name,
                         .rows = S,
                         .bytes = (double)(S * V) * sizeof(float),
                         .flops = 2 * (double)(S * V), /* an exponential and a sum */
                         .turn_bytes = gpu_bench_aligned((size_t)(S * V) * sizeof(float)),
                         .launch = launch,
                         .arg = &k};
    snprintf(w.shape, sizeof w.shape, "V %lld; %d stages", (long long)V, k_sample_stages(&k));
    gpu_bench_run(b, &w);
    CHECK(cudaFree((void *)(uintptr_t)k.draws));
    CHECK(cudaFree(tokens));
    CHECK(cudaFree(k.logprob));
    CHECK(cudaFree(k.workspace));
    free(draws);
    free(given);
}

/* Close to normal, of standard deviation 2.8. */
static float *logits_block(void)
{
    float *x = mem_calloc(NUMBERS, sizeof *x);
    uint32_t seed = 1;
    for (size_t i = 0; i < NUMBERS; i++)
        for (int k = 0; k < 6; k++) {
            seed = seed * 1664525u + 1013904223u;
            x[i] += 4.0f * ((float)(seed >> 8) / (float)(1 << 24) - 0.5f);
        }
    return x;
}

int main(int argc, char **argv)
{
    struct gpu_bench b;
    gpu_bench_begin(&b, argc, argv);
    float *block = logits_block();
    gpu_bench_fill(&b, block, NUMBERS * sizeof *block);
    free(block);
    printf(GPU_BENCH_HEADER);
    for (int i = 0; i < b.n_rows; i++)
        for (size_t f = 0; f < sizeof filters / sizeof *filters; f++)
            measure(&b, &filters[f], b.rows[i]);
    gpu_bench_end(&b);
    return 0;
}
