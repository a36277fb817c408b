/* What the policy interface carries beyond the two methods of the paper: fork, later admission,
 * stop.  Small policies run through flight_run with a real (tiny) model on 1, 2 and 4 ranks.  A
 * forked candidate has its parent's tokens up to its birth and then its own draws; pages are shared
 * exactly, and all come back. */
#include "base/mem.h"
#include "ref/temp.h"
#include "run/flight.h"
#include "run/prompt.h"
#include "test_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODELS  TESTS_DIR "/golden/models/"
#define MAX_NEW 40
#define MAX_N   32

/* What the policies of this test note, and look up. */
static struct {
    int32_t parent[MAX_N]; /* -1: admitted */
    int64_t born[MAX_N];   /* tokens that it took from its parent */
    int64_t n;
    int64_t own_budget;
    bool pages_are_local; /* one group: shared pages never travel */
    int64_t stops;
} family;

static void note_admitted(int64_t n)
{
    for (; n > 0; n--) family.parent[family.n++] = -1;
}

static void fork_one(const struct policy_view *v, struct policy_actions *a, int32_t parent)
{
    a->fork[a->n_fork++] = parent;
    family.parent[family.n] = parent;
    family.born[family.n++] = v->candidates[parent].n_tokens;
}

/* Does candidate c hold page number `page` together with its parent? */
static bool shares_page(int64_t c, int64_t page)
{
    return family.parent[c] >= 0 && page < (family.born[c] - 1) / PAGE_TOKENS;
}

/* Different pages that the live candidates hold: a page belongs to the ancestor that filled it. */
static int64_t pages_held(const struct policy_view *v)
{
    bool held[MAX_N][8] = {{false}};
    int64_t n = 0;
    for (int64_t i = 0; i < v->n; i++) {
        if (v->candidates[i].status != POLICY_LIVE) continue;
        for (int64_t page = 0; page < v->candidates[i].pages; page++) {
            int64_t owner = i;
            while (shares_page(owner, page)) owner = family.parent[owner];
            n += !held[owner][page];
            held[owner][page] = true;
        }
    }
    return n;
}

static void check_pages(const struct policy_view *v)
{
    int64_t used = family.own_budget - v->free_pages;
    if (v->n_live == 0) REQUIRE(used == 0, "%lld pages", (long long)used);
    if (family.pages_are_local)
        REQUIRE(used == pages_held(v), "%lld pages, not %lld, at step %lld", (long long)used,
                (long long)pages_held(v), (long long)v->step);
}

static int64_t score_live(const struct policy_view *v, struct policy_actions *a)
{
    for (int64_t i = 0; i < v->n; i++)
        if (v->candidates[i].status == POLICY_LIVE) a->score[a->n_score++] = to_i32(i);
    return a->n_score;
}

/* All complete: score what was not scored, then stop. */
static void finish(const struct policy_view *v, struct policy_actions *a)
{
    for (int64_t i = 0; i < v->n && !v->scored; i++)
        if (v->candidates[i].status == POLICY_COMPLETE) a->score[a->n_score++] = to_i32(i);
    a->stop = a->n_score == 0;
    family.stops += a->stop;
}

/* A tree: 3 roots; at 9 tokens the best is forked twice and the worst dropped, at 17 everyone is
 * forked (their pages are full), at 33 all but four are dropped. */
static void decide_tree(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    (void)p;
    if (v->n == 0) {
        note_admitted(a->admit = 3);
        return;
    }
    check_pages(v);
    if (v->n_live == 0) {
        finish(v, a);
    } else if (v->step == 9) {
        if (!v->scored) {
            score_live(v, a);
            return;
        }
        int32_t best = 0, worst = 0;
        for (int32_t i = 1; i < 3; i++) {
            if (v->candidates[i].reward > v->candidates[best].reward) best = i;
            if (v->candidates[i].reward < v->candidates[worst].reward) worst = i;
        }
        REQUIRE(best != worst, "rewards do not differ");
        a->drop[a->n_drop++] = worst;
        fork_one(v, a, best);
        fork_one(v, a, best);
    } else if (v->step == 17) {
        for (int32_t i = 0; i < v->n; i++)
            if (v->candidates[i].status == POLICY_LIVE) fork_one(v, a, i);
    } else if (v->step == 33) {
        for (int64_t i = 0, kept = 0; i < v->n; i++)
            if (v->candidates[i].status == POLICY_LIVE && ++kept > 4)
                a->drop[a->n_drop++] = to_i32(i);
    }
}

/* Not in lockstep, with little memory: whoever reaches 9 or 27 tokens is forked, up to 8
 * candidates. */
static void decide_tight(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    if (v->n == 0) {
        note_admitted(a->admit = 2);
        return;
    }
    if (v->n_live == 0 && v->n_waiting == 0) {
        check_pages(v);
        finish(v, a);
        return;
    }
    for (int32_t i = 0; i < v->n && family.n < 8; i++)
        if (v->candidates[i].status == POLICY_LIVE && policy_wants(p, v->candidates[i].n_tokens))
            fork_one(v, a, i);
}

/* Two more at a time, until six are complete. */
static void decide_later(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    (void)p;
    if (v->n_live > 0 || v->n_waiting > 0) return;
    if (v->n < 6)
        a->admit = 2;
    else
        finish(v, a);
    note_admitted(a->admit);
}

/* Enough after the first page, whatever is still live. */
static void decide_stop(struct policy *p, const struct policy_view *v, struct policy_actions *a)
{
    (void)p;
    if (v->n == 0) note_admitted(a->admit = 5);
    a->stop = v->step == 17;
    family.stops += a->stop;
}

static const struct policy_ops tree = {"tree", true, decide_tree},
                               tight = {"tight", false, decide_tight},
                               later = {"later", false, decide_later},
                               stops = {"stop", true, decide_stop};

/* ---- a worker without a job file of its own ---- */

static void open_worker(struct worker *w, struct job *j, struct comm *world, const char *tail)
{
    struct err e = {0};
    char *folder = temp_folder(), *path = mem_printf("%s/job.yaml", folder);
    char *text = mem_printf("generator: {path: " MODELS "llama2}\nreward: {path: " MODELS
                            "rm_llama}\ndataset: {path: none.jsonl}\ndtype: f32\nn: %d\n"
                            "sampling: {max_new_tokens: %d, ignore_eos: true}\n%s",
                            MAX_N, MAX_NEW, tail);
    temp_text(folder, "job.yaml", text);
    REQUIRE(job_open(j, path, NULL, 0, &e) == 0, "%s", e.text);
    free(text);
    free(path);
    temp_remove(folder);
    struct worker_needs needs = {11, 11};
    REQUIRE(worker_open(w, j, WORKER_JOB, world, NULL, &e) == 0, "%s", e.text);
    REQUIRE(worker_load(w, &needs, &e) == 0, "%s", e.text);
}

struct one_prompt {
    const struct prompt_input *in;
    bool is_done;
    struct trace_record record;
};

static const struct prompt_input *next_of_one(void *arg, const struct prompt_input *was,
                                              enum prompt_outcome outcome,
                                              struct trace_record *done)
{
    struct one_prompt *one = arg;
    if (!was) return one->in;
    one->is_done = outcome == PROMPT_DONE;
    one->record = *done;
    *done = (struct trace_record){0};
    return NULL;
}

static struct trace_record run_policy(struct worker *w, const struct policy_ops *ops,
                                      struct policy_schedule s)
{
    static int32_t ids[] = {1, 80, 7, 19, 44, 3, 90, 101, 12, 55, 8};
    struct prompt_input in = {
        .index = 5, .ids = ids, .n_ids = 11, .reward_ids = ids, .n_reward_ids = 11};
    struct policy policy = {.ops = ops, .config = {.n = MAX_N, .alpha = 0.5, .schedule = s}};
    struct trace_record r;
    memset(&family, 0, sizeof family);
    family.own_budget = w->budget_pages - pages_of(in.n_ids);
    family.pages_are_local = w->grid.n_groups == 1 || w->job->parallel.split == SPLIT_PROMPTS;
    int64_t pages = kvcache_pool_free(w->generator_pages);
    struct one_prompt one = {.in = &in};
    flight_run(w, &policy, &(struct flight_source){next_of_one, &one});
    r = one.record;
    REQUIRE(one.is_done, "abandoned");
    REQUIRE(kvcache_pool_free(w->generator_pages) == pages, "%lld pages of %lld",
            (long long)kvcache_pool_free(w->generator_pages), (long long)pages);
    REQUIRE(kvcache_used(w->reward_pages) == 0, "%lld pages",
            (long long)kvcache_used(w->reward_pages));
    if (comm_rank(w->grid.share) != 0) return r;
    REQUIRE(r.prompt.status == PROMPT_OK, "%s", r.prompt.reason);
    REQUIRE(r.prompt.n == family.n && r.n_candidates == family.n, "%lld candidates, not %lld",
            (long long)r.n_candidates, (long long)family.n);
    REQUIRE(family.stops == 1, "stopped %lld times", (long long)family.stops);
    return r;
}

/* Candidate c alone, up to n tokens, from its ancestors' tokens. */
static struct sequence regenerate(struct worker *w, struct engine_prompt *p, int64_t c, int64_t n)
{
    struct sequence s, *one = &s;
    struct decoding part = {.prompt = p, .live = &one, .n = 1};
    sequence_init(&s, to_i32(c), MAX_NEW);
    s.status = SEQUENCE_LIVE;
    if (family.parent[c] >= 0) {
        struct sequence parent = regenerate(w, p, family.parent[c], family.born[c]);
        memcpy(s.tokens, parent.tokens, (size_t)parent.n_tokens * sizeof *s.tokens);
        s.n_tokens = parent.n_tokens;
        s.logprob_sum = parent.logprob_sum;
        sequence_free(&parent, w->generator_pages);
        REQUIRE(engine_restore(w->engine, p, &s) == 0, "no pages");
    }
    while (s.n_tokens < n) {
        engine_step(w->engine, &part, 1, 1);
        REQUIRE(part.n_broken == 0, "logits are not finite");
    }
    return s;
}

/* Every candidate of the record is what its numbers say.  Collective over the share. */
static void check_candidates(struct worker *w, const struct trace_record *r)
{
    static const int32_t ids[] = {1, 80, 7, 19, 44, 3, 90, 101, 12, 55, 8};
    struct err e = {0};
    bool first = comm_rank(w->grid.share) == 0;
    int64_t lengths[MAX_N] = {0}, differ = 0;
    for (int64_t i = 0; i < r->n_candidates; i++) lengths[i] = r->candidates[i].n_tokens;
    comm_bcast(w->grid.share, &family, sizeof family, 0);
    comm_bcast(w->grid.share, lengths, sizeof lengths, 0);
    struct engine_prompt p;
    REQUIRE(engine_begin(w->engine, &p, w->generator_pages, 5, ids, 11, &e) == 0, "%s", e.text);
    for (int64_t i = 0; i < family.n; i++) {
        struct sequence s = regenerate(w, &p, i, lengths[i]);
        if (first) {
            const struct candidate_row *c = &r->candidates[i];
            const int32_t *tokens = r->tokens + c->tokens_offset;
            REQUIRE(memcmp(tokens, s.tokens, (size_t)s.n_tokens * sizeof *tokens) == 0,
                    "candidate %lld of parent %d has other ids", (long long)i, family.parent[i]);
            REQUIRE(c->logprob_sum == s.logprob_sum, "candidate %lld: %.17g, not %.17g",
                    (long long)i, c->logprob_sum, s.logprob_sum);
            int32_t parent = family.parent[i];
            int64_t both =
                parent >= 0 && lengths[parent] < lengths[i] ? lengths[parent] : lengths[i];
            if (parent >= 0)
                differ += memcmp(tokens, r->tokens + r->candidates[parent].tokens_offset,
                                 (size_t)both * sizeof *tokens) != 0;
        }
        sequence_free(&s, w->generator_pages);
    }
    engine_end(w->engine, &p);
    for (int64_t i = 0; i < family.n; i++) differ -= family.parent[i] >= 0;
    REQUIRE(!first || differ == 0, "a child drew what its parent drew");
}

static int64_t count_status(const struct trace_record *r, int32_t status)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_candidates; i++) n += r->candidates[i].status == status;
    return n;
}

static void run_tree(struct comm *world, const char *tail)
{
    static const int64_t at[] = {9, 17, 33};
    struct worker w;
    struct job j;
    open_worker(&w, &j, world, tail);
    struct trace_record r = run_policy(&w, &tree, (struct policy_schedule){WHEN_AT, 0, at, 3});
    if (comm_rank(w.grid.share) == 0) {
        REQUIRE(r.prompt.n == 9, "3 roots, 2 and then 4 forks, not %lld", (long long)r.prompt.n);
        REQUIRE(count_status(&r, CANDIDATE_TRUNCATED) == 4, "%lld",
                (long long)count_status(&r, CANDIDATE_TRUNCATED));
        REQUIRE(r.prompt.best_candidate >= 0, "nobody won");
    }
    check_candidates(&w, &r);
    prompt_record_free(&r);

    r = run_policy(&w, &stops, (struct policy_schedule){0});
    if (comm_rank(w.grid.share) == 0) {
        REQUIRE(r.prompt.best_candidate == -1 && isnan(r.prompt.best_reward), "somebody won");
        REQUIRE(count_status(&r, CANDIDATE_REJECTED) == 5, "not all were left");
        REQUIRE(r.n_tokens == 5 * 17, "%lld tokens", (long long)r.n_tokens);
    }
    check_candidates(&w, &r);
    prompt_record_free(&r);
    worker_close(&w);
    job_free(&j);
}

static void run_free(struct comm *world, const char *tail)
{
    static const int64_t at[] = {9, 27};
    struct worker w;
    struct job j;
    open_worker(&w, &j, world, tail);
    struct trace_record r = run_policy(&w, &tight, (struct policy_schedule){WHEN_AT, 0, at, 2});
    if (comm_rank(w.grid.share) == 0) {
        REQUIRE(count_status(&r, CANDIDATE_TRUNCATED) == 8, "%lld",
                (long long)count_status(&r, CANDIDATE_TRUNCATED));
        REQUIRE(r.prompt.evictions > 0, "memory was never short");
        REQUIRE(r.prompt.kv_peak_tokens <= w.budget_pages * PAGE_TOKENS, "over the budget");
    }
    check_candidates(&w, &r);
    prompt_record_free(&r);

    r = run_policy(&w, &later, (struct policy_schedule){0});
    if (comm_rank(w.grid.share) == 0)
        REQUIRE(count_status(&r, CANDIDATE_TRUNCATED) == 6, "%lld",
                (long long)count_status(&r, CANDIDATE_TRUNCATED));
    check_candidates(&w, &r);
    prompt_record_free(&r);
    worker_close(&w);
    job_free(&j);
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    run_tree(world, "parallel: {split: candidates}\n");
    run_free(world, "method: best_of_n\nbudget_tokens: 112\n"); /* 1 page of prompt, 6 for
                                                                   candidates of at most 3 */
    if (comm_size(world) % 2 == 0) {
        run_tree(world, "parallel: {tensor: 2, split: candidates}\n");
        run_free(world, "method: best_of_n\nparallel: {tensor: 2}\nbudget_tokens: 112\n");
    }
    comm_stop(world);
    return 0;
}
