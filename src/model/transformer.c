/* The forward pass.  Activations live in one arena taken at set-up; parts:
 *   x       [T, D]             f32, residual stream
 *   normed  [T, D]             act, what the next matrix reads
 *   qkv     [T, (H + 2G) E]    act
 *   mixed   [T, H E]           act, attention's output
 *   delta   [T, D]             f32, what a block adds to x
 *   gate_up [T, 2F]            act
 *   mlp     [T, F]             act
 * T is at most max_rows. */
#include "model/transformer.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum part { X, NORMED, QKV, MIXED, DELTA, GATE_UP, MLP, PARTS };

static void part_widths(const struct arch *a, const struct shard *s, int64_t width[PARTS])
{
    width[X] = width[NORMED] = width[DELTA] = a->D;
    width[QKV] = (s->H_local + 2 * s->G_local) * a->E;
    width[MIXED] = s->H_local * a->E;
    width[GATE_UP] = 2 * s->F_local;
    width[MLP] = s->F_local;
}

static size_t part_bytes(int64_t width, int part, enum dtype activation, int64_t max_rows)
{
    size_t number = part == X || part == DELTA ? sizeof(float) : dtype_bytes(activation);
    return (size_t)width * (size_t)max_rows * number;
}

static size_t rope_bytes(const struct arch *a, int64_t max_positions)
{
    return (size_t)max_positions * (size_t)a->E * sizeof(float);
}

size_t model_workspace_bytes(const struct arch *a, const struct shard *s, enum dtype activation,
                             int64_t max_positions, int64_t max_rows)
{
    int64_t width[PARTS];
    size_t bytes = rope_bytes(a, max_positions);
    part_widths(a, s, width);
    for (int i = 0; i < PARTS; i++) bytes += part_bytes(width[i], i, activation, max_rows);
    return bytes;
}

struct workload model_workload(const struct arch *a, const struct shard *s, enum dtype activation,
                               int64_t max_positions, int64_t max_rows)
{
    bool is_rounded = a->qkv_bias && activation != DTYPE_ID_F32;
    return (struct workload){.max_rows = max_rows,
                             .max_positions = max_positions,
                             .D = a->D,
                             .H = s->H_local,
                             .E = a->E,
                             .bias_columns = is_rounded ? (s->H_local + 2 * s->G_local) * a->E : 0,
                             .ranks = to_int(s->P)};
}

static int take_arena(struct model *m, struct err *e)
{
    struct backend *b = m->backend;
    int64_t width[PARTS];
    part_widths(&m->arch, &m->shard, width);
    for (int i = 0; i < PARTS; i++) {
        size_t bytes = part_bytes(width[i], i, b->activation, m->max_rows);
        m->scratch[i] = b->ops->alloc(b, bytes);
        if (!m->scratch[i])
            return err_set(e, "no memory for %zu bytes of activations (%lld rows)", bytes,
                           (long long)m->max_rows);
    }
    m->rope = b->ops->alloc(b, rope_bytes(&m->arch, m->max_positions));
    if (!m->rope)
        return err_set(e, "no memory for the rotary table of %lld positions",
                       (long long)m->max_positions);
    return 0;
}

struct kv_shape model_kv_shape(const struct model *m)
{
    return (struct kv_shape){m->arch.L, m->shard.G_local, m->arch.E, m->shard.H_local};
}

int model_prepare(struct model *m, int64_t max_positions, int64_t max_rows, int64_t n_pages,
                  struct err *e)
{
    struct backend *b = m->backend;
    m->max_positions = max_positions;
    m->max_rows = max_rows;
    TRY(take_arena(m, e));
    float *rope = mem_calloc((size_t)max_positions * (size_t)m->arch.E, sizeof(float));
    arch_rope_table(&m->arch, rope, max_positions);
    b->ops->upload(b, m->rope, rope, rope_bytes(&m->arch, max_positions));
    free(rope);
    m->kv = b->ops->kv_create(b, model_kv_shape(m), n_pages, e);
    if (!m->kv) return -1;
    struct workload w = model_workload(&m->arch, &m->shard, b->activation, max_positions, max_rows);
    return b->ops->reserve(b, &w, e);
}

void model_release(struct model *m)
{
    struct backend *b = m->backend;
    if (!b) return;
    b->ops->kv_destroy(b, m->kv);
    for (int i = 0; i < PARTS; i++) b->ops->free(b, m->scratch[i]);
    b->ops->free(b, m->rope);
    *m = (struct model){.backend = b, .arch = m->arch, .shard = m->shard, .weights = m->weights};
}

void model_close(struct model *m)
{
    if (!m->backend) return;
    model_release(m);
    weights_close(&m->weights, &m->arch);
    memset(m, 0, sizeof *m);
}

/* normed = attention's input; afterwards x += attention, normed = MLP's input. */
static void attention_block(struct model *m, int64_t T, int64_t l)
{
    struct backend *b = m->backend;
    const struct arch *a = &m->arch;
    const struct layer_weights *w = &m->weights.layers[l];
    void *const *s = m->scratch;
    struct attention_params p = {.H = m->shard.H_local,
                                 .G = m->shard.G_local,
                                 .E = a->E,
                                 .layer = l,
                                 .scale = a->attention_scale,
                                 .softcap = a->attention_softcap,
                                 .window = arch_window(a, l)};
    b->ops->gemm(b, s[QKV], b->activation, s[NORMED], w->qkv, w->qkv_bias, T);
    b->ops->rope_kv_write(b, s[QKV], m->kv, &p, m->rope, w->q_norm, w->k_norm, a->rms_eps,
                          a->norm_offset);
    b->ops->attention(b, s[MIXED], s[QKV], m->kv, &p);
    b->ops->gemm(b, s[DELTA], DTYPE_ID_F32, s[MIXED], w->o, NULL, T);
    b->ops->sum_ranks(b, s[DELTA], T * a->D);
    if (w->post_attention_norm)
        b->ops->rmsnorm(b, s[DELTA], DTYPE_ID_F32, s[DELTA], w->post_attention_norm, T, a->D,
                        a->rms_eps, a->norm_offset);
    b->ops->residual_rmsnorm(b, s[NORMED], s[X], s[DELTA], w->mlp_norm, T, a->D, a->rms_eps,
                             a->norm_offset);
}

/* normed = MLP's input; afterwards x += MLP, normed = input of whatever comes next. */
static void mlp_block(struct model *m, int64_t T, int64_t l, const float *next_w)
{
    struct backend *b = m->backend;
    const struct arch *a = &m->arch;
    const struct layer_weights *w = &m->weights.layers[l];
    void *const *s = m->scratch;
    b->ops->gemm(b, s[GATE_UP], b->activation, s[NORMED], w->gate_up, NULL, T);
    b->ops->glu(b, s[MLP], s[GATE_UP], T, m->shard.F_local, a->act);
    b->ops->gemm(b, s[DELTA], DTYPE_ID_F32, s[MLP], w->down, NULL, T);
    b->ops->sum_ranks(b, s[DELTA], T * a->D);
    if (w->post_mlp_norm)
        b->ops->rmsnorm(b, s[DELTA], DTYPE_ID_F32, s[DELTA], w->post_mlp_norm, T, a->D, a->rms_eps,
                        a->norm_offset);
    b->ops->residual_rmsnorm(b, s[NORMED], s[X], s[DELTA], next_w, T, a->D, a->rms_eps,
                             a->norm_offset);
}

static void embed_rows(struct model *m, int64_t T)
{
    struct backend *b = m->backend;
    const struct arch *a = &m->arch;
    void *const *s = m->scratch;
    ENSURE(T > 0 && T <= m->max_rows);
    b->ops->embed(b, s[X], m->weights.embedding, T, a->D, m->shard.vocab_begin, m->shard.V_rows,
                  a->embed_scale);
    b->ops->sum_ranks(b, s[X], T * a->D); /* one rank has the row, the others zeros: exact */
    b->ops->rmsnorm(b, s[NORMED], b->activation, s[X], m->weights.layers[0].attention_norm, T, a->D,
                    a->rms_eps, a->norm_offset);
}

/* Of what stands behind layer l. */
static const float *next_norm(const struct model *m, int64_t l)
{
    return l + 1 < m->arch.L ? m->weights.layers[l + 1].attention_norm : m->weights.final_norm;
}

const void *model_forward(struct model *m, int64_t T)
{
    embed_rows(m, T);
    for (int64_t l = 0; l < m->arch.L; l++) {
        attention_block(m, T, l);
        mlp_block(m, T, l, next_norm(m, l));
    }
    return m->scratch[NORMED];
}

void model_count(struct model *m, int64_t rows, double keys)
{
    m->stats.rows += rows;
    m->stats.forwards++;
    m->stats.attended_keys += keys;
}

const void *model_run(struct model *m, const struct batch *batch)
{
    double keys = 0;
    if (m->poll) m->poll(m->poll_arg);
    for (int64_t t = 0; t < batch->T; t++) keys += (double)(batch->position[t] + 1);
    model_count(m, batch->T, keys);
    m->backend->ops->batch_begin(m->backend, m->kv, batch);
    return model_forward(m, batch->T);
}

const void *model_row(const struct model *m, const void *hidden, int64_t row)
{
    return (const char *)hidden + (size_t)(row * m->arch.D) * dtype_bytes(m->backend->activation);
}

void model_logits(struct model *m, const void *hidden, int64_t R, float *logits)
{
    struct backend *b = m->backend;
    b->ops->gemm(b, logits, DTYPE_ID_F32, hidden, m->weights.lm_head, NULL, R);
    if (m->arch.logit_softcap > 0)
        b->ops->softcap(b, logits, R * m->shard.V_local, m->arch.logit_softcap);
}

/* ---- where numbers stop being finite ---- */

static bool is_finite(struct model *m, const float *x, int64_t n, float *host)
{
    m->backend->ops->download(m->backend, host, x, (size_t)n * sizeof *host);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(host[i])) return false;
    return true;
}

/* Every rank goes through all of it, whatever it finds: the ops are collective. */
struct model_place model_find_fault(struct model *m, const struct batch *batch, float *logits)
{
    const float *x = m->scratch[X];
    int64_t D = m->arch.D, V = m->arch.V - m->shard.vocab_begin, L = m->arch.L;
    if (V > m->shard.V_local) V = m->shard.V_local; /* the rest is padding */
    float *host = mem_calloc((size_t)(D > V ? D : V), sizeof *host);
    struct model_place found = {MODEL_NOWHERE, 0};
    ENSURE(batch->T == 1);
    m->backend->ops->batch_begin(m->backend, m->kv, batch);
    embed_rows(m, 1);
    if (!is_finite(m, x, D, host)) found.part = MODEL_EMBEDDING;
    for (int64_t l = 0; l < L; l++) {
        attention_block(m, 1, l);
        if (found.part == MODEL_NOWHERE && !is_finite(m, x, D, host))
            found = (struct model_place){MODEL_ATTENTION, l};
        mlp_block(m, 1, l, next_norm(m, l));
        if (found.part == MODEL_NOWHERE && !is_finite(m, x, D, host))
            found = (struct model_place){MODEL_MLP, l};
    }
    model_logits(m, m->scratch[NORMED], 1, logits);
    bool is_bad = V > 0 && !is_finite(m, logits, V, host);
    is_bad = comm_max_i64(m->backend->tensor, is_bad) > 0; /* each rank has its own columns */
    if (found.part == MODEL_NOWHERE && is_bad) found = (struct model_place){MODEL_HEAD, L};
    free(host);
    return found;
}

void model_place_text(struct model_place p, char *out, size_t size)
{
    switch (p.part) {
    case MODEL_UNKNOWN:
        snprintf(out, size, "not looked for");
        break;
    case MODEL_EMBEDDING:
        snprintf(out, size, "from the embedding on");
        break;
    case MODEL_ATTENTION:
    case MODEL_MLP:
        snprintf(out, size, "from the %s of layer %lld on",
                 p.part == MODEL_MLP ? "MLP" : "attention", (long long)p.layer);
        break;
    case MODEL_HEAD:
        snprintf(out, size, "behind the last layer");
        break;
    case MODEL_NOWHERE:
        snprintf(out, size, "not again when computed again");
        break;
    }
}

struct cost model_stats_cost(const struct arch *a, const struct model_stats *s, double weight_bytes,
                             double token_bytes)
{
    return (struct cost){.flops = (double)s->rows * cost_row_flops(a) +
                                  (double)s->logits_rows * cost_logits_flops(a) +
                                  s->attended_keys * cost_attention_flops(a, 1),
                         .bytes = s->forwards * weight_bytes + s->attended_keys * token_bytes};
}

int64_t model_weight_bytes(const struct model *m)
{
    return (int64_t)m->weights.bytes * m->shard.P;
}

int64_t model_kv_bytes(const struct model *m)
{
    if (!m->backend) return 0;
    size_t element = dtype_bytes(dtype_beside(m->backend->dtype));
    return (int64_t)cost_kv_token_bytes(&m->arch, &m->shard, element) * m->shard.P;
}

struct cost model_cost(const struct model *m, const struct model_stats *s)
{
    return model_stats_cost(&m->arch, s, (double)model_weight_bytes(m), (double)model_kv_bytes(m));
}

void model_stats_add(struct model_stats *sum, const struct model_stats *before,
                     const struct model_stats *after)
{
    sum->rows += after->rows - before->rows;
    sum->logits_rows += after->logits_rows - before->logits_rows;
    sum->forwards += after->forwards - before->forwards;
    sum->attended_keys += after->attended_keys - before->attended_keys;
}
