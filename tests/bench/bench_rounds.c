/* Time of a reward model's memory rounds, by what is cached: random weights of a given shape.
 *
 *     bench_rounds CONFIG_FOLDER [options]           (bench.h has those that all have)
 *         --prompt P   --candidates N (of the first round)   --first T (its own tokens)   --rounds
 * R
 *
 * As memory rounds at alpha = 0.5 go: each finds half the candidates, twice as long.  CSV, one line
 * per cache: rows computed (all rounds), seconds, rows a second, the floor by the FLOPs of those
 * rows and its ratio, how many times faster than `prompt`, and how many times fewer rows: what is
 * possible.  With everything kept, and without the prompt, the work is 2R / (R + 1) times less. */
#include "base/mem.h"
#include "bench/bench.h"
#include "bench/op_times.h"
#include "decode/reward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    struct bench b;
    int64_t P, N, first, R;
    int32_t *ids; /* the prompt, then each candidate's tokens */
};

static int64_t longest(const struct setup *s)
{
    return s->first << (s->R - 1);
}

/* Seconds of all rounds; prompt included. */
static double rounds(struct setup *s, struct kvcache *k, enum scorer_cache cache)
{
    struct err e;
    struct scorer *scorer = scorer_create(&s->b.m, k, NULL, cache, &e);
    if (!scorer) DIE("%s", e.text);
    struct score_item *items = mem_calloc((size_t)s->N, sizeof *items);
    float *rewards = mem_calloc((size_t)s->N, sizeof *rewards);
    double start = bench_clock_s(&s->b);
    struct scorer_prompt *p = scorer_begin(scorer, s->ids, s->P, NULL, 0, &e);
    if (!p) DIE("%s", e.text);
    for (int64_t r = 0; r < s->R; r++) {
        int64_t live = s->N >> r, n = s->first << r;
        for (int64_t i = 0; i < s->N; i++) {
            if (i >= live) scorer_forget(scorer, p, to_i32(i));
            items[i] = (struct score_item){
                .candidate = to_i32(i), .tokens = s->ids + s->P + i * longest(s), .n_tokens = n};
        }
        if (scorer_score(scorer, p, items, live, rewards, &e) < 0) DIE("%s", e.text);
    }
    double took = bench_clock_s(&s->b) - start;
    scorer_end(scorer, p);
    scorer_destroy(scorer);
    free(items);
    free(rewards);
    return took;
}

static const struct {
    const char *name;
    enum scorer_cache cache;
} kinds[] = {
    {"device", SCORER_CACHE_DEVICE}, {"prompt", SCORER_CACHE_PROMPT}, {"none", SCORER_CACHE_NONE}};
enum { KINDS = sizeof kinds / sizeof *kinds, PROMPT = 1 };

/* What one kind of cache took. */
struct taken {
    double *times, median, sum_s; /* times [repeat] owned */
    struct model_stats used;
    struct op_times ops;
};

static void print_line(const struct setup *s, int kind, struct taken *all)
{
    struct taken *x = &all[kind];
    double floor = model_cost(&s->b.m, &x->used).flops / (s->b.tflops * 1e12);
    printf("%s,%lld,%lld,%lld,%lld,%lld,%.4f,%.1f,", kinds[kind].name, (long long)s->P,
           (long long)s->N, (long long)s->first, (long long)s->R, (long long)x->used.rows,
           x->median, (double)x->used.rows / x->median);
    if (s->b.tflops > 0)
        printf("%.4f,%.3f", floor, floor / x->median);
    else
        printf(",");
    printf(",%.3f,%.3f\n", all[PROMPT].median / x->median,
           (double)all[PROMPT].used.rows / (double)x->used.rows);
    if (s->b.shows_ops) op_times_print(&x->ops, x->sum_s);
}

/* Each repeat takes the caches in turn. */
static void measure(struct setup *s, struct kvcache *k)
{
    struct taken all[KINDS] = {{0}};
    for (int c = 0; c < KINDS; c++) all[c].times = mem_calloc((size_t)s->b.repeat, sizeof(double));
    for (int64_t r = 0; r < s->b.repeat; r++)
        for (int c = 0; c < KINDS; c++) {
            struct model_stats before = s->b.m.stats;
            if (s->b.shows_ops) op_times_into(&s->b, &all[c].ops);
            all[c].times[r] = rounds(s, k, kinds[c].cache);
            if (s->b.shows_ops) op_times_into(&s->b, NULL);
            all[c].sum_s += all[c].times[r];
            all[c].used = bench_since(&s->b, &before);
        }
    for (int c = 0; c < KINDS; c++) all[c].median = bench_median(all[c].times, s->b.repeat);
    printf("cache,P,N,first,rounds,rows,s,rows_s,floor_s,ratio,against_prompt,possible\n");
    for (int c = 0; c < KINDS; c++) print_line(s, c, all);
    for (int c = 0; c < KINDS; c++) free(all[c].times);
}

int main(int argc, char **argv)
{
    struct setup s = {.b = {.rows = 512, .repeat = 5}, .P = 256, .N = 64, .first = 32, .R = 4};
    const struct bench_option options[] = {{.name = "--prompt", .number = &s.P},
                                           {.name = "--candidates", .number = &s.N},
                                           {.name = "--first", .number = &s.first},
                                           {.name = "--rounds", .number = &s.R}};
    struct err e;
    bench_begin(&s.b, options, sizeof options / sizeof *options, argc, argv);
    int64_t pages = pages_of(s.P) + s.N * (pages_of(s.first) + 1) + s.N * pages_of(longest(&s)),
            n_ids = s.P + s.N * longest(&s);
    if (model_prepare(&s.b.m, s.P + longest(&s) + 2, s.b.rows, pages, &e) < 0) DIE("%s", e.text);
    struct kvcache *k = kvcache_create(&s.b.m, pages);
    s.ids = mem_calloc((size_t)n_ids, sizeof *s.ids);
    for (int64_t i = 0; i < n_ids; i++) s.ids[i] = bench_token(&s.b, i);
    measure(&s, k);
    free(s.ids);
    kvcache_destroy(k);
    bench_end(&s.b);
    return 0;
}
