#include "run/plan/like.h"

#include "base/mem.h"
#include "run/plan/price.h"
#include "trace/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct like {
    const char *path;
    struct trace_reader *file;
    struct job job;            /* of the file */
    const struct run_row *run; /* its last */
    int64_t budget_pages;
    struct price_setup price;

    /* Over its prompts: */
    struct price floors;
    double prefill_s, generate_s, score_s, wall_s;
    int64_t *ended, *seen; /* [max_new + 1] of the file's job */
    int64_t prompts;
};

static bool rejects(const struct job *j)
{
    return j->method == METHOD_SPECULATIVE_REJECTION && j->alpha > 0;
}

/* In lockstep the lengths tell who lived when. */
static void lockstep_steps(struct work *w, const struct candidate_row *c, int64_t n,
                           int64_t max_new)
{
    int64_t *last = mem_calloc((size_t)max_new + 2, sizeof *last), live = n;
    for (int64_t i = 0; i < n; i++) last[c[i].n_tokens]++;
    live -= last[0];
    for (int64_t t = 1; t < max_new && live > 0; t++) {
        live -= last[t];
        if (live > 0) ARRAY_PUSH(w->steps, ((struct work_step){live, live * t}));
    }
    free(last);
}

/* Best-of-N: its admission, with the lengths that came out. */
static void admitted_steps(struct work *w, const struct like *l, const struct prompt_row *p,
                           const struct candidate_row *c, int64_t n)
{
    int64_t *lengths = mem_calloc((size_t)n, sizeof *lengths);
    for (int64_t i = 0; i < n; i++) lengths[c[i].candidate] = c[i].n_tokens;
    struct work_setup s = {.policy = policy_of_job(&l->job),
                           .job = &l->job,
                           .reward_is_self = true,
                           .own_pages = l->budget_pages - pages_of(p->prompt_tokens),
                           .prompt_tokens = p->prompt_tokens};
    s.policy.config.n = n;
    work_simulate(w, &s, lengths);
    free(lengths);
}

/* What was scored stands in the file as rows; the keys follow from the lengths. */
static void add_scoring(struct work *w, const struct prompt_row *p, int64_t tokens, int64_t n)
{
    double mean = (double)tokens / (double)(n ? n : 1);
    struct work_score all = {.rows = p->tokens_scored,
                             .keys =
                                 (double)p->tokens_scored * ((double)p->prompt_tokens + mean / 2)};
    if (all.rows > 0) ARRAY_PUSH(w->scores, all);
}

/* A prompt that such a job can have run: no number of a file is taken at its word. */
static int check_prompt(const struct like *l, const struct prompt_row *p,
                        const struct candidate_row *c, int64_t n, struct err *e)
{
    int64_t max_new = l->job.sampling.max_new_tokens, i = 0;
    bool *seen = mem_calloc((size_t)n, sizeof *seen);
    bool fits = p->prompt_tokens > 0 && p->prompt_tokens <= l->budget_pages * PAGE_TOKENS &&
                pages_of(p->prompt_tokens) + pages_of(max_new) <= l->budget_pages;
    for (; i < n && fits; i++) {
        fits = c[i].candidate >= 0 && c[i].candidate < n && !seen[c[i].candidate] &&
               c[i].n_tokens >= 0 && c[i].n_tokens <= max_new;
        if (fits) seen[c[i].candidate] = true;
    }
    free(seen);
    if (fits) return 0;
    return err_set(e, "--like %s: prompt %lld is none that its job can have run (damaged file)",
                   l->path, (long long)p->prompt_index);
}

static void add_prompt(struct like *l, const struct prompt_row *p, const struct candidate_row *c,
                       int64_t n)
{
    int64_t max_new = l->job.sampling.max_new_tokens, tokens = 0;
    struct work w = {0};
    for (int64_t i = 0; i < n; i++) {
        l->seen[c[i].n_tokens]++;
        l->ended[c[i].n_tokens] += c[i].status == CANDIDATE_FINISHED;
        tokens += c[i].n_tokens;
    }
    if (rejects(&l->job))
        lockstep_steps(&w, c, n, max_new);
    else
        admitted_steps(&w, l, p, c, n);
    w.prompt_tokens = p->prompt_tokens;
    w.reward_prompt_tokens = l->price.reward ? p->prompt_tokens : 0;
    add_scoring(&w, p, tokens, n);
    struct price x = price_work(&l->price, &w);
    l->floors.floor.prefill_s += x.floor.prefill_s;
    l->floors.floor.generate_s += x.floor.generate_s;
    l->floors.floor.score_s += x.floor.score_s;
    l->prefill_s += p->prefill_s;
    l->generate_s += p->generate_s;
    l->score_s += p->score_s;
    l->wall_s += p->wall_s;
    l->prompts++;
    work_free(&w);
}

static int add_prompts(struct like *l, struct err *e)
{
    for (int64_t row = 0; row < trace_n_prompts(l->file); row++) {
        const struct prompt_row *p = &trace_prompts(l->file)[row];
        struct candidate_row *c = NULL;
        int64_t n = 0;
        if (p->status != PROMPT_OK) continue;
        TRY(trace_read_candidates(l->file, row, &c, &n, e));
        int rc = n == p->n ? check_prompt(l, p, c, n, e) : 0;
        if (n == p->n && rc == 0) add_prompt(l, p, c, n);
        free(c);
        TRY(rc);
    }
    if (l->prompts > 0) return 0;
    return err_set(e, "--like %s: no finished prompt with all its candidates (record.candidates)",
                   l->path);
}

static int open_file(struct like *l, struct err *e)
{
    if (!(l->file = trace_reader_open(l->path, e))) return -1;
    const char *yaml = trace_reader_attr(l->file, "job_yaml"),
               *budget = trace_reader_attr(l->file, "budget_tokens");
    if (!yaml || !budget || trace_n_runs(l->file) == 0)
        return err_set(e, "--like %s: not a result file", l->path);
    TRY(job_from_yaml(&l->job, yaml, l->path, e));
    l->budget_pages = strtoll(budget, NULL, 10) / PAGE_TOKENS;
    l->run = &trace_runs(l->file)[trace_n_runs(l->file) - 1];
    size_t cells = (size_t)l->job.sampling.max_new_tokens + 1;
    l->ended = mem_calloc(cells, sizeof *l->ended);
    l->seen = mem_calloc(cells, sizeof *l->seen);
    return 0;
}

static void compare(const struct like *l, const struct job *j, const struct hardware *h,
                    struct plan_notes *notes)
{
    const char *why = NULL;
    if (strcmp(l->job.generator.id, j->generator.id) != 0) why = "another generator";
    if (strcmp(l->job.reward.id, j->reward.id) != 0) why = "another reward model";
    if (l->job.sampling.temperature != j->sampling.temperature) why = "another temperature";
    if (why)
        notes_add(notes, NOTE_WARNING, "--like %s is of %s: lengths and efficiency may differ",
                  l->path, why);
    if (l->job.overlap > 1)
        notes_add(
            notes, NOTE_WARNING,
            "--like %s ran with overlap %lld: its prompts shared steps, and its efficiency is "
            "taken for one at a time",
            l->path, (long long)l->job.overlap);
    if (!strstr(h->name, l->run->device))
        notes_add(notes, NOTE_WARNING, "--like %s ran on %s: its efficiency is taken for %s",
                  l->path, l->run->device, h->name);
}

static void measured(struct hardware *h, enum figure_id f, double v)
{
    if (isfinite(v) && v > 0 && h->figures[f].source != FIGURE_GIVEN)
        h->figures[f] = (struct figure){v, FIGURE_MEASURED};
}

static void set_figures(const struct like *l, struct hardware *h)
{
    const struct phases *floor = &l->floors.floor;
    double phases = l->prefill_s + l->generate_s + l->score_s;
    measured(h, FIGURE_EFFICIENCY, floor->generate_s / l->generate_s);
    measured(h, FIGURE_SCORE_EFFICIENCY,
             (floor->prefill_s + floor->score_s) / (l->prefill_s + l->score_s));
    measured(h, FIGURE_OVERHEAD, fmax(1, l->wall_s / phases));
    measured(h, FIGURE_START, l->run->load_s / (double)l->run->ranks);
}

int like_read(const char *path, const struct job *j, struct plan_inputs *in, struct hardware *h,
              struct lengths *lengths, struct plan_notes *notes, struct err *e)
{
    struct like l = {.path = path};
    int rc = open_file(&l, e);
    if (rc == 0) {
        bool shared = l.job.parallel.split == SPLIT_CANDIDATES;
        l.price = (struct price_setup){.hardware = h,
                                       .generator = &in->models[0].arch,
                                       .reward = in->models[1].folder ? &in->models[1].arch : NULL,
                                       .tensor = l.run->tensor,
                                       .groups = shared ? l.run->groups : 1,
                                       .max_rows = h->max_rows};
        rc = add_prompts(&l, e);
    }
    if (rc == 0) {
        compare(&l, j, h, notes);
        set_figures(&l, h);
        lengths_seen(lengths, j->sampling.max_new_tokens, l.ended, l.seen,
                     l.job.sampling.max_new_tokens);
        notes_add(notes, NOTE_ASSUMPTION,
                  "lengths, efficiencies, overhead and start: measured in %lld prompts of %s (%s, "
                  "%d ranks)",
                  (long long)l.prompts, path, method_name(l.job.method), l.run->ranks);
    }
    job_free(&l.job);
    free(l.ended);
    free(l.seen);
    trace_reader_close(l.file);
    return rc;
}
