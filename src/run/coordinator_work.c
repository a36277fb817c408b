/* Prompts to the groups, results back.
 *
 * A group has `overlap` places for prompts.  For each place its leader asks rank 0 once at the
 * start, and again with what the place's prompt gave, until it hears NO_PROMPT; rank 0 serves
 * between the steps of its own group's work.  Prompts are committed in the order in which they are
 * done. */
#include "run/coordinator_state.h"

#include "base/clock.h"
#include "base/mem.h"
#include "run/prompt.h"
#include "run/wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum tag { TAG_RESULT = 1, TAG_ASSIGN, TAG_STOP };

#define NO_PROMPT (-1)
#define POLL_S    0.01 /* between two looks for messages: each look may cost a rank its core */

/* Times since the start of the run, by the clock that they were read from: hosts' clocks differ. */
static void count_from_start(const struct coordinator *c, struct trace_record *r)
{
    r->prompt.start_s -= c->start_s;
    for (int64_t i = 0; i < r->n_rounds; i++) {
        r->rounds[i].start_s -= c->start_s;
        r->rounds[i].end_s -= c->start_s;
    }
}

static void stop_all(struct coordinator *c, int signal_number)
{
    int tensor = comm_size(c->worker.grid.group);
    c->stop_signal = c->worker.stop_signal = signal_number;
    for (int g = 1; g < c->worker.grid.n_groups; g++)
        comm_send(world_of(c), &signal_number, sizeof signal_number, g * tensor, TAG_STOP);
}

/* The next prompt that is not in the file, for this group; or NO_PROMPT.  With several places a
 * group gets no more than its part of what is not done yet, or at the end others would be idle. */
static int64_t next_prompt(struct coordinator *c, int group)
{
    int64_t undone = c->left, groups = c->worker.grid.n_groups;
    for (int g = 0; g < groups; g++) undone += c->in_flight[g];
    if (c->stop_signal || c->stop_on_error || c->left == 0) return NO_PROMPT;
    if (c->in_flight[group] >= (undone + groups - 1) / groups) return NO_PROMPT;
    while (resume_has(&c->resume, c->inputs.items[c->next].index)) c->next++;
    c->left--;
    c->in_flight[group]++;
    return c->next++;
}

/* ---- rank 0: the other groups ---- */

/* One message of another group's leader: a record, nothing (a place that was empty) or the signal
 * for which it left its prompt; and the wish for more. */
static void serve(struct coordinator *c, int from)
{
    size_t bytes;
    int group = from / comm_size(c->worker.grid.group);
    void *message = comm_recv(world_of(c), from, TAG_RESULT, &bytes);
    c->in_flight[group] -= bytes > 0;
    if (bytes == sizeof c->stop_signal) {
        if (!c->stop_signal) stop_all(c, *(int *)message); /* a signal that only that group saw */
    } else if (bytes > 0) {
        struct trace_record r;
        wire_unpack(&r, message, bytes);
        coordinator_commit(c, &r);
        prompt_record_free(&r);
    }
    free(message);
    int64_t at = next_prompt(c, group);
    comm_send(world_of(c), &at, sizeof at, from, TAG_ASSIGN);
    c->places_working -= at == NO_PROMPT;
}

/* Not every step needs a look. */
static bool poll_is_due(struct coordinator *c)
{
    double now = clock_s();
    if (now - c->polled_s < POLL_S) return false;
    c->polled_s = now;
    return true;
}

static void poll_first(void *arg)
{
    struct coordinator *c = arg;
    int from;
    if (!poll_is_due(c)) return;
    if (coordinator_signal && !c->stop_signal) stop_all(c, coordinator_signal);
    while (comm_probe(world_of(c), TAG_RESULT, &from)) serve(c, from);
    progress_tick(c->progress, c->worker.live_now, c->worker.tokens_now);
}

/* Other ranks: a signal of their own, or rank 0's word. */
static void poll_other(void *arg)
{
    struct coordinator *c = arg;
    int from;
    if (coordinator_signal) c->worker.stop_signal = coordinator_signal;
    if (!c->worker.grid.is_leader || !comm_probe(world_of(c), TAG_STOP, &from)) return;
    size_t bytes;
    int *signal_number = comm_recv(world_of(c), 0, TAG_STOP, &bytes);
    c->worker.stop_signal = *signal_number;
    free(signal_number);
}

/* ---- every group: from prompt to prompt ---- */

/* Ask rank 0 for work; hand in what the last prompt gave. */
static int64_t ask_for_work(struct coordinator *c, const void *result, size_t bytes)
{
    size_t got;
    comm_send(world_of(c), result, bytes, 0, TAG_RESULT);
    comm_wait_any(world_of(c), TAG_ASSIGN);
    int64_t *message = comm_recv(world_of(c), 0, TAG_ASSIGN, &got), at = *message;
    ENSURE(got == sizeof at);
    free(message);
    return at;
}

/* The prompt that the first rank of the share got is everybody's. */
static const struct prompt_input *share_prompt(struct coordinator *c, int64_t at)
{
    comm_bcast(c->worker.grid.share, &at, sizeof at, 0);
    c->own_in_flight += at != NO_PROMPT;
    return at == NO_PROMPT ? NULL : &c->inputs.items[at];
}

static const struct prompt_input *next_of_other(void *arg, const struct prompt_input *was,
                                                enum prompt_outcome outcome,
                                                struct trace_record *done)
{
    struct coordinator *c = arg;
    bool leader = c->worker.grid.is_leader;
    void *result = NULL;
    size_t bytes = 0;
    count_from_start(c, done);
    if (leader && was && outcome == PROMPT_DONE) result = wire_pack(done, &bytes);
    if (leader && outcome == PROMPT_ABANDONED) {
        result = mem_calloc(1, bytes = sizeof c->worker.stop_signal);
        memcpy(result, &c->worker.stop_signal, bytes);
    }
    c->own_in_flight -= was != NULL;
    /* Whether there is more to do is rank 0's to say; prompts in flight hear of the signal first.
     */
    if (c->own_in_flight == 0) c->worker.stop_signal = 0;
    int64_t at = leader ? ask_for_work(c, result, bytes) : 0;
    free(result);
    return share_prompt(c, at);
}

/* The group of rank 0, or everybody when all share each prompt. */
static const struct prompt_input *next_of_first(void *arg, const struct prompt_input *was,
                                                enum prompt_outcome outcome,
                                                struct trace_record *done)
{
    struct coordinator *c = arg;
    bool first = comm_rank(world_of(c)) == 0;
    count_from_start(c, done);
    c->own_in_flight -= was != NULL;
    if (first && was) {
        c->in_flight[0]--;
        if (outcome == PROMPT_DONE) coordinator_commit(c, done);
        if (outcome == PROMPT_ABANDONED && !c->stop_signal)
            stop_all(c, c->worker.stop_signal); /* another rank's signal */
    }
    return share_prompt(c, first ? next_prompt(c, 0) : 0);
}

/* Rank 0 has no work left: serve until every other group was sent home. */
static void wait_for_groups(struct coordinator *c)
{
    while (c->places_working > 0) {
        poll_first(c);
        if (c->places_working > 0) usleep((useconds_t)(POLL_S * 1e6));
    }
}

static void count_left(struct coordinator *c)
{
    c->in_flight = mem_calloc((size_t)c->worker.grid.n_groups, sizeof *c->in_flight);
    for (int64_t i = 0; i < c->inputs.n; i++)
        c->left += !resume_has(&c->resume, c->inputs.items[i].index);
}

void coordinator_work(struct coordinator *c)
{
    bool first = comm_rank(world_of(c)) == 0;
    bool together = c->job.parallel.split == SPLIT_CANDIDATES;
    c->worker.poll = first ? poll_first : poll_other;
    c->worker.poll_arg = c->worker.generator.poll_arg = c->worker.reward.poll_arg = c;
    c->worker.generator.poll = c->worker.reward.poll = c->worker.poll;
    c->worker.start_ns = (int64_t)(c->start_s * 1e9);
    c->places_working = together ? 0 : (c->worker.grid.n_groups - 1) * c->job.overlap;
    if (first) count_left(c);
    bool is_first = together || c->worker.grid.group_index == 0;
    struct flight_source source = {.next = is_first ? next_of_first : next_of_other, .arg = c};
    flight_run(&c->worker, &c->policy, &source);
    if (first) wait_for_groups(c);
    /* A late word to stop must not stay in the queue for the next point. */
    comm_barrier(world_of(c));
    int from;
    while (!first && comm_probe(world_of(c), TAG_STOP, &from)) {
        size_t bytes;
        free(comm_recv(world_of(c), 0, TAG_STOP, &bytes));
    }
}
