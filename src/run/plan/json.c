/* A plan for programs: SI units, the names of the struct's fields. */
#include "base/json.h"
#include "run/plan/plan.h"
#include "text/json_text.h"

#include <math.h>
#include <string.h>

static void set(json_t *o, const char *key, double v)
{
    json_object_set_new(o, key, json_finite(v));
}

static void set_count(json_t *o, const char *key, int64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_text(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, v ? json_text(v) : json_null());
}

static json_t *notes_json(const struct plan_notes *s, enum note_kind kind)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].kind == kind) json_array_append_new(list, json_text(s->items[i].text));
    return list;
}

static json_t *hardware_json(const struct hardware *h)
{
    json_t *o = json_object(), *figures = json_object();
    set_text(o, "name", h->name);
    set_text(o, "backend", h->is_cuda ? "cuda" : "cpu");
    set_text(o, "dtype", dtype_name(h->dtype));
    for (int f = 0; f < FIGURES; f++) {
        json_t *x = json_object();
        set(x, "value", h->figures[f].value);
        set_text(x, "source", figure_source_name(h->figures[f].source));
        json_object_set_new(figures, figure_unit((enum figure_id)f)->key, x);
    }
    json_object_set_new(o, "figures", figures);
    return o;
}

static json_t *models_json(const struct plan_inputs *in)
{
    json_t *list = json_array();
    for (int i = 0; i < 3; i++) {
        const struct plan_model *m = &in->models[i];
        if (!m->folder || !m->has_arch) continue;
        json_t *o = json_object();
        set_text(o, "role", m->role);
        set_text(o, "folder", m->folder);
        set_text(o, "architecture", m->arch.name);
        set_count(o, "parameters", arch_n_parameters(&m->arch));
        set_count(o, "tensors", (int64_t)m->n_tensors);
        set(o, "bytes", m->bytes);
        json_object_set_new(o, "config_only", json_boolean(m->config_only));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *prompts_json(const struct plan_inputs *in)
{
    json_t *o = json_object();
    set_count(o, "n", in->n);
    set_count(o, "skipped", in->n_skipped);
    set_count(o, "shortest", in->shortest);
    set_count(o, "median", in->median);
    set_count(o, "longest", in->longest);
    json_object_set_new(o, "guessed", json_boolean(in->lengths_guessed));
    return o;
}

static json_t *memory_json(const struct point_memory *m)
{
    json_t *o = json_object();
    set(o, "device_bytes", m->device);
    set(o, "generator_weights_bytes", m->weights[0]);
    set(o, "reward_weights_bytes", m->weights[1]);
    set(o, "workspace_bytes", m->workspace);
    set(o, "generator_kv_bytes", m->kv[0]);
    set(o, "reward_kv_bytes", m->kv[1]);
    set(o, "taken_bytes", m->taken);
    set_count(o, "budget_tokens", m->budget_tokens);
    return o;
}

static json_t *phases_json(const struct phases *x)
{
    json_t *o = json_object();
    set(o, "prefill_s", x->prefill_s);
    set(o, "generate_s", x->generate_s);
    set(o, "score_s", x->score_s);
    return o;
}

static json_t *point_json(const struct plan_point *p)
{
    json_t *o = json_object(), *prompt = json_object();
    set_text(o, "point", p->id);
    set_text(o, "method", method_name(p->job->method));
    set(o, "alpha", p->job->alpha);
    set_count(o, "tensor", p->tensor);
    set_count(o, "groups", p->groups);
    set_count(o, "n_least", p->n_least);
    set_count(o, "n_most", p->n_most);
    set_count(o, "n_fits", p->n_fits);
    set_count(o, "n_simulated", p->n_simulated ? p->n_simulated : p->n_most);
    json_object_set_new(o, "memory", memory_json(&p->memory));
    set_count(prompt, "tokens_generated", p->mean_work.tokens);
    set_count(prompt, "tokens_scored", p->mean_work.rows_scored);
    set_count(prompt, "rounds", p->mean_work.rounds);
    set_count(prompt, "evictions", p->mean_work.evictions);
    set(prompt, "floor_s", p->mean.floor_s);
    set(prompt, "expected_s", p->mean.expected_s);
    set(prompt, "exchange_s", p->mean.exchange_s);
    set(prompt, "of_best_of_n_tokens", p->of_best_of_n_tokens);
    set(prompt, "of_best_of_n_time", p->of_best_of_n_time);
    json_object_set_new(prompt, "floor", phases_json(&p->mean.floor));
    json_object_set_new(prompt, "expected", phases_json(&p->mean.expected));
    json_object_set_new(o, "prompt", prompt);
    set_count(o, "prompts", p->n_prompts);
    set(o, "start_s", p->start_s);
    set(o, "judge_s", p->judge_s);
    set(o, "job_floor_s", p->job_floor_s);
    set(o, "job_s", p->job_s);
    set(o, "file_bytes", p->file_bytes);
    return o;
}

static json_t *cell_json(const struct scale *t, const struct scale_row *r, int k)
{
    const struct scale_cell *c = &r->cells[k];
    json_t *o = json_object();
    set_count(o, "tensor", t->tensors[k]);
    set_count(o, "groups", r->ranks / t->tensors[k]);
    set(o, "strong_s", c->strong_s);
    set(o, "weak_s", c->weak_s);
    set(o, "shared_prompt_s", c->candidate_s);
    return o;
}

static json_t *scale_json(const struct scale *t)
{
    json_t *rows = json_array();
    for (int i = 0; i < t->n_rows; i++) {
        const struct scale_row *r = &t->rows[i];
        json_t *o = json_object(), *cells = json_array();
        set_count(o, "ranks", r->ranks);
        set_count(o, "nodes", r->nodes);
        for (int k = 0; k < SCALE_TENSORS; k++)
            if (r->cells[k].fits) json_array_append_new(cells, cell_json(t, r, k));
        json_object_set_new(o, "splits", cells);
        json_object_set_new(o, "fastest_tensor",
                            r->best < 0 ? json_null() : json_integer(t->tensors[r->best]));
        set(o, "speedup", r->best < 0 ? NAN : r->speedup);
        set(o, "efficiency", r->best < 0 ? NAN : r->efficiency);
        set(o, "weak_efficiency", r->best < 0 ? NAN : r->weak_efficiency);
        set(o, "rank_hours", r->best < 0 ? NAN : r->rank_hours);
        json_array_append_new(rows, o);
    }
    return rows;
}

static json_t *output_json(const struct plan *p)
{
    json_t *o = json_object();
    set_text(o, "path", p->output.path);
    set_text(o, "file_system", p->output.file_system);
    set(o, "free_bytes", p->output.free_bytes);
    return o;
}

json_t *plan_to_json(const struct plan *p)
{
    json_t *root = json_object(), *points = json_array();
    set_text(root, "job", p->file);
    set_count(root, "ranks", p->ranks);
    json_object_set_new(root, "problems", notes_json(&p->notes, NOTE_PROBLEM));
    json_object_set_new(root, "warnings", notes_json(&p->notes, NOTE_WARNING));
    json_object_set_new(root, "assumptions", notes_json(&p->notes, NOTE_ASSUMPTION));
    json_object_set_new(root, "hardware", hardware_json(&p->hardware));
    json_object_set_new(root, "models", models_json(&p->inputs));
    json_object_set_new(root, "prompts", prompts_json(&p->inputs));
    json_object_set_new(root, "output", output_json(p));
    for (int64_t i = 0; i < p->n_points; i++)
        json_array_append_new(points, point_json(&p->points[i]));
    json_object_set_new(root, "points", points);
    json_object_set_new(root, "scaling", scale_json(&p->scale));
    set(root, "program_bytes", p->program_bytes);
    set_text(root, "submit", p->n_points > 0 ? p->submit : NULL);
    return root;
}
