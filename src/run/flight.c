/* A group's prompts take turns here.  Each is a struct prompt_state that others advance: it waits
 * for room, is begun, decides at its decision points, lives through steps, and is recorded.  One
 * turn of the loop:
 *
 *   decide    every prompt that is at a decision point; who is done is recorded, handed in, and
 *             replaced by the next, which is then the youngest
 *   arrange   by age: who holds KV, whose candidates run (flight_memory.c)
 *   step      one batch of all running candidates of all prompts; as many steps as none of them
 *             has a decision before
 *
 * Why results are those of one prompt at a time, bit for bit: a row's arithmetic depends on no
 * other row; a draw depends on seed, prompt, candidate and position; each prompt counts its own
 * pages against its own budget and, in lockstep, decides only when it holds what it would hold
 * alone; KV that is dropped is computed again to the same bits.  What may differ is work
 * (evictions, rows computed) and time.
 *
 * On all ranks of a tensor group the same happens in the same order: it follows from the prompts,
 * their decisions and the pool, whose size is the same on all of them; never from a clock. */
#include "run/flight_state.h"

#include "base/mem.h"

#include <stdlib.h>

static void add(struct flight *f, const struct prompt_input *in)
{
    if (in) f->prompts[f->n++] = prompt_open(f->w, in, f->policy);
}

static void fill_fresh_places(struct flight *f)
{
    struct trace_record none = {0};
    for (; f->n_fresh > 0; f->n_fresh--)
        add(f, f->source->next(f->source->arg, NULL, PROMPT_DONE, &none));
}

/* The prompt at place i is over. */
static void finish(struct flight *f, int64_t i)
{
    struct prompt_state *st = f->prompts[i];
    const struct prompt_input *was = st->in;
    struct trace_record r = {0};
    prompt_leave(st);
    enum prompt_outcome outcome = st->abandoned ? PROMPT_ABANDONED : PROMPT_DONE;
    if (st->begun) meter_one(f, st);
    meter_end(f);
    if (outcome == PROMPT_DONE) prompt_record(st, f->mark_ns, &r);
    prompt_close(st);
    for (f->n--; i < f->n; i++) f->prompts[i] = f->prompts[i + 1];
    add(f, f->source->next(f->source->arg, was, outcome, &r));
    prompt_record_free(&r);
    meter_skip(f);
}

/* The worker was told to stop: nobody goes on to a decision of its own, nor is KV computed for it.
 */
static void abandon_all(struct flight *f)
{
    for (int64_t i = 0; i < f->n; i++) f->prompts[i]->abandoned = true;
    while (f->n > 0 && f->prompts[0]->abandoned) finish(f, 0);
}

static void decide(struct flight *f)
{
    for (int64_t i = 0; i < f->n;) {
        struct prompt_state *st = f->prompts[i];
        if (!st->skipped && prompt_is_due(st)) {
            stretch_close(f);
            prompt_decide(st);
            meter_one(f, st);
        }
        if (st->abandoned) {
            abandon_all(f);
            return;
        }
        if (st->skipped || st->done)
            finish(f, i);
        else
            i++;
    }
}

/* The parts of the running prompts; returns how many. */
static int64_t collect_parts(struct flight *f, int64_t *steps)
{
    int64_t n = 0;
    f->w->live_now = 0;
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        st->step_rows = 0;
        if (!st->runs) continue;
        if (st->n_live == 0) {
            prompt_pass_time(st);
            continue;
        }
        int64_t most = prompt_steps(st);
        if (n == 0 || most < *steps) *steps = most;
        st->step_rows = st->n_live;
        st->step_tokens = -st->engine.tokens_sampled;
        f->w->live_now += st->n_live;
        f->parts[n] = (struct decoding){.prompt = &st->engine, .live = st->live, .n = st->n_live};
        n++;
    }
    return n;
}

static void step(struct flight *f)
{
    int64_t steps = 0, n = collect_parts(f, &steps);
    if (n == 0) return;
    stretch_open(f); /* a prefill closed it after older prompts were arranged */
    engine_step(f->w->engine, f->parts, n, steps);
    const struct decoding *part = f->parts;
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        if (st->step_rows == 0) continue;
        st->step_tokens += st->engine.tokens_sampled;
        st->step_rows *= steps;
        bool stops = f->w->job->on_numerics_error == ON_NUMERICS_ERROR_STOP;
        if (part->n_broken > 0 && stops) prompt_stop_at_broken(st);
        part++;
    }
    meter_step(f);
    for (int64_t i = 0; i < f->n; i++)
        if (f->prompts[i]->step_rows > 0) prompt_stepped(f->prompts[i], steps);
    prompt_agree_drawn(f->prompts, f->n, f->sums);
}

void flight_run(struct worker *w, const struct policy *policy, const struct flight_source *source)
{
    int64_t places = w->job->overlap;
    struct flight f = {.w = w, .policy = policy, .source = source, .n_fresh = places};
    f.prompts = mem_calloc((size_t)places, sizeof(struct prompt_state *));
    f.parts = mem_calloc((size_t)places, sizeof *f.parts);
    f.sums = mem_calloc((size_t)(places * comm_size(w->grid.group)), sizeof *f.sums);
    fill_fresh_places(&f);
    meter_skip(&f);
    while (f.n > 0) {
        flight_arrange(&f);
        step(&f);
        if (w->poll) w->poll(w->poll_arg);
        meter_all(&f);
        decide(&f);
    }
    free(f.prompts);
    free(f.parts);
    free(f.sums);
}
