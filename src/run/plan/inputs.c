#include "run/plan/inputs.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"
#include "run/model_setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_OF_TOKEN  4  /* a prompt's, where there is no tokenizer to ask */
#define TEMPLATE_TOKENS 20 /* and those of its template */

#define MAX_PROBLEMS 20 /* tensors of one checkpoint that are named */

static const char again[] = "download the checkpoint again, or name another folder";

struct listener {
    struct plan_notes *notes;
    size_t n;
};

static void on_problem(void *arg, const struct err *e)
{
    struct listener *l = arg;
    if (l->n++ < MAX_PROBLEMS) notes_problem(l->notes, e, again);
}

static bool has_file(const char *folder, const char *name, struct plan_notes *notes)
{
    struct err e;
    bool exists;
    if (file_exists_in(folder, name, &exists, &e) < 0) notes_problem(notes, &e, again);
    return exists;
}

static void check_weights(struct plan_model *m, const struct model_ref *ref,
                          struct plan_notes *notes)
{
    struct weights_found found;
    struct listener l = {notes, 0};
    struct err e;
    if (ref->weights == WEIGHTS_RANDOM) {
        notes_add(notes, NOTE_WARNING, "%s has random weights: only its times mean something",
                  m->role);
        return;
    }
    if (safetensors_is_bare(m->folder, &m->config_only, &e) < 0) {
        notes_problem(notes, &e, again);
        return;
    }
    if (m->config_only) return;
    if (weights_check(&m->arch, m->folder, on_problem, &l, &found, &e) < 0)
        notes_problem(notes, &e, again);
    if (l.n > MAX_PROBLEMS) {
        err_set(&e, "%s: %zu more tensors are missing or do not fit", m->folder,
                l.n - MAX_PROBLEMS);
        notes_problem(notes, &e, again);
    }
    m->n_tensors = found.n_tensors;
    m->bytes = (double)found.bytes;
}

static void read_model(struct plan_model *m, const char *role, const struct model_ref *ref,
                       struct plan_notes *notes)
{
    struct err e;
    *m = (struct plan_model){.role = role, .folder = ref->path};
    if (arch_open(&m->arch, m->folder, &e) < 0) {
        err_context(&e, "%s.path: ", role);
        bool exists = false;
        file_exists_in(m->folder, "config.json", &exists, &(struct err){0});
        notes_problem(notes, &e, exists ? "see what is supported: README, Models" : NULL);
        return;
    }
    m->has_arch = true;
    check_weights(m, ref, notes);
}

/* ---- texts ---- */

/* In a folder of which only the configuration is here, nothing else is missed. */
static bool needs_text(const struct plan_model *m, struct plan_notes *notes)
{
    return !m->config_only || has_file(m->folder, "tokenizer.json", notes);
}

/* False: a problem is noted, and texts cannot be read. */
static bool open_text(struct worker *w, const struct plan_model *g, const struct plan_model *r,
                      struct plan_notes *notes)
{
    struct err e;
    if (!g->has_arch || (r->folder && !r->has_arch)) return false;
    bool text = needs_text(g, notes) && (!r->folder || needs_text(r, notes));
    if (!text) return true;
    int rc = worker_open_generator_text(w, &e);
    if (rc == 0 && r->folder) rc = worker_open_reward_text(w, &e);
    if (rc < 0) notes_problem(notes, &e, NULL);
    return rc == 0;
}

/* ---- prompts ---- */

/* How many of the reward model's tokens the prompts' tokens become. */
static double ratio_of(const struct worker *w, const struct inputs *in)
{
    if (!w->bridge || bridge_is_identity(w->bridge)) return 1;
    struct ids out = {0};
    struct err e;
    double from = 0, to = 0;
    for (int64_t i = 0; i < in->n && i < 1000; i++) {
        const struct prompt_input *p = &in->items[i];
        if (bridge_convert(w->bridge, p->ids, (size_t)p->n_ids, &out, &e) < 0) continue;
        from += (double)p->n_ids;
        to += (double)out.n;
    }
    free(out.items);
    return from > 0 && to > 0 ? to / from : 1;
}

static int32_t foreign_id(const struct prompt_input *p, int64_t V)
{
    for (int64_t i = 0; i < p->n_ids; i++)
        if (p->ids[i] < 0 || p->ids[i] >= V) return p->ids[i] < 0 ? 0 : p->ids[i];
    return -1;
}

static void take_tokens(struct plan_inputs *in, const struct inputs *read)
{
    in->n = read->n;
    in->closing_tokens = read->n_closing;
    in->prompts = mem_calloc((size_t)in->n, sizeof *in->prompts);
    for (int64_t i = 0; i < in->n; i++) {
        const struct prompt_input *p = &read->items[i];
        bool self = in->worker.reward_is_self;
        in->prompts[i] =
            (struct plan_prompt){.index = p->index,
                                 .foreign_id = foreign_id(p, in->worker.generator.arch.V),
                                 .tokens = p->n_ids,
                                 .reward_tokens = self ? 0 : p->n_reward_ids + p->n_closing_ids};
    }
    in->text_ratio = ratio_of(&in->worker, read);
}

/* Without a tokenizer: from the bytes of the messages. */
static int guess_tokens(struct plan_inputs *in, struct plan_notes *notes, struct err *e)
{
    struct dataset d = {0};
    TRY(dataset_open(&d, &in->worker.job->dataset, e));
    in->n = d.n;
    in->text_ratio = 1;
    in->prompts = mem_calloc((size_t)in->n, sizeof *in->prompts);
    for (int64_t i = 0; i < d.n; i++) {
        const struct prompt *p = &d.prompts[i];
        int64_t tokens = p->n_prompt_ids, bytes = 0;
        for (int64_t k = 0; k < p->n_messages; k++)
            bytes += (int64_t)strlen(p->messages[k].content);
        if (p->n_messages > 0) tokens = bytes / BYTES_OF_TOKEN + TEMPLATE_TOKENS;
        in->lengths_guessed |= p->n_messages > 0;
        in->prompts[i] =
            (struct plan_prompt){.index = p->index,
                                 .foreign_id = -1,
                                 .tokens = tokens,
                                 .reward_tokens = in->worker.reward_is_self ? 0 : tokens};
    }
    dataset_free(&d);
    if (in->lengths_guessed)
        notes_add(
            notes, NOTE_ASSUMPTION,
            "prompt lengths: no tokenizer.json here, %d bytes a token and %d for the template",
            BYTES_OF_TOKEN, TEMPLATE_TOKENS);
    return 0;
}

static int by_tokens(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Which prompts fit the contexts; how long those are. */
static void judge_lengths(struct plan_inputs *in)
{
    const struct worker *w = &in->worker;
    int64_t room = w->generator.arch.max_positions - w->job->sampling.max_new_tokens;
    int64_t *fitting = mem_calloc((size_t)in->n, sizeof *fitting), n = 0;
    for (int64_t i = 0; i < in->n; i++) {
        struct plan_prompt *p = &in->prompts[i];
        p->fits = p->foreign_id < 0 && p->tokens > 0 && p->tokens <= room &&
                  (w->reward_is_self || p->reward_tokens <= w->reward.arch.max_positions);
        if (p->fits) fitting[n++] = p->tokens;
    }
    in->n_skipped = in->n - n;
    qsort(fitting, (size_t)n, sizeof *fitting, by_tokens);
    if (n > 0) {
        in->shortest = fitting[0];
        in->median = fitting[n / 2];
        in->longest = fitting[n - 1];
    }
    free(fitting);
}

static const struct plan_prompt *first_skipped(const struct plan_inputs *in)
{
    for (int64_t i = 0; i < in->n; i++)
        if (!in->prompts[i].fits) return &in->prompts[i];
    return NULL;
}

static void describe_skipped(const struct plan_inputs *in, const struct plan_prompt *p,
                             struct err *e)
{
    const struct job *j = in->worker.job;
    const struct arch *a = &in->worker.generator.arch;
    if (p->foreign_id >= 0)
        err_set(e, "%.200s: row %lld has id %d, outside the generator's vocabulary of %lld",
                j->dataset.path, (long long)p->index, p->foreign_id, (long long)a->V);
    else if (p->tokens == 0)
        err_set(e, "%.200s: row %lld has no tokens", j->dataset.path, (long long)p->index);
    else
        err_set(e,
                "%.200s: row %lld has %lld tokens (%lld for the reward model), beyond the context "
                "of %lld less sampling.max_new_tokens %lld",
                j->dataset.path, (long long)p->index, (long long)p->tokens,
                (long long)p->reward_tokens, (long long)a->max_positions,
                (long long)j->sampling.max_new_tokens);
}

/* A prompt that cannot be run ends the job, or is skipped. */
static void report_skipped(const struct plan_inputs *in, struct plan_notes *notes)
{
    const struct plan_prompt *p = first_skipped(in);
    struct err e;
    if (!p) return;
    describe_skipped(in, p, &e);
    if (in->n_skipped == in->n || in->worker.job->on_prompt_error == ON_PROMPT_ERROR_STOP)
        notes_add(notes, NOTE_PROBLEM,
                  "%s; of %lld prompts %lld cannot be run: %s, or leave such rows out", e.text,
                  (long long)in->n, (long long)in->n_skipped,
                  p->foreign_id >= 0 ? "give the generator's own ids"
                                     : "lower sampling.max_new_tokens");
    else
        notes_add(notes, NOTE_WARNING, "%s; of %lld prompts %lld will be skipped", e.text,
                  (long long)in->n, (long long)in->n_skipped);
}

static void read_prompts(struct plan_inputs *in, struct plan_notes *notes)
{
    struct worker *w = &in->worker;
    struct inputs read = {0};
    struct err e;
    int rc;
    bool guess = in->what_if && !w->tokenizer;
    if (guess) {
        rc = guess_tokens(in, notes, &e);
    } else {
        rc = inputs_read(&read, w, &e);
        if (rc == 0) take_tokens(in, &read);
        inputs_free(&read);
    }
    if (rc < 0) {
        notes_problem(notes, &e, "see jobs/example.yaml, dataset");
        return;
    }
    if (!in->models[0].has_arch || (in->models[1].folder && !in->models[1].has_arch)) return;
    judge_lengths(in);
    report_skipped(in, notes);
}

/* ---- all ---- */

static void open_worker(struct worker *w, const struct job *j, enum worker_role role,
                        const struct plan_model *g, const struct plan_model *r,
                        struct plan_notes *notes)
{
    struct err e;
    *w = (struct worker){.job = j,
                         .role = role,
                         .reward_is_self = strcmp(j->reward.path, "self") == 0,
                         .grid = {.n_groups = 1}};
    w->generator.arch = g->arch;
    w->reward.arch = r->arch;
    const char *cure = "see the job file's models";
    if (g->has_arch && worker_check_generator(w, &e) < 0) notes_problem(notes, &e, cure);
    if (r->has_arch && worker_check_reward(w, &e) < 0) notes_problem(notes, &e, cure);
}

void plan_inputs_open(struct plan_inputs *in, const struct job *j, struct plan_notes *notes)
{
    *in = (struct plan_inputs){.text_ratio = 1};
    struct plan_model *g = &in->models[0], *r = &in->models[1], *judge = &in->models[2];
    read_model(g, "generator", &j->generator, notes);
    if (strcmp(j->reward.path, "self") != 0) read_model(r, "reward", &j->reward, notes);
    if (j->judge.path) read_model(judge, "judge", &j->judge, notes);
    for (int i = 0; i < 3; i++) {
        in->what_if |= in->models[i].config_only;
        if (in->models[i].config_only)
            notes_add(
                notes, NOTE_WARNING,
                "%s: %s holds a config.json and no weights: this is a what-if, the job itself "
                "cannot run",
                in->models[i].role, in->models[i].folder);
    }
    open_worker(&in->worker, j, WORKER_JOB, g, r, notes);
    bool reads_text = open_text(&in->worker, g, r, notes);
    if (judge->folder) {
        in->judge_job = *j;
        in->judge_job.reward = j->judge;
        in->judge_job.reward.cache = CACHE_PROMPT;
        open_worker(&in->judge, &in->judge_job, WORKER_JUDGE, g, judge, notes);
        open_text(&in->judge, g, judge, notes);
    }
    if (reads_text) read_prompts(in, notes);
}

void plan_inputs_close(struct plan_inputs *in)
{
    worker_close_texts(&in->worker);
    worker_close_texts(&in->judge);
    free(in->prompts);
    *in = (struct plan_inputs){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_model(const struct model_ref *a, const struct model_ref *b)
{
    return same_text(a->path, b->path) && same_text(a->chat_template, b->chat_template) &&
           a->weights == b->weights;
}

bool plan_inputs_same(const struct job *a, const struct job *b)
{
    const struct dataset_ref *x = &a->dataset, *y = &b->dataset;
    return same_model(&a->generator, &b->generator) && same_model(&a->reward, &b->reward) &&
           same_model(&a->judge, &b->judge) && same_text(x->path, y->path) &&
           same_text(x->field, y->field) && same_text(x->system, y->system) && x->turn == y->turn &&
           x->shuffle == y->shuffle && x->offset == y->offset && x->limit == y->limit &&
           a->sampling.max_new_tokens == b->sampling.max_new_tokens &&
           a->on_prompt_error == b->on_prompt_error;
}
