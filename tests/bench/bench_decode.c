/* Time of prefill and of decode steps on a random model of a given shape, beside their floor.
 *
 *     bench_decode CONFIG_FOLDER [options] B...
 *         --backend auto|cpu|cuda   --dtype f32|bf16|f16|fp8
 *         --rows R      most rows of a forward pass
 *         --prompt P    shared prompt tokens               --own S   own tokens before the clock
 *         --new T       tokens that are timed              --repeat R
 *         --gbs X --tflops Y        the device's measured rates: floor and ratio are printed
 *
 * One line per B, as CSV: B, P, S, T, prefill_ms, step_ms (median over repeats of the time of T
 * steps), tok_s, floor_ms (model/cost.h), ratio (floor over time), gflops of the step, rows that
 * were computed beyond the live ones per step.  A B whose KV does not fit is a line that says so.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "decode/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    const char *folder;
    enum device_choice device;
    enum dtype dtype;
    int64_t P, S, T, R, rows, B[32];
    double gbs, tflops;
    int n;
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

static void parse(struct setup *s, int argc, char **argv)
{
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL}, *const dtypes[] = {
                                                                            "auto", "f32", "bf16",
                                                                            "f16",  "fp8", NULL};
    *s = (struct setup){.P = 256, .T = 16, .R = 3, .rows = 512};
    const struct {
        const char *name;
        int64_t *number;
        double *rate;
    } options[] = {{"--prompt", &s->P, NULL},     {"--own", &s->S, NULL},
                   {"--new", &s->T, NULL},        {"--repeat", &s->R, NULL},
                   {"--rows", &s->rows, NULL},    {"--gbs", NULL, &s->gbs},
                   {"--tflops", NULL, &s->tflops}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0, n = sizeof options / sizeof *options;
        while (k < n && strcmp(argv[i], options[k].name) != 0) k++;
        bool more = i + 1 < argc;
        if (k < n && more && options[k].number)
            *options[k].number = strtoll(argv[++i], NULL, 10);
        else if (k < n && more)
            *options[k].rate = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--backend") && more)
            s->device = (enum device_choice)choose(argv[++i], devices);
        else if (!strcmp(argv[i], "--dtype") && more)
            s->dtype = (enum dtype)choose(argv[++i], dtypes);
        else if (!s->folder)
            s->folder = argv[i];
        else if (s->n < 32)
            s->B[s->n++] = strtoll(argv[i], NULL, 10);
    }
    if (!s->folder || s->n == 0)
        DIE("usage: bench_decode CONFIG_FOLDER [options] B... (options: the head of "
            "bench_decode.c)");
}

/* A live candidate with S own tokens, all but the newest in its pages. */
static void start(struct engine *g, struct sequence *q, const struct setup *s, int32_t number)
{
    sequence_init(q, number, s->S + s->T + 2);
    q->status = SEQUENCE_LIVE;
    for (int64_t i = 0; i < s->S; i++)
        q->tokens[q->n_tokens++] = (int32_t)((i * 104729 + number * 7919 + 5) % 251);
    if (s->S > 0 && engine_restore(g, q) < 0) DIE("no pages for %lld own tokens", (long long)s->S);
}

/* T more tokens for each; returns seconds per token. */
static double timed_steps(struct engine *g, struct sequence *const *live, int64_t B, int64_t T)
{
    struct err e;
    double begin = clock_s();
    for (int64_t done = 0; done < T;) {
        int64_t steps = engine_steps(g, live, B, T - done);
        if (engine_step(g, live, B, steps, &e) < 0) DIE("%s", e.text);
        done += steps;
    }
    return (clock_s() - begin) / (double)T;
}

static void print_line(const struct model *m, const struct setup *s, int64_t B, double prefill,
                       double step, const struct model_stats *before)
{
    struct cost cost = model_cost(m, before, &m->stats);
    double rows = (double)(m->stats.rows - before->rows) / (double)s->T;
    printf("%lld,%lld,%lld,%lld,%.2f,%.3f,%.1f,", (long long)B, (long long)s->P, (long long)s->S,
           (long long)s->T, prefill * 1e3, step * 1e3, (double)B / step);
    if (s->gbs > 0 && s->tflops > 0) {
        int64_t own = B * (s->S + s->T / 2 + 1);
        double floor = cost_decode_floor_s(&m->arch, m->backend->dtype, B, s->P, own, s->gbs * 1e9,
                                           s->tflops * 1e12);
        printf("%.3f,%.3f,", floor * 1e3, floor / step);
    } else {
        printf(",,");
    }
    printf("%.1f,%.2f\n", cost.flops / (double)s->T / step * 1e-9, rows - (double)B);
    fflush(stdout);
}

/* One B: prefill, own tokens, first tokens, then T timed steps. */
static void measure(struct model *m, struct kvcache *k, struct engine *g, const struct setup *s,
                    int64_t B)
{
    struct err e;
    int32_t *ids = mem_calloc((size_t)s->P, sizeof *ids);
    for (int64_t i = 0; i < s->P; i++) ids[i] = (int32_t)((i * 7919 + 3) % m->arch.V);
    struct sequence *seqs = mem_calloc((size_t)B, sizeof *seqs),
                    **live = mem_calloc((size_t)B, sizeof *live);
    double *times = mem_calloc((size_t)s->R, sizeof *times), prefill = 0;
    struct model_stats before = m->stats;
    for (int64_t r = 0; r < s->R; r++) {
        double t0 = clock_s();
        if (engine_begin(g, r, ids, s->P, &e) < 0) DIE("%s", e.text);
        prefill = clock_s() - t0;
        for (int64_t i = 0; i < B; i++) {
            start(g, &seqs[i], s, (int32_t)i);
            live[i] = &seqs[i];
        }
        if (engine_step(g, live, B, 1, &e) < 0) DIE("%s", e.text);
        before = m->stats;
        times[r] = timed_steps(g, live, B, s->T);
        if (r + 1 == s->R) {
            qsort(times, (size_t)s->R, sizeof *times, by_value);
            print_line(m, s, B, prefill, times[s->R / 2], &before);
        }
        for (int64_t i = 0; i < B; i++) sequence_free(&seqs[i], k);
        engine_end(g);
    }
    free(ids);
    free(seqs);
    free(live);
    free(times);
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
    for (int i = 0; i < s->n; i++)
        if (pages_for(s, s->B[i]) > most) most = pages_for(s, s->B[i]);
    return most < fit ? most : fit;
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct setup s;
    struct err e = {0};
    struct model m = {0};
    parse(&s, argc, argv);
    struct backend_config config = {.device = s.device, .dtype = s.dtype, .reproducible = true};
    m.backend = backend_open(&config, world, world, NULL, &e);
    if (!m.backend || arch_open(&m.arch, s.folder, &e) < 0 ||
        shard_make(&m.shard, &m.arch, comm_size(world), comm_rank(world), &e) < 0 ||
        weights_random(&m.weights, m.backend, &m.arch, &m.shard, 1, &e) < 0)
        DIE("%s", e.text);
    int64_t pages = choose_pages(&m, &s);
    if (model_prepare(&m, s.P + s.S + s.T + 2, s.rows, pages, &e) < 0) DIE("%s", e.text);
    struct kvcache *k = kvcache_create(&m, pages);
    struct engine_config c = {.sample = {.temperature = 1, .top_k = 50, .top_p = 1},
                              .max_new_tokens = s.S + s.T + 2};
    struct engine *g = engine_create(&m, k, &c, &e);
    if (!g) DIE("%s", e.text);
    printf("# %s, %s, %s, %s, %d threads, %s\n", m.backend->ops->name, m.backend->device,
           m.backend->versions, dtype_name(m.backend->dtype), m.backend->threads, s.folder);
    printf("B,P,S,T,prefill_ms,step_ms,tok_s,floor_ms,ratio,gflops,padded_rows\n");
    for (int i = 0; i < s.n; i++) {
        if (pages_for(&s, s.B[i]) <= pages)
            measure(&m, k, g, &s, s.B[i]);
        else
            printf("%lld,%lld,%lld,%lld,does not fit\n", (long long)s.B[i], (long long)s.P,
                   (long long)s.S, (long long)s.T);
    }
    engine_destroy(g);
    kvcache_destroy(k);
    model_close(&m);
    backend_destroy(m.backend);
    comm_stop(world);
    return 0;
}
