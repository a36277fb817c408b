/* Time of a reward model's memory rounds, by what is cached: random weights of a given shape.
 *
 *     bench_rounds CONFIG_FOLDER [options]
 *         --dtype f32|bf16   --prompt P   --candidates N (of the first round)   --first T (its own
 *         tokens)   --rounds R   --repeat K   --gflops Y (the device's rate: floors are printed)
 *
 * As memory rounds at alpha = 0.5 go: each finds half the candidates, twice as long.  CSV, one line
 * per cache: rows computed (all rounds), seconds, rows a second, the floor by the FLOPs of those
 * rows and its ratio, and how many times faster than `prompt`; with everything kept the work is
 * 2R / (R + 1) times less. */
#include "base/clock.h"
#include "base/mem.h"
#include "decode/reward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    const char *folder;
    enum dtype dtype;
    int64_t P, N, first, R, repeat;
    double gflops;
};

static void parse(struct setup *s, int argc, char **argv)
{
    *s = (struct setup){.P = 256, .N = 64, .first = 32, .R = 4, .repeat = 5};
    const struct {
        const char *name;
        int64_t *number;
    } options[] = {{"--prompt", &s->P},
                   {"--candidates", &s->N},
                   {"--first", &s->first},
                   {"--rounds", &s->R},
                   {"--repeat", &s->repeat}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0, n = sizeof options / sizeof *options;
        while (k < n && strcmp(argv[i], options[k].name) != 0) k++;
        bool more = i + 1 < argc;
        if (k < n && more)
            *options[k].number = strtoll(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--gflops") && more)
            s->gflops = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--dtype") && more)
            s->dtype = strcmp(argv[++i], "f32") == 0 ? DTYPE_ID_F32 : DTYPE_ID_BF16;
        else
            s->folder = argv[i];
    }
    if (!s->folder)
        DIE("usage: bench_rounds CONFIG_FOLDER [options] (the head of bench_rounds.c has them)");
}

/* Seconds of all rounds; prompt included. */
static double rounds(struct model *m, struct kvcache *k, const struct setup *s,
                     enum scorer_cache cache, const int32_t *ids)
{
    struct err e;
    struct scorer *scorer = scorer_create(m, k, NULL, cache, &e);
    if (!scorer) DIE("%s", e.text);
    struct score_item *items = mem_calloc((size_t)s->N, sizeof *items);
    float *rewards = mem_calloc((size_t)s->N, sizeof *rewards);
    int64_t longest = s->first << (s->R - 1);
    double start = clock_s();
    struct scorer_prompt *p = scorer_begin(scorer, ids, s->P, NULL, 0, &e);
    if (!p) DIE("%s", e.text);
    for (int64_t r = 0; r < s->R; r++) {
        int64_t live = s->N >> r, n = s->first << r;
        for (int64_t i = 0; i < s->N; i++) {
            if (i >= live) scorer_forget(scorer, p, to_i32(i));
            items[i] = (struct score_item){
                .candidate = to_i32(i), .tokens = ids + s->P + i * longest, .n_tokens = n};
        }
        if (scorer_score(scorer, p, items, live, rewards, &e) < 0) DIE("%s", e.text);
    }
    double took = clock_s() - start;
    scorer_end(scorer, p);
    scorer_destroy(scorer);
    free(items);
    free(rewards);
    return took;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Each repeat takes the caches in turn. */
static void measure(struct model *m, struct kvcache *k, const struct setup *s, const int32_t *ids)
{
    static const struct {
        const char *name;
        enum scorer_cache cache;
    } kinds[] = {{"device", SCORER_CACHE_DEVICE},
                 {"prompt", SCORER_CACHE_PROMPT},
                 {"none", SCORER_CACHE_NONE}};
    double *times = mem_calloc((size_t)(3 * s->repeat), sizeof *times);
    struct model_stats used[3] = {{0}};
    for (int64_t r = 0; r < s->repeat; r++)
        for (int c = 0; c < 3; c++) {
            struct model_stats before = m->stats;
            times[c * s->repeat + r] = rounds(m, k, s, kinds[c].cache, ids);
            used[c] = (struct model_stats){0};
            model_stats_add(&used[c], &before, &m->stats);
        }
    double median[3];
    for (int c = 0; c < 3; c++) {
        qsort(times + c * s->repeat, (size_t)s->repeat, sizeof *times, by_value);
        median[c] = times[c * s->repeat + s->repeat / 2];
    }
    printf("cache,P,N,first,rounds,rows,s,rows_s,floor_s,ratio,against_prompt,possible\n");
    for (int c = 0; c < 3; c++) {
        double floor = model_cost(m, &used[c]).flops / (s->gflops * 1e9);
        printf("%s,%lld,%lld,%lld,%lld,%lld,%.4f,%.1f,", kinds[c].name, (long long)s->P,
               (long long)s->N, (long long)s->first, (long long)s->R, (long long)used[c].rows,
               median[c], (double)used[c].rows / median[c]);
        if (s->gflops > 0) printf("%.4f,%.3f", floor, floor / median[c]);
        if (s->gflops <= 0) printf(",");
        printf(",%.3f,%.3f\n", median[1] / median[c], (double)used[1].rows / (double)used[c].rows);
    }
    free(times);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct setup s;
    struct err e = {0};
    struct model m = {0};
    parse(&s, argc, argv);
    struct backend_config config = {.device = DEVICE_CPU, .dtype = s.dtype, .reproducible = true};
    m.backend = backend_open(&config, world, world, NULL, &e);
    if (!m.backend || arch_open(&m.arch, s.folder, &e) < 0 ||
        shard_make(&m.shard, &m.arch, comm_size(world), comm_rank(world), &e) < 0 ||
        weights_random(&m.weights, m.backend, &m.arch, &m.shard, 1, &e) < 0)
        DIE("%s", e.text);
    int64_t longest = s.first << (s.R - 1),
            pages = pages_of(s.P) + s.N * (pages_of(s.first) + 1) + s.N * pages_of(longest);
    if (model_prepare(&m, s.P + longest + 2, m.backend->max_rows, pages, &e) < 0) DIE("%s", e.text);
    struct kvcache *k = kvcache_create(&m, pages);
    int32_t *ids = mem_calloc((size_t)(s.P + s.N * longest), sizeof *ids);
    for (int64_t i = 0; i < s.P + s.N * longest; i++) ids[i] = (int32_t)((i * 7919 + 3) % m.arch.V);
    printf("# %s, %s, %s, %d threads, %s\n", m.backend->device, m.backend->isa,
           dtype_name(m.backend->dtype), m.backend->threads, s.folder);
    measure(&m, k, &s, ids);
    free(ids);
    kvcache_destroy(k);
    model_close(&m);
    backend_destroy(m.backend);
    comm_stop(world);
    return 0;
}
