/* The parent's side of render.py: conversations go in and texts come out as JSON over one socket
 * that is python3's standard input and output.  No shell, and no user text on a command line. */
#include "text/chat_jinja.h"

#include "base/clock.h"
#include "base/mem.h"
#include "text/render_script.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define NEEDS_PYTHON                                                                               \
    "this template is not one of the built-in families and needs python3 with jinja2: install "    \
    "python3-jinja2, or set template: to a family or raw"

/* {"messages": [...], "add_generation_prompt": ...}, or NULL when a text is no UTF-8. */
static json_t *conversation_json(const struct chat_request *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const struct chat_message *m = &r->messages[i];
        if (json_array_append_new(
                list, json_pack("{s:s, s:s}", "role", m->role, "content", m->content)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{s:o, s:b}", "messages", list, "add_generation_prompt",
                     r->with_generation_prompt);
}

/* The job as text, or NULL when a text is no UTF-8.  Caller frees. */
static char *job_text(const struct jinja_job *job, const struct chat_request *r, size_t n,
                      int64_t memory)
{
    json_t *root = json_pack("{s:s, s:O, s:I, s:I, s:[]}", "template", job->template_text, "tokens",
                             job->tokens, "now", (json_int_t)job->now_unix_s, "memory",
                             (json_int_t)memory, "conversations");
    json_t *list = json_object_get(root, "conversations");
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = json_array_append_new(list, conversation_json(&r[i])) == 0;
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static int start_python(int fd, pid_t *pid)
{
    char *argv[] = {"python3", "-c", (char *)render_script, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attr) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO) != 0 ||
        posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1) != 0)
        mem_exhausted("the start of python3");
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawnp(pid, "python3", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* Send all of text, then read to the end, before the deadline and at most `most` bytes.  Returns -1
 * with *e. */
static int converse(int fd, const char *text, int64_t deadline_ns, size_t most,
                    struct bytes *answer, struct err *e)
{
    size_t left = strlen(text);
    for (;;) {
        int64_t wait_ns = deadline_ns - clock_ns();
        if (wait_ns <= 0)
            return err_set(
                e, "the template takes too long to render; set template: to a family or raw");
        struct pollfd p = {.fd = fd, .events = (short)(left > 0 ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&p, 1, to_int(wait_ns / 1000000 < 1000 ? wait_ns / 1000000 + 1 : 1000)) <= 0)
            continue;
        if (left > 0 && (p.revents & POLLOUT)) {
            ssize_t sent = send(fd, text, left, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent > 0) {
                text += sent;
                left -= (size_t)sent;
                if (left == 0) shutdown(fd, SHUT_WR);
            } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
                left = 0; /* python3 is gone: what it left is read below */
            }
        }
        if (!(p.revents & (POLLIN | POLLHUP | POLLERR))) continue;
        ARRAY_RESERVE(*answer, answer->n + 65536);
        ssize_t got = recv(fd, answer->items + answer->n, 65536, MSG_DONTWAIT);
        if (got > 0) answer->n += (size_t)got;
        if (answer->n > most)
            return err_set(
                e, "the template prints more than %zu MiB; set template: to a family or raw",
                most >> 20);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return 0;
    }
}

/* What n conversations may become, escaped as JSON: 64 KiB each beside what they say. */
static size_t longest_answer(const char *text, size_t n)
{
    return ((size_t)16 << 20) + n * ((size_t)64 << 10) + 16 * strlen(text);
}

static int exchange(const char *text, double limit_s, size_t most, struct bytes *answer,
                    struct err *e)
{
    int fds[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_set(e, "cannot talk to python3: %s", strerror(errno));
    int rc = start_python(fds[1], &pid);
    close(fds[1]);
    if (rc != 0) {
        close(fds[0]);
        return err_set(e, "python3 does not start (%s): %s", strerror(rc), NEEDS_PYTHON);
    }
    rc = converse(fds[0], text, clock_ns() + (int64_t)(limit_s * 1e9), most, answer, e);
    close(fds[0]);
    if (rc < 0) kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (rc == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return err_set(e, "python3 ended with status %d while rendering the template",
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return rc;
}

static int take_answer(const json_t *root, size_t n, char **texts, char **reasons, struct err *e)
{
    const char *error = json_string_value(json_object_get(root, "error"));
    if (error && strcmp(error, "no-jinja2") == 0)
        return err_set(e, "python3 has no jinja2: %s", NEEDS_PYTHON);
    if (error) return err_set(e, "%s", error);
    if (!json_is_array(root) || json_array_size(root) != n)
        return err_set(e, "python3 gave no readable answer while rendering the template");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(root, i);
        const char *reason = json_string_value(json_object_get(v, "error"));
        if (json_is_string(v))
            texts[i] = mem_strdup(json_string_value(v));
        else
            reasons[i] = mem_strdup(reason ? reason : "no text");
    }
    return 0;
}

int jinja_render(const struct jinja_job *job, const struct chat_request *r, size_t n, char **texts,
                 char **reasons, struct err *e)
{
    int64_t memory = job->limit_bytes;
    if (memory == 0) {
        memory = (int64_t)1 << 30;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < r[i].n; k++)
                memory += 32 * (int64_t)(strlen(r[i].messages[k].content) + 64);
    }
    memset(texts, 0, n * sizeof *texts);
    memset(reasons, 0, n * sizeof *reasons);
    char *text = job_text(job, r, n, memory);
    if (!text) return err_set(e, "a message, the template or a special token is not valid UTF-8");
    struct bytes answer = {0};
    int rc = exchange(text, job->limit_s > 0 ? job->limit_s : 20 + 0.02 * (double)n,
                      longest_answer(text, n), &answer, e);
    free(text);
    if (rc == 0) {
        json_t *root = json_loadb(answer.items, answer.n, JSON_DECODE_ANY, NULL);
        rc = take_answer(root, n, texts, reasons, e);
        json_decref(root);
    }
    free(answer.items);
    return rc;
}
