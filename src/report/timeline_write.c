#include "report/timeline_write.h"

#include "base/span.h"
#include "text/json_text.h"
#include "trace/names.h"

#include <math.h>
#include <string.h>

/* Text as a JSON string. */
static void put_text(FILE *f, const char *s)
{
    json_t *text = json_text(s);
    json_dumpf(text, f, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(text);
}

static void put_text_field(FILE *f, const char *name, const char *s)
{
    fprintf(f, ", \"%s\": ", name);
    put_text(f, s);
}

static void put_number_field(FILE *f, const char *name, double v)
{
    if (isfinite(v))
        fprintf(f, ", \"%s\": %.9g", name, v);
    else
        fprintf(f, ", \"%s\": null", name);
}

static void put_count_field(FILE *f, const char *name, int64_t v)
{
    fprintf(f, ", \"%s\": %lld", name, (long long)v);
}

/* Microseconds, to the nanosecond. */
static void put_time_field(FILE *f, const char *name, int64_t ns)
{
    const char *sign = ns < 0 ? "-" : "";
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    fprintf(f, ", \"%s\": %s%llu.%03d", name, sign, (unsigned long long)(size / 1000),
            (int)(size % 1000));
}

/* ---- names of tracks ---- */

static void put_process(FILE *f, int32_t pid, const char *name, const char *what)
{
    fprintf(f,
            "{\"ph\": \"M\", \"pid\": %d, \"name\": \"process_name\", \"args\": {\"name\": ", pid);
    char text[512];
    snprintf(text, sizeof text, "%s%s%s", name, what[0] ? ": " : "", what);
    put_text(f, text);
    fprintf(f,
            "}},\n{\"ph\": \"M\", \"pid\": %d, \"name\": \"process_sort_index\", "
            "\"args\": {\"sort_index\": %d}}",
            pid, pid);
}

static void put_thread(FILE *f, int32_t pid, int32_t tid, const char *name)
{
    fprintf(f,
            ",\n{\"ph\": \"M\", \"pid\": %d, \"tid\": %d, \"name\": \"thread_name\", "
            "\"args\": {\"name\": \"%s\"}}",
            pid, tid, name);
    fprintf(f,
            ",\n{\"ph\": \"M\", \"pid\": %d, \"tid\": %d, \"name\": \"thread_sort_index\", "
            "\"args\": {\"sort_index\": %d}}",
            pid, tid, tid);
}

/* Where all runs were: one host's name, or "" when there were several. */
static const char *only_host(const struct run_row *runs, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (strpbrk(runs[i].hosts, ", ") || strcmp(runs[i].hosts, runs[0].hosts) != 0) return "";
    return n > 0 ? runs[0].hosts : "";
}

#define MOST_NAMED 10000 /* ranks; viewers number the rest, and a damaged file may claim any */

/* Ranks that any run had; groups are of equal size in all runs (the job's hash covers it). */
static void put_ranks(FILE *f, const struct run_row *runs, int64_t n)
{
    const char *host = only_host(runs, n);
    int32_t named = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t tensor = timeline_tensor(&runs[i]);
        for (; named < runs[i].ranks && named < MOST_NAMED; named++) {
            char name[48];
            int32_t pid = timeline_pid(named / tensor);
            snprintf(name, sizeof name, "group %d", named / tensor);
            if (named % tensor == 0) {
                fputs(",\n", f);
                put_process(f, pid, name, host);
            }
            snprintf(name, sizeof name, "rank %d", named);
            put_thread(f, pid, timeline_tid(named), name);
        }
    }
}

void timeline_write_head(FILE *f, const struct result *r)
{
    fputs("{\"traceEvents\": [\n", f);
    put_process(f, TIMELINE_JOB_PID, "job", r->job.name);
    put_thread(f, TIMELINE_JOB_PID, TIMELINE_JOB_TID, "runs");
    put_ranks(f, trace_runs(r->file), trace_n_runs(r->file));
}

/* ---- events ---- */

static void begin(FILE *f, const char *ph, const struct timeline_event *e)
{
    fprintf(f, ",\n{\"ph\": \"%s\", \"pid\": %d", ph, e->pid);
    if (e->kind != TIMELINE_COUNTER) fprintf(f, ", \"tid\": %d", e->tid);
    put_time_field(f, "ts", e->ts_ns);
    if (strcmp(ph, "X") == 0) put_time_field(f, "dur", e->dur_ns);
}

static void put_run(FILE *f, const struct timeline_event *e, const struct run_row *r)
{
    begin(f, "X", e);
    fprintf(f, ", \"cat\": \"run\", \"name\": \"run %lld\", \"args\": {\"ranks\": %d",
            (long long)e->run, r->ranks);
    put_count_field(f, "groups", r->groups);
    put_count_field(f, "tensor", r->tensor);
    put_count_field(f, "threads", r->threads);
    put_text_field(f, "status", name_of(run_status_names, RUN_STATUSES, r->status));
    put_text_field(f, "hosts", r->hosts);
    put_text_field(f, "device", r->device);
    put_text_field(f, "isa", r->isa);
    put_text_field(f, "fingerprint", r->fingerprint);
    put_text_field(f, "slurm_job_id", r->slurm_job_id);
    put_number_field(f, "load_s", r->load_s);
    put_number_field(f, "idle_s", r->idle_s);
    fputs("}}", f);
}

static void put_prompt(FILE *f, const struct timeline_event *e)
{
    const struct prompt_row *p = e->prompt;
    bool is_ok = p->status == PROMPT_OK;
    const char *status = name_of(prompt_status_names, PROMPT_STATUSES, p->status);
    begin(f, "X", e);
    fprintf(f, ", \"cat\": \"prompt\", \"name\": \"prompt %lld%s%s%s\"", (long long)p->prompt_index,
            is_ok ? "" : " (", is_ok ? "" : status, is_ok ? "" : ")");
    fprintf(f, ", \"args\": {\"prompt_index\": %lld", (long long)p->prompt_index);
    put_text_field(f, "status", status);
    if (p->reason[0]) put_text_field(f, "reason", p->reason);
    put_count_field(f, "n", p->n);
    put_number_field(f, "alpha", p->alpha);
    put_count_field(f, "rounds", p->rounds);
    put_count_field(f, "prompt_tokens", p->prompt_tokens);
    put_count_field(f, "best_candidate", p->best_candidate);
    put_number_field(f, "best_reward", (double)p->best_reward);
    put_count_field(f, "tokens_generated", p->tokens_generated);
    put_count_field(f, "tokens_scored", p->tokens_scored);
    put_count_field(f, "kv_peak_tokens", p->kv_peak_tokens);
    put_count_field(f, "evictions", p->evictions);
    fputs("}}", f);
}

static void put_phase(FILE *f, const struct timeline_event *e)
{
    const struct trace_row *s = e->phase;
    const char *name = s->phase >= 0 ? span_name((enum span_phase)s->phase) : "?";
    begin(f, "X", e);
    fprintf(f, ", \"cat\": \"phase\", \"name\": \"%s\"", name);
    fprintf(f, ", \"args\": {\"prompt_index\": %lld", (long long)s->prompt_index);
    put_count_field(f, "step", s->step);
    put_count_field(f, "sequences", s->sequences);
    put_count_field(f, "tokens", s->tokens);
    put_count_field(f, "bytes", s->bytes);
    fputs("}}", f);
}

static void put_round(FILE *f, const struct timeline_event *e)
{
    const struct round_row *r = e->round;
    const char *trigger = name_of(round_trigger_names, ROUND_TRIGGERS, r->trigger);
    begin(f, "i", e);
    fprintf(f, ", \"s\": \"t\", \"cat\": \"round\", \"name\": \"round %d (%s)\"", r->round,
            trigger);
    fprintf(f, ", \"args\": {\"prompt_index\": %lld", (long long)r->prompt_index);
    put_count_field(f, "round", r->round);
    put_text_field(f, "trigger", trigger);
    put_count_field(f, "step", r->step);
    put_count_field(f, "ranked", r->ranked);
    put_count_field(f, "kept", r->kept);
    put_count_field(f, "complete", r->complete);
    put_number_field(f, "cut_reward", (double)r->cut_reward);
    put_count_field(f, "live_tokens", r->live_tokens);
    put_count_field(f, "budget_tokens", r->budget_tokens);
    fputs("}}", f);
}

static void put_counter(FILE *f, const struct timeline_event *e)
{
    static const struct {
        const char *name, *series;
    } counters[TIMELINE_COUNTERS] = {[COUNTER_LIVE] = {"live candidates", "live"},
                                     [COUNTER_RATE] = {"tokens/s", "generated"},
                                     [COUNTER_KV] = {"KV tokens", "in use"}};
    begin(f, "C", e);
    fprintf(f, ", \"name\": \"%s\", \"args\": {\"%s\": %.9g}}", counters[e->counter.which].name,
            counters[e->counter.which].series, e->counter.value);
}

void timeline_write_event(FILE *f, const struct result *r, const struct timeline_event *e)
{
    switch (e->kind) {
    case TIMELINE_RUN:
        put_run(f, e, &trace_runs(r->file)[e->run]);
        break;
    case TIMELINE_PROMPT:
        put_prompt(f, e);
        break;
    case TIMELINE_PHASE:
        put_phase(f, e);
        break;
    case TIMELINE_ROUND:
        put_round(f, e);
        break;
    case TIMELINE_COUNTER:
        put_counter(f, e);
        break;
    }
}

void timeline_write_tail(FILE *f, const struct result *r)
{
    static const char *const attrs[] = {"program_version", "commit", "point_id", "job_hash"};
    fputs("\n], \"displayTimeUnit\": \"ms\", \"otherData\": {\"file\": ", f);
    put_text(f, r->path);
    for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
        const char *value = trace_reader_attr(r->file, attrs[i]);
        put_text_field(f, attrs[i], value ? value : "");
    }
    fputs("}}\n", f);
}
