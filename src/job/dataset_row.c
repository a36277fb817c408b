#include "job/dataset_row.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_message(struct prompt *p, const char *role, const char *content)
{
    p->messages[p->n_messages++] = (struct message){mem_strdup(role), mem_strdup(content)};
}

static void add_system(struct prompt *p, const struct dataset_ref *ref)
{
    if (ref->system[0]) add_message(p, "system", ref->system);
}

static void one_text(struct prompt *p, const char *text, const struct dataset_ref *ref)
{
    p->messages = mem_calloc(2, sizeof *p->messages);
    add_system(p, ref);
    add_message(p, "user", text);
}

static bool is_role(const char *s)
{
    return !strcmp(s, "system") || !strcmp(s, "user") || !strcmp(s, "assistant");
}

static int chat(struct prompt *p, const json_t *list, const struct dataset_ref *ref,
                const char *where, struct err *e)
{
    size_t n = json_array_size(list), i;
    const json_t *m;
    p->messages = mem_calloc(n + 1, sizeof *p->messages);
    json_array_foreach(list, i, m)
    {
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *content = json_string_value(json_object_get(m, "content"));
        if (!role || !content)
            return err_set(e, "%s: field '%s': message %zu: expected {role: text, content: text}",
                           where, ref->field, i);
        if (!is_role(role))
            return err_set(
                e, "%s: field '%s': message %zu: role '%.40s' is not system, user or assistant",
                where, ref->field, i, role);
        if (i == 0 && strcmp(role, "system")) add_system(p, ref);
        add_message(p, role, content);
    }
    if (strcmp(p->messages[p->n_messages - 1].role, "user"))
        return err_set(e, "%s: field '%s': the last message is not the user's: nothing to answer",
                       where, ref->field);
    return 0;
}

static int token_ids(struct prompt *p, const json_t *list, const char *where, struct err *e)
{
    size_t n = json_array_size(list), i;
    const json_t *v;
    if (n == 0) return err_set(e, "%s: field 'prompt_ids': expected a list of token ids", where);
    p->prompt_ids = mem_calloc(n, sizeof *p->prompt_ids);
    json_array_foreach(list, i, v)
    {
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return err_set(e, "%s: field 'prompt_ids': element %zu is not a token id (0 to %d)",
                           where, i, INT32_MAX);
        p->prompt_ids[i] = (int32_t)json_integer_value(v);
    }
    p->n_prompt_ids = (int64_t)n;
    return 0;
}

/* What other datasets call it, where this row has it; else "". */
static const char *likely_field(const json_t *row)
{
    static const char *const names[] = {"prompt", "instruction", "question", "problem",
                                        "query",  "messages",    "input",    "text"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (json_object_get(row, names[i])) return names[i];
    return "";
}

static int missing_field(json_t *row, const struct dataset_ref *ref, const char *where,
                         struct err *e)
{
    char names[200];
    size_t at = 0;
    const char *key;
    json_t *value;
    names[0] = 0;
    json_object_foreach(row, key, value)
    {
        if (at >= sizeof names) break;
        int n = snprintf(names + at, sizeof names - at, "%s%.60s", at ? ", " : "", key);
        at += n > 0 ? (size_t)n : 0;
    }
    const char *likely = likely_field(row);
    return err_set(e,
                   "%s: field '%s' is missing; the row has: %s; set dataset.field to the one that "
                   "holds the prompt%s%s%s",
                   where, ref->field, names[0] ? names : "nothing", likely[0] ? " (" : "", likely,
                   likely[0] ? "?)" : "");
}

static int field_value(struct prompt *p, const json_t *value, const struct dataset_ref *ref,
                       const char *where, struct err *e)
{
    if (json_is_string(value)) {
        if (ref->turn > 0)
            return err_set(e,
                           "%s: field '%s' is one text and has no turn %lld; set dataset.turn: 0",
                           where, ref->field, (long long)ref->turn);
        one_text(p, json_string_value(value), ref);
        return 0;
    }
    if (json_is_object(json_array_get(value, 0))) return chat(p, value, ref, where, e);
    if (!json_is_string(json_array_get(value, 0)))
        return err_set(e, "%s: field '%s': expected a text, a list of texts, or chat messages",
                       where, ref->field);
    const json_t *text = json_array_get(value, (size_t)ref->turn);
    if (!json_is_string(text))
        return err_set(e, "%s: field '%s': no text at turn %lld; the list has %zu elements", where,
                       ref->field, (long long)ref->turn, json_array_size(value));
    one_text(p, json_string_value(text), ref);
    return 0;
}

static void set_key(struct prompt *p)
{
    struct hash *h = hash_create();
    hash_add_text(h, p->n_prompt_ids ? "ids" : "messages");
    hash_add(h, p->prompt_ids, (size_t)p->n_prompt_ids * sizeof *p->prompt_ids);
    for (int64_t i = 0; i < p->n_messages; i++) {
        hash_add_text(h, p->messages[i].role);
        hash_add_text(h, p->messages[i].content);
    }
    hash_finish(h, p->key);
}

static int fill(struct prompt *p, json_t *row, const struct dataset_ref *ref, const char *where,
                struct err *e)
{
    if (json_is_string(row)) {
        one_text(p, json_string_value(row), ref);
        return 0;
    }
    if (!json_is_object(row)) return err_set(e, "%s: expected a text or an object", where);
    p->row = json_incref(row);
    const json_t *ids = json_object_get(row, "prompt_ids");
    if (ids && !json_is_null(ids)) return token_ids(p, ids, where, e);
    const json_t *value = json_object_get(row, ref->field);
    if (!value) return missing_field(row, ref, where, e);
    return field_value(p, value, ref, where, e);
}

int prompt_from_row(struct prompt *p, json_t *row, const struct dataset_ref *ref, const char *where,
                    struct err *e)
{
    TRY(fill(p, row, ref, where, e));
    set_key(p);
    return 0;
}

void prompt_free(struct prompt *p)
{
    for (int64_t i = 0; i < p->n_messages; i++) {
        free(p->messages[i].role);
        free(p->messages[i].content);
    }
    free(p->messages);
    free(p->prompt_ids);
    json_decref(p->row);
    *p = (struct prompt){0};
}
