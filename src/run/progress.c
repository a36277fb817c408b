#include "run/progress.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR 24
#define SHORT_NAME                                                                                 \
    16               /* bytes of the job's name on a line that must not be longer than a terminal */
#define STATUS_S 3.0 /* between two writes of FILE.status.json */
#define LINE_S   60.0 /* between two lines of a log */
#define REDRAW_S 0.2  /* between two drawings of the bar */

struct progress {
    char *name, *short_label, *label, *path;
    int64_t total, before, done;
    bool quiet, terminal;
    double start_s, line_s, status_s, redraw_s, reward_sum;
    int64_t live, tokens, rewards;
};

static double rate(const struct progress *p)
{
    double t = clock_s() - p->start_s;
    return t > 0 ? (double)p->tokens / t : 0;
}

static double eta_s(const struct progress *p)
{
    int64_t here = p->done - p->before;
    return here > 0 ? (clock_s() - p->start_s) / (double)here * (double)(p->total - p->done) : NAN;
}

static void write_status(struct progress *p)
{
    p->status_s = clock_s();
    struct status_file s = {.state = STATE_RUNNING,
                            .prompts = p->total,
                            .prompts_done = p->done,
                            .live = p->live,
                            .tokens_per_s = rate(p),
                            .eta_s = eta_s(p)};
    snprintf(s.name, sizeof s.name, "%s", p->name);
    status_file_write(p->path, &s);
}

static void draw_bar(struct progress *p)
{
    char bar[BAR + 1], eta[24];
    int64_t full = p->total ? p->done * BAR / p->total : BAR;
    for (int i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    clock_text(eta, eta_s(p));
    fprintf(stderr, "\r%s [%s] %lld/%lld prompts, %lld live, %.0f tok/s, ETA %s\033[K",
            p->short_label, bar, (long long)p->done, (long long)p->total, (long long)p->live,
            rate(p), eta);
    fflush(stderr);
    p->redraw_s = clock_s();
}

static void print_line(struct progress *p)
{
    char eta[24];
    clock_text(eta, eta_s(p));
    double mean = p->rewards ? p->reward_sum / (double)p->rewards : NAN;
    fprintf(stderr, "%s: %lld/%lld prompts, mean best reward %.4f, %.0f tok/s, ETA %s\n", p->label,
            (long long)p->done, (long long)p->total, mean, rate(p), eta);
    p->line_s = clock_s();
}

/* Bytes of whole characters. */
static int short_length(const char *name)
{
    int n = (int)strnlen(name, SHORT_NAME);
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    return n;
}

struct progress *progress_begin(const char *name, const char *which, const char *point,
                                const char *path, int64_t total, int64_t before, bool quiet)
{
    struct progress *p = mem_calloc(1, sizeof *p);
    p->name = mem_strdup(name);
    p->short_label = mem_printf("%.*s%s", short_length(name), name, which);
    p->label = mem_printf("%s%s (%s)", name, which, point);
    p->path = mem_strdup(path);
    p->total = total;
    p->before = p->done = before;
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO) == 1;
    p->start_s = p->line_s = clock_s();
    write_status(p);
    return p;
}

void progress_prompt(struct progress *p, float best_reward)
{
    p->done++;
    if (!isnan(best_reward)) {
        p->reward_sum += (double)best_reward;
        p->rewards++;
    }
    if (p->quiet) return;
    if (p->terminal)
        draw_bar(p);
    else if (clock_s() - p->line_s >= LINE_S)
        print_line(p);
}

void progress_tick(struct progress *p, int64_t live, int64_t tokens)
{
    p->live = live;
    p->tokens = tokens;
    double now = clock_s();
    if (now - p->status_s >= STATUS_S) write_status(p);
    if (!p->quiet && p->terminal && now - p->redraw_s >= REDRAW_S) draw_bar(p);
}

int64_t progress_done(const struct progress *p)
{
    return p->done;
}

void progress_end(struct progress *p)
{
    if (!p) return;
    if (!p->quiet && p->terminal) fprintf(stderr, "\r\033[K");
    free(p->name);
    free(p->short_label);
    free(p->label);
    free(p->path);
    free(p);
}
