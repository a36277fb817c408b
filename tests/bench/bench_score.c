/* Time of prefill and of scoring on a random reward model of a given shape, beside their floor.
 *
 *     bench_score CONFIG_FOLDER [options] B...       (bench.h has those that all have)
 *         --prefill P,...   prompts that are prefilled
 *         --prompt P --own S --more N     texts of S tokens, scored; then of S + N, scored again
 *         --caches none,prompt,device,host
 *
 * CSV: what (prefill, first, again), cache, B, P, S (own tokens of a text, the last scored), rows
 * (that the mode computes), time_ms (median), tok_s (of rows), floor_ms, ratio.  The floor is of
 * what the mode computes: counted FLOPs at the device's rate, or weights once a pass and K and V
 * once at its bandwidth; the bus to the host is not in it. */
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/op_times.h"
#include "decode/reward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    struct bench b;
    struct numbers prefill;
    struct words caches;
    int64_t P, S, N;
    int32_t *ids; /* any prompt or text */
};

/* Times of the repeats, work of the last, what the ops of all took.  A repeat before the first is
 * not counted. */
struct sample {
    double *times, sum_s, begun_s; /* times: owned */
    int64_t n;
    struct model_stats work, then;
    struct op_times ops;
};

static void sample_begin(struct setup *s, struct sample *x)
{
    if (!x->times) x->times = mem_calloc((size_t)s->b.repeat, sizeof *x->times);
    x->then = s->b.m.stats;
    if (s->b.shows_ops) op_times_into(&s->b, &x->ops);
    x->begun_s = bench_clock_s(&s->b);
}

static void sample_end(struct setup *s, struct sample *x, bool counts)
{
    double took = bench_clock_s(&s->b) - x->begun_s;
    if (s->b.shows_ops) op_times_into(&s->b, NULL);
    x->work = bench_since(&s->b, &x->then);
    if (counts) {
        x->times[x->n++] = took;
        x->sum_s += took;
    } else {
        x->ops.n = 0;
    }
}

/* keys: tokens whose K and V must be read or written. */
static void print_line(struct setup *s, const char *what, const char *cache, int64_t B, int64_t P,
                       int64_t S, struct sample *x, int64_t keys)
{
    struct model *m = &s->b.m;
    double gbs = s->b.gbs, tflops = s->b.tflops, took = bench_median(x->times, x->n);
    struct cost work = model_stats_cost(&m->arch, &x->work, 0, 0);
    double bytes = (double)x->work.forwards * (double)model_weight_bytes(m) +
                   (double)keys * (double)model_kv_bytes(m);
    printf("%s,%s,%lld,%lld,%lld,%lld,%.3f,%.1f,", what, cache, (long long)B, (long long)P,
           (long long)S, (long long)x->work.rows, took * 1e3, (double)x->work.rows / took);
    if (gbs > 0 && tflops > 0) {
        double moved = bytes / (gbs * 1e9), computed = work.flops / (tflops * 1e12),
               floor = moved > computed ? moved : computed;
        printf("%.4f,%.5f\n", floor * 1e3, floor / took);
    } else {
        printf(",\n");
    }
    if (s->b.shows_ops) op_times_print(&x->ops, x->sum_s);
    fflush(stdout);
    free(x->times);
}

static bool is_late(const struct setup *s, const char *what, const char *cache, int64_t B,
                    int64_t P)
{
    if (!bench_is_late(&s->b)) return false;
    printf("%s,%s,%lld,%lld,not measured: out of time\n", what, cache, (long long)B, (long long)P);
    return true;
}

/* Prepare the model, its pages and a scorer; `finish` gives them back. */
struct ready {
    struct kvcache *pages;
    struct scorer *scorer;
};

static struct ready prepare(struct setup *s, int64_t n_pages, int64_t positions,
                            enum scorer_cache cache)
{
    struct err e;
    struct ready r;
    if (model_prepare(&s->b.m, positions, s->b.rows, n_pages, &e) < 0) DIE("%s", e.text);
    r.pages = kvcache_create(&s->b.m, n_pages);
    r.scorer = scorer_create(&s->b.m, r.pages, NULL, cache, &e);
    if (!r.scorer) DIE("%s", e.text);
    return r;
}

static void finish(struct setup *s, struct ready *r)
{
    scorer_destroy(r->scorer);
    kvcache_destroy(r->pages);
    model_release(&s->b.m);
}

static struct scorer_prompt *begin_prompt(struct setup *s, struct ready *r, int64_t P)
{
    const int32_t closing = 1;
    struct err e;
    struct scorer_prompt *p = scorer_begin(r->scorer, s->ids, P, &closing, 1, &e);
    if (!p) DIE("%s", e.text);
    return p;
}

static void prefill(struct setup *s, int64_t P)
{
    if (is_late(s, "prefill", "prompt", 1, P)) return;
    struct ready r = prepare(s, pages_of(P) + 1, P + 2, SCORER_CACHE_PROMPT);
    struct sample x = {0};
    for (int64_t i = -1; i < s->b.repeat; i++) {
        sample_begin(s, &x);
        struct scorer_prompt *p = begin_prompt(s, &r, P);
        sample_end(s, &x, i >= 0);
        scorer_end(r.scorer, p);
    }
    print_line(s, "prefill", "prompt", 1, P, 0, &x, P);
    finish(s, &r);
}

/* One scoring of all texts, of n tokens each. */
static void score(struct setup *s, struct ready *r, struct scorer_prompt *p, int64_t B, int64_t n,
                  struct sample *x, bool counts)
{
    struct err e;
    struct score_item *items = mem_calloc((size_t)B, sizeof *items);
    float *rewards = mem_calloc((size_t)B, sizeof *rewards);
    for (int64_t i = 0; i < B; i++)
        items[i] =
            (struct score_item){.candidate = to_i32(i), .tokens = s->ids + i % 97, .n_tokens = n};
    sample_begin(s, x);
    if (scorer_score(r->scorer, p, items, B, rewards, &e) < 0) DIE("%s", e.text);
    sample_end(s, x, counts);
    free(items);
    free(rewards);
}

static void scoring(struct setup *s, const char *cache, int64_t B)
{
    static const char *const caches[] = {"none", "prompt", "device", "host", NULL};
    const struct model *m = &s->b.m;
    int64_t own = s->S + s->N, positions = s->P + own + 2,
            want = pages_of(s->P) + B * pages_of(own + 1),
            n_pages =
                bench_pages(&s->b, want, positions,
                            scorer_workspace_bytes(&m->arch, m->backend->activation, s->b.rows));
    if (is_late(s, "first", cache, B, s->P)) return;
    if (n_pages < want) {
        printf("first,%s,%lld,%lld,does not fit\n", cache, (long long)B, (long long)s->P);
        return;
    }
    struct ready r = prepare(s, n_pages, positions, (enum scorer_cache)bench_choose(cache, caches));
    struct sample first = {0}, again = {0};
    for (int64_t i = -1; i < s->b.repeat; i++) {
        struct scorer_prompt *p = begin_prompt(s, &r, s->P);
        score(s, &r, p, B, s->S, &first, i >= 0);
        score(s, &r, p, B, own, &again, i >= 0);
        scorer_end(r.scorer, p);
    }
    print_line(s, "first", cache, B, s->P, s->S, &first, s->P + B * s->S);
    print_line(s, "again", cache, B, s->P, own, &again, s->P + B * own);
    finish(s, &r);
}

int main(int argc, char **argv)
{
    struct setup s = {.b = {.rows = 512, .repeat = 3}, .P = 256, .S = 128, .N = 64};
    const struct bench_option options[] = {{.name = "--prefill", .numbers = &s.prefill},
                                           {.name = "--caches", .words = &s.caches},
                                           {.name = "--prompt", .number = &s.P},
                                           {.name = "--own", .number = &s.S},
                                           {.name = "--more", .number = &s.N}};
    bench_begin(&s.b, options, sizeof options / sizeof *options, argc, argv);
    if (s.b.B.n + s.prefill.n == 0) DIE("usage: bench_score CONFIG_FOLDER [options] B...");
    if (s.b.m.arch.head == HEAD_CAUSAL_LM) DIE("%s: not the shape of a reward model", s.b.folder);
    int64_t longest = s.S + s.N + 128; /* texts begin at different places */
    if (s.P > longest) longest = s.P;
    for (int i = 0; i < s.prefill.n; i++)
        if (s.prefill.items[i] > longest) longest = s.prefill.items[i];
    s.ids = mem_calloc((size_t)longest, sizeof *s.ids);
    for (int64_t i = 0; i < longest; i++) s.ids[i] = bench_token(&s.b, i);
    printf("what,cache,B,P,S,rows,time_ms,tok_s,floor_ms,ratio\n");
    for (int i = 0; i < s.prefill.n; i++) prefill(&s, s.prefill.items[i]);
    for (int i = 0; i < s.b.B.n; i++)
        for (int c = 0; c < s.caches.n; c++) scoring(&s, s.caches.items[c], s.b.B.items[i]);
    free(s.ids);
    bench_end(&s.b);
    return 0;
}
