#include "run/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, LIST, NUMBER };

struct option_spec {
    const char *name, *short_name;
    const char *verbs; /* that take it; "": all */
    enum kind kind;
    void *flag;        /* bool * */
    const char **text; /* TEXT, LIST */
    int *n;            /* LIST */
    long long *number;
};

static int add(const char **list, int *n, const char *name, const char *value, struct err *e)
{
    if (*n == MAX_OPTION_LISTS)
        return err_set(e, "too many of %s (at most %d)", name, MAX_OPTION_LISTS);
    list[(*n)++] = value;
    return 0;
}

static int take(const struct option_spec *s, const char *value, struct err *e)
{
    char *end;
    switch (s->kind) {
    case FLAG:
        *(bool *)s->flag = true;
        return 0;
    case TEXT:
        *s->text = value;
        return 0;
    case LIST:
        return add(s->text, s->n, s->name, value, e);
    case NUMBER:
        errno = 0;
        *s->number = strtoll(value, &end, 10);
        if (errno || *end || end == value || *s->number < 0)
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

static void note_given(struct options *o, const struct option_spec *s)
{
    if (!s->verbs[0]) return;
    for (int i = 0; i < o->n_given; i++)
        if (strcmp(o->given[i].name, s->name) == 0) return;
    ENSURE(o->n_given < MAX_OPTIONS);
    o->given[o->n_given].name = s->name;
    o->given[o->n_given++].verbs = s->verbs;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    *o = (struct options){.prompt = -1, .ranks = -1};
    const struct option_spec specs[] = {
        {"--set", "", "run sweep status plan replay", LIST, NULL, o->set, &o->n_set, NULL},
        {"--point", "", "run sweep status plan", LIST, NULL, o->points, &o->n_points, NULL},
        {"--output", "-o", "sweep status report replay export timeline", TEXT, NULL, &o->output,
         NULL, NULL},
        {"--format", "", "export", TEXT, NULL, &o->format, NULL, NULL},
        {"--pick", "", "export", TEXT, NULL, &o->pick, NULL, NULL},
        {"--prompt", "", "inspect timeline", NUMBER, NULL, NULL, NULL, &o->prompt},
        {"--reference", "", "report replay", TEXT, NULL, &o->reference, NULL, NULL},
        {"--nearest", "", "replay", FLAG, &o->nearest, NULL, NULL, NULL},
        {"--subsets", "", "replay", NUMBER, NULL, NULL, NULL, &o->subsets},
        {"--run", "", "sweep", FLAG, &o->run, NULL, NULL, NULL},
        {"--submit", "", "sweep", FLAG, &o->submit, NULL, NULL, NULL},
        {"--dry-run", "", "sweep", FLAG, &o->dry_run, NULL, NULL, NULL},
        {"--max-running", "", "sweep", NUMBER, NULL, NULL, NULL, &o->max_running},
        {"--points-per-task", "", "sweep", NUMBER, NULL, NULL, NULL, &o->points_per_task},
        {"--done", "", "status", FLAG, &o->done, NULL, NULL, NULL},
        {"--allow-mixed", "", "run sweep", FLAG, &o->allow_mixed, NULL, NULL, NULL},
        {"--quiet", "-q", "", FLAG, &o->quiet, NULL, NULL, NULL},
        {"--json", "", "status plan inspect report replay", FLAG, &o->json, NULL, NULL, NULL},
        {"--decode", "", "tokenize", FLAG, &o->decode, NULL, NULL, NULL},
        {"--raw", "", "tokenize", FLAG, &o->raw, NULL, NULL, NULL},
        {"--template", "", "inspect score", TEXT, NULL, &o->chat_template, NULL, NULL},
        {"--dtype", "", "score", TEXT, NULL, &o->dtype, NULL, NULL},
        {"--backend", "", "score", TEXT, NULL, &o->backend, NULL, NULL},
        {"--device", "", "plan", TEXT, NULL, &o->device, NULL, NULL},
        {"--like", "", "plan", TEXT, NULL, &o->like, NULL, NULL},
        {"--mean-tokens", "", "plan", TEXT, NULL, &o->mean_tokens, NULL, NULL},
        {"--memory", "", "plan", TEXT, NULL, &o->memory, NULL, NULL},
        {"--hardware", "", "plan", LIST, NULL, o->hardware, &o->n_hardware, NULL},
        {"--ranks", "", "plan", NUMBER, NULL, NULL, NULL, &o->ranks},
        {"--help", "-h", "", FLAG, &o->help, NULL, NULL, NULL},
        {"--version", "", "", FLAG, &o->version, NULL, NULL, NULL},
    };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o->rest = (const char *const *)argv + i + 1;
            o->n_rest = argc - i - 1;
            return 0;
        }
        if (argv[i][0] != '-' || argv[i][1] == 0) {
            if (!o->verb)
                o->verb = argv[i];
            else
                TRY(add(o->files, &o->n_files, "files", argv[i], e));
            continue;
        }
        const struct option_spec *s = NULL;
        const char *value = NULL;
        for (size_t k = 0; k < sizeof specs / sizeof *specs && !s; k++)
            if (is_option(&specs[k], argv[i], &value)) s = &specs[k];
        if (!s) return err_set(e, "unknown option '%s'; specrej --help lists them", argv[i]);
        if (s->kind == FLAG && value) return err_set(e, "%s takes no value", s->name);
        if (s->kind != FLAG && !value && !(value = argv[++i]))
            return err_set(e, "%s needs a value", s->name);
        note_given(o, s);
        TRY(take(s, value, e));
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
