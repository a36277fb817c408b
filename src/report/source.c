#include "report/source.h"

#include "base/mem.h"
#include "job/schedule.h"
#include "policy/of_job.h"
#include "report/result.h"
#include "trace/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_complete(const struct candidate_row *c)
{
    return c->status == CANDIDATE_FINISHED || c->status == CANDIDATE_TRUNCATED;
}

/* Only the answer's row may be in the file; what the others got is unknown then. */
static int read_candidates(const struct result *r, int64_t row, struct source_prompt *p,
                           struct err *e)
{
    struct metrics_prompt *m = &p->numbers;
    m->min = m->mean = NAN;
    m->max = m->best;
    m->n_complete = -1;
    if (r->job.record.candidates == RECORD_CANDIDATES_BEST) return 0; /* see source.only_answers */
    struct candidate_row *rows = NULL;
    int64_t n = 0, found = 0;
    TRY(trace_read_candidates(r->file, row, &rows, &n, e));
    float *rewards = mem_calloc((size_t)n, sizeof *rewards);
    p->complete = mem_calloc((size_t)n, sizeof *p->complete);
    for (int64_t i = 0; i < n; i++) {
        p->n_broken += rows[i].finish_reason == FINISH_NUMERICS;
        if (!is_complete(&rows[i])) continue;
        p->n_unrewarded += !isfinite(rows[i].reward);
        p->complete[found] = rows[i].candidate;
        rewards[found++] = rows[i].reward;
    }
    metrics_spread(m, rewards, found);
    m->complete = p->complete;
    m->n_complete = found;
    free(rewards);
    free(rows);
    return 0;
}

static int read_prompt(const struct result *r, int64_t row, struct source_prompt *out,
                       struct err *e)
{
    const struct prompt_row *p = &trace_prompts(r->file)[row];
    int ranks = 1;
    if (p->run >= 0 && p->run < trace_n_runs(r->file)) {
        const struct run_row *run = &trace_runs(r->file)[p->run];
        ranks = r->job.parallel.split == SPLIT_CANDIDATES ? run->ranks : run->tensor;
    }
    *out = (struct source_prompt){.prompt_index = p->prompt_index, .rounds = p->rounds, .n = p->n};
    snprintf(out->key, sizeof out->key, "%s", p->key);
    struct metrics_prompt *m = &out->numbers;
    m->best = (double)p->best_reward;
    m->winner = p->best_candidate;
    m->amount[AMOUNT_WALL_S] = p->wall_s;
    m->amount[AMOUNT_COMPUTE_S] = p->wall_s * ranks;
    m->amount[AMOUNT_TOKENS_GENERATED] = (double)p->tokens_generated;
    m->amount[AMOUNT_TOKENS_SCORED] = (double)p->tokens_scored;
    m->amount[AMOUNT_FLOPS] = p->generator_flops + p->reward_flops;
    m->amount[AMOUNT_BYTES] = p->bytes;
    m->amount[AMOUNT_ENERGY_J] = p->energy_j;
    if (p->status != PROMPT_OK)
        snprintf(out->reason, sizeof out->reason, "%s: %s",
                 name_of(prompt_status_names, PROMPT_STATUSES, p->status), p->reason);
    else if (!isfinite(m->best))
        snprintf(out->reason, sizeof out->reason, "no answer has a finite reward");
    return p->status == PROMPT_OK ? read_candidates(r, row, out, e) : 0;
}

static int read_prompts(struct source *s, const struct result *r, struct err *e)
{
    s->prompts = mem_calloc((size_t)r->n_prompts, sizeof *s->prompts);
    s->n = r->job.n;
    bool first = true;
    for (int64_t i = 0; i < r->n_prompts; i++) {
        struct source_prompt *p = &s->prompts[s->n_prompts++];
        TRY(read_prompt(r, r->order[i], p, e));
        s->compute_s += p->numbers.amount[AMOUNT_COMPUTE_S];
        s->n_broken += p->n_broken;
        s->n_unrewarded += p->n_unrewarded;
        if (p->reason[0]) continue;
        s->cuts_short |= p->numbers.n_complete != p->n;
        if (first)
            s->n = p->n;
        else if (s->n != p->n)
            s->n = 0;
        first = false;
    }
    return 0;
}

void source_set_runs(struct source *s, const struct result *r)
{
    const struct run_row *runs = trace_runs(r->file);
    const char *reproducible = trace_reader_attr(r->file, "reproducible");
    bool is_one = reproducible && strcmp(reproducible, "true") == 0;
    int64_t n = trace_n_runs(r->file);
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(runs[i].fingerprint, runs[0].fingerprint) != 0) is_one = false;
        if (isfinite(runs[i].load_s)) s->load_s += runs[i].load_s;
        if (isfinite(runs[i].idle_s)) s->idle_s += runs[i].idle_s;
    }
    if (n > 0 && is_one) snprintf(s->fingerprint, sizeof s->fingerprint, "%s", runs[0].fingerprint);
    if (n == 0)
        s->machine = mem_strdup("?");
    else
        s->machine = mem_printf("%s (%s), %d ranks in %d groups, %d threads each, overlap %lld",
                                runs[0].device, runs[0].isa, runs[0].ranks, runs[0].groups,
                                runs[0].threads, (long long)r->job.overlap);
}

int source_set_job(struct source *s, const struct job *j, const char *yaml, struct err *e)
{
    struct job any_seed = *j;
    any_seed.seed = 0;
    job_point_id(&any_seed, s->family);
    s->method = j->method;
    s->compat = j->compat;
    s->is_static = j->batching == BATCHING_STATIC;
    s->overlap = j->overlap;
    s->only_answers = j->record.candidates == RECORD_CANDIDATES_BEST;
    s->scores_on_the_way = j->method == METHOD_BEST_OF_N && j->score_at.kind != SCHEDULE_OFF;
    s->alpha = j->method == METHOD_SPECULATIVE_REJECTION ? j->alpha : 0;
    s->rounds = schedule_to_text(&j->rounds);
    s->seed = j->seed;
    s->idle_cure = policy_rejects_nobody(j, &s->idle_why);
    return entries_read(&s->keys, yaml, strlen(yaml), s->path, e);
}

void source_set_replayed(struct source *s, bool is_approximate)
{
    s->is_replayed = true;
    s->is_approximate = is_approximate;
    char run[sizeof s->family];
    memcpy(run, s->family, sizeof run);
    snprintf(s->family, sizeof s->family, "r%.*s", HASH_HEX - 2, run); /* never that of a run */
}

static int read_job(struct source *s, const struct result *r, struct err *e)
{
    const char *yaml = trace_reader_attr(r->file, "job_yaml"),
               *id = trace_reader_attr(r->file, "point_id");
    snprintf(s->point_id, sizeof s->point_id, "%s", id ? id : "");
    return source_set_job(s, &r->job, yaml, e);
}

int source_read(struct source *s, const char *path, struct err *e)
{
    *s = (struct source){.path = path};
    struct result r;
    int rc = -1;
    TRY_GOTO(result_open(&r, path, e), done);
    TRY_GOTO(read_job(s, &r, e), done);
    source_set_runs(s, &r);
    rc = read_prompts(s, &r, e);
done:
    result_close(&r);
    return rc;
}

void source_free(struct source *s)
{
    for (int64_t i = 0; i < s->n_prompts; i++) free(s->prompts[i].complete);
    free(s->prompts);
    free(s->name);
    free(s->rounds);
    free(s->machine);
    entries_free(&s->keys);
    *s = (struct source){0};
}

static int by_index(const void *key, const void *p)
{
    int64_t a = *(const int64_t *)key, b = ((const struct source_prompt *)p)->prompt_index;
    return (a > b) - (a < b);
}

const struct source_prompt *source_find(const struct source *s, int64_t prompt_index)
{
    if (s->n_prompts == 0) return NULL;
    return bsearch(&prompt_index, s->prompts, (size_t)s->n_prompts, sizeof *s->prompts, by_index);
}

static bool begins(const char *key, const char *const *with, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(key, with[i], strlen(with[i])) == 0) return true;
    return false;
}

/* Of the dataset and the pair of models. */
static bool is_of_subject(const char *key)
{
    static const char *const subject[] = {"generator.", "reward.", "dataset."};
    static const char *const others[] = {"generator.path", "reward.path",    "reward.cache",
                                         "dataset.path",   "dataset.offset", "dataset.limit",
                                         "dataset.shuffle"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0) return false;
    return begins(key, subject, sizeof subject / sizeof *subject);
}

static bool is_compared(const char *key)
{
    static const char *const more[] = {"sampling.", "overlap"}; /* its times mean something else */
    return is_of_subject(key) || begins(key, more, sizeof more / sizeof *more);
}

static const struct entry *differs(const struct source *a, const struct source *b,
                                   bool (*counts)(const char *key))
{
    for (size_t i = 0; i < a->keys.n; i++) {
        const struct entry *x = &a->keys.items[i];
        if (!counts(x->key)) continue;
        const struct entry *y = entries_find(&b->keys, x->key);
        if (!y || strcmp(x->text, y->text) != 0) return x;
    }
    return NULL;
}

const struct entry *source_differs(const struct source *a, const struct source *b)
{
    return differs(a, b, is_compared);
}

bool source_is_of_subject(const struct source *a, const struct source *b)
{
    return !differs(a, b, is_of_subject);
}
