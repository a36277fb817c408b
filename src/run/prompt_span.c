/* Phases of a prompt, for the trace and the device's profiler. */
#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#define MAX_SPANS 200000 /* per prompt and rank: a bound for record.trace: steps */

int64_t prompt_phase_begin(struct worker *w, enum span_phase phase)
{
    w->backend->ops->range(w->backend, span_name(phase));
    return clock_ns();
}

void prompt_phase_end(struct worker *w)
{
    w->backend->ops->range(w->backend, NULL);
}

void prompt_span(struct prompt_state *st, enum span_phase phase, int64_t start_ns, int64_t end_ns,
                 int64_t sequences, int64_t tokens)
{
    const struct worker *w = st->w;
    if (w->job->record.trace == RECORD_TRACE_OFF || st->spans.n >= MAX_SPANS) return;
    int64_t from = start_ns - w->start_ns, to = end_ns - w->start_ns;
    struct span s = {(int32_t)phase, 0, st->in->index, st->step, from, to, sequences, tokens, 0};
    ARRAY_PUSH(st->spans, s);
}
