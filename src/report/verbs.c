#include "report/verbs.h"

#include "base/log.h"
#include "report/export.h"
#include "report/inspect.h"
#include "report/output.h"
#include "report/replay_verb.h"
#include "report/report.h"
#include "report/score.h"
#include "report/timeline.h"
#include "report/tokenize.h"
#include "run/exit_status.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const char *only_file(const struct options *o, const char *what)
{
    if (o->n_files == 1) return o->files[0];
    log0(LOG_ERROR, "%s needs one %s; specrej %s --help", o->verb, what, o->verb);
    return NULL;
}

static bool is_first(const struct comm *world)
{
    return !world || comm_rank(world) == 0;
}

static int agree(struct comm *world, int rc, struct err *e)
{
    return world ? comm_agree(world, rc, e) : rc;
}

/* What is on stdout must have arrived somewhere. */
static int end(struct comm *world, int rc, struct err *e)
{
    bool unwritten = rc == OUTPUT_UNWRITTEN;
    if (agree(world, unwritten ? 0 : rc, e) < 0) {
        log0(LOG_ERROR, "%s", e->text);
        return EXIT_BAD_INPUT;
    }
    if (!unwritten && (fflush(stdout) != 0 || ferror(stdout))) {
        err_set(e, "cannot write the output: %s", strerror(errno));
        unwritten = true;
    }
    if (agree(world, unwritten ? -1 : 0, e) == 0) return EXIT_DONE;
    log0(LOG_ERROR, "%s", e->text);
    return EXIT_FAILED;
}

int verb_inspect(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *path = only_file(o, "checkpoint folder or result file");
    struct inspect_options io = {
        .json = o->json, .prompt = o->prompt, .chat_template = o->chat_template};
    if (!path) return EXIT_BAD_INPUT;
    return end(world, is_first(world) ? inspect(path, &io, stdout, e) : 0, e);
}

int verb_export(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *path = only_file(o, "result file");
    struct export_options eo = {.format = o->format, .pick = o->pick, .output = o->output};
    if (!path) return EXIT_BAD_INPUT;
    return end(world, is_first(world) ? export_file(path, &eo, stdout, e) : 0, e);
}

int verb_report(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    struct report_options ro = {.json = o->json,
                                .quiet = o->quiet,
                                .folder = o->output,
                                .command = command,
                                .reference = o->reference};
    if (o->n_files == 0) {
        log0(LOG_ERROR, "report needs result files; specrej report --help");
        return EXIT_BAD_INPUT;
    }
    return end(world, is_first(world) ? report(o->files, o->n_files, &ro, stdout, e) : 0, e);
}

int verb_timeline(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *path = only_file(o, "result file");
    struct timeline_options to = {.output = o->output, .prompt = o->prompt};
    if (!path) return EXIT_BAD_INPUT;
    return end(world, is_first(world) ? timeline_file(path, &to, stdout, e) : 0, e);
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = text ? strlen(text) : 0, m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int replay_to(const char *path, const struct options *o, struct err *e)
{
    struct replay_options ro = {.grid = {o->set, o->n_set, o->nearest, o->subsets},
                                .form = o->json || ends_in(o->output, ".json") ? REPLAY_JSON
                                        : ends_in(o->output, ".csv")           ? REPLAY_CSV
                                                                               : REPLAY_TABLE,
                                .reference = o->reference,
                                .quiet = o->quiet};
    struct output out;
    TRY(output_begin(&out, o->output, stdout, e));
    return output_end(&out, replay_file(path, &ro, out.file, e), e);
}

int verb_replay(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *path = only_file(o, "result file of a Best-of-N run with score_at");
    if (!path) return EXIT_BAD_INPUT;
    return end(world, is_first(world) ? replay_to(path, o, e) : 0, e);
}

int verb_tokenize(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *folder = only_file(o, "checkpoint folder");
    struct tokenize_options to = {.decode = o->decode, .raw = o->raw};
    if (!folder) return EXIT_BAD_INPUT;
    return end(world, is_first(world) ? tokenize_stream(folder, &to, stdin, stdout, e) : 0, e);
}

int verb_score(const struct options *o, const char *command, struct comm *world, struct err *e)
{
    (void)command;
    const char *folder = only_file(o, "checkpoint folder");
    struct score_options so = {.chat_template = o->chat_template,
                               .dtype = o->dtype,
                               .backend = o->backend,
                               .quiet = o->quiet};
    if (!folder) return EXIT_BAD_INPUT;
    return end(world, score_stream(folder, &so, world, stdin, stdout, e), e);
}
