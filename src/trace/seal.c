#include "trace/seal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 4 << 20 };

uint32_t seal_row_check(const struct prompt_row *row)
{
    struct prompt_row copy = *row;
    char hex[HASH_HEX];
    copy.row_check = 0;
    hash_bytes(&copy, sizeof copy, hex);
    hex[8] = 0;
    return (uint32_t)strtoul(hex, NULL, 16);
}

const void *seal_record_rows(const struct trace_record *r, int table, int64_t *n)
{
    switch ((enum trace_table)table) {
    case T_CANDIDATES:
        *n = r->n_candidates;
        return r->candidates;
    case T_ROUNDS:
        *n = r->n_rounds;
        return r->rounds;
    case T_PARTIAL_REWARDS:
        *n = r->n_partial_rewards;
        return r->partial_rewards;
    case T_TOKENS:
        *n = r->n_tokens;
        return r->tokens;
    case T_TEXT:
        *n = r->n_text;
        return r->text;
    case T_TRACE:
        *n = r->n_trace;
        return r->trace;
    case TRACE_TABLES:
        break;
    }
    DIE("no table %d", table);
}

void seal_record_hash(const struct trace_record *r, char out[40])
{
    struct hash *h = hash_create();
    for (int t = 0; t < TRACE_TABLES; t++) {
        int64_t n;
        const void *rows = seal_record_rows(r, t, &n);
        if (n > 0) hash_add(h, rows, (size_t)n * types_row_bytes(t));
    }
    memset(out, 0, 40);
    hash_finish(h, out);
}

void seal_shift(struct candidate_row *rows, int64_t n, int64_t tokens, int64_t text)
{
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].tokens_offset >= 0) rows[i].tokens_offset += tokens;
        if (rows[i].text_offset >= 0) rows[i].text_offset += text;
    }
}

/* One table of the prompt through `piece`, which has room for PIECE_BYTES. */
static int copy_table(struct store *from, const struct prompt_row *row, int table, struct store *to,
                      struct hash *h, void *piece, struct err *e)
{
    size_t row_bytes = types_row_bytes(table);
    int64_t at_once = (int64_t)(PIECE_BYTES / row_bytes);
    /* Candidates come before the pools that they refer to: those still end where this prompt's part
     * will begin. */
    int64_t tokens = to ? to->rows[T_TOKENS] : 0, text = to ? to->rows[T_TEXT] : 0;
    for (int64_t done = 0; done < row->count[table];) {
        int64_t left = row->count[table] - done, n = left < at_once ? left : at_once;
        TRY(store_read(from, table, row->first[table] + done, n, piece, e));
        if (table == T_CANDIDATES) seal_shift(piece, n, -row->first[T_TOKENS], -row->first[T_TEXT]);
        hash_add(h, piece, (size_t)n * row_bytes);
        if (table == T_CANDIDATES) seal_shift(piece, n, tokens, text);
        if (to) TRY(store_append(to, table, piece, n, e));
        done += n;
    }
    return 0;
}

static int check_hash(const char *path, const struct prompt_row *row, const char *found,
                      struct err *e)
{
    if (strcmp(found, row->content_hash) == 0) return 0;
    return err_set(e,
                   "%s: the rows of prompt %lld are not those that were committed (damaged file)",
                   path, (long long)row->prompt_index);
}

int seal_verify_record(const char *path, const struct trace_record *r, struct err *e)
{
    char found[sizeof r->prompt.content_hash];
    seal_record_hash(r, found);
    return check_hash(path, &r->prompt, found, e);
}

int seal_verify_copy(struct store *from, const struct prompt_row *row, struct store *to,
                     struct err *e)
{
    struct hash *h = hash_create();
    void *piece = mem_calloc(PIECE_BYTES, 1);
    int rc = 0;
    for (int t = 0; t < TRACE_TABLES && rc == 0; t++)
        rc = copy_table(from, row, t, to, h, piece, e);
    char found[HASH_HEX];
    hash_finish(h, found);
    free(piece);
    return rc < 0 ? rc : check_hash(from->path, row, found, e);
}
