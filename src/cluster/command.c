#include "cluster/command.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_OUTPUT ((size_t)64 << 20)

extern char **environ;

/* One of its two streams. */
struct stream {
    int fd;     /* our end; -1: at its end */
    int failed; /* an errno */
    struct {
        char *items;
        size_t n, cap;
    } text;
};

/* "A=1" sets what "A=..." there is. */
static bool is_set_by(const char *variable, const char *const *over)
{
    size_t n = strcspn(variable, "=");
    for (; over && *over; over++)
        if (strncmp(variable, *over, n + 1) == 0) return true;
    return false;
}

/* Borrowed texts; the caller frees the array. */
static char **merged_environment(const char *const *over)
{
    struct {
        char **items;
        size_t n, cap;
    } all = {0};
    for (char **v = environ; *v; v++)
        if (!is_set_by(*v, over)) ARRAY_PUSH(all, *v);
    for (; over && *over; over++) ARRAY_PUSH(all, (char *)(uintptr_t)*over);
    ARRAY_PUSH(all, NULL);
    return all.items;
}

/* Returns 0 or an errno. */
static int start(const char *const *argv, const char *const *environment, int out, int errors,
                 pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, out, 1) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, errors, 2) != 0)
        mem_exhausted("the start of a program");
    ENSURE(posix_spawnattr_setsigmask(&attributes, &none) == 0 &&
           posix_spawnattr_setpgroup(&attributes, 0) == 0 &&
           posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP) ==
               0);
    char **env = merged_environment(environment);
    int rc = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, env);
    free(env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

/* What has come; at the end of the stream its descriptor goes. */
static void take(struct stream *s)
{
    ARRAY_RESERVE(s->text, s->text.n + 65536);
    ssize_t n = read(s->fd, s->text.items + s->text.n, 65536);
    if (n > 0) s->text.n += (size_t)n;
    if (n > 0 || (n < 0 && errno == EINTR)) return;
    if (n < 0) s->failed = errno;
    close(s->fd);
    s->fd = -1;
}

/* Until both streams end.  -1 with *e: too long, or too much. */
static int collect(struct stream *s, const char *name, double limit_s, struct err *e)
{
    double end_s = clock_s() + limit_s;
    while (s[0].fd >= 0 || s[1].fd >= 0) {
        struct pollfd p[2] = {{.fd = s[0].fd, .events = POLLIN}, {.fd = s[1].fd, .events = POLLIN}};
        double left_s = end_s - clock_s();
        if (left_s <= 0) return err_set(e, "%s did not answer within %.0f s", name, limit_s);
        if (poll(p, 2, (int)(left_s * 1000) + 1) < 0 && errno != EINTR)
            return err_set(e, "cannot wait for %s: %s", name, strerror(errno));
        for (int i = 0; i < 2; i++)
            if (p[i].fd >= 0 && p[i].revents) take(&s[i]);
        int failed = s[0].failed ? s[0].failed : s[1].failed;
        if (failed) return err_set(e, "cannot read what %s prints: %s", name, strerror(failed));
        if (s[0].text.n + s[1].text.n > MAX_OUTPUT)
            return err_set(e, "%s printed more than %zu MiB", name, MAX_OUTPUT >> 20);
    }
    return 0;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int command_run(const char *const *argv, const char *const *environment, double limit_s,
                struct command_output *o, struct err *e)
{
    *o = (struct command_output){0};
    int out[2], errors[2];
    if (pipe2(out, O_CLOEXEC) < 0) return err_set(e, "cannot make a pipe: %s", strerror(errno));
    if (pipe2(errors, O_CLOEXEC) < 0) {
        err_set(e, "cannot make a pipe: %s", strerror(errno));
        close(out[0]);
        close(out[1]);
        return -1;
    }
    pid_t pid = 0;
    int failed = start(argv, environment, out[1], errors[1], &pid);
    close(out[1]);
    close(errors[1]);
    struct stream s[2] = {{.fd = out[0]}, {.fd = errors[0]}};
    int rc = failed ? COMMAND_NOT_STARTED : collect(s, argv[0], limit_s, e);
    if (failed) err_set(e, "cannot start %s: %s", argv[0], strerror(failed));
    if (!failed && rc < 0) kill(-pid, SIGKILL);
    if (!failed) o->status = wait_for(pid);
    o->out_bytes = s[0].text.n;
    for (int i = 0; i < 2; i++) {
        if (s[i].fd >= 0) close(s[i].fd);
        ARRAY_PUSH(s[i].text, '\0');
    }
    o->out = s[0].text.items;
    o->errors = s[1].text.items;
    if (rc < 0) command_free(o);
    return rc;
}

void command_free(struct command_output *o)
{
    free(o->out);
    free(o->errors);
    *o = (struct command_output){0};
}
