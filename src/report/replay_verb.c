#include "report/replay_verb.h"

#include "base/json.h"
#include "base/mem.h"
#include "job/schedule.h"
#include "report/print.h"
#include "report/replay_points.h"
#include "report/report.h"
#include "report/subset_rows.h"
#include "report/subsets.h"
#include "report/table.h"
#include "text/json_text.h"

#include <math.h>
#include <stdlib.h>

/* ---- a table ---- */

static void print_times(const struct times *t, FILE *out)
{
    if (!t->is_known) return;
    print_field(
        out, "times",
        "a model, fitted to the %s of this file without what took unusually long (%.1f %% of "
        "their time); on the %lld prompts that it was fitted to it is %+.1f %% off in all, "
        "%.1f %% on one (mean)",
        t->from_trace ? "steps" : "prompts", 100 * t->left_out, (long long)t->n_timed,
        100 * t->error_sum, 100 * t->error_one);
    if (t->from_trace && t->fewest > 1)
        print_field(out, "",
                    "its steps had %lld to %lld candidates; what steps with fewer take is a guess",
                    (long long)t->fewest, (long long)t->most);
}

static void print_head(const struct replay_grid *g, FILE *out)
{
    const struct recording *r = &g->recording;
    const struct costs *c = &g->costs;
    char *scored = schedule_to_text(&r->result.job.score_at);
    print_field(out, "recorded", "%s: Best-of-%lld on %lld prompts, scored on the way: %s",
                r->result.path, (long long)r->result.job.n, (long long)r->n_prompts, scored);
    free(scored);
    if (g->n_approximate)
        print_field(
            out, "replayed",
            "%d points, %lld of them approximate: where a round's length was not recorded, the "
            "longest one before it stands in",
            g->n, (long long)g->n_approximate);
    else
        print_field(out, "replayed", "%d points, exactly", g->n);
    print_times(&c->times, out);
    if (c->why_not) print_field(out, "not known", "some costs: %s", c->why_not);
}

/* ---- for programs ---- */

static const struct column {
    const char *name;
    size_t offset; /* of a double in struct compare_row */
} columns[] = {
    {"rounds_per_prompt", offsetof(struct compare_row, rounds)},
    {"best_reward", offsetof(struct compare_row, best_reward)},
    {"improvement_score", offsetof(struct compare_row, score)},
    {"improvement_score_low", offsetof(struct compare_row, score_interval.low)},
    {"improvement_score_high", offsetof(struct compare_row, score_interval.high)},
    {"share_kept", offsetof(struct compare_row, kept)},
    {"share_kept_low", offsetof(struct compare_row, kept_interval.low)},
    {"share_kept_high", offsetof(struct compare_row, kept_interval.high)},
    {"winners_survived", offsetof(struct compare_row, survival)},
    {"regret", offsetof(struct compare_row, regret)},
    {"tokens_generated", offsetof(struct compare_row, total[AMOUNT_TOKENS_GENERATED])},
    {"tokens_scored", offsetof(struct compare_row, total[AMOUNT_TOKENS_SCORED])},
    {"flops", offsetof(struct compare_row, total[AMOUNT_FLOPS])},
    {"bytes", offsetof(struct compare_row, total[AMOUNT_BYTES])},
    {"wall_s_model", offsetof(struct compare_row, total[AMOUNT_WALL_S])},
    {"compute_s_model", offsetof(struct compare_row, total[AMOUNT_COMPUTE_S])},
    {"relative_compute_model", offsetof(struct compare_row, relative_compute)},
};

/* Names of the columns, or with v its values. */
static void print_subsets(const struct subset_values *v, FILE *out)
{
    json_t *o = json_object(), *value;
    const char *key;
    subset_rows_put_columns(o, v);
    json_object_foreach(o, key, value)
    {
        fputc(',', out);
        if (!v)
            fputs(key, out);
        else if (!json_is_null(value))
            fprintf(out, "%.17g", json_number_value(value));
    }
    json_decref(o);
}

static void print_csv(const struct comparison *c, FILE *out)
{
    char *reference = c->reference < 0 ? mem_strdup("") : reference_text(&c->files[c->reference]);
    fprintf(out, "point_id,method,n,alpha,rounds,budget_tokens,seed,exact,reference");
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++)
        fprintf(out, ",%s", columns[k].name);
    if (subset_rows_any(c)) print_subsets(NULL, out);
    fputc('\n', out);
    for (int f = 0; f < c->n_files; f++) {
        const struct source *s = &c->files[f];
        const struct entry *budget = entries_find(&s->keys, "budget_tokens");
        fprintf(out, "%s,%s,%lld,%.17g,\"%s\",%s,%llu,%d,\"%s\"", s->point_id,
                method_name(s->method), (long long)s->n, s->alpha, s->rounds,
                budget ? budget->text : "", (unsigned long long)s->seed, !s->is_approximate,
                reference);
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            double v = *(const double *)((const char *)&c->rows[f] + columns[k].offset);
            if (isfinite(v))
                fprintf(out, ",%.17g", v);
            else
                fputc(',', out);
        }
        if (subset_rows_any(c)) print_subsets(&s->subsets, out);
        fputc('\n', out);
    }
    free(reference);
}

static void print_json(const struct replay_grid *g, const struct comparison *c, FILE *out)
{
    const struct averages one_seed = {0}; /* nothing to average: a recording has one seed */
    json_t *o = report_json(c, &one_seed), *value;
    const char *key;
    const struct costs *m = &g->costs;
    const struct times *t = &m->times;
    json_object_set_new(o, "kind", json_string("replay"));
    json_object_set_new(o, "recorded", json_text(g->recording.result.path));
    json_object_set_new(o, "times_from", json_text(t->from_trace ? "steps" : "prompts"));
    json_object_set_new(o, "time_error", json_finite(t->is_known ? t->error_sum : NAN));
    json_object_set_new(o, "time_error_of_a_prompt", json_finite(t->is_known ? t->error_one : NAN));
    json_object_set_new(o, "time_fewest_candidates", json_integer(t->fewest));
    json_object_set_new(o, "time_left_out", json_finite(t->is_known ? t->left_out : NAN));
    json_object_set_new(o, "not_known", m->why_not ? json_text(m->why_not) : json_null());
    fputs("{\n", out);
    json_object_foreach(o, key, value)
    {
        fprintf(out, "  \"%s\": ", key);
        json_dumpf(value, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
        fputs(",\n", out);
    }
    fputs("  \"report\": ", out);
    replay_points_write(g, c->files, c->n_files, out);
    fputs("\n}\n", out);
    json_decref(o);
}

int replay_file(const char *path, const struct replay_options *o, FILE *out, struct err *e)
{
    struct replay_grid g = {0};
    struct comparison c = {0};
    struct reference reference;
    int rc = reference_parse(&reference, o->reference, e);
    if (rc == 0) rc = replay_grid_make(&g, path, &o->grid, e);
    if (rc == 0) rc = subsets_make(&g, o->grid.subsets, e);
    if (rc == 0) rc = comparison_of(&c, replay_grid_take(&g), g.n, &reference, e);
    if (rc == 0 && o->form == REPLAY_JSON) print_json(&g, &c, out);
    if (rc == 0 && o->form == REPLAY_CSV) print_csv(&c, out);
    if (rc == 0 && o->form == REPLAY_TABLE) {
        print_head(&g, out);
        table_print(&c, &(struct averages){0}, !o->quiet, out);
    }
    comparison_free(&c);
    replay_grid_close(&g);
    reference_free(&reference);
    return rc;
}
