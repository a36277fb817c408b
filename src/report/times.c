#include "report/times.h"

#include "base/mem.h"
#include "base/span.h"

#include <math.h>
#include <stdlib.h>

struct list {
    struct timed *items;
    size_t n, cap;
};

/* ---- the work of a call and of a step ---- */

/* A call of the scorer. */
struct call {
    struct amount_of_work work;
    double tokens; /* of the generator; = work.rows where the frame is known */
};

/* The call whose texts begin at *at, which moves on.  rows: what the run counted, 0: not known. */
static struct call next_call(const struct times *t, const struct reader *r,
                             const struct recording *recording, int64_t i, const struct replay *x,
                             int64_t *kept, int64_t *at, double rows)
{
    const struct reward_frame *known = &r->frames[i];
    struct reward_frame guess = {true, recording->prompts[i].row->prompt_tokens, 0};
    const struct replay_scoring *items = &x->scorings.items[*at];
    int64_t n = 0;
    while (*at + n < (int64_t)x->scorings.n && items[n].call == items[0].call) n++;
    *at += n;
    struct model_stats m =
        work_of_call(items, n, kept, r->max_rows, r->cache, known->is_known ? known : &guess);
    struct call c = {.tokens = (double)m.rows};
    if (known->is_known)
        rows = (double)m.rows;
    else if (rows <= 0)
        rows = t->per_token * c.tokens + t->per_text * (double)n;
    c.work =
        (struct amount_of_work){ceil(rows / (double)r->max_rows), rows, (double)n, m.attended_keys};
    return c;
}

/* One row for each live candidate, which attends to the prompt and all its own. */
static struct amount_of_work step_of(const struct reader *r, double live, int64_t prompt_tokens,
                                     int64_t step)
{
    return (struct amount_of_work){ceil(live / (double)r->max_rows), live, 0,
                                   live * (double)(prompt_tokens + step)};
}

/* The prompt, in both models. */
static struct amount_of_work prefill_of(const struct reader *r, int64_t prompt_tokens)
{
    double P = (double)prompt_tokens;
    return (struct amount_of_work){ceil(P / (double)r->max_rows), P, 0, P * (P + 1) / 2};
}

/* ---- what the run took ---- */

/* Tokens that its calls read, by tokens of the generator and texts: least squares. */
struct reading {
    double tt, tn, nn, tr, nr;
};

static void note_reading(struct reading *s, double tokens, double texts, double rows)
{
    s->tt += tokens * tokens;
    s->tn += tokens * texts;
    s->nn += texts * texts;
    s->tr += tokens * rows;
    s->nr += texts * rows;
}

static void fit_reading(struct times *t, const struct reading *s)
{
    double d = s->tt * s->nn - s->tn * s->tn;
    bool both = d > 1e-9 * s->tt * s->nn;
    t->per_token = both ? (s->tr * s->nn - s->nr * s->tn) / d : s->tt > 0 ? s->tr / s->tt : 0;
    t->per_text = both ? (s->nr * s->tt - s->tr * s->tn) / d : 0;
}

/* Decoding steps and scorings of a prompt as its first rank saw them. */
static int read_spans(const struct times *t, const struct reader *r, const struct own *o, int64_t i,
                      struct list *decode, struct list *score, struct reading *reading,
                      struct err *e)
{
    const struct recording *recording = o->recording;
    bool steps = recording->result.job.record.trace == RECORD_TRACE_STEPS;
    struct trace_row *rows;
    int64_t n;
    const struct replay *x = &o->replays[i];
    TRY(trace_read_spans(recording->result.file, recording->result.order[i], &rows, &n, e));
    int64_t *kept = mem_calloc((size_t)x->n, sizeof *kept);
    for (int64_t k = 0, at = 0; k < n; k++) {
        const struct trace_row *s = &rows[k];
        double seconds = (double)(s->end_ns - s->start_ns) * 1e-9;
        int64_t step = steps ? s->step : s->step - 1;
        if (s->rank != rows[0].rank) continue;
        if (s->phase == SPAN_DECODE && step > 0) {
            struct timed one = {
                step_of(r, (double)s->sequences, own_row(o, i)->prompt_tokens, step), seconds};
            ARRAY_PUSH(*decode, one);
        }
        if (s->phase != SPAN_SCORE || at >= (int64_t)x->scorings.n) continue;
        struct call c = next_call(t, r, recording, i, x, kept, &at, (double)s->tokens);
        struct timed one = {c.work, seconds};
        if (c.work.rows != (double)s->tokens) continue;
        ARRAY_PUSH(*score, one);
        note_reading(reading, c.tokens, c.work.texts, c.work.rows);
    }
    free(kept);
    free(rows);
    return 0;
}

/* One prompt as a whole, where steps were not recorded. */
static void read_prompt(const struct own *o, int64_t i, struct list *decode, struct list *score)
{
    const struct work *w = &o->work[i];
    const struct prompt_row *p = own_row(o, i);
    struct model_stats s = w->generator;
    double P = (double)p->prompt_tokens;
    struct timed d = {
        {(double)(w->steps - 1), (double)s.rows - P, 0, s.attended_keys - P * (P + 1) / 2},
        p->generate_s};
    struct timed r = {{w->reward.forwards, (double)w->tokens_scored,
                       (double)o->replays[i].scorings.n, w->reward.attended_keys},
                      p->score_s};
    ARRAY_PUSH(*decode, d);
    ARRAY_PUSH(*score, r);
}

/* ---- what a replay takes ---- */

static double decoding_s(const struct times *t, const struct reader *r, int64_t prompt_tokens,
                         const struct replay *x)
{
    int64_t steps, *live = work_live(x, &steps);
    double sum = 0;
    for (int64_t s = 1; s < steps; s++) {
        struct amount_of_work w = step_of(r, (double)live[s], prompt_tokens, s);
        sum += prices_of(&t->decode, &w);
    }
    free(live);
    return sum;
}

static double scoring_s(const struct times *t, const struct reader *r,
                        const struct recording *recording, int64_t i, const struct replay *x)
{
    if (r->is_self) return 0;
    int64_t *kept = mem_calloc((size_t)x->n, sizeof *kept);
    double sum = 0;
    for (int64_t at = 0; at < (int64_t)x->scorings.n;) {
        struct call c = next_call(t, r, recording, i, x, kept, &at, 0);
        sum += prices_of(&t->score, &c.work);
    }
    free(kept);
    return sum;
}

static double wall_s(const struct times *t, const struct reader *r,
                     const struct recording *recording, int64_t i, const struct replay *x,
                     double points)
{
    const struct prompt_row *p = recording->prompts[i].row;
    struct amount_of_work prefill = prefill_of(r, p->prompt_tokens);
    return prices_of(&t->prefill, &prefill) + decoding_s(t, r, p->prompt_tokens, x) +
           scoring_s(t, r, recording, i, x) + points * t->point_s +
           (double)x->tokens_generated * t->token_s;
}

double times_of(const struct times *t, const struct reader *r, const struct recording *recording,
                int64_t i, const struct replay *x)
{
    return wall_s(t, r, recording, i, x, (double)x->n_points);
}

/* ---- the rest, and the errors ---- */

/* Best-of-N with score_at decides at every step. */
static double own_points(const struct own *o, int64_t i)
{
    return (double)(o->recording->n_lengths > 0 ? o->work[i].steps + 1 : 1);
}

static void learn_rest(struct times *t, const struct reader *r, const struct own *o)
{
    int64_t n = 0;
    double left_out;
    struct timed *prefill = mem_calloc((size_t)o->recording->n_prompts, sizeof *prefill);
    double *points = mem_calloc((size_t)o->recording->n_prompts, sizeof *points),
           *rest = mem_calloc((size_t)o->recording->n_prompts, sizeof *rest);
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!own_is_plain(o, i)) continue;
        const struct prompt_row *p = own_row(o, i);
        prefill[n] = (struct timed){prefill_of(r, p->prompt_tokens), p->prefill_s};
        points[n] = p->comm_s / own_points(o, i);
        rest[n++] = p->wait_s / (double)p->tokens_generated;
    }
    t->n_timed = n;
    t->point_s = prices_median(points, (size_t)n);
    t->token_s = prices_median(rest, (size_t)n);
    t->prefill = prices_fit(prefill, (size_t)n, false, &left_out);
    free(prefill);
    free(rest);
    free(points);
}

static void learn_errors(struct times *t, const struct reader *r, const struct own *o)
{
    double sum = 0, real = 0, off = 0;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!own_is_plain(o, i)) continue;
        double took = own_row(o, i)->wall_s,
               s = wall_s(t, r, o->recording, i, &o->replays[i], own_points(o, i));
        sum += s;
        real += took;
        off += fabs(s / took - 1);
    }
    t->error_sum = sum / real - 1;
    t->error_one = off / (double)t->n_timed;
}

static bool frames_are_known(const struct reader *r, const struct own *o)
{
    for (int64_t i = 0; i < o->recording->n_prompts; i++)
        if (o->replays[i].n > 0 && !r->frames[i].is_known) return false;
    return true;
}

static void learn(struct times *t, const struct reader *r, const struct own *o,
                  const struct list *decode, const struct list *score)
{
    double out_d = 0, out_s = 0, took_d = 0, took_s = 0;
    if (decode->n == 0 || (!r->is_self && score->n == 0)) return;
    for (size_t k = 0; k < decode->n; k++) took_d += decode->items[k].seconds;
    for (size_t k = 0; k < score->n; k++) took_s += score->items[k].seconds;
    t->decode = prices_fit(decode->items, decode->n, t->from_trace, &out_d);
    if (!r->is_self) t->score = prices_fit(score->items, score->n, false, &out_s);
    for (size_t k = 0; k < decode->n && t->from_trace; k++) {
        int64_t live = (int64_t)decode->items[k].work.rows;
        if (k == 0 || live < t->fewest) t->fewest = live;
        if (live > t->most) t->most = live;
    }
    t->left_out = (out_d * took_d + out_s * took_s) / (took_d + took_s);
    learn_rest(t, r, o);
    t->is_known = t->n_timed > 0;
    if (t->is_known) learn_errors(t, r, o);
}

int times_learn(struct times *t, const struct reader *r, const struct own *o, struct err *e)
{
    const struct recording *recording = o->recording;
    struct list decode = {0}, score = {0};
    struct reading reading = {0};
    int rc = 0;
    *t = (struct times){.from_trace = recording->result.job.record.trace != RECORD_TRACE_OFF &&
                                      recording->n_lengths > 0};
    bool can = t->from_trace || r->is_self || frames_are_known(r, o);
    for (int64_t i = 0; i < recording->n_prompts && rc == 0 && can; i++) {
        if (!own_is_plain(o, i)) continue;
        if (t->from_trace)
            rc = read_spans(t, r, o, i, &decode, &score, &reading, e);
        else
            read_prompt(o, i, &decode, &score);
    }
    fit_reading(t, &reading);
    if (rc == 0) learn(t, r, o, &decode, &score);
    free(decode.items);
    free(score.items);
    return rc;
}
