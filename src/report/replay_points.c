#include "report/replay_points.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/json_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYOUT 1 /* of the member "report" */

/* A prompt's row: these whole numbers, then doubles of struct metrics_prompt, then its complete
 * candidates. */
enum { N, ROUNDS, WINNER, WHOLE_NUMBERS };
static const char *const whole_names[WHOLE_NUMBERS] = {"n", "rounds", "winner"};

#define NUMBER(field) offsetof(struct metrics_prompt, field)
static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"best", NUMBER(best)},
    {"min", NUMBER(min)},
    {"max", NUMBER(max)},
    {"mean", NUMBER(mean)},
    {"wall_s", NUMBER(amount[AMOUNT_WALL_S])},
    {"compute_s", NUMBER(amount[AMOUNT_COMPUTE_S])},
    {"tokens_generated", NUMBER(amount[AMOUNT_TOKENS_GENERATED])},
    {"tokens_scored", NUMBER(amount[AMOUNT_TOKENS_SCORED])},
    {"flops", NUMBER(amount[AMOUNT_FLOPS])},
    {"bytes", NUMBER(amount[AMOUNT_BYTES])},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers, COLUMNS = WHOLE_NUMBERS + NUMBERS + 1 };

static double *number_of(struct metrics_prompt *m, int k)
{
    return (double *)((char *)m + numbers[k].offset);
}

static json_t *column_names(void)
{
    json_t *names = json_array();
    for (int k = 0; k < WHOLE_NUMBERS; k++) json_array_append_new(names, json_text(whole_names[k]));
    for (int k = 0; k < NUMBERS; k++) json_array_append_new(names, json_text(numbers[k].name));
    json_array_append_new(names, json_string("complete"));
    return names;
}

/* ---- writing ---- */

static void put_json(json_t *owned, FILE *out)
{
    json_dumpf(owned, out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(owned);
}

static void put_text(const char *text, FILE *out)
{
    put_json(json_text(text), out);
}

/* A hexadecimal digit for four candidates, the lowest number its highest bit. */
static json_t *complete_json(const struct source_prompt *p)
{
    size_t digits = (size_t)(p->n + 3) / 4;
    unsigned char *bits = mem_calloc(digits + 1, 1);
    for (int64_t i = 0; i < p->numbers.n_complete; i++)
        bits[p->complete[i] / 4] |= (unsigned char)(8 >> p->complete[i] % 4);
    for (size_t k = 0; k < digits; k++) bits[k] = (unsigned char)"0123456789abcdef"[bits[k]];
    json_t *text = json_text((const char *)bits);
    free(bits);
    return text;
}

static json_t *row_json(const struct source_prompt *p)
{
    if (p->reason[0]) return json_text(p->reason);
    struct metrics_prompt m = p->numbers;
    json_t *row = json_array();
    json_array_append_new(row, json_integer(p->n));
    json_array_append_new(row, json_integer(p->rounds));
    json_array_append_new(row, json_integer(m.winner));
    for (int k = 0; k < NUMBERS; k++) json_array_append_new(row, json_finite(*number_of(&m, k)));
    json_array_append_new(row, complete_json(p));
    return row;
}

static void put_point(const struct job *j, const struct source *s, FILE *out)
{
    char *yaml = job_to_yaml(j);
    fputs("\n    {\"job\": ", out);
    put_text(yaml, out);
    fprintf(out, ", \"approximate\": %s, \"compute_s\": ", s->is_approximate ? "true" : "false");
    put_json(json_finite(s->compute_s), out);
    if (s->subsets.draws > 0) {
        fputs(", \"subsets\": ", out);
        put_json(subset_values_json(&s->subsets), out);
    }
    fputs(", \"prompts\": [", out);
    for (int64_t i = 0; i < s->n_prompts; i++) {
        fputs(i ? ",\n      " : "\n      ", out);
        put_json(row_json(&s->prompts[i]), out);
    }
    fputs("]}", out);
    free(yaml);
}

static const struct job *job_of(const struct replay_grid *g, const struct source *s)
{
    int i = 0;
    while (g->names[i] != s->path) i++;
    return &g->jobs[i];
}

void replay_points_write(const struct replay_grid *g, const struct source *sources, int n,
                         FILE *out)
{
    fprintf(out, "{\n    \"layout\": %d,\n    \"fingerprint\": ", LAYOUT);
    put_text(sources[0].fingerprint, out);
    fputs(",\n    \"machine\": ", out);
    put_text(sources[0].machine, out);
    fputs(",\n    \"prompts\": [", out);
    for (int64_t i = 0; i < sources[0].n_prompts; i++) {
        const struct source_prompt *p = &sources[0].prompts[i];
        fputs(i ? ", " : "", out);
        put_json(json_pack("[I, o]", (json_int_t)p->prompt_index, json_text(p->key)), out);
    }
    fputs("],\n    \"columns\": ", out);
    put_json(column_names(), out);
    fputs(",\n    \"points\": [", out);
    for (int f = 0; f < n; f++) {
        fputs(f ? "," : "", out);
        put_point(job_of(g, &sources[f]), &sources[f], out);
    }
    fputs("]\n  }", out);
}

/* ---- reading ---- */

bool replay_points_is_file(const char *path)
{
    struct err e;
    char text[256];
    int fd = file_open(path, NULL, &e);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    for (ssize_t i = 0; i < n; i++)
        if (!memchr(" \t\n\r", text[i], 4)) return text[i] == '{';
    return false;
}

/* Where in the file we are. */
struct at {
    const char *path;
    int64_t point, prompt; /* -1: above it */
    const json_t *shared;  /* the member "report" */
};

static int bad(const struct at *at, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int bad(const struct at *at, struct err *e, const char *fmt, ...)
{
    char what[160], point[32] = "", prompt[32] = "";
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (at->point >= 0) snprintf(point, sizeof point, ".points[%lld]", (long long)at->point);
    if (at->prompt >= 0) snprintf(prompt, sizeof prompt, ".prompts[%lld]", (long long)at->prompt);
    return err_set(
        e, "%.120s: report%s%s: %s; write it again: specrej replay RECORDED.h5 -o FILE.json",
        at->path, point, prompt, what);
}

static const json_t *array_of(const struct at *at, const json_t *o, const char *key, size_t n,
                              struct err *e)
{
    const json_t *a = json_object_get(o, key);
    if (json_is_array(a) && (n == 0 || json_array_size(a) == n)) return a;
    if (n == 0)
        bad(at, e, "'%s' is not a list", key);
    else
        bad(at, e, "'%s' is not a list of %zu, one for each prompt", key, n);
    return NULL;
}

static int read_whole(const struct at *at, const json_t *row, int k, int64_t low, int64_t high,
                      int64_t *out, struct err *e)
{
    const json_t *v = json_array_get(row, (size_t)k);
    if (!json_is_integer(v)) return bad(at, e, "'%s' is not a whole number", whole_names[k]);
    *out = (int64_t)json_integer_value(v);
    if (*out >= low && *out <= high) return 0;
    return bad(at, e, "'%s' is %lld, not from %lld to %lld", whole_names[k], (long long)*out,
               (long long)low, (long long)high);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_complete(const struct at *at, const json_t *v, struct source_prompt *p,
                         struct err *e)
{
    const char *text = json_string_value(v);
    int64_t n = 0;
    if (!text || strlen(text) != (size_t)(p->n + 3) / 4)
        return bad(at, e, "'complete' has not a digit for each four candidates");
    p->complete = mem_calloc((size_t)p->n, sizeof *p->complete);
    p->numbers.complete = p->complete;
    for (int64_t i = 0; text[i]; i++)
        for (int k = 0, bits = digit_of(text[i]); k < 4; k++) {
            if (bits < 0 || (4 * i + k >= p->n && (bits & 8 >> k)))
                return bad(at, e, "'complete' holds what is no candidate");
            if (bits & 8 >> k) p->complete[n++] = to_i32(4 * i + k);
        }
    p->numbers.n_complete = n;
    for (int64_t i = 0; i < n; i++)
        if (p->complete[i] == p->numbers.winner) return 0;
    return p->numbers.winner < 0 ? 0 : bad(at, e, "its winner is not among the complete");
}

static int read_numbers(const struct at *at, const json_t *row, struct metrics_prompt *m,
                        struct err *e)
{
    for (int k = 0; k < NUMBERS; k++) {
        const json_t *v = json_array_get(row, (size_t)(WHOLE_NUMBERS + k));
        if (!json_is_number(v) && !json_is_null(v))
            return bad(at, e, "'%s' is not a number", numbers[k].name);
        double x = json_is_null(v) ? NAN : json_number_value(v);
        if (numbers[k].offset >= NUMBER(amount) && x < 0)
            return bad(at, e, "'%s' is below 0", numbers[k].name);
        *number_of(m, k) = x;
    }
    m->amount[AMOUNT_ENERGY_J] = NAN;
    if (isnan(m->best)) return bad(at, e, "'best' is not a number");
    if (!(m->min <= m->mean && m->mean <= m->max && m->best <= m->max))
        return bad(at, e, "'min', 'mean', 'best' and 'max' are not in order");
    return 0;
}

static int read_row(const struct at *at, const json_t *row, struct source_prompt *p, struct err *e)
{
    if (json_is_string(row) && json_string_length(row) > 0) {
        p->numbers = (struct metrics_prompt){NAN, NAN, NAN, NAN, .winner = -1, .n_complete = -1};
        snprintf(p->reason, sizeof p->reason, "%s", json_string_value(row));
        return 0;
    }
    if (!json_is_array(row) || json_array_size(row) != COLUMNS)
        return bad(at, e, "it is not a list of %d values", COLUMNS);
    int64_t rounds = 0;
    TRY(read_whole(at, row, N, 1, INT32_MAX, &p->n, e));
    TRY(read_whole(at, row, ROUNDS, 0, INT32_MAX, &rounds, e));
    TRY(read_whole(at, row, WINNER, 0, p->n - 1, &p->numbers.winner, e));
    p->rounds = to_i32(rounds);
    TRY(read_numbers(at, row, &p->numbers, e));
    return read_complete(at, json_array_get(row, COLUMNS - 1), p, e);
}

/* The prompts' numbers and keys, the same for all points. */
static int read_prompt_name(const struct at *at, size_t i, struct source_prompt *p, struct err *e)
{
    const json_t *one = json_array_get(json_object_get(at->shared, "prompts"), i);
    const json_t *index = json_array_get(one, 0), *key = json_array_get(one, 1);
    if (!json_is_integer(index) || !json_is_string(key) ||
        json_string_length(key) >= sizeof p->key ||
        (i > 0 && json_integer_value(index) <= p[-1].prompt_index))
        return bad(at, e,
                   "'prompts' are not growing row numbers of the dataset, each with its key");
    p->prompt_index = (int64_t)json_integer_value(index);
    snprintf(p->key, sizeof p->key, "%s", json_string_value(key));
    return 0;
}

static int read_prompts(struct at *at, const json_t *point, struct source *s, struct err *e)
{
    size_t n = json_array_size(json_object_get(at->shared, "prompts"));
    const json_t *rows = array_of(at, point, "prompts", n, e);
    if (!rows) return -1;
    s->prompts = mem_calloc(n, sizeof *s->prompts);
    bool is_first = true;
    for (size_t i = 0; i < n; i++) {
        struct source_prompt *p = &s->prompts[i];
        s->n_prompts++;
        TRY(read_prompt_name(at, i, p, e));
        at->prompt = (int64_t)i;
        TRY(read_row(at, json_array_get(rows, i), p, e));
        at->prompt = -1;
        if (p->reason[0]) continue;
        s->n = is_first || s->n == p->n ? p->n : 0;
        is_first = false;
    }
    return 0;
}

static int read_job(struct at *at, const json_t *point, struct source *s, struct err *e)
{
    struct job j;
    struct err why;
    const char *yaml = json_string_value(json_object_get(point, "job"));
    if (!yaml) return bad(at, e, "'job' is not a text");
    if (job_from_yaml(&j, yaml, "job", &why) < 0) return bad(at, e, "'job': %.120s", why.text);
    job_point_id(&j, s->point_id);
    int rc = source_set_job(s, &j, yaml, e);
    job_free(&j);
    return rc;
}

static int read_point(struct at *at, const json_t *point, struct source *s, struct err *e)
{
    const char *fingerprint = json_string_value(json_object_get(at->shared, "fingerprint")),
               *machine = json_string_value(json_object_get(at->shared, "machine"));
    const json_t *approximate = json_object_get(point, "approximate"),
                 *compute = json_object_get(point, "compute_s");
    if (!fingerprint || strlen(fingerprint) >= sizeof s->fingerprint || !machine)
        return bad(at, e, "'fingerprint' and 'machine' are not texts");
    if (!json_is_boolean(approximate)) return bad(at, e, "'approximate' is not true or false");
    if (!json_is_number(compute) && !json_is_null(compute))
        return bad(at, e, "'compute_s' is not a number");
    struct err why;
    if (subset_values_read(&s->subsets, json_object_get(point, "subsets"), &why) < 0)
        return bad(at, e, "%s", why.text);
    s->path = at->path; /* for messages, until its name is known */
    TRY(read_job(at, point, s, e));
    source_set_replayed(s, json_is_true(approximate));
    snprintf(s->fingerprint, sizeof s->fingerprint, "%s", fingerprint);
    s->machine = mem_strdup(machine);
    s->compute_s = json_is_null(compute) ? NAN : json_number_value(compute);
    s->path = s->name = mem_printf("%s: %s", at->path, s->point_id);
    return read_prompts(at, point, s, e);
}

static int check_head(const struct at *at, const json_t *root, struct err *e)
{
    const char *kind = json_string_value(json_object_get(root, "kind"));
    if (!kind || strcmp(kind, "replay") != 0)
        return err_set(e, "%s: this JSON is not of specrej replay (its 'kind' is not \"replay\")",
                       at->path);
    if (!json_is_object(at->shared)) return bad(at, e, "it is missing");
    json_t *names = column_names();
    bool is_known = json_integer_value(json_object_get(at->shared, "layout")) == LAYOUT &&
                    json_equal(names, json_object_get(at->shared, "columns"));
    json_decref(names);
    return is_known ? 0 : bad(at, e, "'layout' and 'columns' are not those of this program");
}

int replay_points_read(struct source_list *list, const char *path, struct err *e)
{
    json_t *root = json_open(path, e);
    if (!root) return -1;
    struct at at = {path, -1, -1, json_object_get(root, "report")};
    const json_t *points = NULL;
    int rc = check_head(&at, root, e);
    if (rc == 0 && !array_of(&at, at.shared, "prompts", 0, e)) rc = -1;
    if (rc == 0 && !(points = array_of(&at, at.shared, "points", 0, e))) rc = -1;
    if (rc == 0 && json_array_size(points) == 0) rc = bad(&at, e, "it has no points");
    for (size_t i = 0; rc == 0 && i < json_array_size(points); i++) {
        at.point = (int64_t)i;
        ARRAY_PUSH(*list, (struct source){0});
        rc = read_point(&at, json_array_get(points, i), &list->items[list->n - 1], e);
    }
    json_decref(root);
    return rc;
}
