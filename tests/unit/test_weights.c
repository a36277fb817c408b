/* Weights of every fixture against a plain reading of its files: each rank's slices, KV heads held
 * twice, padding, tied embeddings, storage types; what is refused; random models that do not depend
 * on the split. */
#include "base/mem.h"
#include "model/weights.h"
#include "ref/plain_backend.h"
#include "ref/temp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODELS TESTS_DIR "/golden/models/"

/* A whole tensor as f32; caller frees.  Found with and without "model.". */
static float *whole(struct safetensors *s, const char *name, int64_t *cols)
{
    char *full = mem_printf("model.%s", name);
    const struct tensor_info *t = safetensors_find(s, full);
    if (!t) t = safetensors_find(s, name);
    if (!t) fail_msg("no tensor %s", name);
    free(full);
    int64_t rows = t->n_dims == 2 ? t->shape[0] : 1;
    *cols = t->shape[t->n_dims - 1];
    size_t n = (size_t)(rows * *cols);
    void *raw = mem_calloc(n, dtype_bytes(t->dtype));
    float *out = mem_calloc(n, sizeof *out);
    struct err e = {{0}};
    assert_int_equal(safetensors_read(s, t, 0, rows, 0, *cols, raw, &e), 0);
    dtype_widen(out, raw, t->dtype, n);
    free(raw);
    return out;
}

/* got [n_rows, n_cols] is that part of the tensor. */
static void check_part(struct safetensors *s, const char *name, const float *got, int64_t row,
                       int64_t n_rows, int64_t col, int64_t n_cols)
{
    int64_t cols;
    float *t = whole(s, name, &cols);
    for (int64_t r = 0; r < n_rows; r++)
        assert_memory_equal(got + r * n_cols, t + (row + r) * cols + col,
                            (size_t)n_cols * sizeof *t);
    free(t);
}

static void check_layer(struct safetensors *s, const struct arch *a, const struct shard *sh,
                        int64_t l, const struct layer_weights *y)
{
    char n[96];
    int64_t E = a->E, q = sh->H_local * E, kv = sh->G_local * E, D = a->D;
#define NAME(suffix) (snprintf(n, sizeof n, "layers.%d." suffix, (int)l), n)
    assert_true(y->qkv->finished && y->qkv->N == q + 2 * kv && y->qkv->K == D);
    check_part(s, NAME("self_attn.q_proj.weight"), y->qkv->rows, sh->head_begin * E, q, 0, D);
    check_part(s, NAME("self_attn.k_proj.weight"), y->qkv->rows + q * D, sh->kv_begin * E, kv, 0,
               D);
    check_part(s, NAME("self_attn.v_proj.weight"), y->qkv->rows + (q + kv) * D, sh->kv_begin * E,
               kv, 0, D);
    check_part(s, NAME("self_attn.o_proj.weight"), y->o->rows, 0, D, sh->head_begin * E, q);
    check_part(s, NAME("mlp.gate_proj.weight"), y->gate_up->rows, sh->ffn_begin, sh->F_local, 0, D);
    check_part(s, NAME("mlp.up_proj.weight"), y->gate_up->rows + sh->F_local * D, sh->ffn_begin,
               sh->F_local, 0, D);
    check_part(s, NAME("mlp.down_proj.weight"), y->down->rows, 0, D, sh->ffn_begin, sh->F_local);
    check_part(s, NAME("input_layernorm.weight"), y->attention_norm, 0, 1, 0, D);
    if (a->post_norms) {
        check_part(s, NAME("post_attention_layernorm.weight"), y->post_attention_norm, 0, 1, 0, D);
        check_part(s, NAME("pre_feedforward_layernorm.weight"), y->mlp_norm, 0, 1, 0, D);
        check_part(s, NAME("post_feedforward_layernorm.weight"), y->post_mlp_norm, 0, 1, 0, D);
    } else {
        check_part(s, NAME("post_attention_layernorm.weight"), y->mlp_norm, 0, 1, 0, D);
        assert_true(!y->post_attention_norm && !y->post_mlp_norm);
    }
    if (a->qk_norm) {
        check_part(s, NAME("self_attn.q_norm.weight"), y->q_norm, 0, 1, 0, E);
        check_part(s, NAME("self_attn.k_norm.weight"), y->k_norm, 0, 1, 0, E);
    }
    assert_int_equal(y->q_norm != NULL, a->qk_norm);
    assert_int_equal(y->qkv_bias != NULL, a->qkv_bias);
    if (a->qkv_bias) {
        check_part(s, NAME("self_attn.q_proj.bias"), y->qkv_bias, 0, 1, sh->head_begin * E, q);
        check_part(s, NAME("self_attn.k_proj.bias"), y->qkv_bias + q, 0, 1, sh->kv_begin * E, kv);
        check_part(s, NAME("self_attn.v_proj.bias"), y->qkv_bias + q + kv, 0, 1, sh->kv_begin * E,
                   kv);
    }
#undef NAME
}

static void check_head(struct safetensors *s, const struct arch *a, const struct head_weights *h)
{
    int64_t D = a->D, n = a->n_objectives;
    if (a->head == HEAD_SCORE) check_part(s, "score.weight", h->linear, 0, 1, 0, D);
    if (a->head == HEAD_EURUS) check_part(s, "regression_head.weight", h->linear, 0, 1, 0, D);
    if (a->head == HEAD_TWO_LAYER) {
        check_part(s, "score.0.weight", h->dense1, 0, D, 0, D);
        check_part(s, "score.0.bias", h->dense1_bias, 0, 1, 0, D);
        check_part(s, "score.2.weight", h->dense2, 0, 1, 0, D);
        check_part(s, "score.2.bias", &h->dense2_bias, 0, 1, 0, 1);
    }
    if (a->head == HEAD_GATED) {
        check_part(s, "regression_layer.weight", h->objectives, 0, n, 0, D);
        check_part(s, "reward_transform_matrix", h->objective_transform, 0, n, 0, n);
        check_part(s, "gating.layers.0.weight", h->gate[0], 0, a->gate_hidden, 0, D);
        check_part(s, "gating.layers.3.bias", h->gate_bias[3], 0, 1, 0, n);
        assert_true(h->gate_logit_scale == 1.25f);
    }
}

static void check_model(const char *name, int64_t P)
{
    struct err e = {{0}};
    char *folder = mem_printf(MODELS "%s", name);
    struct safetensors *s = safetensors_open(folder, &e);
    struct arch a;
    assert_true(s && arch_open(&a, folder, &e) == 0);
    for (int64_t rank = 0; rank < P; rank++) {
        struct plain_backend p;
        struct shard sh;
        struct weights w;
        plain_backend_init(&p, DTYPE_ID_F32);
        assert_int_equal(shard_make(&sh, &a, P, rank, &e), 0);
        if (weights_open(&w, &p.b, &a, &sh, folder, NULL, &e) < 0) fail_msg("%s: %s", name, e.text);
        for (int64_t l = 0; l < a.L; l++) check_layer(s, &a, &sh, l, &w.layers[l]);
        check_part(s, "norm.weight", w.final_norm, 0, 1, 0, a.D);
        check_part(s, "embed_tokens.weight", w.embedding, sh.vocab_begin, sh.V_rows, 0, a.D);
        check_head(s, &a, &w.head);
        assert_int_equal(w.lm_head != NULL, a.head == HEAD_CAUSAL_LM);
        if (w.lm_head) {
            assert_true(w.lm_head->finished && w.lm_head->N == sh.V_local);
            check_part(s, a.tied ? "embed_tokens.weight" : "lm_head.weight", w.lm_head->rows,
                       sh.vocab_begin, sh.V_rows, 0, a.D);
            for (int64_t i = sh.V_rows * a.D; i < sh.V_local * a.D; i++)
                assert_true(w.lm_head->rows[i] == 0);
        }
        char hash[33];
        safetensors_hash(s, hash);
        assert_string_equal(w.hash, hash);
        weights_close(&w, &a);
        assert_int_equal(p.live, 0);
    }
    safetensors_close(s);
    free(folder);
}

/* Of a checkpoint that loads, the headers alone are no cause for complaint. */
static void no_complaint(void *arg, const struct err *e)
{
    fail_msg("%s: %s", (const char *)arg, e->text);
}

static void check_headers(const char *name)
{
    struct err e = {{0}};
    struct weights_found found;
    struct arch a;
    char *folder = mem_printf(MODELS "%s", name);
    struct safetensors *s = safetensors_open(folder, &e);
    assert_true(s && arch_open(&a, folder, &e) == 0);
    assert_int_equal(weights_check(&a, folder, no_complaint, (void *)(uintptr_t)name, &found, &e),
                     0);
    assert_int_equal(found.n_tensors, safetensors_count(s));
    assert_true(found.bytes >= 2 * (size_t)arch_n_parameters(&a));
    safetensors_close(s);
    free(folder);
}

static void slices(void **state)
{
    (void)state;
    static const char *const names[] = {
        "llama31",  "llama2",    "llama_linear", "smollm2",      "mistral_window", "mistral_nemo",
        "qwen2",    "qwen3",     "gemma2",       "rm_llama",     "rm_mistral",     "rm_qwen2",
        "rm_qwen3", "rm_gemma2", "rm_armo",      "rm_two_layer", "rm_eurus"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int64_t P = 1; P <= 4; P *= 2) check_model(names[i], P);
        check_headers(names[i]);
    }
    check_model("llama31", 8);
}

/* The embedding of a BF16 or F16 backend: to nearest, and as stored where the types agree. */
static void storage_types(void **state)
{
    (void)state;
    static const char *const names[] = {"llama2", "smollm2", "mistral_window"}; /* F32, BF16, F16 */
    static const enum dtype types[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16};
    for (int i = 0; i < 9; i++) {
        struct err e = {{0}};
        char *folder = mem_printf(MODELS "%s", names[i % 3]);
        enum dtype type = types[i / 3];
        struct plain_backend p;
        struct arch a;
        struct shard sh;
        struct weights w;
        plain_backend_init(&p, type);
        assert_int_equal(arch_open(&a, folder, &e), 0);
        assert_int_equal(shard_make(&sh, &a, 1, 0, &e), 0);
        assert_int_equal(weights_open(&w, &p.b, &a, &sh, folder, NULL, &e), 0);
        struct safetensors *s = safetensors_open(folder, &e);
        int64_t cols, n = a.V * a.D;
        float *exact = whole(s, "embed_tokens.weight", &cols),
              *got = mem_calloc((size_t)n, sizeof *got);
        dtype_widen(got, w.embedding, type, (size_t)n);
        /* half a unit in the last place of 8 or 11 bits; F16's smallest step is 2^-24 */
        double ulp = type == DTYPE_ID_F32 ? 0 : type == DTYPE_ID_BF16 ? 0x1p-9 : 0x1p-12;
        for (int64_t k = 0; k < n; k++)
            assert_true(fabs((double)got[k] - (double)exact[k]) <=
                        fmax(ulp * 2 * fabs((double)exact[k]), ulp ? 0x1p-25 : 0));
        if (types[i % 3] == type) assert_memory_equal(got, exact, (size_t)n * sizeof *got);
        free(exact);
        free(got);
        safetensors_close(s);
        weights_close(&w, &a);
        free(folder);
    }
}

/* ---- refused ---- */

struct complaints {
    const char *part;
    int n, with_part;
};

static void count_complaint(void *arg, const struct err *e)
{
    struct complaints *c = arg;
    c->n++;
    c->with_part += strstr(e->text, c->part) != NULL;
}

/* What the headers alone show of the same folder: exactly that. */
static void expect_complaint(const struct arch *a, const char *folder, const char *part)
{
    struct complaints c = {.part = part};
    struct weights_found found;
    struct err e = {{0}};
    if (weights_check(a, folder, count_complaint, &c, &found, &e) < 0)
        assert_non_null(strstr(e.text, part));
    else if (c.with_part < 1)
        fail_msg("%s: no word of '%s' among %d complaints", folder, part, c.n);
}

/* Open `folder`'s weights as fixture's architecture; must fail with `part`, leaving nothing
 * allocated. */
static void expect_refused(const struct arch *a, const char *folder, const char *part)
{
    struct plain_backend p;
    struct shard sh;
    struct weights w;
    struct err e = {{0}};
    plain_backend_init(&p, DTYPE_ID_F32);
    assert_int_equal(shard_make(&sh, a, 1, 0, &e), 0);
    int rc = weights_open(&w, &p.b, a, &sh, folder, NULL, &e);
    if (rc == 0 || !strstr(e.text, part))
        fail_msg("rc %d, message: %s, expected: %s", rc, e.text, part);
    assert_int_equal(p.live, 0);
}

/* A fixture with the first `from` in its header replaced by `to`, of the same length. */
static char *edited(const char *name, const char *from, const char *to)
{
    char *folder = temp_folder(), *fixture = mem_printf(MODELS "%s", name);
    temp_copy(fixture, folder);
    size_t n;
    char *bytes = temp_read(folder, "model.safetensors", &n);
    char *at = memmem(bytes, n, from, strlen(from));
    assert_true(at && strlen(from) == strlen(to));
    memcpy(at, to, strlen(to));
    temp_write(folder, "model.safetensors", bytes, n);
    free(bytes);
    free(fixture);
    return folder;
}

static void expect_both(const struct arch *a, const char *folder, const char *part)
{
    expect_refused(a, folder, part);
    expect_complaint(a, folder, part);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *fixture, *from, *to, *part;
    } cases[] = {
        {"llama2", "layers.1.mlp.up_proj", "layers.1.mlp.no_proj",
         "'model.layers.1.mlp.no_proj.weight' is not part of a LlamaForCausalLM"},
        {"llama2", "layers.2.input", "layers.7.input",
         "'model.layers.7.input_layernorm.weight' is not part of a LlamaForCausalLM of 3 layers"},
        {"llama2", "\"lm_head.weight", "\"no_head.weight",
         "tensor 'lm_head.weight' is missing, expected with shape [131, 32]"},
        {"llama2", "model.norm.weight", "model.form.weight",
         "tensor 'model.norm.weight' is missing"},
        {"llama2", "model.embed_tokens", "model.embed_tokenz",
         "tensor 'model.embed_tokens.weight' is missing"},
        {"rm_llama", "\"score.weight", "\"scare.weight",
         "tensor 'score.weight' is missing, expected with shape [1, 32]"},
        {"rm_eurus", "regression_head", "regression_tail",
         "tensor 'regression_head.weight' is missing"},
        {"rm_two_layer", "score.2.bias", "score.3.bias", "tensor 'score.2.bias' is missing"},
        {"rm_armo", "gating.logit_scale", "gating.logit_score",
         "tensor 'gating.logit_scale' is missing"},
        {"rm_armo", "gating.layers.2.weight", "gating.layers.9.weight",
         "tensor 'gating.layers.2.weight' is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arch a;
        struct err e = {{0}};
        char *folder = edited(cases[i].fixture, cases[i].from, cases[i].to);
        assert_int_equal(arch_open(&a, folder, &e), 0);
        expect_both(&a, folder, cases[i].part);
        temp_remove(folder);
    }
    struct arch a;
    struct err e = {{0}};
    assert_int_equal(arch_open(&a, MODELS "qwen2", &e), 0);
    a.F = 128;
    expect_both(
        &a, MODELS "qwen2",
        "tensor 'model.layers.0.mlp.gate_proj.weight' has shape [64, 32], expected [128, 32]");
    assert_int_equal(arch_open(&a, MODELS "qwen2", &e), 0);
    a.qkv_bias = false; /* a bias that would be ignored */
    expect_both(&a, MODELS "qwen2", "_proj.bias' is not part of");
    assert_int_equal(arch_open(&a, MODELS "gemma2", &e), 0);
    expect_both(&a, "/nonexistent", "No such file");
}

/* The last number of every tensor, one after the other, made infinite or NaN: refused with that
 * tensor's name. */
static void not_finite(void **state)
{
    (void)state;
    static const char *const names[] = {"rm_two_layer", "rm_qwen3",
                                        "mistral_window"}; /* F32, BF16, F16 */
    static const uint32_t bad[] = {0x7fc00000u, 0xff80u, 0x7c00u};
    for (int i = 0; i < 3; i++) {
        char *folder = temp_folder(), *fixture = mem_printf(MODELS "%s", names[i]);
        temp_copy(fixture, folder);
        struct arch a;
        struct err e = {{0}};
        assert_int_equal(arch_open(&a, folder, &e), 0);
        struct safetensors *s = safetensors_open(folder, &e);
        assert_non_null(s);
        size_t n, elem = i ? 2 : 4, end = 0;
        char *bytes = temp_read(folder, "model.safetensors", &n);
        for (size_t t = 0; t < safetensors_count(s); t++) { /* in order of their offsets */
            const struct tensor_info *x = safetensors_at(s, t);
            size_t count = (size_t)x->shape[0] * (size_t)(x->n_dims == 2 ? x->shape[1] : 1);
            if (t == 0) {
                uint64_t header;
                memcpy(&header, bytes, 8);
                end = 8 + header;
            }
            end += count * elem;
            char saved[4];
            memcpy(saved, bytes + end - elem, elem);
            memcpy(bytes + end - elem, &bad[i], elem); /* little endian */
            temp_write(folder, "model.safetensors", bytes, n);
            char *part = mem_printf("tensor '%s' is not finite at row %lld, column %lld", x->name,
                                    (long long)(x->n_dims == 2 ? x->shape[0] - 1 : 0),
                                    (long long)(x->shape[x->n_dims - 1] - 1));
            expect_refused(&a, folder, part);
            free(part);
            memcpy(bytes + end - elem, saved, elem);
        }
        assert_true(end == n);
        safetensors_close(s);
        temp_remove(folder);
        free(fixture);
        free(bytes);
    }
}

/* Memory runs out at the n-th allocation, for every n: an error each time, nothing left behind. */
static void no_memory(void **state)
{
    (void)state;
    struct err e = {{0}};
    struct arch a;
    struct shard sh;
    assert_int_equal(arch_open(&a, MODELS "qwen2", &e), 0);
    assert_int_equal(shard_make(&sh, &a, 2, 1, &e), 0);
    for (int64_t n = 0;; n++) {
        struct plain_backend p;
        struct weights w;
        plain_backend_init(&p, DTYPE_ID_BF16);
        p.allow = n;
        int rc = weights_open(&w, &p.b, &a, &sh, MODELS "qwen2", NULL, &e);
        if (rc == 0) weights_close(&w, &a);
        assert_int_equal(p.live, 0);
        if (rc == 0) {
            assert_int_equal(n,
                             2 + 2 * (4 + 3) +
                                 1); /* vocabulary; matrices and vectors of two layers; last norm */
            return;
        }
        assert_non_null(strstr(e.text, "no memory"));
    }
}

/* ---- random models ---- */

static struct arch medium(void)
{
    struct arch a = {.family = FAMILY_QWEN2,
                     .name = "Qwen2ForCausalLM",
                     .D = 96,
                     .L = 2,
                     .H = 8,
                     .G = 2,
                     .E = 12,
                     .F = 64,
                     .V = 203,
                     .qkv_bias = true,
                     .window_every = 1,
                     .attention_scale = 1};
    return a;
}

static void open_random(struct plain_backend *p, struct weights *w, const struct arch *a, int64_t P,
                        int64_t rank, uint64_t seed)
{
    struct err e = {{0}};
    struct shard sh;
    plain_backend_init(p, DTYPE_ID_F32);
    assert_int_equal(shard_make(&sh, a, P, rank, &e), 0);
    assert_int_equal(weights_random(w, &p->b, a, &sh, seed, &e), 0);
}

/* Every split is a cut of the same model. */
static void random_is_one_model(void **state)
{
    (void)state;
    struct arch a = medium();
    struct plain_backend p1, p4;
    struct weights one, w;
    open_random(&p1, &one, &a, 1, 0, 42);
    int64_t D = a.D, E = a.E;
    for (int64_t P = 2; P <= 4; P *= 2)
        for (int64_t rank = 0; rank < P; rank++) {
            struct shard sh;
            struct err e;
            assert_int_equal(shard_make(&sh, &a, P, rank, &e), 0);
            open_random(&p4, &w, &a, P, rank, 42);
            const struct layer_weights *x = &one.layers[1], *y = &w.layers[1];
            int64_t q = sh.H_local * E, kv = sh.G_local * E;
            size_t row = (size_t)D * sizeof(float);
            assert_memory_equal(y->qkv->rows, x->qkv->rows + sh.head_begin * E * D,
                                (size_t)q * row);
            assert_memory_equal(y->qkv->rows + q * D,
                                x->qkv->rows + (a.H * E + sh.kv_begin * E) * D, (size_t)kv * row);
            assert_memory_equal(y->gate_up->rows, x->gate_up->rows + sh.ffn_begin * D,
                                (size_t)sh.F_local * row);
            for (int64_t r = 0; r < D; r++) {
                assert_memory_equal(y->o->rows + r * q,
                                    x->o->rows + r * a.H * E + sh.head_begin * E, (size_t)q * 4);
                assert_memory_equal(y->down->rows + r * sh.F_local,
                                    x->down->rows + r * a.F + sh.ffn_begin, (size_t)sh.F_local * 4);
            }
            assert_memory_equal(w.lm_head->rows, one.lm_head->rows + sh.vocab_begin * D,
                                (size_t)sh.V_rows * row);
            assert_memory_equal(w.embedding, (float *)one.embedding + sh.vocab_begin * D,
                                (size_t)sh.V_rows * row);
            assert_string_equal(w.hash, one.hash);
            weights_close(&w, &a);
            assert_int_equal(p4.live, 0);
        }
    for (int64_t i = 0; i < D; i++)
        assert_true(one.layers[0].attention_norm[i] == 1.0f && one.final_norm[i] == 1.0f);
    weights_close(&one, &a);
    /* Another seed is another model, with another identity; Gemma stores its norms as w - 1. */
    open_random(&p1, &one, &a, 1, 0, 42);
    open_random(&p4, &w, &a, 1, 0, 43);
    assert_memory_not_equal(w.lm_head->rows, one.lm_head->rows, 64);
    assert_string_not_equal(w.hash, one.hash);
    weights_close(&w, &a);
    a.norm_offset = 1.0f;
    open_random(&p4, &w, &a, 1, 0, 43);
    assert_true(w.final_norm[0] == 0.0f);
    weights_close(&w, &a);
    weights_close(&one, &a);
}

/* Mean 0, deviation 0.02, no correlation between neighbours of a row, of a column, or of two
 * tensors. */
static void random_is_normal(void **state)
{
    (void)state;
    struct arch a = medium();
    a.D = 256;
    a.V = 1024;
    struct plain_backend p;
    struct weights w;
    open_random(&p, &w, &a, 1, 0, 7);
    const float *x = w.lm_head->rows, *y = w.embedding;
    int64_t n = a.V * a.D, within = 0;
    double sum = 0, square = 0, along = 0, across = 0, between = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i] / 0.02;
        sum += v;
        square += v * v;
        along += v * (double)x[(i + 1) % n] / 0.02;
        across += v * (double)x[(i + a.D) % n] / 0.02;
        between += v * (double)y[i] / 0.02;
        within += fabs(v) < 1;
    }
    double sigma = 1 / sqrt((double)n), N = (double)n;
    assert_true(fabs(sum / N) < 5 * sigma);
    assert_true(fabs(square / N - 1) < 5 * sqrt(2.0) * sigma);
    assert_true(fabs(along / N) < 5 * sigma && fabs(across / N) < 5 * sigma &&
                fabs(between / N) < 5 * sigma);
    assert_true(fabs((double)within / N - 0.6745) < 0.02); /* 0.6827 for a normal */
    weights_close(&w, &a);
}

static void random_heads(void **state)
{
    (void)state;
    static const char *const names[] = {"rm_llama", "rm_armo", "rm_two_layer",
                                        "rm_eurus", "gemma2",  "qwen3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *folder = mem_printf(MODELS "%s", names[i]);
        struct arch a;
        struct err e;
        struct plain_backend p;
        struct weights w;
        assert_int_equal(arch_open(&a, folder, &e), 0);
        open_random(&p, &w, &a, 1, 0, 1);
        if (a.head == HEAD_GATED) {
            assert_true(w.head.gate_logit_scale == 1.0f && w.head.objective_transform[20] == 1.0f &&
                        w.head.objective_transform[1] == 0.0f);
            assert_true(w.head.objectives[3] != 0 && w.head.gate[3][0] != 0);
        }
        if (a.head == HEAD_SCORE || a.head == HEAD_EURUS) assert_true(w.head.linear[0] != 0);
        weights_close(&w, &a);
        assert_int_equal(p.live, 0);
        free(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices),           cmocka_unit_test(storage_types),
        cmocka_unit_test(refused),          cmocka_unit_test(not_finite),
        cmocka_unit_test(no_memory),        cmocka_unit_test(random_is_one_model),
        cmocka_unit_test(random_is_normal), cmocka_unit_test(random_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
