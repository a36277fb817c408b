/* Live candidates and KV memory over the tokens generated, of one Speculative Rejection point: one
 * prompt and the mean over the prompts.
 *
 * Live candidates advance together, and one that was rejected ends with the tokens it had in that
 * round; so the candidates' lengths alone say who is live when:
 *     before the round at t tokens   those longer than t, and those rejected with t tokens
 *     after it                       those longer than t
 * This is exact but for compat: paper_code_2024, where a round may cut a complete candidate, too:
 * such a one counts as live up to the end that it came to, as it was.
 * KV in use: whole pages of PAGE_TOKENS tokens; the prompt's once, and of each live candidate all
 * tokens but the newest (decode/sequence.h), which the step after the round writes. */
#include "report/figures/figure.h"

#include "base/mem.h"
#include "decode/sequence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SAMPLES 1000      /* of the mean, along the tokens */
#define MAX_LENGTH  (1 << 20) /* tokens of a response that is drawn */

/* A candidate's end. */
struct end {
    int64_t n_tokens;
    bool is_rejected; /* by a round */
};

/* One prompt of one file. */
struct track {
    struct end *ends; /* owned [n], by tokens */
    int64_t longest, n, prompt_pages, rounds;
};

struct sawtooth {
    int point;           /* the one that is drawn; -1: there is none */
    int64_t budget;      /* of its first prompt, tokens; 0: not known */
    bool is_incomplete;  /* not all candidates were recorded */
    int64_t example;     /* number of the prompt that is drawn: the one with the most rounds */
    int64_t example_row; /* its index in the dataset */
    struct {
        struct track *items; /* owned; of all seeds */
        size_t n, cap;
    } tracks;
};

/* The largest N, of it the alpha nearest to one half. */
static int choose_point(const struct figure_scene *s)
{
    int best = -1;
    for (int i = 0; i < s->a->n; i++) {
        const struct source *x = figure_source(s, i);
        if (!source_rejects(x) || x->is_replayed || !(x->alpha > 0)) continue;
        const struct source *y = best < 0 ? NULL : figure_source(s, best);
        if (!y || x->n > y->n || (x->n == y->n && fabs(x->alpha - 0.5) < fabs(y->alpha - 0.5)))
            best = i;
    }
    return best;
}

static void *create(const struct figure_scene *s)
{
    struct sawtooth *t = mem_calloc(1, sizeof *t);
    t->point = choose_point(s);
    t->example = -1;
    return t;
}

static unsigned wants(const void *state, const struct figure_scene *s, int file, int point)
{
    (void)s, (void)file;
    return ((const struct sawtooth *)state)->point == point ? SEE_CANDIDATES | SEE_ROUNDS : 0;
}

static int by_tokens(const void *a, const void *b)
{
    int64_t x = ((const struct end *)a)->n_tokens, y = ((const struct end *)b)->n_tokens;
    return (x > y) - (x < y);
}

static void see(void *state, const struct figure_scene *s, const struct figure_view *v)
{
    struct sawtooth *t = state;
    struct track x = {.n = v->n_candidates,
                      .prompt_pages = pages_of(v->row->prompt_tokens),
                      .rounds = v->row->rounds};
    (void)s;
    if (v->n_candidates < v->row->n) {
        t->is_incomplete = true;
        return;
    }
    x.ends = mem_calloc((size_t)x.n, sizeof *x.ends);
    for (int64_t i = 0; i < x.n; i++) {
        const struct candidate_row *c = &v->candidates[i];
        x.ends[i] = (struct end){c->n_tokens, c->status == CANDIDATE_REJECTED};
    }
    qsort(x.ends, (size_t)x.n, sizeof *x.ends, by_tokens);
    if (x.n > 0) x.longest = x.ends[x.n - 1].n_tokens;
    if (t->example < 0 || x.rounds > t->tracks.items[t->example].rounds) {
        t->example = (int64_t)t->tracks.n;
        t->example_row = v->row->prompt_index;
    }
    if (v->n_rounds > 0 && t->budget == 0) t->budget = v->rounds[0].budget_tokens;
    ARRAY_PUSH(t->tracks, x);
}

static void destroy(void *state)
{
    struct sawtooth *t = state;
    for (size_t i = 0; i < t->tracks.n; i++) free(t->tracks.items[i].ends);
    free(t->tracks.items);
    free(t);
}

/* ---- the curves ---- */

/* A moment: live candidates and KV tokens, before and after what ends at `t` tokens. */
struct moment {
    double live[2], kv[2];
};

/* live: those longer than t - 1 tokens; brought to t. */
static struct moment moment_at(const struct track *x, int64_t t, int64_t *live)
{
    struct moment m = {{0}, {0}};
    int64_t rejected = 0;
    for (; *live > 0 && x->ends[x->n - *live].n_tokens <= t; --*live)
        rejected += x->ends[x->n - *live].is_rejected;
    int64_t before = *live + rejected;
    m.live[0] = (double)before;
    m.live[1] = (double)*live;
    if (before > 0)
        m.kv[0] =
            (double)((x->prompt_pages + before * pages_of(sequence_kv_tokens(t))) * PAGE_TOKENS);
    if (*live > 0) m.kv[1] = (double)((x->prompt_pages + *live * pages_of(t)) * PAGE_TOKENS);
    return m;
}

/* t, live candidates, KV tokens: only where something changes. */
static void put_example(FILE *f, const struct track *x)
{
    double last_live = (double)x->n, last_kv = (double)(x->prompt_pages * PAGE_TOKENS);
    int64_t live = x->n;
    fprintf(f, "$prompt << END\n0 %.0f %.0f\n", last_live, last_kv);
    for (int64_t t = 1; t <= x->longest; t++) {
        struct moment m = moment_at(x, t, &live);
        for (int k = 0; k < 2; k++) {
            if (m.live[k] == last_live && m.kv[k] == last_kv) continue;
            fprintf(f, "%lld %.0f %.0f\n", (long long)t, last_live, last_kv);
            fprintf(f, "%lld %.0f %.0f\n", (long long)t, m.live[k], m.kv[k]);
            last_live = m.live[k];
            last_kv = m.kv[k];
        }
    }
    fputs("END\n", f);
}

static void put_mean(FILE *f, const struct sawtooth *s, int64_t longest)
{
    struct moment *sum = mem_calloc((size_t)longest + 1, sizeof *sum);
    for (size_t i = 0; i < s->tracks.n; i++) {
        int64_t live = s->tracks.items[i].n;
        for (int64_t t = 1; t <= longest && live > 0; t++) {
            struct moment m = moment_at(&s->tracks.items[i], t, &live);
            for (int k = 0; k < 2; k++) {
                sum[t].live[k] += m.live[k] / (double)s->tracks.n;
                sum[t].kv[k] += m.kv[k] / (double)s->tracks.n;
            }
        }
    }
    int64_t stride = longest / MAX_SAMPLES + 1;
    fputs("$mean << END\n", f);
    for (int64_t t = 1; t <= longest; t += stride)
        for (int k = 0; k < 2; k++)
            fprintf(f, "%lld %.6g %.6g\n", (long long)t, sum[t].live[k], sum[t].kv[k]);
    fputs("END\n", f);
    free(sum);
}

/* Most KV tokens of any prompt. */
static double peak_of(const struct sawtooth *s)
{
    double peak = 0;
    for (size_t i = 0; i < s->tracks.n; i++) {
        const struct track *x = &s->tracks.items[i];
        int64_t live = x->n;
        for (int64_t t = 1; t <= x->longest; t++) {
            struct moment m = moment_at(x, t, &live);
            peak = fmax(peak, fmax(m.kv[0], m.kv[1]));
        }
    }
    return peak;
}

/* The budget where it says something: a far larger one would leave the curves at the bottom. */
static void put_plots(FILE *f, const struct sawtooth *t)
{
    bool with_budget = t->budget > 0 && 3 * peak_of(t) >= (double)t->budget;
    fprintf(
        f,
        "set multiplot layout 2,1\nset lmargin 10\nset rmargin 2\nunset key\n"
        "set yrange [0:*]\nset offsets 0, 0, graph 0.06, 0\nset format x \"\"\nset bmargin "
        "0.6\nset tmargin 1\n"
        "set ylabel \"live candidates\"\n"
        "plot $mean using 1:2 with lines linetype 2 linewidth 2 title \"mean\", \\\n"
        "     $prompt using 1:2 with lines linetype 1 linewidth 2 title \"prompt %lld\"\n"
        "set format x \"%%g\"\nset key below left Left reverse\nunset bmargin\nset tmargin 0.6\n"
        "set xlabel \"tokens generated by each live candidate\"\n"
        "set ylabel \"KV tokens, in pages\"\n",
        (long long)t->example_row);
    if (with_budget) fprintf(f, "budget = %lld\n", (long long)t->budget);
    fprintf(f,
            "plot $mean using 1:3 with lines linetype 2 linewidth 2 title \"mean\", \\\n"
            "     $prompt using 1:3 with lines linetype 1 linewidth 2 title \"prompt %lld\"%s\n"
            "unset multiplot\n",
            (long long)t->example_row,
            with_budget ? ", \\\n     budget with lines linetype 7 dashtype 2 title \"budget\""
                        : "");
}

static bool write_sawtooth(const void *state, const struct figure_scene *s, FILE *f,
                           struct figure_words *w)
{
    const struct sawtooth *t = state;
    char label[FIGURE_LABEL];
    int64_t longest = 0;
    if (t->point < 0) {
        strcpy(w->why, "no Speculative Rejection run with an alpha above 0 is among the files");
        return false;
    }
    figure_label(label, s, t->point);
    if (t->tracks.n == 0 || t->is_incomplete) {
        snprintf(w->why, sizeof w->why,
                 "%s did not record all of its candidates (record.candidates)", label);
        return false;
    }
    for (size_t i = 0; i < t->tracks.n; i++)
        if (t->tracks.items[i].longest > longest) longest = t->tracks.items[i].longest;
    if (longest > MAX_LENGTH) {
        snprintf(w->why, sizeof w->why, "%s has responses of more than %d tokens", label,
                 MAX_LENGTH);
        return false;
    }
    put_example(f, &t->tracks.items[t->example]);
    put_mean(f, t, longest);
    put_plots(f, t);
    char budget[64] = "";
    if (t->budget > 0)
        snprintf(budget, sizeof budget, ", of a budget of %lld", (long long)t->budget);
    snprintf(w->caption, sizeof w->caption,
             "%s: candidates that are live, and KV tokens in use by them and the prompt, in whole "
             "pages of %d tokens%s.  One prompt (the first with the most "
             "rounds) and the mean over "
             "the prompts and seeds.",
             label, PAGE_TOKENS, budget);
    w->height = 480;
    return true;
}

const struct figure_kind figure_sawtooth = {
    .name = "sawtooth",
    .title = "Live candidates and KV memory over tokens",
    .create = create,
    .wants = wants,
    .see = see,
    .destroy = destroy,
    .write = write_sawtooth,
};
