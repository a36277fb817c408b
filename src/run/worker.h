/* What a group has at hand for its prompts: both models' shards, their page pools, tokenizers and
 * templates.
 *
 * Set up once, before the first prompt: load, divide the memory, prove batch invariance, agree on
 * one budget. */
#pragma once

#include "decode/engine.h"
#include "decode/reward.h"
#include "job/job.h"
#include "run/threads.h"
#include "text/chat.h"

/* The ranks, as a grid of groups x tensor. */
struct grid {
    struct comm *world; /* borrowed */
    struct comm *group; /* owned: the tensor ranks of my group */
    struct comm *shard; /* owned: ranks of all groups that hold the same shard */
    struct comm *share; /* borrowed: ranks that work on one prompt together (group, or world) */
    int n_groups, group_index;
    bool is_leader; /* tensor rank 0 of its group */
};

/* A judge's worker holds the reward model alone; of the generator only its text and its end tokens'
 * meaning. */
enum worker_role { WORKER_JOB, WORKER_JUDGE };

/* What a rank took for its models (run/memory.h). */
struct rank_memory {
    size_t weights_bytes, workspace_bytes, kv_bytes;
};

struct worker {
    const struct job *job; /* borrowed */
    enum worker_role role;
    struct grid grid;
    struct backend *backend;       /* owned */
    char threads_how[THREADS_HOW]; /* how its threads were chosen */

    struct model generator;
    struct kvcache *generator_pages;
    struct engine *engine;
    struct tokenizer *tokenizer;
    struct chat *chat;

    bool is_loaded;      /* both models' weights are there */
    bool was_given;      /* they are those of the point before (run/loaded.h) */
    bool reward_is_self; /* then the rest of this block is empty */
    struct model reward;
    struct kvcache *reward_pages;
    struct scorer *scorer;
    struct tokenizer *reward_tokenizer;
    struct chat *reward_chat;
    struct bridge *bridge;

    int64_t budget_pages;      /* logical, per prompt; the same on every rank */
    int64_t prompt_pool_pages; /* of the pool that one prompt can use here */
    struct rank_memory memory;
    int64_t start_ns; /* this rank's clock at the start of the run: spans count from it */
    char fingerprint[HASH_HEX];
    double load_s;

    int64_t live_now, tokens_now; /* live candidates of this group, tokens that it drew so far: for
                                     the progress line */

    /* Called between steps and forward passes: rank 0 serves the other groups here.  May be NULL.
     */
    void (*poll)(void *arg);
    void *poll_arg;
    /* Set by poll, 0: go on.  Leave the prompts in flight uncommitted at the next decision of any,
     * on all ranks that share them; they then hold the signal that one of them saw. */
    int stop_signal;
};

/* Lengths that the set-up has to provide for. */
struct worker_needs {
    int64_t longest_prompt;        /* generator's tokens */
    int64_t longest_reward_prompt; /* reward model's tokens, closing included */
};

/* Other groups that share each prompt with this one. */
static inline int worker_peers(const struct worker *w)
{
    return w->job->parallel.split == SPLIT_CANDIDATES ? w->grid.n_groups - 1 : 0;
}

/* Make the grid.  Collective over the world; refuses a world that is no multiple of `tensor`. */
int grid_create(struct grid *g, const struct job *j, struct comm *world, struct err *e);
void grid_destroy(struct grid *g);

struct loaded; /* run/loaded.h */

/* Everything but the models' memory: backend, configurations, tokenizers, templates.  kept: models
 * of an earlier worker, taken over where they are the same, else unloaded; NULL: none.  Collective
 * over the world. */
int worker_open(struct worker *w, const struct job *j, enum worker_role role, struct comm *world,
                struct loaded *kept, struct err *e);
/* Weights, pools, self-test.  Collective over the world. */
int worker_load(struct worker *w, const struct worker_needs *needs, struct err *e);
/* Everything but grid, backend and weights goes. */
void worker_release(struct worker *w);
void worker_close(struct worker *w);

/* The parts of worker_open that need neither ranks nor a device, one by one: for `plan`, which
 * wants to hear of every problem.  The models' archs (and for the reward's text the generator's)
 * are there. */
struct backend_config worker_backend_config(const struct job *j, int threads);
int worker_check_generator(const struct worker *w, struct err *e);
int worker_check_reward(const struct worker *w, struct err *e);
int worker_open_generator_text(struct worker *w, struct err *e);
int worker_open_reward_text(struct worker *w, struct err *e);
void worker_close_texts(struct worker *w); /* tokenizers, templates and bridge */

/* Prompt ids and reward prefix of one conversation. */
struct prompt_input {
    int64_t index; /* row of the dataset */
    char key[HASH_HEX];
    int32_t *ids; /* owned: generator's prompt */
    int64_t n_ids;
    int32_t *reward_ids; /* owned: reward model's prefix; NULL for self */
    int64_t n_reward_ids;
    int32_t *closing_ids; /* borrowed from the set of inputs */
    int64_t n_closing_ids;
};
