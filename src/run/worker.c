#include "run/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/loaded.h"
#include "run/memory.h"
#include "run/model_setup.h"
#include "run/selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct backend_config worker_backend_config(const struct job *j, int threads)
{
    static const enum dtype dtype[] = {[DTYPE_AUTO] = DTYPE_NONE,
                                       [DTYPE_F32] = DTYPE_ID_F32,
                                       [DTYPE_BF16] = DTYPE_ID_BF16,
                                       [DTYPE_F16] = DTYPE_ID_F16,
                                       [DTYPE_FP8] = DTYPE_ID_FP8};
    static const enum device_choice device[] = {
        [BACKEND_AUTO] = DEVICE_AUTO, [BACKEND_CPU] = DEVICE_CPU, [BACKEND_CUDA] = DEVICE_CUDA};
    return (struct backend_config){.device = device[j->backend],
                                   .dtype = dtype[j->dtype],
                                   .threads = threads,
                                   .reproducible = j->reproducible};
}

static struct backend *choose_backend(const struct worker *w, int threads, struct err *e)
{
    const struct job *j = w->job;
    const struct grid *grid = &w->grid;
    struct backend_config c = worker_backend_config(j, threads);
    bool moves = w->role == WORKER_JOB && j->parallel.split == SPLIT_CANDIDATES &&
                 grid->n_groups > 1; /* prompt_move.c */
    return backend_open(&c, grid->world, grid->group, moves ? grid->shard : NULL, e);
}

int worker_check_generator(const struct worker *w, struct err *e)
{
    const struct arch *a = &w->generator.arch;
    const char *folder = w->job->generator.path;
    int64_t max_new = w->job->sampling.max_new_tokens;
    if (a->head != HEAD_CAUSAL_LM)
        return err_set(e,
                       "%s: %s cannot generate text; the generator must be a causal language model",
                       folder, a->name);
    if (max_new >= a->max_positions)
        return err_set(e,
                       "sampling.max_new_tokens %lld leaves no room for a prompt: the context of "
                       "%s holds %lld; lower it",
                       (long long)max_new, folder, (long long)a->max_positions);
    return 0;
}

int worker_check_reward(const struct worker *w, struct err *e)
{
    if (w->reward.arch.head != HEAD_CAUSAL_LM) return 0;
    return err_set(e, "%s: %s has no reward head; set reward.path to a reward model, or to self",
                   w->job->reward.path, w->reward.arch.name);
}

int worker_open_generator_text(struct worker *w, struct err *e)
{
    const struct model_ref *m = &w->job->generator;
    TRY(setup_tokenizer(&w->tokenizer, m->path, e));
    if (!w->tokenizer) return 0;
    w->chat = chat_open(m->path, m->chat_template, e);
    return w->chat ? 0 : err_context(e, "generator.template: ");
}

int worker_open_reward_text(struct worker *w, struct err *e)
{
    const struct job *j = w->job;
    TRY(setup_tokenizer(&w->reward_tokenizer, j->reward.path, e));
    if (!w->reward_tokenizer != !w->tokenizer)
        return err_set(
            e,
            "%s: tokenizer.json is missing; both models need one, or neither (transformers writes "
            "it: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))",
            w->tokenizer ? j->reward.path : j->generator.path);
    if (!w->tokenizer) return 0;
    if (!(w->reward_chat = chat_open(j->reward.path, j->reward.chat_template, e)))
        return err_context(e, w->role == WORKER_JUDGE ? "judge.template: " : "reward.template: ");
    w->bridge = bridge_create(w->tokenizer, w->reward_tokenizer);
    return 0;
}

static int open_arch(struct worker *w, struct model *m, const char *key, const char *folder,
                     struct err *e)
{
    return setup_arch(m, w->backend, folder, e) < 0 ? err_context(e, "%s: ", key) : 0;
}

static int open_all(struct worker *w, struct err *e)
{
    bool has_reward = !w->reward_is_self;
    const char *reward_key = w->role == WORKER_JUDGE ? "judge.path" : "reward.path";
    if (!w->is_loaded)
        TRY(open_arch(w, &w->generator, "generator.path", w->job->generator.path, e));
    TRY(worker_check_generator(w, e));
    if (has_reward && !w->is_loaded)
        TRY(open_arch(w, &w->reward, reward_key, w->job->reward.path, e));
    if (has_reward) TRY(worker_check_reward(w, e));
    TRY(worker_open_generator_text(w, e));
    return w->reward_is_self ? 0 : worker_open_reward_text(w, e);
}

int worker_open(struct worker *w, const struct job *j, enum worker_role role, struct comm *world,
                struct loaded *kept, struct err *e)
{
    *w = (struct worker){
        .job = j, .role = role, .reward_is_self = strcmp(j->reward.path, "self") == 0};
    if (!kept || !loaded_give(kept, w)) {
        TRY(grid_create(&w->grid, j, world, e));
        w->backend = choose_backend(w, threads_choose(world, w->threads_how), e);
        TRY(comm_agree(world, w->backend ? 0 : -1, e));
    }
    return comm_agree(world, open_all(w, e), e);
}

/* ---- memory ---- */

static int prepare(struct worker *w, const struct worker_needs *needs, const struct memory_plan *p,
                   struct err *e)
{
    w->memory = (struct rank_memory){.weights_bytes = w->generator.weights.bytes,
                                     .workspace_bytes = p->workspace_bytes};
    if (w->role == WORKER_JOB) {
        w->prompt_pool_pages = memory_pool_pages(w, needs, w->budget_pages);
        int64_t pages = w->prompt_pool_pages + p->extra_pages;
        TRY(model_prepare(&w->generator, p->generator_positions, w->backend->max_rows, pages, e));
        w->generator_pages = kvcache_create(&w->generator, pages);
        w->memory.kv_bytes += (size_t)pages * p->generator_page_bytes;
    }
    if (w->reward_is_self) return 0;
    TRY(model_prepare(&w->reward, p->reward_positions, w->backend->max_rows, p->reward_pages, e));
    w->reward_pages = kvcache_create(&w->reward, p->reward_pages);
    w->memory.weights_bytes += w->reward.weights.bytes;
    w->memory.kv_bytes += (size_t)p->reward_pages * p->reward_page_bytes;
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
                              .seed = w->job->seed,
                              .peers = worker_peers(w),
                              .prompts = w->job->overlap};
    for (int i = 0; i < w->generator.arch.n_eos; i++) TRY(add_end(&c, w->generator.arch.eos[i], e));
    if (w->chat && w->tokenizer) {
        int32_t id = tokenizer_find(w->tokenizer, chat_end_of_turn(w->chat));
        if (id >= 0) TRY(add_end(&c, id, e));
    }
    w->engine = engine_create(&w->generator, &c, e);
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

int worker_load(struct worker *w, const struct worker_needs *needs, struct err *e)
{
    struct comm *world = w->grid.world;
    struct worker_needs fitting = memory_needs(w, needs);
    double t0 = clock_s();
    struct memory_plan plan = {0};
    bool generates = w->role == WORKER_JOB;
    if (!w->is_loaded) {
        if (generates)
            TRY(comm_agree(world, load_weights(w, &w->generator, &w->job->generator, 1, e), e));
        if (!w->reward_is_self)
            TRY(comm_agree(world, load_weights(w, &w->reward, &w->job->reward, 2, e), e));
        w->is_loaded = true;
    }
    TRY(comm_agree(world, memory_plan(w, &fitting, &plan, e), e));
    w->budget_pages = w->job->budget_tokens ? w->job->budget_tokens / PAGE_TOKENS
                                            : comm_min_i64(world, plan.budget_pages);
    /* The ranks of a group drop and flush at the same places: their pools are of one size. */
    plan.reward_pages = comm_min_i64(world, plan.reward_pages);
    plan.extra_pages = comm_min_i64(world, plan.extra_pages);
    TRY(comm_agree(world, prepare(w, &fitting, &plan, e), e));
    TRY(comm_agree(world, run_selftests(w, e), e));
    TRY(comm_agree(world, agree_fingerprint(w, e), e));
    if (generates) TRY(comm_agree(world, create_engine(w, e), e));
    TRY(comm_agree(world, create_scorer(w, e), e));
    w->load_s = clock_s() - t0;
    return 0;
}

void worker_close_texts(struct worker *w)
{
    bridge_destroy(w->bridge);
    tokenizer_destroy(w->tokenizer);
    tokenizer_destroy(w->reward_tokenizer);
    chat_destroy(w->chat);
    chat_destroy(w->reward_chat);
}

void worker_release(struct worker *w)
{
    engine_destroy(w->engine);
    scorer_destroy(w->scorer);
    kvcache_destroy(w->generator_pages);
    kvcache_destroy(w->reward_pages);
    model_release(&w->generator);
    model_release(&w->reward);
    worker_close_texts(w);
    struct worker rest = {.job = w->job,
                          .role = w->role,
                          .grid = w->grid,
                          .backend = w->backend,
                          .generator = w->generator,
                          .reward = w->reward,
                          .is_loaded = w->is_loaded};
    memcpy(rest.threads_how, w->threads_how, sizeof rest.threads_how);
    *w = rest;
}

void worker_close(struct worker *w)
{
    worker_release(w);
    model_close(&w->generator);
    model_close(&w->reward);
    backend_destroy(w->backend);
    if (w->grid.group) grid_destroy(&w->grid);
    memset(w, 0, sizeof *w);
}
