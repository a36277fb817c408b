/* Timed phases of a prompt on a rank, kept until it is recorded. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum span_phase {
    SPAN_LOAD,
    SPAN_PREFILL,
    SPAN_DECODE,
    SPAN_SCORE,
    SPAN_DECIDE,
    SPAN_MOVE,
    SPAN_COMM,
    SPAN_WAIT,
    SPAN_COMMIT,
    SPAN_PHASES
};

struct span { /* travels between ranks as it is: no padding */
    int32_t phase, reserved;
    int64_t prompt_index, step, start_ns, end_ns, sequences, tokens, bytes;
};

struct spans {
    struct span *items;
    size_t n, cap;
};

const char *span_name(enum span_phase p);
