#include "run/judge.h"

#include "base/log.h"
#include "base/mem.h"
#include "run/inputs.h"
#include "trace/judge.h"
#include "trace/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One prompt's complete candidates, as they travel from rank 0 to the group that scores them. */
struct task {
    int64_t prompt_index, n, n_tokens;
    int32_t *candidate; /* [n] number within the prompt */
    int64_t *length;    /* [n] tokens, end token left out */
    int32_t *tokens;    /* [n_tokens] one after the other */
    float *rewards;     /* [n] */
};

/* All rewards, by row of /prompts and candidate number: kept on rank 0. */
struct verdicts {
    struct task *tasks; /* [n] */
    int64_t n;
};

static bool is_complete(const struct candidate_row *c)
{
    return c->status == CANDIDATE_FINISHED || c->status == CANDIDATE_TRUNCATED;
}

/* Was this row of /prompts not given to this judge yet? */
static bool is_unjudged(const struct trace_reader *r, int64_t row, const char *identity)
{
    const struct prompt_row *p = &trace_prompts(r)[row];
    bool same = strcmp(trace_reader_attr(r, "judge"), identity) == 0;
    int64_t judged_runs = same ? strtoll(trace_reader_attr(r, "judged_runs"), NULL, 10) : 0;
    return p->status == PROMPT_OK && p->run >= judged_runs;
}

int judge_is_due(const struct job *j, const char *path, const char *identity, bool *due,
                 struct err *e)
{
    *due = false;
    if (!j->judge.path) return 0;
    struct trace_reader *r = trace_reader_open(path, e);
    if (!r) return -1;
    for (int64_t i = 0; i < trace_n_prompts(r) && !*due; i++) *due = is_unjudged(r, i, identity);
    trace_reader_close(r);
    return 0;
}

static void task_free(struct task *t)
{
    free(t->candidate);
    free(t->length);
    free(t->tokens);
    free(t->rewards);
    *t = (struct task){0};
}

static void task_alloc(struct task *t)
{
    t->candidate = mem_calloc((size_t)t->n, sizeof *t->candidate);
    t->length = mem_calloc((size_t)t->n, sizeof *t->length);
    t->tokens = mem_calloc((size_t)t->n_tokens, sizeof *t->tokens);
    t->rewards = mem_calloc((size_t)t->n, sizeof *t->rewards);
}

static int read_task(struct trace_reader *r, int64_t row, struct task *t, struct err *e)
{
    struct candidate_row *c = NULL;
    int64_t n = 0, at = 0;
    TRY(trace_read_candidates(r, row, &c, &n, e));
    for (int64_t k = 0; k < n; k++) {
        t->n += is_complete(&c[k]);
        t->n_tokens += is_complete(&c[k]) ? c[k].n_tokens : 0;
    }
    task_alloc(t);
    t->n = 0;
    int rc = 0;
    for (int64_t k = 0; k < n && rc == 0; k++) {
        if (!is_complete(&c[k])) continue;
        t->candidate[t->n] = c[k].candidate;
        t->length[t->n] = c[k].n_tokens - (c[k].status == CANDIDATE_FINISHED);
        rc = trace_read_tokens(r, c[k].tokens_offset, t->length[t->n], t->tokens + at, e);
        at += t->length[t->n++];
    }
    t->n_tokens = at;
    free(c);
    return rc;
}

/* Rank 0's tasks to everybody. */
static void share_task(struct comm *world, struct task *t)
{
    int64_t sizes[3] = {t->prompt_index, t->n, t->n_tokens};
    comm_bcast(world, sizes, sizeof sizes, 0);
    if (comm_rank(world) != 0) {
        *t = (struct task){.prompt_index = sizes[0], .n = sizes[1], .n_tokens = sizes[2]};
        task_alloc(t);
    }
    comm_bcast(world, t->candidate, (size_t)t->n * sizeof *t->candidate, 0);
    comm_bcast(world, t->length, (size_t)t->n * sizeof *t->length, 0);
    comm_bcast(world, t->tokens, (size_t)t->n_tokens * sizeof *t->tokens, 0);
}

static const struct prompt_input *find_input(const struct inputs *in, int64_t prompt_index)
{
    for (int64_t i = 0; i < in->n; i++)
        if (in->items[i].index == prompt_index) return &in->items[i];
    return NULL;
}

/* The candidates that the judge can read, as items; *e says why it cannot read the last other one.
 */
static int64_t make_items(struct worker *w, const struct scorer_prompt *p, const struct task *t,
                          struct score_item *items, struct err *e)
{
    int64_t n = 0, at = 0;
    for (int64_t i = 0; i < t->n; at += t->length[i++]) {
        items[n] = (struct score_item){t->candidate[i], t->tokens + at, t->length[i]};
        n += scorer_check(w->scorer, p, &items[n], e) == 0;
    }
    return n;
}

/* Rewards, NaN for what the judge cannot read; returns how many have one. */
static int64_t score_task(struct worker *w, const struct prompt_input *in, struct task *t,
                          struct err *e)
{
    struct score_item *items = mem_calloc((size_t)t->n, sizeof *items);
    float *rewards = mem_calloc((size_t)t->n, sizeof *rewards);
    int64_t n = 0;
    struct scorer_prompt *p = scorer_begin(w->scorer, in->reward_ids, in->n_reward_ids,
                                           in->closing_ids, in->n_closing_ids, e);
    if (p) {
        n = make_items(w, p, t, items, e);
        if (scorer_score(w->scorer, p, items, n, rewards, e) < 0) n = 0;
    }
    scorer_end(w->scorer, p);
    for (int64_t i = 0, k = 0; i < t->n; i++) {
        bool is_scored = k < n && items[k].candidate == t->candidate[i];
        t->rewards[i] = is_scored ? rewards[k++] : NAN;
    }
    free(items);
    free(rewards);
    return n;
}

static void judge_task(struct worker *w, const struct inputs *in, struct task *t)
{
    struct err e = {0};
    if (t->n == 0) return;
    int64_t n = score_task(w, find_input(in, t->prompt_index), t, &e);
    if (n < t->n && w->grid.is_leader)
        logr(LOG_WARN, "prompt %lld: %lld of %lld candidates are not judged: %s",
             (long long)t->prompt_index, (long long)(t->n - n), (long long)t->n, e.text);
}

/* Rank 0: what there is to judge in a row; nothing when this judge has seen it. */
static int take_task(struct trace_reader *r, int64_t row, const char *identity,
                     const struct inputs *in, struct task *t, struct err *e)
{
    *t = (struct task){.prompt_index = trace_prompts(r)[row].prompt_index};
    if (!is_unjudged(r, row, identity)) return 0;
    if (find_input(in, t->prompt_index)) return read_task(r, row, t, e);
    return err_set(e,
                   "prompt %lld is in the file, but not in this job; raise dataset.limit so that "
                   "all of the file has one judge",
                   (long long)t->prompt_index);
}

/* Rows [first, end), one for each group; afterwards rank 0 has their rewards, and the tokens are
 * gone. */
static int judge_rows(struct worker *w, const struct inputs *in, struct trace_reader *file,
                      const char *identity, struct verdicts *v, int64_t first, int64_t end,
                      struct err *e)
{
    struct comm *world = w->grid.world;
    int rc = 0, tensor = comm_size(w->grid.group);
    for (int64_t i = first; i < end && file && rc == 0; i++)
        rc = take_task(file, i, identity, in, &v->tasks[i], e);
    TRY(comm_agree(world, rc, e));
    for (int64_t i = first; i < end; i++) share_task(world, &v->tasks[i]);
    if (first + w->grid.group_index < end)
        judge_task(w, in, &v->tasks[first + w->grid.group_index]);
    for (int64_t i = first; i < end; i++) {
        struct task *t = &v->tasks[i];
        comm_bcast(world, t->rewards, (size_t)t->n * sizeof *t->rewards, (int)(i - first) * tensor);
        if (!file) {
            task_free(t);
            continue;
        }
        free(t->tokens);
        free(t->length);
        t->tokens = NULL;
        t->length = NULL;
    }
    return 0;
}

/* All rows; a signal that any rank saw ends it early, and is returned. */
static int judge_all(struct worker *w, const struct inputs *in, const struct judge_turn *t,
                     struct verdicts *v, struct err *e)
{
    struct comm *world = w->grid.world;
    bool first = comm_rank(world) == 0;
    struct trace_reader *file = first ? trace_reader_open(t->path, e) : NULL;
    TRY(comm_agree(world, first && !file ? -1 : 0, e));
    if (first) v->n = trace_n_prompts(file);
    comm_bcast(world, &v->n, sizeof v->n, 0);
    v->tasks = mem_calloc((size_t)v->n, sizeof *v->tasks);
    int rc = 0;
    for (int64_t i = 0; i < v->n && rc == 0; i += w->grid.n_groups) {
        int64_t end = i + w->grid.n_groups < v->n ? i + w->grid.n_groups : v->n;
        rc = judge_rows(w, in, file, t->identity, v, i, end, e);
        if (rc == 0) rc = to_int(comm_max_i64(world, t->signal_seen()));
    }
    trace_reader_close(file);
    return rc;
}

static void set_rewards(void *arg, int64_t row, struct candidate_row *candidates, int64_t n)
{
    const struct verdicts *v = arg;
    const struct task *t = &v->tasks[row];
    for (int64_t k = 0, i = 0; k < n && i < t->n; k++)
        if (candidates[k].candidate == t->candidate[i])
            candidates[k].judge_reward = t->rewards[i++];
}

/* Rank 0: templates that print a date print that of the job's first start, as the job's own do. */
static int keep_date(struct worker *w, const char *path, struct err *e)
{
    struct trace_reader *file = trace_reader_open(path, e);
    if (!file) return -1;
    if (w->reward_chat && trace_n_runs(file) > 0)
        chat_set_now(w->reward_chat, (int64_t)trace_runs(file)[0].start_unix_s);
    trace_reader_close(file);
    return 0;
}

/* Rank 0: the rewards into the file, with the judge that gave them. */
static int write_rewards(const struct judge_turn *t, struct verdicts *v, struct err *e)
{
    struct job in_file;
    struct trace_reader *file = trace_reader_open(t->path, e);
    int rc = file ? job_from_yaml(&in_file, trace_reader_attr(file, "job_yaml"), t->path, e) : -1;
    trace_reader_close(file);
    TRY(rc);
    struct model_ref judge = in_file.judge;
    in_file.judge = t->job->judge;
    char *yaml = job_to_yaml(&in_file);
    in_file.judge = judge;
    job_free(&in_file);
    struct trace_judge_meta meta = {.judge = t->identity, .job_yaml = yaml};
    rc = trace_judge(t->path, t->lock, &meta, set_rewards, v, e);
    free(yaml);
    return rc;
}

int judge_run(const struct judge_turn *t, struct comm *world, struct err *e)
{
    struct job as_reward = *t->job; /* borrowed pointers */
    as_reward.reward = t->job->judge;
    as_reward.reward.cache = CACHE_PROMPT; /* each text is read once */
    struct worker w;
    struct inputs in = {0};
    struct verdicts v = {0};
    bool first = comm_rank(world) == 0;
    int rc = worker_open(&w, &as_reward, WORKER_JUDGE, world, NULL, e);
    if (rc == 0) rc = comm_agree(world, first ? keep_date(&w, t->path, e) : 0, e);
    if (rc == 0) rc = inputs_open(&in, &w, e);
    if (rc == 0) {
        struct worker_needs needs = inputs_needs(&in);
        rc = worker_load(&w, &needs, e);
    }
    if (rc == 0) rc = judge_all(&w, &in, t, &v, e);
    if (rc == 0) rc = comm_agree(world, first ? write_rewards(t, &v, e) : 0, e);
    for (int64_t i = 0; i < v.n; i++) task_free(&v.tasks[i]);
    free(v.tasks);
    inputs_free(&in);
    worker_close(&w);
    return rc;
}
