/* Time of prefill and of decode steps on a random model of a given shape, beside their floors.
 *
 *     bench_decode CONFIG_FOLDER [--prompt P] [--new T] [--repeat R] B...
 *
 * One line per B, as CSV: B, P, T, prefill_ms, step_ms (median over steps of all repeats), tok_s,
 * gflops of the step, rows computed beyond the live ones, and weight bytes per step over the step's
 * time in GB/s. */
#include "base/clock.h"
#include "base/mem.h"
#include "decode/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setup {
    const char *folder;
    int64_t P, T, R, B[16];
    int n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void parse(struct setup *s, int argc, char **argv)
{
    *s = (struct setup){.P = 256, .T = 16, .R = 3};
    for (int i = 1; i < argc; i++) {
        int64_t *number = !strcmp(argv[i], "--prompt")   ? &s->P
                          : !strcmp(argv[i], "--new")    ? &s->T
                          : !strcmp(argv[i], "--repeat") ? &s->R
                                                         : NULL;
        if (number && i + 1 < argc)
            *number = strtoll(argv[++i], NULL, 10);
        else if (!s->folder)
            s->folder = argv[i];
        else if (s->n < 16)
            s->B[s->n++] = strtoll(argv[i], NULL, 10);
    }
}

/* One B: prefill, first tokens, T timed steps. */
static void measure(struct model *m, struct kvcache *k, struct engine *g, const struct setup *s,
                    int64_t B)
{
    struct err e;
    int32_t *ids = mem_calloc((size_t)s->P, sizeof *ids);
    for (int64_t i = 0; i < s->P; i++) ids[i] = (int32_t)((i * 7919 + 3) % m->arch.V);
    struct sequence *seqs = mem_calloc((size_t)B, sizeof *seqs),
                    **live = mem_calloc((size_t)B, sizeof *live);
    double *times = mem_calloc((size_t)(s->T * s->R), sizeof *times), prefill = 0;
    int64_t padded = m->backend->stats.gemm_rows_padded;
    struct model_stats before = m->stats, after = before;
    for (int64_t r = 0; r < s->R; r++) {
        double t0 = clock_s();
        if (engine_begin(g, r, ids, s->P, &e) < 0) DIE("%s", e.text);
        prefill = clock_s() - t0;
        for (int64_t i = 0; i < B; i++) {
            sequence_init(&seqs[i], (int32_t)i, s->T + 2);
            seqs[i].status = SEQUENCE_LIVE;
            live[i] = &seqs[i];
        }
        if (engine_step(g, live, B, 1, &e) < 0) DIE("%s", e.text);
        before = m->stats;
        for (int64_t t = 0; t < s->T; t++) {
            double t1 = clock_s();
            if (engine_step(g, live, B, 1, &e) < 0) DIE("%s", e.text);
            times[r * s->T + t] = clock_s() - t1;
        }
        after = m->stats;
        for (int64_t i = 0; i < B; i++) sequence_free(&seqs[i], k);
        engine_end(g);
    }
    qsort(times, (size_t)(s->T * s->R), sizeof *times, by_value);
    double step = times[s->T * s->R / 2];
    struct cost cost = model_cost(m, &before, &after);
    printf("%lld,%lld,%lld,%.2f,%.3f,%.1f,%.1f,%lld,%.2f\n", (long long)B, (long long)s->P,
           (long long)s->T, prefill * 1e3, step * 1e3, (double)B / step,
           cost.flops / (double)s->T / step * 1e-9,
           (long long)(m->backend->stats.gemm_rows_padded - padded),
           (double)m->weights.bytes / step * 1e-9);
    fflush(stdout);
    free(ids);
    free(seqs);
    free(live);
    free(times);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct setup s;
    struct err e = {0};
    struct model m = {0};
    parse(&s, argc, argv);
    if (!s.folder || s.n == 0)
        DIE("usage: bench_decode CONFIG_FOLDER [--prompt P] [--new T] [--repeat R] B...");
    m.backend =
        backend_cpu_create(world, getenv("BENCH_BF16") ? DTYPE_ID_BF16 : DTYPE_ID_F32, 0, &e);
    int64_t most = 0;
    for (int i = 0; i < s.n; i++) most = s.B[i] > most ? s.B[i] : most;
    int64_t pages = pages_of(s.P) + most * pages_of(s.T + 1);
    if (!m.backend || arch_open(&m.arch, s.folder, &e) < 0 ||
        shard_make(&m.shard, &m.arch, 1, 0, &e) < 0 ||
        weights_random(&m.weights, m.backend, &m.arch, &m.shard, 1, &e) < 0 ||
        model_prepare(&m, s.P + s.T + 2, 512, pages, &e) < 0)
        DIE("%s", e.text);
    struct kvcache *k = kvcache_create(&m, pages);
    struct engine_config c = {.sample = {.temperature = 1, .top_k = 50, .top_p = 1},
                              .max_new_tokens = s.T + 2};
    struct engine *g = engine_create(&m, k, &c, &e);
    if (!g) DIE("%s", e.text);
    printf("B,P,T,prefill_ms,step_ms,tok_s,gflops,padded_rows,weights_gb_s\n");
    for (int i = 0; i < s.n; i++) measure(&m, k, g, &s, s.B[i]);
    engine_destroy(g);
    kvcache_destroy(k);
    model_close(&m);
    backend_destroy(m.backend);
    comm_stop(world);
    return 0;
}
