#include "base/json.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *take(size_t bytes)
{
    return mem_realloc(NULL, bytes, 1);
}

void json_setup(void)
{
    json_set_alloc_funcs(take, free);
}

struct source {
    int fd;
    int failed; /* an errno */
};

/* jansson takes an error for the end of the text: it is remembered here. */
static size_t read_piece(void *to, size_t bytes, void *from)
{
    struct source *s = from;
    int64_t n = file_read_start(s->fd, to, bytes);
    if (n < 0) s->failed = errno;
    return n < 0 ? 0 : (size_t)n;
}

json_t *json_open(const char *path, struct err *e)
{
    json_error_t je;
    struct source s = {.fd = file_open(path, NULL, e)};
    if (s.fd < 0) return NULL;
    json_t *root = json_load_callback(read_piece, &s, 0, &je);
    close(s.fd);
    if (root && !s.failed) return root;
    json_decref(root);
    if (s.failed)
        err_set(e, "%s: %s", path, strerror(s.failed));
    else if (je.line > 0)
        err_set(e, "%s:%d:%d: not valid JSON: %s", path, je.line, je.column, je.text);
    else
        err_set(e, "%s: %s", path, je.text);
    return NULL;
}

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "?";
}

static const json_t *present(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return v && !json_is_null(v) ? v : NULL;
}

static int wrong(const json_t *v, const char *where, const char *key, const char *want,
                 struct err *e)
{
    return err_set(e, "%s: key '%s' is %s, expected %s", where, key, type_name(v), want);
}

static int missing(const char *where, const char *key, struct err *e)
{
    return err_set(e, "%s: key '%s' is missing", where, key);
}

int json_get_i64(const json_t *obj, const char *where, const char *key, int64_t *out, struct err *e)
{
    if (!present(obj, key)) return missing(where, key, e);
    return json_get_i64_or(obj, where, key, 0, out, e);
}

int json_get_i64_or(const json_t *obj, const char *where, const char *key, int64_t fallback,
                    int64_t *out, struct err *e)
{
    const json_t *v = present(obj, key);
    if (v && !json_is_integer(v)) return wrong(v, where, key, "an integer", e);
    *out = v ? (int64_t)json_integer_value(v) : fallback;
    return 0;
}

int json_get_f64_or(const json_t *obj, const char *where, const char *key, double fallback,
                    double *out, struct err *e)
{
    const json_t *v = present(obj, key);
    if (v && !json_is_number(v)) return wrong(v, where, key, "a number", e);
    *out = v ? json_number_value(v) : fallback;
    return 0;
}

int json_get_bool_or(const json_t *obj, const char *where, const char *key, bool fallback,
                     bool *out, struct err *e)
{
    const json_t *v = present(obj, key);
    if (v && !json_is_boolean(v)) return wrong(v, where, key, "true or false", e);
    *out = v ? json_is_true(v) : fallback;
    return 0;
}

int json_get_str(const json_t *obj, const char *where, const char *key, const char **out,
                 struct err *e)
{
    if (!present(obj, key)) return missing(where, key, e);
    return json_get_str_or(obj, where, key, NULL, out, e);
}

int json_get_str_or(const json_t *obj, const char *where, const char *key, const char *fallback,
                    const char **out, struct err *e)
{
    const json_t *v = present(obj, key);
    if (v && !json_is_string(v)) return wrong(v, where, key, "a string", e);
    *out = v ? json_string_value(v) : fallback;
    return 0;
}

json_t *json_finite(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *json_u64(uint64_t v)
{
    return v <= INT64_MAX ? json_integer((json_int_t)v) : json_sprintf("%" PRIu64, v);
}
