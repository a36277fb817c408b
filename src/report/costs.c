#include "report/costs.h"

#include "base/mem.h"
#include "base/span.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAME  (1 << 24) /* tokens: beyond every context */
#define EQUAL      1e-9      /* relative: sums of whole numbers in doubles */
#define USUAL_PASS 512       /* rows of a pass, where the file does not say */

/* The file's own prompts, replayed under its own job: what is to come out as recorded. */
struct own {
    const struct recording *recording;
    struct replay *replays; /* [n] */
    struct work *work;      /* [n] */
};

static bool is_equal(double a, double b)
{
    return fabs(a - b) <= EQUAL * fabs(b);
}

static void own_make(struct own *o, const struct recording *r)
{
    struct replay_point point = replay_point_of(r, &r->result.job);
    size_t n = (size_t)r->n_prompts;
    *o = (struct own){r, mem_calloc(n, sizeof *o->replays), mem_calloc(n, sizeof *o->work)};
    for (size_t i = 0; i < n; i++) {
        struct err e;
        if (!r->prompts[i].candidates) continue;
        ENSURE(replay_prompt(&o->replays[i], r, &r->prompts[i], &point, NULL, &e) == 0);
    }
}

static void own_free(struct own *o)
{
    for (int64_t i = 0; i < o->recording->n_prompts; i++) replay_free(&o->replays[i]);
    free(o->replays);
    free(o->work);
}

static const struct prompt_row *row_of(const struct own *o, int64_t i)
{
    return o->recording->prompts[i].row;
}

/* Counts can be held against the record: ok, and every candidate in memory all the time. */
static bool is_plain(const struct own *o, int64_t i)
{
    return o->replays[i].n > 0 && o->replays[i].is_at_once && row_of(o, i)->evictions == 0;
}

static void say(struct costs *c, const char *why)
{
    if (!c->why_not) c->why_not = mem_strdup(why);
}

/* ---- what the reward model reads around a response ---- */

typedef double (*count_fn)(const struct costs *c, const struct own *o, int64_t i,
                           const struct reward_frame *f);

static double scored_tokens(const struct costs *c, const struct own *o, int64_t i,
                            const struct reward_frame *f)
{
    return (double)work_of(&o->replays[i], 0, c->max_rows, c->cache, f).tokens_scored;
}

static double reward_flops(const struct costs *c, const struct own *o, int64_t i,
                           const struct reward_frame *f)
{
    struct work w = work_of(&o->replays[i], 0, c->max_rows, c->cache, f);
    return model_stats_cost(&c->reward, &w.reward, 0, 0).flops;
}

/* The whole number at *at, a field of *f, for which a growing count is as recorded; false: none. */
static bool find_tokens(const struct costs *c, const struct own *o, int64_t i, count_fn count,
                        double recorded, struct reward_frame *f, int64_t *at)
{
    int64_t low = 0, high = MAX_FRAME;
    while (low < high) {
        *at = low + (high - low) / 2;
        if (count(c, o, i, f) < recorded * (1 - EQUAL))
            low = *at + 1;
        else
            high = *at;
    }
    *at = low;
    return is_equal(count(c, o, i, f), recorded);
}

/* cache none reads the prompt again in each call: two unknown numbers in the one count. */
static void find_frames(struct costs *c, const struct own *o, bool has_arch)
{
    bool all = c->cache != CACHE_NONE;
    for (int64_t i = 0; i < o->recording->n_prompts && all; i++) {
        struct reward_frame *f = &c->frames[i];
        const struct prompt_row *p = row_of(o, i);
        if (o->replays[i].n == 0) continue;
        all = find_tokens(c, o, i, scored_tokens, (double)p->tokens_scored, f, &f->closing);
        if (all && has_arch)
            all = find_tokens(c, o, i, reward_flops, p->reward_flops, f, &f->prefix);
        f->is_known = all;
    }
    for (int64_t i = 0; i < o->recording->n_prompts && !all; i++) c->frames[i].is_known = false;
    if (!all)
        say(c,
            "what the reward model read cannot be told from the file's counts (another tokenizer, "
            "reward.cache: none, or a pool too small to keep all KV)");
}

/* ---- FLOPs and bytes ---- */

static const struct reward_frame *frame_of(const struct costs *c, int64_t i)
{
    return c->reward_is_self ? NULL : &c->frames[i];
}

static void count_work(const struct costs *c, struct own *o)
{
    for (int64_t i = 0; i < o->recording->n_prompts; i++)
        if (o->replays[i].n > 0)
            o->work[i] = work_of(&o->replays[i], row_of(o, i)->prompt_tokens, c->max_rows, c->cache,
                                 frame_of(c, i));
}

static double flops_of(const struct costs *c, const struct work *w)
{
    double reward = c->reward_is_self ? 0 : model_stats_cost(&c->reward, &w->reward, 0, 0).flops;
    return model_stats_cost(&c->generator, &w->generator, 0, 0).flops + reward;
}

static double bytes_of(const struct costs *c, const struct work *w)
{
    return (double)w->generator.forwards * c->generator_weights +
           (double)w->reward.forwards * c->reward_weights +
           w->generator.attended_keys * c->generator_token +
           w->reward.attended_keys * c->reward_token;
}

static bool flops_are_right(const struct costs *c, const struct own *o)
{
    bool any = false;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!is_plain(o, i)) continue;
        any = true;
        const struct prompt_row *p = row_of(o, i);
        if (!is_equal(flops_of(c, &o->work[i]), p->generator_flops + p->reward_flops)) return false;
    }
    return any;
}

static bool bytes_are_right(const struct costs *c, const struct own *o)
{
    bool any = false;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!is_plain(o, i)) continue;
        any = true;
        if (!is_equal(bytes_of(c, &o->work[i]), row_of(o, i)->bytes)) return false;
    }
    return any;
}

static double number_of(const struct recording *r, const char *attribute)
{
    const char *text = trace_reader_attr(r->result.file, attribute);
    return text ? strtod(text, NULL) : 0;
}

/* false: a file of before these were written down. */
static bool read_passes(struct costs *c, const struct recording *r)
{
    c->max_rows = (int64_t)number_of(r, "pass_rows");
    c->generator_weights = number_of(r, "generator_weight_bytes");
    c->reward_weights = number_of(r, "reward_weight_bytes");
    c->generator_token = number_of(r, "generator_kv_bytes");
    c->reward_token = number_of(r, "reward_kv_bytes");
    if (c->max_rows > 0) return true;
    c->max_rows = USUAL_PASS;
    return false;
}

static bool knows_frames(const struct costs *c, const struct own *o)
{
    bool knows = c->reward_is_self;
    for (int64_t i = 0; i < o->recording->n_prompts && !knows; i++) knows = c->frames[i].is_known;
    return knows;
}

static void learn_counts(struct costs *c, struct own *o)
{
    const struct job *j = &o->recording->result.job;
    struct err e = {0};
    bool has_passes = read_passes(c, o->recording);
    bool has_arch = arch_open(&c->generator, j->generator.path, &e) == 0 &&
                    (c->reward_is_self || arch_open(&c->reward, j->reward.path, &e) == 0);
    if (o->recording->n_groups > 1) {
        say(c,
            "groups shared its prompts (split: candidates), so the work depends on who held what");
        count_work(c, o);
        return;
    }
    if (!has_arch) say(c, e.text);
    if (!c->reward_is_self) find_frames(c, o, has_arch);
    count_work(c, o);
    if (!has_arch || !knows_frames(c, o)) return;
    c->has_flops = flops_are_right(c, o);
    if (!c->has_flops) say(c, "the FLOPs of its own prompts do not come out as recorded");
    c->has_bytes = c->has_flops && has_passes && bytes_are_right(c, o);
    if (!c->has_bytes)
        say(c, has_passes ? "the bytes of its own prompts do not come out as recorded"
                          : "it was made before files held their models' bytes");
}

/* ---- time ---- */

struct times {
    struct timed *items;
    size_t n, cap;
};

/* Decoding steps and scorings of a prompt as its first rank saw them. */
static int read_spans(const struct costs *c, const struct own *o, int64_t i, struct times *decode,
                      struct times *score, struct err *e)
{
    const struct recording *r = o->recording;
    bool steps = r->result.job.record.trace == RECORD_TRACE_STEPS;
    struct trace_row *rows;
    int64_t n;
    const struct replay *x = &o->replays[i];
    TRY(trace_read_spans(r->result.file, r->result.order[i], &rows, &n, e));
    int64_t *kept = mem_calloc((size_t)x->n, sizeof *kept);
    for (int64_t k = 0, at = 0; k < n; k++) {
        const struct trace_row *s = &rows[k];
        double seconds = (double)(s->end_ns - s->start_ns) * 1e-9;
        int64_t step = steps ? s->step : s->step - 1;
        if (s->rank != rows[0].rank) continue;
        if (s->phase == SPAN_DECODE && step > 0) {
            double B = (double)s->sequences;
            double keys = is_plain(o, i) ? B * (double)(row_of(o, i)->prompt_tokens + step) : NAN;
            struct timed t = {1, B, keys, seconds};
            ARRAY_PUSH(*decode, t);
        }
        if (s->phase != SPAN_SCORE || at >= (int64_t)x->scorings.n || !c->frames[i].is_known)
            continue;
        int64_t end = at;
        while (end < (int64_t)x->scorings.n &&
               x->scorings.items[end].call == x->scorings.items[at].call)
            end++;
        struct model_stats m = work_of_call(&x->scorings.items[at], end - at, kept, c->max_rows,
                                            c->cache, &c->frames[i]);
        struct timed t = {(double)m.forwards, (double)m.rows, m.attended_keys, seconds};
        if (m.rows == s->tokens) ARRAY_PUSH(*score, t);
        at = end;
    }
    free(kept);
    free(rows);
    return 0;
}

/* One prompt as a whole, where steps were not recorded. */
static void read_prompt_times(const struct own *o, int64_t i, struct times *decode,
                              struct times *score)
{
    const struct work *w = &o->work[i];
    const struct prompt_row *p = row_of(o, i);
    struct model_stats s = w->generator;
    double P = (double)p->prompt_tokens;
    struct timed d = {(double)(w->steps - 1), (double)s.rows - P, s.attended_keys - P * (P + 1) / 2,
                      p->generate_s};
    struct timed r = {(double)w->reward.forwards, (double)w->tokens_scored, w->reward.attended_keys,
                      p->score_s};
    ARRAY_PUSH(*decode, d);
    ARRAY_PUSH(*score, r);
}

/* Seconds of a prompt's decoding and scoring by the prices. */
static double priced(const struct costs *c, const struct work *w, int64_t prompt_tokens,
                     const struct reward_frame *f, double *score_s)
{
    double P = (double)prompt_tokens, F = f ? (double)f->prefix : 0;
    double passes =
        (double)(w->generator.forwards - (prompt_tokens + c->max_rows - 1) / c->max_rows);
    *score_s = f ? prices_of(&c->score, (double)w->reward.forwards - (F > 0),
                             (double)w->tokens_scored, w->reward.attended_keys - F * (F + 1) / 2)
                 : 0;
    return prices_of(&c->decode, passes, (double)w->generator.rows - P,
                     w->generator.attended_keys - P * (P + 1) / 2);
}

/* Steps do not hold all of a phase: the prices are scaled to the phases' sums. */
static void scale(struct prices *p, double recorded, double priced_s)
{
    double by = priced_s > 0 ? recorded / priced_s : 1;
    *p = (struct prices){p->pass * by, p->row * by, p->key * by};
}

static void scale_to_phases(struct costs *c, const struct own *o)
{
    double generate = 0, score = 0, priced_g = 0, priced_s = 0;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!is_plain(o, i)) continue;
        double s;
        const struct prompt_row *p = row_of(o, i);
        priced_g += priced(c, &o->work[i], p->prompt_tokens, frame_of(c, i), &s);
        priced_s += s;
        generate += p->generate_s;
        score += p->score_s;
    }
    scale(&c->decode, generate, priced_g);
    scale(&c->score, score, priced_s);
}

static double wall_of(const struct costs *c, const struct prompt_row *p, const struct work *w,
                      const struct reward_frame *f, double points)
{
    double score, generate = priced(c, w, p->prompt_tokens, f, &score);
    return p->prefill_s + generate + score + points * c->round_s + c->prompt_s;
}

/* Best-of-N with score_at decides at every step. */
static double own_points(const struct own *o, int64_t i)
{
    return (double)(o->recording->n_lengths > 0 ? o->work[i].steps + 1 : 1);
}

static void learn_rest(struct costs *c, const struct own *o)
{
    double comm = 0, points = 0, rest = 0, sum = 0, off = 0, real = 0;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!is_plain(o, i)) continue;
        comm += row_of(o, i)->comm_s;
        points += own_points(o, i);
        rest += row_of(o, i)->wait_s;
        c->n_timed++;
    }
    if (c->n_timed == 0) return;
    c->round_s = comm / points;
    c->prompt_s = rest / (double)c->n_timed;
    c->has_time = true;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!is_plain(o, i)) continue;
        const struct prompt_row *p = row_of(o, i);
        double s = wall_of(c, p, &o->work[i], frame_of(c, i), own_points(o, i));
        sum += s;
        real += p->wall_s;
        off += fabs(s / p->wall_s - 1);
    }
    c->error_sum = sum / real - 1;
    c->error_one = off / (double)c->n_timed;
}

static int learn_times(struct costs *c, const struct own *o, struct err *e)
{
    struct times decode = {0}, score = {0};
    const struct recording *r = o->recording;
    int rc = 0;
    c->from_trace = r->result.job.record.trace != RECORD_TRACE_OFF && r->n_lengths > 0;
    for (int64_t i = 0; i < r->n_prompts && rc == 0; i++) {
        if (o->replays[i].n == 0) continue;
        if (c->from_trace)
            rc = read_spans(c, o, i, &decode, &score, e);
        else if (is_plain(o, i))
            read_prompt_times(o, i, &decode, &score);
    }
    if (rc == 0 && knows_frames(c, o) && decode.n > 0) {
        c->decode = prices_fit(decode.items, decode.n);
        if (!c->reward_is_self) c->score = prices_fit(score.items, score.n);
        scale_to_phases(c, o);
        learn_rest(c, o);
    }
    if (!c->has_time)
        say(c, "none of its prompts ran with all candidates in memory, so steps have no price");
    free(decode.items);
    free(score.items);
    return rc;
}

/* ---- ---- */

static int ranks_of_a_prompt(const struct recording *r)
{
    if (trace_n_runs(r->result.file) == 0) return 1;
    const struct run_row *run = &trace_runs(r->result.file)[0];
    return r->n_groups > 1 ? run->ranks : run->tensor;
}

int costs_learn(struct costs *c, const struct recording *r, struct err *e)
{
    const struct job *j = &r->result.job;
    struct own o;
    *c = (struct costs){.reward_is_self = strcmp(j->reward.path, "self") == 0,
                        .cache = j->reward.cache,
                        .ranks = ranks_of_a_prompt(r)};
    c->frames = mem_calloc((size_t)r->n_prompts + 1, sizeof *c->frames);
    own_make(&o, r);
    learn_counts(c, &o);
    int rc = r->n_groups > 1 ? 0 : learn_times(c, &o, e);
    own_free(&o);
    return rc;
}

void costs_free(struct costs *c)
{
    free(c->frames);
    free(c->why_not);
    *c = (struct costs){0};
}

struct cost_of_prompt costs_of(const struct costs *c, const struct recording *r, int64_t i,
                               const struct replay *x)
{
    struct cost_of_prompt cost = {NAN, NAN, NAN, NAN};
    const struct prompt_row *p = r->prompts[i].row;
    const struct reward_frame *f = frame_of(c, i);
    if (x->is_skipped || (f && !f->is_known)) return cost;
    struct work w = work_of(x, p->prompt_tokens, c->max_rows, c->cache, f);
    cost.tokens_scored = (double)w.tokens_scored;
    if (!x->is_at_once) return cost;
    if (c->has_flops) cost.flops = flops_of(c, &w);
    if (c->has_bytes) cost.bytes = bytes_of(c, &w);
    if (c->has_time) cost.wall_s = wall_of(c, p, &w, f, (double)x->n_points);
    return cost;
}
