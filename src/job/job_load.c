/* Entries -> struct job.
 *
 * libcyaml fills struct job_doc by the schema.  It takes "12abc" for 12 and tells neither key nor
 * place, so every entry is checked first, on its own, with the place where it was written. */
#include "base/mem.h"
#include "job/job_internal.h"
#include "job/paths.h"
#include "job/schedule.h"
#include "job/schema.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_sweep(const char *key)
{
    return !strcmp(key, "sweep") || !strncmp(key, "sweep.", 6);
}

static int check_scalar(const struct entry *en, const cyaml_schema_field_t *f, struct err *e)
{
    int64_t whole;
    uint64_t seed;
    double number;
    bool ok = true;
    switch (f->value.type) {
    case CYAML_INT:
        ok = text_to_i64(en->text, &whole) == 0;
        break;
    case CYAML_UINT:
        ok = text_to_u64(en->text, &seed) == 0;
        break;
    case CYAML_FLOAT:
        ok = text_to_f64(en->text, &number) == 0;
        break;
    case CYAML_ENUM:
        ok = false;
        for (uint32_t i = 0; i < f->value.enumeration.count; i++)
            ok = ok || !strcmp(en->text, f->value.enumeration.strings[i].str);
        break;
    default:
        break;
    }
    if (ok) return 0;
    char allowed[128];
    schema_allowed(f, allowed, sizeof allowed);
    return err_set(e, "%s: key '%s': '%.60s' is not allowed; allowed: %s", en->where, en->key,
                   en->text, allowed);
}

static int unknown_key(const struct entry *en, const char *key, struct err *e)
{
    const char *near = schema_nearest(key);
    if (near)
        return err_set(e, "%s: unknown key '%s'; did you mean '%s'?", en->where, en->key, near);
    return err_set(e, "%s: unknown key '%s'; jobs/example.yaml has every key", en->where, en->key);
}

int job_check_entry(const struct entry *en, struct err *e)
{
    bool sweep = is_sweep(en->key);
    if (!strcmp(en->key, "sweep")) {
        if (en->kind == ENTRY_EMPTY_GROUP) return 0;
        return err_set(
            e, "%s: key 'sweep': expected lists by key, for example sweep: {alpha: [0.3, 0.5]}",
            en->where);
    }
    const char *key = sweep ? en->key + strlen("sweep.") : en->key;
    const cyaml_schema_field_t *f = schema_find(key);
    if (!f && schema_is_group(key)) {
        if (en->kind == ENTRY_EMPTY_GROUP) return 0;
        char path[64];
        snprintf(path, sizeof path, "%s.path", key);
        return err_set(e, "%s: key '%s': is a group of keys; write %s: {%s: value, ...}", en->where,
                       en->key, key, schema_find(path) ? "path" : "key");
    }
    if (!f) return unknown_key(en, key, e);
    if (sweep && en->kind == ENTRY_SCALAR)
        return err_set(e, "%s: key '%s': expected a list, for example [%.60s]", en->where, en->key,
                       en->text);
    if (sweep && en->kind != ENTRY_ITEM)
        return err_set(e, "%s: key '%s': the list is empty", en->where, en->key);
    if (!sweep && en->kind != ENTRY_SCALAR)
        return err_set(
            e, "%s: key '%s': expected a single value, found a %s (lists stand under sweep:)",
            en->where, en->key, en->kind == ENTRY_EMPTY_GROUP ? "group" : "list");
    return check_scalar(en, f, e);
}

/* libcyaml's memory: job_free() can release what it made. */
static void *take(void *none, void *p, size_t bytes)
{
    (void)none;
    if (bytes > 0) return mem_realloc(p, bytes, 1);
    free(p);
    return NULL;
}

/* Fill a fresh struct job_doc (caller frees, texts too).  Every entry has been checked. */
static int load_doc(const struct entries *es, const char *file, struct job_doc **doc, struct err *e)
{
    struct entries flat = {0};
    for (size_t i = 0; i < es->n; i++) {
        struct entry en = es->items[i]; /* borrowed texts */
        en.quoted = true;
        if (en.kind == ENTRY_SCALAR && !is_sweep(en.key)) ARRAY_PUSH(flat, en);
    }
    char *yaml = entries_to_yaml(&flat, false);
    free(flat.items);
    const cyaml_config_t config = {.mem_fn = take, .log_level = CYAML_LOG_ERROR};
    cyaml_data_t *data = NULL;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* libcyaml reads numbers with strtod */
    if (!c) mem_exhausted("a locale");
    locale_t before = uselocale(c);
    cyaml_err_t rc =
        cyaml_load_data((const uint8_t *)yaml, strlen(yaml), &config, &schema_root, &data, NULL);
    uselocale(before);
    freelocale(c);
    free(yaml);
    /* The YAML is our own: there is one reason why libyaml cannot read it. */
    if (rc == CYAML_ERR_LIBYAML_PARSER || rc == CYAML_ERR_LIBYAML_PARSER_INIT)
        mem_exhausted("a YAML parser");
    if (rc != CYAML_OK) return err_set(e, "%s: %s", file, cyaml_strerror(rc));
    *doc = data;
    return 0;
}

struct context {
    const struct entries *es;
    const char *file, *folder;
    struct err *e;
};

static int number_or(const struct context *c, const char *key, const char *text, const char *word,
                     int64_t word_value, int64_t min, int64_t max, int64_t *out)
{
    *out = word_value;
    if (!strcmp(text, word)) return 0;
    if (text_to_i64(text, out) == 0 && *out >= min && *out <= max) return 0;
    return entries_err(c->e, c->es, c->file, key,
                       "'%.60s' is not allowed; allowed: %s | a whole number from %lld to %lld",
                       text, word, (long long)min, (long long)max);
}

/* Replace *text by its expansion. */
static int expand(const struct context *c, const char *key, char **text)
{
    struct err why = {0};
    char *out;
    if (path_expand(*text, &out, &why) < 0)
        return entries_err(c->e, c->es, c->file, key, "%s", why.text);
    free(*text);
    *text = out;
    return 0;
}

static int resolve_path(const struct context *c, const char *key, char **path)
{
    TRY(expand(c, key, path));
    if (!**path) return entries_err(c->e, c->es, c->file, key, "is empty; expected a path");
    char *joined = path_join(c->folder, *path);
    free(*path);
    *path = joined;
    return 0;
}

/* The id is the path as it was written, unless the job names one. */
static void resolve_id(char **id, const char *written)
{
    if (*id && strcmp(*id, "auto")) return;
    free(*id);
    *id = mem_strdup(written);
    for (size_t n = strlen(*id); n > 1 && (*id)[n - 1] == '/'; n--) (*id)[n - 1] = 0;
}

static int resolve_model(const struct context *c, const char *group, struct model_ref *m,
                         const char *special)
{
    char key[64];
    snprintf(key, sizeof key, "%s.path", group);
    if (!m->path)
        return entries_err(c->e, c->es, c->file, key,
                           "is missing; expected a checkpoint folder%s%s", special ? " or " : "",
                           special ? special : "");
    resolve_id(&m->id, m->path);
    if (!special || strcmp(m->path, special)) TRY(resolve_path(c, key, &m->path));
    snprintf(key, sizeof key, "%s.template", group);
    TRY(expand(c, key, &m->chat_template));
    size_t n = strlen(m->chat_template);
    if (n > 6 && !strcmp(m->chat_template + n - 6, ".jinja")) {
        char *joined = path_join(c->folder, m->chat_template);
        free(m->chat_template);
        m->chat_template = joined;
    }
    return n ? 0
             : entries_err(c->e, c->es, c->file, key,
                           "is empty; allowed: auto | raw | a family | FILE.jinja");
}

static int resolve_dataset(const struct context *c, struct job_doc *doc)
{
    struct dataset_ref *d = &doc->job.dataset;
    if (!d->path)
        return entries_err(c->e, c->es, c->file, "dataset.path",
                           "is missing; expected a .jsonl, .json or .txt file");
    resolve_id(&d->id, d->path);
    TRY(resolve_path(c, "dataset.path", &d->path));
    TRY(number_or(c, "dataset.limit", doc->limit, "all", -1, 1, UINT32_MAX, &d->limit));
    return number_or(c, "dataset.shuffle", doc->shuffle, "off", -1, 0, INT64_MAX, &d->shuffle);
}

static int resolve_schedules(const struct context *c, struct job_doc *doc)
{
    struct err why = {0};
    if (schedule_parse_rounds(&doc->job.rounds, doc->rounds, &why) < 0)
        return entries_err(c->e, c->es, c->file, "rounds", "%s", why.text);
    if (schedule_parse_score_at(&doc->job.score_at, doc->score_at, &why) < 0)
        return entries_err(c->e, c->es, c->file, "score_at", "%s", why.text);
    return 0;
}

/* "jobs/alpaca.yaml" -> "alpaca" */
static char *stem(const char *file)
{
    const char *slash = strrchr(file, '/'), *start = slash ? slash + 1 : file;
    const char *dot = strrchr(start, '.');
    return mem_strndup(start, dot && dot > start ? (size_t)(dot - start) : strlen(start));
}

static int resolve(const struct context *c, struct job_doc *doc)
{
    struct job *j = &doc->job;
    j->file = mem_strdup(c->file);
    if (!j->name) j->name = stem(c->file);
    TRY(resolve_model(c, "generator", &j->generator, NULL));
    TRY(resolve_model(c, "reward", &j->reward, "self"));
    TRY(resolve_model(c, "judge", &j->judge, "off"));
    if (!strcmp(j->judge.path, "off")) {
        free(j->judge.path);
        j->judge.path = NULL;
    }
    TRY(resolve_dataset(c, doc));
    TRY(number_or(c, "n", doc->n, "auto", 0, 1, INT32_MAX, &j->n));
    TRY(number_or(c, "budget_tokens", doc->budget_tokens, "auto", 0, 1, INT64_MAX,
                  &j->budget_tokens));
    TRY(resolve_schedules(c, doc));
    /* -0 and 0 are one job */
    j->alpha += 0.0;
    j->sampling.temperature += 0.0;
    j->sampling.min_p += 0.0;
    return expand(c, "output", &j->output);
}

int job_load(struct job *j, const struct entries *es, const char *file, const char *folder,
             struct err *e)
{
    for (size_t i = 0; i < es->n; i++) TRY(job_check_entry(&es->items[i], e));
    struct job_doc *doc = NULL;
    TRY(load_doc(es, file, &doc, e));
    struct context c = {es, file, folder, e};
    int rc = resolve(&c, doc);
    if (rc == 0) rc = job_check(&doc->job, es, file, e);
    if (rc == 0)
        *j = doc->job;
    else
        job_free(&doc->job);
    free(doc->n);
    free(doc->budget_tokens);
    free(doc->limit);
    free(doc->shuffle);
    free(doc->rounds);
    free(doc->score_at);
    free(doc);
    return rc;
}
