/* Costs against numbers worked out by hand from the shapes of published models. */
#include "model/cost.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arch llama3_8b(void)
{
    struct arch a = {.family = FAMILY_LLAMA,
                     .head = HEAD_CAUSAL_LM,
                     .name = "LlamaForCausalLM",
                     .D = 4096,
                     .L = 32,
                     .H = 32,
                     .G = 8,
                     .E = 128,
                     .F = 14336,
                     .V = 128256,
                     .window_every = 1};
    return a;
}

static struct shard shard_of(const struct arch *a, int64_t P)
{
    struct shard s;
    struct err e = {{0}};
    assert_int_equal(shard_make(&s, a, P, 0, &e), 0);
    return s;
}

/* By hand: a layer has 4096 x (4096 + 2 x 1024 + 4096) + 3 x 4096 x 14336 = 218,103,808 in
 * matrices, 32 layers 6,979,321,856; the vocabulary projection 128256 x 4096 = 525,336,576; norms
 * 65 x 4096 = 266,240. */
#define LAYERS 6979321856.0
#define VOCAB  525336576.0
#define NORMS  266240.0

static void llama_8b(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    struct shard one = shard_of(&a, 1);
    assert_true((double)arch_n_parameters(&a) ==
                LAYERS + 2 * VOCAB + NORMS); /* 8,030,261,248 as published */
    assert_int_equal(arch_n_parameters(&a), 8030261248);
    assert_true(cost_row_flops(&a) == 2 * LAYERS);
    assert_true(cost_logits_flops(&a) == 2 * VOCAB);
    assert_int_equal(llround((cost_row_flops(&a) + cost_logits_flops(&a)) / 1e7),
                     1501); /* 15.01 GFLOP a token */
    assert_int_equal(cost_kv_token_bytes(&a, &one, 2), 128 << 10);
    assert_true(cost_attention_flops(&a, 1) == 524288.0);
    assert_int_equal(cost_weight_bytes(&a, &one, DTYPE_ID_BF16),
                     (size_t)(2 * (LAYERS + 2 * VOCAB) + 4 * NORMS));

    struct cost step = cost_decode(&a, DTYPE_ID_BF16, 0, 0, 0); /* the weights alone */
    assert_true(step.bytes == 2 * (LAYERS + VOCAB) + 4 * NORMS);
    assert_int_equal(llround(step.bytes / 1e7), 1501); /* 15.01 GB a step */
    assert_true(step.flops == 0);
}

/* B = 64 sequences over a shared prompt of 512 with 512 own tokens each. */
static void decode_step(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    struct cost c = cost_decode(&a, DTYPE_ID_BF16, 64, 512, 64 * 512);
    double weights = 2 * (LAYERS + VOCAB) + 4 * NORMS, kv = 131072.0;
    assert_true(c.flops == 64 * (2 * LAYERS + 2 * VOCAB + 524288.0 * 1024));
    assert_true(c.bytes ==
                weights + kv * (512 + 64 * 512 + 64)); /* prompt once, own tokens, the new ones */
}

static void prefill(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    struct cost c = cost_prefill(&a, DTYPE_ID_BF16, 0, 100, 1);
    double keys = 100 * 101 / 2;
    assert_true(c.flops == 100 * 2 * LAYERS + 524288.0 * keys + 2 * VOCAB);
    assert_true(c.bytes == 2 * (LAYERS + VOCAB) + 4 * NORMS + 131072.0 * 200);
    /* A text in two pieces attends to as many keys; weights are read twice, and the first piece's
     * keys again. */
    struct cost p = cost_prefill(&a, DTYPE_ID_BF16, 0, 60, 0),
                q = cost_prefill(&a, DTYPE_ID_BF16, 60, 40, 1);
    assert_true(p.flops + q.flops == c.flops);
    assert_true(p.bytes + q.bytes == c.bytes + 2 * LAYERS + 4 * NORMS + 131072.0 * 60);
}

/* Gemma 2: every second layer sees 4096 keys at most. */
static void window(void **state)
{
    (void)state;
    struct arch a = {.family = FAMILY_GEMMA2,
                     .head = HEAD_CAUSAL_LM,
                     .D = 64,
                     .L = 3,
                     .H = 4,
                     .G = 2,
                     .E = 16,
                     .F = 32,
                     .V = 100,
                     .window = 8,
                     .window_every = 2,
                     .tied = true,
                     .post_norms = true};
    double key = 4.0 * 4 * 16, kv = 2.0 * 2 * 16 * 4; /* FLOPs, bytes f32, of a key in a layer */
    assert_true(cost_attention_flops(&a, 5) == key * 15);
    assert_true(cost_attention_flops(&a, 20) == key * (20 + 2 * 8));
    struct cost none = cost_decode(&a, DTYPE_ID_F32, 0, 0, 0);
    struct cost c =
        cost_decode(&a, DTYPE_ID_F32, 2, 10, 6); /* 3 own each: the window holds 5 of the prompt */
    assert_true(c.bytes - none.bytes == kv * (10 + 2 * 5 + 2 * (3 * 3) + 2 * 3));
    assert_true(c.flops == 2 * (cost_row_flops(&a) + cost_logits_flops(&a) + key * (13 + 2 * 8)));
}

/* Shares of all ranks: matrices add up to the model's, vectors are on every rank, KV heads are held
 * twice at P = 16. */
static void shares(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    for (int64_t P = 1; P <= 16; P *= 2) {
        struct shard s = shard_of(&a, P);
        double kv_more = P == 16 ? 32.0 * 2 * 1024 * 4096 : 0;
        double all = (double)cost_weight_bytes(&a, &s, DTYPE_ID_BF16) * (double)P;
        assert_true(all == 2 * (LAYERS + 2 * VOCAB + kv_more) + 4 * NORMS * (double)P);
        assert_int_equal(cost_kv_token_bytes(&a, &s, 2) * (size_t)P, (P == 16 ? 256 : 128) << 10);
    }
    a.head = HEAD_SCORE; /* no vocabulary projection */
    struct shard s = shard_of(&a, 1);
    assert_true((double)cost_weight_bytes(&a, &s, DTYPE_ID_BF16) ==
                2 * (LAYERS + VOCAB) + 4 * NORMS);
}

/* A byte for each number of the layers' matrices and four for each row of them: 32 x (6144 + 4096 +
 * 28672 + 4096) = 1,376,256 rows.  The rest as in bf16. */
#define ROWS 1376256.0

static void fp8(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    struct shard one = shard_of(&a, 1), two = shard_of(&a, 2);
    assert_true((double)cost_weight_bytes(&a, &one, DTYPE_ID_FP8) ==
                LAYERS + 4 * ROWS + 2 * 2 * VOCAB + 4 * NORMS);
    /* o and down have all their rows on every rank */
    assert_true(2 * (double)cost_weight_bytes(&a, &two, DTYPE_ID_FP8) ==
                LAYERS + 4 * (ROWS + 32 * 2 * 4096) + 2 * 2 * VOCAB + 2 * 4 * NORMS);
    struct cost step = cost_decode(&a, DTYPE_ID_FP8, 64, 512, 64 * 512),
                bf16 = cost_decode(&a, DTYPE_ID_BF16, 64, 512, 64 * 512);
    assert_true(step.flops == bf16.flops);
    assert_true(bf16.bytes - step.bytes == LAYERS - 4 * ROWS);
    assert_int_equal(dtype_matrix_bytes(DTYPE_ID_FP8, 17, 5), 32 * (16 + 4)); /* padded */
    /* 1024 rows of down's 14336 and their scales, and gate_up's 28672 sums */
    assert_int_equal(cost_product_bytes(&a, &one, DTYPE_ID_FP8, 1024),
                     1024 * (14336 + 4 + 4 * 28672));
    assert_int_equal(cost_product_bytes(&a, &one, DTYPE_ID_BF16, 1024), 0);
    assert_int_equal(dtype_matrix_bytes(DTYPE_ID_BF16, 17, 5), 17 * 5 * 2);
}

/* Llama-3-8B in bf16 on 4.8 TB/s and 790 TFLOP/s with 512 shared and 512 own tokens: 317 tokens/s
 * at B = 1 and 15.8k at 64, where weights and own tokens bound it; 29.9k at 256, by the matrices.
 * At 1 it is 15.01e9 / 4.8e12 + 2 * 512 * 131072 / 4.8e12 = 3.155 ms. */
static void floor_of_a_step(void **state)
{
    (void)state;
    struct arch a = llama3_8b();
    static const struct {
        int64_t B;
        double tokens_per_s;
    } want[] = {{1, 317}, {64, 15.8e3}, {256, 29.9e3}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        int64_t B = want[i].B;
        double s = cost_decode_floor_s(&a, DTYPE_ID_BF16, B, 512, B * 512, 4.8e12, 790e12);
        assert_true(fabs((double)B / s / want[i].tokens_per_s - 1) < 0.005);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_8b),        cmocka_unit_test(decode_step), cmocka_unit_test(prefill),
        cmocka_unit_test(window),          cmocka_unit_test(shares),      cmocka_unit_test(fp8),
        cmocka_unit_test(floor_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
