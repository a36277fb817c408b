#include "report/reference.h"

#include "base/mem.h"
#include "job/schedule.h"
#include "report/cells.h"

#include <stdlib.h>
#include <string.h>

/* ---- words of the column method ---- */

static bool is_static(const struct source *s)
{
    return s->is_static;
}

static bool is_of_2024(const struct source *s)
{
    return s->compat == COMPAT_PAPER_CODE_2024;
}

static bool is_replayed(const struct source *s)
{
    return s->is_replayed;
}

static bool is_approximate(const struct source *s)
{
    return s->is_approximate;
}

static bool scores_on_the_way(const struct source *s)
{
    return s->scores_on_the_way;
}

static const struct {
    const char *name;
    bool (*holds)(const struct source *s);
} words[] = {{"static", is_static},
             {"paper_code_2024", is_of_2024},
             {"replayed", is_replayed},
             {"approximate", is_approximate},
             {"score_at", scores_on_the_way}};
enum { WORDS = sizeof words / sizeof *words, WORD_2024 = 1 };

/* ---- reading ---- */

static int bad(const char *text, struct err *e, const char *why)
{
    return err_set(e,
                   "--reference '%.120s': %s; it is METHOD:N[,KEY=VALUE...] as in 120, "
                   "best_of_n:120, static:120 or speculative_rejection:960,alpha=0.5,rounds=memory",
                   text, why);
}

/* Without the blanks around it, in place. */
static char *trim(char *s)
{
    while (*s == ' ') s++;
    size_t n = strlen(s);
    while (n > 0 && s[n - 1] == ' ') s[--n] = 0;
    return s;
}

static int read_word(struct reference *r, const char *word, bool *has_method)
{
    for (enum method m = METHOD_BEST_OF_N; m <= METHOD_SPECULATIVE_REJECTION; m++) {
        if (strcmp(word, method_name(m)) != 0) continue;
        r->method = m;
        *has_method = true;
        return 0;
    }
    for (unsigned k = 0; k < WORDS; k++) {
        if (strcmp(word, words[k].name) != 0) continue;
        r->words |= 1u << k;
        return 0;
    }
    return -1;
}

/* "best_of_n, static" */
static int read_method(struct reference *r, char *text, struct err *e)
{
    bool has_method = false;
    r->method = METHOD_BEST_OF_N;
    for (char *word; (word = strsep(&text, ",")) != NULL;) {
        if (read_word(r, trim(word), &has_method) == 0) continue;
        char *why = mem_printf("'%.40s' is no method", trim(word));
        bad(r->text, e, why);
        free(why);
        return -1;
    }
    if (!has_method && r->words & 1u << WORD_2024) r->method = METHOD_SPECULATIVE_REJECTION;
    return 0;
}

static int read_n(struct reference *r, const char *text, struct err *e)
{
    if (strcmp(text, "auto") == 0) return 0;
    if (text_to_i64(text, &r->n) < 0 || r->n < 1)
        return bad(r->text, e, "N is a whole number from 1 on, or auto");
    return 0;
}

/* A schedule as the files have it.  Caller frees; NULL: it is none. */
static char *rounds_text(const char *text)
{
    struct schedule s = {0};
    struct err e;
    char *canonical = NULL;
    if (schedule_parse_rounds(&s, text, &e) == 0) canonical = schedule_to_text(&s);
    schedule_free(&s);
    return canonical;
}

static int add_key(struct reference *r, const char *key, const char *value, struct err *e)
{
    double alpha;
    if (strcmp(key, "seed") == 0)
        return bad(r->text, e, "every file is held against the file of its own seed");
    if (strcmp(key, "n") == 0 || strcmp(key, "method") == 0)
        return bad(r->text, e, "method and N stand in front");
    bool is_alpha = strcmp(key, "alpha") == 0, is_rounds = strcmp(key, "rounds") == 0;
    if ((is_alpha || is_rounds) && r->method == METHOD_BEST_OF_N)
        return bad(r->text, e, "Best-of-N has no alpha and no rounds");
    if (is_alpha && text_to_f64(value, &alpha) < 0) return bad(r->text, e, "alpha is no number");
    char *rounds = is_rounds ? rounds_text(value) : NULL;
    if (is_rounds && !rounds) return bad(r->text, e, "rounds are memory, every N, or at N, N, ...");
    entries_push(&r->keys, key, is_rounds ? rounds : value, "--reference", ENTRY_SCALAR);
    free(rounds);
    return 0;
}

/* "alpha=0.5,rounds=at 16, 32": what is behind a comma and has no '=' goes on with the value. */
static int read_keys(struct reference *r, char *text, struct err *e)
{
    while (text) {
        char *value = strchr(text, '='), *next = value;
        if (!value) return bad(r->text, e, "behind the N stands KEY=VALUE");
        *value++ = 0;
        while ((next = strchr(next + 1, ',')) != NULL) {
            const char *after = strpbrk(next + 1, ",=");
            if (after && *after == '=') break;
        }
        if (next) *next++ = 0;
        TRY(add_key(r, trim(text), trim(value), e));
        text = next;
    }
    return 0;
}

static int read_all(struct reference *r, char *text, struct err *e)
{
    char *colon = memchr(text, ':', strcspn(text, "=")), *n = colon ? colon + 1 : text,
         *keys = strchr(n, ',');
    if (keys) *keys++ = 0;
    if (colon) {
        *colon = 0;
        TRY(read_method(r, text, e));
    }
    TRY(read_n(r, trim(n), e));
    return read_keys(r, keys, e);
}

int reference_parse(struct reference *r, const char *text, struct err *e)
{
    *r = (struct reference){0};
    if (!text) return 0;
    r->text = mem_strdup(text);
    char *copy = mem_strdup(text);
    int rc = read_all(r, copy, e);
    free(copy);
    return rc;
}

void reference_free(struct reference *r)
{
    entries_free(&r->keys);
    free(r->text);
    *r = (struct reference){0};
}

/* ---- what fits ---- */

static bool has_value(const struct source *s, const struct entry *asked)
{
    double alpha;
    if (strcmp(asked->key, "alpha") == 0)
        return text_to_f64(asked->text, &alpha) == 0 && alpha == s->alpha;
    if (strcmp(asked->key, "rounds") == 0) return strcmp(asked->text, s->rounds) == 0;
    const struct entry *own = entries_find(&s->keys, asked->key);
    return own && strcmp(own->text, asked->text) == 0;
}

bool reference_fits(const struct reference *r, const struct source *s)
{
    if (s->method != r->method) return false;
    for (unsigned k = 0; k < WORDS; k++)
        if (r->words & 1u << k && !words[k].holds(s)) return false;
    for (size_t i = 0; i < r->keys.n; i++)
        if (!has_value(s, &r->keys.items[i])) return false;
    return true;
}

/* ---- as it is given ---- */

char *reference_text(const struct source *s)
{
    static const char *const best_of_n[] = {NULL, "static", "score_at", "static,score_at"};
    const char *method = is_of_2024(s) ? words[WORD_2024].name : NULL;
    char n[CELL], alpha[32];
    cell_n(n, s->n);
    if (!source_rejects(s)) {
        method = best_of_n[s->is_static + 2 * s->scores_on_the_way];
        return mem_printf("%s:%s", method ? method : method_name(s->method), n);
    }
    f64_to_text(s->alpha, alpha);
    return mem_printf("%s:%s,alpha=%s,rounds=%s", method ? method : method_name(s->method), n,
                      alpha, s->rounds);
}
