#include "trace/judge.h"

#include "base/mem.h"
#include "trace/catalog.h"
#include "trace/seal.h"
#include "trace/writer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All rows of one table of a prompt.  Caller frees. */
static void *read_table(struct store *from, const struct prompt_row *row, int table, struct err *e)
{
    void *rows = mem_calloc((size_t)row->count[table], types_row_bytes(table));
    if (store_read(from, table, row->first[table], row->count[table], rows, e) == 0) return rows;
    free(rows);
    return NULL;
}

/* The rows of a prompt as they were committed: it gets another hash, under which damage would be
 * hidden for ever. */
static int read_record(struct store *from, const struct prompt_row *row, void *rows[TRACE_TABLES],
                       struct trace_record *r, struct err *e)
{
    for (int t = 0; t < TRACE_TABLES; t++)
        if (!(rows[t] = read_table(from, row, t, e))) return -1;
    *r = (struct trace_record){.prompt = *row,
                               .candidates = rows[T_CANDIDATES],
                               .n_candidates = row->count[T_CANDIDATES],
                               .rounds = rows[T_ROUNDS],
                               .n_rounds = row->count[T_ROUNDS],
                               .partial_rewards = rows[T_PARTIAL_REWARDS],
                               .n_partial_rewards = row->count[T_PARTIAL_REWARDS],
                               .tokens = rows[T_TOKENS],
                               .n_tokens = row->count[T_TOKENS],
                               .text = rows[T_TEXT],
                               .n_text = row->count[T_TEXT],
                               .trace = rows[T_TRACE],
                               .n_trace = row->count[T_TRACE]};
    seal_shift(r->candidates, r->n_candidates, -row->first[T_TOKENS], -row->first[T_TEXT]);
    return seal_verify_record(from->path, r, e);
}

/* The record at the end of `to`, with its new hash. */
static int append_record(struct store *to, struct trace_record *r, struct err *e)
{
    struct prompt_row row = r->prompt;
    seal_record_hash(r, row.content_hash);
    seal_shift(r->candidates, r->n_candidates, to->rows[T_TOKENS], to->rows[T_TEXT]);
    for (int t = 0; t < TRACE_TABLES; t++) {
        row.first[t] = to->rows[t];
        TRY(store_append(to, t, seal_record_rows(r, t, &row.count[t]), row.count[t], e));
    }
    row.row_check = seal_row_check(&row);
    return store_append(to, D_PROMPTS, &row, 1, e);
}

static int judge_prompt(struct store *from, const struct prompt_row *row, int64_t number,
                        struct store *to, trace_judge_fn judge, void *arg, struct err *e)
{
    void *rows[TRACE_TABLES] = {0};
    struct trace_record r;
    int rc = read_record(from, row, rows, &r, e);
    if (rc == 0) {
        judge(arg, number, r.candidates, r.n_candidates);
        rc = append_record(to, &r, e);
    }
    for (int t = 0; t < TRACE_TABLES; t++) free(rows[t]);
    return rc;
}

static int write_judged(struct store *from, const struct catalog *c,
                        const struct trace_judge_meta *meta, const char *tmp, trace_judge_fn judge,
                        void *arg, struct err *e)
{
    struct attrs a;
    TRY(attrs_read(&a, from->file, from->path, e));
    attrs_set_judge(&a, meta->judge, c->n_runs);
    free(a.value[A_JOB_YAML]);
    a.value[A_JOB_YAML] = mem_strdup(meta->job_yaml);
    struct store *to = store_create(tmp, &a, e);
    attrs_free(&a);
    if (!to) return -1;
    TRY_GOTO(store_append(to, D_RUNS, c->runs, c->n_runs, e), fail);
    for (int64_t i = 0; i < c->n_prompts; i++)
        TRY_GOTO(judge_prompt(from, &c->prompts[i], i, to, judge, arg, e), fail);
    return store_close(to, e);
fail:
    store_abandon(to);
    return -1;
}

int trace_judge(const char *path, const struct lock *lock, const struct trace_judge_meta *meta,
                trace_judge_fn judge, void *arg, struct err *e)
{
    char *tmp = mem_printf("%s.tmp", path);
    struct catalog c = {0};
    struct store *s = store_open(path, STORE_READ, e);
    int rc = s ? catalog_load(&c, s, e) : -1;
    if (rc == 0) rc = write_judged(s, &c, meta, tmp, judge, arg, e);
    if (s) store_close(s, &(struct err){0});
    if (rc == 0) rc = lock_check(lock, e);
    if (rc == 0)
        rc = store_publish(tmp, path, e);
    else
        unlink(tmp);
    catalog_free(&c);
    free(tmp);
    return rc;
}
