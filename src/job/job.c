#include "job/job.h"

#include "base/file.h"
#include "base/mem.h"
#include "job/job_internal.h"
#include "job/paths.h"
#include "job/schedule.h"
#include "job/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JOB_BYTES = 1 << 20 };

static int read_stream(FILE *f, const char *path, int64_t size, size_t max_bytes, char **text,
                       size_t *n_bytes, struct err *e)
{
    if ((uint64_t)size > max_bytes)
        return err_set(e, "%s: %lld bytes, more than the %zu allowed", path, (long long)size,
                       max_bytes);
    char *buffer = malloc((size_t)size + 1);
    if (!buffer) return err_set(e, "%s: no memory for its %lld bytes", path, (long long)size);
    size_t n = fread(buffer, 1, (size_t)size, f);
    if (n != (size_t)size) {
        free(buffer);
        return err_set(e, "%s: could not be read to the end: %s", path,
                       ferror(f) ? strerror(errno) : "it became shorter");
    }
    buffer[n] = 0;
    *text = buffer;
    *n_bytes = n;
    return 0;
}

int file_read(const char *path, size_t max_bytes, char **text, size_t *n_bytes, struct err *e)
{
    int64_t size = 0;
    int fd = file_open(path, &size, e);
    TRY(fd);
    FILE *f = fdopen(fd, "rb");
    if (!f) {
        err_set(e, "%s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    int rc = read_stream(f, path, size, max_bytes, text, n_bytes, e);
    fclose(f);
    return rc;
}

static void push_defaults(struct entries *es)
{
    struct err e;
    if (entries_read(es, schema_defaults, strlen(schema_defaults), "default", &e) < 0)
        DIE("%s", e.text);
}

/* Defaults, then the text. */
static int read_text(struct entries *es, const char *text, size_t n_bytes, const char *file,
                     struct err *e)
{
    struct entries over = {0};
    push_defaults(es);
    int rc = entries_read(&over, text, n_bytes, file, e);
    if (rc == 0) entries_apply(es, &over);
    entries_free(&over);
    return rc;
}

int job_text_entries(struct entries *es, const char *text, size_t n_bytes, const char *file,
                     const char *const *overrides, int n_overrides, struct err *e)
{
    int rc = read_text(es, text, n_bytes, file, e);
    for (int i = 0; i < n_overrides && rc == 0; i++) {
        struct entries over = {0};
        rc = entries_read_override(&over, overrides[i], e);
        /* checked before it hides what the file says */
        for (size_t k = 0; k < over.n && rc == 0; k++) rc = job_check_entry(&over.items[k], e);
        if (rc == 0) entries_apply(es, &over);
        entries_free(&over);
    }
    return rc;
}

/* A result file where a job file is due: what is to be done with it has other verbs. */
static int refuse_result_file(const char *file, struct err *e)
{
    static const char hdf5[] = "\x89HDF\r\n\x1a\n";
    char head[sizeof hdf5] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return 0; /* who reads it says why */
    ssize_t n = read(fd, head, sizeof hdf5 - 1);
    close(fd);
    if (n < (ssize_t)sizeof hdf5 - 1 || memcmp(head, hdf5, sizeof hdf5 - 1) != 0) return 0;
    return err_set(
        e,
        "%s: a result file (HDF5), not a job file (YAML); inspect, report, replay, export "
        "and timeline take it",
        file);
}

int job_read_entries(struct entries *es, const char *file, const char *const *overrides,
                     int n_overrides, struct err *e)
{
    char *text = NULL;
    size_t n_bytes = 0;
    TRY(refuse_result_file(file, e));
    TRY(file_read(file, MAX_JOB_BYTES, &text, &n_bytes, e));
    int rc = job_text_entries(es, text, n_bytes, file, overrides, n_overrides, e);
    free(text);
    return rc;
}

int job_open(struct job *j, const char *file, const char *const *overrides, int n_overrides,
             struct err *e)
{
    struct entries es = {0};
    char *folder = NULL;
    int rc = job_read_entries(&es, file, overrides, n_overrides, e);
    if (rc == 0) rc = path_folder(file, &folder, e);
    if (rc == 0) rc = job_load(j, &es, file, folder, e);
    if (rc == 0 && (rc = job_check_rules(j, &es, file, e)) < 0) job_free(j);
    free(folder);
    entries_free(&es);
    return rc;
}

/* Keys that jobs in older files carry: they never did anything. */
static void drop_obsolete(struct entries *es)
{
    size_t n = 0;
    for (size_t i = 0; i < es->n; i++) {
        struct entry *en = &es->items[i];
        if (strcmp(en->key, "judge.id") != 0 && strcmp(en->key, "judge.cache") != 0) {
            es->items[n++] = *en;
            continue;
        }
        free(en->key);
        free(en->text);
        free(en->where);
    }
    es->n = n;
}

int job_from_yaml(struct job *j, const char *yaml, const char *file, struct err *e)
{
    struct entries es = {0};
    int rc = read_text(&es, yaml, strlen(yaml), file, e);
    drop_obsolete(&es);
    if (rc == 0) rc = job_load(j, &es, file, "/", e); /* the paths in it are absolute */
    entries_free(&es);
    return rc;
}

static void model_free(struct model_ref *m)
{
    free(m->path);
    free(m->id);
    free(m->chat_template);
}

void job_free(struct job *j)
{
    free(j->name);
    model_free(&j->generator);
    model_free(&j->reward);
    model_free(&j->judge);
    free(j->dataset.path);
    free(j->dataset.id);
    free(j->dataset.field);
    free(j->dataset.system);
    schedule_free(&j->rounds);
    schedule_free(&j->score_at);
    free(j->output);
    free(j->file);
    *j = (struct job){0};
}

char *job_output_path(const struct job *j)
{
    char id[HASH_HEX];
    job_point_id(j, id);
    char *path = mem_strdup("");
    for (const char *s = j->output; *s; s++) {
        char one[2] = {*s, 0};
        const char *piece = one;
        if (*s == '%') {
            s++;
            piece = *s == 'n' ? j->name : *s == 'p' ? id : "%";
        }
        char *longer = mem_printf("%s%s", path, piece);
        free(path);
        path = longer;
    }
    return path;
}

const char *method_name(enum method m)
{
    switch (m) {
    case METHOD_BEST_OF_N:
        return "best_of_n";
    case METHOD_SPECULATIVE_REJECTION:
        return "speculative_rejection";
    }
    return "?";
}
