/* Time of prefill and of scoring on a random reward model of a given shape, beside their floor.
 *
 *     bench_score CONFIG_FOLDER [options] B...
 *         --backend auto|cpu|cuda   --dtype f32|bf16|f16|fp8   --rows R   --repeat R
 *         --prefill P,...   prompts that are prefilled
 *         --prompt P --own S --more N     texts of S tokens, scored; then of S + N, scored again
 *         --caches none,prompt,device,host
 *         --gbs X --tflops Y        the device's measured rates: floor and ratio are printed
 *         --seconds X   what is not begun by then is listed as not measured
 *
 * CSV: what (prefill, first, again), cache, B, P, S (own tokens of a text, the last scored), rows
 * (that the mode computes), time_ms (median), tok_s (of rows), floor_ms, ratio.  The floor is of
 * what the mode computes: counted FLOPs at the device's rate, or weights once a pass and K and V
 * once at its bandwidth; the bus to the host is not in it. */
#include "base/clock.h"
#include "base/mem.h"
#include "decode/reward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 32 };

struct list {
    char *items[MOST];
    int n;
};

struct setup {
    const char *folder;
    const char *backend, *dtype;
    struct list prefill, caches, B;
    int64_t P, S, N, R, rows;
    double gbs, tflops, seconds, begun;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Place of `text` in a list that ends with NULL. */
static int choose(const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(text, names[i])) return i;
    DIE("unknown: %s", text);
}

static void add(struct list *l, char *text)
{
    for (char *t = strtok(text, ","); t && l->n < MOST; t = strtok(NULL, ",")) l->items[l->n++] = t;
}

static void parse(struct setup *s, int argc, char **argv)
{
    *s = (struct setup){.backend = "auto",
                        .dtype = "auto",
                        .P = 256,
                        .S = 128,
                        .N = 64,
                        .R = 3,
                        .rows = 512,
                        .begun = clock_s()};
    const struct {
        const char *name, **word;
        struct list *list;
        int64_t *number;
        double *rate;
    } options[] = {
        {"--backend", &s->backend, NULL, NULL, NULL}, {"--dtype", &s->dtype, NULL, NULL, NULL},
        {"--prefill", NULL, &s->prefill, NULL, NULL}, {"--caches", NULL, &s->caches, NULL, NULL},
        {"--prompt", NULL, NULL, &s->P, NULL},        {"--own", NULL, NULL, &s->S, NULL},
        {"--more", NULL, NULL, &s->N, NULL},          {"--repeat", NULL, NULL, &s->R, NULL},
        {"--rows", NULL, NULL, &s->rows, NULL},       {"--gbs", NULL, NULL, NULL, &s->gbs},
        {"--tflops", NULL, NULL, NULL, &s->tflops},   {"--seconds", NULL, NULL, NULL, &s->seconds},
    };
    for (int i = 1; i < argc; i++) {
        size_t k = 0, n = sizeof options / sizeof *options;
        while (k < n && strcmp(argv[i], options[k].name) != 0) k++;
        if (k == n && !s->folder)
            s->folder = argv[i];
        else if (k == n)
            add(&s->B, argv[i]);
        else if (i + 1 == argc)
            DIE("%s needs a value", argv[i]);
        else if (options[k].word)
            *options[k].word = argv[++i];
        else if (options[k].list)
            add(options[k].list, argv[++i]);
        else if (options[k].number)
            *options[k].number = strtoll(argv[++i], NULL, 10);
        else
            *options[k].rate = strtod(argv[++i], NULL);
    }
    if (!s->folder || s->B.n + s->prefill.n == 0)
        DIE("usage: bench_score CONFIG_FOLDER [options] B... (options: the head of bench_score.c)");
}

/* ---- what is measured ---- */

struct bench {
    const struct setup *s;
    struct model m;
    int32_t *ids; /* [any prompt or text] */
};

/* Time and work of one call. */
struct sample {
    double s;
    struct model_stats work;
};

static struct model_stats since(const struct model_stats *now, const struct model_stats *then)
{
    struct model_stats s = {0};
    model_stats_add(&s, then, now);
    return s;
}

static int64_t pages_for(int64_t P, int64_t B, int64_t own)
{
    return pages_of(P) + B * pages_of(own + 1);
}

/* Pages for that many, or as many as fit. */
static int64_t choose_pages(struct bench *b, int64_t want, int64_t positions)
{
    struct model *m = &b->m;
    struct backend *dev = m->backend;
    size_t workspace =
        model_workspace_bytes(&m->arch, &m->shard, dev->activation, positions, b->s->rows) +
        scorer_workspace_bytes(&m->arch, dev->activation, b->s->rows);
    double room = 0.9 * (double)dev->ops->free_bytes(dev) - (double)workspace;
    int64_t fit = (int64_t)(room / (double)dev->ops->kv_page_bytes(dev, model_kv_shape(m)));
    return want < fit ? want : fit;
}

/* keys: tokens whose K and V must be read or written. */
static void print_line(struct bench *b, const char *what, const char *cache, int64_t B, int64_t P,
                       int64_t S, const struct sample *x, int64_t keys)
{
    const struct setup *s = b->s;
    struct model *m = &b->m;
    struct cost work = model_stats_cost(&m->arch, &x->work, 0, 0);
    double bytes = (double)x->work.forwards * (double)model_weight_bytes(m) +
                   (double)keys * (double)model_kv_bytes(m);
    printf("%s,%s,%lld,%lld,%lld,%lld,%.3f,%.1f,", what, cache, (long long)B, (long long)P,
           (long long)S, (long long)x->work.rows, x->s * 1e3, (double)x->work.rows / x->s);
    if (s->gbs > 0 && s->tflops > 0) {
        double moved = bytes / (s->gbs * 1e9), computed = work.flops / (s->tflops * 1e12),
               floor = moved > computed ? moved : computed;
        printf("%.4f,%.5f\n", floor * 1e3, floor / x->s);
    } else {
        printf(",\n");
    }
    fflush(stdout);
}

static bool late(const struct setup *s, const char *what, const char *cache, int64_t B, int64_t P)
{
    if (s->seconds <= 0 || clock_s() - s->begun < s->seconds) return false;
    printf("%s,%s,%lld,%lld,not measured: out of time\n", what, cache, (long long)B, (long long)P);
    return true;
}

static double median(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

/* Prepare the model, its pages and a scorer; `end` gives them back. */
struct ready {
    struct kvcache *pages;
    struct scorer *scorer;
};

static struct ready ready(struct bench *b, int64_t n_pages, int64_t positions,
                          enum scorer_cache cache)
{
    struct err e;
    struct ready r;
    if (model_prepare(&b->m, positions, b->s->rows, n_pages, &e) < 0) DIE("%s", e.text);
    r.pages = kvcache_create(&b->m, n_pages);
    r.scorer = scorer_create(&b->m, r.pages, NULL, cache, &e);
    if (!r.scorer) DIE("%s", e.text);
    return r;
}

static void end(struct bench *b, struct ready *r)
{
    scorer_destroy(r->scorer);
    kvcache_destroy(r->pages);
    model_release(&b->m);
}

static void prefill(struct bench *b, int64_t P)
{
    const struct setup *s = b->s;
    const int32_t closing = 1;
    struct err e;
    if (late(s, "prefill", "prompt", 1, P)) return;
    struct ready r = ready(b, pages_of(P) + 1, P + 2, SCORER_CACHE_PROMPT);
    double *times = mem_calloc((size_t)s->R, sizeof *times);
    struct sample x = {0};
    for (int64_t i = -1; i < s->R; i++) { /* the first does not count */
        struct model_stats then = b->m.stats;
        double begun = clock_s();
        struct scorer_prompt *p = scorer_begin(r.scorer, b->ids, P, &closing, 1, &e);
        if (!p) DIE("%s", e.text);
        if (i >= 0) times[i] = clock_s() - begun;
        x.work = since(&b->m.stats, &then);
        scorer_end(r.scorer, p);
    }
    x.s = median(times, s->R);
    print_line(b, "prefill", "prompt", 1, P, 0, &x, P);
    free(times);
    end(b, &r);
}

/* One scoring of all texts, of n tokens each. */
static struct sample score(struct bench *b, struct scorer *scorer, struct scorer_prompt *p,
                           int64_t B, int64_t n)
{
    struct err e;
    struct score_item *items = mem_calloc((size_t)B, sizeof *items);
    float *rewards = mem_calloc((size_t)B, sizeof *rewards);
    for (int64_t i = 0; i < B; i++)
        items[i] =
            (struct score_item){.candidate = to_i32(i), .tokens = b->ids + i % 97, .n_tokens = n};
    struct model_stats then = b->m.stats;
    double begun = clock_s();
    if (scorer_score(scorer, p, items, B, rewards, &e) < 0) DIE("%s", e.text);
    struct sample x = {clock_s() - begun, since(&b->m.stats, &then)};
    free(items);
    free(rewards);
    return x;
}

static void scoring(struct bench *b, const char *cache, int64_t B)
{
    static const char *const caches[] = {"none", "prompt", "device", "host", NULL};
    const struct setup *s = b->s;
    const int32_t closing = 1;
    struct err e;
    int64_t own = s->S + s->N, positions = s->P + own + 2, want = pages_for(s->P, B, own),
            n_pages = choose_pages(b, want, positions);
    if (late(s, "first", cache, B, s->P)) return;
    if (n_pages < want) {
        printf("first,%s,%lld,%lld,does not fit\n", cache, (long long)B, (long long)s->P);
        return;
    }
    struct ready r = ready(b, n_pages, positions, (enum scorer_cache)choose(cache, caches));
    double *first = mem_calloc((size_t)s->R, sizeof *first),
           *again = mem_calloc((size_t)s->R, sizeof *again);
    struct sample x = {0}, y = {0};
    for (int64_t i = -1; i < s->R; i++) { /* the first does not count */
        struct scorer_prompt *p = scorer_begin(r.scorer, b->ids, s->P, &closing, 1, &e);
        if (!p) DIE("%s", e.text);
        x = score(b, r.scorer, p, B, s->S);
        y = score(b, r.scorer, p, B, own);
        if (i >= 0) {
            first[i] = x.s;
            again[i] = y.s;
        }
        scorer_end(r.scorer, p);
    }
    x.s = median(first, s->R);
    y.s = median(again, s->R);
    print_line(b, "first", cache, B, s->P, s->S, &x, s->P + B * s->S);
    print_line(b, "again", cache, B, s->P, own, &y, s->P + B * own);
    free(first);
    free(again);
    end(b, &r);
}

static void load(struct bench *b, struct comm *world)
{
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL}, *const dtypes[] = {
                                                                            "auto", "f32", "bf16",
                                                                            "f16",  "fp8", NULL};
    const struct setup *s = b->s;
    struct model *m = &b->m;
    struct err e;
    struct backend_config config = {.device = (enum device_choice)choose(s->backend, devices),
                                    .dtype = (enum dtype)choose(s->dtype, dtypes),
                                    .reproducible = true};
    m->backend = backend_open(&config, world, world, NULL, &e);
    if (!m->backend || arch_open(&m->arch, s->folder, &e) < 0 ||
        shard_make(&m->shard, &m->arch, comm_size(world), comm_rank(world), &e) < 0 ||
        weights_random(&m->weights, m->backend, &m->arch, &m->shard, 1, &e) < 0)
        DIE("%s", e.text);
    if (m->arch.head == HEAD_CAUSAL_LM) DIE("%s: not the shape of a reward model", s->folder);
    printf("# %s, %s, %s, %s, %d threads, %s, loaded in %.1f s\n", m->backend->ops->name,
           m->backend->device, m->backend->versions, dtype_name(m->backend->dtype),
           m->backend->threads, s->folder, clock_s() - s->begun);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct setup s;
    struct bench b = {.s = &s};
    parse(&s, argc, argv);
    load(&b, world);
    int64_t longest = s.S + s.N + 128; /* texts begin at different places */
    if (s.P > longest) longest = s.P;
    for (int i = 0; i < s.prefill.n; i++)
        if (strtoll(s.prefill.items[i], NULL, 10) > longest)
            longest = strtoll(s.prefill.items[i], NULL, 10);
    b.ids = mem_calloc((size_t)longest, sizeof *b.ids);
    for (int64_t i = 0; i < longest; i++) b.ids[i] = to_i32((i * 7919 + 3) % b.m.arch.V);
    printf("what,cache,B,P,S,rows,time_ms,tok_s,floor_ms,ratio\n");
    for (int i = 0; i < s.prefill.n; i++) prefill(&b, strtoll(s.prefill.items[i], NULL, 10));
    for (int i = 0; i < s.B.n; i++)
        for (int c = 0; c < s.caches.n; c++)
            scoring(&b, s.caches.items[c], strtoll(s.B.items[i], NULL, 10));
    free(b.ids);
    model_close(&b.m);
    backend_destroy(b.m.backend);
    comm_stop(world);
    return 0;
}
