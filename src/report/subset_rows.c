#include "report/subset_rows.h"

#include "report/cells.h"
#include "report/print.h"
#include "text/json_text.h"

#include <math.h>
#include <string.h>

const char *const subset_row_names[SUBSET_ROW_COLUMNS] = {
    "#",       "method",      "N",          "alpha",   "rounds",
    "subsets", "best reward", "share kept", "winners", "generated"};

const char subset_row_words[] =
    "Over random subsets of N of the recorded candidates: mean, and the middle 95 % of the subsets "
    "in brackets.  They say how much hangs on which candidates a run happens to get, on the "
    "prompts of the recording; all other intervals are over resamples of the compared prompts.";

bool subset_rows_any(const struct comparison *c)
{
    for (int f = 0; f < c->n_files; f++)
        if (c->files[f].subsets.draws > 0) return true;
    return false;
}

/* "99.1 % (97.5 to 100.0)" */
static void put_value(char out[SUBSET_CELL], const char *fmt, const char *limit_fmt, double mean,
                      struct interval i, double scale)
    __attribute__((format(printf, 2, 0), format(printf, 3, 0)));

static void put_value(char out[SUBSET_CELL], const char *fmt, const char *limit_fmt, double mean,
                      struct interval i, double scale)
{
    char a[CELL], b[CELL];
    cell_number(a, fmt, scale * mean);
    cell_interval(b, limit_fmt, i, scale);
    snprintf(out, SUBSET_CELL, b[0] ? "%s (%s)" : "%s%s", a, b);
}

struct subset_row subset_row_of(const struct comparison *c, int file)
{
    const struct source *s = &c->files[file];
    const struct subset_values *v = &s->subsets;
    struct subset_row r;
    char a[24], low[24], high[24];
    bool rejects = source_rejects(s);
    snprintf(r.cell[SUBSET_ROW_FILE], sizeof r.cell[0], "%d", file + 1);
    cell_method(r.cell[SUBSET_ROW_METHOD], s);
    cell_n(r.cell[SUBSET_ROW_N], s->n);
    cell_number(r.cell[SUBSET_ROW_ALPHA], "%g", rejects ? s->alpha : NAN);
    snprintf(r.cell[SUBSET_ROW_ROUNDS], sizeof r.cell[0], "%s", rejects ? s->rounds : "-");
    snprintf(r.cell[SUBSET_ROW_DRAWS], sizeof r.cell[0], "%lld", (long long)v->draws);
    const double percent[] = {1, 100, 100};
    for (int k = 0; k < SUBSET_TOKENS; k++)
        put_value(r.cell[SUBSET_ROW_VALUES + k], k ? "%.1f %%" : "%.4f", k ? "%.1f" : "%.4f",
                  v->mean[k], v->interval[k], percent[k]);
    const struct interval *tokens = &v->interval[SUBSET_TOKENS];
    snprintf(r.cell[SUBSET_ROW_VALUES + SUBSET_TOKENS], sizeof r.cell[0], "%s (%s to %s)",
             format_count(a, v->mean[SUBSET_TOKENS]), format_count(low, tokens->low),
             format_count(high, tokens->high));
    return r;
}

/* Method to rounds stand in the table of files above. */
static bool is_printed(int column)
{
    return column == SUBSET_ROW_FILE || column >= SUBSET_ROW_DRAWS;
}

void subset_rows_print(const struct comparison *c, FILE *out)
{
    static const int wide[SUBSET_ROW_COLUMNS] = {4, 0, 0, 0, 0, 7, 26, 27, 27, 1};
    if (!subset_rows_any(c)) return;
    fputc('\n', out);
    print_block(out, 2, subset_row_words, strlen(subset_row_words));
    fputc('\n', out);
    for (int k = 0; k < SUBSET_ROW_COLUMNS; k++)
        if (is_printed(k))
            fprintf(out, "%s%*s", k ? "  " : "", k < SUBSET_ROW_VALUES ? wide[k] : -wide[k],
                    subset_row_names[k]);
    fputc('\n', out);
    for (int f = 0; f < c->n_files; f++) {
        if (c->files[f].subsets.draws == 0) continue;
        struct subset_row r = subset_row_of(c, f);
        for (int k = 0; k < SUBSET_ROW_COLUMNS; k++)
            if (is_printed(k))
                fprintf(out, "%s%*s", k ? "  " : "", k < SUBSET_ROW_VALUES ? wide[k] : -wide[k],
                        r.cell[k]);
        fputc('\n', out);
    }
}

void subset_rows_put_columns(json_t *o, const struct subset_values *v)
{
    bool any = v && v->draws > 0;
    json_put(o, "subsets", any ? json_integer(v->draws) : json_null());
    for (int k = 0; k < SUBSET_VALUES; k++) {
        static const char *const ends[] = {"", "_low", "_high"};
        const double value[] = {any ? v->mean[k] : NAN, any ? v->interval[k].low : NAN,
                                any ? v->interval[k].high : NAN};
        for (int i = 0; i < 3; i++) {
            char key[64];
            snprintf(key, sizeof key, "subsets_%s%s", subset_value_names[k], ends[i]);
            json_put(o, key, json_finite(value[i]));
        }
    }
}
