#include "cluster/slurm.h"

#include "base/mem.h"
#include "cluster/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_S       60.0  /* a busy controller takes its time */
#define CLOCKS_DIFFER 120.0 /* seconds by which two hosts' clocks may disagree */

static enum slurm_phase phase_of(const char *state)
{
    static const char *const waiting[] = {"PENDING",      "REQUEUED",     "REQUEUE_FED",
                                          "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"};
    static const char *const ended[] = {"BOOT_FAIL", "CANCELLED", "COMPLETED",     "DEADLINE",
                                        "FAILED",    "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
                                        "REVOKED",   "TIMEOUT"};
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
        if (strcmp(state, waiting[i]) == 0) return SLURM_WAITING;
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++)
        if (strcmp(state, ended[i]) == 0) return SLURM_ENDED;
    return SLURM_ACTIVE; /* also a state of a later Slurm: nothing is taken from it */
}

/* The next of the fields that | separates; the last one takes the rest of the line. */
static void field(const char **p, const char *end, bool last, char *out, size_t bytes)
{
    const char *stop = last ? NULL : memchr(*p, '|', (size_t)(end - *p));
    if (!stop) stop = end;
    size_t n = (size_t)(stop - *p);
    if (n >= bytes) n = bytes - 1;
    memcpy(out, *p, n);
    out[n] = 0;
    *p = stop < end ? stop + 1 : end;
}

bool slurm_parse_line(const char **line, struct slurm_task *t)
{
    const char *p = *line, *end = p + strcspn(p, "\n");
    char array[32], index[32], job[32], start[32], submit[32];
    field(&p, end, false, array, sizeof array);
    field(&p, end, false, index, sizeof index);
    field(&p, end, false, job, sizeof job);
    field(&p, end, false, t->state, sizeof t->state);
    field(&p, end, false, start, sizeof start);
    field(&p, end, false, submit, sizeof submit);
    field(&p, end, true, t->reason, sizeof t->reason);
    *line = *end ? end + 1 : end;
    char *rest;
    t->array_job = strtoll(array, NULL, 10);
    t->index = strtoll(index, &rest, 10);
    if (rest == index) t->index = -1; /* N/A */
    t->job = strtoll(job, NULL, 10);
    t->start_unix_s = strtod(start, NULL); /* N/A: 0 */
    t->submit_unix_s = strtod(submit, NULL);
    t->phase = phase_of(t->state);
    return t->array_job > 0 && t->job > 0 && t->state[0];
}

/* squeue's answer about these ids, separated by commas. */
static int squeue(const char *ids, struct slurm_tasks *out, struct err *e)
{
    const char *argv[] = {"squeue",
                          "--noheader",
                          "--array",
                          "--states=all",
                          "--jobs",
                          ids,
                          "--format=%F|%K|%A|%T|%S|%V|%r",
                          NULL};
    const char *environment[] = {"SLURM_TIME_FORMAT=%s", NULL};
    struct command_output o;
    TRY(command_run(argv, environment, LIMIT_S, &o, e));
    int rc = 0;
    struct slurm_task t;
    if (o.status == 0)
        for (const char *p = o.out; *p;)
            if (slurm_parse_line(&p, &t)) ARRAY_PUSH(*out, t);
    if (o.status != 0 && !strstr(o.errors, "Invalid job id"))
        rc = err_set(e, "squeue: status %d: %.200s", o.status, o.errors);
    command_free(&o);
    return rc;
}

int slurm_ask(const int64_t *jobs, size_t n_jobs, struct slurm_tasks *out, struct err *e)
{
    *out = (struct slurm_tasks){0};
    if (n_jobs == 0) return 0;
    char *ids = mem_strdup("");
    for (size_t i = 0; i < n_jobs; i++) {
        char *longer = mem_printf("%s%s%lld", ids, i ? "," : "", (long long)jobs[i]);
        free(ids);
        ids = longer;
    }
    int rc = squeue(ids, out, e);
    free(ids);
    return rc;
}

void slurm_tasks_free(struct slurm_tasks *t)
{
    free(t->items);
    *t = (struct slurm_tasks){0};
}

const struct slurm_task *slurm_find(const struct slurm_tasks *t, int64_t array_job, int64_t index)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->items[i].array_job == array_job && t->items[i].index == index) return &t->items[i];
    return NULL;
}

/* The value of a key in `scontrol show config`.  Caller frees. */
static char *config_value(const char *key, struct err *e)
{
    const char *argv[] = {"scontrol", "show", "config", NULL};
    struct command_output o;
    if (command_run(argv, NULL, LIMIT_S, &o, e) < 0) return NULL;
    char *value = NULL;
    size_t n = strlen(key);
    for (const char *p = o.out; p && *p && !value; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
        if (strncmp(p, key, n) != 0 || (p[n] != ' ' && p[n] != '=')) continue;
        p += n + strspn(p + n, " =");
        value = mem_strndup(p, strcspn(p, "\n "));
    }
    if (!value) err_set(e, "scontrol does not tell %s: %.200s", key, o.errors);
    command_free(&o);
    return value;
}

/* Is the Slurm that answers here the one of that cluster? */
static bool is_here(const char *cluster)
{
    if (!cluster[0]) return true; /* the holder knew no name either */
    const char *mine = getenv("SLURM_CLUSTER_NAME");
    if (mine) return strcmp(mine, cluster) == 0;
    char *name = config_value("ClusterName", &(struct err){0});
    bool here = name && strcmp(name, cluster) == 0;
    free(name);
    return here;
}

/* The start of the job that was there at `since` is over: the job ended, waits to be started again,
 * or was started or submitted (that is another job) later. */
static bool is_over(const struct slurm_task *t, double since_unix_s)
{
    double later = since_unix_s + CLOCKS_DIFFER;
    return t->phase != SLURM_ACTIVE || t->start_unix_s > later || t->submit_unix_s > later;
}

bool slurm_job_ended(const char *cluster, const char *job_id, double since_unix_s)
{
    int64_t id = strtoll(job_id, NULL, 10);
    struct slurm_tasks tasks;
    struct err e;
    if (id <= 0 || !is_here(cluster) || slurm_ask(&id, 1, &tasks, &e) < 0) return false;
    bool over = true; /* Slurm does not know it any more */
    for (size_t i = 0; i < tasks.n; i++)
        if (tasks.items[i].job == id) over = is_over(&tasks.items[i], since_unix_s);
    slurm_tasks_free(&tasks);
    return over;
}

int slurm_max_array(int64_t *n, struct err *e)
{
    char *value = config_value("MaxArraySize", e);
    if (!value) return -1;
    *n = strtoll(value, NULL, 10);
    free(value);
    return *n > 0 ? 0 : err_set(e, "this Slurm allows no job arrays (MaxArraySize 0)");
}
