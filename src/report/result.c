#include "report/result.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct place {
    int64_t index, row;
};

static int by_index(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void sort_prompts(struct result *r)
{
    const struct prompt_row *rows = trace_prompts(r->file);
    r->n_prompts = trace_n_prompts(r->file);
    size_t n = (size_t)r->n_prompts;
    struct place *places = mem_calloc(n, sizeof *places);
    for (size_t i = 0; i < n; i++) places[i] = (struct place){rows[i].prompt_index, (int64_t)i};
    qsort(places, n, sizeof *places, by_index);
    r->order = mem_calloc(n, sizeof *r->order);
    for (size_t i = 0; i < n; i++) r->order[i] = places[i].row;
    free(places);
}

int result_open(struct result *r, const char *path, struct err *e)
{
    *r = (struct result){.path = path};
    r->file = trace_reader_open(path, e);
    if (!r->file) return -1;
    sort_prompts(r);
    return job_from_yaml(&r->job, trace_reader_attr(r->file, "job_yaml"), path, e);
}

void result_close(struct result *r)
{
    if (r->job.name) job_free(&r->job);
    tokenizer_destroy(r->tokenizer);
    dataset_free(&r->dataset);
    trace_reader_close(r->file);
    free(r->dataset_row);
    free(r->order);
    *r = (struct result){0};
}

int64_t result_find(const struct result *r, int64_t prompt_index)
{
    const struct prompt_row *rows = trace_prompts(r->file);
    int64_t low = 0, high = r->n_prompts;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (rows[r->order[middle]].prompt_index < prompt_index)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->n_prompts || rows[r->order[low]].prompt_index != prompt_index) return -1;
    return r->order[low];
}

/* ---- the dataset ---- */

/* Place in the dataset by row of the file; true when every prompt of the result was found. */
static bool match_rows(struct result *r)
{
    const struct prompt_row *rows = trace_prompts(r->file);
    int64_t last = -1;
    for (int64_t i = 0; i < r->dataset.n; i++)
        if (r->dataset.prompts[i].index > last) last = r->dataset.prompts[i].index;
    int64_t *place = mem_calloc((size_t)(last + 1), sizeof *place);
    for (int64_t i = 0; i < r->dataset.n; i++) place[r->dataset.prompts[i].index] = i + 1;
    bool all = true;
    for (int64_t i = 0; i < r->n_prompts; i++) {
        int64_t index = rows[i].prompt_index;
        r->dataset_row[i] = index >= 0 && index <= last ? place[index] - 1 : -1;
        all = all && r->dataset_row[i] >= 0;
    }
    free(place);
    return all;
}

/* The job in the file is that of its first run; a later one may have had a larger limit. */
static void read_dataset(struct result *r)
{
    struct dataset_ref ref = r->job.dataset;
    r->dataset_tried = true;
    r->dataset_row = mem_calloc((size_t)r->n_prompts, sizeof *r->dataset_row);
    if (dataset_open(&r->dataset, &ref, &r->dataset_error) < 0) return;
    if (match_rows(r) || ref.limit < 0) return;
    struct dataset all;
    ref.limit = -1;
    if (dataset_open(&all, &ref, &(struct err){0}) < 0) return;
    dataset_free(&r->dataset);
    r->dataset = all;
    match_rows(r);
}

const struct prompt *result_dataset_row(struct result *r, int64_t row, struct err *why)
{
    if (!r->dataset_tried) read_dataset(r);
    if (!r->dataset.prompts) {
        *why = r->dataset_error;
        return NULL;
    }
    const struct prompt_row *p = &trace_prompts(r->file)[row];
    int64_t at = r->dataset_row[row];
    if (at >= 0 && strcmp(r->dataset.prompts[at].key, p->key) == 0) return &r->dataset.prompts[at];
    err_set(why, "%s has changed since: its row %lld is not the prompt that was run",
            r->job.dataset.path, (long long)p->prompt_index);
    return NULL;
}

/* ---- texts ---- */

static const struct tokenizer *get_tokenizer(struct result *r, struct err *e)
{
    if (!r->tokenizer_tried) {
        r->tokenizer = tokenizer_open(r->job.generator.path, &r->tokenizer_error);
        r->tokenizer_tried = true;
    }
    if (!r->tokenizer) *e = r->tokenizer_error;
    return r->tokenizer;
}

static int decode(struct result *r, const int32_t *ids, int64_t n, struct bytes *out, struct err *e)
{
    struct bytes raw = {0};
    const struct tokenizer *t = get_tokenizer(r, e);
    if (!t) return -1;
    int rc = tokenizer_decode(t, ids, (size_t)n, true, &raw, e);
    if (rc == 0) utf8_repair(raw.items, raw.n, out);
    free(raw.items);
    return rc;
}

char *result_instruction(struct result *r, const struct prompt *p)
{
    if (p->n_messages > 0) return mem_strdup(p->messages[p->n_messages - 1].content);
    struct bytes text = {0};
    if (decode(r, p->prompt_ids, p->n_prompt_ids, &text, &(struct err){0}) < 0) return NULL;
    ARRAY_PUSH(text, 0);
    return text.items;
}

static int recorded_text(struct result *r, const struct candidate_row *c, struct bytes *out,
                         struct err *e)
{
    int64_t n = c->text_length;
    if (n < 0 || c->text_offset > trace_n_rows(r->file, T_TEXT) - n)
        return err_set(e, "%s: candidate %d of prompt %lld: its text lies outside the file",
                       r->path, c->candidate, (long long)c->prompt_index);
    ARRAY_RESERVE(*out, out->n + (size_t)n);
    if (n) TRY(trace_read_text(r->file, c->text_offset, n, out->items + out->n, e));
    out->n += (size_t)n;
    return 0;
}

int result_ids(struct result *r, const struct candidate_row *c, int32_t **ids, int64_t *n,
               struct err *e)
{
    *ids = NULL;
    *n = c->n_tokens;
    if (c->tokens_offset < 0 || *n < 0 || c->tokens_offset > trace_n_rows(r->file, T_TOKENS) - *n)
        return err_set(e, "%s: the tokens of candidate %d of prompt %lld were not recorded",
                       r->path, c->candidate, (long long)c->prompt_index);
    *ids = mem_calloc((size_t)*n, sizeof **ids);
    if (*n && trace_read_tokens(r->file, c->tokens_offset, *n, *ids, e) < 0) {
        free(*ids);
        *ids = NULL;
        return -1;
    }
    if (*n > 0 && c->status == CANDIDATE_FINISHED) --*n; /* the end token is no text */
    return 0;
}

int result_is_ids_only(const struct result *r, bool *ids_only, struct err *e)
{
    const char *folder = r->job.generator.path;
    bool config, tokenizer;
    TRY(file_exists_in(folder, "config.json", &config, e));
    TRY(file_exists_in(folder, "tokenizer.json", &tokenizer, e));
    *ids_only = config && !tokenizer;
    return 0;
}

static int decoded_tokens(struct result *r, const struct candidate_row *c, struct bytes *out,
                          struct err *e)
{
    int32_t *ids;
    int64_t n;
    TRY(result_ids(r, c, &ids, &n, e));
    int rc = decode(r, ids, n, out, e);
    free(ids);
    return rc;
}

int result_response(struct result *r, const struct candidate_row *c, struct bytes *out,
                    struct err *e)
{
    if (c->text_offset >= 0) return recorded_text(r, c, out, e);
    if (decoded_tokens(r, c, out, e) == 0) return 0;
    return err_context(e,
                       "the text of candidate %d of prompt %lld was not recorded: ", c->candidate,
                       (long long)c->prompt_index);
}
