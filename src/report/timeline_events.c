#include "report/timeline_events.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "base/span.h"

#include <math.h>
#include <stdlib.h>

int32_t timeline_tensor(const struct run_row *run)
{
    return run->tensor > 0 ? run->tensor : 1;
}

/* What the events of one prompt are made from. */
struct builder {
    struct timeline_prompt *p;
    const struct prompt_row *prompt;
    int64_t start_ns; /* of the run, since the first one */
    int32_t tensor;
    int32_t leader;   /* the rank by whose clock the prompt and its rounds were timed */
    bool is_lockstep; /* rejection: all live candidates have the same number of tokens */
    bool has_steps;   /* a span's step is that of its beginning; else of its end */
    int64_t *decoded; /* owned [n_decoded]: steps of decoding phases on all ranks, ascending */
    int64_t n_decoded;
};

/* More than any run has: what a damaged file says is cut to it, so that sums have room. */
#define MOST_S    1e9
#define MOST_NS   ((int64_t)(MOST_S * 1e9))
#define MOST_RANK (1 << 24)

static int64_t within(int64_t v, int64_t most)
{
    return v < -most ? -most : v > most ? most : v;
}

int64_t timeline_ns(double s)
{
    return isfinite(s) ? (int64_t)llround(fmin(fmax(s, -MOST_S), MOST_S) * 1e9) : 0;
}

static struct timeline_event *push(struct builder *b, enum timeline_kind kind, int32_t rank,
                                   int64_t ts_ns, int64_t dur_ns)
{
    struct timeline_event e = {.kind = kind,
                               .pid = timeline_pid(rank / b->tensor),
                               .tid = timeline_tid(rank),
                               .ts_ns = b->start_ns + ts_ns,
                               .dur_ns = dur_ns > 0 ? dur_ns : 0,
                               .order = (int64_t)b->p->events.n};
    ARRAY_PUSH(b->p->events, e);
    return &b->p->events.items[b->p->events.n - 1];
}

static void push_counter(struct builder *b, int32_t rank, int64_t ts_ns,
                         enum timeline_counter which, double value)
{
    struct timeline_event *e = push(b, TIMELINE_COUNTER, rank, ts_ns, 0);
    e->counter.which = which;
    e->counter.value = value;
}

/* ---- phases ---- */

static int by_rank_and_time(const void *a, const void *b)
{
    const struct trace_row *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->start_ns != y->start_ns) return x->start_ns < y->start_ns ? -1 : 1;
    return (x->end_ns < y->end_ns) - (x->end_ns > y->end_ns);
}

/* Make sorted phases of one rank lie within or after each other: what is not (a damaged file) ends
 * where the phase ends that it began in. */
static void nest(struct trace_row *s, int64_t n)
{
    struct {
        int64_t *items; /* ends of the phases that enclose the next one */
        size_t n, cap;
    } open = {0};
    for (int64_t i = 0; i < n; i++) {
        if (s[i].end_ns < s[i].start_ns) s[i].end_ns = s[i].start_ns;
        while (open.n > 0 && open.items[open.n - 1] <= s[i].start_ns) open.n--;
        if (open.n > 0 && s[i].end_ns > open.items[open.n - 1])
            s[i].end_ns = open.items[open.n - 1];
        ARRAY_PUSH(open, s[i].end_ns);
    }
    free(open.items);
}

/* The prompt's own event around phases [n] of one rank; returns its end. */
static int64_t add_prompt(struct builder *b, int32_t rank, const struct trace_row *s, int64_t n)
{
    int64_t from = INT64_MAX, to = INT64_MIN;
    if (rank == b->leader) {
        from = timeline_ns(b->prompt->start_s);
        to = timeline_ns(b->prompt->start_s + b->prompt->wall_s);
    }
    for (int64_t i = 0; i < n; i++) {
        if (s[i].start_ns < from) from = s[i].start_ns;
        if (s[i].end_ns > to) to = s[i].end_ns;
    }
    push(b, TIMELINE_PROMPT, rank, from, to - from)->prompt = b->prompt;
    return to;
}

/* ---- counters ---- */

/* How many of sorted values are at most `limit`. */
static int64_t count_to(const int64_t *sorted, int64_t n, int64_t limit)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sorted[middle] <= limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Tokens of the live candidates when a decoding phase began. */
static int64_t step_before(const struct builder *b, const struct trace_row *s)
{
    if (b->has_steps) return s->step;
    int64_t earlier = count_to(b->decoded, b->n_decoded, s->step - 1);
    return earlier > 0 ? b->decoded[earlier - 1] : 0;
}

/* KV in use when the step behind `step` has taken its pages: those who got that token hold pages
 * for all before it. */
static int64_t kv_tokens(const struct builder *b, int64_t step)
{
    int64_t live = b->p->n_lengths - count_to(b->p->lengths, b->p->n_lengths, step);
    return (pages_of(b->prompt->prompt_tokens) + live * pages_of(step)) * PAGE_TOKENS;
}

/* The counters of a group, from the phases [n] of its first rank. */
static void add_counters(struct builder *b, const struct trace_row *s, int64_t n, int64_t end_ns)
{
    int32_t rank = s[0].rank;
    double live = 0, rate = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t dur_ns = s[i].end_ns - s[i].start_ns;
        bool decodes = s[i].phase == SPAN_DECODE && dur_ns > 0;
        double new_rate = decodes ? (double)s[i].tokens * 1e9 / (double)dur_ns : 0;
        if (new_rate != rate) push_counter(b, rank, s[i].start_ns, COUNTER_RATE, new_rate);
        rate = new_rate;
        if (!decodes) continue;
        if ((double)s[i].sequences != live)
            push_counter(b, rank, s[i].start_ns, COUNTER_LIVE, (double)s[i].sequences);
        live = (double)s[i].sequences;
        if (rank == b->leader && b->is_lockstep && b->p->lengths)
            push_counter(b, rank, s[i].start_ns, COUNTER_KV,
                         (double)kv_tokens(b, step_before(b, &s[i])));
    }
    if (rate != 0) push_counter(b, rank, end_ns, COUNTER_RATE, 0);
    if (live != 0) push_counter(b, rank, end_ns, COUNTER_LIVE, 0);
}

/* Instants, and what was counted at them. */
static void add_rounds(struct builder *b, int64_t end_ns)
{
    for (int64_t i = 0; i < b->p->n_rounds; i++) {
        const struct round_row *r = &b->p->rounds[i];
        push(b, TIMELINE_ROUND, b->leader, timeline_ns(r->end_s), 0)->round = r;
        if (!b->is_lockstep) continue;
        int64_t from = timeline_ns(r->start_s);
        push_counter(b, b->leader, from, COUNTER_KV, (double)r->live_tokens);
        if (b->p->n_spans == 0)
            push_counter(b, b->leader, from, COUNTER_LIVE, (double)(r->ranked - r->complete));
    }
    if (b->p->n_rounds > 0 && b->is_lockstep) push_counter(b, b->leader, end_ns, COUNTER_KV, 0);
}

/* ---- all ---- */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int by_time(const void *a, const void *b)
{
    const struct timeline_event *x = a, *y = b;
    if (x->ts_ns != y->ts_ns) return x->ts_ns < y->ts_ns ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static void list_decoded(struct builder *b)
{
    b->decoded = mem_calloc((size_t)b->p->n_spans, sizeof *b->decoded);
    for (int64_t i = 0; i < b->p->n_spans; i++)
        if (b->p->spans[i].phase == SPAN_DECODE) b->decoded[b->n_decoded++] = b->p->spans[i].step;
    qsort(b->decoded, (size_t)b->n_decoded, sizeof *b->decoded, by_number);
}

static void limit(struct trace_row *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        s[i].rank = (int32_t)within(s[i].rank, MOST_RANK);
        s[i].step = within(s[i].step, INT32_MAX);
        s[i].start_ns = within(s[i].start_ns, MOST_NS);
        s[i].end_ns = within(s[i].end_ns, MOST_NS);
    }
}

static void build(struct builder *b)
{
    struct timeline_prompt *p = b->p;
    bool leader_seen = false;
    int64_t end_ns = 0;
    limit(p->spans, p->n_spans);
    list_decoded(b);
    qsort(p->spans, (size_t)p->n_spans, sizeof *p->spans, by_rank_and_time);
    for (int64_t i = 0, n; i < p->n_spans; i += n) {
        struct trace_row *s = &p->spans[i];
        for (n = 1; i + n < p->n_spans && s[n].rank == s[0].rank; n++) continue;
        nest(s, n);
        int64_t end = add_prompt(b, s[0].rank, s, n);
        for (int64_t k = 0; k < n; k++)
            push(b, TIMELINE_PHASE, s[k].rank, s[k].start_ns, s[k].end_ns - s[k].start_ns)->phase =
                &s[k];
        if (s[0].rank % b->tensor == 0) add_counters(b, s, n, end);
        if (s[0].rank == b->leader) leader_seen = true, end_ns = end;
    }
    if (!leader_seen) end_ns = add_prompt(b, b->leader, NULL, 0);
    add_rounds(b, end_ns);
    qsort(p->events.items, p->events.n, sizeof *p->events.items, by_time);
    free(b->decoded);
}

static int read_lengths(struct timeline_prompt *p, struct result *r, int64_t row, struct err *e)
{
    struct candidate_row *c = NULL;
    if (r->job.record.candidates != RECORD_CANDIDATES_ALL) return 0;
    TRY(trace_read_candidates(r->file, row, &c, &p->n_lengths, e));
    p->lengths = mem_calloc((size_t)p->n_lengths, sizeof *p->lengths);
    for (int64_t i = 0; i < p->n_lengths; i++) p->lengths[i] = c[i].n_tokens;
    qsort(p->lengths, (size_t)p->n_lengths, sizeof *p->lengths, by_number);
    free(c);
    return 0;
}

int timeline_prompt_load(struct timeline_prompt *p, struct result *r, int64_t row,
                         int64_t run_start_ns, struct err *e)
{
    const struct prompt_row *prompt = &trace_prompts(r->file)[row];
    struct builder b = {.p = p,
                        .prompt = prompt,
                        .start_ns = run_start_ns,
                        .tensor = timeline_tensor(&trace_runs(r->file)[prompt->run]),
                        .is_lockstep = prompt->alpha > 0,
                        .has_steps = r->job.record.trace == RECORD_TRACE_STEPS};
    b.leader = prompt->group * b.tensor;
    *p = (struct timeline_prompt){0};
    TRY(trace_read_spans(r->file, row, &p->spans, &p->n_spans, e));
    TRY(trace_read_rounds(r->file, row, &p->rounds, &p->n_rounds, e));
    if (b.is_lockstep && p->n_rounds > 0) TRY(read_lengths(p, r, row, e));
    build(&b);
    return 0;
}

void timeline_prompt_free(struct timeline_prompt *p)
{
    free(p->spans);
    free(p->rounds);
    free(p->lengths);
    free(p->events.items);
    *p = (struct timeline_prompt){0};
}
