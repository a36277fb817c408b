#include "report/rows.h"

#include <math.h>
#include <stdio.h>

const char *const row_names[ROW_COLUMNS] = {
    "method",      "N",          "alpha",   "rounds",           "seeds",  "best reward",
    "improvement", "share kept", "winners", "relative compute", "speedup"};

/* "12.3 (11.0 to 13.0)" */
static void with_interval(char out[2 * CELL + 4], const char *value, const char *interval)
{
    snprintf(out, 2 * CELL + 4, interval[0] ? "%s (%s)" : "%s%s", value, interval);
}

struct row row_of(const struct comparison *c, const struct average *p)
{
    const struct source *s = &c->files[p->first];
    bool rejects = s->method == METHOD_SPECULATIVE_REJECTION;
    struct row r;
    char a[CELL], b[CELL];
    cell_method(r.cell[ROW_METHOD], s);
    cell_n(r.cell[ROW_N], s->n);
    cell_number(r.cell[ROW_ALPHA], "%g", rejects ? s->alpha : NAN);
    snprintf(r.cell[ROW_ROUNDS], sizeof r.cell[0], "%s", rejects ? s->rounds : "-");
    snprintf(r.cell[ROW_SEEDS], sizeof r.cell[0], "%d", p->n_files);
    cell_number(r.cell[ROW_REWARD], "%.4f", p->best_reward);
    with_interval(r.cell[ROW_SCORE], cell_number(a, "%.1f", p->score),
                  cell_interval(b, "%.1f", p->score_interval, 1));
    with_interval(r.cell[ROW_KEPT], cell_percent(a, p->kept),
                  cell_interval(b, "%.1f", p->kept_interval, 100));
    cell_percent(r.cell[ROW_WINNERS], p->survival);
    with_interval(r.cell[ROW_COMPUTE], cell_number(a, "%.3g", p->relative_compute),
                  cell_interval(b, "%.3g", p->compute_interval, 1));
    with_interval(r.cell[ROW_SPEEDUP], cell_speedup(a, p->speedup),
                  cell_speedup_interval(b, p->speedup_low, p->speedup_high));
    return r;
}
