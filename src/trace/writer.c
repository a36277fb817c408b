#include "trace/writer.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "trace/catalog.h"
#include "trace/compact.h"
#include "trace/lock.h"
#include "trace/place.h"
#include "trace/seal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct trace {
    char *path;
    struct lock *lock;
    struct store *store;
    int64_t run;          /* this run's row in /runs */
    int64_t first_prompt; /* rows of /prompts when it began */
    bool is_broken;       /* a write failed: nothing is written any more */
    struct {
        int64_t *items;
        size_t n, cap;
    } committed;
};

/* The one way out of a failed write.  Always -1. */
static int give_up(struct trace *t)
{
    store_abandon(t->store);
    t->store = NULL;
    t->is_broken = true;
    return -1;
}

static int check_usable(struct trace *t, struct err *e)
{
    if (t->is_broken)
        return err_set(
            e, "%s: an earlier write failed; free the cause and start the job again to continue it",
            t->path);
    if (lock_check(t->lock, e) < 0) return give_up(t);
    return 0;
}

static int create_file(const char *path, const char *tmp, const struct attrs *a, struct err *e)
{
    struct store *s = store_create(tmp, a, e);
    if (!s) return -1;
    TRY(store_close(s, e));
    return store_publish(tmp, path, e);
}

/* Refuse to mix arithmetic: every run that committed a prompt must have been like this one. */
static int check_machine(const struct catalog *c, const struct run_row *run, const char *path,
                         struct err *e)
{
    for (int64_t i = 0; i < c->n_prompts; i++) {
        const struct run_row *r = &c->runs[c->prompts[i].run];
        const char *what = NULL, *there = NULL, *here = NULL;
        if (strncmp(r->versions, run->versions, sizeof r->versions) != 0)
            what = "library versions", there = r->versions, here = run->versions;
        if (strncmp(r->device, run->device, sizeof r->device) != 0)
            what = "device", there = r->device, here = run->device;
        if (strncmp(r->fingerprint, run->fingerprint, sizeof r->fingerprint) != 0)
            what = "arithmetic fingerprint", there = r->fingerprint, here = run->fingerprint;
        if (what)
            return err_set(e,
                           "%s was made with another %s: '%.100s' there, '%.100s' here; "
                           "--allow-mixed continues it "
                           "all the same, and reports will say so",
                           path, what, there, here);
    }
    return 0;
}

/* Make an existing file one that can be appended to. */
static int prepare_file(const char *path, const char *tmp, const struct attrs *want,
                        const struct run_row *run, bool allow_mixed, struct err *e)
{
    bool was_closed = store_was_closed(path);
    struct attrs have = {0};
    struct catalog c = {0};
    struct store *s = store_open(path, STORE_READ, e);
    if (!s) return -1;
    int rc = -1;
    TRY_GOTO(attrs_read(&have, s->file, path, e), done);
    TRY_GOTO(attrs_match(&have, want, path, e), done);
    TRY_GOTO(catalog_load(&c, s, e), done);
    if (!allow_mixed) TRY_GOTO(check_machine(&c, run, path, e), done);
    bool is_ready = was_closed && !s->is_older && catalog_is_tight(&c, s);
    if (!is_ready) TRY_GOTO(compact(s, &c, tmp, e), done);
    rc = is_ready ? 0 : 1;
done:
    catalog_free(&c);
    attrs_free(&have);
    store_close(s, &(struct err){0});
    return rc == 1 ? store_publish(tmp, path, e) : rc;
}

static int load_committed(struct trace *t, struct err *e)
{
    struct catalog c;
    TRY(catalog_load(&c, t->store, e));
    for (int64_t i = 0; i < c.n_prompts; i++)
        if (c.prompts[i].status != PROMPT_FAILED)
            ARRAY_PUSH(t->committed, c.prompts[i].prompt_index);
    catalog_free(&c);
    return 0;
}

static int put_run(struct trace *t, const struct run_row *run, bool is_new, struct err *e)
{
    struct run_row row = *run;
    types_tidy(D_RUNS, &row);
    row.first_prompt = t->first_prompt;
    row.last_prompt = t->store->rows[D_PROMPTS];
    if (is_new) {
        row.status = RUN_RUNNING;
        TRY(store_append(t->store, D_RUNS, &row, 1, e));
    } else {
        TRY(store_rewrite(t->store, D_RUNS, t->run, &row, e));
    }
    return store_sync(t->store, e);
}

/* The part of trace_open that happens under the lock. */
static int open_locked(struct trace *t, const struct trace_meta *meta, const struct run_row *run,
                       bool allow_mixed, struct err *e)
{
    char *tmp = mem_printf("%s.tmp", t->path);
    struct attrs want;
    attrs_from_meta(&want, meta);
    bool exists;
    int rc = file_exists(t->path, &exists, e);
    if (rc == 0)
        rc = exists ? prepare_file(t->path, tmp, &want, run, allow_mixed, e)
                    : create_file(t->path, tmp, &want, e);
    if (rc < 0) unlink(tmp);
    attrs_free(&want);
    free(tmp);
    TRY(rc);
    t->store = store_open(t->path, STORE_APPEND, e);
    if (!t->store) return -1;
    TRY(load_committed(t, e));
    t->run = t->store->rows[D_RUNS];
    t->first_prompt = t->store->rows[D_PROMPTS];
    return put_run(t, run, true, e);
}

struct trace *trace_open(const char *path, const struct trace_meta *meta, const struct run_row *run,
                         bool allow_mixed, struct err *e)
{
    if (place_make_folders(path, e) < 0) return NULL;
    struct trace *t = mem_calloc(1, sizeof *t);
    t->path = mem_strdup(path);
    t->lock = lock_take(path, meta->slurm_ended, e);
    if (t->lock && open_locked(t, meta, run, allow_mixed, e) == 0) {
        const char *network = place_network_name(path);
        if (network)
            log0(LOG_WARN,
                 "%s is on %s, where reading a file that is being written is not reliable: read it "
                 "when the "
                 "job has ended, or write to a local or parallel file system",
                 path, network);
        return t;
    }
    give_up(t);
    trace_close(t);
    return NULL;
}

const int64_t *trace_committed(const struct trace *t, int64_t *n)
{
    *n = (int64_t)t->committed.n;
    return t->committed.items;
}

/* What a record promises: ranges within its own pools, a prompt that is not in the file yet. */
static void check_record(const struct trace *t, const struct trace_record *r)
{
    for (int64_t i = 0; i < r->n_candidates; i++) {
        const struct candidate_row *c = &r->candidates[i];
        ENSURE(c->tokens_offset < 0 ||
               (c->n_tokens >= 0 && c->n_tokens <= r->n_tokens - c->tokens_offset));
        ENSURE(c->text_offset < 0 ||
               (c->text_length >= 0 && c->text_length <= r->n_text - c->text_offset));
    }
    for (size_t i = 0; i < t->committed.n; i++)
        ENSURE(t->committed.items[i] != r->prompt.prompt_index);
}

static int append_tables(struct trace *t, const struct trace_record *r, struct prompt_row *row,
                         struct err *e)
{
    struct store *s = t->store;
    for (int table = 0; table < TRACE_TABLES; table++) {
        const void *rows = seal_record_rows(r, table, &row->count[table]);
        row->first[table] = s->rows[table];
        if (table != T_CANDIDATES) {
            TRY(store_append(s, table, rows, row->count[table], e));
            continue;
        }
        struct candidate_row *moved = mem_calloc((size_t)r->n_candidates, sizeof *moved);
        if (r->n_candidates > 0) memcpy(moved, rows, (size_t)r->n_candidates * sizeof *moved);
        seal_shift(moved, r->n_candidates, s->rows[T_TOKENS], s->rows[T_TEXT]);
        int rc = store_append(s, table, moved, r->n_candidates, e);
        free(moved);
        TRY(rc);
    }
    return store_sync(s, e);
}

int trace_commit(struct trace *t, const struct trace_record *r, struct err *e)
{
    TRY(check_usable(t, e));
    check_record(t, r);
    struct prompt_row row = r->prompt;
    types_tidy(D_PROMPTS, &row);
    row.run = to_i32(t->run);
    seal_record_hash(r, row.content_hash);
    if (append_tables(t, r, &row, e) < 0) return give_up(t);
    row.row_check = seal_row_check(&row);
    if (store_append(t->store, D_PROMPTS, &row, 1, e) < 0 || store_sync(t->store, e) < 0)
        return give_up(t);
    if (row.status != PROMPT_FAILED) ARRAY_PUSH(t->committed, row.prompt_index);
    return 0;
}

int trace_update_run(struct trace *t, const struct run_row *run, struct err *e)
{
    TRY(check_usable(t, e));
    return put_run(t, run, false, e) < 0 ? give_up(t) : 0;
}

void trace_close(struct trace *t)
{
    if (!t) return;
    struct err e = {0};
    if (store_close(t->store, &e) < 0)
        log0(LOG_WARN, "%s (what was committed is safe; the next start repairs the file)", e.text);
    lock_release(t->lock);
    free(t->committed.items);
    free(t->path);
    free(t);
}
