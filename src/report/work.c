#include "report/work.h"

#include "base/mem.h"

#include <stdlib.h>

static int64_t passes(int64_t rows, int64_t max_rows)
{
    return (rows + max_rows - 1) / max_rows;
}

/* Keys that rows at positions base .. base + n - 1 attend to: themselves and all before. */
static double keys_of(int64_t base, int64_t n)
{
    return (double)n * (double)base + (double)n * (double)(n + 1) / 2;
}

static void add(struct model_stats *to, const struct model_stats *s)
{
    to->rows += s->rows;
    to->logits_rows += s->logits_rows;
    to->forwards += s->forwards;
    to->attended_keys += s->attended_keys;
}

/* n tokens from position 0 on, in passes of their own. */
static struct model_stats prefill(int64_t n, int64_t max_rows)
{
    return (struct model_stats){
        .rows = n, .forwards = (double)passes(n, max_rows), .attended_keys = keys_of(0, n)};
}

int64_t *work_live(const struct replay *x, int64_t *steps)
{
    *steps = 0;
    for (int64_t i = 0; i < x->n; i++)
        if (replay_decoded(&x->candidates[i]) > *steps) *steps = replay_decoded(&x->candidates[i]);
    int64_t *live = mem_calloc((size_t)*steps + 1, sizeof *live), now = x->n;
    for (int64_t i = 0; i < x->n; i++) live[replay_decoded(&x->candidates[i])]++; /* ends there */
    for (int64_t s = 0; s <= *steps; s++) live[s] = now -= live[s];
    return live;
}

/* Decoding passes when more candidates may generate than one pass holds. */
static int64_t decoding_passes(const struct replay *x, int64_t max_rows)
{
    int64_t steps, n = 0, *live = work_live(x, &steps);
    for (int64_t s = 1; s < steps; s++) n += passes(live[s], max_rows);
    free(live);
    return n;
}

/* The first token is drawn from the prompt's logits; every further one takes a row. */
static struct model_stats decoding(const struct replay *x, int64_t prompt_tokens, int64_t max_rows,
                                   int64_t *steps)
{
    struct model_stats s = {0};
    int64_t longest = 0;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t n = replay_decoded(&x->candidates[i]);
        s.rows += n - 1;
        s.attended_keys += keys_of(prompt_tokens, n - 1);
        if (n > longest) longest = n;
    }
    s.logits_rows = s.rows;
    s.forwards = (double)(x->n > max_rows ? decoding_passes(x, max_rows) : longest - 1);
    *steps = longest;
    return s;
}

/* decode/reward.c: the rows behind the text that is kept, and the closing tokens. */
struct model_stats work_of_call(const struct replay_scoring *items, int64_t n, int64_t *kept,
                                int64_t max_rows, enum reward_cache cache,
                                const struct reward_frame *frame)
{
    bool keeps = cache == CACHE_DEVICE || cache == CACHE_HOST;
    struct model_stats s = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t all = items[i].tokens + frame->closing, have = kept[items[i].candidate];
        if (all == 0) continue; /* the prompt itself is scored */
        if (have == all) have = all - 1;
        s.rows += all - have;
        s.attended_keys += keys_of(frame->prefix + have, all - have);
        if (keeps) kept[items[i].candidate] = items[i].tokens;
    }
    s.forwards = (double)passes(s.rows, max_rows);
    if (cache != CACHE_NONE) return s;
    struct model_stats prefix = prefill(frame->prefix, max_rows);
    add(&s, &prefix);
    return s;
}

static struct model_stats scoring(const struct replay *x, int64_t max_rows, enum reward_cache cache,
                                  const struct reward_frame *frame)
{
    struct model_stats all = {0};
    int64_t *kept = mem_calloc((size_t)x->n, sizeof *kept), n = (int64_t)x->scorings.n;
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && x->scorings.items[end].call == x->scorings.items[i].call;) end++;
        struct model_stats s =
            work_of_call(&x->scorings.items[i], end - i, kept, max_rows, cache, frame);
        add(&all, &s);
    }
    free(kept);
    return all;
}

struct work work_of(const struct replay *x, int64_t prompt_tokens, int64_t max_rows,
                    enum reward_cache cache, const struct reward_frame *frame)
{
    struct work w = {.generator = prefill(prompt_tokens, max_rows)};
    struct model_stats s = decoding(x, prompt_tokens, max_rows, &w.steps);
    w.generator.logits_rows = 1;
    add(&w.generator, &s);
    if (!frame) return w;
    w.reward = scoring(x, max_rows, cache, frame);
    w.tokens_scored = w.reward.rows;
    if (cache == CACHE_NONE) return w;
    s = prefill(frame->prefix, max_rows);
    add(&w.reward, &s);
    return w;
}
