/* What a plan computes, against sums made by hand: lengths, the work of a prompt, its price, a
 * rank's memory, the schedule of prompts. */
#include "base/mem.h"
#include "run/plan/point.h"
#include "run/plan/scale.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NEAR(a, b) assert_true(fabs((a) - (b)) <= 1e-9 * fabs(b))

/* ---- lengths ---- */

static void lengths_by_hand(void **state)
{
    (void)state;
    struct lengths l;
    struct err e;
    lengths_bound(&l, 5);
    assert_true(lengths_mean_of(&l) == 5);
    assert_int_equal(lengths_at(&l, 0.0), 5);
    assert_int_equal(lengths_at(&l, 0.999), 5);
    lengths_free(&l);

    assert_int_equal(lengths_mean(&l, 2048, 300, &e), 0);
    assert_true(fabs(lengths_mean_of(&l) - 300) < 1e-6);
    double sum = 0; /* drawn lengths have that mean, too: sigma of the mean is about 2.1 */
    for (int64_t i = 0; i < 20000; i++) sum += (double)lengths_draw(&l, i % 7, i);
    assert_true(fabs(sum / 20000 - 300) < 8);
    lengths_free(&l);
    assert_int_equal(lengths_mean(&l, 2048, 3000, &e), -1);
    lengths_free(&l);
    assert_int_equal(lengths_mean(&l, 2048, 0.5, &e), -1);
    lengths_free(&l);
}

/* Ten candidates: 2 end with 1 token, 4 are cut off with 2, 2 of the other 4 end with 3, 2 reach 4.
 * S(1) = 8/10; S(2) = S(1); at 3 four are at risk, two end: S(3) = 0.4. */
static void lengths_with_rejected(void **state)
{
    (void)state;
    const int64_t ended[] = {0, 2, 0, 2, 0}, seen[] = {0, 2, 4, 2, 2};
    struct lengths l;
    lengths_seen(&l, 4, ended, seen, 4);
    NEAR(l.survive[1], 0.8);
    NEAR(l.survive[2], 0.8);
    NEAR(l.survive[3], 0.4);
    assert_true(l.survive[4] == 0);
    assert_int_equal(lengths_at(&l, 0.9), 1);
    assert_int_equal(lengths_at(&l, 0.5), 3);
    assert_int_equal(lengths_at(&l, 0.1), 4);
    lengths_free(&l);
    /* Beyond what was seen: 4 ends in 1*2 + 2*4 + 3*2 + 4*2 = 24 tokens. */
    lengths_seen(&l, 6, ended, seen, 4);
    NEAR(l.survive[4], 0.4);
    NEAR(l.survive[5], 0.4 * (1 - 4.0 / 24));
    lengths_free(&l);
}

/* ---- work ---- */

static struct job continuous, waves;

static struct work_setup setup(enum policy_kind kind, int64_t n, int64_t pages)
{
    struct policy_config c = {.n = n, .alpha = 0.5};
    continuous.sampling.max_new_tokens = waves.sampling.max_new_tokens = 64;
    waves.batching = BATCHING_STATIC;
    return (struct work_setup){.policy = policy_create(kind, &c),
                               .job = &continuous,
                               .own_pages = pages,
                               .keeps_kv = true,
                               .keeps_prefix = true,
                               .prompt_tokens = 10,
                               .reward_prompt_tokens = 12,
                               .closing_tokens = 2,
                               .text_ratio = 1};
}

static void simulate(struct work *w, const struct work_setup *s, int64_t length)
{
    int64_t n = s->policy.config.n, *lengths = mem_calloc((size_t)n, sizeof *lengths);
    for (int64_t i = 0; i < n; i++) lengths[i] = length;
    work_simulate(w, s, lengths);
    free(lengths);
}

static int64_t passes_of(const struct work *w, int64_t B)
{
    int64_t n = 0;
    for (size_t i = 0; i < w->steps.n; i++) n += w->steps.items[i].B == B;
    return n;
}

/* Eight candidates of 64 tokens in 8 pages.  With 17 tokens each holds one page and needs another:
 * half go.  With 33 the four hold two each: half go.  With 49 the two hold three each, and two are
 * free.  So 8 x 17 + 4 x 16 + 2 x 31 tokens; the first ones need no pass. */
static void memory_rounds(void **state)
{
    (void)state;
    struct work_setup s = setup(POLICY_SPECULATIVE_REJECTION, 8, 8);
    struct work w;
    simulate(&w, &s, 64);
    assert_int_equal(w.tokens, 8 * 17 + 4 * 16 + 2 * 31);
    assert_int_equal(w.rounds, 3); /* the last one rejects nothing */
    assert_int_equal(w.steps.n, 63);
    assert_int_equal(passes_of(&w, 8), 16);
    assert_int_equal(passes_of(&w, 4), 16);
    assert_int_equal(passes_of(&w, 2), 31);
    assert_int_equal(w.peak_pages, 8);
    assert_int_equal(w.scores.n, 3);
    assert_int_equal(w.scores.items[0].rows, 8 * (17 + 2));
    assert_int_equal(w.scores.items[1].rows, 4 * (16 + 2)); /* 17 are kept */
    assert_int_equal(w.scores.items[2].rows, 2 * (31 + 2));
    assert_int_equal(w.rows_scored, 8 * 19 + 4 * 18 + 2 * 33);
    assert_int_equal(w.complete, 2);
    assert_int_equal(w.complete_tokens, 128);
    assert_int_equal(w.steps.items[16].own, 4 * 17);
    work_free(&w);

    s.keeps_kv = false; /* everything is read again */
    simulate(&w, &s, 64);
    assert_int_equal(w.rows_scored, 8 * 19 + 4 * 35 + 2 * 66);
    s.keeps_prefix = false; /* and the prompt, at each of the three */
    work_free(&w);
    simulate(&w, &s, 64);
    assert_int_equal(w.rows_scored, 8 * 19 + 4 * 35 + 2 * 66 + 3 * 12);
    work_free(&w);
    s.reward_is_self = true;
    simulate(&w, &s, 64);
    assert_int_equal(w.rows_scored, 0);
    assert_int_equal(w.rounds, 3);
    work_free(&w);
}

/* alpha = 0 and enough memory is no round at all; who ends early frees its pages. */
static void rounds_that_need_not_be(void **state)
{
    (void)state;
    struct work_setup s = setup(POLICY_SPECULATIVE_REJECTION, 8, 32);
    struct work w;
    simulate(&w, &s, 64);
    assert_int_equal(w.rounds, 1);
    assert_int_equal(w.tokens, 8 * 64);
    work_free(&w);
    simulate(&w, &s, 20);
    assert_int_equal(w.tokens, 8 * 20);
    assert_int_equal(w.peak_pages, 16);
    /* the end token is not read by the reward model */
    assert_int_equal(w.rows_scored, 8 * (19 + 2));
    work_free(&w);
}

static void scheduled_rounds(void **state)
{
    (void)state;
    struct work_setup s = setup(POLICY_SPECULATIVE_REJECTION, 8, 32);
    s.policy.config.schedule = (struct policy_schedule){.when = WHEN_EVERY, .every = 20};
    struct work w;
    simulate(&w, &s, 64);
    assert_int_equal(w.rounds, 4); /* at 20, 40, 60 and the last */
    assert_int_equal(w.tokens, 8 * 20 + 4 * 20 + 2 * 20 + 1 * 4);
    work_free(&w);
}

/* Four candidates of four pages each in eight: in waves two and two; at once two, and the others as
 * they end.  Nobody knows the lengths, so that admission takes half of the limit (2 pages) for each
 * and all four start; with 33 tokens each needs a third page and two wait. */
static void best_of_n(void **state)
{
    (void)state;
    struct work_setup s = setup(POLICY_BEST_OF_N, 4, 8);
    struct work w;
    s.job = &waves;
    simulate(&w, &s, 64);
    assert_int_equal(w.tokens, 4 * 64);
    assert_int_equal(w.evictions, 0);
    assert_int_equal(w.steps.n, 2 * 63);
    assert_int_equal(passes_of(&w, 2), 2 * 63);
    assert_int_equal(w.scores.n, 1);
    assert_int_equal(w.scores.items[0].rows, 4 * 66);
    work_free(&w);

    s.job = &continuous;
    simulate(&w, &s, 64);
    assert_int_equal(w.tokens, 4 * 64);
    assert_int_equal(w.evictions, 2);
    assert_int_equal(w.peak_pages, 8);
    assert_int_equal(passes_of(&w, 4), 32);
    assert_int_equal(passes_of(&w, 2), 31 + 31);
    assert_int_equal(passes_of(&w, 32), 2); /* the KV of 33 tokens less the newest, again */
    work_free(&w);
}

/* Sixteen in 16 pages are eight in 8 that are two each, where all are alike. */
static void each_is_two(enum policy_kind kind)
{
    struct work_setup one = setup(kind, 16, 16), two = setup(kind, 8, 8);
    struct work a, b;
    two.each = 2;
    one.job = two.job = &waves; /* Best-of-N: who has to wait waits alone otherwise */
    one.keeps_prefix = two.keeps_prefix = false; /* the prompt is read once a scoring, not twice */
    simulate(&a, &one, 64);
    simulate(&b, &two, 64);
    assert_int_equal(a.tokens, b.tokens);
    assert_int_equal(a.rows_scored, b.rows_scored);
    assert_int_equal(a.texts_scored, b.texts_scored);
    assert_int_equal(a.rounds, b.rounds);
    assert_int_equal(a.decisions, b.decisions);
    assert_int_equal(a.evictions, b.evictions);
    assert_int_equal(a.peak_pages, b.peak_pages);
    assert_int_equal(a.complete, b.complete);
    assert_int_equal(a.complete_tokens, b.complete_tokens);
    assert_int_equal(a.steps.n, b.steps.n);
    assert_memory_equal(a.steps.items, b.steps.items, a.steps.n * sizeof *a.steps.items);
    assert_int_equal(a.scores.n, b.scores.n);
    for (size_t i = 0; i < a.scores.n; i++) {
        assert_int_equal(a.scores.items[i].rows, b.scores.items[i].rows);
        NEAR(a.scores.items[i].keys, b.scores.items[i].keys);
    }
    work_free(&a);
    work_free(&b);
}

static void alike_candidates(void **state)
{
    (void)state;
    each_is_two(POLICY_SPECULATIVE_REJECTION);
    each_is_two(POLICY_BEST_OF_N);
}

/* ---- price ---- */

static struct arch llama(void)
{
    return (struct arch){.head = HEAD_CAUSAL_LM,
                         .name = "LlamaForCausalLM",
                         .D = 4096,
                         .L = 32,
                         .H = 32,
                         .G = 8,
                         .E = 128,
                         .F = 14336,
                         .V = 128256,
                         .max_positions = 8192,
                         .window_every = 1};
}

static struct hardware round_numbers(void)
{
    struct hardware h = {.is_cuda = true, .dtype = DTYPE_ID_BF16, .activation = DTYPE_ID_BF16};
    const double values[FIGURES] = {[FIGURE_MEMORY] = 0x1p36,
                                    [FIGURE_BANDWIDTH] = 1e12,
                                    [FIGURE_COMPUTE] = 1e14,
                                    [FIGURE_EFFICIENCY] = 0.5,
                                    [FIGURE_SCORE_EFFICIENCY] = 0.25,
                                    [FIGURE_OVERHEAD] = 1.1,
                                    [FIGURE_RANKS_PER_NODE] = 8,
                                    [FIGURE_LINK] = 1e11,
                                    [FIGURE_LINK_LATENCY] = 1e-5,
                                    [FIGURE_NETWORK] = 1e10,
                                    [FIGURE_NETWORK_LATENCY] = 1e-4,
                                    [FIGURE_READ] = 1e9,
                                    [FIGURE_START] = 10,
                                    [FIGURE_COMMIT] = 0.01};
    for (int f = 0; f < FIGURES; f++) h.figures[f] = (struct figure){values[f], FIGURE_GIVEN};
    return h;
}

/* Weights of a step: 2 x (6,979,321,856 + 525,336,576) + 4 x 266,240 bytes = 15.01 ms at 1 TB/s;
 * 100 own keys of 128 KiB 13.1 us; 64 rows of 15.01 GFLOP at 100 TFLOP/s 9.6 ms, below the reading.
 */
static void price_of_a_step(void **state)
{
    (void)state;
    struct arch a = llama();
    struct hardware h = round_numbers();
    struct price_setup p = {
        .hardware = &h, .generator = &a, .tensor = 1, .groups = 1, .max_rows = 1024};
    struct work w = {.prompt_tokens = 0};
    ARRAY_PUSH(w.steps, ((struct work_step){64, 6400}));
    double weights = 2 * (6979321856.0 + 525336576.0) + 4 * 266240.0;
    double own = 131072.0 * (6400 + 64);
    struct price x = price_work(&p, &w);
    NEAR(x.floor.generate_s, (weights + own) / 1e12);
    NEAR(x.expected.generate_s, (weights + own) / 1e12 / 0.5);
    NEAR(x.expected_s, (weights + own) / 1e12 / 0.5 * 1.1);
    assert_true(x.exchange_s == 0 && x.decide_s == 0);

    /* Two ranks: half the time each, and 65 all-gathers of 64 rows x 16 KiB, 3 more for sampling.
     */
    p.tensor = 2;
    x = price_work(&p, &w);
    double exchange = 65 * (1e-5 + 64 * 4096 * 4.0 / 1e11) + 3e-5;
    NEAR(x.exchange_s, exchange);
    NEAR(x.floor.generate_s, (weights + own) / 2e12 + exchange);
    p.across_nodes = true;
    x = price_work(&p, &w);
    NEAR(x.exchange_s, 65 * (1e-4 + 64 * 4096 * 4.0 / 1e10) + 3e-4);

    /* Four groups share the candidates: 16 each; 5 decisions over log2(4) hops, there and back. */
    p = (struct price_setup){
        .hardware = &h, .generator = &a, .tensor = 1, .groups = 4, .max_rows = 1024};
    w.decisions = 5;
    x = price_work(&p, &w);
    NEAR(x.floor.generate_s, (weights + own / 4) / 1e12);
    NEAR(x.decide_s, 2 * 5 * 2 * 1e-4);

    /* 64 candidates in slices of 32: the weights are read twice. */
    p.groups = 1;
    p.max_rows = 32;
    x = price_work(&p, &w);
    NEAR(x.floor.generate_s, (2 * weights + own) / 1e12);
    work_free(&w);
}

static void price_of_scoring(void **state)
{
    (void)state;
    struct arch a = llama(), r = llama();
    r.head = HEAD_SCORE;
    struct hardware h = round_numbers();
    struct price_setup p = {
        .hardware = &h, .generator = &a, .reward = &r, .tensor = 1, .groups = 1, .max_rows = 1000};
    struct work w = {0};
    ARRAY_PUSH(w.scores, ((struct work_score){.rows = 5000, .texts = 50, .keys = 1e6}));
    struct price x = price_work(&p, &w);
    double flops = 5000 * 2 * 6979321856.0 + 1e6 * 524288.0;
    NEAR(x.floor.score_s, flops / 1e14); /* compute is the limit */
    NEAR(x.expected.score_s, flops / 1e14 / 0.25);
    work_free(&w);
}

/* ---- the job ---- */

static void schedule(void **state)
{
    (void)state;
    const double s[] = {3, 1, 1, 1};
    assert_true(point_makespan_s(s, 4, 4, 1, 0) == 6);
    assert_true(point_makespan_s(s, 4, 4, 2, 0) == 3);
    assert_true(point_makespan_s(s, 4, 4, 4, 0) == 3);
    assert_true(point_makespan_s(s, 4, 4, 64, 0) == 3);
    assert_true(point_makespan_s(s, 4, 8, 2, 0) == 6);
    assert_true(point_makespan_s(s, 4, 4, 4, 2) == 8 + 2); /* rank 0 writes one after the other */
}

static void near_bytes(double got, double want)
{
    if (fabs(got - want) > 1) fail_msg("%.0f bytes, not %.0f", got, want);
}

static size_t page_bytes(const struct backend *b, struct kv_shape s)
{
    return (size_t)(2 * s.L * s.G * PAGE_TOKENS * s.E) * dtype_bytes(b->activation);
}

/* A rank's memory, tensor 1 and 2, of Llama-3-8B twice with 64 GiB. */
static void memory(void **state)
{
    (void)state;
    struct hardware h = round_numbers();
    h.max_rows = 1024;
    h.kv_page_bytes = page_bytes;
    h.workspace_bytes = workload_bytes;
    struct plan_prompt prompt = {.tokens = 100, .reward_tokens = 110, .fits = true};
    struct job j;
    struct err e = {{0}};
    const char *yaml = "{name: memory, generator: {path: /g}, reward: {path: /r, cache: device}, "
                       "dataset: {path: /d.txt}, sampling: {max_new_tokens: 1000}, n: 100, "
                       "method: speculative_rejection, alpha: 0.5, output: x}";
    if (job_from_yaml(&j, yaml, "memory", &e) < 0) fail_msg("%s", e.text);
    struct plan_inputs in = {.prompts = &prompt, .n = 1, .median = 100, .text_ratio = 1};
    in.models[0] = (struct plan_model){.folder = "g", .has_arch = true, .arch = llama()};
    in.models[1] = (struct plan_model){.folder = "r", .has_arch = true, .arch = llama()};
    in.models[1].arch.head = HEAD_SCORE;
    in.worker = (struct worker){.job = &j, .role = WORKER_JOB, .grid = {.n_groups = 1}};
    in.worker.generator.arch = in.models[0].arch;
    in.worker.reward.arch = in.models[1].arch;
    struct lengths l;
    lengths_bound(&l, 1000);
    struct point_setup s = {.inputs = &in, .hardware = &h, .lengths = &l, .most_samples = 1};
    struct plan_point p;
    assert_int_equal(point_make(&p, &s, &j, 1, 1, &e), 0);
    near_bytes(p.memory.weights[0], 2 * (6979321856.0 + 2 * 525336576.0) + 4 * 266240.0);
    near_bytes(p.memory.weights[1], 2 * (6979321856.0 + 525336576.0) + 4 * 266240.0);
    /* All that 100 candidates can use: 7 pages of the prompt, 63 of each. */
    near_bytes(p.memory.kv[0], (7 + 100 * 63) * 16 * 131072.0);
    assert_true(p.memory.taken <= 0.9 * 0x1p36 + 0.1 * (p.memory.weights[0] + p.memory.weights[1]));
    /* Attention's partial results: (m, l, o [128]) of 32 heads, for a row and 1024 more. */
    assert_true(p.memory.workspace > 2048 * 32 * 130 * 4.0);
    assert_int_equal(p.n_least, 100);
    double whole = p.memory.weights[0] + p.memory.weights[1];
    point_free(&p);
    assert_int_equal(point_make(&p, &s, &j, 2, 1, &e), 0);
    near_bytes(p.memory.weights[0] + p.memory.weights[1],
               (whole - 8 * 266240.0) / 2 + 8 * 266240.0);
    near_bytes(p.memory.kv[0], (7 + 100 * 63) * 16 * 65536.0);
    double alone = p.memory.workspace;
    point_free(&p);
    /* Pages of 1 MiB that move to and from two other groups: 128 MiB of them at a time, or as many
     * whole ones as go into it for four ways. */
    j.parallel.split = SPLIT_CANDIDATES;
    assert_int_equal(point_make(&p, &s, &j, 2, 3, &e), 0);
    near_bytes(p.memory.workspace - alone, 4 * 32 * 0x1p20);
    point_free(&p);
    j.parallel.split = SPLIT_PROMPTS;
    assert_int_equal(point_make(&p, &s, &j, 2, 3, &e), 0);
    near_bytes(p.memory.workspace, alone);
    point_free(&p);
    /* Weights that do not fit are named, with the cure. */
    h.figures[FIGURE_MEMORY].value = 0x1p34;
    assert_int_equal(point_make(&p, &s, &j, 1, 1, &e), -1);
    assert_non_null(strstr(e.text, "parallel.tensor"));
    point_free(&p);
    lengths_free(&l);
    job_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_by_hand),  cmocka_unit_test(lengths_with_rejected),
        cmocka_unit_test(memory_rounds),    cmocka_unit_test(rounds_that_need_not_be),
        cmocka_unit_test(scheduled_rounds), cmocka_unit_test(best_of_n),
        cmocka_unit_test(alike_candidates), cmocka_unit_test(price_of_a_step),
        cmocka_unit_test(price_of_scoring), cmocka_unit_test(schedule),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
