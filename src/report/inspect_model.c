/* A checkpoint folder in one screen: what it computes, how large it is on how many ranks, what it
 * reads and when it ends. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/cost.h"
#include "model/safetensors.h"
#include "report/inspect.h"
#include "report/print.h"
#include "text/chat.h"
#include "text/json_text.h"

#include <stdlib.h>
#include <string.h>

static const int splits[] = {1, 2, 4, 8};
#define SPLITS (sizeof splits / sizeof *splits)

struct portrait {
    const char *folder;
    struct arch arch;
    enum dtype dtype;    /* of most of the stored bytes, DTYPE_NONE: no weights here */
    double stored_bytes; /* of all tensors */
    size_t n_tensors;
    struct tokenizer *tokenizer; /* NULL: why, below */
    struct chat *chat;           /* NULL: why, below */
    struct err no_tokenizer, no_chat;
};

/* ---- looking ---- */

static double tensor_bytes(const struct tensor_info *t)
{
    double n = (double)dtype_bytes(t->dtype);
    for (int i = 0; i < t->n_dims; i++) n *= (double)t->shape[i];
    return n;
}

static int look_at_weights(struct portrait *p, struct err *e)
{
    double by_type[DTYPE_ID_F16 + 1] = {0};
    bool one, index;
    TRY(file_exists_in(p->folder, "model.safetensors", &one, e));
    TRY(file_exists_in(p->folder, "model.safetensors.index.json", &index, e));
    if (!one && !index) return 0;
    struct safetensors *s = safetensors_open(p->folder, e);
    if (!s) return -1;
    p->n_tensors = safetensors_count(s);
    for (size_t i = 0; i < p->n_tensors; i++) {
        const struct tensor_info *t = safetensors_at(s, i);
        if (t->dtype == DTYPE_NONE) continue;
        by_type[t->dtype] += tensor_bytes(t);
        p->stored_bytes += tensor_bytes(t);
        if (by_type[t->dtype] > by_type[p->dtype]) p->dtype = t->dtype;
    }
    safetensors_close(s);
    return 0;
}

/* A tokenizer or template that cannot be used is a finding, not an error. */
static int look(struct portrait *p, const struct inspect_options *o, struct err *e)
{
    TRY(arch_open(&p->arch, p->folder, e));
    TRY(look_at_weights(p, e));
    bool has_tokenizer;
    TRY(file_exists_in(p->folder, "tokenizer.json", &has_tokenizer, e));
    if (!has_tokenizer) {
        err_set(&p->no_tokenizer, "no tokenizer.json: takes prompt_ids only");
        err_set(&p->no_chat, "none");
        return 0;
    }
    p->tokenizer = tokenizer_open(p->folder, &p->no_tokenizer);
    p->chat = chat_open(p->folder, o->chat_template ? o->chat_template : "auto", &p->no_chat);
    return 0;
}

static const char *head_text(const struct arch *a, char out[96])
{
    switch (a->head) {
    case HEAD_CAUSAL_LM:
        return a->tied ? "vocabulary, tied to the embedding: a generator"
                       : "vocabulary: a generator";
    case HEAD_SCORE:
        return "one score from the last token: a reward model";
    case HEAD_GATED:
        snprintf(out, 96, "%lld objectives, gated by the prompt: a reward model",
                 (long long)a->n_objectives);
        return out;
    case HEAD_TWO_LAYER:
        return "two layers on the last token: a reward model";
    case HEAD_EURUS:
        return "regression on the last token: a reward model";
    }
    return "?";
}

static const char *head_name(enum head_kind h)
{
    static const char *const names[] = {[HEAD_CAUSAL_LM] = "causal_lm",
                                        [HEAD_SCORE] = "score",
                                        [HEAD_GATED] = "gated",
                                        [HEAD_TWO_LAYER] = "two_layer",
                                        [HEAD_EURUS] = "regression"};
    return names[h];
}

static const char *tokenizer_kind(const struct tokenizer *t)
{
    return tokenizer_is_byte_level(t) ? "byte-level BPE" : "SentencePiece-style BPE";
}

/* config's, generation_config's, and the one that ends a turn of the template. */
static int end_tokens(const struct portrait *p, int32_t out[ARCH_MAX_EOS + 1])
{
    const struct arch *a = &p->arch;
    int n = a->n_eos;
    memcpy(out, a->eos, (size_t)n * sizeof *out);
    if (!p->chat || !p->tokenizer) return n;
    int32_t id = tokenizer_find(p->tokenizer, chat_end_of_turn(p->chat));
    for (int i = 0; i < n; i++)
        if (out[i] == id) return n;
    if (id >= 0) out[n++] = id;
    return n;
}

/* Weights of this type on one rank; weights that are not here count as f32. */
static enum dtype counted_dtype(const struct portrait *p)
{
    return p->dtype == DTYPE_NONE ? DTYPE_ID_F32 : p->dtype;
}

/* ---- text ---- */

static void print_arch(const struct portrait *p, FILE *out)
{
    const struct arch *a = &p->arch;
    char head[96], b[24];
    print_field(out, "architecture", "%s", a->name);
    print_field(out, "shape",
                "%lld layers, width %lld, %lld heads and %lld KV heads of %lld, FFN %lld, "
                "vocabulary %lld",
                (long long)a->L, (long long)a->D, (long long)a->H, (long long)a->G, (long long)a->E,
                (long long)a->F, (long long)a->V);
    print_field(out, "parameters", "%lld", (long long)arch_n_parameters(a));
    print_field(out, "head", "%s", head_text(a, head));
    if (a->window)
        print_field(out, "context", "%lld tokens, sliding window of %lld in %s layer",
                    (long long)a->max_positions, (long long)a->window,
                    a->window_every == 1 ? "every" : "every other");
    else
        print_field(out, "context", "%lld tokens", (long long)a->max_positions);
    if (p->dtype == DTYPE_NONE)
        print_field(out, "weights", "none in this folder (weights: random needs none)");
    else
        print_field(out, "weights", "%s, %s in %zu tensors", dtype_name(p->dtype),
                    format_bytes(b, p->stored_bytes), p->n_tensors);
}

static void print_text_side(const struct portrait *p, FILE *out)
{
    int32_t end[ARCH_MAX_EOS + 1];
    char *list = mem_strdup("");
    int n = end_tokens(p, end);
    if (p->tokenizer)
        print_field(out, "tokenizer", "%s, %lld ids", tokenizer_kind(p->tokenizer),
                    (long long)tokenizer_vocab_size(p->tokenizer));
    else
        print_field(out, "tokenizer", "%s", p->no_tokenizer.text);
    print_field(out, "chat template", "%s", p->chat ? chat_name(p->chat) : p->no_chat.text);
    for (int i = 0; i < n; i++) {
        const char *content = p->tokenizer ? tokenizer_content(p->tokenizer, end[i]) : NULL;
        char *longer = mem_printf("%s%s%d%s%s", list, i ? ", " : "", end[i], content ? " " : "",
                                  content ? content : "");
        free(list);
        list = longer;
    }
    print_field(out, "end tokens", "%s", n ? list : "none");
    free(list);
}

static void print_splits(const struct portrait *p, FILE *out)
{
    enum dtype dtype = counted_dtype(p);
    char a[24], b[24], c[24], head[40];
    snprintf(head, sizeof head, "weights (%s)", dtype_name(dtype));
    fprintf(out, "\n  per rank  %18s  %16s  %16s\n", head, "KV/token (f32)", "KV/token (bf16)");
    for (size_t i = 0; i < SPLITS; i++) {
        struct shard s;
        struct err why;
        fprintf(out, "  tensor %d  ", splits[i]);
        if (shard_make(&s, &p->arch, splits[i], 0, &why) < 0)
            fprintf(out, "does not divide\n");
        else
            fprintf(out, "%18s  %16s  %16s\n",
                    format_bytes(a, (double)cost_weight_bytes(&p->arch, &s, dtype)),
                    format_bytes(b, (double)cost_kv_token_bytes(&p->arch, &s, 4)),
                    format_bytes(c, (double)cost_kv_token_bytes(&p->arch, &s, 2)));
    }
}

/* ---- JSON ---- */

static json_t *splits_json(const struct portrait *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < SPLITS; i++) {
        struct shard s;
        struct err why;
        bool divides = shard_make(&s, &p->arch, splits[i], 0, &why) == 0;
        json_t *o = json_pack("{s:i, s:b}", "tensor", splits[i], "divides", divides);
        if (divides) {
            size_t weights = cost_weight_bytes(&p->arch, &s, counted_dtype(p));
            json_object_set_new(o, "weight_bytes", json_integer((json_int_t)weights));
            json_object_set_new(
                o, "kv_token_bytes_f32",
                json_integer((json_int_t)cost_kv_token_bytes(&p->arch, &s, sizeof(float))));
            json_object_set_new(o, "kv_token_bytes_bf16",
                                json_integer((json_int_t)cost_kv_token_bytes(&p->arch, &s, 2)));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *text_json(const struct portrait *p)
{
    json_t *o = json_object(), *list = json_array();
    int32_t end[ARCH_MAX_EOS + 1];
    int n = end_tokens(p, end);
    for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(end[i]));
    json_object_set_new(o, "end_tokens", list);
    if (p->tokenizer) {
        json_object_set_new(o, "tokenizer", json_text(tokenizer_kind(p->tokenizer)));
        json_object_set_new(o, "tokenizer_ids", json_integer(tokenizer_vocab_size(p->tokenizer)));
    } else {
        json_object_set_new(o, "tokenizer", json_null());
        json_object_set_new(o, "tokenizer_problem", json_text(p->no_tokenizer.text));
    }
    json_object_set_new(o, "chat_template", p->chat ? json_text(chat_name(p->chat)) : json_null());
    if (!p->chat) json_object_set_new(o, "chat_problem", json_text(p->no_chat.text));
    return o;
}

static json_t *portrait_json(const struct portrait *p)
{
    const struct arch *a = &p->arch;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:b}", "kind", "model", "path", p->folder,
                          "architecture", a->name, "head", head_name(a->head), "parameters",
                          (json_int_t)arch_n_parameters(a), "tied", a->tied);
    json_t *shape = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "layers", (json_int_t)a->L,
                              "width", (json_int_t)a->D, "heads", (json_int_t)a->H, "kv_heads",
                              (json_int_t)a->G, "head_dim", (json_int_t)a->E, "ffn",
                              (json_int_t)a->F, "vocabulary", (json_int_t)a->V);
    ENSURE(o && shape);
    json_object_update_new(o, shape);
    json_object_set_new(o, "context", json_integer(a->max_positions));
    json_object_set_new(o, "window", json_integer(a->window));
    json_object_set_new(o, "dtype", p->dtype ? json_text(dtype_name(p->dtype)) : json_null());
    json_object_set_new(o, "stored_bytes", json_integer((json_int_t)p->stored_bytes));
    json_object_update_new(o, text_json(p));
    json_object_set_new(o, "per_rank", splits_json(p));
    return o;
}

int inspect_model(const char *folder, const struct inspect_options *o, FILE *out, struct err *e)
{
    struct portrait p = {.folder = folder};
    int rc = look(&p, o, e);
    if (rc == 0 && o->json) {
        json_t *j = portrait_json(&p);
        json_dumpf(j, out, JSON_INDENT(2));
        fputc('\n', out);
        json_decref(j);
    } else if (rc == 0) {
        fprintf(out, "%s\n", folder);
        print_arch(&p, out);
        print_text_side(&p, out);
        print_splits(&p, out);
    }
    chat_destroy(p.chat);
    tokenizer_destroy(p.tokenizer);
    return rc;
}
