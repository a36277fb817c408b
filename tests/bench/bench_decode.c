/* Time of prefill and of decode steps on a random model of a given shape, beside their floor.
 *
 *     bench_decode CONFIG_FOLDER [options] B...
 *         --backend auto|cpu|cuda   --dtype f32|bf16|f16|fp8
 *         --rows R      most rows of a forward pass
 *         --prompt P,...  shared prompt tokens             --own S,...  own tokens before the clock
 *         --new T       tokens that are timed              --repeat R
 *         --reproducible yes|no   how ranks add up; one rank does the same in both
 *         --gbs X --tflops Y        a rank's measured rates: floor and ratio are printed
 *         --seconds X   what is not begun by then is listed as not measured
 *
 * One line per P, S and B, as CSV: B, P, S, T, prefill_ms, step_ms (median over repeats of the time
 * of T steps), tok_s, floor_ms (model/cost.h), ratio (floor over time), gflops of the step, rows
 * that were computed beyond the live ones per step, hand_us: what each handing of steps to a device
 * costs on the host (as many steps one at a time against several at a time; 0 where the host is the
 * device).  A B whose KV does not fit is a line that says so.
 *
 * Own tokens' K and V are what their pages happened to hold: time does not depend on it. */
#include "base/clock.h"
#include "base/mem.h"
#include "decode/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list {
    int64_t items[32];
    int n;
};

struct setup {
    const char *folder;
    enum device_choice device;
    enum dtype dtype;
    bool reproducible;
    int64_t P, S, T, R, rows; /* P, S: those of `prompts` and `owns` in turn */
    struct list prompts, owns, B;
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

static void parse_list(struct list *l, char *text)
{
    l->n = 0;
    for (char *t = strtok(text, ","); t && l->n < 32; t = strtok(NULL, ","))
        l->items[l->n++] = strtoll(t, NULL, 10);
}

static void parse(struct setup *s, int argc, char **argv)
{
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL}, *const dtypes[] = {
                                                                            "auto", "f32", "bf16",
                                                                            "f16",  "fp8", NULL};
    static const char *const answers[] = {"no", "yes", NULL};
    *s = (struct setup){.prompts = {{256}, 1},
                        .owns = {{0}, 1},
                        .T = 16,
                        .R = 3,
                        .rows = 512,
                        .reproducible = true,
                        .begun = clock_s()};
    const struct {
        const char *name;
        int64_t *number;
        double *rate;
        struct list *list;
    } options[] = {{"--prompt", NULL, NULL, &s->prompts}, {"--own", NULL, NULL, &s->owns},
                   {"--new", &s->T, NULL, NULL},          {"--repeat", &s->R, NULL, NULL},
                   {"--rows", &s->rows, NULL, NULL},      {"--gbs", NULL, &s->gbs, NULL},
                   {"--tflops", NULL, &s->tflops, NULL},  {"--seconds", NULL, &s->seconds, NULL}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0, n = sizeof options / sizeof *options;
        while (k < n && strcmp(argv[i], options[k].name) != 0) k++;
        bool more = i + 1 < argc;
        if (k < n && more && options[k].list)
            parse_list(options[k].list, argv[++i]);
        else if (k < n && more && options[k].number)
            *options[k].number = strtoll(argv[++i], NULL, 10);
        else if (k < n && more)
            *options[k].rate = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--backend") && more)
            s->device = (enum device_choice)choose(argv[++i], devices);
        else if (!strcmp(argv[i], "--dtype") && more)
            s->dtype = (enum dtype)choose(argv[++i], dtypes);
        else if (!strcmp(argv[i], "--reproducible") && more)
            s->reproducible = choose(argv[++i], answers);
        else if (!s->folder)
            s->folder = argv[i];
        else if (s->B.n < 32)
            s->B.items[s->B.n++] = strtoll(argv[i], NULL, 10);
    }
    if (!s->folder || s->B.n == 0)
        DIE("usage: bench_decode CONFIG_FOLDER [options] B... (options: the head of "
            "bench_decode.c)");
}

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
static struct timing timed_steps(struct engine *g, struct decoding *part, int64_t T, int64_t ahead)
{
    struct timing t = {0};
    double begin = clock_s();
    for (int64_t done = 0; done < T; t.hands++) {
        int64_t steps = engine_steps(g, part->live, part->n, T - done < ahead ? T - done : ahead);
        engine_step(g, part, 1, steps);
        if (part->n_broken > 0) DIE("logits are not finite");
        done += steps;
    }
    t.step_s = (clock_s() - begin) / (double)T;
    return t;
}

static void print_line(const struct model *m, const struct setup *s, int64_t B, double prefill,
                       double step, double hand, const struct model_stats *before)
{
    struct model_stats done = {0};
    model_stats_add(&done, before, &m->stats);
    struct cost cost = model_cost(m, &done);
    double rows = (double)(m->stats.rows - before->rows) / (double)s->T;
    printf("%lld,%lld,%lld,%lld,%.2f,%.3f,%.1f,", (long long)B, (long long)s->P, (long long)s->S,
           (long long)s->T, prefill * 1e3, step * 1e3, (double)B / step);
    if (s->gbs > 0 && s->tflops > 0) {
        int64_t own = B * (s->S + s->T / 2 + 1);
        double ranks = (double)comm_size(m->backend->tensor);
        double floor = cost_decode_floor_s(&m->arch, m->backend->dtype, B, s->P, own,
                                           ranks * s->gbs * 1e9, ranks * s->tflops * 1e12);
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
    struct decoding part;    /* all of it */
    double prefill_s;        /* of the last run */
    struct model_stats then; /* when its clock started */
};

/* Prefill, own tokens, first tokens, then T timed steps. */
static struct timing run_once(struct run *r, int64_t number, int64_t ahead)
{
    const struct setup *s = r->s;
    struct err e;
    double t0 = clock_s();
    if (engine_begin(r->g, &r->prompt, r->k, number, r->ids, s->P, &e) < 0) DIE("%s", e.text);
    r->prefill_s = clock_s() - t0;
    for (int64_t i = 0; i < r->B; i++) {
        start(&r->seqs[i], s, (int32_t)i);
        r->live[i] = &r->seqs[i];
    }
    take_pages(r->k, r->live, r->B, s->S);
    r->part = (struct decoding){.prompt = &r->prompt, .live = r->live, .n = r->B};
    engine_step(r->g, &r->part, 1, 1);
    r->then = r->m->stats;
    return timed_steps(r->g, &r->part, s->T, ahead);
}

static void run_end(struct run *r)
{
    for (int64_t i = 0; i < r->B; i++) sequence_free(&r->seqs[i], r->k);
    engine_end(r->g, &r->prompt);
}

/* Median seconds of a step; *hands: of a run. */
static double median_step(struct run *r, int64_t ahead, int64_t *hands)
{
    int64_t R = r->s->R;
    double *times = mem_calloc((size_t)R, sizeof *times);
    for (int64_t i = 0; i < R; i++) {
        if (i > 0) run_end(r);
        struct timing t = run_once(r, i, ahead);
        times[i] = t.step_s;
        *hands = t.hands;
    }
    qsort(times, (size_t)R, sizeof *times, by_value);
    double median = times[R / 2];
    free(times);
    return median;
}

/* Seconds of a handing over: what T of them take longer than `hands`. */
static double hand_s(struct run *r, double step, int64_t hands)
{
    int64_t T = r->s->T, ones;
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
    int64_t hands;
    for (int64_t i = 0; i < s->P; i++) r.ids[i] = (int32_t)((i * 7919 + 3) % m->arch.V);
    double step = median_step(&r, INT64_MAX, &hands), prefill = r.prefill_s;
    struct model_stats then = r.then, now = m->stats;
    run_end(&r);
    double hand = hand_s(&r, step, hands);
    m->stats = now; /* of the run that is printed */
    print_line(m, s, B, prefill, step, hand, &then);
    free(r.ids);
    free(r.seqs);
    free(r.live);
}

/* Pages that B candidates take. */
static int64_t pages_for(const struct setup *s, int64_t B)
{
    return pages_of(s->P) + B * pages_of(s->S + s->T + 1);
}

/* Pages for the largest B, or as many as fit. */
static int64_t choose_pages(const struct model *m, const struct setup *s)
{
    struct backend *b = m->backend;
    struct kv_shape shape = {
        .L = m->arch.L, .G = m->shard.G_local, .E = m->arch.E, .H = m->shard.H_local};
    size_t workspace =
        model_workspace_bytes(&m->arch, &m->shard, b->activation, s->P + s->S + s->T + 2, s->rows);
    double room = 0.9 * (double)b->ops->free_bytes(b) - (double)workspace;
    int64_t fit = (int64_t)(room / (double)b->ops->kv_page_bytes(b, shape)), most = 0;
    for (int i = 0; i < s->B.n; i++)
        if (pages_for(s, s->B.items[i]) > most) most = pages_for(s, s->B.items[i]);
    return most < fit ? most : fit;
}

/* All B of one P and S. */
static void measure_all(struct model *m, const struct setup *s)
{
    struct err e;
    int64_t pages = choose_pages(m, s);
    if (model_prepare(m, s->P + s->S + s->T + 2, s->rows, pages, &e) < 0) DIE("%s", e.text);
    struct kvcache *k = kvcache_create(m, pages);
    struct engine_config c = {.sample = {.temperature = 1, .top_k = 50, .top_p = 1},
                              .max_new_tokens = s->S + s->T + 2};
    struct engine *g = engine_create(m, &c, &e);
    if (!g) DIE("%s", e.text);
    for (int i = 0; i < s->B.n; i++) {
        int64_t B = s->B.items[i];
        bool late = s->seconds > 0 && clock_s() - s->begun > s->seconds;
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
    struct comm *world = comm_start(&argc, &argv);
    struct setup s;
    struct err e = {0};
    struct model m = {0};
    parse(&s, argc, argv);
    if (comm_rank(world) != 0 && !freopen("/dev/null", "w", stdout)) DIE("no /dev/null");
    struct backend_config config = {
        .device = s.device, .dtype = s.dtype, .reproducible = s.reproducible};
    m.backend = backend_open(&config, world, world, NULL, &e);
    if (!m.backend || arch_open(&m.arch, s.folder, &e) < 0 ||
        shard_make(&m.shard, &m.arch, comm_size(world), comm_rank(world), &e) < 0 ||
        weights_random(&m.weights, m.backend, &m.arch, &m.shard, 1, &e) < 0)
        DIE("%s", e.text);
    printf("# %s, %s, %s, %s, %d threads, %s, reproducible: %s, loaded in %.1f s\n",
           m.backend->ops->name, m.backend->device, m.backend->versions,
           dtype_name(m.backend->dtype), m.backend->threads, s.folder,
           s.reproducible ? "yes" : "no", clock_s() - s.begun);
    printf("B,P,S,T,prefill_ms,step_ms,tok_s,floor_ms,ratio,gflops,padded_rows,hand_us\n");
    for (int p = 0; p < s.prompts.n; p++)
        for (int o = 0; o < s.owns.n; o++) {
            s.P = s.prompts.items[p];
            s.S = s.owns.items[o];
            measure_all(&m, &s);
        }
    model_close(&m);
    backend_destroy(m.backend);
    comm_stop(world);
    return 0;
}
