/* Inside timeline: the events of one prompt, made of its rows. */
#pragma once

#include "report/result.h"

#include <stdint.h>

enum timeline_kind {
    TIMELINE_RUN,
    TIMELINE_PROMPT,
    TIMELINE_PHASE,
    TIMELINE_ROUND,
    TIMELINE_COUNTER
};

enum timeline_counter { COUNTER_LIVE, COUNTER_RATE, COUNTER_KV, TIMELINE_COUNTERS };

struct timeline_event {
    enum timeline_kind kind;
    int32_t pid, tid;      /* of the track; counters have no tid */
    int64_t ts_ns, dur_ns; /* since the first start; instants and counters last 0 */
    int64_t order;         /* among events of the same prompt and time */
    union {
        int64_t run;                     /* row of /runs */
        const struct prompt_row *prompt; /* this and the next two: borrowed */
        const struct trace_row *phase;
        const struct round_row *round;
        struct {
            enum timeline_counter which;
            double value;
        } counter;
    };
};

/* Tracks: the job, then the groups; ranks within them.  Numbers from 1, since viewers take 0 for
 * the idle task. */
#define TIMELINE_JOB_PID 1
#define TIMELINE_JOB_TID 1
static inline int32_t timeline_pid(int32_t group)
{
    return group + 2;
}
static inline int32_t timeline_tid(int32_t rank)
{
    return rank + 1;
}

/* One prompt: its rows and, in the order of time, their events. */
struct timeline_prompt {
    struct trace_row *spans;
    struct round_row *rounds;
    int64_t *lengths; /* tokens of its candidates, ascending; NULL: not known of all, not needed */
    int64_t n_spans, n_rounds, n_lengths;
    struct {
        struct timeline_event *items;
        size_t n, cap;
    } events;
};

/* A row of /prompts whose run began `run_start_ns` after the first one.  -1 with *e; release with
 * timeline_prompt_free in both cases. */
int timeline_prompt_load(struct timeline_prompt *p, struct result *r, int64_t row,
                         int64_t run_start_ns, struct err *e);
void timeline_prompt_free(struct timeline_prompt *p);

/* Seconds as nanoseconds; 0 for what is no number. */
int64_t timeline_ns(double s);

/* Ranks of a group in that run, at least 1. */
int32_t timeline_tensor(const struct run_row *run);
