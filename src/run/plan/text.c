/* A plan for a person. */
#include "base/clock.h"
#include "run/plan/plan.h"

#include <math.h>
#include <stdarg.h>

struct text {
    char s[32];
};

static struct text bytes_text(double v)
{
    struct text t;
    if (v >= 0x1p30)
        snprintf(t.s, sizeof t.s, "%.2f GiB", v / 0x1p30);
    else
        snprintf(t.s, sizeof t.s, "%.1f MiB", v / 0x1p20);
    return t;
}

static struct text seconds_text(double v)
{
    struct text t;
    clock_text(t.s, v);
    return t;
}

static struct text count_text(double v)
{
    struct text t;
    const char *unit = v >= 1e9 ? "G" : v >= 1e6 ? "M" : v >= 1e4 ? "k" : "";
    double scale = v >= 1e9 ? 1e9 : v >= 1e6 ? 1e6 : v >= 1e4 ? 1e3 : 1;
    snprintf(t.s, sizeof t.s, scale > 1 ? "%.1f%s" : "%.0f%s", v / scale, unit);
    return t;
}

static void print_models(const struct plan *p, FILE *out)
{
    fprintf(out, "\nModels\n");
    for (int i = 0; i < 3; i++) {
        const struct plan_model *m = &p->inputs.models[i];
        if (!m->folder) continue;
        fprintf(out, "  %-10s %s: %s parameters, ", m->role, m->arch.name,
                count_text((double)arch_n_parameters(&m->arch)).s);
        if (m->n_tensors > 0)
            fprintf(out, "all %zu tensors there, %s", m->n_tensors, bytes_text(m->bytes).s);
        else
            fprintf(out, "%s", m->config_only ? "config.json alone: a what-if" : "random weights");
        fprintf(out, "\n             %s\n", m->folder);
    }
}

static void print_prompts(const struct plan *p, FILE *out)
{
    const struct plan_inputs *in = &p->inputs;
    fprintf(out,
            "\nPrompts\n  %lld, of %lld to %lld tokens (median %lld)%s; %lld would be skipped as "
            "too long\n",
            (long long)in->n, (long long)in->shortest, (long long)in->longest,
            (long long)in->median, in->lengths_guessed ? ", guessed from bytes" : "",
            (long long)in->n_skipped);
    fprintf(out, "  responses of %.0f tokens on average, if nothing rejects them, at most %lld\n",
            lengths_mean_of(&p->lengths), (long long)p->lengths.max_new);
}

static void print_output(const struct plan *p, FILE *out)
{
    double bytes = 0;
    for (int64_t i = 0; i < p->n_points; i++) bytes += p->points[i].file_bytes;
    fprintf(out, "\nResults\n  %s\n  about %s in all; %s free on %s (%s)\n", p->output.path,
            bytes_text(bytes).s, bytes_text(p->output.free_bytes).s, p->output.folder,
            p->output.file_system);
}

static void print_memory(const char *title, const struct point_memory *m, FILE *out)
{
    fprintf(out, "\n%s\n", title);
    fprintf(out, "  weights      %10s", bytes_text(m->weights[0] + m->weights[1]).s);
    if (m->weights[0] > 0 && m->weights[1] > 0)
        fprintf(out, "   generator %s, reward %s", bytes_text(m->weights[0]).s,
                bytes_text(m->weights[1]).s);
    fprintf(out, "\n  workspace    %10s\n", bytes_text(m->workspace).s);
    fprintf(out, "  KV pages     %10s", bytes_text(m->kv[0] + m->kv[1]).s);
    if (m->kv[0] > 0 && m->kv[1] > 0)
        fprintf(out, "   generator %s, reward %s", bytes_text(m->kv[0]).s, bytes_text(m->kv[1]).s);
    fprintf(out, "\n  together     %10s   of %s\n", bytes_text(m->taken).s,
            bytes_text(m->device).s);
}

static void print_budget(const struct plan *p, FILE *out)
{
    const struct plan_point *x = &p->points[0];
    fprintf(out, "  beside it    %10s   the process: libraries, texts (measured: this one), MPI\n",
            bytes_text(p->program_bytes).s);
    fprintf(out,
            "  budget_tokens %lld a prompt; the largest n of which all reach min_round_tokens: "
            "%lld\n",
            (long long)x->memory.budget_tokens, (long long)x->n_fits);
    if (p->inputs.models[2].folder)
        print_memory("Memory of a rank while the judge works", &x->judge_memory, out);
}

static void print_points(const struct plan *p, FILE *out)
{
    double sum = 0, floor = 0;
    fprintf(out, "\nPoints: a prompt on average, and the job on %lld rank%s\n", (long long)p->ranks,
            p->ranks == 1 ? "" : "s");
    fprintf(out, "  %-12s  %-21s %6s %5s %6s  %9s %9s %9s %9s %9s %9s\n", "point", "method", "N",
            "alpha", "rounds", "tokens", "scored", "floor", "expected", "job floor", "job");
    for (int64_t i = 0; i < p->n_points; i++) {
        const struct plan_point *x = &p->points[i];
        const struct job *j = x->job;
        char n[32], alpha[16] = "-";
        snprintf(n, sizeof n, x->n_least < x->n_most ? "%lld+" : "%lld", (long long)x->n_least);
        if (j->method == METHOD_SPECULATIVE_REJECTION)
            snprintf(alpha, sizeof alpha, "%g", j->alpha);
        fprintf(out, "  %-12s  %-21s %6s %5s %6lld  %9s %9s %9s %9s %9s %9s\n", x->id,
                method_name(j->method), n, alpha, (long long)x->mean_work.rounds,
                count_text((double)x->mean_work.tokens).s,
                count_text((double)x->mean_work.rows_scored).s, seconds_text(x->mean.floor_s).s,
                seconds_text(x->mean.expected_s).s, seconds_text(x->job_floor_s).s,
                seconds_text(x->job_s).s);
        sum += x->job_s;
        floor += x->job_floor_s;
    }
    if (p->n_points > 1)
        fprintf(out, "  %-12s  %92s %9s\n", "all", seconds_text(floor).s, seconds_text(sum).s);
    const struct plan_point *x = &p->points[0];
    fprintf(out,
            "  of the first: start %s, prefill %s + decoding %s + scoring %s a prompt, %s of it "
            "exchanges",
            seconds_text(x->start_s).s, seconds_text(x->mean.expected.prefill_s).s,
            seconds_text(x->mean.expected.generate_s).s, seconds_text(x->mean.expected.score_s).s,
            seconds_text(x->mean.exchange_s).s);
    if (x->judge_s > 0) fprintf(out, "; judge %s", seconds_text(x->judge_s).s);
    fprintf(out, "\n");
}

static void print_cell(const struct scale_cell *c, FILE *out)
{
    fprintf(out, " %9s", c->fits ? seconds_text(c->strong_s).s : "-");
}

static void print_scale(const struct plan *p, FILE *out)
{
    const struct scale *t = &p->scale;
    const char *rank = p->hardware.is_cuda ? "GPUs" : "ranks";
    fprintf(out,
            "\nScaling of the first point: the job's time by tensor, then of the fastest; weak: "
            "%lld prompts a group\n",
            (long long)t->weak_prompts);
    fprintf(out, "  %6s %6s", rank, "nodes");
    for (int k = 0; k < SCALE_TENSORS; k++) fprintf(out, "  tensor %lld", (long long)t->tensors[k]);
    fprintf(out, " %8s %8s %9s %11s %9s %12s\n", "fastest", "speedup", "strong", "rank-hours",
            "weak", "one prompt");
    for (int i = 0; i < t->n_rows; i++) {
        const struct scale_row *r = &t->rows[i];
        fprintf(out, "  %6lld %6lld", (long long)r->ranks, (long long)r->nodes);
        for (int k = 0; k < SCALE_TENSORS; k++) print_cell(&r->cells[k], out);
        if (r->best < 0) {
            fprintf(out, " %8s\n", "-");
            continue;
        }
        fprintf(out, " %8lld %8.1f %8.1f%% %11.2f %8.1f%% %12s\n", (long long)t->tensors[r->best],
                r->speedup, 100 * r->efficiency, r->rank_hours, 100 * r->weak_efficiency,
                seconds_text(r->cells[r->best].candidate_s).s);
    }
    fprintf(out, "  strong, weak: efficiency; one prompt: when all groups share it (split: "
                 "candidates)\n");
}

static void print_figures(const struct hardware *h, FILE *out)
{
    fprintf(out, "\nFigures (--hardware KEY=VALUE gives another): %s\n", h->name);
    for (int f = 0; f < FIGURES; f++) {
        const struct figure_unit *u = figure_unit((enum figure_id)f);
        fprintf(out, "  %-16s %9.4g %-8s %-11s %s\n", u->key, h->figures[f].value / u->scale,
                u->unit, figure_source_name(h->figures[f].source), u->meaning);
    }
}

static void print_notes(const struct plan *p, enum note_kind kind, const char *title, FILE *out)
{
    if (notes_count(&p->notes, kind) > 0) fprintf(out, "\n%s\n", title);
    for (size_t i = 0; i < p->notes.n; i++)
        if (p->notes.items[i].kind == kind) fprintf(out, "  - %s\n", p->notes.items[i].text);
}

static void print_line(FILE *out, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void print_line(FILE *out, const char *what, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(out, "  %-8s", what);
    vfprintf(out, fmt, ap);
    fputc('\n', out);
    va_end(ap);
}

static void print_fit(const struct plan *p, FILE *out)
{
    const struct plan_point *x = &p->points[0];
    bool rejects = false;
    for (int64_t i = 0; i < p->n_points; i++) {
        if (p->points[i].memory.taken > x->memory.taken) x = &p->points[i];
        rejects |= p->points[i].job->method == METHOD_SPECULATIVE_REJECTION;
    }
    char first_round[64] = "";
    if (rejects)
        snprintf(first_round, sizeof first_round, ": n up to %lld reach the first round",
                 (long long)x->n_fits);
    print_line(out, "fits", "%s: a rank takes %s of %s and %s beside it; %lld KV tokens a prompt%s",
               p->inputs.what_if ? "it would (no weights here: the job itself cannot run)" : "yes",
               bytes_text(x->memory.taken).s, bytes_text(x->memory.device).s,
               bytes_text(p->program_bytes).s, (long long)x->memory.budget_tokens, first_round);
}

static void print_time(const struct plan *p, FILE *out)
{
    double sum = 0, least = INFINITY, most = 0;
    for (int64_t i = 0; i < p->n_points; i++) {
        double s = p->points[i].job_s;
        sum += s;
        if (s < least) least = s;
        if (s > most) most = s;
    }
    if (p->n_points > 1)
        print_line(out, "takes", "%s on %lld rank%s, a point %s to %s", seconds_text(sum).s,
                   (long long)p->ranks, p->ranks == 1 ? "" : "s", seconds_text(least).s,
                   seconds_text(most).s);
    else
        print_line(out, "takes", "%s on %lld rank%s", seconds_text(sum).s, (long long)p->ranks,
                   p->ranks == 1 ? "" : "s");
    const struct figure *f = &p->hardware.figures[FIGURE_EFFICIENCY];
    bool guessed = f->source == FIGURE_ASSUMED;
    if (p->is_bound)
        print_line(out, "",
                   "at most: all answers are taken to %lld tokens%s; better: --like "
                   "FILE.h5, a result of a few prompts",
                   (long long)p->lengths.max_new,
                   guessed ? ", the machine's efficiency guessed" : "");
    else if (guessed)
        print_line(out, "",
                   "with efficiency %g, which is guessed; better: --like FILE.h5, a result "
                   "of a few prompts",
                   f->value);
}

/* Of the values that are there: NaN is none. */
struct range {
    double least, most;
    int64_t n;
};

static void range_add(struct range *r, double v)
{
    if (isnan(v)) return;
    if (r->n == 0 || v < r->least) r->least = v;
    if (r->n == 0 || v > r->most) r->most = v;
    r->n++;
}

static struct text range_text(const struct range *r, double scale, const char *unit)
{
    struct text t;
    double least = round(r->least * scale), most = round(r->most * scale);
    if (least < most)
        snprintf(t.s, sizeof t.s, "%.0f to %.0f%s", least, most, unit);
    else
        snprintf(t.s, sizeof t.s, "%.0f%s", least, unit);
    return t;
}

static void print_rejection(const struct plan *p, FILE *out)
{
    struct range rounds = {0}, tokens = {0}, time = {0};
    for (int64_t i = 0; i < p->n_points; i++) {
        const struct plan_point *x = &p->points[i];
        if (x->job->method != METHOD_SPECULATIVE_REJECTION) continue;
        range_add(&rounds, (double)x->mean_work.rounds);
        range_add(&tokens, 1 - x->of_best_of_n_tokens);
        range_add(&time, 1 - x->of_best_of_n_time);
    }
    if (rounds.n == 0) return;
    print_line(out, "rounds", "%s a prompt, the last of which rejects nothing",
               range_text(&rounds, 1, "").s);
    if (tokens.n > 0)
        print_line(out, "saves", "%s of the tokens and %s of the time of Best-of-N of the same N",
                   range_text(&tokens, 100, " %").s, range_text(&time, 100, " %").s);
}

static void print_summary(const struct plan *p, FILE *out)
{
    double bytes = 0;
    for (int64_t i = 0; i < p->n_points; i++) bytes += p->points[i].file_bytes;
    print_fit(p, out);
    print_time(p, out);
    print_rejection(p, out);
    print_line(out, "prompts", "%lld, of %lld to %lld tokens%s; %lld would be skipped",
               (long long)p->inputs.n, (long long)p->inputs.shortest, (long long)p->inputs.longest,
               p->inputs.lengths_guessed ? " (guessed)" : "", (long long)p->inputs.n_skipped);
    char others[48] = "";
    if (p->n_points > 1)
        snprintf(others, sizeof others, " and %lld more", (long long)p->n_points - 1);
    print_line(out, "writes", "%s%s, about %s in all; %s free", p->output.path, others,
               bytes_text(bytes).s, bytes_text(p->output.free_bytes).s);
    print_line(out, "submit", "%s", p->submit);
}

void plan_print_text(const struct plan *p, FILE *out)
{
    const struct plan_point *x = &p->points[0];
    fprintf(out, "plan of %s: %lld point%s, %lld rank%s = %lld group%s x tensor %lld, %s, %s %s\n",
            p->file, (long long)p->n_points, p->n_points == 1 ? "" : "s", (long long)p->ranks,
            p->ranks == 1 ? "" : "s", (long long)x->groups, x->groups == 1 ? "" : "s",
            (long long)x->tensor, p->hardware.name, p->hardware.is_cuda ? "cuda" : "cpu",
            dtype_name(p->hardware.dtype));
    print_summary(p, out);
    print_notes(p, NOTE_WARNING, "Warnings", out);
    print_points(p, out);
}

void plan_print_details(const struct plan *p, FILE *out)
{
    print_models(p, out);
    print_prompts(p, out);
    print_output(p, out);
    print_memory("Memory of a rank", &p->points[0].memory, out);
    print_budget(p, out);
    print_scale(p, out);
    print_figures(&p->hardware, out);
    print_notes(p, NOTE_ASSUMPTION, "Assumed", out);
}
