/* The figures' data on made-up files whose numbers are counted by hand: the saw-tooth, lost
 * winners, phases, correlations, the judge; and what a figure says when it cannot be drawn. */
#include "report/correlation.h"
#include "report/metrics.h"
#include "report/report.h"
#include "report_place.h"
#include "trace/judge.h"
#include "trace/writer.h"

#include <math.h>

enum { N = 6, PROMPTS = 2, LENGTHS = 2 };

/* ---- made-up files ---- */

/* Final rewards: prompt 0 is won by candidate 4, prompt 1 by candidate 0. */
static const float rewards[PROMPTS][N] = {{1, 2, -3, 4, 7, 5}, {9, 8, 1, 1, 2, 3}};
/* On the way, at 16 and 32 tokens. */
static const float partials[LENGTHS][PROMPTS][N] = {{{2, 1, -1, 3, 2, 6}, {1, 3, 2, 2, 5, 4}},
                                                    {{1, 2, -2, 4, 6, 5.5f}, {7, 8, 1, 2, 2, 4}}};
static const float judged[PROMPTS][N] = {{5, 1, 0, 2, -1, 3}, {0.5f, 2, 3, 1, 1, 4}};

/* Prompt 0 of the rejecting file: round 0 at 17 tokens drops 1 and 2, round 1 at 33 drops 4, the
 * winner; 0 is complete after 10 tokens, 3 and 5 after 40.  Prompt 1: all are complete after 5. */
static const struct {
    int64_t n_tokens;
    int32_t rejected_round;
} ends[PROMPTS][N] = {{{10, -1}, {17, 0}, {17, 0}, {40, -1}, {33, 1}, {40, -1}},
                      {{5, -1}, {5, -1}, {5, 0}, {5, -1}, {5, -1}, {5, -1}}};

/* What a prompt has for its row. */
struct rows {
    struct prompt_row *prompt;
    struct candidate_row *candidates;
    struct partial_reward_row *partials;
};

struct made {
    const char *name, *sets;
    bool rejects, is_scored;
    void (*damage)(struct rows rows); /* NULL: none */
    bool no_budget, is_judged;
};

static void fill_candidates(const struct made *m, int64_t prompt, struct candidate_row *c)
{
    for (int32_t i = 0; i < N; i++) {
        bool lost = m->rejects && prompt == 0 && ends[0][i].rejected_round >= 0;
        c[i] = (struct candidate_row){.prompt_index = prompt,
                                      .candidate = i,
                                      .status = lost ? CANDIDATE_REJECTED : CANDIDATE_FINISHED,
                                      .rejected_round =
                                          m->rejects ? ends[prompt][i].rejected_round : -1,
                                      .reward = rewards[prompt][i],
                                      .judge_reward = NAN,
                                      .n_tokens = m->rejects ? ends[prompt][i].n_tokens : 40,
                                      .tokens_offset = -1,
                                      .text_offset = -1};
    }
}

/* As a run writes them that holds three candidates at a time. */
static int64_t fill_partials(int64_t prompt, struct partial_reward_row *rows)
{
    int64_t n = 0;
    for (int32_t from = 0; from < N; from += 3)
        for (int32_t at = 0; at < LENGTHS; at++)
            for (int32_t i = from; i < from + 3; i++)
                rows[n++] = (struct partial_reward_row){.prompt_index = prompt,
                                                        .round = at,
                                                        .candidate = i,
                                                        .n_tokens = 16 * (at + 1),
                                                        .reward = partials[at][prompt][i]};
    return n;
}

static void commit(struct trace *t, const struct made *m, int64_t prompt)
{
    struct candidate_row c[N];
    struct partial_reward_row p[N * LENGTHS];
    struct round_row rounds[2] = {
        {.prompt_index = prompt, .step = 17, .budget_tokens = 160},
        {.prompt_index = prompt, .round = 1, .step = 33, .budget_tokens = 160}};
    struct trace_record r = {.candidates = c,
                             .n_candidates = N,
                             .rounds = rounds,
                             .n_rounds = m->rejects ? (prompt == 0 ? 2 : 1) : 0,
                             .partial_rewards = p};
    fill_candidates(m, prompt, c);
    if (m->is_scored) r.n_partial_rewards = fill_partials(prompt, p);
    bool winner_lost = m->rejects && prompt == 0;
    r.prompt = (struct prompt_row){.prompt_index = prompt,
                                   .key = "k",
                                   .status = PROMPT_OK,
                                   .rounds = (int32_t)r.n_rounds,
                                   .prompt_tokens = prompt == 0 ? 20 : 16,
                                   .n = N,
                                   .best_candidate = prompt == 1   ? 0
                                                     : winner_lost ? 5
                                                                   : 4,
                                   .wall_s = m->rejects ? 2 : 7,
                                   .prefill_s = 1,
                                   .generate_s = 2,
                                   .score_s = 3,
                                   .comm_s = 0.5,
                                   .wait_s = 0.25 + (double)prompt};
    r.prompt.best_reward = rewards[prompt][r.prompt.best_candidate];
    if (m->no_budget) rounds[0].budget_tokens = rounds[1].budget_tokens = 0;
    if (m->damage) m->damage((struct rows){&r.prompt, c, p});
    struct err e;
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
}

static void judge_rows(void *arg, int64_t row, struct candidate_row *c, int64_t n)
{
    (void)arg;
    for (int64_t i = 0; i < n; i++) c[i].judge_reward = judged[row][i];
}

static void add_file(struct place *p, const struct made *m)
{
    struct job j;
    struct err e;
    char *path = p->paths[p->n_paths++] = mem_printf("%s/%s", p->folder, m->name),
         *sets = mem_printf("n=%d;%s", N, m->sets);
    open_job(p, &j, sets);
    char *yaml = job_to_yaml(&j);
    struct trace_meta meta = {.job_yaml = yaml, .n = N, .reproducible = true};
    struct run_row run = {.ranks = 1, .tensor = 1, .groups = 1, .fingerprint = "f"};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    if (!t) fail_msg("%s", e.text);
    for (int64_t i = 0; i < PROMPTS; i++) commit(t, m, i);
    trace_close(t);
    struct trace_judge_meta judge = {.judge = "somebody", .job_yaml = yaml};
    struct lock *lock = lock_take(path, NULL, &e);
    bool is_judged = m->is_scored || m->is_judged;
    if (is_judged && trace_judge(path, lock, &judge, judge_rows, NULL, &e) < 0)
        fail_msg("%s", e.text);
    lock_release(lock);
    free(yaml);
    free(sets);
    job_free(&j);
}

static const struct made best_of_n = {"bon.h5", "method=best_of_n", false, false, NULL, false,
                                      false},
                         scored = {"scored.h5", "method=best_of_n;score_at=every 16;judge.path=j",
                                   false,       true,
                                   NULL,        false,
                                   false},
                         rejection = {"sr.h5", "alpha=0.5", true, false, NULL, false, false};

/* What is printed; caller frees. */
static char *make_report(struct place *p)
{
    char *text = NULL;
    size_t n = 0;
    struct err e;
    struct report_options o = {.folder = p->folder};
    FILE *out = open_memstream(&text, &n);
    if (report((const char *const *)p->paths, p->n_paths, &o, out, &e) < 0) fail_msg("%s", e.text);
    fclose(out);
    return text;
}

static void holds(const struct place *p, const char *name, const char *words)
{
    size_t n = 0;
    char *text = temp_read(p->folder, name, &n);
    if (!strstr(text, words)) fail_msg("'%s' is not in %s:\n%s", words, name, text);
    free(text);
}

/* ---- tests ---- */

static void test_sawtooth(void **state)
{
    struct place *p = *state;
    add_file(p, &rejection);
    free(make_report(p));
    /* tokens, live, KV in pages of 16: 2 pages of the prompt, then those of the live */
    holds(p, "sawtooth.gp",
          "$prompt << END\n0 6 32\n"
          "1 6 32\n1 6 128\n"
          "10 6 128\n10 5 112\n"
          "17 5 112\n17 3 128\n"
          "33 3 128\n33 2 128\n"
          "40 2 128\n40 0 0\nEND\n");
    /* with prompt 1, whose six end with 5 tokens: 1 page of the prompt, 6 of theirs */
    holds(p, "sawtooth.gp", "$mean << END\n1 6 24\n1 6 120\n");
    holds(p, "sawtooth.gp", "\n5 3 64\n5 3 64\n"); /* at 5, all six of prompt 1 are complete */
    holds(p, "sawtooth.gp", "\n17 2.5 56\n17 1.5 64\n");
    holds(p, "sawtooth.gp", "budget = 160\n");
}

static void test_lost(void **state)
{
    struct place *p = *state;
    add_file(p, &best_of_n);
    add_file(p, &rejection);
    free(make_report(p));
    holds(p, "lost.gp", "$rounds << END\n1 0\n2 50\nEND\n$lengths << END\n0 0\n16 0\n32 50\nEND\n");
    holds(p, "lost.gp", "'Rejection, N 6, alpha 0.5: 50.0 % never cut'");
}

static void test_phases(void **state)
{
    struct place *p = *state;
    add_file(p, &best_of_n);
    add_file(p, &rejection);
    free(make_report(p));
    holds(p, "phases.gp", "$phases << END\n1 0 1 3 6 6.5 7.25\n2 0 1 3 6 6.5 7.25\nEND\n");
    holds(p, "phases.gp", "set ytics ('Best-of-6' 1, 'Rejection, N 6, alpha 0.5' 2)");
    /* tokens of prompt and answer, rank-seconds */
    holds(p, "lengths.gp",
          "$point1 << END\n20 40 7\n16 40 7\nEND\n$point2 << END\n20 40 2\n16 5 2\n");
    holds(p, "speedup.gp", "$bounds << END\n3.5 -1 1\nEND\n"); /* below all of Best-of-N: 14 / 4 */
}

static void test_partial(void **state)
{
    struct place *p = *state;
    double mean[2][LENGTHS] = {{0}};
    add_file(p, &scored);
    free(make_report(p));
    for (int at = 0; at < LENGTHS; at++)
        for (int i = 0; i < PROMPTS; i++) {
            double x[N], y[N];
            for (int k = 0; k < N; k++)
                x[k] = (double)partials[at][i][k], y[k] = (double)rewards[i][k];
            mean[0][at] += correlation_pearson(x, y, N) / PROMPTS;
            mean[1][at] += correlation_kendall(x, y, N) / PROMPTS;
        }
    for (int k = 0; k < 2; k++)
        for (int at = 0; at < LENGTHS; at++) {
            char want[64];
            snprintf(want, sizeof want, "\n%d %.6g ", 16 * (at + 1), mean[k][at]);
            holds(p, "partial.gp", want);
        }
    holds(p, "partial.gp", "partial reward at 32 tokens");
    /* less the prompt's mean: 1 - 16.5 / 6, 1 - 16 / 6 */
    holds(p, "partial.gp", "$marks << END\n-1.75 -1.66667\n");
}

static void test_judge(void **state)
{
    struct place *p = *state;
    static const int64_t sizes[] = {1, 2, 4, 6};
    add_file(p, &scored);
    free(make_report(p));
    for (int s = 0; s < 4; s++) {
        double own = 0, other = 0;
        for (int i = 0; i < PROMPTS; i++) {
            double r[N], g[N];
            for (int k = 0; k < N; k++) r[k] = (double)rewards[i][k], g[k] = (double)judged[i][k];
            own += metrics_best_of_subset(r, r, N, sizes[s]) / PROMPTS;
            other += metrics_best_of_subset(r, g, N, sizes[s]) / PROMPTS;
        }
        char want[96];
        snprintf(want, sizeof want, "\n%.6g %.6g ", own, other);
        holds(p, "judge.gp", want);
    }
    holds(p, "judge.gp", "\n8 -0.25 "); /* of all six: 7 and 9, -1 and 0.5 */
}

/* Files that differ in more than N, alpha and seed are no points of one curve, and it is said in
 * what they differ. */
static void test_curves(void **state)
{
    struct place *p = *state;
    const struct made other = {
        "other.h5", "alpha=0.25;budget_tokens=4096", true, false, NULL, false, false};
    add_file(p, &best_of_n);
    add_file(p, &rejection);
    add_file(p, &other);
    free(make_report(p));
    holds(p, "improvement.gp", "'Speculative Rejection, N 6, budget_tokens 4096, by alpha'");
    holds(p, "improvement.gp", "'Speculative Rejection, N 6, budget_tokens auto, by alpha'");
    holds(p, "improvement.gp", "'Best-of-N, by N'");
    holds(p, "improvement.gp", "$series3 << END");
}

/* Each figure that is missing has its reason in every form, and what was left of it goes. */
static void test_reasons(void **state)
{
    struct place *p = *state;
    static const char *const why[] = {"no Best-of-N file with all its candidates",
                                      "needs Speculative Rejection files and Best-of-N files",
                                      "no Best-of-N run with score_at",
                                      "paired with Best-of-N runs", "no Best-of-N file was judged"};
    add_file(p, &rejection);
    temp_text(p->folder, "judge.svg", "old");
    char *text = make_report(p);
    size_t n = 0;
    char *md = temp_read(p->folder, "report.md", &n),
         *html = temp_read(p->folder, "report.html", &n);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
        if (!strstr(html, why[i])) fail_msg("'%s' is not in the page", why[i]);
        assert_non_null(strstr(text, "not drawn"));
    }
    assert_non_null(
        strstr(md, "Judge's reward against reward as N grows: not drawn: no Best-of-N"));
    assert_non_null(strstr(html, "id=\"missing\""));
    char *old = mem_printf("%s/judge.svg", p->folder);
    assert_null(fopen(old, "r"));
    free(old);
    free(html);
    free(md);
    free(text);
}

/* What a caption says of points that are left out, and what it does not know. */
static void test_captions(void **state)
{
    struct place *p = *state;
    enum { POINTS = 104 };
    struct made unknown = rejection;
    unknown.no_budget = true;
    add_file(p, &best_of_n);
    add_file(p, &unknown);
    free(make_report(p));
    holds(p, "report.md", "in whole pages of 16 tokens.  One prompt");
    for (int i = 1; i < POINTS; i++) {
        char name[32], sets[32];
        snprintf(name, sizeof name, "%d.h5", i);
        snprintf(sets, sizeof sets, "alpha=%g", 0.5 + i / 1000.0);
        struct made one = {.name = name, .sets = sets, .rejects = true};
        add_file(p, &one);
    }
    free(make_report(p));
    holds(p, "report.md", "Of 104 points the 100 with the largest speedups.");
    holds(p, "report.md", "Of 105 points the first 100."); /* phases */
    holds(p, "report.md", "Of 105 points the first 4.");   /* lengths */
}

/* Where only the rejecting file was judged, nothing is wrong with Best-of-N's rewards. */
static void test_judged_by_half(void **state)
{
    struct place *p = *state;
    const struct made bon = {.name = "bon.h5", .sets = "method=best_of_n;judge.path=j"},
                      sr = {.name = "sr.h5",
                            .sets = "alpha=0.5;judge.path=j",
                            .rejects = true,
                            .is_judged = true};
    add_file(p, &bon);
    add_file(p, &sr);
    free(make_report(p));
    holds(p, "report.md", "not drawn: no Best-of-N file was judged");
}

/* ---- files that somebody damaged ---- */

static void too_long(struct rows r)
{
    r.candidates[1].n_tokens = 1000000000000;
}
static void below_none(struct rows r)
{
    r.candidates[1].n_tokens = -2;
}
static void late_round(struct rows r)
{
    r.candidates[1].status = CANDIDATE_REJECTED;
    r.candidates[1].rejected_round = INT32_MAX;
}
static void late_partial(struct rows r)
{
    r.partials[0].round = INT32_MAX;
}
static void no_count(struct rows r)
{
    r.prompt->n = -1;
}
static void vast_prompt(struct rows r)
{
    r.prompt->prompt_tokens = INT64_MAX;
}
static void vast_tokens(struct rows r)
{
    r.candidates[1].n_tokens = 2000000000;
}

/* Numbers for which memory and time would be taken are refused before. */
static void test_damaged(void **state)
{
    struct place *p = *state;
    const struct {
        struct made file;
        const char *says;
    } cases[] = {
        {{"1.h5", "alpha=0.5", true, false, too_long, false, false},
         "n_tokens 1000000000000 is not from 0 to"},
        {{"2.h5", "alpha=0.5", true, false, below_none, false, false},
         "n_tokens -2 is not from 0 to"},
        {{"3.h5", "alpha=0.5", true, false, late_round, false, false},
         "rejected_round 2147483647 is not"},
        {{"4.h5", "method=best_of_n;score_at=every 16", false, true, late_partial, false, false},
         "partial reward's round 2147483647 is not"},
        {{"5.h5", "method=best_of_n;score_at=every 16", false, true, no_count, false, false},
         "n -1 is not"},
        {{"6.h5", "alpha=0.5", true, false, vast_prompt, false, false}, "prompt_tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        struct report_options o = {.folder = p->folder};
        FILE *out = tmpfile();
        add_file(p, &cases[i].file);
        p->n_paths--;
        const char *path = p->paths[p->n_paths];
        assert_int_equal(report(&path, 1, &o, out, &e), -1);
        if (!strstr(e.text, cases[i].says)) fail_msg("no '%s': %s", cases[i].says, e.text);
        if (!strstr(e.text, cases[i].file.name)) fail_msg("no file: %s", e.text);
        fclose(out);
        free(p->paths[p->n_paths]);
    }
}

/* Within a limit that somebody wrote into the job: not drawn. */
static void test_endless(void **state)
{
    struct place *p = *state;
    const struct made endless = {"endless.h5", "alpha=0.5;sampling.max_new_tokens=2000000000",
                                 true,         false,
                                 vast_tokens,  false,
                                 false};
    add_file(p, &endless);
    free(make_report(p));
    holds(p, "report.md", "responses of more than 1048576 tokens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sawtooth), TEST(test_lost),     TEST(test_phases),         TEST(test_partial),
        TEST(test_judge),    TEST(test_curves),   TEST(test_reasons),        TEST(test_damaged),
        TEST(test_endless),  TEST(test_captions), TEST(test_judged_by_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
