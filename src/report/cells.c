#include "report/cells.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char *cell_method(char out[CELL], const struct source *s)
{
    const char *replayed = s->is_approximate ? ", replayed, approximate" : ", replayed";
    snprintf(out, CELL, "%s%s%s%s%s", method_name(s->method), s->is_static ? ", static" : "",
             s->scores_on_the_way ? ", score_at" : "",
             s->compat == COMPAT_PAPER_CODE_2024 ? ", paper_code_2024" : "",
             s->is_replayed ? replayed : "");
    return out;
}

char *cell_n(char out[CELL], int64_t n)
{
    if (n)
        snprintf(out, CELL, "%lld", (long long)n);
    else
        strcpy(out, "auto");
    return out;
}

char *cell_number(char out[CELL], const char *fmt, double v)
{
    if (isfinite(v))
        snprintf(out, CELL, fmt, v);
    else
        strcpy(out, "-");
    return out;
}

char *cell_percent(char out[CELL], double share)
{
    return cell_number(out, "%.1f %%", 100 * share);
}

char *cell_interval(char out[CELL], const char *fmt, struct interval i, double scale)
{
    char low[CELL], high[CELL];
    out[0] = 0;
    if (!isfinite(i.low) || !isfinite(i.high)) return out;
    cell_number(low, fmt, scale * i.low);
    cell_number(high, fmt, scale * i.high);
    if (strcmp(low, high) != 0) snprintf(out, CELL, "%.20s to %.20s", low, high);
    return out;
}

static const char *bound(enum speedup_kind kind)
{
    static const char *const prefix[] = {"", "", ">= ", "<= "};
    return prefix[kind];
}

char *cell_speedup(char out[CELL], struct speedup s)
{
    if (s.kind == SPEEDUP_NONE || !isfinite(s.value))
        strcpy(out, "-");
    else
        snprintf(out, CELL, "%s%.2f x", bound(s.kind), s.value);
    return out;
}

char *cell_speedup_interval(char out[CELL], struct speedup low, struct speedup high)
{
    char from[CELL], to[CELL];
    out[0] = 0;
    if (low.kind == SPEEDUP_NONE || !isfinite(low.value) || !isfinite(high.value)) return out;
    snprintf(from, CELL, "%s%.2f", bound(low.kind), low.value);
    snprintf(to, CELL, "%s%.2f", bound(high.kind), high.value);
    if (strcmp(from, to) != 0) snprintf(out, CELL, "%.20s to %.20s", from, to);
    return out;
}
