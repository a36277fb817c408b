#include "decode/reward_head.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Eight sums of every eighth product: one after another they would wait for each other. */
static double dot(const float *x, const float *y, int64_t n)
{
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int64_t j = 0; j < 8; j++) sum[j] += (double)x[i + j] * (double)y[i + j];
    for (int64_t j = 0; i + j < n; j++) sum[j] += (double)x[i + j] * (double)y[i + j];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* out [n_out] = w [n_out, n_in] x + bias, then ReLU where asked. */
static void dense(float *out, const float *w, const float *bias, const float *x, int64_t n_out,
                  int64_t n_in, bool relu)
{
    for (int64_t i = 0; i < n_out; i++) {
        double y = dot(w + i * n_in, x, n_in) + (bias ? (double)bias[i] : 0.0);
        out[i] = (float)(relu && y < 0 ? 0.0 : y);
    }
}

int64_t reward_head_gate_row(const int32_t *ids, int64_t n, const int32_t *pattern,
                             int64_t n_pattern)
{
    for (int64_t i = n - n_pattern; i >= 0; i--)
        if (!memcmp(ids + i, pattern, (size_t)n_pattern * sizeof *ids)) return i;
    return -1;
}

/* x [n] = softmax(x / temperature) * scale */
static int scaled_softmax(float *x, int64_t n, double temperature, double scale)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp(((double)x[i] - largest) / temperature);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(exp(((double)x[i] - largest) / temperature) / sum * scale);
    return isfinite(sum) ? 0 : -1;
}

int reward_head_gate(const struct arch *a, const struct head_weights *h, const float *prompt_hidden,
                     float *gate)
{
    int64_t widest = a->gate_hidden > a->n_objectives ? a->gate_hidden : a->n_objectives, n = a->D;
    float *x = mem_calloc((size_t)widest, sizeof *x), *y = mem_calloc((size_t)widest, sizeof *y);
    const float *in = prompt_hidden;
    for (int64_t l = 0; l < a->gate_layers; l++) {
        bool last = l + 1 == a->gate_layers;
        int64_t out = last ? a->n_objectives : a->gate_hidden;
        float *to = in == x ? y : x;
        dense(to, h->gate[l], h->gate_bias[l], in, out, n, !last);
        in = to;
        n = out;
    }
    memcpy(gate, in, (size_t)a->n_objectives * sizeof *gate);
    free(x);
    free(y);
    return scaled_softmax(gate, a->n_objectives, (double)a->gate_temperature,
                          (double)h->gate_logit_scale);
}

static float apply_two_layer(const struct arch *a, const struct head_weights *h,
                             const float *hidden)
{
    float *x = mem_calloc((size_t)a->D, sizeof *x);
    dense(x, h->dense1, h->dense1_bias, hidden, a->D, a->D, true);
    double y = dot(h->dense2, x, a->D) + (double)h->dense2_bias;
    free(x);
    return (float)y;
}

static float apply_gated(const struct arch *a, const struct head_weights *h, const float *hidden,
                         const float *gate)
{
    int64_t n = a->n_objectives;
    float *objective = mem_calloc((size_t)n, sizeof *objective);
    dense(objective, h->objectives, NULL, hidden, n, a->D, false);
    double score = 0;
    for (int64_t i = 0; i < n; i++) {
        double adjusted = 0; /* (objective transform)_i: column i */
        for (int64_t j = 0; j < n; j++)
            adjusted += (double)objective[j] * (double)h->objective_transform[j * n + i];
        score += (double)gate[i] * adjusted;
    }
    free(objective);
    return (float)score;
}

static float apply(const struct arch *a, const struct head_weights *h, const float *hidden,
                   const float *gate)
{
    switch (a->head) {
    case HEAD_SCORE:
    case HEAD_EURUS:
        return (float)(dot(h->linear, hidden, a->D) + (double)h->linear_bias);
    case HEAD_TWO_LAYER:
        return apply_two_layer(a, h, hidden);
    case HEAD_GATED:
        return apply_gated(a, h, hidden, gate);
    case HEAD_CAUSAL_LM:
        break;
    }
    DIE("%s has no reward head", a->name);
}

float reward_head_apply(const struct arch *a, const struct head_weights *h, const float *hidden,
                        const float *gate)
{
    float reward = apply(a, h, hidden, gate);
    return isfinite(reward) ? reward : NAN;
}
