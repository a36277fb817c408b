/* Monotonic time, and times as people read them. */
#pragma once

#include <stdint.h>

int64_t clock_ns(void);    /* CLOCK_MONOTONIC, nanoseconds */
double clock_s(void);      /* the same in seconds */
double clock_unix_s(void); /* seconds since the epoch, for records */

/* "350 ms", "9.53 s", "42.0 s", "12.5 min", "3.5 h"; "-" for what is no number. */
char *clock_text(char out[24], double s);

/* "2026-11-28 23:41 UTC" of seconds since the epoch: readers and machines are in many places; "?"
 * before 1970, beyond the year 9999 and of NaN. */
char *clock_date(char out[24], double unix_s);
