#include "report/twins.h"

#include "report/print.h"

#include <math.h>
#include <string.h>

/* The real run of a replayed point, -1: none. */
static int run_of(const struct comparison *c, int replayed)
{
    for (int f = 0; f < c->n_files; f++)
        if (!c->files[f].is_replayed &&
            strcmp(c->files[f].point_id, c->files[replayed].point_id) == 0)
            return f;
    return -1;
}

struct twins twins_of(const struct comparison *c)
{
    struct twins t = {0};
    double modelled = 0, took = 0, sum = 0;
    for (int f = 0; f < c->n_files; f++) {
        int run = c->files[f].is_replayed ? run_of(c, f) : -1;
        if (run < 0) continue;
        double a = c->rows[f].total[AMOUNT_WALL_S], b = c->rows[run].total[AMOUNT_WALL_S];
        double off = fabs(a / b - 1);
        if (!isfinite(off)) continue;
        modelled += a;
        took += b;
        sum += off;
        t.most = fmax(t.most, off);
        t.n++;
    }
    if (t.n == 0) return t;
    t.all = modelled / took - 1;
    t.mean = sum / t.n;
    return t;
}

void twins_print(const struct comparison *c, FILE *out)
{
    struct twins t = twins_of(c);
    if (t.n == 0) return;
    fputc('\n', out);
    print_field(out, "modelled times",
                "of %d replayed points that were really run, too: %+.1f %% off in all, %.1f %% on "
                "one (mean), at most %.1f %%",
                t.n, 100 * t.all, 100 * t.mean, 100 * t.most);
}

json_t *twins_json(const struct comparison *c)
{
    struct twins t = twins_of(c);
    if (t.n == 0) return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "points", json_integer(t.n));
    json_object_set_new(o, "off_in_all", json_finite(t.all));
    json_object_set_new(o, "off_mean", json_finite(t.mean));
    json_object_set_new(o, "off_most", json_finite(t.most));
    return o;
}
