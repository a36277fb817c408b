#include "report/export_write.h"

#include "base/mem.h"
#include "report/output.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct export_writer {
    struct output to;
    enum export_format format;
    json_t *columns; /* csv: an object whose keys are the header, NULL before it is known */
    bool has_header;
    int64_t n;
};

struct export_writer *export_begin(const char *path, FILE *out, enum export_format format,
                                   struct err *e)
{
    struct export_writer *w = mem_calloc(1, sizeof *w);
    w->format = format;
    if (output_begin(&w->to, path, out, e) == 0) return w;
    free(w);
    return NULL;
}

void export_columns(struct export_writer *w, const json_t *fields)
{
    w->columns = json_copy((json_t *)(uintptr_t)fields);
}

/* ---- csv ---- */

/* RFC 4180: quoted when it holds a quote, a comma, a line end or a blank at either end. */
static void put_cell(FILE *f, const char *s, size_t n)
{
    bool quote = n > 0 && (s[0] == ' ' || s[n - 1] == ' ');
    for (size_t i = 0; i < n; i++) quote = quote || strchr("\",\r\n", s[i]);
    if (!quote) {
        fwrite(s, 1, n, f);
        return;
    }
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"') fputc('"', f);
        fputc(s[i], f);
    }
    fputc('"', f);
}

/* Texts as they are, null as nothing, everything else as JSON. */
static void put_value(FILE *f, const json_t *v)
{
    if (!v || json_is_null(v)) return;
    if (json_is_string(v)) {
        put_cell(f, json_string_value(v), json_string_length(v));
        return;
    }
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    ENSURE(text);
    put_cell(f, text, strlen(text));
    free(text);
}

static void put_header(struct export_writer *w, json_t *o)
{
    const char *key;
    json_t *value;
    int i = 0;
    if (!w->columns) w->columns = json_object();
    json_object_update_missing(w->columns, o);
    json_object_foreach(w->columns, key, value)
    {
        if (i++) fputc(',', w->to.file);
        put_cell(w->to.file, key, strlen(key));
    }
    fputs("\r\n", w->to.file);
    w->has_header = true;
}

static void put_row(struct export_writer *w, json_t *o)
{
    const char *key;
    json_t *value;
    int i = 0;
    if (!w->has_header) put_header(w, o);
    json_object_foreach(w->columns, key, value)
    {
        if (i++) fputc(',', w->to.file);
        put_value(w->to.file, json_object_get(o, key));
    }
    fputs("\r\n", w->to.file);
}

/* ---- all ---- */

int export_write(struct export_writer *w, json_t *o, struct err *e)
{
    switch (w->format) {
    case EXPORT_JSONL:
        json_dumpf(o, w->to.file, JSON_COMPACT);
        fputc('\n', w->to.file);
        break;
    case EXPORT_ALPACA_EVAL:
        fputs(w->n ? ",\n" : "[\n", w->to.file);
        json_dumpf(o, w->to.file, JSON_INDENT(2));
        break;
    case EXPORT_CSV:
        put_row(w, o);
        break;
    }
    w->n++;
    json_decref(o);
    return output_check(&w->to, e);
}

int export_end(struct export_writer *w, int rc, struct err *e)
{
    if (rc == 0 && w->format == EXPORT_ALPACA_EVAL) fputs(w->n ? "\n]\n" : "[]\n", w->to.file);
    rc = output_end(&w->to, rc, e);
    json_decref(w->columns);
    free(w);
    return rc;
}
