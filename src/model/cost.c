#include "model/cost.h"

#include <math.h>

static double matrix_parameters(const struct arch *a) /* of all layers */
{
    double q = (double)(a->H * a->E), kv = 2.0 * (double)(a->G * a->E), D = (double)a->D;
    return (double)a->L * ((q + kv) * D + D * q + 3.0 * (double)a->F * D);
}

/* Norms and biases, f32 on every rank; qkv columns of one rank. */
static int64_t vector_parameters(const struct arch *a, int64_t qkv)
{
    int64_t layer =
        (a->post_norms ? 4 : 2) * a->D + (a->qkv_bias ? qkv : 0) + (a->qk_norm ? 2 * a->E : 0);
    return a->L * layer + a->D;
}

/* The matrices of all layers, as stored: one with `qkv` rows, the others H_E and F wide. */
static size_t matrix_bytes(const struct arch *a, enum dtype dtype, int64_t qkv, int64_t H_E,
                           int64_t F)
{
    size_t layer = dtype_matrix_bytes(dtype, qkv, a->D) + dtype_matrix_bytes(dtype, a->D, H_E) +
                   dtype_matrix_bytes(dtype, 2 * F, a->D) + dtype_matrix_bytes(dtype, a->D, F);
    return (size_t)a->L * layer;
}

size_t cost_weight_bytes(const struct arch *a, const struct shard *s, enum dtype dtype)
{
    int64_t qkv = (s->H_local + 2 * s->G_local) * a->E;
    int64_t rows = s->V_rows + (a->head == HEAD_CAUSAL_LM ? s->V_local : 0);
    return matrix_bytes(a, dtype, qkv, s->H_local * a->E, s->F_local) +
           (size_t)(rows * a->D) * dtype_bytes(dtype_beside(dtype)) +
           (size_t)vector_parameters(a, qkv) * sizeof(float);
}

static int64_t largest(int64_t a, int64_t b, int64_t c)
{
    int64_t most = a > b ? a : b;
    return (most > c ? most : c) + 15; /* multiples of 16 */
}

size_t cost_product_bytes(const struct arch *a, const struct shard *s, enum dtype dtype,
                          int64_t rows)
{
    if (dtype != DTYPE_ID_FP8) return 0;
    int64_t qkv = (s->H_local + 2 * s->G_local) * a->E;
    int64_t K = largest(a->D, s->H_local * a->E, s->F_local) / 16 * 16,
            N = largest(qkv, a->D, 2 * s->F_local) / 16 * 16;
    return (size_t)rows * ((size_t)K + (size_t)(N + 1) * sizeof(float));
}

size_t cost_kv_token_bytes(const struct arch *a, const struct shard *s, size_t elem)
{
    return (size_t)(2 * a->L * s->G_local * a->E) * elem;
}

double cost_row_flops(const struct arch *a)
{
    return 2.0 * matrix_parameters(a);
}
double cost_logits_flops(const struct arch *a)
{
    return 2.0 * (double)a->V * (double)a->D;
}

/* Layers whose attention is limited to the window. */
static double windowed_layers(const struct arch *a)
{
    return a->window ? (double)((a->L + a->window_every - 1) / a->window_every) : 0.0;
}

static double min2(double x, double y)
{
    return x < y ? x : y;
}

/* Keys of all layers that a row over n keys reads. */
static double keys_of_row(const struct arch *a, double n)
{
    double windowed = windowed_layers(a);
    double seen = a->window ? min2(n, (double)a->window) : n;
    return ((double)a->L - windowed) * n + windowed * seen;
}

/* q.k and p.v: 2 x 2 FLOPs per key and element of a query head. */
static double key_flops(const struct arch *a)
{
    return 4.0 * (double)(a->H * a->E);
}

double cost_attention_flops(const struct arch *a, int64_t n_keys)
{
    return key_flops(a) * keys_of_row(a, (double)n_keys);
}

/* All weights but the embedding table, of which only the step's rows are touched. */
static double step_weight_bytes(const struct arch *a, enum dtype dtype, bool with_logits)
{
    int64_t qkv = (a->H + 2 * a->G) * a->E, vectors = vector_parameters(a, qkv);
    size_t matrices = matrix_bytes(a, dtype, qkv, a->H * a->E, a->F);
    size_t logits = with_logits ? (size_t)(a->V * a->D) * dtype_bytes(dtype_beside(dtype)) : 0;
    return (double)(matrices + logits) + (double)vectors * sizeof(float);
}

static double kv_layer_token_bytes(const struct arch *a, enum dtype dtype)
{
    return 2.0 * (double)(a->G * a->E) * (double)dtype_bytes(dtype_beside(dtype));
}

struct cost cost_prefill(const struct arch *a, enum dtype dtype, int64_t p, int64_t n,
                         int64_t n_logits)
{
    double keys = 0; /* rows p .. p + n - 1 see p + 1 .. p + n keys */
    for (int64_t i = 1; i <= n; i++) keys += keys_of_row(a, (double)(p + i));
    double kv = kv_layer_token_bytes(a, dtype), L = (double)a->L;
    /* The first row's window reaches furthest back; the rest is read and written once. */
    double before = keys_of_row(a, (double)(p + 1)) - L;
    return (struct cost){
        .flops = (double)n * cost_row_flops(a) + key_flops(a) * keys +
                 (double)n_logits * cost_logits_flops(a),
        .bytes = step_weight_bytes(a, dtype, n_logits > 0) + kv * (before + 2.0 * L * (double)n),
    };
}

struct cost cost_decode(const struct arch *a, enum dtype dtype, int64_t B, int64_t P, int64_t own)
{
    double sequences = (double)B, mean = B ? (double)own / sequences : 0.0, L = (double)a->L;
    double keys = keys_of_row(a, (double)P + mean); /* of one sequence */
    double own_keys = keys_of_row(a, mean);
    double kv = kv_layer_token_bytes(a, dtype);
    return (struct cost){
        .flops = sequences * (cost_row_flops(a) + cost_logits_flops(a) + key_flops(a) * keys),
        /* the prompt's part once for all, own tokens once each, and this step's token written */
        .bytes =
            step_weight_bytes(a, dtype, true) + kv * (keys - own_keys + sequences * (own_keys + L)),
    };
}

double cost_decode_floor_s(const struct arch *a, enum dtype dtype, int64_t B, int64_t P,
                           int64_t own, double bytes_per_s, double flops_per_s)
{
    struct cost weights = cost_decode(a, dtype, 0, 0, 0), all = cost_decode(a, dtype, B, P, own);
    double matrix_flops = (double)B * (cost_row_flops(a) + cost_logits_flops(a));
    double kv = kv_layer_token_bytes(a, dtype), prompt_keys = keys_of_row(a, (double)P);
    double prompt_bytes = kv * prompt_keys, own_bytes = all.bytes - weights.bytes - prompt_bytes;
    double prompt_flops = (double)B * key_flops(a) * prompt_keys;
    return fmax(weights.bytes / bytes_per_s, matrix_flops / flops_per_s) +
           fmax(prompt_bytes / bytes_per_s, prompt_flops / flops_per_s) +
           fmax(own_bytes, 0.0) / bytes_per_s;
}
