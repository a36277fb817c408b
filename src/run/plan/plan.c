#include "run/plan/plan.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "policy/of_job.h"
#include "run/exit_status.h"
#include "run/identity.h"
#include "run/plan/count.h"
#include "run/plan/like.h"
#include "run/resume.h"
#include "run/shell.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES      24  /* prompts of a point that are counted one by one */
#define FEW_SAMPLES  8   /* the same of so many candidates that prompts differ little */
#define MARGIN_KNOWN 1.5 /* of the time limit, where lengths and efficiency were measured */
#define MARGIN_ELSE  2.0
#define MPI_BYTES    12e6 /* what a rank has besides: Open MPI 4.1 on one node */
#define LIMIT_STEP_S 300
#define MOST_LIMIT_S 1e12 /* of figures that are given one may make any time */
#define MOST_RANKS   1000000
#define MOST_GIVEN   1e9 /* GiB or tokens: more cannot be meant, and its bytes overflow */
#define SHOW_S       1.0

/* ---- what was asked ---- */

static int read_number(const char *option, const char *text, double *out, struct err *e)
{
    char *end;
    *out = strtod(text, &end);
    if (end != text && !*end && *out > 0 && *out <= MOST_GIVEN) return 0;
    return err_set(e, "%s needs a number above 0 and up to %g, not '%s'", option, MOST_GIVEN, text);
}

/* ---- what points have in common ---- */

static void release(struct plan *p)
{
    plan_inputs_close(&p->inputs);
    lengths_free(&p->lengths);
    p->job = NULL;
}

static int choose_hardware(struct plan *p, const struct options *o, const struct job *j,
                           bool no_rates, struct err *e)
{
    struct hardware_options h = {.device = o->device,
                                 .given = o->hardware,
                                 .n_given = o->n_hardware,
                                 .ranks = p->ranks,
                                 .no_rates = no_rates};
    double gib = 0;
    if (o->memory) TRY(read_number("--memory", o->memory, &gib, e));
    TRY(hardware_choose(&p->hardware, j, &h, &p->notes, e));
    if (o->memory) p->hardware.figures[FIGURE_MEMORY] = (struct figure){gib * 0x1p30, FIGURE_GIVEN};
    return 0;
}

static int choose_lengths(struct plan *p, const struct options *o, const struct job *j,
                          struct err *e)
{
    int64_t max_new = j->sampling.max_new_tokens;
    double mean;
    p->is_bound = false;
    if (o->like) {
        TRY(like_read(o->like, j, &p->inputs, &p->hardware, &p->lengths, &p->notes, e));
        if (!o->mean_tokens && !j->sampling.ignore_eos) return 0;
        lengths_free(&p->lengths);
    }
    if (j->sampling.ignore_eos) {
        lengths_bound(&p->lengths, max_new);
        return 0;
    }
    if (o->mean_tokens) {
        TRY(read_number("--mean-tokens", o->mean_tokens, &mean, e));
        TRY(lengths_mean(&p->lengths, max_new, mean, e));
        notes_add(&p->notes, NOTE_ASSUMPTION,
                  "response lengths: the same chance to end at every token, mean %g (given)", mean);
        return 0;
    }
    lengths_bound(&p->lengths, max_new);
    p->is_bound = true;
    notes_add(&p->notes, NOTE_ASSUMPTION,
              "response lengths: not known before a run, all are taken to reach "
              "sampling.max_new_tokens %lld (an upper bound; --mean-tokens or --like say better)",
              (long long)max_new);
    return 0;
}

/* Everything that is the same for most points of a sweep. */
static int prepare(struct plan *p, const struct options *o, const struct job *j, struct err *e)
{
    if (p->job && plan_inputs_same(p->job, j) && p->job->backend == j->backend &&
        p->job->dtype == j->dtype && p->job->sampling.ignore_eos == j->sampling.ignore_eos)
        return 0;
    if (p->job)
        notes_add(&p->notes, NOTE_WARNING,
                  "the points differ in models, data or dtype: all are checked, what is said of "
                  "them is of the last");
    release(p);
    p->job = j;
    size_t problems = notes_count(&p->notes, NOTE_PROBLEM);
    plan_inputs_open(&p->inputs, j, &p->notes);
    bool is_broken = notes_count(&p->notes, NOTE_PROBLEM) > problems;
    TRY(choose_hardware(p, o, j, is_broken, e));
    if (is_broken) return 0; /* there is nothing to plan */
    return choose_lengths(p, o, j, e);
}

/* ---- points ---- */

static int64_t groups_of(const struct plan *p, const struct job *j)
{
    int64_t groups = p->ranks / j->parallel.tensor;
    return groups > 0 ? groups : 1;
}

static int64_t samples_of(const struct job *j)
{
    return j->n > COUNT_MOST ? FEW_SAMPLES : SAMPLES;
}

static struct point_setup setup_of(const struct plan *p, const struct job *j)
{
    return (struct point_setup){.inputs = &p->inputs,
                                .hardware = &p->hardware,
                                .lengths = &p->lengths,
                                .most_samples = samples_of(j)};
}

static const struct plan_point *find_shape(const struct plan_point *points, int64_t n,
                                           const char *shape)
{
    for (int64_t i = 0; i < n; i++)
        if (strcmp(points[i].shape, shape) == 0) return &points[i];
    return NULL;
}

/* Kept KV that does not fit is dropped and computed again. */
static void check_reward_pool(struct plan *p, const struct plan_point *x)
{
    const struct work *w = &x->mean_work;
    double texts = (double)(w->peak_pages * PAGE_TOKENS) * p->inputs.text_ratio;
    bool keeps = x->job->reward.cache == CACHE_DEVICE && w->rounds > 1 && x->memory.kv[1] > 0;
    if (!keeps || texts <= (double)x->memory.reward_tokens) return;
    notes_add(&p->notes, NOTE_WARNING,
              "%s: the reward model's pool holds %lld tokens, the candidates have up to %.0f: what "
              "does not fit is read again, which is not in the times; lower budget_tokens or set "
              "reward.cache: host",
              x->id, (long long)x->memory.reward_tokens, texts);
}

/* Every candidate comes to its end: rounds save nothing. */
static void check_rejects(struct plan *p, const struct plan_point *x)
{
    const struct job *j = x->job;
    const char *why, *cure = policy_rejects_nobody(j, &why);
    if (!cure || j->n == 0 || x->mean_work.complete < j->n) return;
    notes_add(&p->notes, NOTE_WARNING,
              "%s: nothing is rejected, all %lld candidates come to their end %s; %s", x->id,
              (long long)j->n, why, cure);
}

/* The file of this point may be there: of this job, which then goes on, or of another. */
static void check_file(struct plan *p, const struct job *j)
{
    char *path = job_output_path(j), identity[HASH_HEX];
    struct resume r = {0};
    struct err e;
    bool exists = access(path, F_OK) == 0;
    if (exists && (job_identity(j, identity, &e) < 0 || resume_open(&r, path, j, identity, &e) < 0))
        notes_problem(&p->notes, &e, NULL);
    else if (r.n > 0)
        notes_add(&p->notes, NOTE_WARNING,
                  "%s holds %lld prompts already, which are not run again; times here are of all",
                  path, (long long)r.n);
    resume_free(&r);
    free(path);
}

static void plan_point(struct plan *p, const struct options *o, const struct job *j)
{
    struct err e = {{0}};
    size_t problems = notes_count(&p->notes, NOTE_PROBLEM);
    if (prepare(p, o, j, &e) < 0) {
        notes_problem(&p->notes, &e, NULL);
        p->job = NULL; /* half made */
        return;
    }
    if (notes_count(&p->notes, NOTE_PROBLEM) > problems || !p->lengths.survive) return;
    if (p->ranks % j->parallel.tensor != 0) {
        notes_add(&p->notes, NOTE_PROBLEM,
                  "%lld ranks are no multiple of parallel.tensor %lld; give --ranks another number",
                  (long long)p->ranks, (long long)j->parallel.tensor);
        return;
    }
    check_file(p, j);
    struct point_setup s = setup_of(p, j);
    struct plan_point *point = &p->points[p->n_points];
    char shape[HASH_HEX];
    point_shape(j, shape);
    const struct plan_point *same = find_shape(p->points, p->n_points, shape);
    if (same) {
        *point = point_copy(same, j);
        p->n_points++;
        return;
    }
    if (point_make(point, &s, j, j->parallel.tensor, groups_of(p, j), &e) < 0) {
        notes_problem(&p->notes, &e, NULL);
        point_free(point);
        return;
    }
    check_reward_pool(p, point);
    check_rejects(p, point);
    p->n_points++;
}

/* ---- what rejection saves ---- */

/* The point of that shape, in the sweep or made for this, or NULL: its models are no longer open.
 */
static const struct plan_point *find_best_of_n(struct plan *p, const struct job *j, int64_t n)
{
    char shape[HASH_HEX];
    point_shape(j, shape);
    const struct plan_point *there = find_shape(p->points, p->n_points, shape);
    if (!there) there = find_shape(p->best_of_n.items, (int64_t)p->best_of_n.n, shape);
    if (there || !plan_inputs_same(p->job, j)) return there;
    struct job sized = *j;
    struct point_setup s = setup_of(p, j);
    struct plan_point made;
    struct err e;
    sized.n = n; /* auto, too: as many as rejection starts with */
    if (point_make(&made, &s, &sized, j->parallel.tensor, groups_of(p, j), &e) < 0) {
        point_free(&made);
        return NULL;
    }
    made.job = NULL; /* it lives no longer than this */
    memcpy(made.shape, shape, sizeof shape);
    ARRAY_PUSH(p->best_of_n, made);
    return &p->best_of_n.items[p->best_of_n.n - 1];
}

static void compare_with_best_of_n(struct plan *p, struct plan_point *x)
{
    struct job j = *x->job;
    if (j.method != METHOD_SPECULATIVE_REJECTION || j.alpha <= 0) return;
    j.method = METHOD_BEST_OF_N;
    j.compat = COMPAT_OFF;
    const struct plan_point *y = find_best_of_n(p, &j, x->n_most);
    if (!y) return;
    x->of_best_of_n_tokens = (double)x->mean_work.tokens / (double)y->mean_work.tokens;
    x->of_best_of_n_time = x->mean.expected_s / y->mean.expected_s;
}

static double all_points_bytes(const struct plan *p)
{
    double sum = 0;
    for (int64_t i = 0; i < p->n_points; i++) sum += p->points[i].file_bytes;
    return sum;
}

/* ---- the rest ---- */

static void check_room(struct plan *p)
{
    double bytes = all_points_bytes(p);
    if (p->n_points == 0 || p->output.free_bytes < 0 || p->output.free_bytes >= bytes) return;
    notes_add(&p->notes, NOTE_PROBLEM,
              "output: about %.2f GB of results, but %s has %.2f GB free; set record.text: none, "
              "record.candidates: completed, or another output",
              bytes / 1e9, p->output.folder, p->output.free_bytes / 1e9);
}

static void assume_alike(struct plan *p, const struct plan_point *x)
{
    if (x->n_simulated == 0) return;
    notes_add(&p->notes, NOTE_ASSUMPTION,
              "candidates: of n %lld, %lld are simulated, the others are taken to be like these, "
              "which is up to 5 %% off",
              (long long)x->n_most, (long long)x->n_simulated);
}

static void assume_in_general(struct plan *p)
{
    const struct job *j = p->points[0].job;
    int64_t counted = p->inputs.n - p->inputs.n_skipped;
    if (j->method == METHOD_SPECULATIVE_REJECTION || p->n_points > 1)
        notes_add(
            &p->notes, NOTE_ASSUMPTION,
            "rejection: rewards are drawn without regard to length, the cuts are the policy's "
            "own");
    if (counted > samples_of(j))
        notes_add(
            &p->notes, NOTE_ASSUMPTION,
            "prompts: %lld of %lld are counted one by one, the others take turns with their times",
            (long long)samples_of(j), (long long)counted);
    for (int64_t i = 0; i < p->n_points; i++) assume_alike(p, &p->points[i]);
    if (p->inputs.models[1].folder && p->inputs.text_ratio != 1)
        notes_add(&p->notes, NOTE_ASSUMPTION,
                  "reward model: %.3f tokens for one of the generator's (measured on the prompts)",
                  p->inputs.text_ratio);
    if (j->overlap > 1)
        notes_add(&p->notes, NOTE_ASSUMPTION,
                  "overlap %lld: times are those of one prompt at a time; what steps of several "
                  "prompts save is not foreseen",
                  (long long)j->overlap);
    if (!j->budget_tokens)
        notes_add(&p->notes, NOTE_ASSUMPTION,
                  "scaling: budget_tokens is auto, so that more memory means other rounds and more "
                  "work; a number makes the rows comparable");
    notes_add(&p->notes, NOTE_ASSUMPTION,
              "exchange inside a group: 2 x layers + 1 all-gathers a pass, each its latency and "
              "(tensor - 1) x rows x width x 4 bytes over the link (network where tensor > "
              "ranks_per_node)");
    notes_add(&p->notes, NOTE_ASSUMPTION,
              "groups: each takes the next prompt when it is free; rank 0 writes one prompt after "
              "the other; candidates of a shared prompt are evenly divided, two tree collectives a "
              "decision");
    notes_add(&p->notes, NOTE_ASSUMPTION,
              "start: weights are read once and sent to the other groups over the network");
}

/* Resident bytes of this process: the libraries, tokenizers and prompts that every rank has. */
static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0) kib = strtod(line + 6, NULL);
    if (f) fclose(f);
    return kib * 1024;
}

/* Of one point, or of the longest: points are tasks of their own. */
static long long time_limit_s(const struct plan *p)
{
    bool known = p->hardware.figures[FIGURE_EFFICIENCY].source == FIGURE_MEASURED;
    double most = 0;
    for (int64_t i = 0; i < p->n_points; i++) most = fmax(most, p->points[i].job_s);
    double s = most * (known ? MARGIN_KNOWN : MARGIN_ELSE);
    return (long long)fmin(ceil(s / LIMIT_STEP_S) * LIMIT_STEP_S, MOST_LIMIT_S);
}

static void append_option(char **line, const char *name, const char *value)
{
    char *word = shell_word(value), *longer = mem_printf("%s %s %s", *line, name, word);
    free(word);
    free(*line);
    *line = longer;
}

/* The job file and what was said with it. */
static char *job_words(const struct plan *p, const struct options *o)
{
    char *line = shell_word(p->file);
    for (int i = 0; i < o->n_set; i++) append_option(&line, "--set", o->set[i]);
    for (int i = 0; i < o->n_points; i++) append_option(&line, "--point", o->points[i]);
    return line;
}

static void suggest(struct plan *p, const struct options *o)
{
    int64_t per_node = (int64_t)hardware_get(&p->hardware, FIGURE_RANKS_PER_NODE);
    int64_t nodes = (p->ranks + per_node - 1) / per_node, tasks = (p->ranks + nodes - 1) / nodes;
    long long limit = time_limit_s(p);
    char device[96];
    const struct point_memory *m = &p->points[0].memory;
    if (p->hardware.is_cuda)
        snprintf(device, sizeof device, "--gpus-per-node=%lld", (long long)tasks);
    else
        snprintf(device, sizeof device, "--cpus-per-task=%d --mem=%.0fM", p->hardware.threads,
                 ceil((m->taken + p->program_bytes) * (double)tasks * 1.25 / 0x1p20));
    char *job = job_words(p, o);
    char *asked =
        mem_printf("--nodes=%lld --ntasks-per-node=%lld %s --time=%lld:%02lld:00", (long long)nodes,
                   (long long)tasks, device, limit / 3600, limit % 3600 / 60);
    p->submit = p->n_points > 1 ? mem_printf("specrej sweep %s --submit -- %s", job, asked)
                                : mem_printf("slurm/submit.sh %s -- %s", asked, job);
    free(asked);
    free(job);
}

/* A sweep of many points takes a while: a person sees how far it is.  at == total: the line goes.
 */
static void show_progress(int64_t at, int64_t total, double *shown_s)
{
    if (!isatty(STDERR_FILENO) || (at < total && clock_s() - *shown_s < SHOW_S)) return;
    fprintf(stderr, "\r\033[K");
    if (at < total) fprintf(stderr, "plan: %lld of %lld points", (long long)at, (long long)total);
    fflush(stderr);
    *shown_s = clock_s();
}

static void make(struct plan *p, const struct options *o)
{
    double shown_s = clock_s();
    p->points = mem_calloc((size_t)p->sweep.n_points, sizeof *p->points);
    int64_t chosen = 0;
    for (int64_t i = 0; i < p->sweep.n_points; i++) {
        char id[HASH_HEX];
        const struct job *j = &p->sweep.points[i];
        job_point_id(j, id);
        if (!options_has_point(o, id)) continue;
        if (chosen++ == 0) {
            p->ranks = o->ranks > 0 ? o->ranks : j->parallel.tensor;
            output_look(&p->output, j, &p->notes);
        }
        plan_point(p, o, j);
        show_progress(i, p->sweep.n_points, &shown_s);
    }
    show_progress(p->sweep.n_points, p->sweep.n_points, &shown_s);
    if (chosen == 0)
        notes_add(&p->notes, NOTE_PROBLEM,
                  "no point of this sweep has that id; specrej sweep lists them");
    check_room(p);
    if (p->n_points == 0) return;
    for (int64_t i = 0; i < p->n_points; i++) compare_with_best_of_n(p, &p->points[i]);
    p->program_bytes = resident_bytes() + MPI_BYTES;
    assume_in_general(p);
    suggest(p, o);
    struct point_setup s = setup_of(p, p->points[0].job);
    scale_make(&p->scale, &s, p->points[0].job);
}

static int tell(const struct plan *p, const struct options *o)
{
    bool broken = notes_count(&p->notes, NOTE_PROBLEM) > 0;
    for (size_t i = 0; i < p->notes.n; i++)
        if (p->notes.items[i].kind == NOTE_PROBLEM) log0(LOG_ERROR, "%s", p->notes.items[i].text);
    if (o->json) {
        json_t *root = plan_to_json(p);
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(root);
    } else if (!broken) {
        plan_print_text(p, stdout);
        if (o->verbose)
            plan_print_details(p, stdout);
        else
            puts("\n--verbose says more: models, prompts, memory, scaling, figures, what is "
                 "assumed");
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        log0(LOG_ERROR, "cannot write the plan: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return broken ? EXIT_BAD_INPUT : EXIT_DONE;
}

int verb_plan(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    int status = EXIT_BAD_INPUT;
    if (!world || comm_rank(world) == 0) {
        struct plan p = {.file = o->files[0]};
        bool no_ranks = o->ranks == 0 || o->ranks > MOST_RANKS;
        int rc = no_ranks          ? err_set(e, "--ranks needs a number from 1 to %d", MOST_RANKS)
                 : o->n_files == 1 ? sweep_open(&p.sweep, p.file, o->set, o->n_set, e)
                                   : err_set(e, "plan needs one job file; specrej plan --help");
        if (rc < 0) {
            log0(LOG_ERROR, "%s", e->text);
        } else {
            make(&p, o);
            status = tell(&p, o);
        }
        for (int64_t i = 0; i < p.n_points; i++) point_free(&p.points[i]);
        for (size_t i = 0; i < p.best_of_n.n; i++) point_free(&p.best_of_n.items[i]);
        free(p.best_of_n.items);
        free(p.points);
        free(p.submit);
        release(&p);
        notes_free(&p.notes);
        sweep_free(&p.sweep);
    }
    if (world) comm_bcast(world, &status, sizeof status, 0);
    return status;
}
