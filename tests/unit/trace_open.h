/* Opening a result file of synthetic prompts, or the test fails. */
#pragma once

#include "e2e/trace_synthetic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static inline struct trace *open_trace(const char *path)
{
    struct err e = {0};
    struct trace_meta meta = synthetic_meta();
    struct run_row run = synthetic_run();
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    return t;
}

static inline struct trace_reader *open_reader(const char *path)
{
    struct err e = {0};
    struct trace_reader *r = trace_reader_open(path, &e);
    if (!r) fail_msg("%s", e.text);
    return r;
}
