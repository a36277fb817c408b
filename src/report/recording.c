#include "report/recording.h"

#include "base/mem.h"
#include "policy/of_job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS (1 << 20) /* of a response: a replay goes through each */

int64_t recording_length(const struct recording *r, int64_t n_tokens)
{
    int64_t low = 0, high = r->n_lengths;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (r->lengths[middle] <= n_tokens)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

/* ---- which file ---- */

static int check_job(const struct recording *r, struct err *e)
{
    const struct job *j = &r->result.job;
    const char *path = r->result.path;
    if (policy_of_job(j).ops != &policy_best_of_n)
        return err_set(e,
                       "%s: its method rejects candidates, so what they would have become is not "
                       "known; replay needs a Best-of-N run with score_at",
                       path);
    if (j->record.candidates != RECORD_CANDIDATES_ALL)
        return err_set(
            e, "%s: not all candidates were recorded; replay needs record.candidates: all", path);
    return 0;
}

/* Lengths below the longest response: a candidate is scored on the way while it is live. */
static void list_lengths(struct recording *r)
{
    const struct job *j = &r->result.job;
    struct policy policy = policy_of_job(j);
    struct {
        int64_t *items;
        size_t n, cap;
    } all = {0};
    for (int64_t at = 0;;) {
        at = policy_schedule_next(&policy.config.schedule, at);
        if (at >= j->sampling.max_new_tokens || at >= MAX_TOKENS) break;
        ARRAY_PUSH(all, at);
    }
    r->lengths = all.items;
    r->n_lengths = (int64_t)all.n;
}

/* ---- a prompt ---- */

static int err_incomplete(const struct recording *r, const struct recorded_prompt *p,
                          const char *what, struct err *e)
{
    return err_set(e, "%s: prompt %lld: %s", r->result.path, (long long)p->row->prompt_index, what);
}

/* Lengths at which a candidate was live. */
static int64_t lengths_on_the_way(const struct recording *r, const struct recorded_candidate *c)
{
    return recording_length(r, recorded_end(c) - 1) + 1;
}

static int read_candidates(struct recording *r, int64_t row, struct recorded_prompt *p,
                           int64_t *n_partials, struct err *e)
{
    struct candidate_row *rows = NULL;
    int64_t n = 0, seen = 0, longest = r->result.job.sampling.max_new_tokens;
    if (longest > MAX_TOKENS) longest = MAX_TOKENS;
    TRY(trace_read_candidates(r->result.file, row, &rows, &n, e));
    if (n == p->row->n) p->candidates = mem_calloc((size_t)n, sizeof *p->candidates);
    for (int64_t i = 0; i < n && p->candidates; i++) {
        const struct candidate_row *c = &rows[i];
        bool broken = c->status == CANDIDATE_REJECTED && c->finish_reason == FINISH_NUMERICS;
        bool complete = c->status == CANDIDATE_FINISHED || c->status == CANDIDATE_TRUNCATED;
        if (c->candidate < 0 || c->candidate >= p->row->n || !(complete || broken) ||
            c->n_tokens < complete || c->n_tokens > longest - broken)
            break;
        struct recorded_candidate *to = &p->candidates[c->candidate];
        seen += recorded_end(to) == 0;
        *to = (struct recorded_candidate){.n_tokens = c->n_tokens,
                                          .reward = broken ? NAN : c->reward,
                                          .is_finished = c->status == CANDIDATE_FINISHED,
                                          .is_broken = broken};
    }
    free(rows);
    if (!p->candidates || seen != n)
        return err_incomplete(r, p,
                              "it does not hold every candidate once, come to its end within "
                              "max_new_tokens and a million tokens",
                              e);
    for (int64_t i = 0; i < p->row->n; i++) {
        p->candidates[i].partial = *n_partials;
        *n_partials += lengths_on_the_way(r, &p->candidates[i]);
    }
    return 0;
}

static int read_partials(struct recording *r, int64_t row, struct recorded_prompt *p,
                         int64_t n_partials, struct err *e)
{
    struct partial_reward_row *rows = NULL;
    int64_t n = 0, seen = 0;
    TRY(trace_read_partial_rewards(r->result.file, row, &rows, &n, e));
    bool *is_there = NULL;
    if (n == n_partials) { /* else memory for what is not there would be taken */
        is_there = mem_calloc((size_t)n, sizeof *is_there);
        p->partials = mem_calloc((size_t)n, sizeof *p->partials);
    }
    for (int64_t i = 0; i < n && is_there; i++) {
        const struct partial_reward_row *x = &rows[i];
        int64_t k = recording_length(r, x->n_tokens);
        if (k < 0 || r->lengths[k] != x->n_tokens || x->candidate < 0 ||
            x->candidate >= p->row->n || recorded_end(&p->candidates[x->candidate]) <= x->n_tokens)
            break;
        int64_t at = p->candidates[x->candidate].partial + k;
        seen += !is_there[at];
        is_there[at] = true;
        p->partials[at] = x->reward;
    }
    free(is_there);
    free(rows);
    if (p->partials && seen == n) return 0;
    return err_incomplete(r, p,
                          "its partial rewards are not those of its score_at: every live candidate "
                          "at every length, once",
                          e);
}

static int read_prompt(struct recording *r, int64_t row, struct recorded_prompt *p, struct err *e)
{
    int64_t n_partials = 0;
    p->row = &trace_prompts(r->result.file)[row];
    if (p->row->status != PROMPT_OK) return 0;
    if (p->row->prompt_tokens < 0 || p->row->prompt_tokens > INT32_MAX)
        return err_incomplete(r, p, "its prompt_tokens are not a count; the file is damaged", e);
    TRY(read_candidates(r, row, p, &n_partials, e));
    return read_partials(r, row, p, n_partials, e);
}

/* Groups that share a prompt: those of the first run, as a file continues on the same grid. */
static int64_t groups_of_a_prompt(const struct recording *r)
{
    bool divided = r->result.job.parallel.split == SPLIT_CANDIDATES;
    if (!divided || trace_n_runs(r->result.file) == 0) return 1;
    int32_t groups = trace_runs(r->result.file)[0].groups;
    return groups > 1 ? groups : 1;
}

int recording_open(struct recording *r, const char *path, struct err *e)
{
    *r = (struct recording){0};
    TRY(result_open(&r->result, path, e));
    TRY(check_job(r, e));
    const char *budget = trace_reader_attr(r->result.file, "budget_tokens");
    r->budget_tokens = budget ? strtoll(budget, NULL, 10) : 0;
    r->n_groups = groups_of_a_prompt(r);
    list_lengths(r);
    int64_t n = r->result.n_prompts;
    r->prompts = mem_calloc((size_t)n, sizeof *r->prompts);
    while (r->n_prompts < n) {
        int64_t i = r->n_prompts++;
        TRY(read_prompt(r, r->result.order[i], &r->prompts[i], e));
    }
    return n > 0 ? 0 : err_set(e, "%s: no prompt in it yet", path);
}

void recording_close(struct recording *r)
{
    for (int64_t i = 0; i < r->n_prompts; i++) {
        free(r->prompts[i].candidates);
        free(r->prompts[i].partials);
    }
    free(r->prompts);
    free(r->lengths);
    result_close(&r->result);
    *r = (struct recording){0};
}
