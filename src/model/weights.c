#include "model/weights.h"

#include "base/hash.h"
#include "base/mem.h"
#include "model/fetch.h"
#include "model/names.h"
#include "model/narrow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One loading of one model.  Calls that can fail on this rank alone (backend memory) report to
 * fetch_fail and are skipped from then on; the ranks of `source` stay in step until the next
 * fetch_agree. */
struct loader {
    struct fetch from;
    struct weights *w;
    struct backend *b;
    const struct arch *a;
    const struct shard *s;
};

/* False, too, when the headers alone are looked at: then there is no backend and no number. */
static bool healthy(const struct loader *ld)
{
    return ld->from.rc == 0 && !ld->from.problem;
}

/* ---- what the architecture wants ---- */

/* rows 0: a vector of `cols`. */
static struct tensor_want want(bool in_base, enum init init, int64_t rows, int64_t cols,
                               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static struct tensor_want want(bool in_base, enum init init, int64_t rows, int64_t cols,
                               const char *fmt, ...)
{
    struct tensor_want t = {.in_base = in_base, .init = init, .n_dims = rows ? 2 : 1};
    t.shape[0] = rows ? rows : cols;
    t.shape[1] = rows ? cols : 0;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t.name, sizeof t.name, fmt, ap);
    va_end(ap);
    ENSURE(n > 0 && (size_t)n < sizeof t.name);
    return t;
}

static struct tensor_want want_layer(int64_t l, const char *name, enum init init, int64_t rows,
                                     int64_t cols)
{
    return want(true, init, rows, cols, "layers.%lld.%s", (long long)l, name);
}

/* ---- memory of the backend ---- */

static void *take(struct loader *ld, const char *what, size_t bytes)
{
    if (!healthy(ld)) return NULL;
    void *p = ld->b->ops->alloc(ld->b, bytes);
    struct err e;
    if (!p) {
        err_set(&e, "no memory on %s for %zu bytes of %s", ld->b->device, bytes, what);
        fetch_fail(&ld->from, &e);
    } else {
        ld->w->bytes += bytes;
    }
    return p;
}

/* Of a layer, or the vocabulary projection. */
static struct weight *begin_matrix(struct loader *ld, bool in_layer, int64_t N, int64_t K)
{
    struct err e = {{0}};
    if (!healthy(ld)) return NULL;
    enum dtype type = in_layer ? ld->b->dtype : dtype_beside(ld->b->dtype);
    struct weight *m = ld->b->ops->weight_create(ld->b, type, N, K, &e);
    if (!m) fetch_fail(&ld->from, &e);
    return m;
}

static void fill_matrix(struct loader *ld, struct weight *m, enum dtype from, int64_t n_rows)
{
    struct err e = {{0}};
    if (healthy(ld) && ld->b->ops->weight_fill(ld->b, m, ld->from.block, from, n_rows, &e) < 0)
        fetch_fail(&ld->from, &e);
}

static void end_matrix(struct loader *ld, struct weight *m)
{
    struct err e = {{0}};
    if (!healthy(ld)) return;
    if (ld->b->ops->weight_finish(ld->b, m, &e) < 0)
        fetch_fail(&ld->from, &e);
    else
        ld->w->bytes += ld->b->ops->weight_bytes(m);
}

/* ---- pieces: collective over source ---- */

/* The next rows of m: a slice of a tensor, streamed. */
static int add_slice(struct loader *ld, struct weight *m, const struct tensor_want *t, int64_t row,
                     int64_t n_rows, int64_t col, int64_t n_cols, struct err *e)
{
    int64_t per = fetch_rows(&ld->from, n_cols);
    for (int64_t r = 0; r < n_rows; r += per) {
        int64_t n = n_rows - r < per ? n_rows - r : per;
        enum dtype from;
        TRY(fetch_block(&ld->from, t, row + r, n, col, n_cols, &from, e));
        fill_matrix(ld, m, from, n);
    }
    return 0;
}

static int load_slice(struct loader *ld, struct weight **m, const struct tensor_want *t,
                      int64_t row, int64_t n_rows, int64_t col, int64_t n_cols, struct err *e)
{
    *m = begin_matrix(ld, true, n_rows, n_cols);
    TRY(add_slice(ld, *m, t, row, n_rows, col, n_cols, e));
    end_matrix(ld, *m);
    return 0;
}

/* A whole tensor as f32 into host memory [rows * cols]. */
static int load_host(struct loader *ld, const struct tensor_want *t, float *out, struct err *e)
{
    int64_t rows = t->n_dims == 2 ? t->shape[0] : 1, cols = t->shape[t->n_dims - 1],
            per = fetch_rows(&ld->from, cols);
    for (int64_t r = 0; r < rows; r += per) {
        int64_t n = rows - r < per ? rows - r : per;
        enum dtype from;
        TRY(fetch_block(&ld->from, t, r, n, 0, cols, &from, e));
        if (healthy(ld)) dtype_widen(out + r * cols, ld->from.block, from, (size_t)(n * cols));
    }
    return 0;
}

/* [begin, begin + n) of a vector, as f32 into host memory. */
static int load_range(struct loader *ld, const struct tensor_want *t, int64_t begin, int64_t n,
                      float *out, struct err *e)
{
    enum dtype from;
    TRY(fetch_block(&ld->from, t, 0, 1, begin, n, &from, e));
    if (healthy(ld)) dtype_widen(out, ld->from.block, from, (size_t)n);
    return 0;
}

static float *upload(struct loader *ld, const float *host, int64_t n)
{
    float *p = take(ld, "a vector", (size_t)n * sizeof *p);
    if (p) ld->b->ops->upload(ld->b, p, host, (size_t)n * sizeof *p);
    return p;
}

static int load_norm(struct loader *ld, int64_t l, const char *name, int64_t n, float **out,
                     struct err *e)
{
    struct tensor_want t =
        l < 0 ? want(true, INIT_NORM, 0, n, "%s", name) : want_layer(l, name, INIT_NORM, 0, n);
    float *host = mem_calloc((size_t)n, sizeof *host);
    int rc = load_range(ld, &t, 0, n, host, e);
    if (rc == 0) *out = upload(ld, host, n);
    free(host);
    return rc;
}

/* ---- a layer ---- */

static int load_qkv(struct loader *ld, int64_t l, struct layer_weights *y, struct err *e)
{
    static const char *const names[] = {"q_proj", "k_proj", "v_proj"};
    const struct arch *a = ld->a;
    const struct shard *s = ld->s;
    int64_t q = s->H_local * a->E, kv = s->G_local * a->E;
    y->qkv = begin_matrix(ld, true, q + 2 * kv, a->D);
    for (int i = 0; i < 3; i++) {
        struct tensor_want t = want(true, INIT_NORMAL, (i ? a->G : a->H) * a->E, a->D,
                                    "layers.%lld.self_attn.%s.weight", (long long)l, names[i]);
        int64_t begin = (i ? s->kv_begin : s->head_begin) * a->E;
        TRY(add_slice(ld, y->qkv, &t, begin, i ? kv : q, 0, a->D, e));
    }
    end_matrix(ld, y->qkv);
    if (!a->qkv_bias) return 0;
    float *bias = mem_calloc((size_t)(q + 2 * kv), sizeof *bias), *to = bias;
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        struct tensor_want t = want(true, INIT_ZERO, 0, (i ? a->G : a->H) * a->E,
                                    "layers.%lld.self_attn.%s.bias", (long long)l, names[i]);
        rc = load_range(ld, &t, (i ? s->kv_begin : s->head_begin) * a->E, i ? kv : q, to, e);
        to += i ? kv : q;
    }
    if (rc == 0) y->qkv_bias = upload(ld, bias, q + 2 * kv);
    free(bias);
    return rc;
}

static int load_attention(struct loader *ld, int64_t l, struct layer_weights *y, struct err *e)
{
    const struct arch *a = ld->a;
    const struct shard *s = ld->s;
    TRY(load_norm(ld, l, "input_layernorm.weight", a->D, &y->attention_norm, e));
    TRY(load_qkv(ld, l, y, e));
    if (a->qk_norm) {
        TRY(load_norm(ld, l, "self_attn.q_norm.weight", a->E, &y->q_norm, e));
        TRY(load_norm(ld, l, "self_attn.k_norm.weight", a->E, &y->k_norm, e));
    }
    struct tensor_want o = want_layer(l, "self_attn.o_proj.weight", INIT_NORMAL, a->D, a->H * a->E);
    TRY(load_slice(ld, &y->o, &o, 0, a->D, s->head_begin * a->E, s->H_local * a->E, e));
    if (!a->post_norms) return 0;
    return load_norm(ld, l, "post_attention_layernorm.weight", a->D, &y->post_attention_norm, e);
}

static int load_mlp(struct loader *ld, int64_t l, struct layer_weights *y, struct err *e)
{
    const struct arch *a = ld->a;
    const struct shard *s = ld->s;
    const char *norm =
        a->post_norms ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
    TRY(load_norm(ld, l, norm, a->D, &y->mlp_norm, e));
    struct tensor_want gate = want_layer(l, "mlp.gate_proj.weight", INIT_NORMAL, a->F, a->D);
    struct tensor_want up = want_layer(l, "mlp.up_proj.weight", INIT_NORMAL, a->F, a->D);
    struct tensor_want down = want_layer(l, "mlp.down_proj.weight", INIT_NORMAL, a->D, a->F);
    y->gate_up = begin_matrix(ld, true, 2 * s->F_local, a->D);
    TRY(add_slice(ld, y->gate_up, &gate, s->ffn_begin, s->F_local, 0, a->D, e));
    TRY(add_slice(ld, y->gate_up, &up, s->ffn_begin, s->F_local, 0, a->D, e));
    end_matrix(ld, y->gate_up);
    TRY(load_slice(ld, &y->down, &down, 0, a->D, s->ffn_begin, s->F_local, e));
    if (!a->post_norms) return 0;
    return load_norm(ld, l, "post_feedforward_layernorm.weight", a->D, &y->post_mlp_norm, e);
}

/* ---- vocabulary ---- */

/* The block in ld->from as rows of the embedding table. */
static void put_embedding(struct loader *ld, int64_t row, int64_t n_rows, enum dtype from)
{
    if (!healthy(ld)) return;
    enum dtype to = dtype_beside(ld->b->dtype);
    int64_t n = n_rows * ld->a->D;
    size_t bytes = (size_t)n * dtype_bytes(to);
    char *table = ld->w->embedding;
    size_t at = (size_t)(row * ld->a->D) * dtype_bytes(to);
    if (from == to) {
        ld->b->ops->upload(ld->b, table + at, ld->from.block, bytes);
        return;
    }
    float *wide = mem_calloc((size_t)n, sizeof *wide);
    void *out = mem_calloc((size_t)n, dtype_bytes(to));
    narrow(out, to, ld->from.block, from, wide, (size_t)n);
    ld->b->ops->upload(ld->b, table + at, out, bytes);
    free(out);
    free(wide);
}

/* Rows of the last share beyond the vocabulary are zeros. */
static void pad_vocabulary(struct loader *ld)
{
    int64_t n = ld->s->V_local - ld->s->V_rows, per = fetch_rows(&ld->from, ld->a->D);
    for (int64_t r = 0; r < n; r += per) {
        int64_t rows = n - r < per ? n - r : per;
        if (!healthy(ld)) return;
        memset(ld->from.block, 0, (size_t)(rows * ld->a->D) * sizeof(float));
        fill_matrix(ld, ld->w->lm_head, DTYPE_ID_F32, rows);
    }
}

/* Embedding and vocabulary projection; tied, both come from one reading. */
static int load_vocabulary(struct loader *ld, struct err *e)
{
    const struct arch *a = ld->a;
    const struct shard *s = ld->s;
    struct weights *w = ld->w;
    bool head = a->head == HEAD_CAUSAL_LM;
    struct tensor_want table = want(true, INIT_NORMAL, a->V, a->D, "embed_tokens.weight");
    struct tensor_want lm = want(false, INIT_NORMAL, a->V, a->D, "lm_head.weight");
    if (healthy(ld))
        w->embedding = take(ld, "the embedding",
                            (size_t)(s->V_rows * a->D) * dtype_bytes(dtype_beside(ld->b->dtype)));
    if (head) w->lm_head = begin_matrix(ld, false, s->V_local, a->D);
    int64_t per = fetch_rows(&ld->from, a->D);
    for (int64_t r = 0; r < s->V_rows; r += per) {
        int64_t n = s->V_rows - r < per ? s->V_rows - r : per;
        enum dtype from;
        TRY(fetch_block(&ld->from, &table, s->vocab_begin + r, n, 0, a->D, &from, e));
        put_embedding(ld, r, n, from);
        if (head && a->tied) fill_matrix(ld, w->lm_head, from, n);
    }
    if (!head) return 0;
    if (!a->tied) TRY(add_slice(ld, w->lm_head, &lm, s->vocab_begin, s->V_rows, 0, a->D, e));
    pad_vocabulary(ld);
    end_matrix(ld, w->lm_head);
    return 0;
}

/* ---- reward heads: whole on every rank, in host memory ---- */

/* rows 0: a vector. */
static int load_head(struct loader *ld, float **out, enum init init, int64_t rows, int64_t cols,
                     const char *name, struct err *e)
{
    struct tensor_want t = want(false, init, rows, cols, "%s", name);
    size_t n = (size_t)(rows ? rows : 1) * (size_t)cols;
    if (!ld->from.problem && !(*out = calloc(n, sizeof **out))) {
        struct err mine;
        err_set(&mine, "no memory for the %zu numbers of the reward head's %s", n, name);
        fetch_fail(&ld->from, &mine);
    }
    TRY(fetch_agree(&ld->from, e));
    return load_host(ld, &t, *out, e);
}

static int load_number(struct loader *ld, float *out, enum init init, const char *name,
                       struct err *e)
{
    struct tensor_want t = want(false, init, 0, 1, "%s", name);
    return load_host(ld, &t, out, e);
}

static int load_gated(struct loader *ld, struct head_weights *h, struct err *e)
{
    const struct arch *a = ld->a;
    int64_t n = a->n_objectives, in = a->D;
    TRY(load_head(ld, &h->objectives, INIT_NORMAL, n, a->D, "regression_layer.weight", e));
    TRY(load_head(ld, &h->objective_transform, INIT_IDENTITY, n, n, "reward_transform_matrix", e));
    TRY(load_number(ld, &h->gate_logit_scale, INIT_ONE, "gating.logit_scale", e));
    h->gate = mem_calloc((size_t)a->gate_layers, sizeof *h->gate);
    h->gate_bias = mem_calloc((size_t)a->gate_layers, sizeof *h->gate_bias);
    for (int64_t l = 0; l < a->gate_layers; l++) {
        char name[64];
        int64_t out = l + 1 < a->gate_layers ? a->gate_hidden : n;
        snprintf(name, sizeof name, "gating.layers.%lld.weight", (long long)l);
        TRY(load_head(ld, &h->gate[l], INIT_NORMAL, out, in, name, e));
        snprintf(name, sizeof name, "gating.layers.%lld.bias", (long long)l);
        TRY(load_head(ld, &h->gate_bias[l], INIT_ZERO, 0, out, name, e));
        in = out;
    }
    return 0;
}

static int load_reward_head(struct loader *ld, struct err *e)
{
    struct head_weights *h = &ld->w->head;
    int64_t D = ld->a->D;
    switch (ld->a->head) {
    case HEAD_CAUSAL_LM:
        return 0;
    case HEAD_EURUS:
        return load_head(ld, &h->linear, INIT_NORMAL, 1, D, "regression_head.weight", e);
    case HEAD_GATED:
        return load_gated(ld, h, e);
    case HEAD_SCORE: {
        struct tensor_want bias = want(false, INIT_ZERO, 0, 1, "score.bias");
        TRY(load_head(ld, &h->linear, INIT_NORMAL, 1, D, "score.weight", e));
        return fetch_find(&ld->from, &bias)
                   ? load_number(ld, &h->linear_bias, INIT_ZERO, bias.name, e)
                   : 0;
    }
    case HEAD_TWO_LAYER:
        TRY(load_head(ld, &h->dense1, INIT_NORMAL, D, D, "score.0.weight", e));
        TRY(load_head(ld, &h->dense1_bias, INIT_ZERO, 0, D, "score.0.bias", e));
        TRY(load_head(ld, &h->dense2, INIT_NORMAL, 1, D, "score.2.weight", e));
        return load_number(ld, &h->dense2_bias, INIT_ZERO, "score.2.bias", e);
    }
    return 0;
}

/* ---- a model ---- */

static void complain(struct fetch *f, const struct err *e)
{
    if (f->problem)
        f->problem(f->problem_arg, e);
    else
        fetch_fail(f, e);
}

static void close_head(struct head_weights *h, const struct arch *a)
{
    for (int64_t l = 0; l < a->gate_layers; l++) {
        if (h->gate) free(h->gate[l]);
        if (h->gate_bias) free(h->gate_bias[l]);
    }
    free(h->gate);
    free(h->gate_bias);
    free(h->linear);
    free(h->dense1);
    free(h->dense1_bias);
    free(h->dense2);
    free(h->objectives);
    free(h->objective_transform);
}

static int load_all(struct loader *ld, struct err *e)
{
    const struct arch *a = ld->a;
    ld->w->layers = mem_calloc((size_t)a->L, sizeof *ld->w->layers);
    struct err mine;
    if (ld->from.files && names_check_layers(ld->from.files, ld->from.prefix, a, &mine) < 0)
        complain(&ld->from, &mine);
    TRY(fetch_agree(&ld->from, e));
    TRY(load_reward_head(ld, e));
    TRY(load_vocabulary(ld, e));
    TRY(fetch_agree(&ld->from, e));
    for (int64_t l = 0; l < a->L; l++) {
        TRY(load_attention(ld, l, &ld->w->layers[l], e));
        TRY(load_mlp(ld, l, &ld->w->layers[l], e));
        TRY(fetch_agree(&ld->from, e));
    }
    TRY(load_norm(ld, -1, "norm.weight", a->D, &ld->w->final_norm, e));
    return fetch_agree(&ld->from, e);
}

static int finish(struct loader *ld, int rc)
{
    fetch_close(&ld->from);
    if (rc < 0) weights_close(ld->w, ld->a);
    return rc;
}

static void keep_first(void *arg, const struct err *e)
{
    struct err *first = arg;
    if (!first->text[0]) *first = *e;
}

/* Every tensor by its header, on the rank that reads: what config.json asks for costs no memory
 * until the files have it. */
static int check_headers(struct loader *ld, struct err *e)
{
    struct err first = {0};
    if (ld->from.files) {
        struct weights none = {0};
        struct loader headers = {.from = ld->from, .w = &none, .a = ld->a, .s = ld->s};
        headers.from.source = NULL;
        headers.from.problem = keep_first;
        headers.from.problem_arg = &first;
        if (load_all(&headers, e) < 0) keep_first(&first, e);
        free(none.layers);
        close_head(&none.head, ld->a);
    }
    if (first.text[0]) fetch_fail(&ld->from, &first);
    return fetch_agree(&ld->from, e);
}

int weights_open(struct weights *w, struct backend *b, const struct arch *a, const struct shard *s,
                 const char *folder, struct comm *source, struct err *e)
{
    struct loader ld = {.w = w, .b = b, .a = a, .s = s};
    memset(w, 0, sizeof *w);
    w->backend = b;
    TRY(fetch_open(&ld.from, folder, source, w->hash, e));
    int rc = check_headers(&ld, e);
    return finish(&ld, rc < 0 ? rc : load_all(&ld, e));
}

int weights_check(const struct arch *a, const char *folder,
                  void (*problem)(void *arg, const struct err *e), void *arg,
                  struct weights_found *found, struct err *e)
{
    struct shard whole;
    struct weights w = {0};
    struct loader ld = {.w = &w, .a = a, .s = &whole};
    char hash[HASH_HEX];
    TRY(shard_make(&whole, a, 1, 0, e));
    TRY(fetch_open(&ld.from, folder, NULL, hash, e));
    ld.from.problem = problem;
    ld.from.problem_arg = arg;
    *found = (struct weights_found){.n_tensors = safetensors_count(ld.from.files)};
    for (size_t i = 0; i < found->n_tensors; i++) {
        const struct tensor_info *t = safetensors_at(ld.from.files, i);
        int64_t n = 1;
        for (int k = 0; k < t->n_dims; k++) n *= t->shape[k];
        found->bytes += (size_t)n * dtype_bytes(t->dtype);
    }
    int rc = load_all(&ld, e);
    fetch_close(&ld.from);
    free(w.layers);
    close_head(&w.head, a);
    return rc;
}

/* Identity of a random model: all that its numbers and its forward pass depend on. */
static void random_hash(const struct arch *a, uint64_t seed, char out[HASH_HEX])
{
    char *text = mem_printf(
        "random %llu %s D %lld L %lld H %lld G %lld E %lld F %lld V %lld tied %d eps %a rope %d %a "
        "%a %a %a %lld window %lld %lld act %d caps %a %a scale %a",
        (unsigned long long)seed, a->name, (long long)a->D, (long long)a->L, (long long)a->H,
        (long long)a->G, (long long)a->E, (long long)a->F, (long long)a->V, a->tied,
        (double)a->rms_eps, (int)a->rope.kind, a->rope.theta, a->rope.factor,
        a->rope.low_freq_factor, a->rope.high_freq_factor,
        (long long)a->rope.original_max_positions, (long long)a->window, (long long)a->window_every,
        (int)a->act, (double)a->attention_softcap, (double)a->logit_softcap,
        (double)a->attention_scale);
    hash_bytes(text, strlen(text), out);
    free(text);
}

int weights_random(struct weights *w, struct backend *b, const struct arch *a,
                   const struct shard *s, uint64_t seed, struct err *e)
{
    struct loader ld = {.w = w, .b = b, .a = a, .s = s};
    memset(w, 0, sizeof *w);
    w->backend = b;
    random_hash(a, seed, w->hash);
    fetch_open_random(&ld.from, seed, a->norm_offset, b->threads);
    return finish(&ld, load_all(&ld, e));
}

static void give_back(struct backend *b, void *p)
{
    if (p) b->ops->free(b, p);
}

void weights_close(struct weights *w, const struct arch *a)
{
    struct backend *b = w->backend;
    if (!b) return;
    for (int64_t l = 0; w->layers && l < a->L; l++) {
        struct layer_weights *y = &w->layers[l];
        float *vectors[] = {y->attention_norm,      y->qkv_bias, y->q_norm,       y->k_norm,
                            y->post_attention_norm, y->mlp_norm, y->post_mlp_norm};
        struct weight *matrices[] = {y->qkv, y->o, y->gate_up, y->down};
        for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) give_back(b, vectors[i]);
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
            b->ops->weight_destroy(b, matrices[i]);
    }
    free(w->layers);
    give_back(b, w->embedding);
    give_back(b, w->final_norm);
    b->ops->weight_destroy(b, w->lm_head);
    close_head(&w->head, a);
    memset(w, 0, sizeof *w);
}
