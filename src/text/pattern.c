#include "text/pattern.h"

#include "base/mem.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static void append(struct bytes *out, const char *s)
{
    for (; *s; s++) ARRAY_PUSH(*out, *s);
}

/* Escapes: \s and \S mean White_Space in Oniguruma, while PCRE2 counts U+180E as a space. */
static int translate_escape(char c, struct bytes *out)
{
    if (strchr("wWbBhHRXyYOK", c)) return -1;
    const char literal[] = {'\\', c, '\0'};
    append(out, c == 's' ? "\\p{White_Space}" : c == 'S' ? "\\P{White_Space}" : literal);
    return 0;
}

/* The same pattern in PCRE2's syntax; -1 when it uses what differs. */
static int translate(const char *regex, struct bytes *out)
{
    bool in_class = false;
    for (const char *p = regex; *p; p++) {
        if (*p == '\\') {
            if (!*++p || translate_escape(*p, out) < 0) return -1;
            continue;
        }
        if (in_class && (*p == '[' || (p[0] == '&' && p[1] == '&'))) return -1;
        if (*p == '[') {
            in_class = true;
            ARRAY_PUSH(*out, *p);
            if (p[1] == '^') ARRAY_PUSH(*out, *++p);
            if (p[1] == ']') return -1;
            continue;
        }
        if (*p == ']') in_class = false;
        ARRAY_PUSH(*out, *p);
    }
    ARRAY_PUSH(*out, '\0');
    return in_class ? -1 : 0;
}

static pcre2_code *compile(const char *regex, bool is_literal, const char *where, struct err *e)
{
    /* Without \C a match cannot end inside a character. */
    const uint32_t options =
        PCRE2_UTF |
        (is_literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) mem_exhausted("a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code;
    size_t at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!re) {
        PCRE2_UCHAR text[160] = "";
        pcre2_get_error_message(code, text, sizeof text);
        err_set(e, "%s: pattern '%s': %s (at %zu)", where, regex, (const char *)text, at);
        return NULL;
    }
    pcre2_jit_compile(
        re, PCRE2_JIT_COMPLETE); /* without JIT the interpreter matches the same, slower */
    return re;
}

struct pattern *pattern_open(const char *regex, bool is_literal, const char *where, struct err *e)
{
    struct bytes translated = {0};
    pcre2_code *re = NULL;
    if (is_literal)
        re = compile(regex, true, where, e);
    else if (translate(regex, &translated) < 0)
        err_set(e, "%s: pattern '%s': nested classes, &&, \\w, \\b and \\h are not supported",
                where, regex);
    else
        re = compile(translated.items, false, where, e);
    free(translated.items);
    return (struct pattern *)re;
}

void pattern_close(struct pattern *p)
{
    pcre2_code_free((pcre2_code *)p);
}

struct pattern_search *pattern_search_create(void)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data) mem_exhausted("a pattern's match");
    return (struct pattern_search *)data;
}

void pattern_search_destroy(struct pattern_search *s)
{
    pcre2_match_data_free((pcre2_match_data *)s);
}

int pattern_find(const struct pattern *p, struct pattern_search *s, const char *text, size_t n,
                 size_t from, size_t *start, size_t *end, struct err *e)
{
    const pcre2_code *re = (const pcre2_code *)p;
    pcre2_match_data *data = (pcre2_match_data *)s;
    int rc = pcre2_match(re, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, data, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter's stack is on the heap */
        rc = pcre2_match(re, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                         NULL);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc == PCRE2_ERROR_NOMEMORY) mem_exhausted("a pattern's match"); /* on all ranks */
    if (rc < 0) {
        PCRE2_UCHAR message[160] = "";
        pcre2_get_error_message(rc, message, sizeof message);
        return err_set(e, "tokenizer pattern fails at byte %zu: %s", from, (const char *)message);
    }
    const size_t *ovector = pcre2_get_ovector_pointer(data);
    *start = ovector[0];
    *end = ovector[1];
    if (*start >= from && *end >= *start) return 1;
    return err_set(e, "tokenizer pattern matches backwards at byte %zu", from);
}
