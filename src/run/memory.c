#include "run/memory.h"

#include "decode/sequence.h"
#include "policy/policy.h"
#include "run/model_setup.h"
#include "run/selftest.h"

#define BRIDGE_GROWTH                                                                              \
    4 /* a reward model's tokenizer may need this many tokens for one of the generator's */

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

/* Positions, and the pages that this job can use at most: the generator's are returned. */
static int64_t most_pages(const struct worker *w, const struct worker_needs *needs,
                          struct memory_plan *p)
{
    const struct job *j = w->job;
    int64_t n = j->n ? j->n : j->n_max, max_new = j->sampling.max_new_tokens;
    p->generator_positions = positions(&w->generator.arch, needs->longest_prompt + max_new);
    int64_t pages =
        w->role == WORKER_JUDGE ? 0 : pages_of(needs->longest_prompt) + n * pages_of(max_new);
    if (w->reward_is_self) return pages;
    bool same_ids = !w->bridge || bridge_is_identity(w->bridge);
    int64_t text = same_ids ? max_new : BRIDGE_GROWTH * max_new;
    p->reward_positions = positions(&w->reward.arch, needs->longest_reward_prompt + text);
    int64_t text_pages = pages_of(same_ids ? max_new + 16 : 2 * max_new), kept = 0;
    if (j->reward.cache == CACHE_DEVICE) kept = n * text_pages;
    if (j->reward.cache == CACHE_HOST) /* texts of one forward pass, a page's worth new in each */
        kept = least(n, w->backend->max_rows / PAGE_TOKENS) * text_pages;
    p->reward_pages = pages_of(needs->longest_reward_prompt) + kept +
                      pages_of(p->reward_positions) + 2 * w->backend->max_rows;
    return pages;
}

int64_t memory_pool_pages(const struct worker *w, const struct worker_needs *needs, int64_t budget)
{
    struct memory_plan p = {0};
    budget = most(SELFTEST_PAGES, least(budget, most_pages(w, needs, &p)));
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
        if (memory_pool_pages(w, needs, mid) <= fits)
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

static size_t workspace_bytes(const struct worker *w, const struct memory_plan *p)
{
    enum dtype activation = w->backend->activation;
    int64_t rows = w->backend->max_rows;
    struct engine_config generates = {.sample.top_k = w->job->sampling.top_k,
                                      .peers = worker_peers(w)};
    struct workload works[2];
    int n = 0;
    if (w->role == WORKER_JOB)
        works[n++] = engine_workload(&w->generator.arch, &w->generator.shard, activation,
                                     p->generator_positions, rows, &generates);
    if (!w->reward_is_self)
        works[n++] = model_workload(&w->reward.arch, &w->reward.shard, activation,
                                    p->reward_positions, rows);
    size_t bytes = w->backend->ops->workspace_bytes(works, n);
    if (w->role == WORKER_JOB)
        bytes += model_workspace_bytes(&w->generator.arch, &w->generator.shard, activation,
                                       p->generator_positions, rows) +
                 engine_workspace_bytes(&w->generator.shard, rows, 1);
    if (!w->reward_is_self)
        bytes += model_workspace_bytes(&w->reward.arch, &w->reward.shard, activation,
                                       p->reward_positions, rows) +
                 scorer_workspace_bytes(&w->reward.arch, activation, rows);
    return bytes;
}

/* Pools of one prompt leave `rest` bytes; more prompts in flight take as much again each, of what
 * there is.  Budgets do not depend on that. */
static void share_rest(const struct worker *w, const struct worker_needs *needs,
                       struct memory_plan *p, double rest)
{
    double others = (double)(w->job->overlap - 1);
    size_t logits =
        engine_workspace_bytes(&w->generator.shard, w->backend->max_rows, w->job->overlap) -
        engine_workspace_bytes(&w->generator.shard, w->backend->max_rows, 1);
    double pages = others * (double)memory_pool_pages(w, needs, p->budget_pages),
           reward_pages = others * (double)p->reward_pages;
    rest -= (double)logits + (double)p->reward_pages * (double)p->reward_page_bytes;
    double wanted =
        pages * (double)p->generator_page_bytes + reward_pages * (double)p->reward_page_bytes;
    double share = rest <= 0 ? 0 : rest < wanted ? rest / wanted : 1;
    p->workspace_bytes += logits;
    p->extra_pages = (int64_t)(share * pages);
    p->reward_pages += (int64_t)(share * reward_pages);
}

/* What a candidate is beside its KV pages: state and room for its tokens, in plain memory.  A
 * system that overcommits grants any number of them and kills the job when they are written, so an
 * n that cannot be held is refused here. */
static int check_candidates(const struct worker *w, struct err *e)
{
    const struct job *j = w->job;
    double free_bytes = MEMORY_SHARE * (double)w->backend->ops->host_free_bytes(w->backend);
    double each = (double)(sizeof(struct sequence) + sizeof(struct policy_candidate)) +
                  (double)j->sampling.max_new_tokens * sizeof(int32_t);
    double all = each * (double)j->n * (double)j->overlap;
    if (all <= free_bytes) return 0;
    return err_set(e,
                   "n %lld: the candidates' states and tokens take up to %.1f GiB on each rank, "
                   "beside their KV, but %.1f GiB are free; lower n to %lld, "
                   "sampling.max_new_tokens or overlap",
                   (long long)j->n, all / 0x1p30, free_bytes / 0x1p30,
                   (long long)(free_bytes / each / (double)j->overlap));
}

int memory_plan(const struct worker *w, const struct worker_needs *needs, struct memory_plan *p,
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
    size_t workspace = p->workspace_bytes = workspace_bytes(w, p);
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
    if (generates) TRY(check_candidates(w, e));
    if (asked && memory_pool_pages(w, needs, asked) > fits)
        return err_set(
            e,
            "budget_tokens %lld needs %.1f GiB of KV pages on each rank, but %.1f GiB are free "
            "after weights "
            "and %.1f GiB of workspace; lower budget_tokens to %lld or use fewer ranks per node",
            (long long)w->job->budget_tokens,
            (double)memory_pool_pages(w, needs, asked) * per_page / 0x1p30, free_bytes / 0x1p30,
            (double)workspace / 0x1p30,
            (long long)(largest_budget(w, needs, asked, fits) * PAGE_TOKENS));
    if (generates)
        p->budget_pages = asked ? asked : largest_budget(w, needs, useful_budget(w), fits);
    double taken = (double)memory_pool_pages(w, needs, p->budget_pages);
    double rest = free_bytes - taken * (double)p->generator_page_bytes;
    if (!w->reward_is_self)
        p->reward_pages = least(p->reward_pages, (int64_t)(rest / (double)p->reward_page_bytes));
    if (generates && w->job->overlap > 1) share_rest(w, needs, p, rest);
    return 0;
}

/* Prompts beyond a model's context are skipped: nothing is set aside for them. */
struct worker_needs memory_needs(const struct worker *w, const struct worker_needs *needs)
{
    struct worker_needs n = *needs;
    int64_t room = w->generator.arch.max_positions - w->job->sampling.max_new_tokens;
    if (w->role == WORKER_JOB) n.longest_prompt = least(n.longest_prompt, room);
    if (!w->reward_is_self)
        n.longest_reward_prompt = least(n.longest_reward_prompt, w->reward.arch.max_positions);
    return n;
}
