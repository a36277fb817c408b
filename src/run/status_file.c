#include "run/status_file.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
    [STATE_RUNNING] = "running", [STATE_JUDGING] = "judging",   [STATE_COMPLETE] = "complete",
    [STATE_STOPPED] = "stopped", [STATE_CONTINUE] = "continue", [STATE_FAILED] = "failed"};

void status_file_write(const char *path, struct status_file *s)
{
    const char *job = getenv("SLURM_JOB_ID");
    s->updated_unix_s = clock_unix_s();
    s->pid = getpid();
    gethostname(s->host, sizeof s->host - 1);
    snprintf(s->slurm_job, sizeof s->slurm_job, "%s", job ? job : "");
    json_t *j =
        json_pack("{ss ss ss sI sI sI sf so sf so sI ss so}", "name", s->name, "point", s->point,
                  "state", names[s->state], "prompts", (json_int_t)s->prompts, "prompts_done",
                  (json_int_t)s->prompts_done, "candidates_live", (json_int_t)s->live,
                  "tokens_per_s", s->tokens_per_s, "eta_s", json_finite(s->eta_s), "updated_unix_s",
                  s->updated_unix_s, "host", json_text(s->host), "pid", (json_int_t)s->pid,
                  "slurm_job", s->slurm_job, "message", json_text(s->message));
    ENSURE(j);
    char *target = mem_printf("%s.status.json", path), *tmp = mem_printf("%s.tmp", target);
    if (json_dump_file(j, tmp, JSON_COMPACT) != 0 || rename(tmp, target) != 0) unlink(tmp);
    free(tmp);
    free(target);
    json_decref(j);
}

static int parse(const json_t *j, const char *where, struct status_file *s, struct err *e)
{
    const char *name, *point, *state, *host, *job, *message;
    TRY(json_get_str(j, where, "name", &name, e));
    TRY(json_get_str_or(j, where, "point", "", &point, e));
    TRY(json_get_str(j, where, "state", &state, e));
    TRY(json_get_i64(j, where, "prompts", &s->prompts, e));
    TRY(json_get_i64(j, where, "prompts_done", &s->prompts_done, e));
    TRY(json_get_i64_or(j, where, "candidates_live", 0, &s->live, e));
    TRY(json_get_f64_or(j, where, "tokens_per_s", 0, &s->tokens_per_s, e));
    TRY(json_get_f64_or(j, where, "eta_s", NAN, &s->eta_s, e));
    TRY(json_get_f64_or(j, where, "updated_unix_s", 0, &s->updated_unix_s, e));
    TRY(json_get_i64_or(j, where, "pid", 0, &s->pid, e));
    TRY(json_get_str_or(j, where, "host", "", &host, e));
    TRY(json_get_str_or(j, where, "slurm_job", "", &job, e));
    TRY(json_get_str_or(j, where, "message", "", &message, e));
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->point, sizeof s->point, "%s", point);
    snprintf(s->host, sizeof s->host, "%s", host);
    snprintf(s->slurm_job, sizeof s->slurm_job, "%s", job);
    snprintf(s->message, sizeof s->message, "%s", message);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(state, names[i]) == 0) {
            s->state = (enum run_state)i;
            return 0;
        }
    return err_set(e, "%s: unknown state '%s'", where, state);
}

int status_file_read(const char *path, struct status_file *s, struct err *e)
{
    *s = (struct status_file){0};
    char *file = mem_printf("%s.status.json", path);
    bool exists;
    int rc = file_exists(file, &exists, e);
    if (rc == 0 && exists) {
        json_t *j = json_open(file, e);
        rc = j && parse(j, file, s, e) == 0 ? 1 : -1;
        json_decref(j);
    }
    free(file);
    return rc;
}
