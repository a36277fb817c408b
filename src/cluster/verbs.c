#include "cluster/verbs.h"

#include "base/log.h"
#include "base/mem.h"
#include "cluster/status.h"
#include "cluster/submit.h"
#include "run/exit_status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The jobs that one argument names: a sweep's folder, or a job file with its sweep. */
struct target {
    struct sweep sweep;         /* owned */
    struct sweep_folder folder; /* owned */
    char *name;                 /* owned */
};

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* The points' own job files in the folder. */
static int open_points(struct target *t, struct err *e)
{
    size_t n = folder_n_points(&t->folder);
    if (n == 0)
        return err_set(e,
                       "%s holds no manifest.json: not a sweep's folder (specrej sweep --submit)",
                       t->folder.path);
    t->sweep.points = mem_calloc(n, sizeof *t->sweep.points);
    for (size_t i = 0; i < n; i++) {
        char *file = folder_point_file(&t->folder, folder_point(&t->folder, i));
        int rc = job_open(&t->sweep.points[i], file, NULL, 0, e);
        free(file);
        TRY(rc);
        t->sweep.n_points++;
    }
    return 0;
}

static int target_open(struct target *t, const char *argument, const struct options *o,
                       struct err *e)
{
    *t = (struct target){0};
    char *path;
    if (is_folder(argument)) {
        path = realpath(argument, NULL);
        if (!path) return err_set(e, "%s: %s", argument, strerror(errno));
    } else {
        TRY(sweep_open(&t->sweep, argument, o->set, o->n_set, e));
        path = o->output ? mem_strdup(o->output) : folder_default_path(t->sweep.points[0].name);
    }
    int rc = folder_open(&t->folder, path, e);
    if (rc == 0 && t->sweep.n_points == 0) rc = open_points(t, e);
    if (rc == 0) t->name = mem_strdup(t->sweep.points[0].name);
    free(path);
    return rc;
}

static void target_close(struct target *t)
{
    sweep_free(&t->sweep);
    folder_close(&t->folder);
    free(t->name);
}

/* --point: the others are left out. */
static void keep_chosen(struct points *p, const struct options *o)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (options_has_point(o, p->items[i].id))
            p->items[n++] = p->items[i];
        else
            free(p->items[i].output);
    }
    p->n = n;
}

/* The table of a target's points. */
static void show(const struct target *t, const struct options *o)
{
    struct points p;
    struct err no_slurm;
    points_look(&p, t->sweep.points, (size_t)t->sweep.n_points, &t->folder, &no_slurm);
    keep_chosen(&p, o);
    if (o->json)
        status_print_json(&p, stdout);
    else
        status_print(&p, t->name, stdout);
    if (no_slurm.text[0])
        log0(LOG_WARN, "what waits in Slurm's queue is not known: %s", no_slurm.text);
    points_free(&p);
}

/* --done: only the files are looked at. */
static int64_t count_done(const struct target *t, const struct options *o)
{
    int64_t done = 0;
    for (int64_t i = 0; i < t->sweep.n_points; i++) {
        char id[HASH_HEX];
        job_point_id(&t->sweep.points[i], id);
        if (options_has_point(o, id)) done += point_done(&t->sweep.points[i]);
    }
    return done;
}

int verb_status(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    if (world && comm_rank(world) > 0) return EXIT_DONE;
    if (o->n_files == 0) {
        log0(LOG_ERROR, "status needs a sweep's folder or job files; specrej status --help");
        return EXIT_BAD_INPUT;
    }
    int64_t done = 0;
    for (int i = 0; i < o->n_files; i++) {
        struct target t;
        int rc = target_open(&t, o->files[i], o, e);
        if (rc == 0 && o->done) done += count_done(&t, o);
        if (rc == 0 && !o->done) show(&t, o);
        target_close(&t);
        if (rc == 0) continue;
        log0(LOG_ERROR, "%s", e->text);
        return EXIT_BAD_INPUT;
    }
    if (o->done) printf("%lld\n", (long long)done);
    return EXIT_DONE;
}

int verb_submit(const struct options *o, const char *command, struct err *e)
{
    struct sweep s = {0};
    struct submit_options so = {.folder = o->output,
                                .command = command,
                                .max_running = o->max_running,
                                .per_task = o->points_per_task,
                                .sbatch = o->rest,
                                .n_sbatch = o->n_rest,
                                .dry_run = o->dry_run};
    int rc = o->n_files == 1 ? sweep_open(&s, o->files[0], o->set, o->n_set, e)
                             : err_set(e, "sweep needs one job file; specrej sweep --help");
    if (rc == 0 && o->n_points > 0)
        rc = err_set(e,
                     "sweep --submit sends all points that are not complete; for one of them: "
                     "slurm/submit.sh -- %s --point %s",
                     o->files[0], o->points[0]);
    if (rc == 0) rc = submit(&s, &so, stdout, e);
    sweep_free(&s);
    if (rc == 0) return EXIT_DONE;
    log0(LOG_ERROR, "%s", e->text);
    return EXIT_BAD_INPUT;
}
