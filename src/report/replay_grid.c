#include "report/replay_grid.h"

#include "backend/types.h"
#include "base/mem.h"
#include "trace/names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- points ---- */

/* The keys that leave the candidates what they are. */
static int check_keys(const struct replay_grid_options *o, struct err *e)
{
    static const char *const free_keys[] = {"method", "n",        "n_max",   "min_round_tokens",
                                            "alpha",  "rounds",   "compat",  "budget_tokens",
                                            "sweep",  "batching", "score_at"};
    for (int i = 0; i < o->n_set; i++) {
        const char *key = o->set[i];
        if (strncmp(key, "sweep.", 6) == 0) key += 6;
        size_t n = strcspn(key, "="), k = 0, all = sizeof free_keys / sizeof *free_keys;
        while (k < all && (strlen(free_keys[k]) != n || strncmp(free_keys[k], key, n) != 0)) k++;
        if (k == all)
            return err_set(e,
                           "--set %.80s: a replay cannot change '%.*s', as its candidates would be "
                           "others; it can change method, n, alpha, rounds, compat, budget_tokens, "
                           "batching, n_max and min_round_tokens",
                           o->set[i], (int)n, key);
    }
    return 0;
}

static int open_points(struct replay_grid *g, const struct replay_grid_options *o, struct err *e)
{
    const char *yaml = trace_reader_attr(g->recording.result.file, "job_yaml");
    const char **set = mem_calloc((size_t)o->n_set + 2, sizeof *set);
    int n = 0;
    set[n++] = "method=speculative_rejection";
    set[n++] = "score_at=off";
    for (int i = 0; i < o->n_set; i++) set[n++] = o->set[i];
    int rc = sweep_from_yaml(&g->sweep, yaml, g->recording.result.path, set, n, e);
    free(set);
    return rc;
}

static int check_point(const struct replay_grid *g, const struct job *j, struct err *e)
{
    const struct recording *r = &g->recording;
    int64_t recorded = r->result.job.n;
    if (recorded > 0 && j->n > recorded)
        return err_set(e, "%s: n %lld is more than the %lld candidates that were recorded",
                       r->result.path, (long long)j->n, (long long)recorded);
    if (j->budget_tokens / PAGE_TOKENS > r->budget_tokens / PAGE_TOKENS) /* whole pages count */
        return err_set(e,
                       "%s: budget_tokens %lld is more than the %lld that were recorded; whether "
                       "it fits is not known",
                       r->result.path, (long long)j->budget_tokens, (long long)r->budget_tokens);
    return 0;
}

static bool has_best_of_n(const struct replay_grid *g, int64_t n)
{
    for (int i = 0; i < g->n; i++)
        if (policy_of_job(&g->jobs[i]).ops == &policy_best_of_n && g->jobs[i].n == n &&
            g->jobs[i].method == METHOD_BEST_OF_N)
            return true;
    return false;
}

static void add_best_of_n(struct replay_grid *g, const struct job *like, int64_t n)
{
    if (n == 0 || has_best_of_n(g, n)) return;
    struct job *j = &g->jobs[g->n++];
    *j = *like;
    j->n = n;
    j->method = METHOD_BEST_OF_N;
    j->compat = COMPAT_OFF;
    j->budget_tokens = 0;
}

static int make_jobs(struct replay_grid *g, struct err *e)
{
    size_t points = (size_t)g->sweep.n_points;
    g->jobs = mem_calloc(2 * points + 1, sizeof *g->jobs);
    for (size_t i = 0; i < points; i++) {
        TRY(check_point(g, &g->sweep.points[i], e));
        g->jobs[g->n++] = g->sweep.points[i];
    }
    for (size_t i = 0; i < points; i++) add_best_of_n(g, &g->sweep.points[i], g->sweep.points[i].n);
    add_best_of_n(g, &g->sweep.points[0], g->recording.result.job.n);
    return 0;
}

/* ---- one point ---- */

void replay_grid_fill(struct source_prompt *p, const struct prompt_row *row, const struct replay *x,
                      const struct cost_of_prompt *cost)
{
    struct metrics_prompt *m = &p->numbers;
    *p = (struct source_prompt){.prompt_index = row->prompt_index, .n = x->n};
    snprintf(p->key, sizeof p->key, "%s", row->key);
    m->best = m->min = m->max = m->mean = NAN;
    m->winner = m->n_complete = -1;
    if (row->status != PROMPT_OK)
        snprintf(p->reason, sizeof p->reason, "%s: %s",
                 name_of(prompt_status_names, PROMPT_STATUSES, row->status), row->reason);
    else if (x->is_skipped)
        snprintf(p->reason, sizeof p->reason, "skipped: %.180s", x->reason.text);
    if (p->reason[0]) return;
    float *rewards = mem_calloc((size_t)x->n, sizeof *rewards);
    int32_t *complete = mem_calloc((size_t)x->n, sizeof *complete);
    size_t n = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (x->candidates[i].status != POLICY_COMPLETE) continue;
        complete[n] = to_i32(i);
        rewards[n++] = x->candidates[i].reward;
    }
    metrics_spread(m, rewards, (int64_t)n);
    free(rewards);
    p->complete = mem_realloc(complete, n + !n, sizeof *complete);
    p->rounds = to_i32((int64_t)x->rounds.n);
    m->complete = p->complete;
    m->n_complete = (int64_t)n;
    m->winner = x->best;
    if (x->best >= 0) m->best = (double)x->candidates[x->best].reward;
    if (!isfinite(m->best)) snprintf(p->reason, sizeof p->reason, "no answer has a finite reward");
    if (!cost) return;
    m->amount[AMOUNT_TOKENS_GENERATED] = (double)x->tokens_generated;
    m->amount[AMOUNT_TOKENS_SCORED] = cost->tokens_scored;
    m->amount[AMOUNT_FLOPS] = cost->flops;
    m->amount[AMOUNT_BYTES] = cost->bytes;
    m->amount[AMOUNT_ENERGY_J] = NAN; /* no model of it */
    m->amount[AMOUNT_WALL_S] = cost->wall_s;
}

/* Lengths of rounds at which nothing was recorded. */
struct missing {
    int64_t *items;
    size_t n, cap;
    bool has_none_before;
};

static void note_missing(struct missing *all, const struct replay *x)
{
    all->has_none_before |= x->before_first > 0;
    for (size_t i = 0; i < x->missing.n; i++) {
        size_t k = 0;
        while (k < all->n && all->items[k] < x->missing.items[i]) k++;
        if (k < all->n && all->items[k] == x->missing.items[i]) continue;
        ARRAY_PUSH(*all, 0);
        memmove(&all->items[k + 1], &all->items[k], (all->n - 1 - k) * sizeof *all->items);
        all->items[k] = x->missing.items[i];
    }
}

static int replay_point(struct replay_grid *g, int at, struct replay *x, struct missing *missing,
                        struct err *e)
{
    const struct recording *r = &g->recording;
    const struct job *j = &g->jobs[at];
    struct source *s = &g->sources[at];
    struct replay_point point = replay_point_of(r, j);
    job_point_id(j, s->point_id);
    char *yaml = job_to_yaml(j);
    int rc = source_set_job(s, j, yaml, e);
    free(yaml);
    TRY(rc);
    source_set_runs(s, &r->result);
    s->load_s = s->idle_s = 0;
    source_set_replayed(s, false);
    s->only_answers = false;
    s->prompts = mem_calloc((size_t)r->n_prompts, sizeof *s->prompts);
    bool varies = false;
    for (int64_t i = 0; i < r->n_prompts; i++) {
        const struct recorded_prompt *p = &r->prompts[i];
        struct cost_of_prompt cost = {NAN, NAN, NAN, NAN};
        x->n = 0;
        if (p->candidates) {
            TRY(replay_prompt(x, r, p, &point, NULL, e));
            note_missing(missing, x);
            s->is_approximate |= x->missing.n > 0;
            cost = costs_of(&g->costs, r, i, x);
        }
        struct source_prompt *to = &s->prompts[s->n_prompts++];
        replay_grid_fill(to, p->row, x, &cost);
        double *amount = to->numbers.amount;
        amount[AMOUNT_COMPUTE_S] = amount[AMOUNT_WALL_S] * g->costs.ranks;
        s->compute_s += amount[AMOUNT_COMPUTE_S];
        if (to->reason[0]) continue;
        varies |= s->n > 0 && s->n != to->n;
        s->n = to->n;
    }
    if (varies) s->n = 0;
    g->names[at] = mem_strdup(s->point_id);
    s->path = g->names[at];
    g->n_approximate += s->is_approximate;
    return 0;
}

/* "17, 33, 49, ... (12 lengths)" */
static char *list_lengths(const int64_t *at, size_t n, size_t most)
{
    char *text = mem_strdup("");
    for (size_t i = 0; i < n && i < most; i++) {
        char *longer = mem_printf("%s%s%lld", text, i ? ", " : "", (long long)at[i]);
        free(text);
        text = longer;
    }
    if (n <= most) return text;
    char *longer = mem_printf("%s and %zu more", text, n - most);
    free(text);
    return longer;
}

static int check_missing(const struct replay_grid *g, const struct missing *m, bool nearest,
                         struct err *e)
{
    const struct recording *r = &g->recording;
    if (m->n == 0 || (nearest && !m->has_none_before)) return 0;
    char *missing = list_lengths(m->items, m->n, 16),
         *there = list_lengths(r->lengths, (size_t)r->n_lengths, 4);
    err_set(e, "%s: rounds fall on lengths that were not recorded: %s (recorded: %s); %s",
            r->result.path, missing, r->n_lengths ? there : "none",
            m->has_none_before
                ? "nothing was recorded before the first of them: record with score_at"
                : "record with score_at at these, or take the nearest before with --nearest");
    free(missing);
    free(there);
    return -1;
}

int replay_grid_make(struct replay_grid *g, const char *path, const struct replay_grid_options *o,
                     struct err *e)
{
    *g = (struct replay_grid){0};
    TRY(recording_open(&g->recording, path, e));
    TRY(check_keys(o, e));
    TRY(open_points(g, o, e));
    TRY(make_jobs(g, e));
    TRY(costs_learn(&g->costs, &g->recording, e));
    g->sources = mem_calloc((size_t)g->n, sizeof *g->sources);
    g->names = mem_calloc((size_t)g->n, sizeof *g->names);
    struct replay x = {0};
    struct missing missing = {0};
    int rc = 0;
    for (int i = 0; i < g->n && rc == 0; i++) rc = replay_point(g, i, &x, &missing, e);
    if (rc == 0) rc = check_missing(g, &missing, o->nearest, e);
    replay_free(&x);
    free(missing.items);
    return rc;
}

struct source *replay_grid_take(struct replay_grid *g)
{
    struct source *s = g->sources;
    g->sources = NULL;
    return s;
}

void replay_grid_close(struct replay_grid *g)
{
    for (int i = 0; i < g->n && g->sources; i++) source_free(&g->sources[i]);
    for (int i = 0; i < g->n && g->names; i++) free(g->names[i]);
    free(g->sources);
    free(g->names);
    free(g->jobs);
    sweep_free(&g->sweep);
    costs_free(&g->costs);
    recording_close(&g->recording);
    *g = (struct replay_grid){0};
}
