/* Prompts in flight (run/flight.c): whatever `overlap` is, and however short the pools are, each
 * prompt's record is that of the prompt alone, bit for bit.  Where memory is not short, so is its
 * work.  On 2 and 4 ranks with tensor 2, every group runs all prompts. */
#include "base/mem.h"
#include "base/span.h"
#include "ref/temp.h"
#include "run/flight.h"
#include "run/prompt.h"
#include "test_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NEW      64
#define N            16
#define N_PROMPTS    8
#define LONGEST      43
#define REWARD_PAGES 16 /* of a short pool: a prefix, and some texts */
#define TOO_LONG     5  /* the prompt that does not fit the context with MAX_NEW: skipped */

/* Pages of a pool for several prompts beyond what one of them may take.  Three show the sanitizers
 * what six do; on 4 ranks one does, as each group of 2 goes through what the 2 ranks go through. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
static const int64_t more[] = {0, 8, 24};
#define SHORT_REWARDS 1 /* the place in `more` where the reward model has few pages, too */
#else
#define SANITIZED     false
static const int64_t more[] = {0, 4, 8, 16, 24, 32};
#define SHORT_REWARDS 2
#endif

static struct prompt_input prompts[N_PROMPTS];

/* Prompts of 3 to 43 tokens, uneven from one to the next. */
static void make_prompts(void)
{
    for (int64_t i = 0; i < N_PROMPTS; i++) {
        int64_t n = i == TOO_LONG ? 100 : 3 + i * 29 % (LONGEST - 2);
        int32_t *ids = mem_calloc((size_t)n, sizeof *ids);
        for (int64_t t = 0; t < n; t++) ids[t] = (int32_t)(4 + (t * 7919 + i * 104729) % 120);
        prompts[i] = (struct prompt_input){
            .index = i, .ids = ids, .n_ids = n, .reward_ids = ids, .n_reward_ids = n};
    }
}

/* ---- a worker without a job file of its own ---- */

/* A Llama with 2 layers, 128 positions and 160 tokens, for weights: random. */
static char *model_folder(const char *head)
{
    char *folder = temp_folder();
    char *config = mem_printf(
        "{\"architectures\": [\"%s\"], \"model_type\": \"llama\", \"hidden_act\": \"silu\","
        " \"rope_theta\": 10000.0, \"rms_norm_eps\": 1e-5, \"hidden_size\": 32,"
        " \"intermediate_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
        " \"num_key_value_heads\": 2, \"max_position_embeddings\": 128, \"vocab_size\": 160,"
        " \"torch_dtype\": \"float32\", \"bos_token_id\": 1, \"eos_token_id\": 2,"
        " \"id2label\": {\"0\": \"LABEL_0\"}, \"label2id\": {\"LABEL_0\": 0}}",
        head);
    temp_text(folder, "config.json", config);
    free(config);
    return folder;
}

static void open_worker(struct worker *w, struct job *j, struct comm *world, const char *tail,
                        int overlap)
{
    struct err e = {0};
    const char *backend = getenv("SPECREJ_TEST_BACKEND");
    char *folder = temp_folder(), *path = mem_printf("%s/job.yaml", folder),
         *generator = model_folder("LlamaForCausalLM"),
         *reward = model_folder("LlamaForSequenceClassification");
    char *text =
        mem_printf("generator: {path: %s, weights: random}\n"
                   "reward: {path: %s, weights: random%s}\ndataset: {path: none.jsonl}\n"
                   "dtype: f32\nn: %d\nbackend: %s\noverlap: %d\nseed: 7\n"
                   "sampling: {max_new_tokens: %d}\nparallel: {tensor: %d}\n%s",
                   generator, reward, strstr(tail, "#none") ? ", cache: none" : "", N,
                   backend ? backend : "cpu", overlap, MAX_NEW, comm_size(world) > 1 ? 2 : 1, tail);
    temp_text(folder, "job.yaml", text);
    REQUIRE(job_open(j, path, NULL, 0, &e) == 0, "%s", e.text);
    struct worker_needs needs = {LONGEST, LONGEST};
    REQUIRE(worker_open(w, j, WORKER_JOB, world, NULL, &e) == 0, "%s", e.text);
    REQUIRE(worker_load(w, &needs, &e) == 0, "%s", e.text);
    free(text);
    free(path);
    temp_remove(folder);
    temp_remove(generator);
    temp_remove(reward);
}

/* Pages of a pool that are held by nobody in particular, until `left` are free. */
static void hold_pages(struct kvcache *k, struct page_list *held, int64_t left)
{
    while (kvcache_pool_free(k) > left) ARRAY_PUSH(*held, kvcache_take(k));
}

/* ---- all prompts, as they come ---- */

struct stopper {
    struct worker *w;
    int64_t polls;
};

struct run {
    const struct stopper *stopper;    /* of a run that is told to stop; else NULL */
    int64_t polls_when_left;          /* its polls when the first prompt was left */
    int64_t n_done, place[N_PROMPTS]; /* in the order in which prompts were handed in */
    int64_t next, most_at_once, at_once, abandoned;
    int64_t evictions; /* where somebody counted them */
    struct trace_record record[N_PROMPTS];
};

static const struct prompt_input *next_prompt(void *arg, const struct prompt_input *was,
                                              enum prompt_outcome outcome,
                                              struct trace_record *done)
{
    struct run *r = arg;
    r->at_once -= was != NULL;
    if (was && outcome == PROMPT_ABANDONED) {
        if (r->abandoned++ == 0) r->polls_when_left = r->stopper->polls;
        REQUIRE(r->polls_when_left == r->stopper->polls, "steps were taken after the first left");
    }
    if (was) {
        r->place[was - prompts] = r->n_done++;
        r->record[was - prompts] = *done;
        *done = (struct trace_record){0};
    }
    if (r->next == N_PROMPTS || r->abandoned > 0) return NULL;
    if (++r->at_once > r->most_at_once) r->most_at_once = r->at_once;
    return &prompts[r->next++];
}

static void run_free(struct run *r)
{
    for (int64_t i = 0; i < N_PROMPTS; i++) prompt_record_free(&r->record[i]);
}

/* left, reward_left: pages that the pools have for all of it; 0: as many as the worker took. */
static struct run run_all(struct worker *w, int64_t left, int64_t reward_left)
{
    struct run r = {0};
    struct page_list held = {0}, reward_held = {0};
    if (left) hold_pages(w->generator_pages, &held, left);
    if (reward_left) hold_pages(w->reward_pages, &reward_held, reward_left);
    int64_t pages = kvcache_pool_free(w->generator_pages),
            reward_pages = kvcache_pool_free(w->reward_pages);
    struct policy policy = policy_of_job(w->job);
    flight_run(w, &policy, &(struct flight_source){next_prompt, &r});
    REQUIRE(kvcache_pool_free(w->generator_pages) == pages, "pages are lost");
    REQUIRE(kvcache_pool_free(w->reward_pages) == reward_pages, "reward pages are lost");
    page_list_free(&held, w->generator_pages);
    page_list_free(&reward_held, w->reward_pages);
    return r;
}

/* ---- one prompt's records ---- */

static bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void compare_candidates(const struct trace_record *a, const struct trace_record *b)
{
    REQUIRE(a->n_candidates == b->n_candidates && a->n_tokens == b->n_tokens, "other candidates");
    for (int64_t i = 0; i < a->n_candidates; i++) {
        const struct candidate_row *x = &a->candidates[i], *y = &b->candidates[i];
        REQUIRE(memcmp(x, y, sizeof *x) == 0, "prompt %lld: candidate %lld differs",
                (long long)a->prompt.prompt_index, (long long)i);
    }
    REQUIRE(a->n_tokens == 0 ||
                memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof *a->tokens) == 0,
            "other tokens");
}

static void compare_rounds(const struct trace_record *a, const struct trace_record *b)
{
    REQUIRE(a->n_rounds == b->n_rounds, "%lld rounds, not %lld", (long long)b->n_rounds,
            (long long)a->n_rounds);
    for (int64_t i = 0; i < a->n_rounds; i++) {
        struct round_row x = a->rounds[i], y = b->rounds[i];
        x.start_s = x.end_s = y.start_s = y.end_s = 0;
        REQUIRE(memcmp(&x, &y, sizeof x) == 0, "round %lld differs", (long long)i);
    }
}

static int by_candidate(const void *va, const void *vb)
{
    const struct partial_reward_row *a = va, *b = vb;
    if (a->candidate != b->candidate) return a->candidate < b->candidate ? -1 : 1;
    return (a->n_tokens > b->n_tokens) - (a->n_tokens < b->n_tokens);
}

/* Who reaches a length first may depend on memory; what is found there may not. */
static void compare_partials(const struct trace_record *a, const struct trace_record *b)
{
    size_t n = (size_t)a->n_partial_rewards;
    REQUIRE(a->n_partial_rewards == b->n_partial_rewards, "other partial rewards");
    if (n == 0) return;
    qsort(a->partial_rewards, n, sizeof *a->partial_rewards, by_candidate);
    qsort(b->partial_rewards, n, sizeof *b->partial_rewards, by_candidate);
    REQUIRE(memcmp(a->partial_rewards, b->partial_rewards, n * sizeof *a->partial_rewards) == 0,
            "other partial rewards");
}

static void compare_work(const struct prompt_row *a, const struct prompt_row *b)
{
    REQUIRE(a->rows_computed == b->rows_computed && a->tokens_scored == b->tokens_scored,
            "prompt %lld: %lld rows, not %lld; %lld scored, not %lld", (long long)a->prompt_index,
            (long long)b->rows_computed, (long long)a->rows_computed, (long long)b->tokens_scored,
            (long long)a->tokens_scored);
    REQUIRE(a->evictions == b->evictions && a->kv_peak_tokens == b->kv_peak_tokens,
            "prompt %lld: other memory", (long long)a->prompt_index);
    REQUIRE(fabs(a->generator_flops / b->generator_flops - 1) < 1e-9 &&
                a->reward_flops == b->reward_flops,
            "prompt %lld: other work", (long long)a->prompt_index);
    REQUIRE(b->bytes <= a->bytes * (1 + 1e-9), "prompt %lld: more bytes",
            (long long)a->prompt_index);
}

/* Adds the evictions of b. */
static void compare_prompt(const struct trace_record *a, const struct trace_record *b,
                           bool has_room, int64_t *evictions)
{
    const struct prompt_row *x = &a->prompt, *y = &b->prompt;
    REQUIRE(x->status == y->status && strcmp(x->reason, y->reason) == 0, "%s, not %s", y->reason,
            x->reason);
    REQUIRE(x->n == y->n && x->rounds == y->rounds && x->best_candidate == y->best_candidate &&
                same_float(x->best_reward, y->best_reward) &&
                x->tokens_generated == y->tokens_generated,
            "prompt %lld differs", (long long)x->prompt_index);
    compare_candidates(a, b);
    compare_rounds(a, b);
    compare_partials(a, b);
    bool pads = getenv("SPECREJ_TEST_BACKEND") != NULL; /* steps of a GPU, differently in flight */
    if (x->status == PROMPT_OK && has_room && !pads) compare_work(x, y);
    double parts = y->prefill_s + y->generate_s + y->score_s + y->comm_s;
    REQUIRE(y->wall_s > 0 && parts <= y->wall_s * (1 + 1e-6), "prompt %lld took %g s of %g s",
            (long long)x->prompt_index, parts, y->wall_s);
    *evictions += y->evictions;
}

/* ---- the trace ---- */

/* Decode tokens of one rank: all that the prompt generated. */
static void check_decode_tokens(const struct trace_record *r)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < r->n_trace; i++)
        if (r->trace[i].phase == SPAN_DECODE && r->trace[i].rank == r->trace[0].rank)
            tokens += r->trace[i].tokens;
    REQUIRE(tokens == r->prompt.tokens_generated, "prompt %lld: %lld tokens traced, %lld generated",
            (long long)r->prompt.prompt_index, (long long)tokens,
            (long long)r->prompt.tokens_generated);
}

static int by_start(const void *va, const void *vb)
{
    const struct trace_row *a = va, *b = vb;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->start_ns != b->start_ns) return a->start_ns < b->start_ns ? -1 : 1;
    return (a->end_ns > b->end_ns) - (a->end_ns < b->end_ns);
}

/* Of all prompts: a rank does one thing at a time (a decision contains its scoring). */
static void check_trace(const struct run *r)
{
    struct {
        struct trace_row *items;
        size_t n, cap;
    } all = {0};
    for (int64_t i = 0; i < N_PROMPTS; i++) {
        check_decode_tokens(&r->record[i]);
        for (int64_t k = 0; k < r->record[i].n_trace; k++)
            if (r->record[i].trace[k].phase != SPAN_DECIDE) ARRAY_PUSH(all, r->record[i].trace[k]);
    }
    REQUIRE(all.n > 0, "no trace");
    qsort(all.items, all.n, sizeof *all.items, by_start);
    for (size_t i = 1; i < all.n; i++) {
        const struct trace_row *a = &all.items[i - 1], *b = &all.items[i];
        REQUIRE(a->rank != b->rank || a->end_ns <= b->start_ns,
                "%s of prompt %lld begins %lld ns before %s of prompt %lld ends",
                span_name((enum span_phase)b->phase), (long long)b->prompt_index,
                (long long)(a->end_ns - b->start_ns), span_name((enum span_phase)a->phase),
                (long long)a->prompt_index);
    }
    free(all.items);
}

/* Has the records of its group. */
static bool leads(struct comm *world)
{
    return comm_rank(world) % (comm_size(world) > 1 ? 2 : 1) == 0;
}

/* Of all prompts; returns b's evictions.  Frees b. */
static int64_t compare(struct comm *world, const struct run *a, struct run *b, bool has_room)
{
    int64_t evictions = 0;
    if (leads(world)) check_trace(b);
    for (int64_t i = 0; i < N_PROMPTS && leads(world); i++)
        compare_prompt(&a->record[i], &b->record[i], has_room, &evictions);
    run_free(b);
    return evictions;
}

/* ---- the tests ---- */

/* One job with several prompts in flight; budget: its pages, which is all that a pool must have.
 * Returns evictions. */
static int64_t run_in_flight(struct comm *world, const char *tail, int overlap, int64_t budget,
                             const struct run *alone)
{
    int64_t evictions = 0;
    struct worker w;
    struct job j;
    open_worker(&w, &j, world, tail, overlap);
    REQUIRE(kvcache_pool_free(w.generator_pages) == overlap * w.prompt_pool_pages,
            "%lld pages, not %d times %lld", (long long)kvcache_pool_free(w.generator_pages),
            overlap, (long long)w.prompt_pool_pages);
    struct run r = run_all(&w, 0, 0);
    REQUIRE(r.most_at_once == overlap, "%lld prompts at once", (long long)r.most_at_once);
    compare(world, alone, &r, true);
    size_t pools = SANITIZED && comm_size(world) == 4 ? 1 : sizeof more / sizeof *more;
    for (size_t i = 0; i < pools; i++) {
        r = run_all(&w, budget + more[i], i == SHORT_REWARDS ? REWARD_PAGES : 0);
        REQUIRE(r.place[TOO_LONG] < r.place[TOO_LONG - 1], "a row to be skipped waits for memory");
        evictions += compare(world, alone, &r, false);
    }
    worker_close(&w);
    job_free(&j);
    return evictions - (int64_t)pools * alone->evictions;
}

/* gives_up: alone it evicts nothing, in flight it must. */
static void same_in_flight(struct comm *world, const char *tail, int64_t budget, bool gives_up)
{
    struct worker w;
    struct job j;
    int64_t evictions = 0;
    open_worker(&w, &j, world, tail, 1);
    struct run alone = run_all(&w, 0, 0);
    REQUIRE(alone.most_at_once == 1, "not alone");
    if (leads(world)) check_trace(&alone);
    worker_close(&w);
    job_free(&j);
    for (int64_t i = 0; i < N_PROMPTS; i++) alone.evictions += alone.record[i].prompt.evictions;
    REQUIRE(!leads(world) || alone.record[TOO_LONG].prompt.status == PROMPT_SKIPPED, "not skipped");
#ifndef __SANITIZE_ADDRESS__ /* two at once show the sanitizers nothing that four do not */
    if (comm_size(world) == 1) evictions += run_in_flight(world, tail, 2, budget, &alone);
#endif
    evictions += run_in_flight(world, tail, 4, budget, &alone);
    REQUIRE(!leads(world) || !gives_up || evictions > 0, "nothing was given up");
    if (comm_rank(world) == 0)
        printf("%s  the same in flight, with %lld more evictions\n", tail, (long long)evictions);
    run_free(&alone);
}

/* The worker is told to stop while prompts are in flight: all are left at once, also those that
 * wait for memory; those that were done are handed in, nothing stays behind. */
static void stop_later(void *arg)
{
    struct stopper *s = arg;
    if (++s->polls == 30) s->w->stop_signal = 10;
}

/* left: pages that the pool has for all of it; 0: as many as the worker took. */
static void leaves_when_told(struct comm *world, const char *tail, int64_t left)
{
    struct worker w;
    struct job j;
    struct page_list held = {0};
    open_worker(&w, &j, world, tail, 3);
    struct stopper s = {.w = &w};
    struct run r = {.stopper = &s};
    w.poll = stop_later;
    w.poll_arg = &s;
    if (left) hold_pages(w.generator_pages, &held, left);
    int64_t pages = kvcache_pool_free(w.generator_pages), done = 0;
    struct policy policy = policy_of_job(&j);
    flight_run(&w, &policy, &(struct flight_source){next_prompt, &r});
    REQUIRE(r.abandoned == 3 && r.at_once == 0, "%lld were left", (long long)r.abandoned);
    REQUIRE(kvcache_pool_free(w.generator_pages) == pages, "pages are lost");
    for (int64_t i = 0; i < N_PROMPTS; i++) done += r.record[i].prompt.wall_s > 0;
    REQUIRE(!leads(world) || done == r.next - 3, "%lld of %lld are done", (long long)done,
            (long long)r.next - 3);
    page_list_free(&held, w.generator_pages);
    run_free(&r);
    worker_close(&w);
    job_free(&j);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    make_prompts();
    const char *sr = "method: speculative_rejection\nalpha: 0.5\n";
    char *memory = mem_printf("%srounds: memory\nbudget_tokens: 640\n", sr);
    char *every =
        mem_printf("%srounds: every 16\nrecord: {trace: steps}\nbudget_tokens: 1024 #none\n", sr);
    same_in_flight(world, memory, 40, true);
    same_in_flight(world, "method: best_of_n\nbudget_tokens: 640\n", 40, false);
    if (comm_size(world) == 1) {
        same_in_flight(world, every, 64, false);
        same_in_flight(world, "method: best_of_n\nscore_at: every 16\nbudget_tokens: 640\n", 40,
                       false);
        same_in_flight(world, "method: best_of_n\nbatching: static\nbudget_tokens: 320\n", 20,
                       true);
    }
    leaves_when_told(world, memory, 0);
    leaves_when_told(world, memory, 40);
    leaves_when_told(world, "method: best_of_n\nbudget_tokens: 320\n", 0);
    free(memory);
    free(every);
    for (int64_t i = 0; i < N_PROMPTS; i++) free((int32_t *)prompts[i].ids);
    comm_stop(world);
    return 0;
}
