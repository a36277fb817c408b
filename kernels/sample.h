/* Sampling and log-probabilities on the device: what backend.h says of `sample` and `logprob`, with
 * the cpu's tokens and log-probabilities for the same logits, however many ranks share a row.
 *
 * The work is a short list of stages, the same for every input of one shape and one set of
 * parameters.  Between two stages the group's ranks exchange small records:
 *
 *     size_t bytes = k_sample_workspace(&k);             once; k.S = the most rows
 *     for (int i = 0; i < k_sample_stages(&k); i++) {
 *         struct k_exchange x;
 *         CUDA_CHECK(k_sample_stage(&k, i, &x, stream));
 *         if (x.kind == K_EXCHANGE_GATHER)
 *             ncclAllGather(x.send, x.receive, x.bytes, ncclUint8, ranks, stream);
 *         if (x.kind == K_EXCHANGE_SUM)
 *             ncclAllReduce(x.send, x.receive, x.bytes / 8, ncclUint64, ncclSum, ranks, stream);
 *     }
 *
 * Nothing is read back, so the whole list can be recorded in a graph.  Integer sums are exact in
 * any order.  With one rank there is nothing to exchange.
 *
 * What the stages are, and how often a rank reads its part of the logits:
 *     greedy, log-probabilities:       maximum | sum of weights | choice                     2
 * times no filter, or min-p alone:       maximum | sum of weights and race | choice            2
 *     top-k up to K_SAMPLE_LIST (and
 *     top-p on what it leaves):        maximum and the k best | sum of weights | choice      2
 *     top-p alone, greater top-k:      maximum | sums | search of the threshold, a stage for each
 *                                      10 bits of the order | race | choice        3 + about 2 or 3
 * The last kind's later search stages do nothing for a row whose threshold is found. */
#pragma once

#include "base/rng.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define K_SAMPLE_LIST 1024 /* the greatest top-k that travels as a list of candidates */

struct k_sample {
    const float *logits; /* [S, V_local] */
    int64_t S;
    /* struct sample_params.  V_local is the same on all ranks, and ids stay below 2^31. */
    float temperature;
    int64_t top_k;
    float top_p, min_p;
    int64_t V, vocab_begin, V_local;
    int ranks;                     /* of the tensor group, each in its place of its vocabulary */
    const struct draw *draws;      /* [S]; not read by greedy sampling */
    const uint32_t *draw_position; /* [S]: instead of draws[s].position; NULL: that */
    const int32_t *given;          /* [S]: log-probabilities of these tokens, and no sampling (the
                                      parameters but V, vocab_begin, V_local mean nothing); NULL: sample */
    void *workspace; /* k_sample_workspace bytes, aligned to 256, of this call alone */
    int32_t *token;  /* [S]: -1 where the logits hold NaN; NULL where `given` */
    float *logprob;  /* [S]: NaN where the logits hold NaN */
};

enum k_exchange_kind {
    K_EXCHANGE_NONE,
    K_EXCHANGE_GATHER, /* receive [ranks][bytes], by rank; `send` is not a part of it */
    K_EXCHANGE_SUM     /* uint64 [bytes / 8], in place: receive = send */
};

struct k_exchange {
    enum k_exchange_kind kind;
    void *send, *receive;
    size_t bytes; /* of `send` */
};

/* Enough for every S from 1 to k->S; pointers of *k are not looked at. */
size_t k_sample_workspace(const struct k_sample *k);
/* How many stages there are: depends on the parameters alone, not on S. */
int k_sample_stages(const struct k_sample *k);
/* Enqueues stage `stage` and says what the ranks exchange after it (never anything after the last).
 */
cudaError_t k_sample_stage(const struct k_sample *k, int stage, struct k_exchange *exchange,
                           cudaStream_t stream);

#ifdef __cplusplus
}
#endif
