/* From rows to objects: which candidates, which fields.  export_write.c turns objects into files.
 */
#include "report/export.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/export_write.h"
#include "report/result.h"
#include "trace/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum pick { PICK_BEST, PICK_ALL, PICK_PAIRS };

struct export
{
    struct result r;
    enum export_format format;
    enum pick pick;
    struct export_writer *writer;
    bool warned;   /* of the dataset */
    bool ids_only; /* there are no texts: response_ids instead */
};

static int choose(const char *given, const char *const *names, int n, const char *option, int *out,
                  struct err *e)
{
    *out = 0;
    for (int i = 0; i < n; i++)
        if (!given || strcmp(given, names[i]) == 0) {
            *out = given ? i : 0;
            return 0;
        }
    return err_set(e, "%s '%s' is none of %s, %s, %s", option, given, names[0], names[1], names[2]);
}

static int read_options(struct export *x, const struct export_options *o, struct err *e)
{
    static const char *const formats[] = {"jsonl", "alpaca_eval", "csv"}, *const picks[] = {
                                                                              "best", "all",
                                                                              "pairs"};
    int format, pick;
    TRY(choose(o->format, formats, 3, "--format", &format, e));
    TRY(choose(o->pick, picks, 3, "--pick", &pick, e));
    x->format = (enum export_format)format;
    x->pick = (enum pick)pick;
    if (x->format == EXPORT_ALPACA_EVAL && x->pick == PICK_PAIRS)
        return err_set(e, "--pick pairs has its own form; use --format jsonl or csv");
    return 0;
}

/* ---- what is known of a prompt ---- */

static const struct prompt *dataset_row(struct export *x, int64_t row)
{
    struct err why;
    const struct prompt *p = result_dataset_row(&x->r, row, &why);
    if (!p && !x->warned) log0(LOG_WARN, "%s; the dataset's fields are left out", why.text);
    x->warned = x->warned || !p;
    return p;
}

/* The question as text; NULL with *e when there is none. */
static json_t *instruction(struct export *x, int64_t row, struct err *e)
{
    const struct prompt *p = result_dataset_row(&x->r, row, e);
    if (!p) {
        err_context(e, "this form needs the prompts: ");
        return NULL;
    }
    char *text = result_instruction(&x->r, p);
    json_t *v = text ? json_string(text) : NULL;
    free(text);
    if (!v)
        err_set(e,
                "this form needs the prompts as text, but row %lld of %s has ids, and %s no "
                "tokenizer for them",
                (long long)p->index, x->r.job.dataset.path, x->r.job.generator.path);
    return v;
}

static json_t *response(struct export *x, const struct candidate_row *c, struct err *e)
{
    struct bytes text = {0};
    json_t *v = NULL;
    if (result_response(&x->r, c, &text, e) == 0) {
        v = json_stringn(text.items ? text.items : "", text.n);
        if (!v)
            err_set(e, "%s: the text of candidate %d of prompt %lld is not valid UTF-8", x->r.path,
                    c->candidate, (long long)c->prompt_index);
    }
    free(text.items);
    return v;
}

static json_t *response_ids(struct export *x, const struct candidate_row *c, struct err *e)
{
    int32_t *ids;
    int64_t n;
    if (result_ids(&x->r, c, &ids, &n, e) < 0) return NULL;
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, json_integer(ids[i]));
    free(ids);
    return list;
}

/* ---- one object ---- */

/* The row's own fields; a bare text becomes "prompt". */
static void add_row_fields(json_t *o, const struct prompt *p)
{
    static const char *const own[] = {"prompt_index", "candidate", "response",
                                      "response_ids", "reward",    "judge_reward",
                                      "logprob_sum",  "n_tokens",  "status"};
    const char *key;
    json_t *value;
    if (!p) return;
    if (!p->row && p->n_messages > 0)
        json_object_set_new(o, "prompt", json_string(p->messages[p->n_messages - 1].content));
    json_object_foreach(p->row, key, value)
    {
        char *other = NULL;
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            if (strcmp(key, own[i]) == 0) other = mem_printf("dataset_%s", key);
        json_object_set(o, other ? other : key, value);
        free(other);
    }
}

static json_t *plain(struct export *x, int64_t row, const struct candidate_row *c, struct err *e)
{
    json_t *answer = x->ids_only ? response_ids(x, c, e) : response(x, c, e);
    if (!answer) return NULL;
    json_t *o = json_object();
    json_object_set_new(o, "prompt_index", json_integer(c->prompt_index));
    add_row_fields(o, dataset_row(x, row));
    json_object_set_new(o, "candidate", json_integer(c->candidate));
    json_object_set_new(o, x->ids_only ? "response_ids" : "response", answer);
    json_object_set_new(o, "reward", json_finite((double)c->reward));
    if (x->r.job.judge.path)
        json_object_set_new(o, "judge_reward", json_finite((double)c->judge_reward));
    json_object_set_new(o, "logprob_sum", json_finite(c->logprob_sum));
    json_object_set_new(o, "n_tokens", json_integer(c->n_tokens));
    json_object_set_new(
        o, "status", json_string(name_of(candidate_status_names, CANDIDATE_STATUSES, c->status)));
    return o;
}

/* AlpacaEval's outputs; "dataset" is the row's own where it has one. */
static json_t *alpaca(struct export *x, int64_t row, const struct candidate_row *c, struct err *e)
{
    json_t *question = instruction(x, row, e), *text = question ? response(x, c, e) : NULL;
    if (!text) {
        json_decref(question);
        return NULL;
    }
    const struct prompt *p = result_dataset_row(&x->r, row, e);
    const char *source = json_string_value(json_object_get(p->row, "dataset"));
    char *name = mem_printf("%s/%s", x->r.job.name, trace_reader_attr(x->r.file, "point_id"));
    json_t *o = json_object();
    json_object_set_new(o, "instruction", question);
    json_object_set_new(o, "output", text);
    json_object_set_new(o, "generator", json_string(name));
    json_object_set_new(o, "dataset", json_string(source ? source : x->r.job.dataset.id));
    json_object_set_new(o, "reward", json_finite((double)c->reward));
    free(name);
    return o;
}

static json_t *pair(struct export *x, int64_t row, const struct candidate_row *best,
                    const struct candidate_row *worst, struct err *e)
{
    json_t *prompt = instruction(x, row, e), *chosen = prompt ? response(x, best, e) : NULL,
           *rejected = chosen ? response(x, worst, e) : NULL;
    if (!rejected) {
        json_decref(prompt);
        json_decref(chosen);
        return NULL;
    }
    json_t *o = json_object();
    json_object_set_new(o, "prompt", prompt);
    json_object_set_new(o, "chosen", chosen);
    json_object_set_new(o, "rejected", rejected);
    json_object_set_new(o, "chosen_reward", json_finite((double)best->reward));
    json_object_set_new(o, "rejected_reward", json_finite((double)worst->reward));
    return o;
}

/* ---- which candidates ---- */

static int put(struct export *x, int64_t row, const struct candidate_row *c, struct err *e)
{
    json_t *o = x->format == EXPORT_ALPACA_EVAL ? alpaca(x, row, c, e) : plain(x, row, c, e);
    return o ? export_write(x->writer, o, e) : -1;
}

static bool is_complete(const struct candidate_row *c)
{
    return c->status != CANDIDATE_REJECTED && !isnan(c->reward);
}

static int put_pair(struct export *x, int64_t row, const struct candidate_row *c, int64_t n,
                    struct err *e)
{
    const struct candidate_row *best = NULL, *worst = NULL;
    int64_t winner = trace_prompts(x->r.file)[row].best_candidate;
    for (int64_t i = 0; i < n; i++) {
        if (!is_complete(&c[i])) continue;
        if (c[i].candidate == winner) best = &c[i];
        if (!worst || c[i].reward < worst->reward) worst = &c[i];
    }
    if (!best || !(best->reward > worst->reward)) return 0;
    json_t *o = pair(x, row, best, worst, e);
    return o ? export_write(x->writer, o, e) : -1;
}

static int put_prompt(struct export *x, int64_t row, struct err *e)
{
    const struct prompt_row *p = &trace_prompts(x->r.file)[row];
    struct candidate_row *c = NULL;
    int64_t n = 0;
    int rc = trace_read_candidates(x->r.file, row, &c, &n, e);
    if (rc == 0 && x->pick == PICK_PAIRS) rc = put_pair(x, row, c, n, e);
    for (int64_t i = 0; i < n && rc == 0 && x->pick != PICK_PAIRS; i++)
        if (x->pick == PICK_ALL || c[i].candidate == p->best_candidate) rc = put(x, row, &c[i], e);
    free(c);
    return rc;
}

/* A table needs its columns before its first row: those of every row of the dataset. */
static void declare_columns(struct export *x)
{
    if (x->format != EXPORT_CSV || x->pick == PICK_PAIRS) return;
    json_t *fields = json_object();
    json_object_set_new(fields, "prompt_index", json_null());
    for (int64_t i = 0; i < x->r.n_prompts; i++)
        add_row_fields(fields, dataset_row(x, x->r.order[i]));
    export_columns(x->writer, fields);
    json_decref(fields);
}

static int put_all(struct export *x, struct err *e)
{
    struct err why;
    if (result_is_ids_only(&x->r, &x->ids_only, &why) < 0)
        log0(LOG_WARN, "%s: taken for a model with texts", why.text);
    declare_columns(x);
    int rc = 0;
    for (int64_t i = 0; i < x->r.n_prompts && rc == 0; i++) {
        int64_t row = x->r.order[i];
        if (trace_prompts(x->r.file)[row].status == PROMPT_OK) rc = put_prompt(x, row, e);
    }
    return rc;
}

int export_file(const char *path, const struct export_options *o, FILE *out, struct err *e)
{
    struct export x = {0};
    TRY(read_options(&x, o, e));
    int rc = result_open(&x.r, path, e);
    if (rc == 0) {
        x.writer = export_begin(o->output, out, x.format, e);
        rc = x.writer ? put_all(&x, e) : -1;
        if (x.writer) rc = export_end(x.writer, rc, e);
    }
    result_close(&x.r);
    return rc;
}
