#include "trace/lock.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct lock {
    char *path; /* of the lock file; owned */
    int fd;     /* kept open, so that its inode is not used again */
    struct stat id;
};

/* Who made a lock.  A text or start_ticks that could not be found out is empty or 0, and then says
 * nothing of anybody. */
struct holder {
    char host[256], boot[64],
        pid_space[64]; /* a pid means something within one boot and one pid namespace */
    int64_t pid, start_ticks;
    char slurm_job[64], slurm_cluster[64];
    int64_t slurm_restart;
    double since_unix_s;
};

static void copy_text(char *out, size_t bytes, const char *s)
{
    snprintf(out, bytes, "%s", s ? s : "");
}

static void read_line(const char *path, char *out, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t n = fd >= 0 ? file_read_start(fd, out, bytes - 1) : -1;
    if (fd >= 0) close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

/* State and start time (clock ticks since boot) of a process: fields 3 and 22 of /proc/PID/stat.
 * The name in field 2 may contain spaces and parentheses.  False when there is no such entry. */
static bool process_start(int64_t pid, char *state, int64_t *start_ticks)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    read_line(path, line, sizeof line);
    const char *p = strrchr(line, ')');
    if (!p || p[1] != ' ') return false;
    *state = p[2];
    p += 2;
    for (int field = 3; field < 22; field++) {
        p = strchr(p, ' ');
        if (!p) return false;
        p++;
    }
    *start_ticks = strtoll(p, NULL, 10);
    return true;
}

static void describe_self(struct holder *h)
{
    char state;
    memset(h, 0, sizeof *h);
    gethostname(h->host, sizeof h->host - 1);
    read_line("/proc/sys/kernel/random/boot_id", h->boot, sizeof h->boot);
    ssize_t n = readlink("/proc/self/ns/pid", h->pid_space, sizeof h->pid_space - 1);
    h->pid_space[n > 0 ? n : 0] = 0;
    h->pid = getpid();
    process_start(h->pid, &state, &h->start_ticks);
    copy_text(h->slurm_job, sizeof h->slurm_job, getenv("SLURM_JOB_ID"));
    copy_text(h->slurm_cluster, sizeof h->slurm_cluster, getenv("SLURM_CLUSTER_NAME"));
    const char *restart = getenv("SLURM_RESTART_COUNT");
    h->slurm_restart = restart ? strtoll(restart, NULL, 10) : 0;
    h->since_unix_s = clock_unix_s();
}

static char *holder_text(const struct holder *h)
{
    json_t *o = json_pack("{ss ss ss sI sI ss ss sI sf}", "host", h->host, "boot", h->boot,
                          "pid_space", h->pid_space, "pid", (json_int_t)h->pid, "start_ticks",
                          (json_int_t)h->start_ticks, "slurm_job", h->slurm_job, "slurm_cluster",
                          h->slurm_cluster, "slurm_restart", (json_int_t)h->slurm_restart,
                          "since_unix_s", h->since_unix_s);
    ENSURE(o);
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    ENSURE(text);
    json_decref(o);
    return text;
}

static int parse_holder(const char *path, const char *text, struct holder *h, struct err *e)
{
    json_error_t je;
    json_t *o = json_loads(text, 0, &je);
    const char *host, *boot, *space, *job, *cluster;
    int rc = json_is_object(o) ? 0 : -1;
    if (rc == 0)
        rc = json_get_str(o, path, "host", &host, e) < 0 ||
                     json_get_str(o, path, "boot", &boot, e) < 0 ||
                     json_get_str(o, path, "pid_space", &space, e) < 0 ||
                     json_get_str(o, path, "slurm_job", &job, e) < 0 ||
                     json_get_str(o, path, "slurm_cluster", &cluster, e) < 0 ||
                     json_get_i64(o, path, "pid", &h->pid, e) < 0 ||
                     json_get_i64(o, path, "start_ticks", &h->start_ticks, e) < 0 ||
                     json_get_i64(o, path, "slurm_restart", &h->slurm_restart, e) < 0 ||
                     json_get_f64_or(o, path, "since_unix_s", 0, &h->since_unix_s, e) < 0
                 ? -1
                 : 0;
    if (rc == 0) {
        copy_text(h->host, sizeof h->host, host);
        copy_text(h->boot, sizeof h->boot, boot);
        copy_text(h->pid_space, sizeof h->pid_space, space);
        copy_text(h->slurm_job, sizeof h->slurm_job, job);
        copy_text(h->slurm_cluster, sizeof h->slurm_cluster, cluster);
    }
    json_decref(o);
    if (rc == 0) return 0;
    return err_set(
        e, "%s is not a lock file of this program; remove it if nothing is using the result file",
        path);
}

static bool process_is_gone(const struct holder *h)
{
    if (kill((pid_t)h->pid, 0) < 0 && errno == ESRCH) return true;
    char state;
    int64_t start_ticks;
    if (!process_start(h->pid, &state, &start_ticks)) return false; /* exists, but /proc hides it */
    bool is_another = h->start_ticks != 0 && start_ticks != h->start_ticks;
    return state == 'Z' || state == 'X' || is_another;
}

/* Why the lock of `h` means nothing any more, or NULL when it counts. */
static const char *stale_reason(const struct holder *h, const struct holder *self,
                                lock_slurm_ended_fn slurm_ended)
{
    bool same_host = strcmp(h->host, self->host) == 0;
    if (same_host && h->boot[0] && self->boot[0] && strcmp(h->boot, self->boot) != 0)
        return "the host was restarted since";
    if (same_host && strcmp(h->pid_space, self->pid_space) == 0 && process_is_gone(h))
        return "that process is gone";
    if (!h->slurm_job[0]) return NULL;
    if (strcmp(h->slurm_job, self->slurm_job) == 0 &&
        strcmp(h->slurm_cluster, self->slurm_cluster) == 0 &&
        h->slurm_restart < self->slurm_restart)
        return "that was an earlier start of this Slurm job";
    if (slurm_ended && slurm_ended(h->slurm_cluster, h->slurm_job, h->since_unix_s))
        return "Slurm says that job has ended";
    return NULL;
}

static void holder_words(const struct holder *h, char *out, size_t bytes)
{
    char when[64] = "?", slurm[160] = "";
    time_t since = (time_t)h->since_unix_s;
    struct tm tm;
    if (localtime_r(&since, &tm)) strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    if (h->slurm_job[0])
        snprintf(slurm, sizeof slurm, ", Slurm job %s restart %" PRId64, h->slurm_job,
                 h->slurm_restart);
    snprintf(out, bytes, "host %s, pid %" PRId64 "%s, since %s", h->host, h->pid, slurm, when);
}

static char *candidate_path(const char *lock_path, const struct holder *h)
{
    return mem_printf("%s.%s.%" PRId64, lock_path, h->host, h->pid);
}

/* Our own description in a file of its own, open; it becomes the lock by link() or rename(). */
static int write_candidate(const char *candidate, const struct holder *self, struct stat *id,
                           struct err *e)
{
    unlink(candidate); /* of a process that had our number and was killed here */
    int fd = open(candidate, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(e, "cannot create %s: %s; set output to a folder that this user can write",
                       candidate, strerror(errno));
    char *text = holder_text(self);
    size_t n = strlen(text);
    bool ok = file_write_all(fd, text, n) == 0 && fsync(fd) == 0 && fstat(fd, id) == 0;
    free(text);
    if (ok) return fd;
    err_set(e, "cannot write %s: %s", candidate, strerror(errno));
    close(fd);
    unlink(candidate);
    return -1;
}

/* Who holds the open lock file. */
static int read_holder(int fd, const char *lock_path, struct holder *h, struct err *e)
{
    char text[4096];
    int64_t n = file_read_start(fd, text, sizeof text - 1);
    if (n < 0) return err_set(e, "cannot read %s: %s", lock_path, strerror(errno));
    text[n] = 0;
    return parse_holder(lock_path, text, h, e);
}

enum attempt { TAKEN, AGAIN, REFUSED };

/* The lock file exists: replace it when it is stale.  An flock on the old file keeps two who both
 * find it stale apart: the second one finds that the path has another file by then. */
static enum attempt take_over(const char *path, const char *lock_path, const char *candidate,
                              const struct holder *self, lock_slurm_ended_fn slurm_ended,
                              struct err *e)
{
    char words[700];
    struct stat mine, there;
    struct holder h = {0};
    int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return AGAIN;
    if (fd < 0) return err_set(e, "cannot open %s: %s", lock_path, strerror(errno)), REFUSED;
    enum attempt result = REFUSED;
    (void)flock(fd, LOCK_EX); /* some network file systems have none: then the window stays open,
                                 microseconds wide */
    bool is_there = fstat(fd, &mine) == 0 && stat(lock_path, &there) == 0;
    if (!is_there && errno != ENOENT) {
        err_set(e, "cannot look at %s: %s", lock_path, strerror(errno));
        goto done;
    }
    if (!is_there || mine.st_ino != there.st_ino || mine.st_dev != there.st_dev) {
        result = AGAIN;
        goto done;
    }
    TRY_GOTO(read_holder(fd, lock_path, &h, e), done);
    holder_words(&h, words, sizeof words);
    const char *stale = stale_reason(&h, self, slurm_ended);
    if (!stale) {
        err_set(e, "%s is in use: %.280s. If that program is gone, remove %s.lock", path, words,
                strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    } else if (rename(candidate, lock_path) < 0) {
        err_set(e, "cannot replace %s: %s", lock_path, strerror(errno));
    } else {
        log0(LOG_WARN, "%s: taking over the lock of %s: %s", path, words, stale);
        char *left = candidate_path(lock_path, &h);
        unlink(left); /* there when it was killed between link() and unlink() */
        free(left);
        result = TAKEN;
    }
done:
    close(fd);
    return result;
}

struct lock *lock_take(const char *path, lock_slurm_ended_fn slurm_ended, struct err *e)
{
    struct holder self;
    describe_self(&self);
    char *lock_path = mem_printf("%s.lock", path);
    char *candidate = candidate_path(lock_path, &self);
    struct stat id = {0};
    int fd = write_candidate(candidate, &self, &id, e);
    enum attempt result = fd < 0 ? REFUSED : AGAIN;
    while (result == AGAIN) {
        if (link(candidate, lock_path) == 0) {
            unlink(candidate);
            result = TAKEN;
        } else if (errno == EEXIST) {
            result = take_over(path, lock_path, candidate, &self, slurm_ended, e);
        } else {
            err_set(e, "cannot create %s: %s", lock_path, strerror(errno));
            result = REFUSED;
        }
    }
    struct lock *l = NULL;
    if (result == TAKEN) {
        l = mem_calloc(1, sizeof *l);
        l->path = mem_strdup(lock_path);
        l->fd = fd;
        l->id = id;
    } else if (fd >= 0) {
        close(fd);
        unlink(candidate);
    }
    free(candidate);
    free(lock_path);
    return l;
}

bool lock_is_held(const char *path, lock_slurm_ended_fn slurm_ended, char *holder, size_t bytes)
{
    struct holder h = {0}, self;
    char *lock_path = mem_printf("%s.lock", path);
    int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    bool held = false;
    if (fd >= 0 && read_holder(fd, lock_path, &h, &(struct err){0}) == 0) {
        describe_self(&self);
        held = !stale_reason(&h, &self, slurm_ended);
        holder_words(&h, holder, bytes);
    }
    if (fd >= 0) close(fd);
    free(lock_path);
    return held;
}

int lock_check(const struct lock *l, struct err *e)
{
    struct stat there;
    bool is_there = stat(l->path, &there) == 0;
    if (!is_there && errno != ENOENT)
        return err_set(e, "cannot look at %s: %s", l->path, strerror(errno));
    if (is_there && there.st_ino == l->id.st_ino && there.st_dev == l->id.st_dev) return 0;
    return err_set(e, "%s was removed or replaced while this program was writing: stopping",
                   l->path);
}

void lock_release(struct lock *l)
{
    if (!l) return;
    if (lock_check(l, &(struct err){0}) == 0) unlink(l->path);
    close(l->fd);
    free(l->path);
    free(l);
}
