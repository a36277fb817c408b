#include "report/timeline.h"

#include "base/mem.h"
#include "report/output.h"
#include "report/timeline_write.h"

#include <stdlib.h>

/* The prompts of one group in one run, one after the other; the next one's events. */
struct lane {
    const int64_t *rows; /* of /prompts; borrowed [n] */
    int64_t n, next;
    struct timeline_prompt prompt;
    size_t at; /* next event of it */
};

struct timeline {
    struct result r;
    int64_t prompt; /* the only prompt_index, -1: all */
    struct output to;
    int64_t end_ns; /* of what was written so far */
};

static void put(struct timeline *t, const struct timeline_event *e)
{
    timeline_write_event(t->to.file, &t->r, e);
    if (e->ts_ns + e->dur_ns > t->end_ns) t->end_ns = e->ts_ns + e->dur_ns;
}

/* ---- lanes ---- */

/* Have an event at hand, or none are left. */
static int lane_fill(struct lane *l, struct timeline *t, int64_t start_ns, struct err *e)
{
    while (l->at == l->prompt.events.n && l->next < l->n) {
        timeline_prompt_free(&l->prompt);
        l->at = 0;
        TRY(timeline_prompt_load(&l->prompt, &t->r, l->rows[l->next++], start_ns, e));
    }
    return 0;
}

static const struct timeline_event *lane_head(const struct lane *l)
{
    return l->at < l->prompt.events.n ? &l->prompt.events.items[l->at] : NULL;
}

/* All events of the lanes by their time. */
static int merge(struct timeline *t, struct lane *lanes, size_t n, int64_t start_ns, struct err *e)
{
    for (size_t i = 0; i < n; i++) TRY(lane_fill(&lanes[i], t, start_ns, e));
    for (;;) {
        struct lane *first = NULL;
        for (size_t i = 0; i < n; i++) {
            const struct timeline_event *x = lane_head(&lanes[i]);
            if (x && (!first || x->ts_ns < lane_head(first)->ts_ns)) first = &lanes[i];
        }
        if (!first) return 0;
        put(t, lane_head(first));
        first->at++;
        TRY(lane_fill(first, t, start_ns, e));
        TRY(output_check(&t->to, e));
    }
}

/* ---- runs ---- */

struct place {
    int32_t group;
    int64_t row;
};

static int by_group(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* The prompts to show that a run committed, group by group in their order: caller frees. */
static struct place *places_of_run(const struct timeline *t, int64_t run, size_t *n)
{
    const struct prompt_row *p = trace_prompts(t->r.file);
    struct place *places = mem_calloc((size_t)t->r.n_prompts, sizeof *places);
    *n = 0;
    for (int64_t row = 0; row < t->r.n_prompts; row++)
        if (p[row].run == run && (t->prompt < 0 || p[row].prompt_index == t->prompt))
            places[(*n)++] = (struct place){p[row].group, row};
    qsort(places, *n, sizeof *places, by_group);
    return places;
}

static int put_prompts(struct timeline *t, int64_t run, int64_t start_ns, struct err *e)
{
    size_t n, n_lanes = 0;
    struct place *places = places_of_run(t, run, &n);
    int64_t *rows = mem_calloc(n, sizeof *rows);
    struct lane *lanes = mem_calloc(n, sizeof *lanes);
    for (size_t i = 0; i < n; i++) {
        rows[i] = places[i].row;
        if (i == 0 || places[i].group != places[i - 1].group) lanes[n_lanes++].rows = &rows[i];
        lanes[n_lanes - 1].n++;
    }
    int rc = merge(t, lanes, n_lanes, start_ns, e);
    for (size_t i = 0; i < n_lanes; i++) timeline_prompt_free(&lanes[i].prompt);
    free(lanes);
    free(rows);
    free(places);
    return rc;
}

/* From its start to its end; of one that runs or was killed, to its last prompt's. */
static int64_t run_dur_ns(const struct timeline *t, int64_t run)
{
    const struct run_row *r = &trace_runs(t->r.file)[run];
    const struct prompt_row *p = trace_prompts(t->r.file);
    int64_t end_ns = timeline_ns(r->end_unix_s - r->start_unix_s);
    for (int64_t i = 0; i < t->r.n_prompts; i++)
        if (p[i].run == run && timeline_ns(p[i].start_s + p[i].wall_s) > end_ns)
            end_ns = timeline_ns(p[i].start_s + p[i].wall_s);
    return end_ns;
}

static int put_run(struct timeline *t, int64_t run, struct err *e)
{
    const struct run_row *runs = trace_runs(t->r.file);
    int64_t start_ns = timeline_ns(runs[run].start_unix_s - runs[0].start_unix_s);
    if (start_ns < t->end_ns) start_ns = t->end_ns; /* the wall clock was set back */
    put(t, &(struct timeline_event){.kind = TIMELINE_RUN,
                                    .pid = TIMELINE_JOB_PID,
                                    .tid = TIMELINE_JOB_TID,
                                    .ts_ns = start_ns,
                                    .dur_ns = run_dur_ns(t, run),
                                    .run = run});
    return put_prompts(t, run, start_ns, e);
}

static int check(const struct timeline *t, struct err *e)
{
    const struct prompt_row *p = trace_prompts(t->r.file);
    int64_t n_runs = trace_n_runs(t->r.file);
    if (t->prompt >= 0 && result_find(&t->r, t->prompt) < 0)
        return err_set(e, "%s holds no prompt %lld", t->r.path, (long long)t->prompt);
    if (t->prompt < 0 && t->r.job.overlap > 1)
        return err_set(e,
                       "%s was made with overlap %lld: its prompts interleave, and no viewer draws "
                       "that; choose one with --prompt",
                       t->r.path, (long long)t->r.job.overlap);
    for (int64_t i = 0; i < t->r.n_prompts; i++)
        if (p[i].run < 0 || p[i].run >= n_runs || p[i].group < 0)
            return err_set(e,
                           "%s: prompt %lld is of run %d, group %d, which the file does not have",
                           t->r.path, (long long)p[i].prompt_index, p[i].run, p[i].group);
    return 0;
}

int timeline_file(const char *path, const struct timeline_options *o, FILE *out, struct err *e)
{
    struct timeline t = {.prompt = o->prompt};
    int rc = result_open(&t.r, path, e);
    if (rc == 0) rc = check(&t, e);
    if (rc == 0) rc = output_begin(&t.to, o->output, out, e);
    if (rc == 0) {
        timeline_write_head(t.to.file, &t.r);
        for (int64_t i = 0; i < trace_n_runs(t.r.file) && rc == 0; i++) rc = put_run(&t, i, e);
        if (rc == 0) timeline_write_tail(t.to.file, &t.r);
        rc = output_end(&t.to, rc, e);
    }
    result_close(&t.r);
    return rc;
}
