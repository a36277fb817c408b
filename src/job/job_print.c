/* A job as text: the canonical YAML, and the hashes, which are taken over the same texts. */
#include "base/mem.h"
#include "job/job_internal.h"
#include "job/paths.h"
#include "job/schedule.h"
#include "job/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number, or the word that stands for -1 or 0. */
static char *or_word(int64_t v, int64_t word_value, const char *word)
{
    return v == word_value ? mem_strdup(word) : mem_printf("%lld", (long long)v);
}

static bool is_any(const char *key, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(key, *list)) return true;
    return false;
}

/* In these a $ is read as a variable. */
static bool is_expanded(const char *key)
{
    static const char *const keys[] = {"generator.path",
                                       "reward.path",
                                       "judge.path",
                                       "dataset.path",
                                       "generator.template",
                                       "reward.template",
                                       "judge.template",
                                       "output",
                                       NULL};
    return is_any(key, keys);
}

static uint64_t bits_at(const void *p, size_t size)
{
    uint64_t v = 0;
    ENSURE(size <= sizeof v);
    memcpy(&v, p, size); /* little-endian, like every machine this runs on */
    return v;
}

static char *enum_text(const cyaml_schema_field_t *f, const void *p)
{
    uint64_t v = bits_at(p, f->value.data_size);
    for (uint32_t i = 0; i < f->value.enumeration.count; i++)
        if ((uint64_t)f->value.enumeration.strings[i].val == v)
            return mem_strdup(f->value.enumeration.strings[i].str);
    DIE("key %s has the impossible value %llu", f->key, (unsigned long long)v);
}

static char *field_text(const struct job_doc *doc, const cyaml_schema_field_t *f)
{
    const char *p = (const char *)doc + f->data_offset;
    char number[32];
    double v;
    const char *text;
    switch (f->value.type) {
    case CYAML_INT:
        return mem_printf("%lld", (long long)bits_at(p, f->value.data_size));
    case CYAML_UINT:
        return mem_printf("%llu", (unsigned long long)bits_at(p, f->value.data_size));
    case CYAML_ENUM:
        return enum_text(f, p);
    case CYAML_FLOAT:
        memcpy(&v, p, sizeof v);
        f64_to_text(v, number);
        return mem_strdup(number);
    default:
        memcpy(&text, p, sizeof text);
        return is_expanded(f->key) ? path_escape(text) : mem_strdup(text);
    }
}

/* Texts of the job itself are quoted, numbers and words are not. */
static bool is_quoted(const cyaml_schema_field_t *f)
{
    return f->value.type == CYAML_STRING && f->data_offset < sizeof(struct job);
}

void job_to_entries(const struct job *j, struct entries *es)
{
    char off[] = "off";
    struct job_doc doc = {.job = *j};
    if (!doc.job.judge.path) doc.job.judge.path = off;
    doc.n = or_word(j->n, 0, "auto");
    doc.budget_tokens = or_word(j->budget_tokens, 0, "auto");
    doc.limit = or_word(j->dataset.limit, -1, "all");
    doc.shuffle = or_word(j->dataset.shuffle, -1, "off");
    doc.rounds = schedule_to_text(&j->rounds);
    doc.score_at = schedule_to_text(&j->score_at);
    for (const cyaml_schema_field_t *f = schema_fields; f->key; f++) {
        char *text = field_text(&doc, f);
        entries_push(es, f->key, text, j->file ? j->file : "", ENTRY_SCALAR);
        es->items[es->n - 1].quoted = is_quoted(f);
        free(text);
    }
    free(doc.n);
    free(doc.budget_tokens);
    free(doc.limit);
    free(doc.shuffle);
    free(doc.rounds);
    free(doc.score_at);
}

char *job_to_yaml(const struct job *j)
{
    struct entries es = {0};
    job_to_entries(j, &es);
    char *yaml = entries_to_yaml(&es, true);
    entries_free(&es);
    return yaml;
}

static bool starts_with(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

bool job_key_is_scientific(const char *key)
{
    /* on_numerics_error: what one value lets into a file is the same with the other. */
    static const char *const others[] = {
        "name",        "output",         "dataset.limit",   "record.candidates",
        "record.text", "record.trace",   "on_prompt_error", "on_numerics_error",
        "backend",     "generator.path", "reward.path",     "dataset.path",
        NULL};
    /* A judge comes after the prompts and changes nothing of them. */
    return !is_any(key, others) && !starts_with(key, "judge.");
}

/* What does not differ here must not differ in the id. */
bool job_key_has_effect(const struct job *j, const char *key)
{
    bool rejects = j->method == METHOD_SPECULATIVE_REJECTION;
    if (!strcmp(key, "alpha") || !strcmp(key, "compat")) return rejects;
    if (!strcmp(key, "rounds")) return rejects && j->alpha > 0;
    if (!strcmp(key, "score_at") || !strcmp(key, "batching")) return !rejects;
    if (!strcmp(key, "n_max") || !strcmp(key, "min_round_tokens")) return j->n == 0;
    if (starts_with(key, "reward.") && !strcmp(j->reward.path, "self")) return false;
    return true;
}

static bool is_id(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot && !strcmp(dot, ".id");
}

/* The key's canonical text; of a template file the name alone, since its folder differs between
 * machines. */
static const char *hashed_text(const struct entry *en)
{
    const char *dot = strrchr(en->key, '.'), *slash = strrchr(en->text, '/');
    return dot && !strcmp(dot, ".template") && slash ? slash + 1 : en->text;
}

static void hash_keys(const struct job *j, bool with_ids, char out[HASH_HEX])
{
    struct entries es = {0};
    job_to_entries(j, &es);
    struct hash *h = hash_create();
    hash_add_text(h, strcmp(j->reward.path, "self") ? "reward model" : "reward self");
    for (size_t i = 0; i < es.n; i++) {
        const struct entry *en = &es.items[i];
        if (!job_key_is_scientific(en->key) || !job_key_has_effect(j, en->key)) continue;
        if (is_id(en->key) && !with_ids) continue;
        hash_add_text(h, en->key);
        hash_add_text(h, hashed_text(en));
    }
    hash_finish(h, out);
    entries_free(&es);
}

void job_point_id(const struct job *j, char out[HASH_HEX])
{
    hash_keys(j, true, out);
    out[12] = 0;
}

void job_hash(const struct job *j, char out[HASH_HEX])
{
    hash_keys(j, false, out);
}

#define MOST_NAMED 3 /* differences */

void job_differences(const struct job *there, const struct job *here, char *out, size_t size)
{
    struct entries theirs = {0}, ours = {0};
    job_to_entries(there, &theirs);
    job_to_entries(here, &ours);
    out[0] = 0;
    int n = 0;
    for (size_t i = 0; i < ours.n && n < MOST_NAMED; i++) {
        const struct entry *b = &ours.items[i], *a = entries_find(&theirs, b->key);
        if (!job_key_is_scientific(b->key) || is_id(b->key)) continue;
        if (!job_key_has_effect(here, b->key) && !job_key_has_effect(there, b->key)) continue;
        if (!a || strcmp(hashed_text(a), hashed_text(b)) == 0) continue;
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s is %.40s there, %.40s here", n++ ? "; " : "",
                 b->key, a->text, b->text);
    }
    entries_free(&theirs);
    entries_free(&ours);
}
