#include "cluster/submit.h"

#include "base/mem.h"
#include "cluster/command.h"
#include "trace/lock.h"
#include "trace/place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_S 300.0 /* a busy controller takes its time, and sbatch asks again and again */

/* ---- slurm/submit.sh ---- */

/* This program's file; "" when it cannot be told. */
static void own_path(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = 0;
}

/* The folder of scripts: $SPECREJ_SLURM, or slurm/ of the checkout that holds build/specrej.
 * Caller frees. */
static char *script_path(struct err *e)
{
    char self[PATH_MAX];
    const char *folder = getenv("SPECREJ_SLURM");
    own_path(self);
    for (int i = 0; i < 2; i++) { /* build/specrej -> . */
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
    }
    char *path =
        folder ? mem_printf("%s/submit.sh", folder) : mem_printf("%s/slurm/submit.sh", self);
    if (access(path, R_OK) == 0) return path;
    err_set(e, "%s: %s; set SPECREJ_SLURM to the folder slurm of specrej's sources", path,
            strerror(errno));
    free(path);
    return NULL;
}

struct arguments {
    const char **items;
    size_t n, cap;
};

/* The array's line for submit.sh, borrowed texts; the caller frees items. */
static struct arguments command_of(const struct submit_options *o, const char *script,
                                   const char *const own[3], const char *list)
{
    struct arguments a = {0};
    ARRAY_PUSH(a, "bash");
    ARRAY_PUSH(a, script);
    if (o->dry_run) ARRAY_PUSH(a, "--dry-run");
    for (int i = 0; i < 3; i++) ARRAY_PUSH(a, own[i]);
    for (int i = 0; i < o->n_sbatch; i++) ARRAY_PUSH(a, o->sbatch[i]);
    ARRAY_PUSH(a, "--");
    ARRAY_PUSH(a, "--tasks");
    ARRAY_PUSH(a, list);
    ARRAY_PUSH(a, NULL);
    return a;
}

/* Run submit.sh; *answer: what it printed, caller frees. */
static int call_script(const struct sweep_folder *f, const struct submit_options *o,
                       const char *name, size_t n_tasks, char **answer, struct err *e)
{
    char *script = script_path(e);
    if (!script) return -1;
    char limit[32] = "", self[PATH_MAX];
    own_path(self);
    if (o->max_running > 0) snprintf(limit, sizeof limit, "%%%lld", (long long)o->max_running);
    char *own[] = {mem_printf("--array=0-%zu%s", n_tasks - 1, limit),
                   mem_printf("--job-name=%s", name),
                   mem_printf("--output=%s/logs/%%A_%%a.log", f->path)};
    char *list = folder_list(f);
    struct arguments a = command_of(o, script, (const char *const *)own, list);
    char *program = mem_printf("SPECREJ=%s", self);
    const char *environment[] = {getenv("SPECREJ") ? NULL : program, NULL};
    struct command_output got;
    int rc = command_run(a.items, environment, LIMIT_S, &got, e) < 0 ? -1 : 0;
    if (rc == 0 && got.status != 0)
        rc = err_set(e, "%s: status %d: %.300s", script, got.status, got.errors);
    if (rc == 0) {
        *answer = mem_strdup(got.out);
        fputs(got.errors, stderr);
    }
    if (rc == 0 || got.out) command_free(&got);
    for (int i = 0; i < 3; i++) free(own[i]);
    free(program);
    free(list);
    free(a.items);
    free(script);
    return rc;
}

/* ---- which points ---- */

/* What is neither done nor on its way; returns how many. */
static size_t choose(const struct points *p, size_t *chosen, FILE *out)
{
    size_t n = 0, complete = 0, queued = 0;
    for (size_t i = 0; i < p->n; i++) {
        enum point_state s = p->items[i].state;
        if (s == POINT_COMPLETE)
            complete++;
        else if (s == POINT_RUNNING || s == POINT_WAITING)
            queued++;
        else
            chosen[n++] = i;
    }
    fprintf(out, "%zu point%s: %zu complete, %zu running or waiting, %zu to submit\n", p->n,
            p->n == 1 ? "" : "s", complete, queued, n);
    return n;
}

/* Points per task: as asked, else as few as the longest array that Slurm takes allows. */
static int divide(const struct submit_options *o, size_t n, size_t *per_task, struct err *e)
{
    int64_t most = INT32_MAX;
    if (slurm_max_array(&most, e) < 0 && !o->dry_run) return -1;
    size_t least = (n + (size_t)most - 1) / (size_t)most;
    *per_task = o->per_task > 0 ? (size_t)o->per_task : least;
    if (*per_task >= least) return 0;
    return err_set(e,
                   "%zu points make more tasks than Slurm's MaxArraySize %lld allows; take "
                   "--points-per-task %zu or more",
                   n, (long long)most, least);
}

/* ---- */

static void print_tasks(const struct points *p, const size_t *chosen, size_t n, size_t per_task,
                        FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i % per_task == 0) fprintf(out, "task %zu:", i / per_task);
        fprintf(out, " %s", p->items[chosen[i]].id);
        if ((i + 1) % per_task == 0 || i + 1 == n) fputc('\n', out);
    }
}

static int hand_in(struct sweep_folder *f, const struct sweep *s, const struct submit_options *o,
                   const size_t *chosen, size_t n, size_t per_task, FILE *out, struct err *e)
{
    char *answer = NULL, *end;
    size_t n_tasks = (n + per_task - 1) / per_task;
    if (!o->dry_run) TRY(folder_prepare(f, s, chosen, n, per_task, e));
    int rc = call_script(f, o, s->points[0].name, n_tasks, &answer, e);
    if (rc < 0) return -1;
    if (o->dry_run) {
        fprintf(out, "%s", answer);
        free(answer);
        return 0;
    }
    int64_t job = strtoll(answer, &end, 10); /* "4711" or "4711;cluster" */
    if (job <= 0)
        rc = err_set(e, "submit.sh printed no job id but '%.100s'; see squeue", answer);
    else if (folder_submitted(f, s, chosen, n, per_task, job, e) < 0)
        rc = err_context(e, "submitted as job %lld, but not noted down: ", (long long)job);
    free(answer);
    if (rc < 0) return -1;
    fprintf(out, "submitted as job %lld, %zu task%s", (long long)job, n_tasks,
            n_tasks == 1 ? "" : "s");
    if (o->max_running > 0) fprintf(out, ", at most %lld at a time", (long long)o->max_running);
    fprintf(out, "\n  watch:   specrej status %s\n  logs:    %s/logs/%lld_*.log\n", f->path,
            f->path, (long long)job);
    fprintf(out, "  cancel:  scancel %lld\n  go on:   %s\n", (long long)job, o->command);
    return 0;
}

static int submit_missing(struct sweep_folder *f, const struct sweep *s,
                          const struct submit_options *o, FILE *out, struct err *e)
{
    struct points p;
    struct err no_slurm;
    points_look(&p, s->points, (size_t)s->n_points, f, &no_slurm);
    size_t *chosen = mem_calloc(p.n, sizeof *chosen), per_task = 1;
    int rc = 0;
    if (no_slurm.text[0] && !o->dry_run)
        rc = err_set(e, "cannot tell what is in the queue: %.400s", no_slurm.text);
    size_t n = rc == 0 ? choose(&p, chosen, out) : 0;
    if (n > 0) rc = divide(o, n, &per_task, e);
    if (rc == 0 && n > 0 && o->dry_run) print_tasks(&p, chosen, n, per_task, out);
    if (rc == 0 && n > 0) rc = hand_in(f, s, o, chosen, n, per_task, out, e);
    free(chosen);
    points_free(&p);
    return rc;
}

int submit(const struct sweep *s, const struct submit_options *o, FILE *out, struct err *e)
{
    struct sweep_folder f;
    char *path = o->folder ? realpath(o->folder, NULL) : folder_default_path(s->points[0].name);
    if (!path) path = mem_strdup(o->folder); /* to be made */
    char *inside = mem_printf("%s/x", path);
    struct lock *lock = NULL;
    int rc = -1;
    if (!o->dry_run) { /* of two submissions at once, the second would send the same again */
        TRY_GOTO(place_make_folders(inside, e), done);
        if (!(lock = lock_take(path, slurm_job_ended, e))) goto done;
    }
    TRY_GOTO(folder_open(&f, path, e), done);
    rc = submit_missing(&f, s, o, out, e);
    folder_close(&f);
done:
    lock_release(lock);
    free(inside);
    free(path);
    return rc;
}
