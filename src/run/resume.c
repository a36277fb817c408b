#include "run/resume.h"

#include "base/file.h"
#include "base/mem.h"
#include "trace/reader.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    int64_t index;
    char key[40];
};

static int by_index(const void *a, const void *b)
{
    int64_t x = ((const struct entry *)a)->index, y = ((const struct entry *)b)->index;
    return (x > y) - (x < y);
}

static void collect(struct resume *r, const struct trace_reader *file)
{
    const struct prompt_row *rows = trace_prompts(file);
    int64_t total = trace_n_prompts(file), n = 0;
    struct entry *entries = mem_calloc((size_t)total, sizeof *entries);
    for (int64_t i = 0; i < total; i++) {
        if (rows[i].status == PROMPT_FAILED) continue; /* done again */
        entries[n].index = rows[i].prompt_index;
        memcpy(entries[n++].key, rows[i].key, sizeof entries->key);
    }
    qsort(entries, (size_t)n, sizeof *entries, by_index);
    r->done = mem_calloc((size_t)n, sizeof *r->done);
    r->keys = mem_calloc((size_t)n, sizeof *r->keys);
    r->n = n;
    for (int64_t i = 0; i < n; i++) {
        r->done[i] = entries[i].index;
        memcpy(r->keys[i], entries[i].key, sizeof r->keys[i]);
    }
    free(entries);
}

static int refuse(const struct trace_reader *file, const char *path, const struct job *j,
                  struct err *e)
{
    const char *yaml = trace_reader_attr(file, "job_yaml");
    struct job in_file = {0};
    struct err unreadable;
    char what[300] = "";
    if (yaml && job_from_yaml(&in_file, yaml, path, &unreadable) == 0)
        job_differences(&in_file, j, what, sizeof what);
    job_free(&in_file);
    return err_set(e, "%s belongs to another job: %s; choose another output, or move the file away",
                   path, what[0] ? what : "the files of its models or tokenizers are not these");
}

int resume_open(struct resume *r, const char *path, const struct job *j, const char *identity,
                struct err *e)
{
    *r = (struct resume){0};
    bool exists;
    TRY(file_exists(path, &exists, e));
    if (!exists) return 0;
    struct trace_reader *file = trace_reader_open(path, e);
    if (!file) return -1;
    const char *hash = trace_reader_attr(file, "job_hash"),
               *budget = trace_reader_attr(file, "budget_tokens");
    int rc = 0;
    if (!hash || strcmp(hash, identity) != 0) rc = refuse(file, path, j, e);
    if (rc == 0) {
        r->budget_tokens = budget ? strtoll(budget, NULL, 10) : 0;
        r->start_unix_s = trace_n_runs(file) > 0 ? trace_runs(file)[0].start_unix_s : 0;
        collect(r, file);
    }
    trace_reader_close(file);
    return rc;
}

void resume_free(struct resume *r)
{
    free(r->done);
    free(r->keys);
    *r = (struct resume){0};
}

static int64_t find(const struct resume *r, int64_t prompt_index)
{
    int64_t low = 0, high = r->n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (r->done[mid] < prompt_index)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->n && r->done[low] == prompt_index ? low : -1;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void resume_update(struct resume *r, const int64_t *done, int64_t n)
{
    resume_free(r);
    r->done = mem_calloc((size_t)n, sizeof *r->done);
    if (n > 0) memcpy(r->done, done, (size_t)n * sizeof *r->done);
    qsort(r->done, (size_t)n, sizeof *r->done, by_number);
    r->n = n;
}

bool resume_has(const struct resume *r, int64_t prompt_index)
{
    return find(r, prompt_index) >= 0;
}

int resume_check_inputs(const struct resume *r, const struct prompt_input *items, int64_t n,
                        struct err *e)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = find(r, items[i].index);
        if (at >= 0 && strncmp(r->keys[at], items[i].key, sizeof r->keys[at]) != 0)
            return err_set(e,
                           "row %lld of the dataset changed since it was run; choose another "
                           "output for the new dataset",
                           (long long)items[i].index);
    }
    return 0;
}
