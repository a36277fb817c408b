#include "decode/reward_keep.h"

#include "base/mem.h"
#include "decode/reward_head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void set_ids(struct ids *to, const int32_t *from, int64_t n)
{
    ARRAY_RESERVE(*to, (size_t)n);
    if (n) memcpy(to->items, from, (size_t)n * sizeof *from);
    to->n = (size_t)n;
}

size_t scorer_workspace_bytes(const struct arch *a, enum dtype activation, int64_t max_rows)
{
    return (size_t)max_rows * (size_t)a->D * dtype_bytes(activation);
}

struct scorer *scorer_create(struct model *m, struct kvcache *k, const struct bridge *bridge,
                             enum scorer_cache cache, struct err *e)
{
    struct scorer *s = mem_calloc(1, sizeof *s);
    size_t rows = (size_t)m->max_rows, D = (size_t)m->arch.D;
    s->model = m;
    s->kv = k;
    s->bridge = bridge;
    s->cache = cache;
    parking_init(&s->parking, m);
    size_t bytes = scorer_workspace_bytes(&m->arch, m->backend->activation, m->max_rows);
    s->hidden = m->backend->ops->alloc(m->backend, bytes);
    s->hidden_act = mem_calloc(rows * D, dtype_bytes(m->backend->activation));
    s->hidden_host = mem_calloc(rows * D, sizeof(float));
    s->pack.token = mem_calloc(rows, sizeof(int32_t));
    s->pack.position = mem_calloc(rows, sizeof(int32_t));
    s->pack.rows = mem_calloc(rows, sizeof(int32_t));
    s->pack.segments = mem_calloc(rows, sizeof(struct segment));
    s->pack.item = mem_calloc(rows, sizeof(int64_t));
    if (!s->hidden) {
        err_set(e, "no memory for %zu rows of the reward model's hidden states", rows);
        scorer_destroy(s);
        return NULL;
    }
    return s;
}

void scorer_set_gate_pattern(struct scorer *s, const int32_t *ids, int64_t n)
{
    set_ids(&s->gate_pattern, ids, n);
}

void scorer_destroy(struct scorer *s)
{
    if (!s) return;
    while (s->youngest) scorer_end(s, s->youngest);
    free(s->gate_pattern.items);
    s->model->backend->ops->free(s->model->backend, s->hidden);
    free(s->hidden_act);
    free(s->hidden_host);
    free(s->pack.token);
    free(s->pack.position);
    free(s->pack.rows);
    free(s->pack.segments);
    free(s->pack.item);
    free(s->pack.arriving.items);
    free(s->leaving.items);
    parking_free(&s->parking);
    free(s->scratch.items);
    free(s);
}

/* Run what is in the pack; host rows of hidden afterwards. */
static void pack_forward(struct scorer *s)
{
    struct pack *p = &s->pack;
    struct backend *b = s->model->backend;
    struct batch batch = {
        .token = p->token, .position = p->position, .segments = p->segments, .T = p->T, .S = p->S};
    b->ops->kv_write(b, s->model->kv, p->arriving.items, (int64_t)p->arriving.n);
    p->arriving.n = 0;
    const void *hidden = model_run(s->model, &batch);
    if (p->R == 0) return;
    size_t numbers = (size_t)(p->R * s->model->arch.D), number_bytes = dtype_bytes(b->activation);
    b->ops->gather_rows(b, s->hidden, hidden, p->rows, p->R,
                        (size_t)s->model->arch.D * number_bytes);
    b->ops->download(b, s->hidden_act, s->hidden, numbers * number_bytes);
    dtype_widen(s->hidden_host, s->hidden_act, b->activation, numbers);
}

/* Append rows for tokens ids[at, at + n) of a segment whose own tokens begin at `base`. */
static void pack_rows(struct pack *p, const int32_t *ids, int64_t base, int64_t at, int64_t n,
                      struct segment segment)
{
    segment.row = p->T;
    segment.n_rows = n;
    segment.first_position = base + at;
    p->segments[p->S++] = segment;
    for (int64_t t = 0; t < n; t++) {
        p->token[p->T] = ids[at + t];
        p->position[p->T++] = to_i32(base + at + t);
    }
}

static void empty_pack(struct scorer *s)
{
    s->pack.T = s->pack.S = s->pack.R = 0;
    s->pack.arriving.n = 0;
}

/* Rows of a chunk [at, at + T) of the prefix whose hidden states are wanted: the gate's, and the
 * last one. */
static void prefix_rows(struct pack *p, int64_t at, int64_t T, int64_t gate_row, int64_t n)
{
    p->R = 0;
    if (gate_row >= at && gate_row < at + T) p->rows[p->R++] = to_i32(gate_row - at);
    if (at + T == n) p->rows[p->R++] = to_i32(T - 1);
}

/* KV of the prefix, the hidden state of its last token, and the gate. */
static int compute_prefix(struct scorer *s, struct scorer_prompt *q, struct err *e)
{
    const struct arch *a = &s->model->arch;
    const struct head_weights *head = &s->model->weights.head;
    int64_t n = (int64_t)q->prefix.n, max_rows = s->model->max_rows, gate_row = -1;
    if (a->head == HEAD_GATED) {
        gate_row = reward_head_gate_row(q->prefix.items, n, s->gate_pattern.items,
                                        (int64_t)s->gate_pattern.n);
        if (gate_row < 0)
            return err_set(e,
                           "the prompt does not hold the turn marker that opens %s's gate; use the "
                           "reward model's "
                           "own template",
                           a->name);
    }
    while (page_list_grow(&q->prefix_pages, s->kv, n) < 0)
        if (!keep_drop_younger(s, q) && !keep_drop(s, q) && !keep_drop_older(s, q))
            return err_set(e, "the reward model's %lld prompt tokens do not fit its pool of %lld",
                           (long long)n, (long long)(kvcache_budget(s->kv) * PAGE_TOKENS));
    struct pack *p = &s->pack;
    int rc = 0;
    for (int64_t at = 0; at < n && rc == 0; at += max_rows) {
        int64_t T = n - at < max_rows ? n - at : max_rows;
        p->T = p->S = 0;
        pack_rows(p, q->prefix.items, 0, at, T,
                  (struct segment){.prefix_pages = q->prefix_pages.items, .prefix_len = n});
        prefix_rows(p, at, T, gate_row, n);
        pack_forward(s);
        if (gate_row >= at && gate_row < at + T)
            rc = reward_head_gate(a, head, s->hidden_host, q->gate);
    }
    if (rc < 0) return err_set(e, "%s: the gate of the prompt is not finite", a->name);
    memcpy(q->prefix_hidden, s->hidden_host + (p->R - 1) * a->D, (size_t)a->D * sizeof(float));
    empty_pack(s);
    return 0;
}

static int start_prompt(struct scorer *s, struct scorer_prompt *p, struct err *e)
{
    int64_t n_prefix = (int64_t)p->prefix.n, n_closing = (int64_t)p->closing.n;
    const int32_t *prefix = p->prefix.items;
    if (n_prefix < 1) return err_set(e, "the prompt has no tokens for the reward model");
    for (int64_t t = 0; t < n_prefix; t++)
        if (prefix[t] < 0 || prefix[t] >= s->model->arch.V)
            return err_set(e, "prompt token id %d is outside the reward model's vocabulary of %lld",
                           prefix[t], (long long)s->model->arch.V);
    if (n_prefix + n_closing > s->model->max_positions)
        return err_set(e,
                       "the prompt has %lld tokens for the reward model, whose context holds %lld",
                       (long long)(n_prefix + n_closing), (long long)s->model->max_positions);
    return s->cache == SCORER_CACHE_NONE ? 0 : compute_prefix(s, p, e);
}

struct scorer_prompt *scorer_begin(struct scorer *s, const int32_t *prefix, int64_t n_prefix,
                                   const int32_t *closing, int64_t n_closing, struct err *e)
{
    struct scorer_prompt *p = mem_calloc(1, sizeof *p);
    p->prefix_hidden = mem_calloc((size_t)s->model->arch.D, sizeof(float));
    p->gate = mem_calloc((size_t)s->model->arch.n_objectives, sizeof(float));
    set_ids(&p->prefix, prefix, n_prefix);
    set_ids(&p->closing, closing, n_closing);
    p->older = s->youngest;
    if (p->older) p->older->younger = p;
    s->youngest = p;
    if (start_prompt(s, p, e) == 0) return p;
    scorer_end(s, p);
    return NULL;
}

static void unlink_prompt(struct scorer *s, struct scorer_prompt *p)
{
    if (p->older) p->older->younger = p->younger;
    if (p->younger)
        p->younger->older = p->older;
    else
        s->youngest = p->older;
}

void scorer_end(struct scorer *s, struct scorer_prompt *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->slots.n; i++) keep_free(s, &p->slots.items[i]);
    empty_pack(s);
    page_list_free(&p->prefix_pages, s->kv);
    unlink_prompt(s, p);
    free(p->slots.items);
    free(p->prefix.items);
    free(p->closing.items);
    free(p->prefix_hidden);
    free(p->gate);
    free(p);
}

/* Run the pack, turn finished items into rewards, trim what their slots keep. */
static void flush(struct scorer *s, struct scorer_prompt *q, const struct score_item *items,
                  float *rewards)
{
    struct pack *p = &s->pack;
    if (p->T == 0) return;
    pack_forward(s);
    const struct arch *a = &s->model->arch;
    for (int64_t i = 0; i < p->R; i++) {
        rewards[p->item[i]] =
            reward_head_apply(a, &s->model->weights.head, s->hidden_host + i * a->D, q->gate);
        keep_settle(s, q, keep_slot(q, items[p->item[i]].candidate));
    }
    struct backend *b = s->model->backend;
    b->ops->kv_read(b, s->model->kv, s->leaving.items, (int64_t)s->leaving.n);
    s->leaving.n = 0;
    p->T = p->S = p->R = 0;
}

static int err_pool(const struct scorer *s, int64_t n, struct err *e)
{
    return err_set(e, "a text of %lld reward tokens does not fit the reward model's pool of %lld",
                   (long long)n, (long long)(kvcache_budget(s->kv) * PAGE_TOKENS));
}

/* Pages for n tokens of this slot: first from the pool, then by dropping kept KV, of younger
 * prompts first, then by running the pack. */
static int take_pages(struct scorer *s, struct scorer_prompt *p, struct slot *slot, int64_t n,
                      const struct score_item *items, float *rewards, struct err *e)
{
    while (page_list_grow(&slot->pages, s->kv, n) < 0) {
        if (keep_drop_younger(s, p) || keep_drop(s, p)) continue;
        if (s->pack.T > 0)
            flush(s, p, items, rewards);
        else if (!keep_drop_older(s, p))
            return err_pool(s, n, e);
    }
    return 0;
}

static int64_t common_prefix(const struct ids *a, const struct ids *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->items[n] == b->items[n]) n++;
    return (int64_t)n;
}

/* The reward model's tokens after the prefix, into s->scratch. */
static int convert(struct scorer *s, const struct scorer_prompt *p, const struct score_item *item,
                   struct err *e)
{
    if (s->bridge)
        TRY(bridge_convert(s->bridge, item->tokens, (size_t)item->n_tokens, &s->scratch, e));
    else
        set_ids(&s->scratch, item->tokens, item->n_tokens);
    for (size_t c = 0; c < p->closing.n; c++) ARRAY_PUSH(s->scratch, p->closing.items[c]);
    int64_t n = (int64_t)(p->prefix.n + s->scratch.n);
    for (size_t t = 0; t < s->scratch.n; t++)
        if (s->scratch.items[t] < 0 || s->scratch.items[t] >= s->model->arch.V)
            return err_set(
                e, "candidate %d: token id %d is outside the reward model's vocabulary of %lld",
                item->candidate, s->scratch.items[t], (long long)s->model->arch.V);
    if (n > s->model->max_positions)
        return err_set(
            e, "candidate %d has %lld tokens for the reward model, whose context holds %lld",
            item->candidate, (long long)n, (long long)s->model->max_positions);
    return 0;
}

int scorer_check(struct scorer *s, const struct scorer_prompt *p, const struct score_item *item,
                 struct err *e)
{
    TRY(convert(s, p, item, e));
    int64_t n = (int64_t)s->scratch.n, prefix = pages_of((int64_t)p->prefix.n);
    return prefix + pages_of(n) > kvcache_budget(s->kv) ? err_pool(s, n, e) : 0;
}

/* Put the rows that item i needs into packs. */
static int score_one(struct scorer *s, struct scorer_prompt *q, const struct score_item *items,
                     int64_t i, float *rewards, struct err *e)
{
    struct pack *p = &s->pack;
    TRY(convert(s, q, &items[i], e));
    int64_t base = (int64_t)q->prefix.n, n = (int64_t)s->scratch.n;
    if (n == 0) { /* an empty response without closing: the prompt itself is scored */
        rewards[i] =
            reward_head_apply(&s->model->arch, &s->model->weights.head, q->prefix_hidden, q->gate);
        return 0;
    }
    struct slot *slot = keep_slot(q, items[i].candidate);
    int64_t kept = common_prefix(&slot->ids, &s->scratch);
    if (kept == n) kept = n - 1; /* the last row's hidden state is needed */
    keep_first(s, slot, kept);
    slot->in_pack = true;
    TRY(take_pages(s, q, slot, n, items, rewards, e));
    if (s->cache == SCORER_CACHE_HOST) keep_fetch(s, slot, kept);
    set_ids(&slot->ids, s->scratch.items, n);
    struct segment segment = {
        .prefix_pages = q->prefix_pages.items, .prefix_len = base, .own_pages = slot->pages.items};
    for (int64_t at = kept; at < n;) {
        if (p->T == s->model->max_rows) flush(s, q, items, rewards);
        int64_t room = s->model->max_rows - p->T, rows = n - at < room ? n - at : room;
        pack_rows(p, slot->ids.items, base, at, rows, segment);
        at += rows;
    }
    p->item[p->R] = i;
    p->rows[p->R++] = to_i32(p->T - 1);
    return 0;
}

int scorer_score(struct scorer *s, struct scorer_prompt *p, const struct score_item *items,
                 int64_t n, float *rewards, struct err *e)
{
    if (n == 0) return 0;
    if (p->prefix_pages.n == 0) TRY(compute_prefix(s, p, e));
    /* Slots are made first: growing the array later would move them under the pack. */
    for (int64_t i = 0; i < n; i++) keep_slot(p, items[i].candidate);
    int rc = 0;
    for (int64_t i = 0; i < n && rc == 0; i++) rc = score_one(s, p, items, i, rewards, e);
    if (rc == 0)
        flush(s, p, items, rewards);
    else
        empty_pack(s); /* the next prompt's rows do not follow these */
    if (s->cache == SCORER_CACHE_NONE) page_list_shrink(&p->prefix_pages, s->kv, 0);
    return rc;
}

float reward_self(double logprob_sum, int64_t n_tokens)
{
    float reward = n_tokens > 0 ? (float)-exp(-logprob_sum / (double)n_tokens) : NAN;
    return isfinite(reward) ? reward : NAN;
}
