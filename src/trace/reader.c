#include "trace/reader.h"

#include "base/mem.h"
#include "trace/catalog.h"
#include "trace/seal.h"

#include <stdlib.h>
#include <string.h>

struct trace_reader {
    struct store *store;
    struct catalog catalog;
    struct attrs attrs;
};

struct trace_reader *trace_reader_open(const char *path, struct err *e)
{
    struct trace_reader *r = mem_calloc(1, sizeof *r);
    r->store = store_open(path, STORE_READ, e);
    if (r->store && catalog_load(&r->catalog, r->store, e) == 0 &&
        attrs_read(&r->attrs, r->store->file, path, e) == 0)
        return r;
    trace_reader_close(r);
    return NULL;
}

void trace_reader_close(struct trace_reader *r)
{
    if (!r) return;
    store_close(r->store, &(struct err){0});
    catalog_free(&r->catalog);
    attrs_free(&r->attrs);
    free(r);
}

const char *trace_reader_attr(const struct trace_reader *r, const char *name)
{
    for (int i = 0; i < ATTRS; i++)
        if (strcmp(attrs_name((enum attr)i), name) == 0) return r->attrs.value[i];
    return NULL;
}

int64_t trace_n_runs(const struct trace_reader *r)
{
    return r->catalog.n_runs;
}
int64_t trace_n_prompts(const struct trace_reader *r)
{
    return r->catalog.n_prompts;
}
const struct run_row *trace_runs(const struct trace_reader *r)
{
    return r->catalog.runs;
}
const struct prompt_row *trace_prompts(const struct trace_reader *r)
{
    return r->catalog.prompts;
}
int64_t trace_n_rows(const struct trace_reader *r, enum trace_table table)
{
    return store_room(r->store, table);
}

/* All rows of one prompt in one table. */
static int read_rows(struct trace_reader *r, int64_t prompt, enum trace_table table, void **out,
                     int64_t *n, struct err *e)
{
    ENSURE(prompt >= 0 && prompt < r->catalog.n_prompts);
    const struct prompt_row *p = &r->catalog.prompts[prompt];
    *out = NULL;
    *n = 0;
    TRY(store_check_room(r->store, table, p->count[table], e));
    void *rows = calloc((size_t)p->count[table] + 1, types_row_bytes(table));
    if (!rows)
        return err_set(e, "%s: %lld rows of %s do not fit into memory", r->store->path,
                       (long long)p->count[table], types_name(table));
    if (store_read(r->store, table, p->first[table], p->count[table], rows, e) < 0) {
        free(rows);
        return -1;
    }
    *out = rows;
    *n = p->count[table];
    return 0;
}

int trace_read_candidates(struct trace_reader *r, int64_t prompt, struct candidate_row **out,
                          int64_t *n, struct err *e)
{
    return read_rows(r, prompt, T_CANDIDATES, (void **)out, n, e);
}

int trace_read_rounds(struct trace_reader *r, int64_t prompt, struct round_row **out, int64_t *n,
                      struct err *e)
{
    return read_rows(r, prompt, T_ROUNDS, (void **)out, n, e);
}

int trace_read_partial_rewards(struct trace_reader *r, int64_t prompt,
                               struct partial_reward_row **out, int64_t *n, struct err *e)
{
    return read_rows(r, prompt, T_PARTIAL_REWARDS, (void **)out, n, e);
}

int trace_read_spans(struct trace_reader *r, int64_t prompt, struct trace_row **out, int64_t *n,
                     struct err *e)
{
    return read_rows(r, prompt, T_TRACE, (void **)out, n, e);
}

int trace_read_tokens(struct trace_reader *r, int64_t offset, int64_t n, int32_t *out,
                      struct err *e)
{
    return store_read(r->store, T_TOKENS, offset, n, out, e);
}

int trace_read_text(struct trace_reader *r, int64_t offset, int64_t n, char *out, struct err *e)
{
    return store_read(r->store, T_TEXT, offset, n, out, e);
}

int trace_reader_verify(struct trace_reader *r, int64_t prompt, struct err *e)
{
    ENSURE(prompt >= 0 && prompt < r->catalog.n_prompts);
    return seal_verify_copy(r->store, &r->catalog.prompts[prompt], NULL, e);
}
