/* Beginning, file and end of a point. */
#include "run/coordinator_state.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/identity.h"
#include "run/prompt.h"
#include "trace/names.h"
#include "trace/place.h"
#include "trace/reader.h"
#include "version.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The signal that came, 0: none.  The one thing that a handler may touch. */
volatile sig_atomic_t coordinator_signal = 0;

static void on_signal(int s)
{
    coordinator_signal = s;
}

static void watch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit: the write fails, as on a full disk */
}

/* ---- rank 0: the file ---- */

void coordinator_status(const struct coordinator *c, enum run_state state, const char *message)
{
    struct status_file s = {.state = state,
                            .prompts = c->inputs.n,
                            .prompts_done = c->progress ? progress_done(c->progress) : c->done,
                            .eta_s = NAN};
    snprintf(s.name, sizeof s.name, "%s", c->job.name);
    job_point_id(c->asked, s.point);
    snprintf(s.message, sizeof s.message, "%s", message);
    status_file_write(c->path, &s);
}

/* Whether what stands at the output is this point's, or nothing: beside another job's file is that
 * job's notice, and beside any other file there shall be none.  A file of ours that is damaged has
 * a notice already. */
static bool is_own_place(const struct coordinator *c)
{
    struct err e;
    struct status_file notice;
    char point[HASH_HEX];
    bool exists;
    if (file_exists(c->path, &exists, &e) < 0 || !exists) return true;
    struct trace_reader *file = trace_reader_open(c->path, &e);
    if (!file) return status_file_read(c->path, &notice, &e) > 0;
    job_point_id(c->asked, point);
    bool is_own = strcmp(trace_reader_attr(file, "point_id"), point) == 0;
    trace_reader_close(file);
    return is_own;
}

/* What `specrej status` will say of this start.  A file that another start is writing keeps its
 * own. */
static void leave_status(const struct coordinator *c, int status, const struct err *e)
{
    char holder[512];
    if (lock_is_held(c->path, c->options->slurm_ended, holder, sizeof holder)) return;
    if (status == EXIT_DONE)
        coordinator_status(c, STATE_COMPLETE, "");
    else if (status == EXIT_CONTINUE)
        coordinator_status(c, c->stop_signal == SIGUSR1 ? STATE_CONTINUE : STATE_STOPPED, "");
    else if (is_own_place(c) && place_make_folders(c->path, &(struct err){0}) == 0)
        coordinator_status(c, STATE_FAILED, c->failure.text[0] ? c->failure.text : e->text);
}

void coordinator_commit(struct coordinator *c, struct trace_record *r)
{
    struct err e;
    if (trace_commit(c->trace, r, &e) < 0) {
        /* What was committed is safe; this file may not be touched any more.  End as if killed. */
        log0(LOG_ERROR, "%s; committed prompts are safe, run the same command to continue", e.text);
        coordinator_status(c, STATE_FAILED, e.text);
        comm_abort(EXIT_FAILED);
    }
    const struct prompt_row *p = &r->prompt;
    c->skipped += p->status == PROMPT_SKIPPED;
    c->failed += p->status == PROMPT_FAILED;
    c->busy_rank_s += p->wall_s * comm_size(c->worker.grid.share);
    if (!isnan(p->best_reward)) {
        c->reward_sum += (double)p->best_reward;
        c->rewards++;
    }
    for (int64_t i = 0; i < r->n_rounds; i++)
        c->ranked_out += r->rounds[i].ranked - r->rounds[i].kept;
    if (p->status != PROMPT_OK)
        log0(LOG_WARN, "prompt %lld was %s: %s", (long long)p->prompt_index,
             p->status == PROMPT_SKIPPED ? "skipped" : "not finished", p->reason);
    else if (p->reason[0])
        log0(LOG_WARN, "prompt %lld: %s", (long long)p->prompt_index, p->reason);
    bool stops = p->status != PROMPT_OK && c->job.on_prompt_error == ON_PROMPT_ERROR_STOP;
    stops |= r->ends_job;
    if ((stops || p->status == PROMPT_FAILED) && !c->failure.text[0])
        err_set(&c->failure, "prompt %lld: %s", (long long)p->prompt_index, p->reason);
    c->stop_on_error |= stops;
    if (p->status != PROMPT_FAILED) progress_prompt(c->progress, p->best_reward);
}

/* ---- beginning and end ---- */

static void describe_run(struct coordinator *c, char *hosts, int64_t threads)
{
    struct worker *w = &c->worker;
    struct run_row *r = &c->run;
    const char *slurm = getenv("SLURM_JOB_ID"), *restart = getenv("SLURM_RESTART_COUNT");
    *r = (struct run_row){.start_unix_s = c->start_unix_s,
                          .end_unix_s = NAN,
                          .slurm_restart = restart ? (int32_t)strtol(restart, NULL, 10) : 0,
                          .ranks = comm_size(w->grid.world),
                          .threads = to_i32(threads),
                          .groups = w->grid.n_groups,
                          .tensor = comm_size(w->grid.group),
                          .status = RUN_RUNNING,
                          .load_s = w->load_s * comm_size(w->grid.world)};
    snprintf(r->hosts, sizeof r->hosts, "%s", hosts);
    snprintf(r->device, sizeof r->device, "%s", w->backend->device);
    snprintf(r->isa, sizeof r->isa, "%s", w->backend->isa);
    snprintf(r->versions, sizeof r->versions, "specrej %s; %s", VERSION_NUMBER,
             w->backend->versions);
    snprintf(r->fingerprint, sizeof r->fingerprint, "%s", w->fingerprint);
    snprintf(r->slurm_job_id, sizeof r->slurm_job_id, "%s", slurm ? slurm : "");
}

/* Names of all hosts, each once, into out on rank 0.  Collective. */
static void gather_hosts(struct comm *world, char *out, size_t size)
{
    char name[64] = "?", *all = mem_calloc((size_t)comm_size(world), sizeof name);
    gethostname(name, sizeof name - 1);
    comm_allgather(world, name, sizeof name, all);
    out[0] = 0;
    for (int r = 0; r < comm_size(world); r++) {
        const char *host = all + (size_t)r * sizeof name;
        size_t used = strlen(out);
        bool seen = false;
        for (int k = 0; k < r && !seen; k++)
            seen = strcmp(all + (size_t)k * sizeof name, host) == 0;
        if (!seen && used + strlen(host) + 2 < size)
            snprintf(out + used, size - used, "%s%s", used ? " " : "", host);
    }
    free(all);
}

static struct trace_passes passes_of(const struct worker *w)
{
    const struct model *g = &w->generator, *r = &w->reward;
    return (struct trace_passes){.rows = w->backend->max_rows,
                                 .generator_weight_bytes = model_weight_bytes(g),
                                 .reward_weight_bytes = model_weight_bytes(r),
                                 .generator_kv_bytes = model_kv_bytes(g),
                                 .reward_kv_bytes = model_kv_bytes(r)};
}

static int open_file(struct coordinator *c, struct err *e)
{
    char point[HASH_HEX], *yaml = job_to_yaml(c->asked);
    job_point_id(c->asked, point);
    struct trace_meta meta = {.passes = passes_of(&c->worker),
                              .job_yaml = yaml,
                              .job_hash = c->identity,
                              .point_id = point,
                              .program_version = VERSION_NUMBER,
                              .commit = VERSION_COMMIT,
                              .dtype = dtype_name(c->worker.backend->dtype),
                              .budget_tokens = c->worker.budget_pages * PAGE_TOKENS,
                              .n = c->job.n,
                              .reproducible = c->job.reproducible,
                              .slurm_ended = c->options->slurm_ended};
    c->trace = trace_open(c->path, &meta, &c->run, c->options->allow_mixed, e);
    free(yaml);
    if (!c->trace) return -1;
    int64_t n;
    const int64_t *done = trace_committed(c->trace, &n);
    resume_update(&c->resume, done, n);
    return 0;
}

/* "speculative_rejection, n 960, alpha 0.5, seed 0" */
static void describe_point(const struct job *j, char *out, size_t size)
{
    int n = snprintf(out, size, "%s, n ", method_name(j->method));
    n += j->n ? snprintf(out + n, size - (size_t)n, "%lld", (long long)j->n)
              : snprintf(out + n, size - (size_t)n, "auto");
    if (j->method == METHOD_SPECULATIVE_REJECTION)
        n += snprintf(out + n, size - (size_t)n, ", alpha %g", j->alpha);
    snprintf(out + n, size - (size_t)n, ", seed %llu", (unsigned long long)j->seed);
}

static struct progress *begin_progress(const struct coordinator *c)
{
    const struct run_options *o = c->options;
    char what[120];
    describe_point(&c->job, what, sizeof what);
    return progress_begin(c->job.name, o->which ? o->which : "", what, c->path, c->inputs.n,
                          c->resume.n, o->quiet);
}

/* How the ranks work, which points that share their models have in common. */
static void say_ranks(const struct coordinator *c)
{
    const struct worker *w = &c->worker;
    int ranks = comm_size(w->grid.world), groups = w->grid.n_groups;
    if (w->backend->choice[0]) log0(LOG_INFO, "%s", w->backend->choice);
    log0(LOG_INFO, "%d rank%s = %d group%s x tensor %d, %d thread%s each (%s), %s %s", ranks,
         ranks == 1 ? "" : "s", groups, groups == 1 ? "" : "s", comm_size(w->grid.group),
         (int)c->run.threads, c->run.threads == 1 ? "" : "s", w->threads_how, w->backend->ops->name,
         dtype_name(w->backend->dtype));
}

static void say_start(const struct coordinator *c)
{
    if (c->options->quiet) return;
    const struct worker *w = &c->worker;
    if (!w->was_given) say_ranks(c);
    char what[120];
    describe_point(&c->job, what, sizeof what);
    log0(LOG_INFO, "%s%s: %s, %lld prompts (%lld in the file)", c->job.name,
         c->options->which ? c->options->which : "", what, (long long)c->inputs.n,
         (long long)c->resume.n);
    log0(LOG_INFO, "budget %lld KV tokens per prompt; %s in %.1f s; writing %s",
         (long long)(w->budget_pages * PAGE_TOKENS),
         w->was_given ? "the models of the point before, ready" : "loaded", w->load_s, c->path);
    const struct rank_memory *m = &w->memory;
    log0(LOG_INFO, "memory of a rank: weights %.1f + workspace %.1f + KV pages %.1f = %.1f MiB",
         (double)m->weights_bytes / 0x1p20, (double)m->workspace_bytes / 0x1p20,
         (double)m->kv_bytes / 0x1p20,
         (double)(m->weights_bytes + m->workspace_bytes + m->kv_bytes) / 0x1p20);
}

/* How the run ended, as /runs says it; returns what the shell hears. */
static int finish_run(struct coordinator *c)
{
    bool failed = c->failed > 0 || c->stop_on_error;
    c->run.status = c->stop_signal == SIGUSR1 ? RUN_CONTINUE
                    : c->stop_signal          ? RUN_STOPPED
                    : failed                  ? RUN_FAILED
                                              : RUN_COMPLETE;
    c->run.end_unix_s = clock_unix_s();
    double ranks_s = (clock_s() - c->start_s) * comm_size(world_of(c));
    c->run.idle_s = ranks_s - c->run.load_s - c->busy_rank_s;
    if (c->run.idle_s < 0) c->run.idle_s = 0;
    return c->stop_signal ? EXIT_CONTINUE : failed ? EXIT_FAILED : EXIT_DONE;
}

/* By the rounds of this start. */
static void warn_nobody_rejected(const struct coordinator *c)
{
    const char *why, *cure = policy_rejects_nobody(&c->job, &why);
    if (!cure || c->rewards == 0 || c->ranked_out > 0) return;
    log0(LOG_WARN, "no candidate was rejected on any of %lld prompts: all came to their end %s; %s",
         (long long)c->rewards, why, cure);
}

static int close_file(struct coordinator *c, struct err *e)
{
    int status = finish_run(c);
    if (trace_update_run(c->trace, &c->run, e) < 0) {
        log0(LOG_ERROR, "%s: %s", c->path, e->text);
        status = EXIT_FAILED;
    }
    trace_close(c->trace);
    c->trace = NULL;
    c->done = progress_done(c->progress);
    progress_end(c->progress);
    c->progress = NULL;
    warn_nobody_rejected(c);
    if (c->options->quiet) return status;
    double hours = (clock_s() - c->start_s) * comm_size(world_of(c)) / 3600;
    char mean[64] = "";
    if (c->rewards > 0)
        snprintf(mean, sizeof mean, ", mean best reward %.4f%s", c->reward_sum / (double)c->rewards,
                 c->resume.n > 0 ? " (of this start's)" : "");
    log0(LOG_INFO, "%s: %lld of %lld prompts in %s%s, %.4f rank-hours (load and idle included)",
         run_status_names[c->run.status], (long long)c->done, (long long)c->inputs.n, c->path, mean,
         hours);
    if (status != EXIT_DONE && c->options->command)
        log0(LOG_INFO, "to continue: %s", c->options->command);
    return status;
}

/* Rank 0: whose file is it, and what is in it. */
static int look_at_file(struct coordinator *c, struct err *e)
{
    TRY(job_identity(&c->job, c->identity, e));
    TRY(judge_identity(&c->job, c->judge_identity, e));
    TRY(resume_open(&c->resume, c->path, &c->job, c->identity, e));
    /* Templates that print a date print that of the first start, whenever the job goes on. */
    c->start_unix_s = clock_unix_s();
    double first_start = c->resume.start_unix_s > 0 ? c->resume.start_unix_s : c->start_unix_s;
    if (c->worker.chat) chat_set_now(c->worker.chat, (int64_t)first_start);
    if (c->worker.reward_chat) chat_set_now(c->worker.reward_chat, (int64_t)first_start);
    return 0;
}

static bool is_complete(const struct coordinator *c)
{
    for (int64_t i = 0; i < c->inputs.n; i++)
        if (!resume_has(&c->resume, c->inputs.items[i].index)) return false;
    return true;
}

static int prepare(struct coordinator *c, struct comm *world, bool *complete, struct err *e)
{
    bool first = comm_rank(world) == 0;
    TRY(worker_open(&c->worker, &c->job, WORKER_JOB, world, c->kept, e));
    TRY(comm_agree(world, first ? look_at_file(c, e) : 0, e));
    TRY(inputs_open(&c->inputs, &c->worker, e));
    int rc = first ? resume_check_inputs(&c->resume, c->inputs.items, c->inputs.n, e) : 0;
    TRY(comm_agree(world, rc, e));
    *complete = first && is_complete(c);
    c->done = c->resume.n;
    comm_bcast(world, complete, sizeof *complete, 0);
    if (*complete) return 0;
    if (first && c->resume.budget_tokens > 0) c->job.budget_tokens = c->resume.budget_tokens;
    comm_bcast(world, &c->job.budget_tokens, sizeof c->job.budget_tokens, 0);
    struct worker_needs needs = inputs_needs(&c->inputs);
    TRY(worker_load(&c->worker, &needs, e));
    /* A budget or an n that suits no prompt at all is a mistake in the job, not in its prompts. */
    return prompt_candidates(&c->worker, inputs_shortest(&c->inputs), e) > 0 ? 0 : -1;
}

static int start_file(struct coordinator *c, struct err *e)
{
    struct comm *world = world_of(c);
    char hosts[256];
    gather_hosts(world, hosts, sizeof hosts);
    int64_t threads = comm_max_i64(world, c->worker.backend->threads);
    describe_run(c, hosts, threads);
    return comm_agree(world, comm_rank(world) == 0 ? open_file(c, e) : 0, e);
}

static void coordinator_free(struct coordinator *c)
{
    trace_close(c->trace);
    progress_end(c->progress);
    inputs_free(&c->inputs);
    resume_free(&c->resume);
    loaded_keep(c->kept, &c->worker);
    worker_close(&c->worker);
    free(c->in_flight);
    free(c->path);
}

/* What all ranks count their times from: the ranks of a node by its one clock, nodes from when they
 * meet. */
static double common_start_s(struct comm *world)
{
    struct comm *node = comm_split_node(world);
    comm_barrier(world);
    double start = clock_s();
    comm_bcast(node, &start, sizeof start, 0);
    comm_destroy(node);
    return start;
}

int coordinator_run(const struct job *j, const struct run_options *o, struct comm *world,
                    struct loaded *kept, struct err *e)
{
    struct coordinator c = {.asked = j,
                            .job = *j,
                            .options = o,
                            .kept = kept,
                            .policy = policy_of_job(j),
                            .start_s = common_start_s(world)};
    bool first = comm_rank(world) == 0, complete = false;
    int status = EXIT_BAD_INPUT;
    watch_signals();
    if (first) c.path = job_output_path(j);
    if (prepare(&c, world, &complete, e) < 0) goto done;
    if (complete) {
        if (!o->quiet) log0(LOG_INFO, "%s is complete: nothing to do", c.path);
        status = coordinator_judge(&c, world, e);
        goto done;
    }
    if (start_file(&c, e) < 0) goto done;
    if (first) {
        say_start(&c);
        c.progress = begin_progress(&c);
    }
    coordinator_work(&c);
    if (first) status = close_file(&c, e);
    comm_bcast(world, &status, sizeof status, 0);
    if (status == EXIT_DONE) status = coordinator_judge(&c, world, e);
done:
    if (first) leave_status(&c, status, e);
    coordinator_free(&c);
    return status;
}
