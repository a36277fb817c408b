#include "cluster/folder.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "trace/place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT 1

char *folder_default_path(const char *job_name)
{
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) snprintf(here, sizeof here, ".");
    return mem_printf("%s/%s.sweep", here, job_name);
}

static char *manifest_path(const struct sweep_folder *f)
{
    return mem_printf("%s/manifest.json", f->path);
}

static const json_t *submissions(const struct sweep_folder *f)
{
    return json_object_get(f->manifest, "submissions");
}

static const json_t *tasks_of(const json_t *submission)
{
    return json_object_get(submission, "tasks");
}

static bool is_list_of_texts(const json_t *a)
{
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_is_string(json_array_get(a, i))) return false;
    return json_is_array(a);
}

static bool is_submission(const json_t *s)
{
    const json_t *tasks = tasks_of(s);
    for (size_t i = 0; i < json_array_size(tasks); i++)
        if (!is_list_of_texts(json_array_get(tasks, i))) return false;
    return json_is_array(tasks) && json_is_integer(json_object_get(s, "job"));
}

static int check(const json_t *m, const char *path, struct err *e)
{
    int64_t format;
    TRY(json_get_i64(m, path, "format", &format, e));
    if (format != FORMAT)
        return err_set(e, "%s has format %lld, this program knows %d", path, (long long)format,
                       FORMAT);
    const json_t *list = json_object_get(m, "submissions");
    bool good = json_is_array(list) && is_list_of_texts(json_object_get(m, "points"));
    for (size_t i = 0; i < json_array_size(list); i++)
        good = good && is_submission(json_array_get(list, i));
    if (good) return 0;
    return err_set(e, "%s is not a sweep's manifest; move it away and submit again", path);
}

int folder_open(struct sweep_folder *f, const char *path, struct err *e)
{
    *f = (struct sweep_folder){.path = mem_strdup(path)};
    char *file = manifest_path(f);
    bool exists;
    int rc = file_exists(file, &exists, e);
    if (rc == 0 && exists) {
        f->manifest = json_open(file, e);
        rc = f->manifest ? check(f->manifest, file, e) : -1;
    }
    free(file);
    if (rc < 0) folder_close(f);
    return rc;
}

void folder_close(struct sweep_folder *f)
{
    free(f->path);
    json_decref(f->manifest);
    *f = (struct sweep_folder){0};
}

size_t folder_jobs(const struct sweep_folder *f, int64_t **jobs)
{
    size_t n = json_array_size(submissions(f));
    *jobs = mem_calloc(n, sizeof **jobs);
    for (size_t i = 0; i < n; i++)
        (*jobs)[i] = json_integer_value(json_object_get(json_array_get(submissions(f), i), "job"));
    return n;
}

static bool has_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0) return true;
    return false;
}

bool folder_find(const struct sweep_folder *f, const char *id, struct folder_task *t)
{
    for (size_t s = json_array_size(submissions(f)); s-- > 0;) {
        const json_t *submission = json_array_get(submissions(f), s), *tasks = tasks_of(submission);
        for (size_t i = 0; i < json_array_size(tasks); i++) {
            const json_t *points = json_array_get(tasks, i);
            if (!has_text(points, id)) continue;
            *t = (struct folder_task){.job = json_integer_value(json_object_get(submission, "job")),
                                      .index = (int64_t)i,
                                      .n_points = json_array_size(points)};
            return true;
        }
    }
    return false;
}

char *folder_log(const struct sweep_folder *f, const struct folder_task *t)
{
    return mem_printf("%s/logs/%lld_%lld.log", f->path, (long long)t->job, (long long)t->index);
}

size_t folder_n_points(const struct sweep_folder *f)
{
    return json_array_size(json_object_get(f->manifest, "points"));
}

const char *folder_point(const struct sweep_folder *f, size_t i)
{
    return json_string_value(json_array_get(json_object_get(f->manifest, "points"), i));
}

char *folder_point_file(const struct sweep_folder *f, const char *id)
{
    return mem_printf("%s/points/%s.yaml", f->path, id);
}

/* A whole file, by rename. */
static int write_file(const char *path, const char *text, struct err *e)
{
    char *tmp = mem_printf("%s.tmp", path);
    FILE *out = fopen(tmp, "w");
    bool ok = out && fputs(text, out) >= 0 && fflush(out) == 0 && fsync(fileno(out)) == 0;
    int why = errno;
    if (out && fclose(out) != 0 && ok) ok = (why = errno, false);
    if (ok && rename(tmp, path) < 0) ok = (why = errno, false);
    if (!ok) {
        err_set(e, "cannot write %s: %s", path, strerror(why));
        unlink(tmp);
    }
    free(tmp);
    return ok ? 0 : -1;
}

/* A point's job as it is now; its output seen from any folder. */
static int write_point(const struct sweep_folder *f, const struct job *j, struct err *e)
{
    char id[HASH_HEX], here[PATH_MAX];
    struct job copy = *j;
    char *absolute = NULL;
    job_point_id(j, id);
    if (j->output[0] != '/') {
        if (!getcwd(here, sizeof here))
            return err_set(e, "cannot tell the working directory: %s", strerror(errno));
        copy.output = absolute = mem_printf("%s/%s", here, j->output);
    }
    char *path = folder_point_file(f, id), *yaml = job_to_yaml(&copy);
    int rc = write_file(path, yaml, e);
    free(yaml);
    free(path);
    free(absolute);
    return rc;
}

char *folder_list(const struct sweep_folder *f)
{
    return mem_printf("%s/tasks-%zu.txt", f->path, json_array_size(submissions(f)) + 1);
}

static int make_folders(const struct sweep_folder *f, struct err *e)
{
    char *inside = mem_printf("%s/points/x", f->path), *logs = mem_printf("%s/logs/x", f->path);
    int rc = place_make_folders(inside, e) < 0 || place_make_folders(logs, e) < 0 ? -1 : 0;
    free(inside);
    free(logs);
    return rc;
}

/* Those that are not submitted now: complete before the folder was made.  What is in the queue
 * stays as it is. */
static int write_other_points(const struct sweep_folder *f, const struct sweep *s, struct err *e)
{
    int rc = 0;
    for (int64_t i = 0; i < s->n_points && rc == 0; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[i], id);
        char *file = folder_point_file(f, id);
        bool exists;
        rc = file_exists(file, &exists, e);
        if (rc == 0 && !exists) rc = write_point(f, &s->points[i], e);
        free(file);
    }
    return rc;
}

int folder_prepare(const struct sweep_folder *f, const struct sweep *s, const size_t *chosen,
                   size_t n_chosen, size_t per_task, struct err *e)
{
    int rc = make_folders(f, e);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) mem_exhausted("a list of points");
    for (size_t i = 0; i < n_chosen && rc == 0; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[chosen[i]], id);
        rc = write_point(f, &s->points[chosen[i]], e);
        bool ends = (i + 1) % per_task == 0 || i + 1 == n_chosen;
        fprintf(out, "points/%s.yaml%c", id, ends ? '\n' : ' ');
    }
    bool is_whole = !ferror(out);
    if (fclose(out) != 0 || !is_whole) quit("a list of points in memory: %s", strerror(errno));
    if (rc == 0) rc = write_other_points(f, s, e);
    char *list = folder_list(f);
    if (rc == 0) rc = write_file(list, text, e);
    free(list);
    free(text);
    return rc;
}

static json_t *point_ids(const struct sweep *s, const size_t *chosen, size_t n)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < n; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[chosen ? chosen[i] : i], id);
        json_array_append_new(ids, json_string(id));
    }
    return ids;
}

int folder_submitted(struct sweep_folder *f, const struct sweep *s, const size_t *chosen,
                     size_t n_chosen, size_t per_task, int64_t job, struct err *e)
{
    if (!f->manifest)
        f->manifest =
            json_pack("{si ss s[]}", "format", FORMAT, "name", s->points[0].name, "submissions");
    ENSURE(f->manifest);
    json_t *tasks = json_array();
    for (size_t i = 0; i < n_chosen; i += per_task) {
        size_t n = n_chosen - i < per_task ? n_chosen - i : per_task;
        json_array_append_new(tasks, point_ids(s, chosen + i, n));
    }
    json_t *one = json_pack("{sI sf so}", "job", (json_int_t)job, "submitted_unix_s",
                            clock_unix_s(), "tasks", tasks);
    json_array_append_new(json_object_get(f->manifest, "submissions"), one);
    json_object_set_new(f->manifest, "points", point_ids(s, NULL, (size_t)s->n_points));
    char *text = json_dumps(f->manifest, JSON_INDENT(1) | JSON_PRESERVE_ORDER),
         *path = manifest_path(f);
    int rc = write_file(path, text, e);
    free(path);
    free(text);
    return rc;
}
