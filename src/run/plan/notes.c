#include "run/plan/notes.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes the text. */
static void add(struct plan_notes *s, enum note_kind kind, char *text)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->items[i].text, text) != 0) continue;
        free(text);
        return;
    }
    struct plan_note note = {kind, text};
    ARRAY_PUSH(*s, note);
}

void notes_add(struct plan_notes *s, enum note_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    add(s, kind, text);
}

void notes_problem(struct plan_notes *s, const struct err *e, const char *cure)
{
    add(s, NOTE_PROBLEM, cure ? mem_printf("%s; %s", e->text, cure) : mem_strdup(e->text));
}

size_t notes_count(const struct plan_notes *s, enum note_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) n += s->items[i].kind == kind;
    return n;
}

void notes_free(struct plan_notes *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->items[i].text);
    free(s->items);
    *s = (struct plan_notes){0};
}
