/* One writer per file: who holds a lock, when it is stale, and that two cannot both take it. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "trace/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128], lock_path[136];
};

static int setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    log_setup(0, LOG_ERROR);
    snprintf(f->folder, sizeof f->folder, "/tmp/test_lock.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/a.h5", f->folder);
    snprintf(f->lock_path, sizeof f->lock_path, "%s/a.h5.lock", f->folder);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    unsetenv("SLURM_CLUSTER_NAME");
    *state = f;
    return 0;
}

/* Nothing but the lock may ever be left in the folder. */
static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->lock_path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A lock as this process takes it, with one entry replaced (NULL: none), left behind without its
 * holder. */
static void leave_lock(const struct fixture *f, const char *key, json_t *value)
{
    struct err e = {0};
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    json_t *o = json_open(f->lock_path, &e);
    assert_non_null(o);
    lock_release(l);
    if (key) json_object_set_new(o, key, value);
    assert_int_equal(json_dump_file(o, f->lock_path, 0), 0);
    json_decref(o);
}

static void taken_and_released(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    assert_true(exists(f->lock_path));
    assert_int_equal(lock_check(l, &e), 0);
    lock_release(l);
    assert_false(exists(f->lock_path));
    lock_release(NULL);
}

static void held_by_a_live_process(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    char host[64], pid[32];
    gethostname(host, sizeof host);
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    assert_null(lock_take(f->path, NULL, &e));
    assert_non_null(strstr(e.text, f->path));
    assert_non_null(strstr(e.text, "is in use"));
    assert_non_null(strstr(e.text, host));
    assert_non_null(strstr(e.text, pid));
    assert_non_null(strstr(e.text, "since 20"));
    assert_non_null(strstr(e.text, "a.h5.lock"));
    lock_release(l);
}

static void of_a_dead_process(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    pid_t child = fork();
    if (child == 0) _exit(lock_take(f->path, NULL, &e) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(exists(f->lock_path));
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    assert_int_equal(lock_check(l, &e), 0);
    lock_release(l);
    assert_false(exists(f->lock_path));
}

/* Killed and not yet waited for: the number still exists. */
static void of_a_zombie(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    pid_t child = fork();
    if (child == 0) _exit(lock_take(f->path, NULL, &e) ? 0 : 1);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    lock_release(l);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* The number is in use again, by this very process, which started at another time. */
static void of_a_reused_pid(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    leave_lock(f, "start_ticks", json_integer(1));
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    lock_release(l);
}

static void of_this_host_before_its_restart(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    leave_lock(f, "boot", json_string("another boot"));
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    lock_release(l);
}

/* What its holder, or who looks, could not find out is no proof that nobody holds it. */
static void of_a_live_process_that_is_known_in_part(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    leave_lock(f, "boot", json_string(""));
    assert_null(lock_take(f->path, NULL, &e));
    assert_non_null(strstr(e.text, "is in use"));
    unlink(f->lock_path);
    leave_lock(f, "start_ticks", json_integer(0));
    assert_null(lock_take(f->path, NULL, &e));
    assert_non_null(strstr(e.text, "is in use"));
}

/* A pid of another namespace says nothing here, even if no such process is seen. */
static void of_another_pid_namespace(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    leave_lock(f, "pid_space", json_string("pid:[1]"));
    assert_null(lock_take(f->path, NULL, &e));
    assert_non_null(strstr(e.text, "is in use"));
}

static bool slurm_says_ended(const char *cluster, const char *job, double since)
{
    assert_string_equal(cluster, "here");
    assert_string_equal(job, "4711");
    assert_true(since > 1e9);
    return true;
}
static bool slurm_says_running(const char *cluster, const char *job, double since)
{
    (void)cluster;
    (void)since;
    assert_string_equal(job, "4711");
    return false;
}

static void of_another_host(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    setenv("SLURM_JOB_ID", "4711", 1);
    setenv("SLURM_CLUSTER_NAME", "here", 1);
    leave_lock(f, "host", json_string("elsewhere"));
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_CLUSTER_NAME");
    char holder[512] = "";
    assert_true(lock_is_held(f->path, NULL, holder, sizeof holder));
    assert_non_null(strstr(holder, "host elsewhere"));
    assert_true(lock_is_held(f->path, slurm_says_running, holder, sizeof holder));
    assert_false(lock_is_held(f->path, slurm_says_ended, holder, sizeof holder));
    assert_null(lock_take(f->path, NULL, &e));
    assert_non_null(strstr(e.text, "host elsewhere"));
    assert_non_null(strstr(e.text, "Slurm job 4711 restart 0"));
    assert_null(lock_take(f->path, slurm_says_running, &e));
    struct lock *l = lock_take(f->path, slurm_says_ended, &e);
    assert_non_null(l);
    lock_release(l);
    assert_false(lock_is_held(f->path, NULL, holder, sizeof holder));
    /* Without a Slurm job there is nobody to ask. */
    leave_lock(f, "host", json_string("elsewhere"));
    assert_null(lock_take(f->path, slurm_says_ended, &e));
}

/* Requeued after its node died: the same job, started once more on another host. */
static void of_an_earlier_start_of_this_job(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    setenv("SLURM_JOB_ID", "4711", 1);
    leave_lock(f, "host", json_string("elsewhere"));
    assert_null(
        lock_take(f->path, NULL, &e)); /* the same start: another step of the job holds it */
    setenv("SLURM_RESTART_COUNT", "1", 1);
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    lock_release(l);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

static void removed_or_replaced(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct lock *l = lock_take(f->path, NULL, &e);
    assert_non_null(l);
    unlink(f->lock_path);
    assert_int_equal(lock_check(l, &e), -1);
    assert_non_null(strstr(e.text, "removed or replaced"));
    struct lock *other = lock_take(f->path, NULL, &e);
    assert_non_null(other);
    lock_release(l); /* must leave the other's alone */
    assert_true(exists(f->lock_path));
    assert_int_equal(lock_check(other, &e), 0);
    lock_release(other);
}

static void not_a_lock_file(void **state)
{
    const struct fixture *f = *state;
    static const char *const contents[] = {"", "{", "[]", "{\"host\": 3}",
                                           "{\"host\": \"x\", \"pid\": \"y\"}"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        struct err e = {0};
        FILE *file = fopen(f->lock_path, "w");
        assert_non_null(file);
        fputs(contents[i], file);
        fclose(file);
        assert_null(lock_take(f->path, NULL, &e));
        assert_non_null(strstr(e.text, "not a lock file of this program"));
    }
}

static void not_writable(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/missing/a.h5", f->folder);
    assert_null(lock_take(path, NULL, &e));
    assert_non_null(strstr(e.text, "No such file or directory"));
}

enum { CHILDREN = 12, ROUNDS = 10 };

/* Wait for the start, try, report, and stay alive until told to end. */
_Noreturn static void compete(const struct fixture *f, int start, int report, int end)
{
    char byte;
    struct err e = {0};
    if (read(start, &byte, 1) < 0) _exit(2);
    byte = lock_take(f->path, NULL, &e) ? 1 : 0;
    if (write(report, &byte, 1) != 1 || read(end, &byte, 1) < 0) _exit(2);
    _exit(0);
}

/* Many processes find the same stale lock at once: one gets it. */
static void taken_once_of_many(void **state)
{
    const struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        leave_lock(f, "start_ticks", json_integer(1));
        int start[2], report[2], end[2], n_taken = 0;
        assert_true(pipe(start) == 0 && pipe(report) == 0 && pipe(end) == 0);
        for (int c = 0; c < CHILDREN; c++) {
            if (fork() != 0) continue;
            close(start[1]);
            close(end[1]);
            compete(f, start[0], report[1], end[0]);
        }
        close(start[1]);
        for (int c = 0; c < CHILDREN; c++) {
            char taken = 0;
            assert_int_equal(read(report[0], &taken, 1), 1);
            n_taken += taken;
        }
        close(end[1]);
        for (int c = 0; c < CHILDREN; c++) {
            int status;
            assert_true(wait(&status) > 0);
            assert_int_equal(status, 0);
        }
        const int left[] = {start[0], report[0], report[1], end[0]};
        for (int i = 0; i < 4; i++) close(left[i]);
        assert_int_equal(n_taken, 1);
        unlink(f->lock_path);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(taken_and_released),
        TEST(held_by_a_live_process),
        TEST(of_a_dead_process),
        TEST(of_a_zombie),
        TEST(of_a_reused_pid),
        TEST(of_this_host_before_its_restart),
        TEST(of_a_live_process_that_is_known_in_part),
        TEST(of_another_pid_namespace),
        TEST(of_another_host),
        TEST(of_an_earlier_start_of_this_job),
        TEST(removed_or_replaced),
        TEST(not_a_lock_file),
        TEST(not_writable),
        TEST(taken_once_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
