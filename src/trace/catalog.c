#include "trace/catalog.h"

#include "trace/seal.h"

#include <stdlib.h>
#include <string.h>

/* All rows of a small table.  The file says how many: failing to get memory is an error, not the
 * end. */
static void *load(struct store *s, int dataset, struct err *e)
{
    int64_t n = s->rows[dataset];
    if (store_check_room(s, dataset, n, e) < 0) return NULL;
    void *rows = calloc((size_t)n + 1, types_row_bytes(dataset));
    if (!rows) {
        err_set(e, "%s: %lld rows of %s do not fit into memory", s->path, (long long)n,
                types_name(dataset));
        return NULL;
    }
    if (store_read(s, dataset, 0, n, rows, e) == 0) return rows;
    free(rows);
    return NULL;
}

static int check_texts(const struct store *s, int dataset, const void *rows, int64_t n,
                       struct err *e)
{
    for (int64_t i = 0; i < n; i++) {
        const char *row = (const char *)rows + (size_t)i * types_row_bytes(dataset);
        const char *field = types_endless_text(dataset, row);
        if (field)
            return err_set(e, "%s: row %lld of %s: its %s has no end (damaged file)", s->path,
                           (long long)i, types_name(dataset), field);
    }
    return 0;
}

/* Every prompt's rows follow those of the prompt before it. */
static int check_ranges(const struct catalog *c, const struct store *s, struct err *e)
{
    int64_t end[TRACE_TABLES] = {0};
    for (int64_t i = 0; i < c->n_prompts; i++) {
        const struct prompt_row *p = &c->prompts[i];
        for (int t = 0; t < TRACE_TABLES; t++) {
            if (p->first[t] != end[t] || p->count[t] < 0 || p->count[t] > s->rows[t] - end[t])
                return err_set(
                    e,
                    "%s: row %lld of /prompts refers to rows that %s does not have (damaged file)",
                    s->path, (long long)i, types_name(t));
            end[t] += p->count[t];
        }
        if (p->run < 0 || p->run >= c->n_runs)
            return err_set(e, "%s: row %lld of /prompts refers to run %d of %lld (damaged file)",
                           s->path, (long long)i, p->run, (long long)c->n_runs);
        const struct run_row *run = &c->runs[p->run];
        int32_t groups = run->tensor > 1 ? run->ranks / run->tensor : run->ranks;
        if (p->group < 0 || (p->group > 0 && p->group >= groups))
            return err_set(e, "%s: row %lld of /prompts refers to group %d (damaged file)", s->path,
                           (long long)i, p->group);
    }
    return 0;
}

int catalog_load(struct catalog *c, struct store *s, struct err *e)
{
    memset(c, 0, sizeof *c);
    c->prompts = load(s, D_PROMPTS, e);
    if (!c->prompts) return -1;
    c->runs = load(s, D_RUNS, e);
    if (!c->runs) goto fail;
    c->n_runs = s->rows[D_RUNS];
    int64_t n = s->rows[D_PROMPTS];
    while (c->n_prompts < n &&
           seal_row_check(&c->prompts[c->n_prompts]) == c->prompts[c->n_prompts].row_check)
        c->n_prompts++;
    if (c->n_prompts < n - 1) {
        err_set(e, "%s: row %lld of %lld in /prompts does not pass its check (damaged file)",
                s->path, (long long)c->n_prompts, (long long)n);
        goto fail;
    }
    TRY_GOTO(check_texts(s, D_RUNS, c->runs, c->n_runs, e), fail);
    TRY_GOTO(check_texts(s, D_PROMPTS, c->prompts, c->n_prompts, e), fail);
    TRY_GOTO(check_ranges(c, s, e), fail);
    return 0;
fail:
    catalog_free(c);
    return -1;
}

void catalog_free(struct catalog *c)
{
    free(c->runs);
    free(c->prompts);
    memset(c, 0, sizeof *c);
}

bool catalog_is_tight(const struct catalog *c, const struct store *s)
{
    if (c->n_prompts != s->rows[D_PROMPTS]) return false;
    for (int64_t i = 0; i < c->n_runs; i++)
        if (c->runs[i].status == RUN_RUNNING) return false;
    for (int64_t i = 0; i < c->n_prompts; i++)
        if (c->prompts[i].status == PROMPT_FAILED) return false;
    for (int t = 0; t < TRACE_TABLES; t++) {
        const struct prompt_row *last = c->n_prompts ? &c->prompts[c->n_prompts - 1] : NULL;
        if (s->rows[t] != (last ? last->first[t] + last->count[t] : 0)) return false;
    }
    return true;
}
