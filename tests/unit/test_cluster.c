/* What is submitted and what `status` says, against a Slurm made of scripts: squeue and scontrol
 * print what the test wrote down, sbatch writes down what it was asked.  tests/slurm/ has the real
 * one. */
#include "base/log.h"
#include "base/mem.h"
#include "cluster/command.h"
#include "cluster/point.h"
#include "cluster/status.h"
#include "cluster/submit.h"
#include "run/status_file.h"
#include "trace/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a folder with a job, and Slurm's programs ---- */

struct fixture {
    char folder[64];
    char *path; /* PATH before the test */
    struct sweep sweep;
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_program(const char *path, const char *text)
{
    write_text(path, text);
    assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    struct err e;
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_cluster.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(chdir(f->folder), 0);
    assert_int_equal(mkdir("bin", 0777) | mkdir("slurm", 0777), 0);
    f->path = mem_strdup(getenv("PATH"));
    char *path = mem_printf("%s/bin:%s", f->folder, f->path);
    setenv("PATH", path, 1);
    free(path);
    write_program(
        "bin/squeue",
        "#!/bin/sh\n"
        "[ \"$SLURM_TIME_FORMAT\" = %s ] || exit 9\n"
        "[ ! -e down ] || { echo 'Unable to contact slurm controller' >&2; exit 1; }\n"
        "[ -e queue ] || { echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }\n"
        "cat queue\n");
    write_program("bin/scontrol",
                  "#!/bin/sh\nprintf 'ClusterName             = test\\nMaxArraySize            = "
                  "3\\nMaxArrayJobs            = 9\\n'\n");
    write_text("slurm/submit.sh", "printf '%s\\n' \"$@\" > asked; echo 4711\n");
    setenv("SPECREJ_SLURM", "slurm", 1);
    unsetenv("SLURM_CLUSTER_NAME");
    unsetenv("SLURM_JOB_ID");
    write_text("prompts.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n");
    write_text("job.yaml",
               "name: s\ngenerator: {path: g}\nreward: {path: r}\ndataset: {path: prompts.jsonl}\n"
               "output: \"%n/%p.h5\"\nsweep: {seed: [0, 1, 2, 3]}\n");
    assert_int_equal(sweep_open(&f->sweep, "job.yaml", NULL, 0, &e), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct command_output o;
    struct err e;
    const char *argv[] = {"rm", "-rf", f->folder, NULL};
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(command_run(argv, NULL, 30, &o, &e), 0);
    command_free(&o);
    setenv("PATH", f->path, 1);
    unsetenv("SPECREJ_SLURM");
    sweep_free(&f->sweep);
    free(f->path);
    free(f);
    return 0;
}

static char *read_text(const char *path)
{
    char *text = NULL;
    size_t cap = 0;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    ssize_t n = getdelim(&text, &cap, 0, f);
    assert_true(n >= 0);
    fclose(f);
    return text;
}

static void leave_notice(const struct job *j, enum run_state state, int64_t prompts, int64_t done,
                         const char *message)
{
    char *path = job_output_path(j);
    struct status_file s = {.state = state, .prompts = prompts, .prompts_done = done, .eta_s = NAN};
    snprintf(s.name, sizeof s.name, "%s", j->name);
    job_point_id(j, s.point);
    snprintf(s.message, sizeof s.message, "%s", message);
    status_file_write(path, &s);
    free(path);
}

/* A result file with `done` prompts, and the point's notice. */
static void leave(const struct job *j, enum run_state state, int64_t prompts, int64_t done,
                  const char *message)
{
    struct err e;
    char *path = job_output_path(j);
    char point[HASH_HEX];
    job_point_id(j, point);
    struct trace_meta meta = {.job_hash = "h", .point_id = point, .budget_tokens = 1};
    struct run_row run = {.ranks = 1, .tensor = 1, .groups = 1};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    for (int64_t i = 0; i < done; i++) {
        struct trace_record r = {
            .prompt = {.prompt_index = i, .status = PROMPT_OK, .best_candidate = -1}};
        if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    }
    trace_close(t);
    leave_notice(j, state, prompts, done, message);
    free(path);
}

static struct points look(const struct fixture *f, const char *folder)
{
    struct points p;
    struct sweep_folder in;
    struct err no_slurm, e;
    if (folder_open(&in, folder, &e) < 0) fail_msg("%s", e.text);
    points_look(&p, f->sweep.points, (size_t)f->sweep.n_points, &in, &no_slurm);
    folder_close(&in);
    return p;
}

static void is_state(const struct points *p, size_t i, enum point_state state, int64_t done)
{
    if (p->items[i].state != state || p->items[i].done != done)
        fail_msg("point %zu is %s with %lld, not %s with %lld: %s", i,
                 point_state_name(p->items[i].state), (long long)p->items[i].done,
                 point_state_name(state), (long long)done, p->items[i].note);
}

/* ---- other programs ---- */

static void programs(void **state)
{
    (void)state;
    struct command_output o;
    struct err e;
    const char *both[] = {"sh", "-c", "cat; echo out $A; echo err >&2; exit 3", NULL};
    const char *environment[] = {"A=b c", NULL};
    assert_int_equal(command_run(both, environment, 10, &o, &e), 0);
    assert_int_equal(o.status, 3);
    assert_string_equal(o.out, "out b c\n");
    assert_string_equal(o.errors, "err\n");
    command_free(&o);
    const char *large[] = {"sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; kill -9 $$", NULL};
    assert_int_equal(command_run(large, NULL, 10, &o, &e), 0);
    assert_int_equal(o.status, 137);
    assert_int_equal(strlen(o.out), 3000000);
    command_free(&o);
    const char *none[] = {"no-such-program", NULL};
    assert_int_equal(command_run(none, NULL, 10, &o, &e), COMMAND_NOT_STARTED);
    assert_string_equal(e.text, "cannot start no-such-program: No such file or directory");
    /* Its children, too, are killed: the pipe would stay open for as long as they live. */
    const char *slow[] = {"sh", "-c", "sleep 100 & sleep 100", NULL};
    assert_int_equal(command_run(slow, NULL, 0.2, &o, &e), -1);
    assert_non_null(strstr(e.text, "did not answer within"));
}

/* No shell ever reads an argument. */
static void arguments_stay_as_they_are(void **state)
{
    (void)state;
    struct command_output o;
    struct err e;
    const char *argv[] = {"printf", "%s|", "a b", "$(touch hit)", "'; touch hit", NULL};
    assert_int_equal(command_run(argv, NULL, 10, &o, &e), 0);
    assert_string_equal(o.out, "a b|$(touch hit)|'; touch hit|");
    assert_int_equal(access("hit", F_OK), -1);
    command_free(&o);
}

/* ---- squeue's words ---- */

static void lines_of_squeue(void **state)
{
    (void)state;
    const char *p = "12|3|15|RUNNING|1700000100|1700000000|None\n"
                    "12|4|12|PENDING|N/A|1700000000|Resources (a|b)\n"
                    "7|N/A|7|NODE_FAIL|1|2|NodeDown\n"
                    "nonsense\n"
                    "8|N/A|8|A_STATE_OF_LATER|1|2|";
    struct slurm_task t;
    assert_true(slurm_parse_line(&p, &t));
    assert_int_equal(t.array_job, 12);
    assert_int_equal(t.index, 3);
    assert_int_equal(t.job, 15);
    assert_int_equal(t.phase, SLURM_ACTIVE);
    assert_true(t.start_unix_s == 1700000100 && t.submit_unix_s == 1700000000);
    assert_true(slurm_parse_line(&p, &t));
    assert_int_equal(t.phase, SLURM_WAITING);
    assert_true(t.start_unix_s == 0);
    assert_string_equal(t.reason, "Resources (a|b)");
    assert_true(slurm_parse_line(&p, &t));
    assert_int_equal(t.index, -1);
    assert_int_equal(t.phase, SLURM_ENDED);
    assert_false(slurm_parse_line(&p, &t));
    assert_true(slurm_parse_line(&p, &t));
    assert_int_equal(t.phase, SLURM_ACTIVE); /* nothing is taken from what is not understood */
    assert_string_equal(p, "");
}

/* A lock that another host left may be taken only when Slurm says so. */
static void jobs_that_ended(void **state)
{
    (void)state;
    double since = 1700000000;
    write_text("queue", "5|N/A|5|RUNNING|1700000001|1699999000|None\n");
    assert_false(slurm_job_ended("test", "5", since));
    assert_false(slurm_job_ended("another", "5", since)); /* not this Slurm's to say */
    write_text("queue", "5|N/A|5|COMPLETING|1700000001|1699999000|None\n");
    assert_false(slurm_job_ended("test", "5", since));
    write_text("queue", "5|N/A|5|FAILED|1700000001|1699999000|None\n");
    assert_true(slurm_job_ended("test", "5", since));
    write_text("queue", "5|N/A|5|PENDING|N/A|1699999000|BeginTime\n"); /* requeued */
    assert_true(slurm_job_ended("test", "5", since));
    write_text("queue", "5|N/A|5|RUNNING|1700000900|1699999000|None\n"); /* and started again */
    assert_true(slurm_job_ended("test", "5", since));
    unlink("queue"); /* forgotten */
    assert_true(slurm_job_ended("test", "5", since));
    assert_false(slurm_job_ended("another", "5", since));
    assert_false(slurm_job_ended("test", "", since));
    write_text("down", "");
    assert_false(slurm_job_ended("test", "5", since));
}

/* ---- points ---- */

static void states_from_files(void **state)
{
    const struct fixture *f = *state;
    const struct job *j = f->sweep.points;
    leave(&j[0], STATE_COMPLETE, 2, 2, "");
    leave(&j[1], STATE_FAILED, 2, 1, "no memory");
    leave(&j[2], STATE_STOPPED, 2, 1, "");
    struct points p = look(f, "s.sweep");
    is_state(&p, 0, POINT_COMPLETE, 2);
    is_state(&p, 1, POINT_FAILED, 1);
    assert_string_equal(p.items[1].note, "no memory");
    is_state(&p, 2, POINT_STOPPED, 1);
    is_state(&p, 3, POINT_NEW, 0);
    points_free(&p);
}

/* For job.sh: no dataset is read for it. */
static void prompts_in_files(void **state)
{
    const struct fixture *f = *state;
    const struct job *j = f->sweep.points;
    leave(&j[0], STATE_STOPPED, 2, 1, "");
    leave(&j[1], STATE_RUNNING, 2, 2, "");
    leave_notice(&j[1], STATE_FAILED, 0, 0, "before it looked");
    leave(&j[2], STATE_COMPLETE, 2, 2, "");
    char *taken_away = job_output_path(&j[2]), *damaged = job_output_path(&j[3]);
    assert_int_equal(unlink(taken_away), 0);
    write_text(damaged, "not a result file");
    assert_int_equal(unlink("prompts.jsonl"), 0);
    static const int64_t done[] = {1, 2, 0, 0};
    for (int i = 0; i < 4; i++) assert_int_equal(point_done(&j[i]), done[i]);
    leave_notice(&j[1], STATE_RUNNING, 2, 1, ""); /* killed after another commit */
    assert_int_equal(point_done(&j[1]), 2);
    free(taken_away);
    free(damaged);
}

/* A message is cut where its room ends, also within a character: the notice is written all the
 * same.
 */
static void notices_of_any_text(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    struct status_file s;
    char message[600] = "", *path = job_output_path(&f->sweep.points[0]);
    for (int i = 0; i < 256; i++) strcat(message, "\xc3\xa4");
    assert_int_equal(mkdir("s", 0777), 0);
    leave_notice(&f->sweep.points[0], STATE_RUNNING, 2, 1, "");
    leave_notice(&f->sweep.points[0], STATE_FAILED, 2, 1, message);
    assert_int_equal(status_file_read(path, &s, &e), 1);
    assert_int_equal(s.state, STATE_FAILED);
    assert_memory_equal(s.message, message, 510);
    free(path);
}

/* What stands at a point's output may be complete, and another job's: by its notice or by itself.
 */
static void files_of_another_job(void **state)
{
    const struct fixture *f = *state;
    const struct job *j = f->sweep.points;
    for (int with_notice = 0; with_notice < 2; with_notice++) {
        char *from = job_output_path(&j[0]), *to = job_output_path(&j[1]);
        leave(&j[0], STATE_COMPLETE, 2, 2, "");
        assert_int_equal(rename(from, to), 0);
        char *said = mem_printf("%s.status.json", from), *there = mem_printf("%s.status.json", to);
        assert_int_equal(with_notice ? rename(said, there) : unlink(said), 0);
        struct points p = look(f, "s.sweep");
        is_state(&p, 0, POINT_NEW, 0);
        is_state(&p, 1, POINT_FAILED, 0);
        assert_non_null(strstr(p.items[1].note, to));
        assert_non_null(strstr(p.items[1].note, "another job"));
        assert_int_equal(point_done(&j[1]), 0);
        points_free(&p);
        free(said);
        free(there);
        free(from);
        free(to);
    }
}

/* Whatever the notice says, a point without its file is not complete, nor one whose dataset grew;
 * and one whose notice is lost is what its file says. */
static void notices_that_are_wrong(void **state)
{
    const struct fixture *f = *state;
    const struct job *j = f->sweep.points;
    for (int i = 0; i < 4; i++) leave(&j[i], STATE_COMPLETE, 2, 2, "");
    char *first = job_output_path(&j[0]), *second = job_output_path(&j[1]);
    assert_int_equal(unlink(first), 0);
    char *notice = mem_printf("%s.status.json", second);
    assert_int_equal(unlink(notice), 0);
    struct points p = look(f, "s.sweep");
    is_state(&p, 0, POINT_NEW, 0);
    is_state(&p, 1, POINT_COMPLETE, 2);
    points_free(&p);
    write_text("prompts.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\"}\n");
    leave_notice(&j[3], STATE_RUNNING, 3, 1, ""); /* and nobody holds the lock */
    write_text(notice,
               "{\"name\": \"s\", \"state\": \"dancing\", \"prompts\": 2, \"prompts_done\": 2}");
    p = look(f, "s.sweep");
    is_state(&p, 1, POINT_STOPPED, 2);
    is_state(&p, 2, POINT_STOPPED, 2);
    is_state(&p, 3, POINT_FAILED, 2); /* the file has more than its last notice said */
    assert_non_null(strstr(p.items[3].note, "without a word"));
    points_free(&p);
    free(notice);
    free(second);
    free(first);
}

static int submit_now(const struct fixture *f, struct submit_options o, char **said, struct err *e)
{
    size_t bytes;
    FILE *out = open_memstream(said, &bytes);
    o.command = "again";
    int rc = submit(&f->sweep, &o, out, e);
    fclose(out);
    return rc;
}

/* Complete points stay out; what waits or runs does too; the rest goes in tasks that the longest
 * array holds. */
static void only_the_missing(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    leave(&f->sweep.points[1], STATE_COMPLETE, 2, 2, "");
    if (submit_now(f, (struct submit_options){.max_running = 2}, &said, &e) < 0)
        fail_msg("%s", e.text);
    assert_non_null(strstr(said, "4 points: 1 complete, 0 running or waiting, 3 to submit\n"));
    assert_non_null(strstr(said, "submitted as job 4711, 3 tasks, at most 2 at a time\n"));
    free(said);
    char *asked = read_text("asked"), *list = read_text("s.sweep/tasks-1.txt");
    assert_non_null(strstr(asked, "--array=0-2%2\n--job-name=s\n--output="));
    assert_non_null(strstr(asked, "/s.sweep/logs/%A_%a.log\n--\n--tasks\n"));
    struct points p = look(f, "s.sweep");
    char *expected = mem_printf("points/%s.yaml\npoints/%s.yaml\npoints/%s.yaml\n", p.items[0].id,
                                p.items[2].id, p.items[3].id);
    assert_string_equal(list, expected);
    free(expected);
    points_free(&p);
    /* A task waits, one runs, one was cancelled. */
    write_text("queue", "4711|0|4711|PENDING|N/A|1|Resources\n4711|1|4712|RUNNING|2|1|None\n"
                        "4711|2|4713|CANCELLED|2|1|None\n");
    p = look(f, "s.sweep");
    is_state(&p, 0, POINT_WAITING, 0);
    assert_string_equal(p.items[0].where, "4711_0 PENDING (Resources)");
    is_state(&p, 2, POINT_RUNNING, 0);
    is_state(&p, 3, POINT_NEW, 0);
    points_free(&p);
    const char *sbatch[] = {"--time=5"};
    if (submit_now(f, (struct submit_options){.sbatch = sbatch, .n_sbatch = 1}, &said, &e) < 0)
        fail_msg("%s", e.text);
    assert_non_null(strstr(said, "1 complete, 2 running or waiting, 1 to submit\n"));
    free(said);
    free(asked);
    asked = read_text("asked");
    assert_non_null(strstr(asked, "--array=0-0\n"));
    assert_non_null(strstr(asked, ".log\n--time=5\n--\n"));
    free(asked);
    free(list);
}

static void points_per_task(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    /* Four points, arrays of at most three tasks. */
    assert_int_equal(submit_now(f, (struct submit_options){.per_task = 1}, &said, &e), -1);
    assert_non_null(strstr(e.text, "--points-per-task 2"));
    free(said);
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), 0);
    free(said);
    write_text("queue", "4711|0|4711|RUNNING|2|1|None\n4711|1|4712|PENDING|N/A|1|None\n");
    char *path = job_output_path(&f->sweep.points[0]);
    setenv("SLURM_JOB_ID", "4711", 1);
    leave(&f->sweep.points[0], STATE_RUNNING, 2, 1, "");
    unsetenv("SLURM_JOB_ID");
    struct points p = look(f, "s.sweep");
    is_state(&p, 0, POINT_RUNNING, 1);
    is_state(&p, 1, POINT_WAITING, 0); /* its turn in the task comes */
    is_state(&p, 2, POINT_WAITING, 0);
    points_free(&p);
    free(path);
}

/* The point's own file is the whole job, whatever becomes of the sweep's. */
static void a_job_file_that_is_edited(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), 0);
    free(said);
    write_text("job.yaml", "nothing");
    struct job again;
    char id[HASH_HEX], other[HASH_HEX];
    job_point_id(&f->sweep.points[2], id);
    char *path = mem_printf("s.sweep/points/%s.yaml", id);
    assert_int_equal(chdir("/"), 0);
    char *absolute = mem_printf("%s/%s", f->folder, path);
    if (job_open(&again, absolute, NULL, 0, &e) < 0) fail_msg("%s", e.text);
    job_point_id(&again, other);
    assert_string_equal(id, other);
    char *output = job_output_path(&again), *expected = mem_printf("%s/s/%s.h5", f->folder, id);
    assert_string_equal(output, expected);
    assert_int_equal(chdir(f->folder), 0);
    free(expected);
    free(output);
    free(absolute);
    free(path);
    job_free(&again);
}

static void the_first_error_of_the_last_start(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), 0);
    free(said);
    write_text("s.sweep/logs/4711_0.log", "job.sh: 1 job 4711_0, start 1: begins on n1\n"
                                          "slurmstepd: error: an old story\n"
                                          "job.sh: 2 job 4711_0, start 2: begins on n2\n"
                                          "specrej: error: g/config.json: no such file\n"
                                          "srun: error: n2: task 0: Exited with exit code 2\n");
    struct points p = look(f, "s.sweep");
    is_state(&p, 0, POINT_FAILED, 0);
    assert_string_equal(p.items[0].note, "g/config.json: no such file");
    points_free(&p);
    write_text("s.sweep/logs/4711_0.log", "srun: error: \xe9\n"); /* in another encoding */
    p = look(f, "s.sweep");
    is_state(&p, 0, POINT_FAILED, 0);
    FILE *out = fopen("status.json", "w");
    assert_non_null(out);
    status_print_json(&p, out);
    fclose(out);
    char *json = read_text("status.json");
    assert_non_null(strstr(json, "\"error\": \"srun: error: \xef\xbf\xbd\""));
    free(json);
    points_free(&p);
}

/* What cannot be known is not guessed: nothing may be sent twice. */
static void no_answer(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), 0);
    free(said);
    write_text("down", "");
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), -1);
    assert_non_null(strstr(e.text, "cannot tell what is in the queue: squeue: status 1"));
    free(said);
    unlink("down");
    write_text("slurm/submit.sh", "echo 'sbatch: error: invalid partition' >&2; exit 1\n");
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), -1);
    assert_non_null(strstr(e.text, "invalid partition"));
    free(said);
    write_text("s.sweep/manifest.json", "{\"format\": 1, \"points\": [1], \"submissions\": []}");
    assert_int_equal(submit_now(f, (struct submit_options){0}, &said, &e), -1);
    assert_non_null(strstr(e.text, "s.sweep/manifest.json is not a sweep's manifest"));
    free(said);
}

static void dry_run_writes_nothing(void **state)
{
    const struct fixture *f = *state;
    struct err e;
    char *said;
    write_text("slurm/submit.sh", "echo would: \"$@\"\n");
    assert_int_equal(submit_now(f, (struct submit_options){.dry_run = true}, &said, &e), 0);
    assert_non_null(strstr(said, "task 1: "));
    assert_non_null(strstr(said, "would: --dry-run --array=0-1 "));
    assert_int_equal(access("s.sweep", F_OK), -1);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(programs, setup, teardown),
        cmocka_unit_test_setup_teardown(arguments_stay_as_they_are, setup, teardown),
        cmocka_unit_test(lines_of_squeue),
        cmocka_unit_test_setup_teardown(jobs_that_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(states_from_files, setup, teardown),
        cmocka_unit_test_setup_teardown(prompts_in_files, setup, teardown),
        cmocka_unit_test_setup_teardown(notices_of_any_text, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_another_job, setup, teardown),
        cmocka_unit_test_setup_teardown(notices_that_are_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(points_per_task, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_file_that_is_edited, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_error_of_the_last_start, setup, teardown),
        cmocka_unit_test_setup_teardown(no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(dry_run_writes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
