/* The verbs: parse, call one function each. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/slurm.h"
#include "cluster/verbs.h"
#include "job/sweep.h"
#include "report/verbs.h"
#include "run/coordinator.h"
#include "run/options.h"
#include "run/plan/plan.h"
#include "version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help_text[] =
    "specrej: Best-of-N and Speculative Rejection decoding as a batch job\n"
    "\n"
    "  specrej run JOB.yaml... [--set KEY=VALUE]... [--point ID]...\n"
    "      run jobs one after the other, or some points of a sweep\n"
    "  specrej sweep JOB.yaml [--set KEY=VALUE]... [--run]\n"
    "      list the points of a sweep, or run them here\n"
    "  specrej sweep JOB.yaml --submit [--dry-run] [--max-running K] [--points-per-task K]\n"
    "      [-- SBATCH OPTIONS]    the points that are not complete, to Slurm as a job array\n"
    "  specrej status NAME.sweep|JOB.yaml... [--json] [--done]\n"
    "      how far each point is, and why one failed; --done: prompts in the files, a number\n"
    "  specrej plan JOB.yaml [--ranks N] [--device NAME] [--memory GIB] [--hardware KEY=VALUE]...\n"
    "               [--like FILE.h5] [--mean-tokens MEAN] [--json]\n"
    "      before it runs, without ranks or a GPU: is everything there, does it fit, how long will "
    "it take;\n"
    "      NAME: a100, h100, h200, b200, this; FILE.h5: a result of such a job to measure by\n"
    "  specrej inspect MODEL|FILE.h5 [--prompt INDEX] [--json]\n"
    "      what is in a checkpoint folder or a result file; --prompt: one prompt's story\n"
    "  specrej report FILE.h5|REPLAY.json... [--reference POINT] [--json] [-o DIR]\n"
    "      result files side by side: rewards, cost and speedup against a reference; -o: also as a "
    "page\n"
    "      report.html with figures, CSV, Markdown and LaTeX rows; POINT: N (of Best-of-N; without "
    "it 120,\n"
    "      else the largest), static:N, or speculative_rejection:N,alpha=A, more keys behind a "
    "comma\n"
    "  specrej replay FILE.h5 [--set KEY=VALUE]... [--nearest] [--subsets K] [--reference POINT] "
    "[--json]\n"
    "      [-o OUT.csv|OUT.json]    what other alphas, N, rounds and budgets would have made of a\n"
    "      Best-of-N run with score_at, e.g. --set \"sweep.alpha=[0.3, 0.5]\"; report takes "
    "OUT.json\n"
    "  specrej export FILE.h5 [--format jsonl|alpaca_eval|csv] [--pick best|all|pairs] [-o OUT]\n"
    "      the answers, for other programs; pairs: best and worst of each prompt (DPO)\n"
    "  specrej timeline FILE.h5 [--prompt INDEX] [-o OUT.json]\n"
    "      when each rank did what, for ui.perfetto.dev or chrome://tracing\n"
    "  specrej tokenize MODEL [--raw] [--decode]\n"
    "      text on stdin -> ids, BOS as the model wants it (--raw: without); --decode: ids -> "
    "text\n"
    "  specrej score MODEL [--template NAME] [--backend cpu|cuda] [--dtype f32|bf16|f16|fp8]\n"
    "      lines {\"prompt\": ..., \"response\": ...} or {\"messages\": [...]} on stdin -> "
    "rewards\n"
    "\n"
    "  --set alpha=0.7         override any key of the job file, e.g. --set \"rounds=every 128\"\n"
    "  --allow-mixed           continue a file that another kind of machine began\n"
    "  -q, --quiet             no progress and no summary\n"
    "  --version               version, commit and libraries\n"
    "\n"
    "On several ranks: mpirun -np 4 specrej run JOB.yaml (srun --mpi=pmix under Slurm).\n"
    "Exit status: 0 all done; 1 failed while running; 2 bad usage or input; 75 stopped early, run "
    "it again to go on.\n";

static void print_version(void)
{
    printf("specrej %s (%s)\n%s\n%s\n", VERSION_NUMBER, VERSION_COMMIT, VERSION_BUILD,
           VERSION_LIBRARIES);
}

/* The command that continues this one, for the last line of a run. */
/* As a shell takes it for this one word; caller frees. */
static char *shell_word(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_./=:,@%+-";
    if (text[0] && text[strspn(text, plain)] == 0) return mem_strdup(text);
    char *word = mem_strdup("'");
    for (const char *from = text;;) {
        size_t n = strcspn(from, "'");
        char *longer = mem_printf("%s%.*s%s", word, (int)n, from, from[n] ? "'\\''" : "'");
        free(word);
        word = longer;
        if (!from[n]) return word;
        from += n + 1;
    }
}

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

static void print_point(const struct job *j)
{
    char id[HASH_HEX], *path = job_output_path(j);
    job_point_id(j, id);
    char n[24] = "auto";
    if (j->n) snprintf(n, sizeof n, "%lld", (long long)j->n);
    printf("%s  %-22s n %-6s alpha %-5g seed %-4llu %s\n", id, method_name(j->method), n,
           j->method == METHOD_SPECULATIVE_REJECTION ? j->alpha : 0.0, (unsigned long long)j->seed,
           path);
    free(path);
}

/* Run the chosen points one after the other; the worst status counts, a stop ends them all. */
static int run_points(const struct sweep *s, const struct options *o, const char *command,
                      struct comm *world, struct loaded *kept, struct err *e)
{
    struct run_options ro = {.allow_mixed = o->allow_mixed,
                             .quiet = o->quiet,
                             .command = command,
                             .slurm_ended = slurm_job_ended};
    int worst = EXIT_DONE, n = 0;
    for (int64_t i = 0; i < s->n_points; i++) {
        char id[HASH_HEX];
        job_point_id(&s->points[i], id);
        if (!options_has_point(o, id)) continue;
        n++;
        int status = coordinator_run(&s->points[i], &ro, world, kept, e);
        if (status == EXIT_BAD_INPUT) log0(LOG_ERROR, "%s", e->text);
        if (status == EXIT_CONTINUE) return status;
        if (status > worst) worst = status;
    }
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
    log0(LOG_ERROR, "%s needs a job file; specrej --help", o->verb);
    return EXIT_BAD_INPUT;
}

/* Without ranks unless it runs. */
static int verb_sweep(const struct options *o, const char *command, struct comm *world,
                      struct err *e)
{
    if (o->n_files != 1) {
        log0(LOG_ERROR, "sweep needs one job file; specrej --help");
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
    for (int64_t i = 0; i < s.n_points; i++) print_point(&s.points[i]);
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
        fputs(help_text, o.help ? stdout : stderr);
        return check_output(o.help ? EXIT_DONE : EXIT_BAD_INPUT);
    }
    const struct verb *verb = find_verb(o.verb);
    if (!verb) {
        err_set(&e, "unknown verb '%s'; specrej --help lists them", o.verb);
        return refuse(argc, argv, e.text);
    }
    /* What is serial works on a login node, too, where MPI may refuse to start. */
    bool is_serial = verb->is_serial && !o.run;
    struct comm *world = is_serial && !is_launched() ? NULL : comm_start(&argc, &argv);
    char *command = command_line(argc, argv);
    int status = check_output(verb->call(&o, command, world, &e));
    free(command);
    if (world) comm_stop(world);
    return status;
}
