#include "bench/bench.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int bench_choose(const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(text, names[i])) return i;
    DIE("unknown: %s", text);
}

static void put_value(const struct bench_option *o, char *text)
{
    if (o->number) *o->number = strtoll(text, NULL, 10);
    if (o->numbers) o->numbers->n = 0;
    if (o->words) o->words->n = 0;
    for (char *t = strtok(text, ","); t; t = strtok(NULL, ",")) {
        if (o->numbers && o->numbers->n < BENCH_MOST)
            o->numbers->items[o->numbers->n++] = strtoll(t, NULL, 10);
        if (o->words && o->words->n < BENCH_MOST) o->words->items[o->words->n++] = t;
    }
}

/* An option that every benchmark has: is it one? */
static bool put_common(struct bench *b, const char *name, const char *value)
{
    static const char *const devices[] = {"auto", "cpu", "cuda", NULL}, *const dtypes[] = {
                                                                            "auto", "f32", "bf16",
                                                                            "f16",  "fp8", NULL};
    static const char *const answers[] = {"no", "yes", NULL}, *const clocks[] = {"wall",
                                                                                 "processor", NULL};
    if (!strcmp(name, "--backend"))
        b->device = (enum device_choice)bench_choose(value, devices);
    else if (!strcmp(name, "--dtype"))
        b->dtype = (enum dtype)bench_choose(value, dtypes);
    else if (!strcmp(name, "--reproducible"))
        b->reproducible = bench_choose(value, answers);
    else if (!strcmp(name, "--clock"))
        b->by_processor = bench_choose(value, clocks);
    else if (!strcmp(name, "--ops"))
        b->shows_ops = bench_choose(value, answers);
    else if (!strcmp(name, "--rows"))
        b->rows = strtoll(value, NULL, 10);
    else if (!strcmp(name, "--repeat"))
        b->repeat = strtoll(value, NULL, 10);
    else if (!strcmp(name, "--gbs"))
        b->gbs = strtod(value, NULL);
    else if (!strcmp(name, "--tflops"))
        b->tflops = strtod(value, NULL);
    else if (!strcmp(name, "--seconds"))
        b->seconds = strtod(value, NULL);
    else
        return false;
    return true;
}

static void parse(struct bench *b, const struct bench_option *own, size_t n, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strncmp(argv[i], "--", 2) != 0) {
            if (!b->folder)
                b->folder = argv[i];
            else if (b->B.n < BENCH_MOST)
                b->B.items[b->B.n++] = strtoll(argv[i], NULL, 10);
            continue;
        }
        if (i + 1 == argc) DIE("%s needs a value", argv[i]);
        while (k < n && strcmp(argv[i], own[k].name) != 0) k++;
        if (k < n)
            put_value(&own[k], argv[i + 1]);
        else if (!put_common(b, argv[i], argv[i + 1]))
            DIE("no option %s (the heads of %s.c and bench.h have them)", argv[i],
                strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0]);
        i++;
    }
    if (!b->folder) DIE("usage: %s CONFIG_FOLDER [options] B...", argv[0]);
}

void bench_begin(struct bench *b, const struct bench_option *own, size_t n, int argc, char **argv)
{
    struct err e;
    struct model *m = &b->m;
    b->world = comm_start(&argc, &argv);
    b->begun_s = clock_s();
    b->reproducible = true;
    parse(b, own, n, argc, argv);
    if (comm_rank(b->world) != 0 && !freopen("/dev/null", "w", stdout)) DIE("no /dev/null");
    struct backend_config config = {
        .device = b->device, .dtype = b->dtype, .reproducible = b->reproducible};
    m->backend = backend_open(&config, b->world, b->world, NULL, &e);
    if (!m->backend || arch_open(&m->arch, b->folder, &e) < 0 ||
        shard_make(&m->shard, &m->arch, comm_size(b->world), comm_rank(b->world), &e) < 0 ||
        weights_random(&m->weights, m->backend, &m->arch, &m->shard, 1, &e) < 0)
        DIE("%s", e.text);
    printf("# %s, %s, %s, %s, %s, %d threads, %s, reproducible: %s, loaded in %.1f s\n",
           m->backend->ops->name, m->backend->device, m->backend->isa, m->backend->versions,
           dtype_name(m->backend->dtype), m->backend->threads, b->folder,
           b->reproducible ? "yes" : "no", clock_s() - b->begun_s);
}

void bench_end(struct bench *b)
{
    struct backend *backend = b->m.backend;
    model_close(&b->m);
    backend_destroy(backend);
    comm_stop(b->world);
}

double bench_clock_s(const struct bench *b)
{
    struct timespec t;
    if (!b->by_processor) return clock_s();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / b->m.backend->threads;
}

bool bench_is_late(const struct bench *b)
{
    return b->seconds > 0 && clock_s() - b->begun_s > b->seconds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

int32_t bench_token(const struct bench *b, int64_t i)
{
    return to_i32((i * 7919 + 3) % b->m.arch.V);
}

int64_t bench_pages(const struct bench *b, int64_t want, int64_t positions, size_t else_bytes)
{
    const struct model *m = &b->m;
    struct backend *dev = m->backend;
    size_t workspace = else_bytes + model_workspace_bytes(&m->arch, &m->shard, dev->activation,
                                                          positions, b->rows);
    double room = 0.9 * (double)dev->ops->free_bytes(dev) - (double)workspace;
    int64_t fit = (int64_t)(room / (double)dev->ops->kv_page_bytes(dev, model_kv_shape(m)));
    return want < fit ? want : fit;
}

struct model_stats bench_since(const struct bench *b, const struct model_stats *then)
{
    struct model_stats s = {0};
    model_stats_add(&s, then, &b->m.stats);
    return s;
}
