#include "run/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, LIST, NUMBER };

struct option_spec {
    const char *name, *short_name;
    const char *verbs; /* that take it; "": all */
    enum kind kind;
    size_t at, n_at; /* in struct options: the value; of a LIST the texts and how many */
};

#define AT(field)        offsetof(struct options, field), 0
#define LIST_AT(list, n) offsetof(struct options, list), offsetof(struct options, n)

static const struct option_spec specs[] = {
    {"--set", "", "run sweep status plan replay", LIST, LIST_AT(set, n_set)},
    {"--point", "", "run sweep status plan", LIST, LIST_AT(points, n_points)},
    {"--output", "-o", "sweep status report replay export timeline", TEXT, AT(output)},
    {"--format", "", "export", TEXT, AT(format)},
    {"--pick", "", "export", TEXT, AT(pick)},
    {"--prompt", "", "inspect timeline", NUMBER, AT(prompt)},
    {"--reference", "", "report replay", TEXT, AT(reference)},
    {"--nearest", "", "replay", FLAG, AT(nearest)},
    {"--subsets", "", "replay", NUMBER, AT(subsets)},
    {"--run", "", "sweep", FLAG, AT(run)},
    {"--submit", "", "sweep", FLAG, AT(submit)},
    {"--dry-run", "", "sweep", FLAG, AT(dry_run)},
    {"--max-running", "", "sweep", NUMBER, AT(max_running)},
    {"--points-per-task", "", "sweep", NUMBER, AT(points_per_task)},
    {"--done", "", "status", FLAG, AT(done)},
    {"--allow-mixed", "", "run sweep", FLAG, AT(allow_mixed)},
    {"--quiet", "-q", "", FLAG, AT(quiet)},
    {"--json", "", "status plan inspect report replay", FLAG, AT(json)},
    {"--verbose", "-v", "plan", FLAG, AT(verbose)},
    {"--decode", "", "tokenize", FLAG, AT(decode)},
    {"--raw", "", "tokenize", FLAG, AT(raw)},
    {"--template", "", "inspect score", TEXT, AT(chat_template)},
    {"--dtype", "", "score", TEXT, AT(dtype)},
    {"--backend", "", "score", TEXT, AT(backend)},
    {"--device", "", "plan", TEXT, AT(device)},
    {"--like", "", "plan", TEXT, AT(like)},
    {"--mean-tokens", "", "plan", TEXT, AT(mean_tokens)},
    {"--memory", "", "plan", TEXT, AT(memory)},
    {"--hardware", "", "plan", LIST, LIST_AT(hardware, n_hardware)},
    {"--ranks", "", "plan", NUMBER, AT(ranks)},
    {"--help", "-h", "", FLAG, AT(help)},
    {"--version", "", "", FLAG, AT(version)},
};

#define N_SPECS (sizeof specs / sizeof *specs)
_Static_assert(N_SPECS <= MAX_OPTIONS, "each may be given");

static int add(const char **list, int *n, const char *name, const char *value, struct err *e)
{
    if (*n == MAX_OPTION_LISTS)
        return err_set(e, "too many of %s (at most %d)", name, MAX_OPTION_LISTS);
    list[(*n)++] = value;
    return 0;
}

static int take(struct options *o, const struct option_spec *s, const char *value, struct err *e)
{
    void *field = (char *)o + s->at;
    long long *number = field;
    char *end;
    switch (s->kind) {
    case FLAG:
        *(bool *)field = true;
        return 0;
    case TEXT:
        *(const char **)field = value;
        return 0;
    case LIST:
        return add(field, (int *)((char *)o + s->n_at), s->name, value, e);
    case NUMBER:
        errno = 0;
        *number = strtoll(value, &end, 10);
        if (errno || *end || end == value || *number < 0)
            return err_set(e, "%s needs a number, not '%s'", s->name, value);
        return 0;
    }
    return 0;
}

/* Is it this option, as --name, -n or --name=value?  *value: what stands behind the sign, or NULL.
 */
static bool is_option(const struct option_spec *s, const char *word, const char **value)
{
    size_t n = strlen(s->name);
    *value = strncmp(word, s->name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
    return *value || strcmp(word, s->name) == 0 || strcmp(word, s->short_name) == 0;
}

static const struct option_spec *find_option(const char *word, const char **value)
{
    for (size_t i = 0; i < N_SPECS; i++)
        if (is_option(&specs[i], word, value)) return &specs[i];
    return NULL;
}

static void note_given(struct options *o, const struct option_spec *s)
{
    if (!s->verbs[0]) return;
    for (int i = 0; i < o->n_given; i++)
        if (strcmp(o->given[i].name, s->name) == 0) return;
    o->given[o->n_given].name = s->name;
    o->given[o->n_given++].verbs = s->verbs;
}

/* argv[at], an option; returns how many words it is, -1 with *e. */
static int take_option(struct options *o, char **argv, int at, struct err *e)
{
    const char *value = NULL;
    const struct option_spec *s = find_option(argv[at], &value);
    if (!s) return err_set(e, "unknown option '%s'; specrej --help lists them", argv[at]);
    if (s->kind == FLAG && value) return err_set(e, "%s takes no value", s->name);
    bool is_apart = s->kind != FLAG && !value;
    if (is_apart && !(value = argv[at + 1])) return err_set(e, "%s needs a value", s->name);
    note_given(o, s);
    TRY(take(o, s, value, e));
    return is_apart ? 2 : 1;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    *o = (struct options){.prompt = -1, .ranks = -1};
    for (int i = 1, words = 1; i < argc; i += words) {
        words = 1;
        if (strcmp(argv[i], "--") == 0) {
            o->rest = (const char *const *)argv + i + 1;
            o->n_rest = argc - i - 1;
            return 0;
        }
        if (argv[i][0] == '-' && argv[i][1] != 0)
            TRY(words = take_option(o, argv, i, e));
        else if (!o->verb)
            o->verb = argv[i];
        else
            TRY(add(o->files, &o->n_files, "files", argv[i], e));
    }
    return 0;
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0)) return true;
    return false;
}

int options_check(const struct options *o, struct err *e)
{
    for (int i = 0; i < o->n_given; i++)
        if (!has_word(o->given[i].verbs, o->verb))
            return err_set(e, "%s does not take %s, which is an option of: %s; specrej %s --help",
                           o->verb, o->given[i].name, o->given[i].verbs, o->verb);
    if (o->rest && strcmp(o->verb, "sweep") != 0)
        return err_set(e,
                       "%s takes nothing behind --; options of sbatch stand there, in specrej "
                       "sweep --submit",
                       o->verb);
    return 0;
}

bool options_has_point(const struct options *o, const char *id)
{
    for (int i = 0; i < o->n_points; i++)
        if (strncmp(id, o->points[i], strlen(o->points[i])) == 0) return true;
    return o->n_points == 0;
}
