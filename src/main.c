/* The verbs: parse, call one function each. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/slurm.h"
#include "cluster/verbs.h"
#include "job/sweep.h"
#include "report/verbs.h"
#include "run/coordinator.h"
#include "run/help.h"
#include "run/options.h"
#include "run/plan/plan.h"
#include "run/shell.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_version(void)
{
    printf("specrej %s (%s)\n%s\n%s\n", VERSION_NUMBER, VERSION_COMMIT, VERSION_BUILD,
           VERSION_LIBRARIES);
}

/* The command that continues this one, for the last line of a run. */
static char *command_line(int argc, char **argv)
{
    char *line = mem_strdup("specrej");
    for (int i = 1; i < argc; i++) {
        char *word = shell_word(argv[i]), *longer = mem_printf("%s %s", line, word);
        free(word);
        free(line);
        line = longer;
    }
    return line;
}

static void print_point(const struct job *j, const struct options *o)
{
    char id[HASH_HEX], *path = job_output_path(j), n[24] = "auto", alpha[24] = "-";
    job_point_id(j, id);
    if (j->n) snprintf(n, sizeof n, "%lld", (long long)j->n);
    if (j->method == METHOD_SPECULATIVE_REJECTION) snprintf(alpha, sizeof alpha, "%g", j->alpha);
    if (options_has_point(o, id))
        printf("%s  %-22s n %-6s alpha %-5s seed %-4llu %s\n", id, method_name(j->method), n, alpha,
               (unsigned long long)j->seed, path);
    free(path);
}

static int count_chosen(const struct sweep *s, const struct options *o)
{
    int n = 0;
    for (int64_t i = 0; i < s->n_points; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[i], id);
        n += options_has_point(o, id);
    }
    return n;
}

/* Run the chosen points one after the other; the worst status counts, a stop ends them all. */
static int run_points(const struct sweep *s, const struct options *o, const char *command,
                      struct comm *world, struct loaded *kept, struct err *e)
{
    struct run_options ro = {.allow_mixed = o->allow_mixed,
                             .quiet = o->quiet,
                             .command = command,
                             .slurm_ended = slurm_job_ended};
    int worst = EXIT_DONE, n = 0, again = 0, chosen = count_chosen(s, o);
    struct err said = {0};
    for (int64_t i = 0; i < s->n_points; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[i], id);
        if (!options_has_point(o, id)) continue;
        char which[32];
        snprintf(which, sizeof which, " %d/%d", ++n, chosen);
        ro.which = chosen > 1 ? which : NULL;
        int status = coordinator_run(&s->points[i], &ro, world, kept, e);
        if (status == EXIT_BAD_INPUT && strcmp(e->text, said.text) == 0)
            again++; /* a wrong path is wrong for every point */
        else if (status == EXIT_BAD_INPUT)
            log0(LOG_ERROR, "%s", (said = *e).text);
        if (status == EXIT_CONTINUE) return status;
        if (status > worst) worst = status;
    }
    if (again > 0)
        log0(LOG_WARN, "that error is also the one of %d more point%s", again,
             again == 1 ? "" : "s");
    if (n > 0) return worst;
    log0(LOG_ERROR, "no point of this sweep has that id; specrej sweep lists them");
    return EXIT_BAD_INPUT;
}

/* Every file is looked at before the first one is run: a mistake in the last is known at once. */
static int run_files(const struct options *o, const char *command, struct comm *world,
                     struct err *e)
{
    struct sweep *s = mem_calloc((size_t)o->n_files, sizeof *s);
    struct loaded kept = {0};
    int rc = 0, status = EXIT_DONE;
    for (int i = 0; i < o->n_files && rc == 0; i++)
        rc = sweep_open(&s[i], o->files[i], o->set, o->n_set, e);
    if ((rc = comm_agree(world, rc, e)) < 0) {
        log0(LOG_ERROR, "%s", e->text);
        status = EXIT_BAD_INPUT;
    }
    for (int i = 0; i < o->n_files && status != EXIT_CONTINUE && rc == 0; i++) {
        int one = run_points(&s[i], o, command, world, &kept, e);
        if (one > status) status = one;
    }
    loaded_free(&kept);
    for (int i = 0; i < o->n_files; i++) sweep_free(&s[i]);
    free(s);
    return status;
}

static int verb_run(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    if (o->n_files > 0) return run_files(o, command, world, e);
    log0(LOG_ERROR, "%s needs a job file; specrej %s --help", o->verb, o->verb);
    return EXIT_BAD_INPUT;
}

/* Without ranks unless it runs. */
static int verb_sweep(const struct options *o, const char *command, struct comm *world,
                      struct err *e)
{
    if (o->n_files != 1) {
        log0(LOG_ERROR, "sweep needs one job file; specrej sweep --help");
        return EXIT_BAD_INPUT;
    }
    if (o->run) return verb_run(o, command, world, e);
    if (world && comm_rank(world) > 0) return EXIT_DONE;
    if (o->submit) return verb_submit(o, command, e);
    struct sweep s = {0};
    if (sweep_open(&s, o->files[0], o->set, o->n_set, e) < 0) {
        log0(LOG_ERROR, "%s", e->text);
        return EXIT_BAD_INPUT;
    }
    for (int64_t i = 0; i < s.n_points; i++) print_point(&s.points[i], o);
    sweep_free(&s);
    return EXIT_DONE;
}

struct verb {
    const char *name;
    int (*call)(const struct options *o, const char *command, struct comm *world, struct err *e);
    bool is_serial; /* works without ranks; sweep unless it runs */
};

static const struct verb verbs[] = {
    {"run", verb_run, false},        {"sweep", verb_sweep, true},
    {"status", verb_status, true},   {"plan", verb_plan, true},
    {"inspect", verb_inspect, true}, {"report", verb_report, true},
    {"replay", verb_replay, true},   {"timeline", verb_timeline, true},
    {"export", verb_export, true},   {"tokenize", verb_tokenize, true},
    {"score", verb_score, false},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(name, verbs[i].name) == 0) return &verbs[i];
    return NULL;
}

/* Started by mpirun or srun: then there may be other ranks, whatever the verb. */
static bool is_launched(void)
{
    return getenv("PMIX_RANK") || getenv("PMI_RANK") || getenv("OMPI_COMM_WORLD_RANK");
}

/* srun started several tasks, and each believes to be alone: they would run the same prompts, for
 * the same file.  The first goes on: it may be a shell of such a step. */
static int check_srun(const struct comm *world, bool launched, struct err *e)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS"), *task = getenv("SLURM_PROCID");
    if (!tasks || !task || strtol(tasks, NULL, 10) < 2) return 0;
    if (comm_size(world) > 1 || launched) return 0;
    err_set(e,
            "srun started %.20s tasks, but this one knows of no other: start them with srun "
            "--mpi=pmix (srun --mpi=list says whether it is there), or with mpirun",
            tasks);
    if (strtol(task, NULL, 10) > 0) return -1;
    log0(LOG_WARN, "%s; this one runs alone", e->text);
    return 0;
}

/* A wrong command line: said once, by rank 0 alone. */
static int refuse(int argc, char **argv, const char *why)
{
    struct comm *world = is_launched() ? comm_start(&argc, &argv) : NULL;
    log0(LOG_ERROR, "%s", why);
    if (world) comm_stop(world);
    return EXIT_BAD_INPUT;
}

/* OpenMP's threads spin for long at the end of a parallel region by default: on cores that ranks
 * share, that costs a hundredfold.  libgomp reads its environment before main, so the program
 * starts itself again with a better value. */
static void set_wait_policy(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    setenv("GOMP_SPINCOUNT", "2000", 1);
    char *self = realpath("/proc/self/exe", NULL); /* by this name: ps and pgrep show the file's */
    if (self) execv(self, argv);
    free(self);
}

/* What is on stdout must have arrived somewhere. */
static int check_output(int status)
{
    if (status != EXIT_DONE || (fflush(stdout) == 0 && !ferror(stdout))) return status;
    log0(LOG_ERROR, "cannot write the output: %s", strerror(errno));
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    set_wait_policy(argv);
    json_setup();
    struct options o;
    struct err e = {0};
    if (options_parse(&o, argc, argv, &e) < 0) return refuse(argc, argv, e.text);
    if (o.version) {
        print_version();
        return check_output(EXIT_DONE);
    }
    if (o.help || !o.verb) {
        help_print(o.verb, o.help ? stdout : stderr);
        return check_output(o.help ? EXIT_DONE : EXIT_BAD_INPUT);
    }
    if (strcmp(o.verb, "help") == 0) {
        help_print(o.n_files > 0 ? o.files[0] : NULL, stdout);
        return check_output(EXIT_DONE);
    }
    const struct verb *verb = find_verb(o.verb);
    if (!verb) {
        err_set(&e, "unknown verb '%s'; specrej --help lists them", o.verb);
        return refuse(argc, argv, e.text);
    }
    if (options_check(&o, &e) < 0) return refuse(argc, argv, e.text);
    /* What is serial works on a login node, too, where MPI may refuse to start. */
    bool is_serial = verb->is_serial && !o.run;
    bool launched = is_launched(); /* MPI sets these variables itself */
    struct comm *world = is_serial && !launched ? NULL : comm_start(&argc, &argv);
    int status = EXIT_BAD_INPUT;
    if (world && check_srun(world, launched, &e) < 0) {
        log0(LOG_ERROR, "%s", e.text);
    } else {
        char *command = command_line(argc, argv);
        status = check_output(verb->call(&o, command, world, &e));
        free(command);
    }
    if (world) comm_stop(world);
    return status;
}
