#include "report/facts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "trace/reader.h"

#include <stdlib.h>
#include <string.h>

static const char *attr(const struct trace_reader *r, const char *name)
{
    const char *value = trace_reader_attr(r, name);
    return value && value[0] ? value : "?";
}

static char *runs_text(const struct trace_reader *r)
{
    const struct run_row *runs = trace_runs(r);
    long long n = (long long)trace_n_runs(r);
    char start[24];
    if (n == 0) return mem_strdup("none");
    return mem_printf("%lld from %s on %s%s%s", n, clock_date(start, runs[0].start_unix_s),
                      runs[0].hosts[0] ? runs[0].hosts : "?",
                      runs[0].slurm_job_id[0] ? ", Slurm job " : "", runs[0].slurm_job_id);
}

/* A file that another kind of machine continued (--allow-mixed). */
static char *warning_text(const struct trace_reader *r)
{
    const struct run_row *runs = trace_runs(r);
    for (int64_t i = 1; i < trace_n_runs(r); i++) {
        if (strcmp(runs[i].device, runs[0].device) != 0)
            return mem_printf("mixed hardware: run 0 on %s, run %lld on %s", runs[0].device,
                              (long long)i, runs[i].device);
        if (strcmp(runs[i].fingerprint, runs[0].fingerprint) != 0)
            return mem_printf("mixed arithmetic: run %lld has another fingerprint than run 0",
                              (long long)i);
        if (runs[i].ranks != runs[0].ranks || runs[i].threads != runs[0].threads)
            return mem_printf("run %lld had %d ranks of %d threads, run 0 %d of %d", (long long)i,
                              runs[i].ranks, runs[i].threads, runs[0].ranks, runs[0].threads);
    }
    return NULL;
}

static int read_one(struct facts *f, const struct source *s, struct err *e)
{
    if (s->is_replayed) return 0;
    struct trace_reader *r = trace_reader_open(s->path, e);
    if (!r) return -1;
    const struct entry *name = entries_find(&s->keys, "name");
    f->program = mem_printf("%s (%s)", attr(r, "program_version"), attr(r, "commit"));
    f->job = mem_printf("%s, %s", name ? name->text : "?", attr(r, "job_hash"));
    f->memory = mem_printf("%s, %s KV tokens", attr(r, "dtype"), attr(r, "budget_tokens"));
    f->runs = runs_text(r);
    f->warning = warning_text(r);
    trace_reader_close(r);
    return 0;
}

struct facts *facts_read(const struct comparison *c, struct err *e)
{
    struct facts *all = mem_calloc((size_t)c->n_files, sizeof *all);
    for (int f = 0; f < c->n_files; f++) {
        if (read_one(&all[f], &c->files[f], e) == 0) continue;
        facts_free(all, c->n_files);
        return NULL;
    }
    return all;
}

void facts_free(struct facts *f, int n_files)
{
    for (int i = 0; f && i < n_files; i++) {
        free(f[i].program);
        free(f[i].job);
        free(f[i].memory);
        free(f[i].runs);
        free(f[i].warning);
    }
    free(f);
}
