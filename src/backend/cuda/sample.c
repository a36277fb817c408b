/* The end of a step: the sampler's stages (sample.h) with the ranks' exchanges between them. */
#include "sample.h"
#include "cuda.h"

#include <string.h>

static void exchange(struct cuda *cuda, const struct k_exchange *x)
{
    switch (x->kind) {
    case K_EXCHANGE_NONE:
        break;
    case K_EXCHANGE_GATHER:
        NCCL_CHECK(
            ncclAllGather(x->send, x->receive, x->bytes, ncclUint8, cuda->ranks, cuda->stream));
        break;
    case K_EXCHANGE_SUM: /* of integers: exact in any order */
        NCCL_CHECK(ncclAllReduce(x->send, x->receive, x->bytes / sizeof(uint64_t), ncclUint64,
                                 ncclSum, cuda->ranks, cuda->stream));
        break;
    }
}

void cuda_draw(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
               const struct cuda_draws *draws, int32_t *token, float *logprob)
{
    struct cuda *cuda = cuda_of(b);
    struct k_sample k = {.logits = logits,
                         .S = S,
                         .temperature = p->temperature,
                         .top_k = p->top_k,
                         .top_p = p->top_p,
                         .min_p = p->min_p,
                         .V = p->V,
                         .vocab_begin = p->vocab_begin,
                         .V_local = p->V_local,
                         .ranks = comm_size(b->tensor),
                         .draws = draws->draws,
                         .draw_position = draws->position,
                         .given = draws->given,
                         .token = token,
                         .logprob = logprob};
    k.workspace = cuda_need(b, &cuda->sample, k_sample_workspace(&k));
    for (int i = 0; i < k_sample_stages(&k); i++) {
        struct k_exchange x = {.kind = K_EXCHANGE_NONE};
        CUDA_CHECK(k_sample_stage(&k, i, &x, cuda->stream));
        if (cuda->ranks) exchange(cuda, &x);
    }
}

/* draws or given, [S] host, go to the device; token and logprob come back. */
static void run(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                const struct draw *draws, const int32_t *given, int32_t *token, float *logprob)
{
    size_t n = (size_t)S;
    if (S == 0) return;
    char *memory =
        cuda_need(b, &cuda_of(b)->sample_io, n * (sizeof *draws + sizeof *token + sizeof *logprob));
    struct draw *device_draws = (struct draw *)(void *)memory;
    int32_t *numbers = (int32_t *)(void *)(memory + n * sizeof *draws);
    float *device_logprob = (float *)(void *)(numbers + n);
    if (draws) cuda_upload(b, device_draws, draws, n * sizeof *draws);
    if (given) cuda_upload(b, numbers, given, n * sizeof *given);
    struct cuda_draws d = {.draws = device_draws, .given = given ? numbers : NULL};
    cuda_draw(b, logits, S, p, &d, given ? NULL : numbers, device_logprob);
    if (token) cuda_download(b, token, numbers, n * sizeof *token);
    cuda_download(b, logprob, device_logprob, n * sizeof *logprob);
}

void cuda_sample(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                 const struct draw *draws, int32_t *token, float *logprob)
{
    run(b, logits, S, p, draws, NULL, token, logprob);
}

void cuda_logprob(struct backend *b, const float *logits, int64_t S, const struct sample_params *p,
                  const int32_t *token, float *logprob)
{
    run(b, logits, S, p, NULL, token, NULL, logprob);
}
