#include "run/inputs.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int encode(const struct tokenizer *t, const struct chat *c, const char *text,
                  struct ids *out, struct err *e)
{
    unsigned flags = chat_adds_bos(c) ? TOKENIZE_PLAIN : TOKENIZE_BOS;
    return tokenizer_encode(t, text, strlen(text), flags, out, e);
}

/* The rows that have messages, as requests; returns how many. */
static int64_t make_requests(const struct dataset *d, struct chat_request *r)
{
    int64_t n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        const struct prompt *p = &d->prompts[i];
        if (p->n_messages == 0) continue;
        struct chat_message *m = mem_calloc((size_t)p->n_messages, sizeof *m);
        for (int64_t k = 0; k < p->n_messages; k++)
            m[k] = (struct chat_message){p->messages[k].role, p->messages[k].content};
        r[n++] = (struct chat_request){m, (size_t)p->n_messages, true};
    }
    return n;
}

/* Texts of those rows, in order, into ids of all rows. */
static int encode_texts(const struct tokenizer *t, const struct chat *c, const struct dataset *d,
                        char *const *texts, struct ids *ids, struct err *e)
{
    for (int64_t i = 0, k = 0; i < d->n; i++) {
        if (d->prompts[i].n_messages == 0) continue;
        if (encode(t, c, texts[k++], &ids[i], e) < 0)
            return err_context(e, "dataset row %lld: ", (long long)d->prompts[i].index);
    }
    return 0;
}

/* Generator: the conversations with the assistant's turn opened. */
static int encode_prompts(const struct worker *w, const struct dataset *d,
                          const struct chat_request *r, int64_t n, struct ids *ids, struct err *e)
{
    char **texts = mem_calloc((size_t)n, sizeof *texts);
    int rc = chat_render_many(w->chat, r, (size_t)n, texts, e);
    if (rc == 0) rc = encode_texts(w->tokenizer, w->chat, d, texts, ids, e);
    for (int64_t i = 0; i < n; i++) free(texts[i]);
    free(texts);
    return rc;
}

/* Reward model: what stands before the answer, row by row, and after it (the same for all rows). */
static int encode_frames(struct inputs *in, const struct worker *w, const struct dataset *d,
                         const struct chat_request *r, int64_t n, struct ids *ids, struct err *e)
{
    struct chat_frame *frames = mem_calloc((size_t)n, sizeof *frames);
    char **before = mem_calloc((size_t)n, sizeof *before);
    int rc = chat_frame_many(w->reward_chat, r, (size_t)n, frames, e);
    for (int64_t i = 0; i < n && rc == 0; i++) {
        before[i] = frames[i].before;
        if (strcmp(frames[i].after, frames[0].after) != 0)
            rc =
                err_set(e, "%s: the chat template closes answers differently from prompt to prompt",
                        w->job->reward.path);
    }
    if (rc == 0) rc = encode_texts(w->reward_tokenizer, w->reward_chat, d, before, ids, e);
    struct ids closing = {0};
    if (rc == 0)
        rc = tokenizer_encode(w->reward_tokenizer, frames[0].after, strlen(frames[0].after),
                              TOKENIZE_PIECE, &closing, e);
    in->closing = closing.items;
    in->n_closing = (int64_t)closing.n;
    for (int64_t i = 0; i < n; i++) {
        free(frames[i].before);
        free(frames[i].after);
    }
    free(frames);
    free(before);
    return rc;
}

static int check_row(const struct worker *w, const struct prompt *p, struct err *e)
{
    if (p->n_messages > 0 && !w->tokenizer)
        return err_set(
            e,
            "%s: tokenizer.json is missing; prompts as text need it (transformers writes it: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)), or give prompt_ids",
            w->job->generator.path);
    bool same_ids = w->reward_is_self || !w->bridge || bridge_is_identity(w->bridge);
    if (p->n_messages == 0 && !same_ids)
        return err_set(e,
                       "dataset row %lld has prompt_ids, but the reward model has another "
                       "tokenizer: give the text",
                       (long long)p->index);
    return 0;
}

/* What follows the answer is the template's: rows of ids were not made by it. */
static void fill_item(struct prompt_input *item, const struct prompt *p, struct ids *ids,
                      struct ids *reward_ids, int64_t n_closing)
{
    item->index = p->index;
    memcpy(item->key, p->key, sizeof item->key);
    item->n_closing_ids = p->n_messages > 0 ? n_closing : 0;
    if (p->n_messages == 0) {
        for (int64_t k = 0; k < p->n_prompt_ids; k++) {
            ARRAY_PUSH(*ids, p->prompt_ids[k]);
            ARRAY_PUSH(*reward_ids, p->prompt_ids[k]);
        }
    }
    item->ids = ids->items;
    item->n_ids = (int64_t)ids->n;
    item->reward_ids = reward_ids->items;
    item->n_reward_ids = (int64_t)reward_ids->n;
}

static int make(struct inputs *in, struct worker *w, const struct dataset *d, struct err *e)
{
    size_t n = (size_t)d->n;
    struct ids *ids = mem_calloc(n, sizeof *ids), *reward_ids = mem_calloc(n, sizeof *reward_ids);
    int rc = 0;
    for (int64_t i = 0; i < d->n && rc == 0; i++) rc = check_row(w, &d->prompts[i], e);
    struct chat_request *r = mem_calloc(n, sizeof *r);
    int64_t n_texts = make_requests(d, r);
    if (rc == 0 && n_texts > 0) rc = encode_prompts(w, d, r, n_texts, ids, e);
    if (rc == 0 && n_texts > 0 && w->reward_chat)
        rc = encode_frames(in, w, d, r, n_texts, reward_ids, e);
    for (int64_t i = 0; i < n_texts; i++) free((void *)(uintptr_t)r[i].messages);
    free(r);
    in->items = mem_calloc(n, sizeof *in->items);
    in->n = d->n;
    for (int64_t i = 0; i < d->n; i++)
        fill_item(&in->items[i], &d->prompts[i], &ids[i], &reward_ids[i], in->n_closing);
    free(ids);
    free(reward_ids);
    return rc;
}

static void bcast_ids(struct comm *world, int32_t **ids, int64_t *n)
{
    comm_bcast(world, n, sizeof *n, 0);
    if (comm_rank(world) != 0) *ids = mem_calloc((size_t)*n, sizeof **ids);
    if (*n > 0) comm_bcast(world, *ids, (size_t)*n * sizeof **ids, 0);
}

static void broadcast(struct inputs *in, struct comm *world)
{
    bcast_ids(world, &in->closing, &in->n_closing);
    comm_bcast(world, &in->n, sizeof in->n, 0);
    if (comm_rank(world) != 0) in->items = mem_calloc((size_t)in->n, sizeof *in->items);
    for (int64_t i = 0; i < in->n; i++) {
        struct prompt_input *p = &in->items[i];
        comm_bcast(world, &p->index, sizeof p->index, 0);
        comm_bcast(world, p->key, sizeof p->key, 0);
        bcast_ids(world, &p->ids, &p->n_ids);
        bcast_ids(world, &p->reward_ids, &p->n_reward_ids);
        comm_bcast(world, &p->n_closing_ids, sizeof p->n_closing_ids, 0);
        p->closing_ids = in->closing;
    }
}

int inputs_read(struct inputs *in, struct worker *w, struct err *e)
{
    struct dataset d = {0};
    *in = (struct inputs){0};
    int rc = dataset_open(&d, &w->job->dataset, e);
    if (rc == 0) rc = make(in, w, &d, e);
    dataset_free(&d);
    for (int64_t i = 0; i < in->n; i++) in->items[i].closing_ids = in->closing;
    return rc;
}

int inputs_open(struct inputs *in, struct worker *w, struct err *e)
{
    struct comm *world = w->grid.world;
    *in = (struct inputs){0};
    TRY(comm_agree(world, comm_rank(world) == 0 ? inputs_read(in, w, e) : 0, e));
    broadcast(in, world);
    return 0;
}

void inputs_free(struct inputs *in)
{
    for (int64_t i = 0; i < in->n; i++) {
        free(in->items[i].ids);
        free(in->items[i].reward_ids);
    }
    free(in->items);
    free(in->closing);
    *in = (struct inputs){0};
}

struct worker_needs inputs_needs(const struct inputs *in)
{
    struct worker_needs needs = {1, 1};
    for (int64_t i = 0; i < in->n; i++) {
        const struct prompt_input *p = &in->items[i];
        if (p->n_ids > needs.longest_prompt) needs.longest_prompt = p->n_ids;
        int64_t reward = p->n_reward_ids + p->n_closing_ids;
        if (reward > needs.longest_reward_prompt) needs.longest_reward_prompt = reward;
    }
    return needs;
}

int64_t inputs_shortest(const struct inputs *in)
{
    int64_t shortest = in->n > 0 ? in->items[0].n_ids : 0;
    for (int64_t i = 1; i < in->n; i++)
        if (in->items[i].n_ids < shortest) shortest = in->items[i].n_ids;
    return shortest;
}
