/* Command-line options of all verbs, in one place. */
#pragma once

#include "base/err.h"

#include <stdbool.h>

#define MAX_OPTION_LISTS 1024
#define MAX_OPTIONS      32 /* different ones */

struct options {
    const char *verb;
    const char
        *files[MAX_OPTION_LISTS]; /* positional arguments after the verb; borrowed from argv */
    int n_files;
    const char *set[MAX_OPTION_LISTS]; /* --set KEY=VALUE */
    int n_set;
    const char *points[MAX_OPTION_LISTS]; /* --point ID (run, plan) */
    int n_points;
    const char *hardware[MAX_OPTION_LISTS]; /* --hardware KEY=VALUE (plan) */
    int n_hardware;
    const char *output;        /* -o, --output */
    const char *format;        /* --format (export) */
    const char *pick;          /* --pick (export) */
    long long prompt;          /* --prompt INDEX (inspect, timeline), -1: not given */
    const char *reference;     /* --reference METHOD:N,... (report, replay) */
    bool nearest;              /* --nearest (replay) */
    long long subsets;         /* --subsets K (replay), 0: not given */
    bool run;                  /* --run (sweep) */
    bool submit, dry_run;      /* --submit, --dry-run (sweep) */
    long long max_running;     /* --max-running K (sweep --submit), 0: not given */
    long long points_per_task; /* --points-per-task K (sweep --submit), 0: not given */
    bool done;                 /* --done (status) */
    const char *const *rest;   /* what stands behind --: options for sbatch; borrowed from argv */
    int n_rest;
    const char *device;        /* --device NAME (plan) */
    const char *like;          /* --like FILE (plan) */
    const char *mean_tokens;   /* --mean-tokens MEAN (plan) */
    const char *memory;        /* --memory GIB (plan) */
    long long ranks;           /* --ranks N (plan), -1: not given */
    bool allow_mixed;          /* --allow-mixed */
    bool quiet;                /* -q, --quiet */
    bool json;                 /* --json */
    bool verbose;              /* --verbose (plan) */
    bool decode;               /* --decode (tokenize) */
    bool raw;                  /* --raw (tokenize) */
    const char *chat_template; /* --template (score, inspect) */
    const char *dtype;         /* --dtype (score) */
    const char *backend;       /* --backend (score) */
    bool help, version;
    struct {
        const char *name, *verbs; /* --json, and the verbs that take it; static */
    } given[MAX_OPTIONS];         /* each option that was given and that not every verb takes */
    int n_given;
};

/* --key value and --key=value.  -1 with *e: unknown option, a missing value. */
int options_parse(struct options *o, int argc, char **argv, struct err *e);

/* -1 with *e: an option that o->verb, which is one, does not take.  It would do nothing, and its
 * user expects that it does. */
int options_check(const struct options *o, struct err *e);

/* Is the point with this id among those that --point names (by their first digits)?  Without
 * --point every one is. */
bool options_has_point(const struct options *o, const char *id);
