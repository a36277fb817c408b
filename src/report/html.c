#include "report/html.h"

#include "text/bytes.h"
#include "text/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *entity_of(uint32_t c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        break;
    }
    bool allowed = c >= 0x20 ? c != 0x7f && c != 0xfffe && c != 0xffff : c == '\t' || c == '\n';
    return allowed ? NULL : "\xef\xbf\xbd";
}

void html_text(FILE *out, const char *text)
{
    struct bytes valid = {0};
    utf8_repair(text, strlen(text), &valid);
    for (size_t i = 0; i < valid.n;) {
        size_t from = i;
        const char *entity = entity_of(utf8_next(valid.items, &i));
        if (entity)
            fputs(entity, out);
        else
            fwrite(valid.items + from, 1, i - from, out);
    }
    free(valid.items);
}

/* ---- drawings ---- */

/* An element <tag>...</tag> at p, skipped. */
static const char *skip_element(const char *p, const char *tag)
{
    size_t n = strlen(tag);
    while (*p == ' ' || *p == '\n' || *p == '\r') p++;
    if (p[0] != '<' || strncmp(p + 1, tag, n) != 0) return p;
    const char *end = strstr(p, "</");
    while (end && strncmp(end + 2, tag, n) != 0) end = strstr(end + 2, "</");
    const char *close = end ? strchr(end, '>') : NULL;
    return close ? close + 1 : p;
}

/* gnuplot names what it refers to in single quotes (id='gpPt1', href='#gpPt1', url(#textbox)) and
 * what nobody refers to in double quotes, the latter twice where a drawing has two plots. */
static void put_renamed(FILE *out, const char *p, const char *name)
{
    static const char *const marks[] = {" id='", "href='#", "url(#"};
    while (*p) {
        if (strncmp(p, " id=\"", 5) == 0) {
            const char *end = strchr(p + 5, '"');
            if (!end) return;
            p = end + 1;
            continue;
        }
        size_t mark = 0;
        while (mark < 3 && strncmp(p, marks[mark], strlen(marks[mark])) != 0) mark++;
        if (mark == 3) {
            fputc(*p++, out);
            continue;
        }
        fprintf(out, "%s%s-", marks[mark], name);
        p += strlen(marks[mark]);
    }
}

void html_svg(FILE *out, const char *svg, const char *name, const char *title,
              const char *description)
{
    const char *head = strstr(svg, "<svg"), *end = head ? strchr(head, '>') : NULL;
    if (!end) return;
    fprintf(out, "%.*s role=\"img\" aria-labelledby=\"%s-title %s-text\">\n", (int)(end - head),
            head, name, name);
    fprintf(out, "<title id=\"%s-title\">", name);
    html_text(out, title);
    fprintf(out, "</title>\n<desc id=\"%s-text\">", name);
    html_text(out, description);
    fputs("</desc>\n", out);
    const char *body = skip_element(end + 1, "title");
    put_renamed(out, skip_element(body, "desc"), name);
}
