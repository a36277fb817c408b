#include "run/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/model_setup.h"
#include "run/selftest.h"

#include <stdlib.h>
#include <string.h>

#define BRIDGE_GROWTH                                                                              \
    4 /* a reward model's tokenizer may need this many tokens for one of the generator's */

static struct backend *choose_backend(const struct job *j, const struct grid *grid, int threads,
                                      struct err *e)
{
    static const enum dtype dtype[] = {[DTYPE_AUTO] = DTYPE_NONE,
                                       [DTYPE_F32] = DTYPE_ID_F32,
                                       [DTYPE_BF16] = DTYPE_ID_BF16,
                                       [DTYPE_F16] = DTYPE_ID_F16};
    static const enum device_choice device[] = {
        [BACKEND_AUTO] = DEVICE_AUTO, [BACKEND_CPU] = DEVICE_CPU, [BACKEND_CUDA] = DEVICE_CUDA};
    struct backend_config c = {
        .device = device[j->backend], .threads = threads, .reproducible = j->reproducible};
    if (j->dtype == DTYPE_FP8) {
        err_set(e, "dtype: fp8 needs a CUDA device of compute capability 8.9; use bf16 or f32");
        return NULL;
    }
    c.dtype = dtype[j->dtype];
    return backend_open(&c, grid->world, grid->group, e);
}

static int open_text(struct worker *w, struct err *e)
{
    const struct job *j = w->job;
    TRY(setup_tokenizer(&w->tokenizer, j->generator.path, e));
    if (w->tokenizer && !(w->chat = chat_open(j->generator.path, j->generator.chat_template, e)))
        return -1;
    if (w->reward_is_self) return 0;
    TRY(setup_tokenizer(&w->reward_tokenizer, j->reward.path, e));
    if (!w->reward_tokenizer != !w->tokenizer)
        return err_set(e, "%s: tokenizer.json is missing; both models need one, or neither",
                       w->tokenizer ? j->reward.path : j->generator.path);
    if (!w->tokenizer) return 0;
    if (!(w->reward_chat = chat_open(j->reward.path, j->reward.chat_template, e))) return -1;
    w->bridge = bridge_create(w->tokenizer, w->reward_tokenizer);
    return 0;
}

static int open_all(struct worker *w, struct err *e)
{
    const struct job *j = w->job;
    TRY(setup_arch(&w->generator, w->backend, j->generator.path, e));
    if (w->generator.arch.head != HEAD_CAUSAL_LM)
        return err_set(e,
                       "%s: %s cannot generate text; the generator must be a causal language model",
                       j->generator.path, w->generator.arch.name);
    if (j->sampling.max_new_tokens >= w->generator.arch.max_positions)
        return err_set(e,
                       "sampling.max_new_tokens %lld leaves no room for a prompt: the context of "
                       "%s holds %lld",
                       (long long)j->sampling.max_new_tokens, j->generator.path,
                       (long long)w->generator.arch.max_positions);
    if (!w->reward_is_self) {
        TRY(setup_arch(&w->reward, w->backend, j->reward.path, e));
        if (w->reward.arch.head == HEAD_CAUSAL_LM)
            return err_set(
                e, "%s: %s has no reward head; set reward.path to a reward model, or to self",
                j->reward.path, w->reward.arch.name);
    }
    return open_text(w, e);
}

int worker_open(struct worker *w, const struct job *j, enum worker_role role, struct comm *world,
                struct err *e)
{
    *w = (struct worker){
        .job = j, .role = role, .reward_is_self = strcmp(j->reward.path, "self") == 0};
    TRY(grid_create(&w->grid, j, world, e));
    w->backend = choose_backend(j, &w->grid, setup_threads(world), e);
    TRY(comm_agree(world, w->backend ? 0 : -1, e));
    return comm_agree(world, open_all(w, e), e);
}

/* ---- memory ---- */

struct memory_plan {
    int64_t generator_positions, reward_positions;
    int64_t budget_pages;                  /* logical, per prompt */
    int64_t generator_pages, reward_pages; /* that the job can use at most */
    size_t generator_page_bytes, reward_page_bytes;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Positions to provide for: at least the self-test's, so that the fingerprint is the model's and
 * not the dataset's. */
static int64_t positions(const struct arch *a, int64_t longest)
{
    return least(a->max_positions, most(longest, SELFTEST_POSITIONS));
}

/* Pages that this job can use at most. */
static void most_pages(const struct worker *w, const struct worker_needs *needs,
                       struct memory_plan *p)
{
    const struct job *j = w->job;
    int64_t n = j->n ? j->n : j->n_max, max_new = j->sampling.max_new_tokens;
    p->generator_positions = positions(&w->generator.arch, needs->longest_prompt + max_new);
    p->generator_pages =
        w->role == WORKER_JUDGE ? 0 : pages_of(needs->longest_prompt) + n * pages_of(max_new);
    if (w->reward_is_self) return;
    bool same_ids = !w->bridge || bridge_is_identity(w->bridge);
    int64_t text = same_ids ? max_new : BRIDGE_GROWTH * max_new;
    p->reward_positions = positions(&w->reward.arch, needs->longest_reward_prompt + text);
    int64_t text_pages = pages_of(same_ids ? max_new + 16 : 2 * max_new), kept = 0;
    if (j->reward.cache == CACHE_DEVICE) kept = n * text_pages;
    if (j->reward.cache == CACHE_HOST) /* texts of one forward pass, a page's worth new in each */
        kept = least(n, w->backend->max_rows / PAGE_TOKENS) * text_pages;
    p->reward_pages = pages_of(needs->longest_reward_prompt) + kept +
                      pages_of(p->reward_positions) + 2 * w->backend->max_rows;
}

/* The generator's pages that this rank holds when the prompt's budget is `budget`: never more than
 * can be used. */
static int64_t physical_pages(const struct worker *w, const struct worker_needs *needs,
                              int64_t budget)
{
    struct memory_plan p = {0};
    most_pages(w, needs, &p);
    budget = most(SELFTEST_PAGES, least(budget, p.generator_pages));
    if (w->job->parallel.split != SPLIT_CANDIDATES || w->grid.n_groups == 1) return budget;
    int64_t prompt = pages_of(needs->longest_prompt), own = budget - prompt;
    if (own < 0) own = 0;
    /* prompt_move.c lets the fullest group hold 1.25 times the mean, and one candidate more by
     * rounding. */
    int64_t share = (own * 5 / 4 + w->grid.n_groups - 1) / w->grid.n_groups;
    return least(budget, prompt + share + 2 * pages_of(w->job->sampling.max_new_tokens));
}

/* The largest budget up to `high` whose pages here are no more than `fits`. */
static int64_t largest_budget(const struct worker *w, const struct worker_needs *needs,
                              int64_t high, int64_t fits)
{
    int64_t low = 0;
    while (low < high) {
        int64_t mid = high - (high - low) / 2;
        if (physical_pages(w, needs, mid) <= fits)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

/* All candidates to the end, of any prompt that the context holds: rows that are added later may be
 * longer. */
static int64_t useful_budget(const struct worker *w)
{
    const struct job *j = w->job;
    int64_t n = j->n ? j->n : j->n_max, max_new = j->sampling.max_new_tokens;
    return pages_of(w->generator.arch.max_positions - max_new) + n * pages_of(max_new);
}

static int plan_memory(struct worker *w, const struct worker_needs *needs, struct memory_plan *p,
                       struct err *e)
{
    most_pages(w, needs, p);
    bool generates = w->role == WORKER_JOB;
    int64_t least_tokens = (1 + pages_of(w->job->sampling.max_new_tokens)) * PAGE_TOKENS;
    if (generates && w->job->budget_tokens && w->job->budget_tokens < least_tokens)
        return err_set(e,
                       "budget_tokens %lld cannot hold a prompt and one candidate of "
                       "sampling.max_new_tokens %lld; raise it to %lld or more",
                       (long long)w->job->budget_tokens, (long long)w->job->sampling.max_new_tokens,
                       (long long)least_tokens);
    p->generator_page_bytes = generates ? setup_page_bytes(&w->generator) : 0;
    p->reward_page_bytes = w->reward_is_self ? 0 : setup_page_bytes(&w->reward);
    size_t workspace = 0;
    if (generates)
        workspace +=
            model_workspace_bytes(&w->generator.arch, &w->generator.shard, w->backend->activation,
                                  p->generator_positions, w->backend->max_rows);
    if (!w->reward_is_self)
        workspace +=
            model_workspace_bytes(&w->reward.arch, &w->reward.shard, w->backend->activation,
                                  p->reward_positions, w->backend->max_rows);
    double free_bytes =
        MEMORY_SHARE * (double)w->backend->ops->free_bytes(w->backend) - (double)workspace;
    double per_page = (double)(p->generator_page_bytes + p->reward_page_bytes);
    int64_t fits = free_bytes > 0 ? (int64_t)(free_bytes / per_page) : 0;
    int64_t asked = generates ? w->job->budget_tokens / PAGE_TOKENS : 0;
    if (fits < 1)
        return err_set(e,
                       "no memory for KV pages: after weights, %.1f GiB are free for each rank, of "
                       "which %.1f GiB are workspace; use fewer ranks per node or more memory",
                       (free_bytes + (double)workspace) / 0x1p30, (double)workspace / 0x1p30);
    if (asked && physical_pages(w, needs, asked) > fits)
        return err_set(
            e,
            "budget_tokens %lld needs %.1f GiB of KV pages on each rank, but %.1f GiB are free "
            "after weights "
            "and %.1f GiB of workspace; lower budget_tokens to %lld or use fewer ranks per node",
            (long long)w->job->budget_tokens,
            (double)physical_pages(w, needs, asked) * per_page / 0x1p30, free_bytes / 0x1p30,
            (double)workspace / 0x1p30,
            (long long)(largest_budget(w, needs, asked, fits) * PAGE_TOKENS));
    if (generates)
        p->budget_pages = asked ? asked : largest_budget(w, needs, useful_budget(w), fits);
    double taken = (double)physical_pages(w, needs, p->budget_pages);
    double rest = free_bytes - taken * (double)p->generator_page_bytes;
    if (!w->reward_is_self)
        p->reward_pages = least(p->reward_pages, (int64_t)(rest / (double)p->reward_page_bytes));
    return 0;
}

static int prepare(struct worker *w, const struct worker_needs *needs, const struct memory_plan *p,
                   struct err *e)
{
    if (w->role == WORKER_JOB) {
        int64_t pages = physical_pages(w, needs, w->budget_pages);
        TRY(model_prepare(&w->generator, p->generator_positions, w->backend->max_rows, pages, e));
        w->generator_pages = kvcache_create(&w->generator, pages);
    }
    if (w->reward_is_self) return 0;
    TRY(model_prepare(&w->reward, p->reward_positions, w->backend->max_rows, p->reward_pages, e));
    w->reward_pages = kvcache_create(&w->reward, p->reward_pages);
    return 0;
}

/* ---- weights, self-test, engine ---- */

static int load_weights(struct worker *w, struct model *m, const struct model_ref *ref,
                        uint64_t seed, struct err *e)
{
    if (ref->weights == WEIGHTS_RANDOM)
        return weights_random(&m->weights, w->backend, &m->arch, &m->shard, seed, e);
    return weights_open(&m->weights, w->backend, &m->arch, &m->shard, ref->path, w->grid.shard, e);
}

static int run_selftests(struct worker *w, struct err *e)
{
    struct hash *h = hash_create();
    int rc = 0;
    if (w->role == WORKER_JOB)
        rc = selftest_run(&w->generator, w->generator_pages, w->job->generator.path, h, e);
    if (rc == 0 && !w->reward_is_self)
        rc = selftest_run(&w->reward, w->reward_pages, w->job->reward.path, h, e);
    hash_finish(h, w->fingerprint);
    return rc;
}

/* All groups must compute the same bits. */
static int agree_fingerprint(struct worker *w, struct err *e)
{
    int size = comm_size(w->grid.world);
    char *all = mem_calloc((size_t)size, HASH_HEX);
    comm_allgather(w->grid.world, w->fingerprint, HASH_HEX, all);
    int rc = 0;
    for (int r = 1; r < size && rc == 0; r++)
        if (memcmp(all, all + (size_t)r * HASH_HEX, HASH_HEX) != 0)
            rc = err_set(e,
                         "rank %d computes other bits than rank 0 (fingerprints %.8s and %.8s): "
                         "different processors or "
                         "libraries; run on nodes of one kind",
                         r, all + (size_t)r * HASH_HEX, all);
    free(all);
    return rc;
}

static int add_end(struct engine_config *c, int32_t id, struct err *e)
{
    for (int i = 0; i < c->n_end; i++)
        if (c->end[i] == id) return 0;
    if (c->n_end == ENGINE_MAX_END) return err_set(e, "more than %d end tokens", ENGINE_MAX_END);
    c->end[c->n_end++] = id;
    return 0;
}

static int create_engine(struct worker *w, struct err *e)
{
    const struct sampling *s = &w->job->sampling;
    struct engine_config c = {.sample = {.temperature = (float)s->temperature,
                                         .top_k = s->top_k,
                                         .top_p = (float)s->top_p,
                                         .min_p = (float)s->min_p},
                              .max_new_tokens = s->max_new_tokens,
                              .ignore_eos = s->ignore_eos,
                              .seed = w->job->seed};
    for (int i = 0; i < w->generator.arch.n_eos; i++) TRY(add_end(&c, w->generator.arch.eos[i], e));
    if (w->chat && w->tokenizer) {
        int32_t id = tokenizer_find(w->tokenizer, chat_end_of_turn(w->chat));
        if (id >= 0) TRY(add_end(&c, id, e));
    }
    w->engine = engine_create(&w->generator, w->generator_pages, &c, e);
    return w->engine ? 0 : -1;
}

static int create_scorer(struct worker *w, struct err *e)
{
    if (w->reward_is_self) return 0;
    static const enum scorer_cache cache[] = {[CACHE_NONE] = SCORER_CACHE_NONE,
                                              [CACHE_PROMPT] = SCORER_CACHE_PROMPT,
                                              [CACHE_DEVICE] = SCORER_CACHE_DEVICE,
                                              [CACHE_HOST] = SCORER_CACHE_HOST};
    w->scorer =
        scorer_create(&w->reward, w->reward_pages, w->bridge, cache[w->job->reward.cache], e);
    return w->scorer ? setup_gate(w->scorer, &w->reward.arch, w->reward_tokenizer, e) : -1;
}

/* Prompts beyond a model's context are skipped: nothing is set aside for them. */
static struct worker_needs needs_within_context(const struct worker *w,
                                                const struct worker_needs *needs)
{
    struct worker_needs n = *needs;
    int64_t room = w->generator.arch.max_positions - w->job->sampling.max_new_tokens;
    if (w->role == WORKER_JOB) n.longest_prompt = least(n.longest_prompt, room);
    if (!w->reward_is_self)
        n.longest_reward_prompt = least(n.longest_reward_prompt, w->reward.arch.max_positions);
    return n;
}

int worker_load(struct worker *w, const struct worker_needs *needs, struct err *e)
{
    struct comm *world = w->grid.world;
    struct worker_needs fitting = needs_within_context(w, needs);
    double t0 = clock_s();
    struct memory_plan plan = {0};
    bool generates = w->role == WORKER_JOB;
    if (generates)
        TRY(comm_agree(world, load_weights(w, &w->generator, &w->job->generator, 1, e), e));
    if (!w->reward_is_self)
        TRY(comm_agree(world, load_weights(w, &w->reward, &w->job->reward, 2, e), e));
    TRY(comm_agree(world, plan_memory(w, &fitting, &plan, e), e));
    w->budget_pages = w->job->budget_tokens ? w->job->budget_tokens / PAGE_TOKENS
                                            : comm_min_i64(world, plan.budget_pages);
    /* The ranks of a group drop and flush at the same places: their pools are of one size. */
    plan.reward_pages = comm_min_i64(world, plan.reward_pages);
    TRY(comm_agree(world, prepare(w, &fitting, &plan, e), e));
    TRY(comm_agree(world, run_selftests(w, e), e));
    TRY(comm_agree(world, agree_fingerprint(w, e), e));
    if (generates) TRY(comm_agree(world, create_engine(w, e), e));
    TRY(comm_agree(world, create_scorer(w, e), e));
    w->load_s = clock_s() - t0;
    return 0;
}

void worker_close(struct worker *w)
{
    engine_destroy(w->engine);
    scorer_destroy(w->scorer);
    kvcache_destroy(w->generator_pages);
    kvcache_destroy(w->reward_pages);
    model_close(&w->generator);
    model_close(&w->reward);
    if (w->bridge) bridge_destroy(w->bridge);
    if (w->tokenizer) tokenizer_destroy(w->tokenizer);
    if (w->reward_tokenizer) tokenizer_destroy(w->reward_tokenizer);
    if (w->chat) chat_destroy(w->chat);
    if (w->reward_chat) chat_destroy(w->reward_chat);
    backend_destroy(w->backend);
    if (w->grid.group) grid_destroy(&w->grid);
    free(w->spans.items);
    memset(w, 0, sizeof *w);
}
