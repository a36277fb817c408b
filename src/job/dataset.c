/* File -> rows -> the chosen ones, in order -> prompts.  Rows that are not chosen are counted but
 * not parsed. */
#include "job/dataset.h"

#include "base/mem.h"
#include "base/rng.h"
#include "job/dataset_row.h"
#include "job/job_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { FORM_JSONL, FORM_JSON, FORM_TXT };

struct line {
    size_t start, length;
    int64_t number; /* in the file, from 1 */
};

struct source {
    const char *path;
    enum form form;
    char *text;
    size_t n_bytes;
    struct {
        struct line *items;
        size_t n, cap;
    } lines;       /* of .jsonl and .txt: those that are not blank */
    json_t *array; /* of .json */
};

static int find_form(enum form *form, const char *path, struct err *e)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".jsonl"))
        *form = FORM_JSONL;
    else if (dot && !strcmp(dot, ".json"))
        *form = FORM_JSON;
    else if (dot && !strcmp(dot, ".txt"))
        *form = FORM_TXT;
    else
        return err_set(
            e,
            "%s: not a form of dataset that is known; expected .jsonl, .json or .txt (with "
            "pandas: frame.to_json(\"FILE.jsonl\", orient=\"records\", lines=True))",
            path);
    return 0;
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", s[i]) || !s[i]) return false;
    return true;
}

static void split_lines(struct source *s, size_t start)
{
    for (int64_t number = 1; start < s->n_bytes; number++) {
        const char *end = memchr(s->text + start, '\n', s->n_bytes - start);
        size_t length = end ? (size_t)(end - s->text) - start : s->n_bytes - start,
               next = start + length + 1;
        if (length && s->text[start + length - 1] == '\r') length--;
        if (!is_blank(s->text + start, length))
            ARRAY_PUSH(s->lines, ((struct line){start, length, number}));
        start = next;
    }
}

static const char *cure_of_json(const json_error_t *je)
{
    return json_error_code(je) == json_error_invalid_utf8 ? "; save the file as UTF-8" : "";
}

static int parse_array(struct source *s, size_t start, struct err *e)
{
    json_error_t je;
    s->array = json_loadb(s->text + start, s->n_bytes - start, JSON_REJECT_DUPLICATES, &je);
    free(s->text);
    s->text = NULL;
    if (!s->array)
        return err_set(e, "%s:%d:%d: not valid JSON: %s%s", s->path, je.line, je.column, je.text,
                       json_error_code(&je) == json_error_end_of_input_expected
                           ? "; a file of one object a line is named .jsonl"
                           : cure_of_json(&je));
    if (!json_is_array(s->array))
        return err_set(e, "%s: expected a list of objects or texts: [...]", s->path);
    return 0;
}

static int source_open(struct source *s, const char *path, struct err *e)
{
    *s = (struct source){.path = path};
    TRY(find_form(&s->form, path, e));
    TRY(file_read(path, SIZE_MAX / 4, &s->text, &s->n_bytes, e));
    size_t start =
        s->n_bytes >= 3 && !memcmp(s->text, "\xef\xbb\xbf", 3) ? 3 : 0; /* byte order mark */
    if (is_blank(s->text, s->n_bytes)) return err_set(e, "%s: the file is empty", path);
    if (s->form == FORM_JSON) return parse_array(s, start, e);
    split_lines(s, start);
    return 0;
}

static void source_close(struct source *s)
{
    free(s->text);
    free(s->lines.items);
    json_decref(s->array);
}

static int64_t source_rows(const struct source *s)
{
    return (int64_t)(s->form == FORM_JSON ? json_array_size(s->array) : s->lines.n);
}

/* Row r as JSON (a new reference) and its place for messages. */
static json_t *source_row(const struct source *s, int64_t r, char *where, size_t where_size,
                          struct err *e)
{
    if (s->form == FORM_JSON) {
        snprintf(where, where_size, "%s: row %lld", s->path, (long long)r);
        return json_incref(json_array_get(s->array, (size_t)r));
    }
    const struct line *line = &s->lines.items[r];
    snprintf(where, where_size, "%s:%lld", s->path, (long long)line->number);
    json_t *row;
    if (s->form == FORM_TXT) {
        row = json_stringn(s->text + line->start, line->length);
        if (row && !memchr(s->text + line->start, 0, line->length)) return row;
        err_set(e, "%s: row %lld: not valid UTF-8 text; save the file as UTF-8", where,
                (long long)r);
        json_decref(row);
        return NULL;
    }
    json_error_t je;
    row = json_loadb(s->text + line->start, line->length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                     &je);
    if (!row)
        err_set(e, "%s: row %lld: not valid JSON: %s (column %d)%s", where, (long long)r, je.text,
                je.column, cure_of_json(&je));
    return row;
}

void dataset_shuffle(int64_t *order, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        /* The last counter word keeps these draws apart from those of the sampler. */
        struct philox x =
            philox4x32(seed, (uint32_t)i, (uint32_t)((uint64_t)i >> 32), 0, 0x73687566u);
        uint64_t draw = (uint64_t)x.word[1] << 32 | x.word[0];
        int64_t k =
            (int64_t)(((unsigned __int128)draw * (uint64_t)(i + 1)) >> 64); /* uniform in 0..i */
        int64_t swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
}

/* Rows that are run, in order.  Caller frees. */
static int choose_rows(const struct dataset_ref *ref, int64_t n_rows, int64_t **chosen, int64_t *n,
                       struct err *e)
{
    if (n_rows > UINT32_MAX) return err_set(e, "%s: more than %u rows", ref->path, UINT32_MAX);
    if (n_rows == 0) return err_set(e, "%s: no rows", ref->path);
    if (ref->offset >= n_rows)
        return err_set(e, "%s: no rows are left: dataset.offset is %lld, the file has %lld rows",
                       ref->path, (long long)ref->offset, (long long)n_rows);
    int64_t *order = mem_calloc((size_t)n_rows, sizeof *order);
    for (int64_t i = 0; i < n_rows; i++) order[i] = i;
    if (ref->shuffle >= 0) dataset_shuffle(order, n_rows, (uint64_t)ref->shuffle);
    *n = n_rows - ref->offset;
    if (ref->limit >= 0 && ref->limit < *n) *n = ref->limit;
    memmove(order, order + ref->offset, (size_t)*n * sizeof *order);
    *chosen = order;
    return 0;
}

static int read_prompts(struct dataset *d, const struct dataset_ref *ref, const struct source *s,
                        const int64_t *chosen, int64_t n, struct err *e)
{
    char where[400];
    d->prompts = mem_calloc((size_t)n, sizeof *d->prompts);
    for (int64_t i = 0; i < n; i++) {
        struct prompt *p = &d->prompts[i];
        json_t *row = source_row(s, chosen[i], where, sizeof where, e);
        if (!row) return -1;
        d->n = i + 1;
        p->index = chosen[i];
        int rc = prompt_from_row(p, row, ref, where, e);
        json_decref(row);
        TRY(rc);
    }
    return 0;
}

int dataset_open(struct dataset *d, const struct dataset_ref *ref, struct err *e)
{
    struct source s;
    int64_t *chosen = NULL, n = 0;
    *d = (struct dataset){0};
    int rc = source_open(&s, ref->path, e);
    if (rc == 0) {
        d->n_rows = source_rows(&s);
        rc = choose_rows(ref, d->n_rows, &chosen, &n, e);
    }
    if (rc == 0) rc = read_prompts(d, ref, &s, chosen, n, e);
    if (rc < 0) dataset_free(d);
    free(chosen);
    source_close(&s);
    return rc;
}

void dataset_free(struct dataset *d)
{
    for (int64_t i = 0; i < d->n; i++) prompt_free(&d->prompts[i]);
    free(d->prompts);
    *d = (struct dataset){0};
}
