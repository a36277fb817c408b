#include "report/costs.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAME  (1 << 24) /* tokens: beyond every context */
#define EQUAL      1e-9      /* relative: sums of whole numbers in doubles */
#define USUAL_PASS 512       /* rows of a pass, where the file does not say */

static bool is_equal(double a, double b)
{
    return fabs(a - b) <= EQUAL * fabs(b);
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
        const struct prompt_row *p = own_row(o, i);
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
            o->work[i] = work_of(&o->replays[i], own_row(o, i)->prompt_tokens, c->max_rows,
                                 c->cache, frame_of(c, i));
}

static double flops_of(const struct costs *c, const struct work *w)
{
    double reward = c->reward_is_self ? 0 : model_stats_cost(&c->reward, &w->reward, 0, 0).flops;
    return model_stats_cost(&c->generator, &w->generator, 0, 0).flops + reward;
}

static double bytes_of(const struct costs *c, const struct work *w)
{
    return w->generator.forwards * c->generator_weights + w->reward.forwards * c->reward_weights +
           w->generator.attended_keys * c->generator_token +
           w->reward.attended_keys * c->reward_token;
}

static bool flops_are_right(const struct costs *c, const struct own *o)
{
    bool any = false;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!own_is_plain(o, i)) continue;
        any = true;
        const struct prompt_row *p = own_row(o, i);
        if (!is_equal(flops_of(c, &o->work[i]), p->generator_flops + p->reward_flops)) return false;
    }
    return any;
}

static bool bytes_are_right(const struct costs *c, const struct own *o)
{
    bool any = false;
    for (int64_t i = 0; i < o->recording->n_prompts; i++) {
        if (!own_is_plain(o, i)) continue;
        any = true;
        if (!is_equal(bytes_of(c, &o->work[i]), own_row(o, i)->bytes)) return false;
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
    double rows = number_of(r, "pass_rows");
    c->max_rows = rows >= 1 && rows <= INT32_MAX ? (int64_t)rows : 0;
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
    if (j->overlap > 1) {
        say(c, "prompts were in flight together (overlap), so bytes and times are shared");
        return;
    }
    c->has_bytes = c->has_flops && has_passes && bytes_are_right(c, o);
    if (!c->has_bytes)
        say(c, has_passes ? "the bytes of its own prompts do not come out as recorded"
                          : "it was made before files held their models' bytes");
}

/* ---- time ---- */

static struct reader reader_of(const struct costs *c)
{
    return (struct reader){c->reward_is_self, c->cache, c->max_rows, c->frames};
}

static int learn_times(struct costs *c, const struct own *o, struct err *e)
{
    struct reader r = reader_of(c);
    if (o->recording->result.job.overlap > 1) return 0; /* a step is of several prompts */
    TRY(times_learn(&c->times, &r, o, e));
    if (!c->times.is_known)
        say(c, "none of its prompts ran with all candidates in memory, so steps have no price");
    return 0;
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
    int rc = own_make(&o, r, e);
    if (rc == 0) learn_counts(c, &o);
    if (rc == 0 && r->n_groups == 1) rc = learn_times(c, &o, e);
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
    const struct reward_frame *f = frame_of(c, i);
    struct reader reader = reader_of(c);
    if (x->is_skipped) return cost;
    if (x->is_at_once && c->times.is_known) cost.wall_s = times_of(&c->times, &reader, r, i, x);
    if (f && !f->is_known) return cost;
    struct work w = work_of(x, r->prompts[i].row->prompt_tokens, c->max_rows, c->cache, f);
    cost.tokens_scored = (double)w.tokens_scored;
    if (!x->is_at_once) return cost;
    if (c->has_flops) cost.flops = flops_of(c, &w);
    if (c->has_bytes) cost.bytes = bytes_of(c, &w);
    return cost;
}
