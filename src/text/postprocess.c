/* Which ids the file puts around a text: BOS, and EOS where a model wants it. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/internal.h"
#include "text/steps.h"

#include <stdlib.h>
#include <string.h>

static int push_checked(const struct tokenizer *t, int64_t id, struct ids *out, const char *where,
                        struct err *e)
{
    if (id < 0 || id >= t->names.n_ids || !vocab_get(&t->names, (int32_t)id, NULL))
        return err_set(e, "%s: post_processor: there is no token with id %lld", where,
                       (long long)id);
    ARRAY_PUSH(*out, (int32_t)id);
    return 0;
}

/* The ids of one special token of a template; it has a name in the template and ids in a table. */
static int push_special(const struct tokenizer *t, const json_t *template, const char *name,
                        struct ids *out, const char *where, struct err *e)
{
    const json_t *token = json_object_get(json_object_get(template, "special_tokens"), name);
    const json_t *ids = json_object_get(token, "ids");
    if (!json_is_array(ids))
        return err_set(e, "%s: post_processor: special token '%s' has no ids", where, name);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id))
            return err_set(e, "%s: post_processor: special token '%s': ids are no integers", where,
                           name);
        TRY(push_checked(t, json_integer_value(id), out, where, e));
    }
    return 0;
}

static void reverse(struct ids *a)
{
    for (size_t i = 0; i < a->n / 2; i++) {
        int32_t v = a->items[i];
        a->items[i] = a->items[a->n - 1 - i];
        a->items[a->n - 1 - i] = v;
    }
}

/* t->prefix is kept reversed meanwhile: each further template stands outside of the ones before. */
static int read_template(struct tokenizer *t, const json_t *json, const char *where, struct err *e)
{
    const json_t *single = json_object_get(json, "single"), *piece;
    struct ids before = {0};
    bool seen = false;
    int rc = 0;
    size_t i;
    json_array_foreach(single, i, piece)
    {
        const json_t *special = json_object_get(piece, "SpecialToken");
        const char *name;
        if (json_object_get(piece, "Sequence")) {
            if (seen)
                rc = err_set(e, "%s: post_processor: the text stands twice in 'single'", where);
            seen = true;
        } else {
            rc = json_get_str(special, where, "id", &name, e);
            if (rc == 0) rc = push_special(t, json, name, seen ? &t->suffix : &before, where, e);
        }
        if (rc < 0) break;
    }
    if (rc == 0 && !seen)
        rc = err_set(e, "%s: post_processor: the text is missing in 'single'", where);
    while (rc == 0 && before.n) ARRAY_PUSH(t->prefix, before.items[--before.n]);
    free(before.items);
    return rc;
}

/* Content of a token in tokenizer_config.json: a string, or an object that holds it; NULL when
 * absent. */
static const char *config_token(const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static int add_from_config(const struct tokenizer *t, const json_t *config, const char *flag,
                           const char *key, struct ids *out, const char *where, struct err *e)
{
    bool is_on;
    TRY(json_get_bool_or(config, where, flag, false, &is_on, e));
    const char *content = config_token(config, key);
    if (!is_on || !content) return 0;
    int32_t id = tokenizer_find(t, content);
    if (id < 0)
        return err_set(e, "%s: %s '%s' is not a token of tokenizer.json", where, key, content);
    ARRAY_PUSH(*out, id);
    return 0;
}

/* tokenizer_config.json overrules the template when it says anything about BOS or EOS, as in
 * transformers. */
static int read_config(struct tokenizer *t, const char *folder, struct err *e)
{
    char *path = mem_printf("%s/tokenizer_config.json", folder);
    json_t *config = NULL;
    bool exists;
    int rc = file_exists(path, &exists, e);
    if (rc < 0 || !exists) goto done;
    config = json_open(path, e);
    if (!config) rc = -1;
    if (json_is_boolean(json_object_get(config, "add_bos_token")) ||
        json_is_boolean(json_object_get(config, "add_eos_token"))) {
        t->prefix.n = t->suffix.n = 0;
        TRY_GOTO(rc = add_from_config(t, config, "add_bos_token", "bos_token", &t->prefix, path, e),
                 done);
        rc = add_from_config(t, config, "add_eos_token", "eos_token", &t->suffix, path, e);
    }
done:
    json_decref(config);
    free(path);
    return rc;
}

int postprocessor_open(struct tokenizer *t, const json_t *json, const char *where,
                       const char *folder, struct err *e)
{
    struct steps steps;
    TRY(steps_unroll(json, "processors", where, &steps, e));
    int rc = 0;
    for (size_t i = 0; i < steps.n && rc == 0; i++) {
        const struct step *step = &steps.items[i];
        if (strcmp(step->type, "TemplateProcessing") == 0)
            rc = read_template(t, step->json, where, e);
        else if (strcmp(step->type, "ByteLevel") != 0) /* that one moves offsets, no ids */
            rc = err_set(e,
                         "%s: post_processor '%s' is not supported (supported: Sequence, "
                         "TemplateProcessing, ByteLevel)",
                         where, step->type);
    }
    free(steps.items);
    reverse(&t->prefix);
    return rc < 0 ? -1 : read_config(t, folder, e);
}
