#include "base/clock.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

double clock_s(void)
{
    return (double)clock_ns() * 1e-9;
}

double clock_unix_s(void)
{
    return (double)read_ns(CLOCK_REALTIME) * 1e-9;
}

char *clock_text(char out[24], double s)
{
    if (!isfinite(s)) return strcpy(out, "-");
    if (s < 1)
        snprintf(out, 24, "%.0f ms", s * 1e3);
    else if (s < 10)
        snprintf(out, 24, "%.2f s", s);
    else if (s < 120)
        snprintf(out, 24, "%.1f s", s);
    else if (s < 7200)
        snprintf(out, 24, "%.1f min", s / 60);
    else
        snprintf(out, 24, "%.1f h", s / 3600);
    return out;
}

char *clock_date(char out[24], double unix_s)
{
    bool is_date = unix_s > 0 && unix_s < 253402300800;
    time_t t = is_date ? (time_t)unix_s : 0;
    struct tm tm;
    if (!is_date || !gmtime_r(&t, &tm) || strftime(out, 24, "%F %H:%M UTC", &tm) == 0)
        strcpy(out, "?");
    return out;
}
