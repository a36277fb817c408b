#include "run/flight_state.h"

#include "base/clock.h"

/* ---- time ---- */

/* Seconds since the mark, which moves on to now. */
static double move_mark(struct flight *f)
{
    int64_t before = f->mark_ns;
    f->mark_ns = clock_ns();
    return (double)(f->mark_ns - before) * 1e-9;
}

void meter_skip(struct flight *f)
{
    move_mark(f);
}

double meter_one(struct flight *f, struct prompt_state *st)
{
    double s = move_mark(f);
    st->wall_s += s;
    return s;
}

static int64_t count_begun(const struct flight *f)
{
    int64_t n = 0;
    for (int64_t i = 0; i < f->n; i++) n += f->prompts[i]->begun;
    return n;
}

void meter_all(struct flight *f)
{
    double s = move_mark(f);
    int64_t n = count_begun(f);
    for (int64_t i = 0; i < f->n; i++)
        if (f->prompts[i]->begun) f->prompts[i]->wall_s += s / (double)n;
}

/* ---- energy ---- */

static void share_energy(struct flight *f)
{
    struct backend *b = f->w->backend;
    double now_j = b->ops->energy_j(b), used_j = now_j - f->energy_mark_j, total_s = 0;
    int64_t n = count_begun(f);
    for (int64_t i = 0; i < f->n; i++)
        total_s += f->prompts[i]->wall_s - f->prompts[i]->wall_at_energy_s;
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        if (!st->begun) continue;
        double own_s = st->wall_s - st->wall_at_energy_s;
        st->energy_j += used_j * (total_s > 0 ? own_s / total_s : 1 / (double)n);
        st->wall_at_energy_s = st->wall_s;
    }
    f->energy_mark_j = now_j;
}

void meter_begin(struct flight *f, struct prompt_state *st)
{
    meter_all(f);
    st->start_s = (double)f->mark_ns * 1e-9; /* so that start_s + wall_s is its end when alone */
    share_energy(f);
}

void meter_end(struct flight *f)
{
    share_energy(f);
}

/* ---- the trace ---- */

/* Between two times of the trace the running prompts had `rows` rows each: every one gets a part by
 * its rows, one behind the other, so that a rank's phases still follow each other. */
static void add_slices(struct flight *f, int64_t from_ns, int64_t to_ns, bool of_step)
{
    int64_t all = 0, done = 0;
    double length = (double)(to_ns - from_ns);
    for (int64_t i = 0; i < f->n; i++) {
        const struct prompt_state *st = f->prompts[i];
        all += of_step ? st->step_rows : st->stretch_rows;
    }
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        int64_t rows = of_step ? st->step_rows : st->stretch_rows;
        int64_t tokens = of_step ? st->step_tokens : st->stretch_tokens;
        if (rows == 0) continue;
        int64_t begin = from_ns + (int64_t)(length * (double)done / (double)all);
        done += rows;
        int64_t end = from_ns + (int64_t)(length * (double)done / (double)all);
        if (of_step || tokens > 0) prompt_span(st, SPAN_DECODE, begin, end, st->n_live, tokens);
    }
}

void stretch_open(struct flight *f)
{
    if (f->in_stretch) return;
    f->in_stretch = true;
    f->stretch_ns = f->step_ns = prompt_phase_begin(f->w, SPAN_DECODE);
    for (int64_t i = 0; i < f->n; i++)
        f->prompts[i]->stretch_rows = f->prompts[i]->stretch_tokens = 0;
}

void stretch_close(struct flight *f)
{
    if (!f->in_stretch) return;
    f->in_stretch = false;
    prompt_phase_end(f->w);
    if (f->w->job->record.trace == RECORD_TRACE_ROUNDS)
        add_slices(f, f->stretch_ns, clock_ns(), false);
}

void meter_step(struct flight *f)
{
    double s = move_mark(f);
    int64_t rows = 0;
    for (int64_t i = 0; i < f->n; i++) rows += f->prompts[i]->step_rows;
    for (int64_t i = 0; i < f->n; i++) {
        struct prompt_state *st = f->prompts[i];
        if (st->step_rows == 0) continue;
        double own_s = s * (double)st->step_rows / (double)rows;
        st->wall_s += own_s;
        st->times.generate_s += own_s;
        st->stretch_rows += st->step_rows;
        st->stretch_tokens += st->step_tokens;
        f->w->tokens_now += st->step_tokens;
    }
    if (f->w->job->record.trace == RECORD_TRACE_STEPS) add_slices(f, f->step_ns, f->mark_ns, true);
    f->step_ns = f->mark_ns;
}
