#include "model/arch.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* config.json under its name, so that every message says where. */
struct config {
    json_t *root;
    const char *file;
};

static const struct {
    const char *name;
    enum family family;
    enum head_kind head;
} architectures[] = {
    {"LlamaForCausalLM", FAMILY_LLAMA, HEAD_CAUSAL_LM},
    {"MistralForCausalLM", FAMILY_MISTRAL, HEAD_CAUSAL_LM},
    {"Qwen2ForCausalLM", FAMILY_QWEN2, HEAD_CAUSAL_LM},
    {"Qwen3ForCausalLM", FAMILY_QWEN3, HEAD_CAUSAL_LM},
    {"Gemma2ForCausalLM", FAMILY_GEMMA2, HEAD_CAUSAL_LM},
    {"LlamaForSequenceClassification", FAMILY_LLAMA, HEAD_SCORE},
    {"MistralForSequenceClassification", FAMILY_MISTRAL, HEAD_SCORE},
    {"Qwen2ForSequenceClassification", FAMILY_QWEN2, HEAD_SCORE},
    {"Qwen3ForSequenceClassification", FAMILY_QWEN3, HEAD_SCORE},
    {"Gemma2ForSequenceClassification", FAMILY_GEMMA2, HEAD_SCORE},
    {"LlamaForRewardModelWithGating", FAMILY_LLAMA, HEAD_GATED},
    {"Qwen2ForRewardModel", FAMILY_QWEN2, HEAD_TWO_LAYER},
    {"EurusRewardModel", FAMILY_MISTRAL, HEAD_EURUS},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

#define FAMILIES                                                                                   \
    "Llama, Mistral, Qwen2, Qwen3, Gemma2 (ForCausalLM, ForSequenceClassification), "              \
    "LlamaForRewardModelWithGating, Qwen2ForRewardModel, EurusRewardModel"

static int read_architecture(struct arch *a, const struct config *c, struct err *e)
{
    const char *name =
        json_string_value(json_array_get(json_object_get(c->root, "architectures"), 0));
    if (!name)
        return err_set(e, "%s: key 'architectures' is missing; supported: " FAMILIES, c->file);
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        if (strcmp(name, architectures[i].name)) continue;
        a->family = architectures[i].family;
        a->head = architectures[i].head;
        strcpy(a->name, architectures[i].name);
        return 0;
    }
    return err_set(e, "%s: architecture '%.60s' is not supported; supported: " FAMILIES, c->file,
                   name);
}

/* ---- typed reads with a range ---- */

static int in_range(const struct config *c, const char *key, int64_t v, int64_t low, int64_t high,
                    struct err *e)
{
    if (v >= low && v <= high) return 0;
    return err_set(e, "%s: key '%s' is %lld, expected %lld to %lld", c->file, key, (long long)v,
                   (long long)low, (long long)high);
}

static int get_count(const struct config *c, const char *key, int64_t high, int64_t *out,
                     struct err *e)
{
    TRY(json_get_i64(c->root, c->file, key, out, e));
    return in_range(c, key, *out, 1, high, e);
}

static int get_count_or(const struct config *c, const char *key, int64_t high, int64_t fallback,
                        int64_t *out, struct err *e)
{
    TRY(json_get_i64_or(c->root, c->file, key, fallback, out, e));
    return in_range(c, key, *out, 1, high, e);
}

/* As above, and null means 0: a feature that is off.  An absent key means the family's default. */
static int get_count_or_off(const struct config *c, const char *key, int64_t high, int64_t fallback,
                            int64_t *out, struct err *e)
{
    const json_t *v = json_object_get(c->root, key);
    *out = 0;
    return v && json_is_null(v) ? 0 : get_count_or(c, key, high, fallback, out, e);
}

static int get_positive(const struct config *c, const json_t *obj, const char *key, double fallback,
                        double *out, struct err *e)
{
    TRY(json_get_f64_or(obj, c->file, key, fallback, out, e));
    if (*out > 0 && isfinite(*out)) return 0;
    return err_set(e, "%s: key '%s' is missing or not a positive number", c->file, key);
}

static int get_cap(const struct config *c, const char *key, double fallback, float *out,
                   struct err *e)
{
    const json_t *v = json_object_get(c->root, key);
    double cap = 0;
    if (!v || !json_is_null(v)) TRY(get_positive(c, c->root, key, fallback, &cap, e));
    *out = (float)cap;
    return 0;
}

/* ---- features that change the result and that this program does not have ---- */

static int refuse(const struct config *c, const char *key, const char *why, struct err *e)
{
    char *value = json_dumps(json_object_get(c->root, key), JSON_ENCODE_ANY | JSON_COMPACT);
    err_set(e, "%s: key '%s' is %.80s: %s", c->file, key, value ? value : "?", why);
    free(value);
    return -1;
}

static int refuse_if_true(const struct config *c, const char *key, const char *why, struct err *e)
{
    bool on;
    TRY(json_get_bool_or(c->root, c->file, key, false, &on, e));
    return on ? refuse(c, key, why, e) : 0;
}

static int refuse_if_present(const struct config *c, const char *key, const char *why,
                             struct err *e)
{
    const json_t *v = json_object_get(c->root, key);
    return v && !json_is_null(v) ? refuse(c, key, why, e) : 0;
}

/* A checkpoint that brings Python code (trust_remote_code): it is never run.  For these reward
 * models it is the only code there is, and what it computes is built in; elsewhere it may make
 * another model of a known name. */
static int refuse_code(const struct arch *a, const struct config *c, struct err *e)
{
    if (a->head == HEAD_GATED || a->head == HEAD_TWO_LAYER || a->head == HEAD_EURUS) return 0;
    return refuse_if_present(c, "auto_map",
                             "the checkpoint's own code is never run; if it computes what the "
                             "architecture's name says, remove the key",
                             e);
}

static int refuse_unsupported(const struct config *c, struct err *e)
{
    static const char *const present[][2] = {
        {"quantization_config",
         "quantised weights are not read; use the F32, F16 or BF16 checkpoint"},
        {"num_local_experts", "mixtures of experts are not supported"},
        {"num_experts", "mixtures of experts are not supported"},
        {"no_rope_layers", "layers without rotary embedding are not supported"},
        {"no_rope_layer_interval", "layers without rotary embedding are not supported"},
    };
    static const char *const truths[][2] = {
        {"mlp_bias", "a bias in the MLP is not supported"},
        {"use_bidirectional_attention", "only causal attention is supported"},
    };
    for (size_t i = 0; i < sizeof present / sizeof *present; i++)
        TRY(refuse_if_present(c, present[i][0], present[i][1], e));
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
        TRY(refuse_if_true(c, truths[i][0], truths[i][1], e));
    double partial;
    TRY(json_get_f64_or(c->root, c->file, "partial_rotary_factor", 1.0, &partial, e));
    if (partial != 1.0)
        return refuse(c, "partial_rotary_factor",
                      "only rotary embedding of whole heads is supported", e);
    return 0;
}

/* ---- sizes ---- */

static int read_sizes(struct arch *a, const struct config *c, struct err *e)
{
    TRY(get_count(c, "hidden_size", 1 << 20, &a->D, e));
    TRY(get_count(c, "num_hidden_layers", 1 << 12, &a->L, e));
    TRY(get_count(c, "num_attention_heads", 1 << 12, &a->H, e));
    TRY(get_count_or(c, "num_key_value_heads", 1 << 12, a->H, &a->G, e));
    TRY(get_count(c, "intermediate_size", 1 << 22, &a->F, e));
    TRY(get_count(c, "vocab_size", 1 << 24, &a->V, e));
    TRY(get_count(c, "max_position_embeddings", INT32_MAX, &a->max_positions, e));
    if (a->H % a->G)
        return err_set(e, "%s: num_attention_heads %lld is no multiple of num_key_value_heads %lld",
                       c->file, (long long)a->H, (long long)a->G);
    int64_t fallback = a->family == FAMILY_QWEN3 ? 128 : a->family == FAMILY_GEMMA2 ? 256 : 0;
    if (!fallback && !json_is_integer(json_object_get(c->root, "head_dim")) && a->D % a->H)
        return err_set(
            e,
            "%s: hidden_size %lld is no multiple of num_attention_heads %lld, and there is "
            "no head_dim",
            c->file, (long long)a->D, (long long)a->H);
    TRY(get_count_or(c, "head_dim", 1024, fallback ? fallback : a->D / a->H, &a->E, e));
    if (a->E % 2)
        return err_set(e, "%s: head_dim %lld is odd; rotary embedding needs pairs", c->file,
                       (long long)a->E);
    double eps;
    TRY(get_positive(c, c->root, "rms_norm_eps", 1e-6, &eps, e));
    a->rms_eps = (float)eps;
    return 0;
}

static int read_activation(struct arch *a, const struct config *c, struct err *e)
{
    bool gemma = a->family == FAMILY_GEMMA2;
    const char *key = gemma ? "hidden_activation" : "hidden_act", *name;
    TRY(json_get_str_or(c->root, c->file, key, gemma ? "gelu_pytorch_tanh" : "silu", &name, e));
    if (!strcmp(name, "silu") || !strcmp(name, "swish"))
        a->act = ACT_SILU;
    else if (!strcmp(name, "gelu_pytorch_tanh"))
        a->act = ACT_GELU_TANH;
    else if (!strcmp(name, "relu"))
        a->act = ACT_RELU;
    else
        return refuse(c, key, "supported: silu, gelu_pytorch_tanh, relu", e);
    return 0;
}

/* ---- rotary embedding ---- */

static int read_rope_llama3(struct arch *a, const struct config *c, const json_t *scaling,
                            struct err *e)
{
    a->rope.kind = ROPE_LLAMA3;
    TRY(get_positive(c, scaling, "factor", 0, &a->rope.factor, e));
    TRY(get_positive(c, scaling, "low_freq_factor", 0, &a->rope.low_freq_factor, e));
    TRY(get_positive(c, scaling, "high_freq_factor", 0, &a->rope.high_freq_factor, e));
    if (a->rope.high_freq_factor <= a->rope.low_freq_factor)
        return err_set(e, "%s: rope scaling: high_freq_factor must exceed low_freq_factor",
                       c->file);
    TRY(json_get_i64_or(scaling, c->file, "original_max_position_embeddings", a->max_positions,
                        &a->rope.original_max_positions, e));
    return in_range(c, "original_max_position_embeddings", a->rope.original_max_positions, 1,
                    INT32_MAX, e);
}

/* One set of parameters per layer type (Gemma 3) reads as "default" with objects inside. */
static int refuse_nested(const struct config *c, const json_t *p, struct err *e)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)p, key, v)
    {
        if (json_is_object(v))
            return err_set(e, "%s: rope parameters by layer type ('%s') are not supported", c->file,
                           key);
    }
    return 0;
}

/* Two layouts: rope_theta beside rope_scaling {type | rope_type, ...}; and rope_parameters
 * {rope_theta, rope_type, ...}. */
static int read_rope(struct arch *a, const struct config *c, struct err *e)
{
    static const char *const layouts[] = {"rope_scaling", "rope_parameters"};
    const json_t *p = NULL;
    for (int i = 0; i < 2 && !p; i++) {
        const json_t *v = json_object_get(c->root, layouts[i]);
        if (!v || json_is_null(v)) continue;
        if (!json_is_object(v)) return refuse(c, layouts[i], "expected an object", e);
        if (json_object_size(v)) p = v;
    }
    double theta, partial;
    TRY(get_positive(c, c->root, "rope_theta", 10000.0, &theta, e));
    a->rope.theta = theta;
    if (!p) return 0;
    TRY(get_positive(c, p, "rope_theta", theta, &a->rope.theta, e));
    TRY(json_get_f64_or(p, c->file, "partial_rotary_factor", 1.0, &partial, e));
    if (partial != 1.0)
        return err_set(
            e, "%s: partial_rotary_factor %g: only rotary embedding of whole heads is supported",
            c->file, partial);
    const char *kind;
    TRY(json_get_str_or(p, c->file, "type", "default", &kind, e));
    TRY(json_get_str_or(p, c->file, "rope_type", kind, &kind, e));
    if (!strcmp(kind, "default")) return refuse_nested(c, p, e);
    if (!strcmp(kind, "llama3")) return read_rope_llama3(a, c, p, e);
    if (strcmp(kind, "linear"))
        return err_set(
            e, "%s: rope scaling type '%.40s' is not supported; supported: default, linear, llama3",
            c->file, kind);
    a->rope.kind = ROPE_LINEAR;
    return get_positive(c, p, "factor", 0, &a->rope.factor, e);
}

/* ---- sliding window ---- */

/* layer_types, when given, decides which layers have the window; it must be a pattern "every k-th
 * from layer 0". */
static int read_layer_types(struct arch *a, const struct config *c, const json_t *types,
                            struct err *e)
{
    if (!json_is_array(types) || (int64_t)json_array_size(types) != a->L)
        return err_set(e, "%s: key 'layer_types' must list %lld layers", c->file, (long long)a->L);
    int64_t sliding = 0, every = 0;
    for (int64_t l = 0; l < a->L; l++) {
        const char *t = json_string_value(json_array_get(types, (size_t)l));
        bool slides = t && !strcmp(t, "sliding_attention");
        if (!slides && (!t || strcmp(t, "full_attention")))
            return err_set(e,
                           "%s: layer_types[%lld] is neither sliding_attention nor full_attention",
                           c->file, (long long)l);
        if (slides && sliding++ == 1) every = l;
    }
    if (!sliding) {
        a->window = 0;
        return 0;
    }
    a->window_every = sliding == 1 ? a->L : every;
    for (int64_t l = 0; l < a->L; l++) {
        const char *t = json_string_value(json_array_get(types, (size_t)l));
        if (!strcmp(t, "sliding_attention") != (l % a->window_every == 0))
            return err_set(e,
                           "%s: layer_types: the window must be on every layer, or on every k-th "
                           "from layer 0 on",
                           c->file);
    }
    return 0;
}

static int read_window(struct arch *a, const struct config *c, struct err *e)
{
    a->window_every = a->family == FAMILY_GEMMA2 ? 2 : 1;
    bool qwen = a->family == FAMILY_QWEN2 || a->family == FAMILY_QWEN3, use = true;
    if (qwen) TRY(json_get_bool_or(c->root, c->file, "use_sliding_window", false, &use, e));
    if (!use || a->family == FAMILY_LLAMA) return 0;
    TRY(get_count_or_off(c, "sliding_window", INT32_MAX, 4096, &a->window, e));
    if (!a->window || a->family == FAMILY_MISTRAL) return 0;
    const json_t *types = json_object_get(c->root, "layer_types");
    if (types && !json_is_null(types)) return read_layer_types(a, c, types, e);
    if (!qwen) return 0;
    int64_t full; /* the first layers, which have no window */
    TRY(json_get_i64_or(c->root, c->file, "max_window_layers", 28, &full, e));
    if (full >= a->L) a->window = 0;
    if (full > 0 && full < a->L)
        return refuse(c, "max_window_layers", "a window on the last layers only is not supported",
                      e);
    return 0;
}

/* ---- family and head ---- */

static int read_family(struct arch *a, const struct config *c, struct err *e)
{
    bool gemma = a->family == FAMILY_GEMMA2;
    TRY(json_get_bool_or(c->root, c->file, "tie_word_embeddings", gemma, &a->tied, e));
    a->qkv_bias = a->family == FAMILY_QWEN2;
    a->qk_norm = a->family == FAMILY_QWEN3;
    a->post_norms = gemma;
    a->norm_offset = gemma ? 1.0f : 0.0f;
    a->embed_scale = gemma ? (float)sqrt((double)a->D) : 1.0f;
    if (!a->qkv_bias)
        TRY(refuse_if_true(c, "attention_bias", "a bias on o_proj is not supported", e));
    double scalar = (double)a->E;
    if (gemma) {
        TRY(get_positive(c, c->root, "query_pre_attn_scalar", 256.0, &scalar, e));
        TRY(get_cap(c, "attn_logit_softcapping", 50.0, &a->attention_softcap, e));
        TRY(get_cap(c, "final_logit_softcapping", 30.0, &a->logit_softcap, e));
    }
    a->attention_scale = (float)(1.0 / sqrt(scalar));
    return 0;
}

static int read_head(struct arch *a, const struct config *c, struct err *e)
{
    if (a->head == HEAD_SCORE) {
        int64_t labels;
        TRY(json_get_i64_or(c->root, c->file, "num_labels", 1, &labels, e));
        if (labels != 1) return refuse(c, "num_labels", "a reward model has one label", e);
        const json_t *names = json_object_get(c->root, "id2label");
        if (json_is_object(names) && json_object_size(names) != 1)
            return refuse(c, "id2label", "a reward model has one label", e);
    }
    if (a->head != HEAD_GATED) return 0;
    double temperature;
    int64_t hidden_layers;
    TRY(get_count_or(c, "num_objectives", 1 << 12, 19, &a->n_objectives, e));
    TRY(get_count_or(c, "gating_hidden_dim", 1 << 20, 1024, &a->gate_hidden, e));
    TRY(get_count_or(c, "gating_n_hidden", 64, 3, &hidden_layers, e));
    TRY(get_positive(c, c->root, "gating_temperature", 10.0, &temperature, e));
    a->gate_layers = hidden_layers + 1;
    a->gate_temperature = (float)temperature;
    return 0;
}

/* ---- special tokens ---- */

static int add_eos(struct arch *a, const struct config *c, const json_t *id, struct err *e)
{
    if (!json_is_integer(id))
        return refuse(c, "eos_token_id", "expected a token id or a list of them", e);
    int64_t v = json_integer_value(id);
    /* A reward model never ends a text by it, so there a stale id does no harm. */
    if (a->head != HEAD_CAUSAL_LM && (v < 0 || v >= a->V)) return 0;
    TRY(in_range(c, "eos_token_id", v, 0, a->V - 1, e));
    if (a->n_eos == ARCH_MAX_EOS) return refuse(c, "eos_token_id", "more than 8 end tokens", e);
    a->eos[a->n_eos++] = (int32_t)v;
    return 0;
}

static int read_eos(struct arch *a, const struct config *c, struct err *e)
{
    const json_t *v = json_object_get(c->root, "eos_token_id");
    if (!v || json_is_null(v)) return 0;
    if (!json_is_array(v)) return add_eos(a, c, v, e);
    for (size_t i = 0; i < json_array_size(v); i++) TRY(add_eos(a, c, json_array_get(v, i), e));
    return 0;
}

static int read_bos(struct arch *a, const struct config *c, struct err *e)
{
    int64_t bos;
    TRY(json_get_i64_or(c->root, c->file, "bos_token_id", -1, &bos, e));
    if (a->head == HEAD_CAUSAL_LM) TRY(in_range(c, "bos_token_id", bos, -1, a->V - 1, e));
    a->bos = bos >= 0 && bos < a->V ? (int32_t)bos : -1;
    return 0;
}

static int read_config(struct arch *a, const struct config *c, struct err *e)
{
    if (!json_is_object(c->root)) return err_set(e, "%s: not a JSON object", c->file);
    TRY(read_architecture(a, c, e));
    TRY(refuse_code(a, c, e));
    TRY(refuse_unsupported(c, e));
    TRY(read_sizes(a, c, e));
    TRY(read_activation(a, c, e));
    TRY(read_rope(a, c, e));
    TRY(read_window(a, c, e));
    TRY(read_family(a, c, e));
    TRY(read_head(a, c, e));
    TRY(read_bos(a, c, e));
    return read_eos(a, c, e);
}

/* generation_config.json's end tokens replace config.json's. */
static int read_generation(struct arch *a, const struct config *c, struct err *e)
{
    if (!json_is_object(c->root)) return err_set(e, "%s: not a JSON object", c->file);
    const json_t *eos = json_object_get(c->root, "eos_token_id");
    if (!eos || json_is_null(eos)) return 0;
    a->n_eos = 0;
    return read_eos(a, c, e);
}

static int with_file(struct arch *a, const char *path,
                     int (*read)(struct arch *, const struct config *, struct err *), struct err *e)
{
    struct config c = {.root = json_open(path, e), .file = path};
    if (!c.root) return -1;
    int rc = read(a, &c, e);
    json_decref(c.root);
    return rc;
}

int arch_open(struct arch *a, const char *folder, struct err *e)
{
    memset(a, 0, sizeof *a);
    char *config = mem_printf("%s/config.json", folder);
    char *generation = mem_printf("%s/generation_config.json", folder);
    bool exists = false;
    int rc = file_exists(config, &exists, e);
    if (rc == 0 && !exists)
        rc = err_set(e,
                     "%s: there is no such file; wanted is a checkpoint folder of Hugging Face on "
                     "this disk (config.json, *.safetensors, tokenizer.json): nothing is "
                     "downloaded",
                     config);
    if (rc == 0) rc = with_file(a, config, read_config, e);
    if (rc == 0) rc = file_exists(generation, &exists, e);
    if (rc == 0 && exists) rc = with_file(a, generation, read_generation, e);
    free(config);
    free(generation);
    return rc;
}
