/* A result file in one screen: whose it is, its runs, what came out, where the time went. */
#include "base/clock.h"
#include "base/json.h"
#include "job/schedule.h"
#include "report/inspect.h"
#include "report/print.h"
#include "report/result.h"
#include "text/json_text.h"
#include "trace/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REASONS 5

enum { PHASE_PREFILL, PHASE_GENERATE, PHASE_SCORE, PHASE_COMM, PHASE_WAIT, PHASES };
static const char *const phase_names[PHASES] = {"prefill", "generate", "score", "comm", "wait"};

struct summary {
    int64_t count[PROMPT_STATUSES];
    int64_t n_rewards;
    double reward_sum, reward_min, reward_max; /* of the best candidates */
    int64_t tokens_generated, tokens_scored, rounds;
    double phase_s[PHASES], wall_s; /* summed over prompts */
    double total_rank_s, busy_rank_s, load_rank_s, idle_rank_s;
};

static void add_prompt(struct summary *s, const struct prompt_row *p)
{
    const double phase[PHASES] = {p->prefill_s, p->generate_s, p->score_s, p->comm_s, p->wait_s};
    if (p->status >= 0 && p->status < PROMPT_STATUSES) s->count[p->status]++;
    s->tokens_generated += p->tokens_generated;
    s->tokens_scored += p->tokens_scored;
    s->wall_s += p->wall_s;
    for (int i = 0; i < PHASES; i++) s->phase_s[i] += phase[i];
    if (p->status == PROMPT_OK) s->rounds += p->rounds;
    if (p->status != PROMPT_OK || isnan(p->best_reward)) return;
    double reward = (double)p->best_reward;
    if (s->n_rewards == 0 || reward < s->reward_min) s->reward_min = reward;
    if (s->n_rewards == 0 || reward > s->reward_max) s->reward_max = reward;
    s->reward_sum += reward;
    s->n_rewards++;
}

/* Seconds of a run; of one that has no end, until its last prompt. */
static double run_seconds(const struct result *r, int64_t run)
{
    const struct run_row *row = &trace_runs(r->file)[run];
    if (isfinite(row->end_unix_s)) return row->end_unix_s - row->start_unix_s;
    double last = 0;
    for (int64_t i = 0; i < r->n_prompts; i++) {
        const struct prompt_row *p = &trace_prompts(r->file)[i];
        if (p->run == run && p->start_s + p->wall_s > last) last = p->start_s + p->wall_s;
    }
    return last;
}

static struct summary summarise(const struct result *r)
{
    struct summary s = {.reward_min = NAN, .reward_max = NAN};
    const struct run_row *runs = trace_runs(r->file);
    int64_t n_runs = trace_n_runs(r->file);
    for (int64_t i = 0; i < n_runs; i++) {
        s.total_rank_s += run_seconds(r, i) * runs[i].ranks;
        s.load_rank_s += runs[i].load_s;
        s.idle_rank_s += isfinite(runs[i].idle_s) ? runs[i].idle_s : 0;
    }
    for (int64_t i = 0; i < r->n_prompts; i++) {
        const struct prompt_row *p = &trace_prompts(r->file)[i];
        add_prompt(&s, p);
        if (p->run < 0 || p->run >= n_runs) continue;
        bool together = r->job.parallel.split == SPLIT_CANDIDATES;
        s.busy_rank_s += p->wall_s * (together ? runs[p->run].ranks : runs[p->run].tensor);
    }
    return s;
}

static const char *attr(const struct result *r, const char *name)
{
    const char *value = trace_reader_attr(r->file, name);
    return value ? value : "";
}

/* ---- text ---- */

static void print_job(const struct result *r, FILE *out)
{
    const struct job *j = &r->job;
    char n[24] = "auto", id[HASH_HEX];
    char *rounds = schedule_to_text(&j->rounds);
    if (j->n) snprintf(n, sizeof n, "%lld", (long long)j->n);
    snprintf(id, sizeof id, "%s", attr(r, "point_id"));
    print_field(out, "job", "%s, point %s, seed %llu", j->name, id, (unsigned long long)j->seed);
    if (j->method == METHOD_SPECULATIVE_REJECTION)
        print_field(out, "method", "%s, n %s, alpha %g, rounds %s", method_name(j->method), n,
                    j->alpha, rounds);
    else
        print_field(out, "method", "%s, n %s", method_name(j->method), n);
    print_field(out, "budget", "%s KV tokens per prompt", attr(r, "budget_tokens"));
    print_field(out, "generator", "%s", j->generator.path);
    print_field(out, "reward", "%s", j->reward.path);
    print_field(out, "dataset", "%s", j->dataset.path);
    print_field(out, "arithmetic", "%s, %s; written by specrej %s (%s)", attr(r, "dtype"),
                strcmp(attr(r, "reproducible"), "true") == 0 ? "reproducible" : "not reproducible",
                attr(r, "program_version"), attr(r, "commit"));
    free(rounds);
}

static void print_runs(const struct result *r, FILE *out)
{
    const struct run_row *runs = trace_runs(r->file);
    for (int64_t i = 0; i < trace_n_runs(r->file); i++) {
        const struct run_row *w = &runs[i];
        char start[24], wall[24], label[32], slurm[96] = "";
        snprintf(label, sizeof label, "run %lld", (long long)i);
        if (w->slurm_job_id[0])
            snprintf(slurm, sizeof slurm, ", Slurm job %s restart %d", w->slurm_job_id,
                     w->slurm_restart);
        print_field(out, label, "%s: %lld prompts, from %s, %s%s",
                    name_of(run_status_names, RUN_STATUSES, w->status),
                    (long long)(w->last_prompt - w->first_prompt),
                    clock_date(start, w->start_unix_s), clock_text(wall, run_seconds(r, i)),
                    isfinite(w->end_unix_s) ? "" : " until its last prompt");
        print_field(out, "", "%d ranks = %d groups x tensor %d, %d threads each, on %s", w->ranks,
                    w->groups, w->tensor, w->threads, w->hosts);
        print_field(out, "", "%s (%s), fingerprint %s%s", w->device, w->isa, w->fingerprint, slurm);
    }
}

static void print_reasons(const struct result *r, FILE *out)
{
    int shown = 0;
    for (int64_t i = 0; i < r->n_prompts; i++) {
        const struct prompt_row *p = &trace_prompts(r->file)[r->order[i]];
        if (!p->reason[0] || shown++ >= MAX_REASONS) continue;
        print_field(out, "", "prompt %lld %s: %s", (long long)p->prompt_index,
                    name_of(prompt_status_names, PROMPT_STATUSES, p->status), p->reason);
    }
    if (shown > MAX_REASONS) print_field(out, "", "and %d more", shown - MAX_REASONS);
}

static void print_results(const struct result *r, const struct summary *s, FILE *out)
{
    char a[24], b[24], c[24], d[24];
    print_field(out, "prompts", "%lld: %lld ok, %lld skipped, %lld failed", (long long)r->n_prompts,
                (long long)s->count[PROMPT_OK], (long long)s->count[PROMPT_SKIPPED],
                (long long)s->count[PROMPT_FAILED]);
    print_reasons(r, out);
    if (s->n_rewards)
        print_field(out, "best reward", "mean %.4f, from %.4f to %.4f",
                    s->reward_sum / (double)s->n_rewards, s->reward_min, s->reward_max);
    if (s->count[PROMPT_OK])
        print_field(out, "rounds", "%.2f per prompt",
                    (double)s->rounds / (double)s->count[PROMPT_OK]);
    print_field(out, "tokens", "%s generated, %s scored",
                format_count(a, (double)s->tokens_generated),
                format_count(b, (double)s->tokens_scored));
    print_field(out, "wall time", "%s summed over prompts", clock_text(a, s->wall_s));
    for (int i = 0; i < PHASES && s->wall_s > 0; i++)
        print_field(out, "", "%-9s %9s %5.1f %%", phase_names[i], clock_text(a, s->phase_s[i]),
                    100 * s->phase_s[i] / s->wall_s);
    print_field(out, "rank time", "%s: prompts %s, loading %s, idle %s (%.3g rank-hours)",
                clock_text(a, s->total_rank_s), clock_text(b, s->busy_rank_s),
                clock_text(c, s->load_rank_s), clock_text(d, s->idle_rank_s),
                s->total_rank_s / 3600);
}

/* ---- JSON ---- */

static json_t *job_json(const struct result *r)
{
    const struct job *j = &r->job;
    char *rounds = schedule_to_text(&j->rounds);
    json_t *o = json_pack(
        "{s:o, s:o, s:s, s:I, s:f, s:o, s:o, s:o, s:o}", "name", json_text(j->name), "point_id",
        json_text(attr(r, "point_id")), "method", method_name(j->method), "n", (json_int_t)j->n,
        "alpha", j->alpha, "rounds", json_text(rounds), "generator", json_text(j->generator.path),
        "reward", json_text(j->reward.path), "dataset", json_text(j->dataset.path));
    free(rounds);
    ENSURE(o);
    json_object_set_new(o, "seed", json_u64(j->seed));
    json_object_set_new(o, "budget_tokens",
                        json_integer(strtoll(attr(r, "budget_tokens"), NULL, 10)));
    json_object_set_new(o, "dtype", json_text(attr(r, "dtype")));
    json_object_set_new(o, "reproducible",
                        json_boolean(strcmp(attr(r, "reproducible"), "true") == 0));
    json_object_set_new(o, "job_hash", json_text(attr(r, "job_hash")));
    json_object_set_new(o, "program_version", json_text(attr(r, "program_version")));
    json_object_set_new(o, "commit", json_text(attr(r, "commit")));
    return o;
}

static json_t *run_json(const struct result *r, int64_t i)
{
    const struct run_row *w = &trace_runs(r->file)[i];
    json_t *o =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:i}",
                  "status", name_of(run_status_names, RUN_STATUSES, w->status), "start_unix_s",
                  json_finite(w->start_unix_s), "end_unix_s", json_finite(w->end_unix_s), "wall_s",
                  json_finite(run_seconds(r, i)), "hosts", json_text(w->hosts), "device",
                  json_text(w->device), "isa", json_text(w->isa), "versions",
                  json_text(w->versions), "fingerprint", json_text(w->fingerprint), "slurm_job_id",
                  json_text(w->slurm_job_id), "ranks", (int)w->ranks, "threads", (int)w->threads,
                  "groups", (int)w->groups, "tensor", (int)w->tensor);
    ENSURE(o);
    json_object_set_new(o, "prompts", json_integer(w->last_prompt - w->first_prompt));
    return o;
}

static json_t *not_run_json(const struct result *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_prompts; i++) {
        const struct prompt_row *p = &trace_prompts(r->file)[r->order[i]];
        if (p->status == PROMPT_OK) continue;
        json_array_append_new(
            list, json_pack("{s:I, s:s, s:o}", "prompt_index", (json_int_t)p->prompt_index,
                            "status", name_of(prompt_status_names, PROMPT_STATUSES, p->status),
                            "reason", json_text(p->reason)));
    }
    return list;
}

static json_t *summary_json(const struct result *r, const struct summary *s)
{
    json_t *o = json_object(), *runs = json_array(), *wall = json_object();
    for (int64_t i = 0; i < trace_n_runs(r->file); i++) json_array_append_new(runs, run_json(r, i));
    for (int i = 0; i < PHASES; i++)
        json_object_set_new(wall, phase_names[i], json_finite(s->phase_s[i]));
    json_object_set_new(wall, "total", json_finite(s->wall_s));
    json_object_set_new(o, "kind", json_string("result"));
    json_object_set_new(o, "path", json_text(r->path));
    json_object_set_new(o, "job", job_json(r));
    json_object_set_new(o, "runs", runs);
    for (int i = 0; i < PROMPT_STATUSES; i++) {
        char key[32];
        snprintf(key, sizeof key, "prompts_%s", prompt_status_names[i]);
        json_object_set_new(o, key, json_integer(s->count[i]));
    }
    json_object_set_new(o, "not_ok", not_run_json(r));
    json_object_set_new(o, "mean_best_reward", json_finite(s->reward_sum / (double)s->n_rewards));
    json_object_set_new(o, "rounds_per_prompt",
                        json_finite((double)s->rounds / (double)s->count[PROMPT_OK]));
    json_object_set_new(o, "tokens_generated", json_integer(s->tokens_generated));
    json_object_set_new(o, "tokens_scored", json_integer(s->tokens_scored));
    json_object_set_new(o, "wall_s", wall);
    json_object_set_new(o, "rank_hours", json_finite(s->total_rank_s / 3600));
    json_object_set_new(o, "rank_hours_prompts", json_finite(s->busy_rank_s / 3600));
    json_object_set_new(o, "rank_hours_load", json_finite(s->load_rank_s / 3600));
    json_object_set_new(o, "rank_hours_idle", json_finite(s->idle_rank_s / 3600));
    return o;
}

int inspect_file(const char *path, const struct inspect_options *o, FILE *out, struct err *e)
{
    struct result r;
    int rc = result_open(&r, path, e);
    if (rc == 0) {
        struct summary s = summarise(&r);
        if (o->json) {
            json_t *j = summary_json(&r, &s);
            json_dumpf(j, out, JSON_INDENT(2));
            fputc('\n', out);
            json_decref(j);
        } else {
            fprintf(out, "%s\n", path);
            print_job(&r, out);
            print_runs(&r, out);
            print_results(&r, &s, out);
        }
    }
    result_close(&r);
    return rc;
}
