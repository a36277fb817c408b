/* What a plan says besides its numbers: problems (the job cannot run), warnings, assumptions. */
#pragma once

#include "base/err.h"

#include <stddef.h>

enum note_kind { NOTE_PROBLEM, NOTE_WARNING, NOTE_ASSUMPTION };

struct plan_note {
    enum note_kind kind;
    char *text; /* owned: one line */
};

struct plan_notes {
    struct plan_note *items;
    size_t n, cap;
};

/* A text that is there already is not added again. */
void notes_add(struct plan_notes *s, enum note_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A problem, and what cures it; cure NULL: the text says it. */
void notes_problem(struct plan_notes *s, const struct err *e, const char *cure);
size_t notes_count(const struct plan_notes *s, enum note_kind kind);
void notes_free(struct plan_notes *s);
