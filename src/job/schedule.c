#include "job/schedule.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AT = 1000 };

static bool is_whole(const char *s)
{
    if (*s == '0' && s[1]) return false;
    if (!*s) return false;
    while (isdigit((unsigned char)*s)) s++;
    return !*s;
}

int text_to_i64(const char *text, int64_t *out)
{
    if (!is_whole(*text == '-' ? text + 1 : text)) return -1;
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    *out = v;
    return errno ? -1 : 0;
}

int text_to_u64(const char *text, uint64_t *out)
{
    if (!is_whole(text)) return -1;
    errno = 0;
    unsigned long long v = strtoull(text, NULL, 10);
    *out = v;
    return errno ? -1 : 0;
}

static size_t digits(const char **s)
{
    const char *start = *s;
    while (isdigit((unsigned char)**s)) (*s)++;
    return (size_t)(*s - start);
}

static bool is_number(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t n = digits(&s);
    if (*s == '.') {
        s++;
        n += digits(&s);
    }
    if (n == 0) return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        if (digits(&s) == 0) return false;
    }
    return !*s;
}

int text_to_f64(const char *text, double *out)
{
    if (!is_number(text)) return -1;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) mem_exhausted("a locale");
    *out = strtod_l(text, NULL, c);
    freelocale(c);
    return isfinite(*out) ? 0 : -1;
}

void f64_to_text(double v, char out[32])
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) mem_exhausted("a locale");
    locale_t before = uselocale(c);
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, 32, "%.*g", precision, v);
        if (strtod(out, NULL) == v) break;
    }
    uselocale(before);
    freelocale(c);
}

/* "every 128" */
static int parse_every(struct schedule *s, const char *text)
{
    text += 5;
    while (*text == ' ') text++;
    if (text_to_i64(text, &s->every) < 0 || s->every < 1 || s->every > INT32_MAX) return -1;
    s->kind = SCHEDULE_EVERY;
    return 0;
}

static bool starts_with_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    return !strncmp(text, word, n) && text[n] == ' ';
}

/* "64, 128, 256", after an optional "at" */
static int parse_at(struct schedule *s, const char *text)
{
    struct {
        int64_t *items;
        size_t n, cap;
    } at = {0};
    char *copy = mem_strdup(starts_with_word(text, "at") ? text + 3 : text);
    int rc = 0;
    for (char *next = copy; next && rc == 0;) {
        char *word = next;
        next = strchr(word, ',');
        if (next) *next++ = 0;
        while (*word == ' ') word++;
        for (size_t n = strlen(word); n > 0 && word[n - 1] == ' '; n--) word[n - 1] = 0;
        int64_t v = 0;
        rc = text_to_i64(word, &v);
        if (v < 1 || v > INT32_MAX || at.n == MAX_AT || (at.n && v <= at.items[at.n - 1])) rc = -1;
        if (rc == 0) ARRAY_PUSH(at, v);
    }
    free(copy);
    if (rc < 0) {
        free(at.items);
        return -1;
    }
    *s = (struct schedule){.kind = SCHEDULE_AT, .at = at.items, .n_at = (int64_t)at.n};
    return 0;
}

static int parse(struct schedule *s, const char *text)
{
    if (starts_with_word(text, "every")) return parse_every(s, text);
    return parse_at(s, text);
}

int schedule_parse_rounds(struct schedule *s, const char *text, struct err *e)
{
    *s = (struct schedule){0};
    if (!strcmp(text, "memory"))
        s->kind = SCHEDULE_MEMORY;
    else if (parse(s, text) < 0)
        return err_set(e,
                       "'%.60s' is no schedule; allowed: memory | every N | at N, N, ... (tokens "
                       "from 1, increasing)",
                       text);
    return 0;
}

int schedule_parse_score_at(struct schedule *s, const char *text, struct err *e)
{
    *s = (struct schedule){0};
    if (!strcmp(text, "off"))
        s->kind = SCHEDULE_OFF;
    else if (!strcmp(text, "doubling"))
        s->kind = SCHEDULE_DOUBLING;
    else if (!strcmp(text, "pages"))
        s->kind = SCHEDULE_PAGES;
    else if (parse(s, text) < 0)
        return err_set(e,
                       "'%.60s' is no schedule; allowed: off | every N | doubling | pages | N, N, "
                       "... (tokens from 1, increasing)",
                       text);
    return 0;
}

void schedule_free(struct schedule *s)
{
    free(s->at);
    *s = (struct schedule){0};
}

char *schedule_to_text(const struct schedule *s)
{
    switch (s->kind) {
    case SCHEDULE_OFF:
        return mem_strdup("off");
    case SCHEDULE_MEMORY:
        return mem_strdup("memory");
    case SCHEDULE_EVERY:
        return mem_printf("every %lld", (long long)s->every);
    case SCHEDULE_DOUBLING:
        return mem_strdup("doubling");
    case SCHEDULE_PAGES:
        return mem_strdup("pages");
    case SCHEDULE_AT:
        break;
    }
    char *text = mem_strdup("at");
    for (int64_t i = 0; i < s->n_at; i++) {
        char *longer = mem_printf("%s%s %lld", text, i ? "," : "", (long long)s->at[i]);
        free(text);
        text = longer;
    }
    return text;
}
