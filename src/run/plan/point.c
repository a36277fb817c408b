#include "run/plan/point.h"

#include "base/mem.h"
#include "run/plan/count.h"
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

/* Of the prompts that fit, some that are spread evenly are counted; the others take turns with
 * their times. */
static int count_prompts(struct plan_point *p, const struct point_setup *s,
                         const struct count_setup *c, struct err *e)
{
    const struct plan_inputs *in = s->inputs;
    struct prompt_count sum = {0}, one;
    int64_t fit = in->n - in->n_skipped, counted = 0;
    int64_t samples = fit < s->most_samples ? fit : s->most_samples;
    p->n_prompts = fit;
    p->prompt_s = mem_calloc((size_t)fit, sizeof *p->prompt_s);
    p->prompt_floor_s = mem_calloc((size_t)fit, sizeof *p->prompt_floor_s);
    for (int64_t i = 0, k = 0; i < in->n; i++) {
        if (!in->prompts[i].fits || k++ != counted * fit / samples) continue;
        TRY(count_prompt(&one, c, &in->prompts[i], e));
        p->prompt_s[counted] = one.price.expected_s;
        p->prompt_floor_s[counted++] = one.price.floor_s;
        if (p->n_least == 0 || one.n < p->n_least) p->n_least = one.n;
        if (one.n > p->n_most) p->n_most = one.n;
        if (one.n > one.counted) p->n_simulated = one.counted;
        count_add(&sum, &one);
    }
    for (int64_t i = samples; i < fit; i++) {
        p->prompt_s[i] = p->prompt_s[i % samples];
        p->prompt_floor_s[i] = p->prompt_floor_s[i % samples];
    }
    if (counted > 0) count_divide(&sum, counted);
    p->mean_work = sum.work;
    p->mean = sum.price;
    p->file_bytes = sum.file_bytes;
    p->judge_s = sum.judge_s;
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

void point_shape(const struct job *j, char out[HASH_HEX])
{
    struct job seedless = *j;
    seedless.seed = 0;
    job_point_id(&seedless, out);
}

int point_make(struct plan_point *p, const struct point_setup *s, const struct job *j,
               int64_t tensor, int64_t groups, struct err *e)
{
    const struct plan_inputs *in = s->inputs;
    struct planned_device device;
    struct backend_ops ops;
    struct worker w = in->worker, judge = in->judge;
    struct worker_needs needs = needs_of(in);
    *p = (struct plan_point){.job = j,
                             .tensor = tensor,
                             .groups = groups,
                             .of_best_of_n_tokens = NAN,
                             .of_best_of_n_time = NAN};
    job_point_id(j, p->id);
    point_shape(j, p->shape);
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
    struct count_setup c = {
        .inputs = in,
        .lengths = s->lengths,
        .worker = &w,
        .price = {.hardware = s->hardware,
                  .generator = &in->models[0].arch,
                  .reward = in->models[1].folder ? &in->models[1].arch : NULL,
                  .tensor = tensor,
                  .groups = shared ? groups : 1,
                  .max_rows = s->hardware->max_rows,
                  .across_nodes =
                      (double)tensor > hardware_get(s->hardware, FIGURE_RANKS_PER_NODE)}};
    TRY(count_prompts(p, s, &c, e));
    sum_up(p, s, shared);
    return 0;
}

struct plan_point point_copy(const struct plan_point *p, const struct job *j)
{
    struct plan_point x = *p;
    size_t bytes = (size_t)p->n_prompts * sizeof *p->prompt_s;
    x.job = j;
    job_point_id(j, x.id);
    x.prompt_s = mem_calloc((size_t)p->n_prompts, sizeof *x.prompt_s);
    x.prompt_floor_s = mem_calloc((size_t)p->n_prompts, sizeof *x.prompt_floor_s);
    memcpy(x.prompt_s, p->prompt_s, bytes);
    memcpy(x.prompt_floor_s, p->prompt_floor_s, bytes);
    return x;
}

void point_free(struct plan_point *p)
{
    free(p->prompt_s);
    free(p->prompt_floor_s);
    *p = (struct plan_point){0};
}
