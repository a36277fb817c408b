/* Result files of a made-up sweep, for tests and times of specrej report:
 *
 *   make_sweep FOLDER PROMPTS SEEDS N...
 *
 * For every seed and N Best-of-N and Speculative Rejection with four alphas (rounds at 32, 64, 128
 * and 256 tokens, paired), and for the largest N and seed 0 Best-of-N with score_at and a judge.
 * Names and texts hold what HTML, XML and gnuplot would take for their own.
 *
 * Candidates are functions of (seed, prompt, candidate) alone: rewards on the way are the final one
 * and noise that shrinks with the length; the judge follows the reward up to a point. */
#include "base/mem.h"
#include "base/rng.h"
#include "job/job.h"
#include "trace/judge.h"
#include "trace/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NEW = 384, SCORE_EVERY = 32, ROUNDS = 4 };
static const int64_t round_at[ROUNDS] = {32, 64, 128, 256};
static const double alphas[] = {0.3, 0.5, 0.7, 0.9};

static void must(int rc, const struct err *e)
{
    if (rc >= 0) return;
    fprintf(stderr, "%s\n", e->text);
    exit(2);
}

struct point {
    enum method method;
    int64_t n;
    double alpha;
    uint64_t seed;
    bool is_scored; /* score_at, and judged */
};

static double uniform(const struct point *x, int64_t prompt, int64_t candidate, uint32_t what)
{
    struct philox w = philox4x32(x->seed, (uint32_t)prompt, (uint32_t)candidate, what, 0);
    return ((double)w.word[0] + 0.5) * 0x1p-32;
}

static int64_t length_of(const struct point *x, int64_t prompt, int64_t candidate)
{
    return 20 + (int64_t)(uniform(x, prompt, candidate, 0) * (MAX_NEW - 20));
}

static float reward_of(const struct point *x, int64_t prompt, int64_t candidate)
{
    double sum = 0;
    for (uint32_t i = 1; i <= 6; i++) sum += uniform(x, prompt, candidate, i) - 0.5;
    return (float)(sum + 0.01 * (double)(prompt % 7));
}

static float partial_of(const struct point *x, int64_t prompt, int64_t candidate, int64_t tokens)
{
    double noise = uniform(x, prompt, candidate, (uint32_t)(100 + tokens)) - 0.5;
    return reward_of(x, prompt, candidate) + (float)(noise * 60 / (double)tokens);
}

/* ---- one prompt ---- */

struct prompt_record {
    struct candidate_row *candidates;
    struct {
        struct round_row *items;
        size_t n, cap;
    } rounds;
    struct {
        struct partial_reward_row *items;
        size_t n, cap;
    } partials;
};

static void add_partial(struct prompt_record *r, const struct point *x, int64_t prompt,
                        int64_t round, int64_t candidate, int64_t tokens)
{
    struct partial_reward_row row = {.prompt_index = prompt,
                                     .round = to_i32(round),
                                     .candidate = to_i32(candidate),
                                     .n_tokens = tokens,
                                     .reward = partial_of(x, prompt, candidate, tokens)};
    ARRAY_PUSH(r->partials, row);
}

static float reward_at(const struct point *x, int64_t prompt, const struct candidate_row *c,
                       int64_t at)
{
    return c->n_tokens <= at ? c->reward : partial_of(x, prompt, c->candidate, at);
}

/* The candidate that is live or complete with the least reward, not rejected yet. */
static struct candidate_row *find_worst(const struct point *x, int64_t prompt,
                                        struct candidate_row *all, int64_t at)
{
    struct candidate_row *worst = NULL;
    for (int64_t i = 0; i < x->n; i++) {
        if (all[i].rejected_round >= 0) continue;
        if (!worst || reward_at(x, prompt, &all[i], at) <= reward_at(x, prompt, worst, at))
            worst = &all[i];
    }
    return worst;
}

static void hold_round(struct prompt_record *r, const struct point *x, int64_t prompt, int round)
{
    int64_t at = round_at[round], ranked = 0, live = 0;
    for (int64_t i = 0; i < x->n; i++) {
        const struct candidate_row *c = &r->candidates[i];
        if (c->rejected_round >= 0) continue;
        ranked++;
        if (c->n_tokens <= at) continue;
        live++;
        add_partial(r, x, prompt, round, i, at);
    }
    int64_t dropped = (int64_t)(x->alpha * (double)ranked + 1e-9);
    for (int64_t k = 0; k < dropped; k++) {
        struct candidate_row *c = find_worst(x, prompt, r->candidates, at);
        c->rejected_round = round;
        if (c->n_tokens <= at) continue;
        c->reward = partial_of(x, prompt, c->candidate, at);
        c->status = CANDIDATE_REJECTED;
        c->finish_reason = FINISH_REJECTED;
        c->n_tokens = at;
    }
    struct round_row row = {.prompt_index = prompt,
                            .round = round,
                            .trigger = TRIGGER_SCHEDULE,
                            .step = at,
                            .ranked = ranked,
                            .kept = ranked - dropped,
                            .complete = ranked - live,
                            .budget_tokens = 16384,
                            .live_tokens = live * at};
    ARRAY_PUSH(r->rounds, row);
}

static void score_on_the_way(struct prompt_record *r, const struct point *x, int64_t prompt)
{
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t at = SCORE_EVERY; at < r->candidates[i].n_tokens; at += SCORE_EVERY)
            add_partial(r, x, prompt, at / SCORE_EVERY - 1, i, at);
}

static void fill_prompt(struct prompt_row *p, const struct point *x, const struct prompt_record *r,
                        int64_t prompt)
{
    *p = (struct prompt_row){.prompt_index = prompt,
                             .key = "k",
                             .status = PROMPT_OK,
                             .rounds = to_i32((int64_t)r->rounds.n),
                             .prompt_tokens = 20 + (prompt * 37) % 100,
                             .n = x->n,
                             .alpha = x->alpha,
                             .best_candidate = -1,
                             .best_reward = NAN};
    for (int64_t i = 0; i < x->n; i++) {
        const struct candidate_row *c = &r->candidates[i];
        p->tokens_generated += c->n_tokens;
        if (c->status == CANDIDATE_REJECTED) continue;
        if (p->best_candidate >= 0 && c->reward <= p->best_reward) continue;
        p->best_candidate = i;
        p->best_reward = c->reward;
    }
    p->tokens_scored = p->tokens_generated + (int64_t)r->partials.n;
    p->generate_s = 1e-4 * (double)p->tokens_generated;
    p->score_s = 3e-5 * (double)p->tokens_scored;
    p->prefill_s = 1e-4 * (double)p->prompt_tokens;
    p->comm_s = 0.01;
    p->wait_s = 0.02;
    p->wall_s = p->generate_s + p->score_s + p->prefill_s + p->comm_s + p->wait_s;
}

static void commit(struct trace *t, const struct point *x, int64_t prompt)
{
    struct prompt_record r = {.candidates = mem_calloc((size_t)x->n, sizeof *r.candidates)};
    for (int64_t i = 0; i < x->n; i++)
        r.candidates[i] = (struct candidate_row){.prompt_index = prompt,
                                                 .candidate = to_i32(i),
                                                 .status = CANDIDATE_FINISHED,
                                                 .finish_reason = FINISH_END_TOKEN,
                                                 .rejected_round = -1,
                                                 .reward = reward_of(x, prompt, i),
                                                 .judge_reward = NAN,
                                                 .tokens_offset = -1,
                                                 .n_tokens = length_of(x, prompt, i),
                                                 .text_offset = -1};
    for (int k = 0; k < ROUNDS && x->method == METHOD_SPECULATIVE_REJECTION; k++)
        hold_round(&r, x, prompt, k);
    if (x->is_scored) score_on_the_way(&r, x, prompt);
    struct trace_record record = {.candidates = r.candidates,
                                  .n_candidates = x->n,
                                  .rounds = r.rounds.items,
                                  .n_rounds = (int64_t)r.rounds.n,
                                  .partial_rewards = r.partials.items,
                                  .n_partial_rewards = (int64_t)r.partials.n};
    struct err e;
    fill_prompt(&record.prompt, x, &r, prompt);
    must(trace_commit(t, &record, &e), &e);
    free(r.candidates);
    free(r.rounds.items);
    free(r.partials.items);
}

/* ---- one file ---- */

static void open_job(struct job *j, const char *folder, const struct point *x)
{
    char *file = mem_printf("%s/job.yaml", folder);
    FILE *f = fopen(file, "w");
    struct err e;
    if (!f) exit(2);
    fprintf(f,
            "name: '%s'\ngenerator: {path: 'g <1>'}\nreward: {path: r}\ndataset: {path: d.jsonl}\n"
            "sampling: {max_new_tokens: %d}\nmethod: %s\nn: %lld\nalpha: %g\nseed: %llu\n"
            "rounds: at 32, 64, 128, 256\n%s",
            "a <b> & \"c\" ''d''", MAX_NEW, method_name(x->method), (long long)x->n, x->alpha,
            (unsigned long long)x->seed,
            x->is_scored ? "score_at: every 32\njudge: {path: j}\n" : "");
    fclose(f);
    must(job_open(j, file, NULL, 0, &e), &e);
    unlink(file);
    free(file);
}

static void judge_rows(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    (void)arg, (void)row;
    for (int64_t i = 0; i < n; i++)
        candidates[i].judge_reward =
            candidates[i].reward - 0.4f * candidates[i].reward * fabsf(candidates[i].reward);
}

static void make_file(const char *folder, const struct point *x, int64_t prompts)
{
    struct job j;
    struct err e;
    open_job(&j, folder, x);
    char id[HASH_HEX];
    job_point_id(&j, id);
    char *yaml = job_to_yaml(&j),
         *path = mem_printf("%s/n <%lld> %s.h5", folder, (long long)x->n, id);
    struct trace_meta meta = {.job_yaml = yaml,
                              .job_hash = id,
                              .point_id = id,
                              .program_version = "0",
                              .commit = "<none>",
                              .dtype = "f32",
                              .budget_tokens = 16384,
                              .n = x->n,
                              .reproducible = true};
    struct run_row run = {.start_unix_s = 1.7e9,
                          .hosts = "host & host",
                          .device = "a <device>",
                          .ranks = 1,
                          .tensor = 1,
                          .groups = 1,
                          .threads = 1,
                          .fingerprint = "f"};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    must(t ? 0 : -1, &e);
    for (int64_t p = 0; p < prompts; p++) commit(t, x, p);
    trace_close(t);
    struct trace_judge_meta judge = {.judge = "j", .job_yaml = yaml};
    struct lock *lock = lock_take(path, NULL, &e);
    if (x->is_scored) must(trace_judge(path, lock, &judge, judge_rows, NULL, &e), &e);
    lock_release(lock);
    free(path);
    free(yaml);
    job_free(&j);
}

int main(int argc, char **argv)
{
    if (argc < 5) return 2;
    int64_t prompts = atoll(argv[2]), largest = 0;
    uint64_t seeds = (uint64_t)atoll(argv[3]);
    for (int i = 4; i < argc; i++) {
        struct point x = {.method = METHOD_BEST_OF_N, .n = atoll(argv[i])};
        if (x.n > largest) largest = x.n;
        for (x.seed = 0; x.seed < seeds; x.seed++) {
            x.method = METHOD_BEST_OF_N;
            x.alpha = 0;
            make_file(argv[1], &x, prompts);
            x.method = METHOD_SPECULATIVE_REJECTION;
            for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
                x.alpha = alphas[k];
                make_file(argv[1], &x, prompts);
            }
        }
    }
    struct point scored = {.method = METHOD_BEST_OF_N, .n = largest, .is_scored = true};
    make_file(argv[1], &scored, prompts);
    return 0;
}
