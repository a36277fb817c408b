/* Time of prefill and of decode steps on a random model of a given shape, beside their floor.
 *
 *     bench_decode CONFIG_FOLDER [options] B...      (bench.h has those that all have)
 *         --prompt P,...  shared prompt tokens             --own S,...  own tokens before the clock
 *         --new T       tokens that are timed
 *
 * One line per P, S and B, as CSV: B, P, S, T, prefill_ms, step_ms (median over repeats of the time
 * of T steps), tok_s, floor_ms (model/cost.h), ratio (floor over time), gflops of the step, rows
 * that were computed beyond the live ones per step, hand_us: what each handing of steps to a device
 * costs on the host (as many steps one at a time against several at a time; 0 where the host is the
 * device).  A B whose KV does not fit is a line that says so.
 *
 * Own tokens' K and V are what their pages happened to hold: time does not depend on it. */
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/op_times.h"
#include "decode/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    struct bench b;
    int64_t P, S, T; /* P, S: those of `prompts` and `owns` in turn */
    struct numbers prompts, owns;
};

/* A live candidate with S own tokens, without pages yet. */
static void start(struct sequence *q, const struct setup *s, int32_t number)
{
    sequence_init(q, number, s->S + s->T + 2);
    q->status = SEQUENCE_LIVE;
    for (int64_t i = 0; i < s->S; i++)
        q->tokens[q->n_tokens++] = (int32_t)((i * 104729 + number * 7919 + 5) % 251);
}

/* Pages for all own tokens but the newest, in the order in which B candidates come to need them. */
static void take_pages(struct kvcache *k, struct sequence *const *live, int64_t B, int64_t S)
{
    for (int64_t have = 0; have < S - 1; have += PAGE_TOKENS)
        for (int64_t i = 0; i < B; i++) {
            live[i]->kv_tokens = have + PAGE_TOKENS < S - 1 ? have + PAGE_TOKENS : S - 1;
            if (page_list_grow(&live[i]->pages, k, live[i]->kv_tokens) < 0)
                DIE("no pages for %lld own tokens", (long long)S);
        }
}

/* T more tokens for each, at most `ahead` at a time; seconds per token, how often steps were handed
 * over. */
struct timing {
    double step_s;
    int64_t hands;
};
static struct timing timed_steps(const struct bench *b, struct engine *g, struct decoding *part,
                                 int64_t T, int64_t ahead)
{
    struct timing t = {0};
    double begin = bench_clock_s(b);
    for (int64_t done = 0; done < T; t.hands++) {
        int64_t steps = engine_steps(g, part->live, part->n, T - done < ahead ? T - done : ahead);
        engine_step(g, part, 1, steps);
        if (part->n_broken > 0) DIE("logits are not finite");
        done += steps;
    }
    t.step_s = (bench_clock_s(b) - begin) / (double)T;
    return t;
}

static void print_line(const struct model *m, const struct setup *s, int64_t B, double prefill,
                       double step, double hand, const struct model_stats *before)
{
    double gbs = s->b.gbs, tflops = s->b.tflops;
    struct model_stats done = {0};
    model_stats_add(&done, before, &m->stats);
    struct cost cost = model_cost(m, &done);
    double rows = (double)(m->stats.rows - before->rows) / (double)s->T;
    printf("%lld,%lld,%lld,%lld,%.2f,%.3f,%.1f,", (long long)B, (long long)s->P, (long long)s->S,
           (long long)s->T, prefill * 1e3, step * 1e3, (double)B / step);
    if (gbs > 0 && tflops > 0) {
        int64_t own = B * (s->S + s->T / 2 + 1);
        double ranks = (double)comm_size(m->backend->tensor);
        double floor = cost_decode_floor_s(&m->arch, m->backend->dtype, B, s->P, own,
                                           ranks * gbs * 1e9, ranks * tflops * 1e12);
        printf("%.3f,%.3f,", floor * 1e3, floor / step);
    } else {
        printf(",,");
    }
    printf("%.1f,%.2f,%.1f\n", cost.flops / (double)s->T / step * 1e-9, rows - (double)B,
           hand * 1e6);
    fflush(stdout);
}

/* Everything of one B. */
struct run {
    struct model *m;
    struct kvcache *k;
    struct engine *g;
    const struct setup *s;
    int64_t B;
    int32_t *ids;           /* [P] */
    struct sequence *seqs;  /* [B] */
    struct sequence **live; /* [B] */
    struct engine_prompt prompt;
    struct decoding part;      /* all of it */
    double prefill_s, steps_s; /* of the last run */
    struct model_stats then;   /* when its clock started */
    struct op_times ops;       /* of its steps */
};

/* Prefill, own tokens, first tokens, then T timed steps. */
static struct timing run_once(struct run *r, int64_t number, int64_t ahead)
{
    const struct setup *s = r->s;
    struct err e;
    double t0 = bench_clock_s(&s->b);
    if (engine_begin(r->g, &r->prompt, r->k, number, r->ids, s->P, &e) < 0) DIE("%s", e.text);
    r->prefill_s = bench_clock_s(&s->b) - t0;
    for (int64_t i = 0; i < r->B; i++) {
        start(&r->seqs[i], s, (int32_t)i);
        r->live[i] = &r->seqs[i];
    }
    take_pages(r->k, r->live, r->B, s->S);
    r->part = (struct decoding){.prompt = &r->prompt, .live = r->live, .n = r->B};
    engine_step(r->g, &r->part, 1, 1);
    r->then = r->m->stats;
    r->ops.n = 0;
    if (s->b.shows_ops) op_times_into(&s->b, &r->ops);
    struct timing t = timed_steps(&s->b, r->g, &r->part, s->T, ahead);
    r->steps_s = t.step_s * (double)s->T;
    if (s->b.shows_ops) op_times_into(&s->b, NULL);
    return t;
}

static void run_end(struct run *r)
{
    for (int64_t i = 0; i < r->B; i++) sequence_free(&r->seqs[i], r->k);
    engine_end(r->g, &r->prompt);
}

/* Median seconds of a step; *hands: of a run. */
static double median_step(struct run *r, int64_t ahead, int64_t *hands)
{
    int64_t R = r->s->b.repeat;
    double *times = mem_calloc((size_t)R, sizeof *times);
    for (int64_t i = 0; i < R; i++) {
        if (i > 0) run_end(r);
        struct timing t = run_once(r, i, ahead);
        times[i] = t.step_s;
        *hands = t.hands;
    }
    double median = bench_median(times, R);
    free(times);
    return median;
}

/* Seconds of a handing over: what T of them take longer than `hands`. */
static double hand_s(struct run *r, double step, int64_t hands)
{
    int64_t T = r->s->T, ones = 0;
    if (hands >= T) return 0;
    double alone = median_step(r, 1, &ones);
    run_end(r);
    return (alone - step) * (double)T / (double)(ones - hands);
}

static void measure(struct model *m, struct kvcache *k, struct engine *g, const struct setup *s,
                    int64_t B)
{
    struct run r = {.m = m,
                    .k = k,
                    .g = g,
                    .s = s,
                    .B = B,
                    .ids = mem_calloc((size_t)s->P, sizeof *r.ids),
                    .seqs = mem_calloc((size_t)B, sizeof *r.seqs),
                    .live = mem_calloc((size_t)B, sizeof *r.live)};
    int64_t hands = 0;
    for (int64_t i = 0; i < s->P; i++) r.ids[i] = bench_token(&s->b, i);
    double step = median_step(&r, INT64_MAX, &hands), prefill = r.prefill_s;
    struct model_stats then = r.then, now = m->stats;
    run_end(&r);
    double hand = hand_s(&r, step, hands);
    m->stats = now; /* of the run that is printed */
    print_line(m, s, B, prefill, step, hand, &then);
    if (s->b.shows_ops) op_times_print(&r.ops, r.steps_s);
    free(r.ids);
    free(r.seqs);
    free(r.live);
}

/* Pages that B candidates take. */
static int64_t pages_for(const struct setup *s, int64_t B)
{
    return pages_of(s->P) + B * pages_of(s->S + s->T + 1);
}

/* All B of one P and S. */
static void measure_all(struct setup *s)
{
    struct err e;
    struct model *m = &s->b.m;
    int64_t positions = s->P + s->S + s->T + 2, pages = 0;
    for (int i = 0; i < s->b.B.n; i++)
        if (pages_for(s, s->b.B.items[i]) > pages) pages = pages_for(s, s->b.B.items[i]);
    pages = bench_pages(&s->b, pages, positions, 0);
    if (model_prepare(m, positions, s->b.rows, pages, &e) < 0) DIE("%s", e.text);
    struct kvcache *k = kvcache_create(m, pages);
    struct engine_config c = {.sample = {.temperature = 1, .top_k = 50, .top_p = 1},
                              .max_new_tokens = s->S + s->T + 2};
    struct engine *g = engine_create(m, &c, &e);
    if (!g) DIE("%s", e.text);
    for (int i = 0; i < s->b.B.n; i++) {
        int64_t B = s->b.B.items[i];
        bool late = bench_is_late(&s->b);
        if (!late && pages_for(s, B) <= pages)
            measure(m, k, g, s, B);
        else
            printf("%lld,%lld,%lld,%lld,%s\n", (long long)B, (long long)s->P, (long long)s->S,
                   (long long)s->T, late ? "not measured: out of time" : "does not fit");
    }
    engine_destroy(g);
    kvcache_destroy(k);
    model_release(m);
}

int main(int argc, char **argv)
{
    struct setup s = {
        .b = {.rows = 512, .repeat = 3}, .prompts = {{256}, 1}, .owns = {{0}, 1}, .T = 16};
    const struct bench_option options[] = {{.name = "--prompt", .numbers = &s.prompts},
                                           {.name = "--own", .numbers = &s.owns},
                                           {.name = "--new", .number = &s.T}};
    bench_begin(&s.b, options, sizeof options / sizeof *options, argc, argv);
    if (s.b.B.n == 0) DIE("usage: bench_decode CONFIG_FOLDER [options] B...");
    printf("B,P,S,T,prefill_ms,step_ms,tok_s,floor_ms,ratio,gflops,padded_rows,hand_us\n");
    for (int p = 0; p < s.prompts.n; p++)
        for (int o = 0; o < s.owns.n; o++) {
            s.P = s.prompts.items[p];
            s.S = s.owns.items[o];
            measure_all(&s);
        }
    bench_end(&s.b);
    return 0;
}
