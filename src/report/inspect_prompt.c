/* One prompt's story: the rounds, who was kept, what the winner says. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/inspect.h"
#include "report/print.h"
#include "report/result.h"
#include "text/json_text.h"
#include "trace/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INSTRUCTION 400 /* bytes of the prompt that are shown to a person */
#define MAX_CANDIDATES  32  /* rows, likewise */

struct story {
    struct result *r;
    int64_t row;
    const struct prompt_row *p;
    struct round_row *rounds;
    int64_t n_rounds;
    struct candidate_row *candidates;
    int64_t n_candidates;
    const struct candidate_row *best; /* NULL: none, or not recorded */
    char *instruction;                /* NULL: not known */
    struct bytes response;            /* the best one's */
    struct err no_response;           /* why there is none */
};

static int story_open(struct story *s, struct result *r, int64_t index, struct err *e)
{
    *s = (struct story){.r = r, .row = result_find(r, index)};
    if (s->row < 0)
        return err_set(e, "%s holds no prompt %lld; it holds %lld prompts%s", r->path,
                       (long long)index, (long long)r->n_prompts,
                       r->n_prompts ? " (--json lists what did not run)" : "");
    s->p = &trace_prompts(r->file)[s->row];
    TRY(trace_read_rounds(r->file, s->row, &s->rounds, &s->n_rounds, e));
    TRY(trace_read_candidates(r->file, s->row, &s->candidates, &s->n_candidates, e));
    const struct prompt *asked = result_dataset_row(r, s->row, &(struct err){0});
    if (asked) s->instruction = result_instruction(r, asked);
    for (int64_t i = 0; i < s->n_candidates; i++)
        if (s->candidates[i].candidate == s->p->best_candidate) s->best = &s->candidates[i];
    if (s->best && result_response(r, s->best, &s->response, &s->no_response) < 0)
        s->response.n = 0;
    return 0;
}

static void story_close(struct story *s)
{
    free(s->rounds);
    free(s->candidates);
    free(s->instruction);
    free(s->response.items);
}

static const char *status_of(const struct candidate_row *c)
{
    return name_of(candidate_status_names, CANDIDATE_STATUSES, c->status);
}

/* ---- text ---- */

static const char *number(char out[24], double v)
{
    snprintf(out, 24, isnan(v) ? "-" : "%.4f", v);
    return out;
}

static void print_head(const struct story *s, FILE *out)
{
    const struct prompt_row *p = s->p;
    char a[24], b[24], c[24], d[24];
    fprintf(out, "prompt %lld of %s\n", (long long)p->prompt_index, s->r->path);
    if (s->instruction) {
        size_t n = strlen(s->instruction);
        bool cut = n > MAX_INSTRUCTION;
        if (cut) n = MAX_INSTRUCTION - utf8_incomplete_tail(s->instruction, MAX_INSTRUCTION);
        print_field(out, "prompt", "%.*s%s", (int)n, s->instruction, cut ? " ..." : "");
    }
    print_field(out, "status", "%s%s%s", name_of(prompt_status_names, PROMPT_STATUSES, p->status),
                p->reason[0] ? ": " : "", p->reason);
    print_field(out, "size", "%lld prompt tokens, n %lld, alpha %g, group %d of run %d",
                (long long)p->prompt_tokens, (long long)p->n, p->alpha, p->group, p->run);
    print_field(out, "work",
                "%lld tokens generated, %lld scored, KV peak %lld tokens, %lld evictions",
                (long long)p->tokens_generated, (long long)p->tokens_scored,
                (long long)p->kv_peak_tokens, (long long)p->evictions);
    print_field(out, "wall time", "%s: prefill %s, generate %s, score %s", clock_text(a, p->wall_s),
                clock_text(b, p->prefill_s), clock_text(c, p->generate_s),
                clock_text(d, p->score_s));
}

static void print_rounds(const struct story *s, FILE *out)
{
    char cut[24];
    if (s->n_rounds == 0) return;
    fprintf(out, "\n  round   step  trigger   ranked ->  kept  complete  cut reward  KV tokens\n");
    for (int64_t i = 0; i < s->n_rounds; i++) {
        const struct round_row *w = &s->rounds[i];
        fprintf(out, "  %5d  %5lld  %-8s  %6lld -> %5lld  %8lld  %10s  %lld of %lld\n", w->round,
                (long long)w->step, name_of(round_trigger_names, ROUND_TRIGGERS, w->trigger),
                (long long)w->ranked, (long long)w->kept, (long long)w->complete,
                number(cut, (double)w->cut_reward), (long long)w->live_tokens,
                (long long)w->budget_tokens);
    }
}

static void print_candidate(const struct story *s, const struct candidate_row *c, FILE *out)
{
    char reward[24], round[16];
    snprintf(round, sizeof round, c->rejected_round < 0 ? "" : "%d", c->rejected_round);
    fprintf(out, "%c %9d  %-9s  %6lld  %10s  %8.2f  %s\n", c == s->best ? '*' : ' ', c->candidate,
            status_of(c), (long long)c->n_tokens, number(reward, (double)c->reward), c->logprob_sum,
            round);
}

/* Who came to its end before who was rejected, who was rejected late before who was early, then by
 * reward; what is no number last. */
static int by_success(const void *a, const void *b)
{
    const struct candidate_row *x = *(const struct candidate_row *const *)a,
                               *y = *(const struct candidate_row *const *)b;
    bool x_lost = x->status == CANDIDATE_REJECTED, y_lost = y->status == CANDIDATE_REJECTED;
    if (x_lost != y_lost) return x_lost - y_lost;
    if (x_lost && x->rejected_round != y->rejected_round)
        return (x->rejected_round < y->rejected_round) - (x->rejected_round > y->rejected_round);
    if (isnan(x->reward) != isnan(y->reward)) return isnan(x->reward) ? 1 : -1;
    if (x->reward != y->reward && !isnan(x->reward)) return x->reward < y->reward ? 1 : -1;
    return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

static void print_candidates(const struct story *s, FILE *out)
{
    if (s->n_candidates == 0) return;
    bool all = s->n_candidates <= MAX_CANDIDATES;
    size_t n = (size_t)s->n_candidates;
    const struct candidate_row **order = mem_calloc(n, sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = &s->candidates[i];
    if (!all) qsort(order, n, sizeof *order, by_success);
    fprintf(out, "\n  candidate  status     tokens      reward   logprob  rejected in round\n");
    for (size_t i = 0; i < n && i < MAX_CANDIDATES; i++) print_candidate(s, order[i], out);
    if (!all)
        fprintf(out, "  the %d of %zu that came furthest; --json has all\n", MAX_CANDIDATES, n);
    free(order);
}

static void print_story(const struct story *s, FILE *out)
{
    char reward[24];
    print_head(s, out);
    print_rounds(s, out);
    print_candidates(s, out);
    if (s->p->best_candidate < 0) return;
    fprintf(out, "\n  best: candidate %lld, reward %s\n", (long long)s->p->best_candidate,
            number(reward, (double)s->p->best_reward));
    if (s->no_response.text[0])
        print_block(out, 4, s->no_response.text, strlen(s->no_response.text));
    else
        print_block(out, 4, s->response.items, s->response.n);
}

/* ---- JSON ---- */

static json_t *rounds_json(const struct story *s)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < s->n_rounds; i++) {
        const struct round_row *w = &s->rounds[i];
        json_array_append_new(
            list,
            json_pack("{s:i, s:I, s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o}", "round",
                      (int)w->round, "step", (json_int_t)w->step, "trigger",
                      name_of(round_trigger_names, ROUND_TRIGGERS, w->trigger), "ranked",
                      (json_int_t)w->ranked, "kept", (json_int_t)w->kept, "complete",
                      (json_int_t)w->complete, "cut_reward", json_finite((double)w->cut_reward),
                      "live_tokens", (json_int_t)w->live_tokens, "budget_tokens",
                      (json_int_t)w->budget_tokens, "start_s", json_finite(w->start_s), "end_s",
                      json_finite(w->end_s)));
    }
    return list;
}

static json_t *candidates_json(const struct story *s)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < s->n_candidates; i++) {
        const struct candidate_row *c = &s->candidates[i];
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:I, s:o, s:o, s:i}", "candidate", (int)c->candidate,
                            "status", status_of(c), "n_tokens", (json_int_t)c->n_tokens, "reward",
                            json_finite((double)c->reward), "logprob_sum",
                            json_finite(c->logprob_sum), "rejected_round", (int)c->rejected_round));
    }
    return list;
}

static json_t *story_json(const struct story *s)
{
    const struct prompt_row *p = s->p;
    json_t *o = json_pack("{s:s, s:I, s:s, s:o, s:I, s:I, s:o, s:i, s:i, s:I, s:o}", "kind",
                          "prompt", "prompt_index", (json_int_t)p->prompt_index, "status",
                          name_of(prompt_status_names, PROMPT_STATUSES, p->status), "reason",
                          json_text(p->reason), "prompt_tokens", (json_int_t)p->prompt_tokens, "n",
                          (json_int_t)p->n, "alpha", json_finite(p->alpha), "run", (int)p->run,
                          "group", (int)p->group, "best_candidate", (json_int_t)p->best_candidate,
                          "best_reward", json_finite((double)p->best_reward));
    ENSURE(o);
    json_object_set_new(o, "tokens_generated", json_integer(p->tokens_generated));
    json_object_set_new(o, "tokens_scored", json_integer(p->tokens_scored));
    json_object_set_new(o, "kv_peak_tokens", json_integer(p->kv_peak_tokens));
    json_object_set_new(o, "evictions", json_integer(p->evictions));
    json_object_set_new(o, "wall_s", json_finite(p->wall_s));
    json_object_set_new(o, "prefill_s", json_finite(p->prefill_s));
    json_object_set_new(o, "generate_s", json_finite(p->generate_s));
    json_object_set_new(o, "score_s", json_finite(p->score_s));
    json_object_set_new(o, "rounds", rounds_json(s));
    json_object_set_new(o, "candidates", candidates_json(s));
    json_object_set_new(o, "prompt", s->instruction ? json_text(s->instruction) : json_null());
    bool known = s->best && !s->no_response.text[0];
    json_object_set_new(o, "response",
                        known ? json_stringn(s->response.items, s->response.n) : json_null());
    return o;
}

int inspect_prompt(const char *path, const struct inspect_options *o, FILE *out, struct err *e)
{
    struct result r;
    struct story s = {0};
    int rc = result_open(&r, path, e);
    if (rc == 0) rc = story_open(&s, &r, o->prompt, e);
    if (rc == 0 && o->json) {
        json_t *j = story_json(&s);
        json_dumpf(j, out, JSON_INDENT(2));
        fputc('\n', out);
        json_decref(j);
    } else if (rc == 0) {
        print_story(&s, out);
    }
    story_close(&s);
    result_close(&r);
    return rc;
}
