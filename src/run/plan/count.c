#include "run/plan/count.h"

#include "base/mem.h"
#include "policy/of_job.h"
#include "run/plan/files.h"
#include "run/prompt.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#define LEAST_LIVE                                                                                 \
    256 /* simulated candidates that fit into memory at a time where each is several */

/* ---- sums ---- */

/* The amounts of struct work; peak_pages is none. */
static const size_t amounts[] = {
    offsetof(struct work, prompt_tokens), offsetof(struct work, reward_prompt_tokens),
    offsetof(struct work, tokens),        offsetof(struct work, rows_scored),
    offsetof(struct work, texts_scored),  offsetof(struct work, rounds),
    offsetof(struct work, decisions),     offsetof(struct work, evictions),
    offsetof(struct work, complete),      offsetof(struct work, complete_tokens)};
#define AMOUNTS (sizeof amounts / sizeof *amounts)
#define PRICES  (sizeof(struct price) / sizeof(double))

static int64_t *amount(struct work *w, size_t i)
{
    return (int64_t *)(void *)((char *)w + amounts[i]);
}

static int64_t amount_of(const struct work *w, size_t i)
{
    return *(const int64_t *)(const void *)((const char *)w + amounts[i]);
}

void count_add(struct prompt_count *sum, const struct prompt_count *c)
{
    double *to = (double *)&sum->price;
    const double *from = (const double *)&c->price;
    for (size_t i = 0; i < AMOUNTS; i++) *amount(&sum->work, i) += amount_of(&c->work, i);
    for (size_t i = 0; i < PRICES; i++) to[i] += from[i];
    if (c->work.peak_pages > sum->work.peak_pages) sum->work.peak_pages = c->work.peak_pages;
    sum->file_bytes += c->file_bytes;
    sum->judge_s += c->judge_s;
}

void count_divide(struct prompt_count *sum, int64_t n)
{
    double *x = (double *)&sum->price;
    sum->work.rounds += n / 2; /* to the nearest */
    for (size_t i = 0; i < AMOUNTS; i++) *amount(&sum->work, i) /= n;
    for (size_t i = 0; i < PRICES; i++) x[i] /= (double)n;
    sum->file_bytes /= (double)n;
    sum->judge_s /= (double)n;
}

/* a + (a - b) times `more`: as the candidates between b and a, so those after a. */
static void go_on(struct prompt_count *a, const struct prompt_count *b, double more)
{
    double *x = (double *)&a->price;
    const double *y = (const double *)&b->price;
    for (size_t i = 0; i < AMOUNTS; i++) {
        int64_t *to = amount(&a->work, i);
        *to += llround((double)(*to - amount_of(&b->work, i)) * more);
    }
    for (size_t i = 0; i < PRICES; i++) x[i] += (x[i] - y[i]) * more;
    a->file_bytes += (a->file_bytes - b->file_bytes) * more;
    a->judge_s += (a->judge_s - b->judge_s) * more;
}

/* ---- one simulation ---- */

static struct work_setup work_setup(const struct count_setup *c, const struct plan_prompt *prompt)
{
    const struct job *j = c->worker->job;
    const struct plan_inputs *in = c->inputs;
    struct work_setup s = {.policy = policy_of_job(j),
                           .job = j,
                           .reward_is_self = c->worker->reward_is_self,
                           .keeps_kv =
                               j->reward.cache == CACHE_DEVICE || j->reward.cache == CACHE_HOST,
                           .keeps_prefix = j->reward.cache != CACHE_NONE,
                           .prompt_tokens = prompt->tokens,
                           .reward_prompt_tokens = prompt->reward_tokens - in->closing_tokens,
                           .closing_tokens = in->closing_tokens,
                           .text_ratio = in->text_ratio,
                           .own_pages = c->worker->budget_pages - pages_of(prompt->tokens)};
    if (s.reward_prompt_tokens < 0) s.reward_prompt_tokens = 0;
    return s;
}

static double bytes_of(const struct job *j, const struct work *w, int64_t n)
{
    struct output_counts c = {.candidates = n,
                              .tokens = w->tokens,
                              .complete = w->complete,
                              .complete_tokens = w->complete_tokens,
                              .texts = w->texts_scored,
                              .rounds = w->rounds,
                              .steps = (int64_t)w->steps.n};
    return output_prompt_bytes(j, &c);
}

/* Rows through the judge, once every complete candidate. */
static double judge_price_s(const struct count_setup *c, const struct work *w,
                            const struct plan_prompt *prompt)
{
    const struct plan_inputs *in = c->inputs;
    if (!in->models[2].folder) return 0;
    struct work_score texts = {
        .rows = w->complete_tokens,
        .texts = w->complete,
        .keys = (double)w->complete_tokens *
                ((double)prompt->tokens +
                 (double)w->complete_tokens / 2 / (double)(w->complete ? w->complete : 1))};
    struct work judged = {.reward_prompt_tokens = prompt->tokens};
    ARRAY_PUSH(judged.scores, texts);
    struct price_setup p = c->price;
    p.reward = &in->models[2].arch;
    p.groups = 1;
    double s = price_work(&p, &judged).expected_s;
    work_free(&judged);
    return s;
}

/* `simulated` candidates, of which each is `each`. */
static void simulate(struct prompt_count *c, const struct count_setup *s,
                     const struct plan_prompt *prompt, int64_t simulated, int64_t each)
{
    struct work_setup setup = work_setup(s, prompt);
    setup.policy.config.n = simulated;
    setup.own_pages /= each;
    setup.each = each;
    int64_t *lengths = mem_calloc((size_t)simulated, sizeof *lengths);
    for (int64_t i = 0; i < simulated; i++) lengths[i] = lengths_draw(s->lengths, prompt->index, i);
    *c = (struct prompt_count){0};
    work_simulate(&c->work, &setup, lengths);
    c->price = price_work(&s->price, &c->work);
    c->file_bytes = bytes_of(s->worker->job, &c->work, simulated * each);
    c->judge_s = judge_price_s(s, &c->work, prompt);
    free(lengths);
    work_free_arrays(&c->work);
}

/* ---- many candidates ---- */

/* Candidates that Best-of-N holds at a time. */
static int64_t at_a_time(const struct count_setup *s, const struct work_setup *w)
{
    const struct job *j = w->job;
    int64_t length = j->batching == BATCHING_STATIC ? j->sampling.max_new_tokens
                                                    : llround(lengths_mean_of(s->lengths));
    return w->own_pages / pages_of(length > 0 ? length : 1);
}

/* How many alike candidates a simulated one is. */
static int64_t group_size(const struct count_setup *s, const struct work_setup *w, int64_t n)
{
    int64_t each = (n + COUNT_MOST - 1) / COUNT_MOST;
    if (w->policy.ops == &policy_paper_code_2024) return 1; /* it starts with no more than 1000 */
    if (w->policy.ops->lockstep) return each;
    int64_t most = at_a_time(s, w) / LEAST_LIVE;
    if (most < 1) most = 1;
    return each < most ? each : most;
}

int count_prompt(struct prompt_count *c, const struct count_setup *s,
                 const struct plan_prompt *prompt, struct err *e)
{
    struct work_setup w = work_setup(s, prompt);
    int64_t n = prompt_candidates(s->worker, prompt->tokens, e);
    if (n == 0) return -1;
    int64_t each = group_size(s, &w, n), groups = n / each;
    int64_t counted = groups < COUNT_MOST ? groups : COUNT_MOST;
    simulate(c, s, prompt, counted, each);
    if (groups > counted) {
        struct prompt_count half;
        simulate(&half, s, prompt, counted / 2, each);
        go_on(c, &half, (double)(groups - counted) / (double)(counted - counted / 2));
    }
    c->n = n;
    c->counted = counted;
    return 0;
}
