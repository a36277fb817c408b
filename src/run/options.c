#include "run/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, LIST, NUMBER };

struct option_spec {
    const char *name, *short_name;
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

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    *o = (struct options){.prompt = -1, .ranks = -1};
    const struct option_spec specs[] = {
        {"--set", "", LIST, NULL, o->set, &o->n_set, NULL},
        {"--point", "", LIST, NULL, o->points, &o->n_points, NULL},
        {"--output", "-o", TEXT, NULL, &o->output, NULL, NULL},
        {"--format", "", TEXT, NULL, &o->format, NULL, NULL},
        {"--pick", "", TEXT, NULL, &o->pick, NULL, NULL},
        {"--prompt", "", NUMBER, NULL, NULL, NULL, &o->prompt},
        {"--reference", "", TEXT, NULL, &o->reference, NULL, NULL},
        {"--nearest", "", FLAG, &o->nearest, NULL, NULL, NULL},
        {"--subsets", "", NUMBER, NULL, NULL, NULL, &o->subsets},
        {"--run", "", FLAG, &o->run, NULL, NULL, NULL},
        {"--submit", "", FLAG, &o->submit, NULL, NULL, NULL},
        {"--dry-run", "", FLAG, &o->dry_run, NULL, NULL, NULL},
        {"--max-running", "", NUMBER, NULL, NULL, NULL, &o->max_running},
        {"--points-per-task", "", NUMBER, NULL, NULL, NULL, &o->points_per_task},
        {"--done", "", FLAG, &o->done, NULL, NULL, NULL},
        {"--allow-mixed", "", FLAG, &o->allow_mixed, NULL, NULL, NULL},
        {"--quiet", "-q", FLAG, &o->quiet, NULL, NULL, NULL},
        {"--json", "", FLAG, &o->json, NULL, NULL, NULL},
        {"--decode", "", FLAG, &o->decode, NULL, NULL, NULL},
        {"--raw", "", FLAG, &o->raw, NULL, NULL, NULL},
        {"--template", "", TEXT, NULL, &o->chat_template, NULL, NULL},
        {"--dtype", "", TEXT, NULL, &o->dtype, NULL, NULL},
        {"--backend", "", TEXT, NULL, &o->backend, NULL, NULL},
        {"--device", "", TEXT, NULL, &o->device, NULL, NULL},
        {"--like", "", TEXT, NULL, &o->like, NULL, NULL},
        {"--mean-tokens", "", TEXT, NULL, &o->mean_tokens, NULL, NULL},
        {"--memory", "", TEXT, NULL, &o->memory, NULL, NULL},
        {"--hardware", "", LIST, NULL, o->hardware, &o->n_hardware, NULL},
        {"--ranks", "", NUMBER, NULL, NULL, NULL, &o->ranks},
        {"--help", "-h", FLAG, &o->help, NULL, NULL, NULL},
        {"--version", "", FLAG, &o->version, NULL, NULL, NULL},
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
        for (size_t k = 0; k < sizeof specs / sizeof *specs; k++)
            if (strcmp(argv[i], specs[k].name) == 0 || strcmp(argv[i], specs[k].short_name) == 0)
                s = &specs[k];
        if (!s) return err_set(e, "unknown option '%s'; specrej --help lists them", argv[i]);
        if (s->kind != FLAG && ++i == argc) return err_set(e, "%s needs a value", s->name);
        TRY(take(s, argv[i], e));
    }
    return 0;
}

bool options_has_point(const struct options *o, const char *id)
{
    for (int i = 0; i < o->n_points; i++)
        if (strncmp(id, o->points[i], strlen(o->points[i])) == 0) return true;
    return o->n_points == 0;
}
