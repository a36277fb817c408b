/* Reading YAML into entries: a loop over libyaml's events with a short stack, since a job file is a
 * mapping of values, lists of values and groups of them, and nothing deeper than `sweep: {group:
 * {key: [...]}}`. */
#include "job/entries.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 4, MAX_KEY = 128, MAX_KEYS = 2000 };

struct reader {
    yaml_parser_t parser;
    struct entries *out;
    const char *text;
    size_t n_bytes;
    const char *file;       /* NULL: an override */
    const char *assignment; /* the override */
    char key[MAX_KEY];      /* dotted key of the value that comes next */
    struct {
        bool is_list;
        bool key_next; /* of a mapping: a key is due */
        size_t key_length;
        size_t first_entry;
    } stack[MAX_DEPTH];
    int depth;
    struct {
        char **items;
        size_t n, cap;
    } seen; /* keys so far, against duplicates */
};

static char *place(const struct reader *r, size_t line)
{
    return r->file ? mem_printf("%s:%zu", r->file, line + 1)
                   : mem_printf("--set %.100s", r->assignment);
}

static int fail(const struct reader *r, size_t line, const char *message, struct err *e)
{
    char *where = place(r, line);
    if (r->key[0])
        err_set(e, "%s: key '%s': %s", where, r->key, message);
    else
        err_set(e, "%s: %s", where, message);
    free(where);
    return -1;
}

/* What a person may have meant by the line that is not YAML. */
static const char *hint(const struct reader *r, size_t line)
{
    const char *start = r->text, *end = r->text + r->n_bytes;
    for (size_t i = 0; i < line && start < end; i++) {
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        start = newline ? newline + 1 : end;
    }
    const char *newline = start < end ? memchr(start, '\n', (size_t)(end - start)) : NULL;
    size_t length = (size_t)((newline ? newline : end) - start), blanks = 0;
    while (blanks < length && start[blanks] == ' ') blanks++;
    if (blanks < length && start[blanks] == '\t') return "; indented with a tab: use spaces";
    if (memmem(start, length, "${", 2))
        return "; a text with { or } in it must be quoted inside { }";
    return "";
}

/* libyaml's complaint; for undecodable bytes it knows only the offset. */
static int fail_syntax(struct reader *r, struct err *e)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) mem_exhausted("a YAML parser");
    size_t line = p->problem_mark.line;
    char message[256], from[48] = "";
    if (p->error == YAML_READER_ERROR) {
        line = 0;
        for (size_t i = 0; i < p->problem_offset && i < r->n_bytes; i++) line += r->text[i] == '\n';
    }
    if (p->context && p->context_mark.line < line)
        snprintf(from, sizeof from, " (from line %zu)", p->context_mark.line + 1);
    snprintf(message, sizeof message, "not valid YAML: %s%s%s%s%s", p->context ? p->context : "",
             from, p->context ? ": " : "", p->problem ? p->problem : "unreadable", hint(r, line));
    r->key[0] = 0;
    return fail(r, line, message, e);
}

static void push(struct reader *r, const char *text, size_t line, enum entry_kind kind)
{
    char *where = place(r, line);
    entries_push(r->out, r->key, text, where, kind);
    free(where);
}

/* A value is complete: inside a mapping the next thing is a key. */
static void value_done(struct reader *r)
{
    if (!r->depth || r->stack[r->depth - 1].is_list) return;
    r->stack[r->depth - 1].key_next = true;
    r->key[r->stack[r->depth - 1].key_length] = 0;
}

/* Append ".name" to the dotted key; the key must be new. */
static int take_key(struct reader *r, const char *name, size_t length, size_t line, struct err *e)
{
    size_t at = r->stack[r->depth - 1].key_length;
    r->key[at] = 0;
    if (length == 0 || strlen(name) != length)
        return fail(r, line, "an empty or unreadable key", e);
    if (at + length + 2 > MAX_KEY) return fail(r, line, "a key that is too long", e);
    snprintf(r->key + at, MAX_KEY - at, "%s%s", at ? "." : "", name);
    for (size_t i = 0; i < r->seen.n; i++)
        if (!strcmp(r->seen.items[i], r->key)) return fail(r, line, "is given twice", e);
    if (r->seen.n == MAX_KEYS) return fail(r, line, "more keys than a job can have", e);
    ARRAY_PUSH(r->seen, mem_strdup(r->key));
    return 0;
}

static bool is_null(const yaml_event_t *ev)
{
    const char *s = (const char *)ev->data.scalar.value;
    return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*s || !strcmp(s, "~") || !strcmp(s, "null"));
}

static int take_scalar(struct reader *r, const yaml_event_t *ev, struct err *e)
{
    const char *s = (const char *)ev->data.scalar.value;
    size_t length = ev->data.scalar.length, line = ev->start_mark.line;
    bool in_list = r->depth && r->stack[r->depth - 1].is_list;
    if (r->depth && !in_list && r->stack[r->depth - 1].key_next) {
        r->stack[r->depth - 1].key_next = false;
        return take_key(r, s, length, line, e);
    }
    if (!r->key[0])
        return fail(r, line, "expected keys and values (key: value), found a single text", e);
    if (is_null(ev)) return fail(r, line, "has no value (an empty text is written \"\")", e);
    if (strlen(s) != length) return fail(r, line, "a NUL character in the value", e);
    push(r, s, line, in_list ? ENTRY_ITEM : ENTRY_SCALAR);
    value_done(r);
    return 0;
}

static int open_collection(struct reader *r, bool is_list, size_t line, struct err *e)
{
    if (r->depth && r->stack[r->depth - 1].is_list)
        return fail(r, line, "a list may hold single values only", e);
    if (r->depth && r->stack[r->depth - 1].key_next)
        return fail(r, line, "a key must be a single word", e);
    if (is_list && !r->key[0])
        return fail(r, line, "expected keys and values (key: value), found a list", e);
    if (r->depth == MAX_DEPTH) return fail(r, line, "is nested too deeply", e);
    r->stack[r->depth].is_list = is_list;
    r->stack[r->depth].key_next = !is_list;
    r->stack[r->depth].key_length = strlen(r->key);
    r->stack[r->depth].first_entry = r->out->n;
    r->depth++;
    return 0;
}

static void close_collection(struct reader *r, size_t line)
{
    r->depth--;
    r->key[r->stack[r->depth].key_length] = 0;
    if (r->out->n == r->stack[r->depth].first_entry && r->key[0])
        push(r, "", line, r->stack[r->depth].is_list ? ENTRY_EMPTY_LIST : ENTRY_EMPTY_GROUP);
    value_done(r);
}

static int take_event(struct reader *r, const yaml_event_t *ev, int *n_documents, struct err *e)
{
    static const char no_anchor[] =
        "anchors and aliases (&x, *x) have no place in a job file; write the value out";
    static const char no_tag[] = "tags (!x) have no place in a job file";
    size_t line = ev->start_mark.line;
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if ((*n_documents)++) return fail(r, line, "more than one YAML document in the file", e);
        return 0;
    case YAML_ALIAS_EVENT:
        return fail(r, line, no_anchor, e);
    case YAML_SCALAR_EVENT:
        if (ev->data.scalar.anchor) return fail(r, line, no_anchor, e);
        if (ev->data.scalar.tag) return fail(r, line, no_tag, e);
        return take_scalar(r, ev, e);
    case YAML_SEQUENCE_START_EVENT:
        if (ev->data.sequence_start.anchor) return fail(r, line, no_anchor, e);
        if (ev->data.sequence_start.tag) return fail(r, line, no_tag, e);
        return open_collection(r, true, line, e);
    case YAML_MAPPING_START_EVENT:
        if (ev->data.mapping_start.anchor) return fail(r, line, no_anchor, e);
        if (ev->data.mapping_start.tag) return fail(r, line, no_tag, e);
        return open_collection(r, false, line, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_collection(r, line);
        return 0;
    default:
        return 0;
    }
}

static int read_events(struct reader *r, struct err *e)
{
    int n_documents = 0, rc = 0;
    if (!yaml_parser_initialize(&r->parser)) mem_exhausted("a YAML parser");
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)r->text, r->n_bytes);
    for (bool end = false; !end && rc == 0;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&r->parser, &ev)) {
            rc = fail_syntax(r, e);
            break;
        }
        end = ev.type == YAML_STREAM_END_EVENT;
        rc = take_event(r, &ev, &n_documents, e);
        yaml_event_delete(&ev);
    }
    if (rc == 0 && n_documents == 0)
        rc = fail(r, 0, r->file ? "the file is empty" : "has no value", e);
    yaml_parser_delete(&r->parser);
    for (size_t i = 0; i < r->seen.n; i++) free(r->seen.items[i]);
    free(r->seen.items);
    return rc;
}

int entries_read(struct entries *es, const char *text, size_t n_bytes, const char *file,
                 struct err *e)
{
    struct reader r = {.out = es, .text = text, .n_bytes = n_bytes, .file = file};
    return read_events(&r, e);
}

int entries_read_override(struct entries *es, const char *assignment, struct err *e)
{
    struct reader r = {.out = es, .assignment = assignment};
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return err_set(e, "--set %.100s: expected key=value, for example alpha=0.7", assignment);
    size_t length = (size_t)(equals - assignment);
    if (length >= MAX_KEY) return err_set(e, "--set %.100s: the key is too long", assignment);
    memcpy(r.key, assignment, length);
    r.text = equals + 1;
    r.n_bytes = strlen(r.text);
    return read_events(&r, e);
}

void entries_push(struct entries *es, const char *key, const char *text, const char *where,
                  enum entry_kind kind)
{
    struct entry en = {mem_strdup(key), mem_strdup(text), mem_strdup(where), kind, false};
    ARRAY_PUSH(*es, en);
}

static void entry_free(struct entry *en)
{
    free(en->key);
    free(en->text);
    free(en->where);
}

void entries_free(struct entries *es)
{
    for (size_t i = 0; i < es->n; i++) entry_free(&es->items[i]);
    free(es->items);
    *es = (struct entries){0};
}

const struct entry *entries_find(const struct entries *es, const char *key)
{
    for (size_t i = 0; i < es->n; i++)
        if (!strcmp(es->items[i].key, key)) return &es->items[i];
    return NULL;
}

/* Does a new value of new->key make the old entry void? */
static bool replaces(const struct entry *new, const char *old)
{
    size_t length = strlen(new->key);
    if (!strcmp(old, new->key)) return true;
    if (!strncmp(old, "sweep.", 6) && !strcmp(old + 6, new->key)) return true;
    if (new->kind == ENTRY_EMPTY_GROUP && !strncmp(old, new->key, length) && old[length] == '.')
        return true;
    return length > 5 && !strcmp(new->key + length - 5, ".path") &&
           !strncmp(old, new->key, length - 4) && !strcmp(old + length - 4, "id");
}

void entries_apply(struct entries *es, const struct entries *over)
{
    for (size_t i = 0; i < over->n; i++) {
        size_t kept = 0;
        for (size_t k = 0; k < es->n; k++) {
            if (replaces(&over->items[i], es->items[k].key))
                entry_free(&es->items[k]);
            else
                es->items[kept++] = es->items[k];
        }
        es->n = kept;
    }
    for (size_t i = 0; i < over->n; i++) {
        const struct entry *en = &over->items[i];
        entries_push(es, en->key, en->text, en->where, en->kind);
    }
}

int entries_err(struct err *e, const struct entries *es, const char *file, const char *key,
                const char *fmt, ...)
{
    char message[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    const struct entry *en = entries_find(es, key);
    return err_set(e, "%s: key '%s': %s", en ? en->where : file, key, message);
}
