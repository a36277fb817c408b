#include "run/plan/price.h"

#include <math.h>

/* KV heads that are fewer than the ranks are held and read by several of them. */
static struct arch as_split(const struct arch *a, int64_t tensor)
{
    struct arch b = *a;
    if (b.G < tensor) b.G = tensor;
    return b;
}

static double latency(const struct price_setup *p)
{
    return hardware_get(p->hardware,
                        p->across_nodes ? FIGURE_NETWORK_LATENCY : FIGURE_LINK_LATENCY);
}

double price_exchange_s(const struct price_setup *p, const struct arch *a, int64_t rows)
{
    if (p->tensor == 1) return 0;
    double rate = hardware_get(p->hardware, p->across_nodes ? FIGURE_NETWORK : FIGURE_LINK);
    double bytes = (double)(p->tensor - 1) * (double)rows * (double)a->D * sizeof(float);
    return latency(p) + bytes / rate;
}

/* Of a pass over rows through all layers: attention's and the MLP's output, and the embedding. */
static double pass_exchange_s(const struct price_setup *p, const struct arch *a, int64_t rows)
{
    return (double)(2 * a->L + 1) * price_exchange_s(p, a, rows);
}

/* Top-k pairs or sums over the vocabulary's shares: little data, a few collectives. */
static double sample_exchange_s(const struct price_setup *p)
{
    return p->tensor == 1 ? 0 : 3 * latency(p);
}

static double rate(const struct price_setup *p, enum figure_id f)
{
    return hardware_get(p->hardware, f) * (double)p->tensor;
}

struct part {
    double device_s, exchange_s;
};

static void add(struct part *sum, double device_s, double exchange_s)
{
    sum->device_s += device_s;
    sum->exchange_s += exchange_s;
}

static double slower(const struct price_setup *p, struct cost c)
{
    return fmax(c.bytes / rate(p, FIGURE_BANDWIDTH), c.flops / rate(p, FIGURE_COMPUTE));
}

/* A step of more candidates than max_rows is made in slices. */
static void decode_step(const struct price_setup *p, const struct arch *a,
                        const struct work_step *s, int64_t prompt_tokens, struct part *sum)
{
    int64_t B = (s->B + p->groups - 1) / p->groups;
    double mean = (double)s->own / (double)s->B;
    for (int64_t at = 0; at < B; at += p->max_rows) {
        int64_t n = B - at < p->max_rows ? B - at : p->max_rows;
        add(sum,
            cost_decode_floor_s(a, p->hardware->dtype, n, prompt_tokens, llround(mean * (double)n),
                                rate(p, FIGURE_BANDWIDTH), rate(p, FIGURE_COMPUTE)),
            pass_exchange_s(p, a, n) + sample_exchange_s(p));
    }
}

static struct part decode(const struct price_setup *p, const struct work *w)
{
    struct arch a = as_split(p->generator, p->tensor);
    struct part sum = {0};
    for (size_t i = 0; i < w->steps.n; i++)
        decode_step(p, &a, &w->steps.items[i], w->prompt_tokens, &sum);
    return sum;
}

static void prefill_of(const struct price_setup *p, const struct arch *model, int64_t n,
                       int64_t logits, struct part *sum)
{
    struct arch a = as_split(model, p->tensor);
    for (int64_t at = 0; at < n; at += p->max_rows) {
        int64_t rows = n - at < p->max_rows ? n - at : p->max_rows;
        bool last = at + rows == n;
        add(sum, slower(p, cost_prefill(&a, p->hardware->dtype, at, rows, last ? logits : 0)),
            pass_exchange_s(p, &a, rows));
    }
}

static struct part prefill(const struct price_setup *p, const struct work *w)
{
    struct part sum = {0};
    prefill_of(p, p->generator, w->prompt_tokens, 1, &sum);
    if (p->reward) prefill_of(p, p->reward, w->reward_prompt_tokens, 0, &sum);
    return sum;
}

/* Rows packed into passes of max_rows; the keys before them are read once a pass and text. */
static struct part scoring(const struct price_setup *p, const struct work *w)
{
    struct part sum = {0};
    if (!p->reward) return sum;
    struct arch a = as_split(p->reward, p->tensor);
    double weights = cost_prefill(&a, p->hardware->dtype, 0, 0, 0).bytes;
    double token_kv = cost_prefill(&a, p->hardware->dtype, 0, 1, 0).bytes - weights;
    for (size_t i = 0; i < w->scores.n; i++) {
        const struct work_score *s = &w->scores.items[i];
        int64_t rows = (s->rows + p->groups - 1) / p->groups;
        int64_t passes = (rows + p->max_rows - 1) / p->max_rows;
        struct cost c = {.flops = (double)rows * cost_row_flops(&a) +
                                  s->keys / (double)p->groups * cost_attention_flops(&a, 1),
                         .bytes = (double)passes * weights + (double)rows * token_kv};
        add(&sum, slower(p, c),
            (double)passes * pass_exchange_s(p, &a, rows < p->max_rows ? rows : p->max_rows));
    }
    return sum;
}

/* Groups that share a prompt tell the first rank what their candidates look like and hear what it
 * decides, at every decision point: two collectives over the tree of all ranks. */
static double deciding_s(const struct price_setup *p, const struct work *w)
{
    if (p->groups == 1) return 0;
    double ranks = (double)(p->groups * p->tensor);
    return 2.0 * (double)w->decisions * ceil(log2(ranks)) *
           hardware_get(p->hardware, FIGURE_NETWORK_LATENCY);
}

struct price price_work(const struct price_setup *p, const struct work *w)
{
    struct part begin = prefill(p, w), steps = decode(p, w), scores = scoring(p, w);
    double gen = hardware_get(p->hardware, FIGURE_EFFICIENCY),
           score = hardware_get(p->hardware, FIGURE_SCORE_EFFICIENCY);
    struct price x = {.floor = {begin.device_s + begin.exchange_s,
                                steps.device_s + steps.exchange_s,
                                scores.device_s + scores.exchange_s},
                      .expected = {begin.device_s / score + begin.exchange_s,
                                   steps.device_s / gen + steps.exchange_s,
                                   scores.device_s / score + scores.exchange_s},
                      .exchange_s = begin.exchange_s + steps.exchange_s + scores.exchange_s,
                      .decide_s = deciding_s(p, w)};
    x.floor_s = x.floor.prefill_s + x.floor.generate_s + x.floor.score_s + x.decide_s;
    x.expected_s = (x.expected.prefill_s + x.expected.generate_s + x.expected.score_s) *
                       hardware_get(p->hardware, FIGURE_OVERHEAD) +
                   x.decide_s;
    return x;
}
