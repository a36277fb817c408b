#include "run/plan/point.h"

#include "base/mem.h"
#include "run/plan/files.h"
#include "run/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory: the worker's own arithmetic over a device that need not be there ---- */

struct planned_device {
    struct backend backend;
    size_t free_bytes;
};

static size_t free_bytes(struct backend *b)
{
    const struct planned_device *d = b->impl;
    return d->free_bytes;
}

/* Of the hosts of other machines' GPUs nothing is known. */
static size_t any_bytes(struct backend *b)
{
    (void)b;
    return SIZE_MAX;
}

static void planned_device_init(struct planned_device *d, struct backend_ops *ops,
                                const struct hardware *h)
{
    *ops = (struct backend_ops){.name = h->is_cuda ? "cuda" : "cpu",
                                .free_bytes = free_bytes,
                                .host_free_bytes = h->is_cuda ? any_bytes : free_bytes,
                                .workspace_bytes = h->workspace_bytes,
                                .kv_page_bytes = h->kv_page_bytes};
    d->backend = (struct backend){.ops = ops,
                                  .impl = d,
                                  .dtype = h->dtype,
                                  .activation = h->activation,
                                  .max_rows = h->max_rows};
}

static int set_shard(struct model *m, struct planned_device *d, int64_t tensor, const char *folder,
                     struct err *e)
{
    m->backend = &d->backend;
    if (shard_make(&m->shard, &m->arch, tensor, 0, e) < 0) return err_context(e, "%s: ", folder);
    return 0;
}

/* Workspace that is taken with the weights. */
static double products_bytes(const struct worker *w, const struct hardware *h)
{
    size_t most = 0;
    if (w->role == WORKER_JOB)
        most = cost_product_bytes(&w->generator.arch, &w->generator.shard, h->dtype, h->max_rows);
    if (!w->reward_is_self) {
        size_t more = cost_product_bytes(&w->reward.arch, &w->reward.shard, h->dtype, h->max_rows);
        if (more > most) most = more;
    }
    return (double)most;
}

/* Divide the memory as a worker of this role would; w->budget_pages is set. */
static int divide(struct worker *w, struct planned_device *d, const struct hardware *h,
                  const struct worker_needs *needs, int64_t tensor, struct point_memory *m,
                  struct err *e)
{
    const struct job *j = w->job;
    bool generates = w->role == WORKER_JOB;
    struct memory_plan p = {0};
    *m = (struct point_memory){.device = hardware_get(h, FIGURE_MEMORY)};
    w->backend = &d->backend;
    TRY(set_shard(&w->generator, d, tensor, j->generator.path, e));
    if (generates)
        m->weights[0] =
            (double)cost_weight_bytes(&w->generator.arch, &w->generator.shard, h->dtype);
    if (!w->reward_is_self) {
        TRY(set_shard(&w->reward, d, tensor, j->reward.path, e));
        m->weights[1] = (double)cost_weight_bytes(&w->reward.arch, &w->reward.shard, h->dtype);
    }
    double products = products_bytes(w, h),
           room = m->device - m->weights[0] - m->weights[1] - products;
    if (room <= 0)
        return err_set(e,
                       "the weights of a rank take %.1f GiB, a rank's memory is %.1f GiB; raise "
                       "parallel.tensor, here %lld",
                       (m->weights[0] + m->weights[1]) / 0x1p30, m->device / 0x1p30,
                       (long long)tensor);
    d->free_bytes = (size_t)room;
    struct worker_needs fitting = memory_needs(w, needs);
    TRY(memory_plan(w, &fitting, &p, e));
    w->budget_pages = p.budget_pages;
    m->workspace = (double)p.workspace_bytes + products;
    if (generates)
        m->kv[0] = (double)(memory_pool_pages(w, &fitting, p.budget_pages) + p.extra_pages) *
                   (double)p.generator_page_bytes;
    m->kv[1] = (double)p.reward_pages * (double)p.reward_page_bytes;
    m->budget_tokens = p.budget_pages * PAGE_TOKENS;
    m->reward_tokens = p.reward_pages * PAGE_TOKENS;
    m->taken = m->weights[0] + m->weights[1] + m->workspace + m->kv[0] + m->kv[1];
    return 0;
}

static struct worker_needs needs_of(const struct plan_inputs *in)
{
    struct worker_needs n = {1, 1};
    for (int64_t i = 0; i < in->n; i++) {
        if (in->prompts[i].tokens > n.longest_prompt) n.longest_prompt = in->prompts[i].tokens;
        if (in->prompts[i].reward_tokens > n.longest_reward_prompt)
            n.longest_reward_prompt = in->prompts[i].reward_tokens;
    }
    return n;
}

/* ---- prompts ---- */

struct counting {
    const struct point_setup *s;
    const struct worker *w; /* with job, budget and groups */
    struct price_setup price;
    struct plan_point *p;
    int64_t n_counted;
};

static void set_up(const struct counting *c, const struct plan_prompt *prompt, int64_t n,
                   struct work_setup *s)
{
    const struct job *j = c->w->job;
    const struct plan_inputs *in = c->s->inputs;
    *s = (struct work_setup){.policy = policy_of_job(j),
                             .job = j,
                             .reward_is_self = c->w->reward_is_self,
                             .keeps_kv =
                                 j->reward.cache == CACHE_DEVICE || j->reward.cache == CACHE_HOST,
                             .keeps_prefix = j->reward.cache != CACHE_NONE,
                             .prompt_tokens = prompt->tokens,
                             .reward_prompt_tokens = prompt->reward_tokens - in->closing_tokens,
                             .closing_tokens = in->closing_tokens,
                             .text_ratio = in->text_ratio};
    s->policy.config.n = n;
    s->own_pages = c->w->budget_pages - pages_of(prompt->tokens);
    if (s->reward_prompt_tokens < 0) s->reward_prompt_tokens = 0;
}

static void add_work(struct work *sum, const struct work *w)
{
    sum->prompt_tokens += w->prompt_tokens;
    sum->reward_prompt_tokens += w->reward_prompt_tokens;
    sum->tokens += w->tokens;
    sum->rows_scored += w->rows_scored;
    sum->texts_scored += w->texts_scored;
    sum->rounds += w->rounds;
    sum->decisions += w->decisions;
    sum->evictions += w->evictions;
    sum->complete += w->complete;
    sum->complete_tokens += w->complete_tokens;
    if (w->peak_pages > sum->peak_pages) sum->peak_pages = w->peak_pages;
}

static void add_price(struct price *sum, const struct price *x)
{
    double *to = (double *)sum;
    const double *from = (const double *)x;
    for (size_t i = 0; i < sizeof *sum / sizeof(double); i++) to[i] += from[i];
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
static double judge_price_s(const struct counting *c, const struct work *w,
                            const struct plan_prompt *prompt)
{
    const struct plan_inputs *in = c->s->inputs;
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

static int count_prompt(struct counting *c, const struct plan_prompt *prompt, struct price *x,
                        struct err *e)
{
    struct plan_point *p = c->p;
    struct work_setup setup;
    struct work w;
    int64_t n = prompt_candidates(c->w, prompt->tokens, e);
    if (n == 0) return -1;
    set_up(c, prompt, n, &setup);
    int64_t *lengths = mem_calloc((size_t)n, sizeof *lengths);
    for (int64_t i = 0; i < n; i++) lengths[i] = lengths_draw(c->s->lengths, prompt->index, i);
    work_simulate(&w, &setup, lengths);
    *x = price_work(&c->price, &w);
    add_work(&p->mean_work, &w);
    add_price(&p->mean, x);
    p->file_bytes += bytes_of(c->w->job, &w, n);
    p->judge_s += judge_price_s(c, &w, prompt);
    if (p->n_least == 0 || n < p->n_least) p->n_least = n;
    if (n > p->n_most) p->n_most = n;
    c->n_counted++;
    free(lengths);
    work_free(&w);
    return 0;
}

static void divide_by(struct plan_point *p, int64_t n)
{
    struct work *w = &p->mean_work;
    int64_t *counts[] = {&w->prompt_tokens,  &w->reward_prompt_tokens,
                         &w->tokens,         &w->rows_scored,
                         &w->texts_scored,   &w->decisions,
                         &w->evictions,      &w->complete,
                         &w->complete_tokens};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) *counts[i] /= n;
    w->rounds = (w->rounds + n / 2) / n;
    double *x = (double *)&p->mean;
    for (size_t i = 0; i < sizeof p->mean / sizeof(double); i++) x[i] /= (double)n;
    p->file_bytes /= (double)n;
    p->judge_s /= (double)n;
}

/* Of the prompts that fit, some that are spread evenly are counted; the others take turns with
 * their times. */
static int count_prompts(struct counting *c, struct err *e)
{
    const struct plan_inputs *in = c->s->inputs;
    struct plan_point *p = c->p;
    int64_t fit = in->n - in->n_skipped;
    int64_t samples = fit < c->s->most_samples ? fit : c->s->most_samples;
    p->n_prompts = fit;
    p->prompt_s = mem_calloc((size_t)fit, sizeof *p->prompt_s);
    p->prompt_floor_s = mem_calloc((size_t)fit, sizeof *p->prompt_floor_s);
    for (int64_t i = 0, k = 0; i < in->n; i++) {
        struct price x;
        if (!in->prompts[i].fits || k++ != c->n_counted * fit / samples) continue;
        TRY(count_prompt(c, &in->prompts[i], &x, e));
        p->prompt_s[c->n_counted - 1] = x.expected_s;
        p->prompt_floor_s[c->n_counted - 1] = x.floor_s;
    }
    for (int64_t i = samples; i < fit; i++) {
        p->prompt_s[i] = p->prompt_s[i % samples];
        p->prompt_floor_s[i] = p->prompt_floor_s[i % samples];
    }
    if (c->n_counted > 0) divide_by(p, c->n_counted);
    return 0;
}

/* ---- the job ---- */

double point_makespan_s(const double *prompt_s, int64_t n_times, int64_t n, int64_t groups,
                        double commit_s)
{
    double *free_at = mem_calloc((size_t)groups, sizeof *free_at), end = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t g = 0;
        for (int64_t k = 1; k < groups && i >= groups; k++)
            if (free_at[k] < free_at[g]) g = k;
        if (i < groups) g = i;
        free_at[g] += prompt_s[i % n_times];
        if (free_at[g] > end) end = free_at[g];
    }
    free(free_at);
    return fmax(end, (double)n * commit_s) + commit_s;
}

double point_start_s(const struct point_setup *s, const struct job *j, int64_t tensor,
                     int64_t groups)
{
    const struct hardware *h = s->hardware;
    struct figure start = h->figures[FIGURE_START];
    if (start.source == FIGURE_MEASURED) return start.value; /* reading included */
    double bytes = 0;
    for (int i = 0; i < 2; i++) {
        const struct plan_model *m = &s->inputs->models[i];
        struct shard whole;
        struct err e;
        const struct model_ref *ref = i ? &j->reward : &j->generator;
        if (!m->folder || ref->weights == WEIGHTS_RANDOM ||
            shard_make(&whole, &m->arch, 1, 0, &e) < 0)
            continue;
        bytes += m->bytes > 0 ? m->bytes : (double)cost_weight_bytes(&m->arch, &whole, h->dtype);
    }
    double sent = groups > 1 ? bytes / (double)tensor / hardware_get(h, FIGURE_NETWORK) : 0;
    return start.value + bytes / hardware_get(h, FIGURE_READ) + sent;
}

static int64_t largest_n(const struct worker *w, const struct plan_inputs *in)
{
    struct job j = *w->job;
    struct worker asked = *w;
    struct err e;
    j.n = 0;
    j.n_max = INT32_MAX;
    asked.job = &j;
    return prompt_candidates(&asked, in->median, &e);
}

static void sum_up(struct plan_point *p, const struct point_setup *s, bool shared)
{
    double commit = hardware_get(s->hardware, FIGURE_COMMIT);
    int64_t groups = shared ? 1 : p->groups;
    p->start_s = point_start_s(s, p->job, p->tensor, p->groups);
    p->judge_s = p->judge_s * (double)p->n_prompts / (double)p->groups;
    double run = point_makespan_s(p->prompt_s, p->n_prompts, p->n_prompts, groups, commit);
    p->job_s = p->start_s + run + p->judge_s;
    p->job_floor_s = point_makespan_s(p->prompt_floor_s, p->n_prompts, p->n_prompts, groups, 0);
    p->file_bytes = output_file_bytes() + p->file_bytes * (double)p->n_prompts;
}

int point_make(struct plan_point *p, const struct point_setup *s, const struct job *j,
               int64_t tensor, int64_t groups, struct err *e)
{
    const struct plan_inputs *in = s->inputs;
    struct planned_device device;
    struct backend_ops ops;
    struct worker w = in->worker, judge = in->judge;
    struct worker_needs needs = needs_of(in);
    *p = (struct plan_point){.job = j, .tensor = tensor, .groups = groups};
    job_point_id(j, p->id);
    planned_device_init(&device, &ops, s->hardware);
    w.job = j;
    w.grid.n_groups = to_int(groups);
    TRY(divide(&w, &device, s->hardware, &needs, tensor, &p->memory, e));
    if (in->models[2].folder) {
        struct err why;
        if (divide(&judge, &device, s->hardware, &needs, tensor, &p->judge_memory, &why) < 0)
            return err_set(e, "judge: %s", why.text);
    }
    p->n_fits = largest_n(&w, in);
    bool shared = j->parallel.split == SPLIT_CANDIDATES;
    struct counting c = {
        .s = s,
        .w = &w,
        .p = p,
        .price = {.hardware = s->hardware,
                  .generator = &in->models[0].arch,
                  .reward = in->models[1].folder ? &in->models[1].arch : NULL,
                  .tensor = tensor,
                  .groups = shared ? groups : 1,
                  .max_rows = s->hardware->max_rows,
                  .across_nodes =
                      (double)tensor > hardware_get(s->hardware, FIGURE_RANKS_PER_NODE)}};
    TRY(count_prompts(&c, e));
    sum_up(p, s, shared);
    return 0;
}

void point_free(struct plan_point *p)
{
    free(p->prompt_s);
    free(p->prompt_floor_s);
    *p = (struct plan_point){0};
}
