/* Reward heads on the golden hidden states: gate and reward as PyTorch computed them from the same
 * vectors (tests/golden/make_models.py). */
#include "base/mem.h"
#include "decode/reward.h"
#include "decode/reward_head.h"
#include "ref/plain_backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MODELS    TESTS_DIR "/golden/models/"
#define SEQUENCES 4

static float *golden(struct safetensors *s, const char *name, int i, int64_t n)
{
    char *full = mem_printf("%s_%d", name, i);
    const struct tensor_info *t = NULL;
    struct err e = {{0}};
    if (safetensors_get(s, full, 1, &n, &t, &e) < 0) fail_msg("%s", e.text);
    float *x = mem_calloc((size_t)n, sizeof *x);
    assert_int_equal(safetensors_read(s, t, 0, 1, 0, n, x, &e), 0);
    free(full);
    return x;
}

static void close_to(float got, float want)
{
    if (fabs((double)got - (double)want) > 2e-6 * fmax(1.0, fabs((double)want)))
        fail_msg("%.9g, expected %.9g", (double)got, (double)want);
}

static void check_gate(struct safetensors *s, const struct arch *a, const struct head_weights *h,
                       int i, float *gate)
{
    float *hidden = golden(s, "gate_hidden", i, a->D),
          *want = golden(s, "gate", i, a->n_objectives);
    assert_int_equal(reward_head_gate(a, h, hidden, gate), 0);
    double sum = 0;
    for (int64_t k = 0; k < a->n_objectives; k++) {
        close_to(gate[k], want[k]);
        sum += (double)gate[k];
    }
    assert_true(fabs(sum - (double)h->gate_logit_scale) < 1e-6);
    hidden[0] = NAN;
    assert_int_equal(reward_head_gate(a, h, hidden, want), -1);
    free(hidden);
    free(want);
}

static void rewards(void **state)
{
    (void)state;
    static const char *const names[] = {"rm_llama",  "rm_mistral", "rm_qwen2",     "rm_qwen3",
                                        "rm_gemma2", "rm_armo",    "rm_two_layer", "rm_eurus"};
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        char *folder = mem_printf(MODELS "%s", names[m]),
             *file = mem_printf("%s/golden.safetensors", folder);
        struct err e = {{0}};
        struct arch a;
        struct shard sh;
        struct weights w;
        struct plain_backend p;
        plain_backend_init(&p, DTYPE_ID_F32);
        struct safetensors *s = safetensors_open_file(file, &e);
        assert_true(s && arch_open(&a, folder, &e) == 0 && shard_make(&sh, &a, 1, 0, &e) == 0);
        assert_int_equal(weights_open(&w, &p.b, &a, &sh, folder, NULL, &e), 0);
        for (int i = 0; i < SEQUENCES; i++) {
            float gate[64] = {0}, *hidden = golden(s, "hidden", i, a.D),
                  *reward = golden(s, "reward", i, 1);
            if (a.head == HEAD_GATED) check_gate(s, &a, &w.head, i, gate);
            float got = reward_head_apply(&a, &w.head, hidden, gate);
            close_to(got, reward[0]);
            assert_true(got == reward_head_apply(&a, &w.head, hidden, gate));
            hidden[a.D - 1] = NAN;
            assert_true(isnan(reward_head_apply(&a, &w.head, hidden, gate)));
            free(hidden);
            free(reward);
        }
        weights_close(&w, &a);
        safetensors_close(s);
        free(file);
        free(folder);
    }
}

/* Two large terms that cancel: the small one between them survives, as it would not in f32. */
static void sums_in_double(void **state)
{
    (void)state;
    float linear[] = {1e8f, 1.0f, -1e8f}, hidden[] = {1.0f, 1.0f, 1.0f};
    struct arch a = {.head = HEAD_SCORE, .D = 3};
    struct head_weights h = {.linear = linear, .linear_bias = 0.5f};
    assert_true(reward_head_apply(&a, &h, hidden, NULL) == 1.5f);
}

static void an_overflow_is_no_reward(void **state)
{
    (void)state;
    float linear[] = {3e38f, 3e38f}, hidden[] = {1.0f, 1.0f}, lower[] = {-1.0f, -1.0f};
    struct arch a = {.head = HEAD_SCORE, .D = 2};
    struct head_weights h = {.linear = linear};
    assert_true(isnan(reward_head_apply(&a, &h, hidden, NULL)));
    assert_true(isnan(reward_head_apply(&a, &h, lower, NULL)));
    hidden[1] = 0;
    assert_true(reward_head_apply(&a, &h, hidden, NULL) == 3e38f);
    hidden[1] = INFINITY;
    assert_true(isnan(reward_head_apply(&a, &h, hidden, NULL)));
    assert_true(reward_self(-10.0, 10) < 0 && isnan(reward_self(-1e6, 10)));
}

static void gate_row(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 7, 8, 9, 2, 7, 8, 9, 3, 7, 8};
    assert_int_equal(reward_head_gate_row(ids, 11, (int32_t[]){7, 8, 9}, 3), 5);
    assert_int_equal(reward_head_gate_row(ids, 11, (int32_t[]){7, 8}, 2), 9);
    assert_int_equal(reward_head_gate_row(ids, 11, (int32_t[]){1}, 1), 0);
    assert_int_equal(reward_head_gate_row(ids, 11, (int32_t[]){9, 1}, 2), -1);
    assert_int_equal(reward_head_gate_row(ids, 2, (int32_t[]){7, 8, 9}, 3), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rewards), cmocka_unit_test(sums_in_double),
                                       cmocka_unit_test(an_overflow_is_no_reward),
                                       cmocka_unit_test(gate_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
