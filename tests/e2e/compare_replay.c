/* A replay of a recorded Best-of-N run against runs that were really made, prompt by prompt.
 *
 *   compare_replay [--times] RECORDED REAL...     for the job in each REAL file, RECORDED replayed
 * under it has the same skipped prompts, winner, candidates (status, tokens, reward bits, round
 * that cut them), rounds (step, trigger, counts, cut, pages in use), tokens generated and scored,
 * FLOPs and bytes; prints the number of rounds by trigger, and how far the modelled times are off
 *       --times: a line for each run, too; counts that the file does not tell are not compared
 *
 * Status 0; 1: a difference, named on stderr; 2: usage, or a file that cannot be read. */
#include "backend/backend.h"
#include "base/mem.h"
#include "job/schedule.h"
#include "report/costs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

struct seconds {
    double real, modelled, off, most_off;
    bool each; /* a line for each run */
};

static void must(int rc, const struct err *e)
{
    if (rc >= 0) return;
    fprintf(stderr, "%s\n", e->text);
    exit(2);
}

/* Equal bits; any two NaN are equal. */
static bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void check_candidates(const struct replay *x, struct trace_reader *f, int64_t at,
                             const char *path)
{
    struct err e;
    struct candidate_row *rows;
    int64_t n;
    long long index = trace_prompts(f)[at].prompt_index;
    must(trace_read_candidates(f, at, &rows, &n, &e), &e);
    if (n != x->n)
        FAIL("%s: prompt %lld: %lld candidates, replayed %lld", path, index, (long long)n,
             (long long)x->n);
    for (int64_t i = 0; i < n; i++) {
        const struct policy_candidate *c = &x->candidates[rows[i].candidate];
        bool complete = rows[i].status != CANDIDATE_REJECTED;
        if (complete != (c->status == POLICY_COMPLETE) || rows[i].n_tokens != c->n_tokens ||
            rows[i].rejected_round != c->rejected_round || !same_float(rows[i].reward, c->reward))
            FAIL("%s: prompt %lld, candidate %d: status %d, %lld tokens, cut in %d, reward %a; "
                 "replayed %d, %lld, %d, %a",
                 path, index, rows[i].candidate, rows[i].status, (long long)rows[i].n_tokens,
                 rows[i].rejected_round, (double)rows[i].reward, c->status, (long long)c->n_tokens,
                 c->rejected_round, (double)c->reward);
    }
    free(rows);
}

static void check_rounds(const struct replay *x, struct trace_reader *f, int64_t at,
                         const char *path, int64_t *triggers)
{
    struct err e;
    struct round_row *rows;
    int64_t n;
    long long index = trace_prompts(f)[at].prompt_index;
    must(trace_read_rounds(f, at, &rows, &n, &e), &e);
    if (n != (int64_t)x->rounds.n)
        FAIL("%s: prompt %lld: %lld rounds, replayed %zu", path, index, (long long)n, x->rounds.n);
    for (int64_t i = 0; i < n; i++) {
        const struct round_row *a = &rows[i], *b = &x->rounds.items[i];
        if (a->round != b->round || a->step != b->step || a->trigger != b->trigger ||
            a->ranked != b->ranked || a->kept != b->kept || a->complete != b->complete ||
            !same_float(a->cut_reward, b->cut_reward) || a->budget_tokens != b->budget_tokens ||
            a->live_tokens != b->live_tokens)
            FAIL("%s: prompt %lld, round %lld at %lld tokens: kept %lld of %lld, %lld complete, "
                 "cut %a, %lld tokens; replayed at %lld: %lld of %lld, %lld, %a, %lld",
                 path, index, (long long)i, (long long)a->step, (long long)a->kept,
                 (long long)a->ranked, (long long)a->complete, (double)a->cut_reward,
                 (long long)a->live_tokens, (long long)b->step, (long long)b->kept,
                 (long long)b->ranked, (long long)b->complete, (double)b->cut_reward,
                 (long long)b->live_tokens);
        triggers[a->trigger]++;
    }
    free(rows);
}

static bool is_close(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void check_costs(const struct prompt_row *p, const struct cost_of_prompt *c,
                        const char *path)
{
    if (!is_close(c->tokens_scored, (double)p->tokens_scored) ||
        !is_close(c->flops, p->generator_flops + p->reward_flops) || !is_close(c->bytes, p->bytes))
        FAIL("%s: prompt %lld: %lld tokens scored, %.17g FLOPs, %.17g bytes; replayed %g, %.17g, "
             "%.17g",
             path, (long long)p->prompt_index, (long long)p->tokens_scored,
             p->generator_flops + p->reward_flops, p->bytes, c->tokens_scored, c->flops, c->bytes);
}

static void check_prompt(const struct replay *x, struct trace_reader *f, int64_t at,
                         const char *path, int64_t *triggers)
{
    const struct prompt_row *p = &trace_prompts(f)[at];
    long long index = p->prompt_index;
    if ((p->status == PROMPT_SKIPPED) != x->is_skipped)
        FAIL("%s: prompt %lld: status %d, replayed %s", path, index, p->status,
             x->is_skipped ? "skipped" : "not skipped");
    if (x->is_skipped) {
        size_t n = strlen(x->reason.text); /* the run may say more: where numbers broke */
        if (strncmp(p->reason, x->reason.text, n < 159 ? n : 159) != 0)
            FAIL("%s: prompt %lld: '%s', replayed '%s'", path, index, p->reason, x->reason.text);
        return;
    }
    float reward = x->best < 0 ? NAN : x->candidates[x->best].reward;
    if (p->best_candidate != x->best || !same_float(p->best_reward, reward))
        FAIL("%s: prompt %lld: winner %lld, replayed %lld", path, index,
             (long long)p->best_candidate, (long long)x->best);
    if (p->tokens_generated != x->tokens_generated)
        FAIL("%s: prompt %lld: %lld tokens, replayed %lld", path, index,
             (long long)p->tokens_generated, (long long)x->tokens_generated);
    if (x->is_at_once && p->kv_peak_tokens != x->peak_pages * PAGE_TOKENS)
        FAIL("%s: prompt %lld: %lld tokens of KV at most, replayed %lld", path, index,
             (long long)p->kv_peak_tokens, (long long)(x->peak_pages * PAGE_TOKENS));
    check_candidates(x, f, at, path);
    check_rounds(x, f, at, path, triggers);
}

static void check_file(const struct recording *r, const struct costs *costs, const char *path,
                       int64_t *triggers, struct seconds *s)
{
    double real_s = 0, modelled_s = 0;
    struct err e;
    struct result real;
    struct replay x = {0};
    must(result_open(&real, path, &e), &e);
    struct replay_point point = replay_point_of(r, &real.job);
    /* budget_tokens: auto is what fits, and what N can use */
    point.budget_pages = atoll(trace_reader_attr(real.file, "budget_tokens")) / PAGE_TOKENS;
    if (real.n_prompts != r->n_prompts)
        FAIL("%s: %lld prompts of %lld", path, (long long)real.n_prompts, (long long)r->n_prompts);
    for (int64_t i = 0; i < r->n_prompts; i++) {
        int64_t at = result_find(&real, r->prompts[i].row->prompt_index);
        if (at < 0) FAIL("%s: a prompt is missing", path);
        if (!r->prompts[i].candidates) { /* it has no answer, whatever is asked */
            if (trace_prompts(real.file)[at].status == PROMPT_OK)
                FAIL("%s: prompt %lld ran", path, (long long)r->prompts[i].row->prompt_index);
            continue;
        }
        must(replay_prompt(&x, r, &r->prompts[i], &point, NULL, &e), &e);
        if (x.missing.n > 0)
            FAIL("%s: nothing was recorded at %lld tokens", path, (long long)x.missing.items[0]);
        check_prompt(&x, real.file, at, path, triggers);
        if (x.is_skipped || !x.is_at_once) continue;
        struct cost_of_prompt cost = costs_of(costs, r, i, &x);
        if (!s->each || isfinite(cost.flops))
            check_costs(&trace_prompts(real.file)[at], &cost, path);
        real_s += trace_prompts(real.file)[at].wall_s;
        modelled_s += cost.wall_s;
    }
    double off = modelled_s / real_s - 1;
    s->real += real_s;
    s->modelled += modelled_s;
    s->off += fabs(off);
    if (!(fabs(off) <= s->most_off)) s->most_off = fabs(off);
    const struct job *j = &real.job;
    char *rounds = schedule_to_text(&j->rounds);
    if (s->each && j->method == METHOD_BEST_OF_N)
        printf("%-40s", "best_of_n");
    else if (s->each)
        printf("alpha %-4g budget %-7lld %-18s", j->alpha, (long long)j->budget_tokens, rounds);
    if (s->each)
        printf(" N %-4lld took %8.3f s, modelled %8.3f s, %+6.1f %%\n", (long long)j->n, real_s,
               modelled_s, 100 * off);
    free(rounds);
    replay_free(&x);
    result_close(&real);
}

int main(int argc, char **argv)
{
    bool each = argc > 1 && strcmp(argv[1], "--times") == 0;
    argc -= each;
    argv += each;
    if (argc < 3) {
        fprintf(stderr, "usage: compare_replay [--times] RECORDED REAL...\n");
        return 2;
    }
    struct err e;
    struct recording r;
    int64_t triggers[ROUND_TRIGGERS] = {0};
    struct costs costs;
    struct seconds s = {.each = each};
    must(recording_open(&r, argv[1], &e), &e);
    must(costs_learn(&costs, &r, &e), &e);
    for (int i = 2; i < argc; i++) check_file(&r, &costs, argv[i], triggers, &s);
    printf("%d runs: %lld memory, %lld scheduled, %lld early, %lld final rounds\n", argc - 2,
           (long long)triggers[TRIGGER_MEMORY], (long long)triggers[TRIGGER_SCHEDULE],
           (long long)triggers[TRIGGER_EARLY], (long long)triggers[TRIGGER_FINAL]);
    printf("times: %.3f s, modelled %+.1f %%, a run %.1f %% off, at most %.1f %%; its own prompts "
           "%+.1f %%, one %.1f %%, %.1f %% of their time left out\n",
           s.real, 100 * (s.modelled / s.real - 1), 100 * s.off / (argc - 2), 100 * s.most_off,
           100 * costs.times.error_sum, 100 * costs.times.error_one, 100 * costs.times.left_out);
    costs_free(&costs);
    recording_close(&r);
    return 0;
}
