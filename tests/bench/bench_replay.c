/* How long a grid takes: a made-up recording of Best-of-256 on 100 prompts of up to 512 tokens,
 * scored at every page, replayed under 1,000 points (50 alphas x 20 budgets, memory rounds).
 *
 *   bench_replay [PROMPTS [N]]     seconds of each part, processor time, and the most memory in use
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/span.h"
#include "report/replay_verb.h"
#include "trace/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MAX_NEW = 512, PROMPT_TOKENS = 64, BUDGET = 40000 };

static void must(int rc, const struct err *e)
{
    if (rc >= 0) return;
    fprintf(stderr, "%s\n", e->text);
    exit(2);
}

static float uniform(uint32_t prompt, uint32_t candidate, uint32_t what)
{
    return (float)philox4x32(1, prompt, candidate, what, 0).word[0] * 0x1p-32f;
}

/* A decoding step for each length, of those that are longer: what the times are learned from.
 * steps [MAX_NEW]; returns how many. */
static int64_t make_steps(const struct candidate_row *c, int64_t n, struct trace_row *steps)
{
    int64_t at_ns = 0;
    for (int64_t s = 1; s < MAX_NEW; s++) {
        int64_t live = 0;
        for (int64_t i = 0; i < n; i++) live += c[i].n_tokens > s;
        if (live == 0) return s - 1;
        int64_t took_ns = 30000 + 20000 * live + live * (PROMPT_TOKENS + s) / 4;
        steps[s - 1] = (struct trace_row){.phase = SPAN_DECODE,
                                          .step = s + 1,
                                          .start_ns = at_ns,
                                          .end_ns = at_ns + took_ns,
                                          .sequences = live,
                                          .tokens = live};
        at_ns += took_ns;
    }
    return MAX_NEW - 1;
}

/* Rewards on the way are the final one and noise that shrinks with the length. */
static void commit(struct trace *t, uint32_t prompt, int64_t n)
{
    struct {
        struct partial_reward_row *items;
        size_t n, cap;
    } partials = {0};
    struct candidate_row *c = mem_calloc((size_t)n, sizeof *c);
    int64_t tokens = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t k = (uint32_t)i;
        int64_t length = 1 + (int64_t)((double)MAX_NEW * 0.999 * (double)uniform(prompt, k, 0));
        float reward = uniform(prompt, k, 1);
        c[i] = (struct candidate_row){.prompt_index = prompt,
                                      .candidate = to_i32(i),
                                      .status = CANDIDATE_FINISHED,
                                      .finish_reason = FINISH_END_TOKEN,
                                      .rejected_round = -1,
                                      .reward = reward,
                                      .judge_reward = NAN,
                                      .tokens_offset = -1,
                                      .n_tokens = length,
                                      .text_offset = -1};
        tokens += length;
        for (int64_t at = 17, number = 0; at < length; at += 16, number++) {
            float noise = uniform(prompt, k, (uint32_t)(2 + number)) * 16 / (float)at;
            struct partial_reward_row row = {.prompt_index = prompt,
                                             .round = to_i32(number),
                                             .candidate = to_i32(i),
                                             .n_tokens = at,
                                             .reward = reward + noise};
            ARRAY_PUSH(partials, row);
        }
    }
    struct trace_row *steps = mem_calloc(MAX_NEW, sizeof *steps);
    struct trace_record r = {.candidates = c,
                             .trace = steps,
                             .n_trace = make_steps(c, n, steps),
                             .n_candidates = n,
                             .partial_rewards = partials.items,
                             .n_partial_rewards = (int64_t)partials.n};
    r.prompt = (struct prompt_row){.prompt_index = prompt,
                                   .key = "k",
                                   .status = PROMPT_OK,
                                   .prompt_tokens = PROMPT_TOKENS,
                                   .n = n,
                                   .wall_s = 1,
                                   .generate_s = 1,
                                   .tokens_generated = tokens};
    struct err e;
    must(trace_commit(t, &r, &e), &e);
    free(partials.items);
    free(steps);
    free(c);
}

static void record(const char *folder, const char *path, uint32_t prompts, int64_t n)
{
    struct err e;
    struct job j;
    char *file = mem_printf("%s/job.yaml", folder);
    FILE *f = fopen(file, "w");
    if (!f) exit(2);
    fprintf(f,
            "generator: {path: g}\nreward: {path: self}\ndataset: {path: d.jsonl}\n"
            "method: best_of_n\nn: %lld\nscore_at: pages\nsampling: {max_new_tokens: %d}\n",
            (long long)n, MAX_NEW);
    fclose(f);
    must(job_open(&j, file, NULL, 0, &e), &e);
    char *yaml = job_to_yaml(&j);
    struct trace_meta meta = {.job_yaml = yaml,
                              .budget_tokens = PROMPT_TOKENS + n * MAX_NEW,
                              .n = n,
                              .reproducible = true};
    struct run_row run = {.ranks = 1, .tensor = 1, .groups = 1, .fingerprint = "f"};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    must(t ? 0 : -1, &e);
    for (uint32_t p = 0; p < prompts; p++) commit(t, p, n);
    trace_close(t);
    free(yaml);
    job_free(&j);
    free(file);
}

/* "KEY=[first, first + step, ...]" */
static char *list(const char *key, double first, double step, int n)
{
    char *text = mem_printf("%s=[", key);
    for (int i = 0; i < n; i++) {
        char *longer = mem_printf("%s%s%.10g", text, i ? ", " : "", first + i * step);
        free(text);
        text = longer;
    }
    char *all = mem_printf("%s]", text);
    free(text);
    return all;
}

static void replay_all(const char *path)
{
    struct err e;
    char *alphas = list("sweep.alpha", 0.02, 0.0196, 50),
         *budgets = list("sweep.budget_tokens", BUDGET, -1600, 20);
    const char *set[] = {alphas, budgets, "min_round_tokens=16"};
    struct replay_grid_options o = {.set = set, .n_set = 3};
    struct replay_grid g;
    struct comparison c;
    double t0 = clock_s();
    must(replay_grid_make(&g, path, &o, &e), &e);
    double t1 = clock_s();
    must(comparison_of(&c, replay_grid_take(&g), g.n, 0, &e), &e);
    double t2 = clock_s(), rounds = 0;
    for (int f = 0; f < c.n_files; f++) rounds += c.rows[f].rounds * (double)c.n_prompts;
    printf("%d points, %lld prompts, %.0f rounds: read and replay %.2f s, metrics and intervals "
           "%.2f s\n",
           g.n, (long long)c.n_prompts, rounds, t1 - t0, t2 - t1);
    comparison_free(&c);
    replay_grid_close(&g);
    free(alphas);
    free(budgets);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/bench_replay.XXXXXX";
    if (!mkdtemp(folder)) return 2;
    char *path = mem_printf("%s/r.h5", folder), *file = mem_printf("%s/job.yaml", folder);
    record(folder, path, argc > 1 ? (uint32_t)atoi(argv[1]) : 100, argc > 2 ? atoll(argv[2]) : 256);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    replay_all(path);
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec);
    printf("%.2f s of processor time, at most %.0f MiB\n", cpu, (double)after.ru_maxrss / 1024);
    char *junk[] = {path, file};
    for (int i = 0; i < 2; i++) {
        unlink(junk[i]);
        free(junk[i]);
    }
    return rmdir(folder) != 0;
}
