#include "text/chat_checkpoint.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMPLATE_LIMIT_BYTES (4 << 20)

char *checkpoint_read_text(const char *path, struct err *e)
{
    int fd = file_open(path, NULL, e);
    if (fd < 0) return NULL;
    FILE *f = fdopen(fd, "rb");
    if (!f) {
        err_set(e, "%s: %s", path, strerror(errno));
        close(fd);
        return NULL;
    }
    char *text = mem_calloc(TEMPLATE_LIMIT_BYTES + 1, 1);
    size_t n = fread(text, 1, TEMPLATE_LIMIT_BYTES, f);
    const char *problem = NULL;
    if (ferror(f)) problem = strerror(errno);
    if (n == TEMPLATE_LIMIT_BYTES) problem = "longer than 4 MiB: not a chat template";
    if (strlen(text) != n) problem = "holds a NUL byte: not a chat template";
    fclose(f);
    if (problem) {
        err_set(e, "%s: %s", path, problem);
        free(text);
        return NULL;
    }
    return mem_realloc(text, n + 1, 1);
}

/* FOLDER/NAME as JSON object; *out is NULL when there is no such file. */
static int open_optional(const char *folder, const char *name, json_t **out, char **path,
                         struct err *e)
{
    *path = mem_printf("%s/%s", folder, name);
    *out = NULL;
    bool exists;
    TRY(file_exists(*path, &exists, e));
    if (!exists) return 0;
    *out = json_open(*path, e);
    if (!*out) return -1;
    return json_is_object(*out) ? 0 : err_set(e, "%s: not a JSON object", *path);
}

static int default_of_list(const json_t *list, const char *path, char **text, struct err *e)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name, *body;
        TRY(json_get_str(json_array_get(list, i), path, "name", &name, e));
        TRY(json_get_str(json_array_get(list, i), path, "template", &body, e));
        if (strcmp(name, "default") == 0) {
            *text = mem_strdup(body);
            return 0;
        }
    }
    return err_set(e,
                   "%s: chat_template is a list without one named \"default\"; set template: to a "
                   "file.jinja or "
                   "a built-in family",
                   path);
}

static int template_of_config(const json_t *config, const char *path, char **text, struct err *e)
{
    const json_t *v = json_object_get(config, "chat_template");
    if (!v || json_is_null(v)) return 0;
    if (json_is_array(v)) return default_of_list(v, path, text, e);
    const char *body;
    TRY(json_get_str(config, path, "chat_template", &body, e));
    *text = mem_strdup(body);
    return 0;
}

int checkpoint_template(const char *folder, char **text, char **source, struct err *e)
{
    *text = NULL;
    *source = mem_printf("%s/chat_template.jinja", folder);
    bool exists;
    TRY(file_exists(*source, &exists, e));
    if (exists) {
        *text = checkpoint_read_text(*source, e);
        return *text ? 0 : -1;
    }
    free(*source);
    json_t *config;
    int rc = open_optional(folder, "tokenizer_config.json", &config, source, e);
    if (rc == 0 && config) rc = template_of_config(config, *source, text, e);
    json_decref(config);
    return rc;
}

static bool is_token_key(const char *key)
{
    size_t n = strlen(key);
    return n > 6 && strcmp(key + n - 6, "_token") == 0;
}

/* Keys that are not there yet.  A null stays: it says that there is no such token. */
static void add_tokens(json_t *tokens, json_t *config)
{
    const char *key;
    json_t *v;
    json_object_foreach(config, key, v)
    {
        if (!is_token_key(key) || json_object_get(tokens, key)) continue;
        json_t *content = json_is_object(v) ? json_object_get(v, "content") : v;
        if (json_is_string(content) || json_is_null(content)) json_object_set(tokens, key, content);
    }
}

/* Tokenizer classes that know these tokens without being told. */
static void add_class_tokens(json_t *tokens, const json_t *config)
{
    static const struct {
        const char *class_starts, *bos, *eos;
    } classes[] = {
        {"Llama", "<s>", "</s>"}, {"CodeLlama", "<s>", "</s>"}, {"Gemma", "<bos>", "<eos>"}};
    const char *name = json_string_value(json_object_get(config, "tokenizer_class"));
    for (size_t i = 0; name && i < sizeof classes / sizeof *classes; i++) {
        if (strncmp(name, classes[i].class_starts, strlen(classes[i].class_starts)) != 0) continue;
        if (!json_object_get(tokens, "bos_token"))
            json_object_set_new(tokens, "bos_token", json_string(classes[i].bos));
        if (!json_object_get(tokens, "eos_token"))
            json_object_set_new(tokens, "eos_token", json_string(classes[i].eos));
    }
}

static void drop_nulls(json_t *tokens)
{
    const char *key;
    json_t *v;
    void *next;
    json_object_foreach_safe(tokens, next, key, v)
    {
        if (json_is_null(v)) json_object_del(tokens, key);
    }
}

int checkpoint_tokens(const char *folder, json_t **tokens, struct err *e)
{
    json_t *config = NULL, *map = NULL;
    char *config_path = NULL, *map_path = NULL;
    *tokens = json_object();
    int rc = -1;
    TRY_GOTO(open_optional(folder, "tokenizer_config.json", &config, &config_path, e), done);
    TRY_GOTO(open_optional(folder, "special_tokens_map.json", &map, &map_path, e), done);
    add_tokens(*tokens, config);
    add_tokens(*tokens, map);
    add_class_tokens(*tokens, config);
    drop_nulls(*tokens);
    rc = 0;
done:
    json_decref(config);
    json_decref(map);
    free(config_path);
    free(map_path);
    if (rc < 0) {
        json_decref(*tokens);
        *tokens = NULL;
    }
    return rc;
}
