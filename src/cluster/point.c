#include "cluster/point.h"

#include "base/mem.h"
#include "job/dataset.h"
#include "run/identity.h"
#include "run/judge.h"
#include "run/status_file.h"
#include "trace/lock.h"
#include "trace/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *point_state_name(enum point_state s)
{
    static const char *const names[] = {
        [POINT_COMPLETE] = "complete", [POINT_RUNNING] = "running", [POINT_WAITING] = "waiting",
        [POINT_STOPPED] = "stopped",   [POINT_FAILED] = "failed",   [POINT_NEW] = "new"};
    return names[s];
}

/* ---- how much is asked for ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_rows(const struct dataset_ref *a, const struct dataset_ref *b)
{
    return same_text(a->path, b->path) && same_text(a->field, b->field) && a->turn == b->turn &&
           a->shuffle == b->shuffle && a->offset == b->offset && a->limit == b->limit;
}

/* Prompts of each point; those of one dataset are counted once. */
static void count_prompts(struct points *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct dataset_ref *ref = &p->items[i].job->dataset;
        if (i > 0 && same_rows(ref, &p->items[i - 1].job->dataset)) {
            p->items[i].prompts = p->items[i - 1].prompts;
            continue;
        }
        struct dataset d;
        p->items[i].prompts = -1;
        if (dataset_open(&d, ref, &(struct err){0}) < 0) continue;
        p->items[i].prompts = d.n;
        dataset_free(&d);
    }
}

/* ---- what its files say ---- */

/* Are they this point's results?  of: the point that they name, "": none. */
static int check_point(const char *path, const char *of, const char *id, struct err *e)
{
    if (!of[0] || strcmp(of, id) == 0) return 0;
    return err_set(e,
                   "%s holds the results of another job; choose another output, or move the file "
                   "away",
                   path);
}

/* Prompts in the result file itself; -1: it cannot be read, or is another point's. */
static int64_t count_committed(const char *path, const char *id, struct err *e)
{
    struct trace_reader *r = trace_reader_open(path, e);
    if (!r) return -1;
    int64_t done = check_point(path, trace_reader_attr(r, "point_id"), id, e);
    for (int64_t i = 0; i < trace_n_prompts(r) && done >= 0; i++)
        done += trace_prompts(r)[i].status != PROMPT_FAILED;
    trace_reader_close(r);
    return done;
}

/* The same by the notice (NULL: there is none) of whoever wrote the file: it need not be opened. */
static int64_t count_done(const char *path, const char *id, const struct status_file *notice,
                          struct err *e)
{
    if (!notice || notice->prompts == 0) /* it failed before it looked */
        return count_committed(path, id, e);
    return check_point(path, notice->point, id, e) < 0 ? -1 : notice->prompts_done;
}

int64_t point_done(const struct job *j)
{
    struct status_file s;
    struct err e;
    char *path = job_output_path(j), id[HASH_HEX];
    int64_t done = 0;
    job_point_id(j, id);
    /* The notice of a run that was killed may be older than its last commit. */
    bool said = status_file_read(path, &s, &e) > 0 && s.state != STATE_RUNNING;
    if (access(path, F_OK) == 0) done = count_done(path, id, said ? &s : NULL, &e);
    free(path);
    return done > 0 ? done : 0;
}

/* Does a judge wait for a file that has all prompts?  One that cannot be read waits, too. */
static bool wants_judge(const struct point *p)
{
    char identity[HASH_HEX];
    if (!p->job->judge.path) return false;
    struct err e = {0};
    bool due = true;
    if (judge_identity(p->job, identity, &e) < 0) return true;
    return judge_is_due(p->job, p->output, identity, &due, &e) < 0 || due;
}

/* Nobody is at it: its last start's own word, or what is left of it. */
static void take_last_word(struct point *p, const struct status_file *s)
{
    p->state = POINT_STOPPED;
    if (s->state == STATE_COMPLETE && p->done == 0) {
        p->state = POINT_NEW; /* the result file was taken away */
    } else if (s->state == STATE_FAILED) {
        p->state = POINT_FAILED;
        snprintf(p->note, sizeof p->note, "%s", s->message);
    } else if (s->state == STATE_RUNNING || s->state == STATE_JUDGING) {
        p->state = POINT_FAILED;
        snprintf(p->note, sizeof p->note,
                 "ended without a word: killed, or its node lost; run it again to go on");
    }
}

static void look_at_files(struct point *p, struct status_file *s)
{
    struct err e = {0};
    bool said = status_file_read(p->output, s, &e) > 0;
    if (!said) s->state = STATE_STOPPED; /* its notice was lost, or is of another program */
    bool is_there = access(p->output, F_OK) == 0;
    if (is_there) p->done = count_done(p->output, p->id, said ? s : NULL, &e);
    bool complete = said && s->prompts > 0 ? s->state == STATE_COMPLETE
                                           : p->prompts >= 0 && p->done >= p->prompts;
    int64_t asked = p->prompts >= 0 ? p->prompts : s->prompts;
    if (is_there && p->done < 0) {
        p->done = 0;
        p->state = POINT_FAILED;
        snprintf(p->note, sizeof p->note, "%s", e.text);
    } else if (is_there && complete && p->done >= asked && !wants_judge(p)) {
        p->state = POINT_COMPLETE;
    } else if (said) {
        take_last_word(p, s);
    } else {
        p->state = is_there ? POINT_STOPPED : POINT_NEW;
    }
}

/* The first error of the last start, from a task's log.  False: there is none. */
static bool first_error(const char *path, char *out, size_t bytes)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (getline(&line, &cap, f) >= 0) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "job.sh:", 7) == 0 && strstr(line, " begins")) found = false;
        if (found || !strstr(line, "error:")) continue;
        static const char own[] = "specrej: error: ";
        bool is_own = strncmp(line, own, sizeof own - 1) == 0;
        snprintf(out, bytes, "%s", is_own ? line + sizeof own - 1 : line);
        found = true;
    }
    free(line);
    fclose(f);
    return found;
}

/* ---- what Slurm says ---- */

static void say_where(struct point *p, const struct slurm_task *t)
{
    bool has_reason = t->reason[0] && strcmp(t->reason, "None") != 0;
    snprintf(p->where, sizeof p->where, "%lld_%lld %.20s%s%.40s%s", (long long)t->array_job,
             (long long)t->index, t->state, has_reason ? " (" : "", has_reason ? t->reason : "",
             has_reason ? ")" : "");
}

/* In its task, when that is queued or at work. */
static void look_at_task(struct point *p, const struct status_file *s, const struct folder_task *t,
                         const struct slurm_task *task)
{
    char job[24];
    snprintf(job, sizeof job, "%lld", (long long)task->job);
    bool is_mine = strcmp(s->slurm_job, job) == 0;
    say_where(p, task);
    if (task->phase == SLURM_WAITING)
        p->state = POINT_WAITING;
    else if (t->n_points == 1)
        p->state = POINT_RUNNING;
    else if (is_mine && (s->state == STATE_RUNNING || s->state == STATE_JUDGING))
        p->state = POINT_RUNNING;
    else if (!is_mine || s->state != STATE_FAILED) /* its turn in the task comes */
        p->state = POINT_WAITING;
    if (p->state != POINT_FAILED) p->note[0] = 0;
}

/* Its last notice may be older than its last commit; nobody writes the file now. */
static void count_of_killed(struct point *p)
{
    int64_t n = count_committed(p->output, p->id, &(struct err){0});
    if (n >= 0) p->done = n;
}

static void look(struct point *p, const struct sweep_folder *folder,
                 const struct slurm_tasks *tasks)
{
    struct status_file s;
    struct folder_task t;
    char holder[512];
    look_at_files(p, &s);
    if (p->state == POINT_COMPLETE) return;
    bool submitted = folder && folder->manifest && folder_find(folder, p->id, &t);
    const struct slurm_task *task = submitted ? slurm_find(tasks, t.job, t.index) : NULL;
    if (task && task->phase != SLURM_ENDED) {
        look_at_task(p, &s, &t, task);
    } else if (lock_is_held(p->output, slurm_job_ended, holder, sizeof holder)) {
        p->state = POINT_RUNNING;
        p->note[0] = 0;
        snprintf(p->where, sizeof p->where, "%.90s", holder);
    } else if (submitted && (p->state == POINT_NEW || s.state == STATE_RUNNING)) {
        char *log = folder_log(folder, &t);
        if (first_error(log, p->note, sizeof p->note)) p->state = POINT_FAILED;
        free(log);
    }
    if (p->state == POINT_FAILED && s.state == STATE_RUNNING) count_of_killed(p);
    if (p->state != POINT_RUNNING || s.state != STATE_RUNNING) return;
    p->eta_s = s.eta_s;
    p->tokens_per_s = s.tokens_per_s;
}

void points_look(struct points *p, const struct job *jobs, size_t n,
                 const struct sweep_folder *folder, struct err *no_slurm)
{
    *p = (struct points){.items = mem_calloc(n, sizeof *p->items), .n = n};
    struct slurm_tasks tasks = {0};
    int64_t *ids = NULL;
    no_slurm->text[0] = 0;
    size_t n_ids = folder && folder->manifest ? folder_jobs(folder, &ids) : 0;
    if (n_ids > 0) (void)slurm_ask(ids, n_ids, &tasks, no_slurm);
    free(ids);
    for (size_t i = 0; i < n; i++) {
        p->items[i] =
            (struct point){.job = &jobs[i], .output = job_output_path(&jobs[i]), .eta_s = NAN};
        job_point_id(&jobs[i], p->items[i].id);
    }
    count_prompts(p);
    for (size_t i = 0; i < n; i++) look(&p->items[i], folder, &tasks);
    slurm_tasks_free(&tasks);
}

void points_free(struct points *p)
{
    for (size_t i = 0; i < p->n; i++) free(p->items[i].output);
    free(p->items);
    *p = (struct points){0};
}
