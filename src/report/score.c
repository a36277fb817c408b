#include "report/score.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/score_input.h"
#include "run/model_setup.h"
#include "run/selftest.h"
#include "run/threads.h"

#include <stdlib.h>
#include <string.h>

#define SLICE 64 /* answers between two writings */

struct score {
    const char *folder;
    struct comm *world;
    struct backend *backend;
    struct model model;
    struct kvcache *pages;
    struct tokenizer *tokenizer;
    struct chat *chat;
    struct scorer *scorer;
    struct score_input input;
    char fingerprint[HASH_HEX];
};

static int choose_dtype(const char *name, enum dtype *out, struct err *e)
{
    static const enum dtype all[] = {DTYPE_ID_F32, DTYPE_ID_BF16, DTYPE_ID_F16, DTYPE_ID_FP8};
    *out = DTYPE_NONE;
    if (!name || strcmp(name, "auto") == 0) return 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(name, dtype_name(all[i])) == 0) *out = all[i];
    return *out ? 0 : err_set(e, "--dtype '%s' is none of auto, f32, bf16, f16, fp8", name);
}

static int choose_device(const char *name, enum device_choice *out, struct err *e)
{
    static const char *const all[] = {
        [DEVICE_AUTO] = "auto", [DEVICE_CPU] = "cpu", [DEVICE_CUDA] = "cuda"};
    *out = DEVICE_AUTO;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (name && strcmp(name, all[i]) != 0) continue;
        *out = (enum device_choice)i;
        return 0;
    }
    return err_set(e, "--backend '%s' is none of auto, cpu, cuda", name);
}

static int open_model(struct score *s, const struct score_options *o, struct err *e)
{
    TRY(setup_arch(&s->model, s->backend, s->folder, e));
    if (s->model.arch.head == HEAD_CAUSAL_LM)
        return err_set(e, "%s: %s has no reward head; score needs a reward model", s->folder,
                       s->model.arch.name);
    TRY(setup_tokenizer(&s->tokenizer, s->folder, e));
    if (!s->tokenizer) return 0;
    s->chat = chat_open(s->folder, o->chat_template ? o->chat_template : "auto", e);
    return s->chat ? 0 : -1;
}

/* ---- the input, from rank 0 to all ---- */

static void bcast_ids(struct comm *world, struct ids *ids)
{
    comm_bcast(world, &ids->n, sizeof ids->n, 0);
    ARRAY_RESERVE(*ids, ids->n);
    if (ids->n) comm_bcast(world, ids->items, ids->n * sizeof *ids->items, 0);
}

static int read_input(struct score *s, FILE *in, struct err *e)
{
    struct score_input *input = &s->input;
    const struct arch *a = &s->model.arch;
    int rc = 0;
    if (comm_rank(s->world) == 0)
        rc = score_input_read(input, in, s->tokenizer, s->chat, a->max_positions, a->V, e);
    TRY(comm_agree(s->world, rc, e));
    comm_bcast(s->world, &input->n, sizeof input->n, 0);
    if (comm_rank(s->world) != 0) input->items = mem_calloc(input->n, sizeof *input->items);
    for (size_t i = 0; i < input->n; i++) {
        bcast_ids(s->world, &input->items[i].prefix);
        bcast_ids(s->world, &input->items[i].response);
        bcast_ids(s->world, &input->items[i].closing);
    }
    return 0;
}

/* ---- weights and pages ---- */

/* How many pages this rank can have: one prompt, and as many answers as one pass may hold rows of.
 */
static int plan_pages(const struct score *s, int64_t *longest, int64_t *pages, struct err *e)
{
    const struct model *m = &s->model;
    int64_t prefix = 1;
    *longest = 2;
    for (size_t i = 0; i < s->input.n; i++) {
        const struct score_line *l = &s->input.items[i];
        int64_t n = (int64_t)(l->prefix.n + l->response.n + l->closing.n);
        if (n > *longest) *longest = n;
        if ((int64_t)l->prefix.n > prefix) prefix = (int64_t)l->prefix.n;
    }
    enum dtype activation = s->backend->activation;
    int64_t rows = s->backend->max_rows;
    struct workload w = model_workload(&m->arch, &m->shard, activation, *longest, rows);
    size_t work = model_workspace_bytes(&m->arch, &m->shard, activation, *longest, rows) +
                  scorer_workspace_bytes(&m->arch, activation, rows) +
                  s->backend->ops->workspace_bytes(&w, 1);
    double free_bytes =
        MEMORY_SHARE * (double)s->backend->ops->free_bytes(s->backend) - (double)work;
    double fits = free_bytes / (double)setup_page_bytes(m);
    int64_t least = pages_of(prefix) + pages_of(*longest);
    *pages = least + 2 * s->backend->max_rows;
    if (fits < (double)least)
        return err_set(e, "%s: no memory for %lld tokens of keys and values beside the weights",
                       s->folder, (long long)*longest);
    if ((double)*pages > fits) *pages = (int64_t)fits;
    return 0;
}

static int load(struct score *s, struct err *e)
{
    struct model *m = &s->model;
    int64_t longest, pages;
    int rc = weights_open(&m->weights, s->backend, &m->arch, &m->shard, s->folder, NULL, e);
    TRY(comm_agree(s->world, rc, e));
    TRY(comm_agree(s->world, plan_pages(s, &longest, &pages, e), e));
    pages = comm_min_i64(s->world, pages);
    TRY(comm_agree(s->world, model_prepare(m, longest, s->backend->max_rows, pages, e), e));
    s->pages = kvcache_create(m, pages);
    return 0;
}

static int prove_and_create(struct score *s, struct err *e)
{
    struct hash *h = hash_create();
    int rc = selftest_run(&s->model, s->pages, s->folder, h, e);
    hash_finish(h, s->fingerprint);
    TRY(rc);
    s->scorer = scorer_create(&s->model, s->pages, NULL, SCORER_CACHE_PROMPT, e);
    return s->scorer ? setup_gate(s->scorer, &s->model.arch, s->tokenizer, e) : -1;
}

/* ---- rewards ---- */

static void print_rewards(const struct score_line *lines, size_t n, const float *rewards, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t tokens = lines[i].prefix.n + lines[i].response.n + lines[i].closing.n;
        json_t *j = json_pack("{s:o, s:I}", "reward", json_finite((double)rewards[i]), "tokens",
                              (json_int_t)tokens);
        json_dumpf(j, out, 0);
        fputc('\n', out);
        json_decref(j);
    }
    fflush(out);
}

static bool same_ids(const struct ids *a, const struct ids *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->items, b->items, a->n * sizeof *a->items) == 0);
}

/* Answers to one prompt that follow each other, at most SLICE of them. */
static size_t slice_length(const struct score_line *lines, size_t n)
{
    size_t k = 1;
    while (k < n && k < SLICE && same_ids(&lines[k].prefix, &lines[0].prefix) &&
           same_ids(&lines[k].closing, &lines[0].closing))
        k++;
    return k;
}

static int score_slice(struct score *s, const struct score_line *lines, size_t n, float *rewards,
                       struct err *e)
{
    struct score_item items[SLICE];
    for (size_t i = 0; i < n; i++)
        items[i] = (struct score_item){.candidate = (int32_t)i,
                                       .tokens = lines[i].response.items,
                                       .n_tokens = (int64_t)lines[i].response.n};
    struct scorer_prompt *p =
        scorer_begin(s->scorer, lines[0].prefix.items, (int64_t)lines[0].prefix.n,
                     lines[0].closing.items, (int64_t)lines[0].closing.n, e);
    int rc = p ? scorer_score(s->scorer, p, items, (int64_t)n, rewards, e) : -1;
    scorer_end(s->scorer, p);
    return rc < 0 ? err_context(e, "input line %lld: ", (long long)lines[0].line) : 0;
}

static int score_all(struct score *s, FILE *out, struct err *e)
{
    float rewards[SLICE];
    for (size_t at = 0; at < s->input.n;) {
        const struct score_line *lines = s->input.items + at;
        size_t n = slice_length(lines, s->input.n - at);
        TRY(comm_agree(s->world, score_slice(s, lines, n, rewards, e), e));
        if (comm_rank(s->world) == 0) print_rewards(lines, n, rewards, out);
        at += n;
    }
    return 0;
}

static int run(struct score *s, const struct score_options *o, FILE *in, FILE *out, struct err *e)
{
    char how[THREADS_HOW];
    struct backend_config c = {.threads = threads_choose(s->world, how), .reproducible = true};
    TRY(choose_dtype(o->dtype, &c.dtype, e));
    TRY(choose_device(o->backend, &c.device, e));
    s->backend = backend_open(&c, s->world, s->world, NULL, e);
    TRY(comm_agree(s->world, s->backend ? 0 : -1, e));
    TRY(comm_agree(s->world, open_model(s, o, e), e));
    TRY(read_input(s, in, e));
    if (s->input.n == 0) return 0;
    TRY(load(s, e));
    TRY(comm_agree(s->world, prove_and_create(s, e), e));
    if (!o->quiet && s->backend->choice[0]) log0(LOG_INFO, "%s", s->backend->choice);
    if (!o->quiet)
        log0(LOG_INFO, "%s: %zu answers, template %s, %s, tensor %d, fingerprint %.8s", s->folder,
             s->input.n, s->chat ? chat_name(s->chat) : "none", dtype_name(s->backend->dtype),
             comm_size(s->world), s->fingerprint);
    return score_all(s, out, e);
}

int score_stream(const char *folder, const struct score_options *o, struct comm *world, FILE *in,
                 FILE *out, struct err *e)
{
    struct score s = {.folder = folder, .world = world};
    int rc = run(&s, o, in, out, e);
    scorer_destroy(s.scorer);
    kvcache_destroy(s.pages);
    model_close(&s.model);
    chat_destroy(s.chat);
    tokenizer_destroy(s.tokenizer);
    backend_destroy(s.backend);
    score_input_free(&s.input);
    return rc;
}
