/* Replays of made-up recordings: rewards that are no numbers, ties, one candidate, the ends of
 * alpha's range; held against the round's definition, candidate by candidate.  Real runs:
 * tests/e2e/test_replay.sh.  And the prices of times. */
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ref/temp.h"
#include "report/prices.h"
#include "report/replay_verb.h"
#include "trace/writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_N = 24, MAX_NEW = 64, EVERY = 8, LENGTHS = MAX_NEW / EVERY - 1, PROMPT_TOKENS = 20 };

/* A prompt that was recorded with score_at: every 8. */
struct fake {
    int64_t n, n_tokens[MAX_N];
    bool broken[MAX_N]; /* the logits behind its last token were not finite */
    float final[MAX_N], partial[MAX_N][LENGTHS];

    struct recording recording;
    struct recorded_prompt prompt;
    struct prompt_row row;
    struct recorded_candidate candidates[MAX_N];
    int64_t lengths[LENGTHS];
};

static void record(struct fake *f)
{
    for (int k = 0; k < LENGTHS; k++) f->lengths[k] = (k + 1) * EVERY;
    for (int64_t i = 0; i < f->n; i++)
        f->candidates[i] = (struct recorded_candidate){.n_tokens = f->n_tokens[i],
                                                       .reward = f->final[i],
                                                       .is_finished = f->n_tokens[i] < MAX_NEW,
                                                       .is_broken = f->broken[i],
                                                       .partial = i * LENGTHS};
    f->row = (struct prompt_row){.prompt_tokens = PROMPT_TOKENS, .n = f->n, .key = "k"};
    f->prompt = (struct recorded_prompt){&f->row, f->candidates, &f->partial[0][0]};
    f->recording = (struct recording){.budget_tokens = 1 << 20,
                                      .n_groups = 1,
                                      .lengths = f->lengths,
                                      .n_lengths = LENGTHS,
                                      .prompts = &f->prompt,
                                      .n_prompts = 1};
}

/* All lengths and rewards alike; tests change what they are about. */
static void plain(struct fake *f, int64_t n, int64_t n_tokens)
{
    *f = (struct fake){.n = n};
    for (int64_t i = 0; i < n; i++) {
        f->n_tokens[i] = n_tokens;
        f->final[i] = (float)i;
        for (int k = 0; k < LENGTHS; k++) f->partial[i][k] = (float)i;
    }
}

static struct job job_of(const char *sets)
{
    struct job j;
    struct err e;
    char *yaml =
        mem_printf("generator: {path: g}\nreward: {path: self}\ndataset: {path: d.jsonl}\n"
                   "sampling: {max_new_tokens: %d}\n"
                   "min_round_tokens: 1\n%s%s\n",
                   MAX_NEW, strstr(sets, "method:") ? "" : "method: speculative_rejection\n", sets);
    char *folder = temp_folder(), *path = mem_printf("%s/job.yaml", folder);
    temp_text(folder, "job.yaml", yaml);
    if (job_open(&j, path, NULL, 0, &e) < 0) fail_msg("%s", e.text);
    temp_remove(folder);
    free(path);
    free(yaml);
    return j;
}

static void play(struct replay *x, struct fake *f, const char *sets)
{
    struct err e;
    struct job j = job_of(sets);
    record(f);
    struct replay_point point = replay_point_of(&f->recording, &j);
    if (replay_prompt(x, &f->recording, &f->prompt, &point, NULL, &e) < 0) fail_msg("%s", e.text);
    if (x->is_skipped && x->n == 0) fail_msg("skipped: %s", x->reason.text);
    job_free(&j);
}

static struct source_prompt filled(const struct replay *x, const struct fake *f)
{
    struct source_prompt p;
    replay_grid_fill(&p, &f->row, x, NULL);
    return p;
}

/* ---- the definition ---- */

struct state {
    bool live, cut, complete;
    int64_t n_tokens;
    float reward;
};

static bool comes_before(const struct state *s, int64_t a, int64_t b)
{
    float x = s[a].reward, y = s[b].reward;
    if (isnan(x) != isnan(y)) return isnan(y);
    if (!isnan(x) && x != y) return x > y;
    return a < b;
}

/* A round of those that count: the last floor(alpha n) in order are dropped, never all. */
static void hold_round(struct state *s, int64_t n, double alpha)
{
    bool dropped[MAX_N] = {false};
    int64_t ranked = 0;
    for (int64_t i = 0; i < n; i++) ranked += !s[i].cut;
    int64_t keep = ranked - (int64_t)floor(alpha * (double)ranked + 1e-9);
    if (keep < 1) keep = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t before = 0;
        if (s[i].cut) continue;
        for (int64_t k = 0; k < n; k++) before += !s[k].cut && k != i && comes_before(s, k, i);
        dropped[i] = before >= keep;
    }
    for (int64_t i = 0; i < n; i++) {
        if (dropped[i]) s[i].live = false;
        s[i].cut |= dropped[i];
    }
}

/* Rounds every EVERY tokens in unlimited memory; returns the winner. */
static int64_t by_definition(const struct fake *f, double alpha, struct state *s)
{
    int64_t best = -1;
    for (int64_t i = 0; i < f->n; i++) s[i] = (struct state){.live = true, .reward = NAN};
    for (int k = 0, live = 1; live > 0; k++) {
        live = 0;
        for (int64_t i = 0; i < f->n; i++) {
            if (!s[i].live) continue;
            bool ends = f->n_tokens[i] + f->broken[i] <= (k + 1) * EVERY;
            s[i].live = !ends;
            s[i].complete = ends && !f->broken[i];
            s[i].n_tokens = ends ? f->n_tokens[i] : (k + 1) * EVERY;
            s[i].reward = !ends ? f->partial[i][k] : f->broken[i] ? NAN : f->final[i];
            live += !ends;
        }
        if (live > 0) hold_round(s, f->n, alpha);
        live = 0;
        for (int64_t i = 0; i < f->n; i++) live += s[i].live;
    }
    for (int64_t i = 0; i < f->n; i++)
        if (s[i].complete && !isnan(f->final[i]) && (best < 0 || f->final[i] > f->final[best]))
            best = i;
    return best;
}

/* Random lengths and rewards, many of them ties and NaN, at rates from almost 0 to almost 1. */
static void test_definition(void **state)
{
    (void)state;
    static const char *const alphas[] = {"0.000001", "0.1", "0.25", "0.5", "0.9", "0.999999"};
    struct replay x = {0};
    for (uint32_t trial = 0; trial < 120; trial++) {
        static struct fake f;
        struct state want[MAX_N];
        char sets[80];
        plain(&f, 1 + trial % MAX_N, 1);
        for (uint32_t i = 0; i < (uint32_t)f.n; i++) {
            struct philox u = philox4x32(11, trial, i, 0, 0);
            f.broken[i] = trial >= 60 && u.word[3] % 3 == 0;
            f.n_tokens[i] = !f.broken[i] + u.word[0] % MAX_NEW;
            f.final[i] = u.word[1] % 5 == 0 ? NAN : (float)(u.word[1] % 7);
            for (uint32_t k = 0; k < LENGTHS; k++) {
                struct philox v = philox4x32(12, trial, i, k, 0);
                f.partial[i][k] = v.word[0] % 4 == 0 ? NAN : (float)(v.word[0] % 3);
            }
        }
        const char *alpha = alphas[trial % 6];
        snprintf(sets, sizeof sets, "n: %d\nalpha: %s\nrounds: every %d", (int)f.n, alpha, EVERY);
        play(&x, &f, sets);
        int64_t best = by_definition(&f, strtod(alpha, NULL), want);
        assert_int_equal(x.best, best);
        assert_int_equal(x.missing.n, 0);
        bool any_broken = false, any_complete = false;
        for (int64_t i = 0; i < f.n; i++) {
            assert_int_equal(x.candidates[i].n_tokens, want[i].n_tokens);
            assert_int_equal(x.candidates[i].status == POLICY_COMPLETE, want[i].complete);
            bool broke = !want[i].live && !want[i].complete && f.broken[i] &&
                         want[i].n_tokens == f.n_tokens[i];
            assert_true(broke || x.candidates[i].status != POLICY_BROKEN);
            any_broken |= x.candidates[i].status == POLICY_BROKEN;
            any_complete |= want[i].complete;
            assert_int_equal(x.candidates[i].rejected_round >= 0, want[i].cut);
        }
        assert_int_equal(x.is_skipped, any_broken && !any_complete);
    }
    replay_free(&x);
}

/* ---- one by one ---- */

static void test_nan_on_the_way(void **state)
{
    (void)state;
    struct replay x = {0};
    static struct fake f;
    plain(&f, 4, 20); /* candidate 3 is the best, but for its first score */
    f.partial[3][0] = NAN;
    play(&x, &f, "n: 4\nalpha: 0.25\nrounds: at 8");
    assert_int_equal(x.candidates[3].rejected_round, 0);
    assert_int_equal(x.candidates[3].n_tokens, 8);
    assert_int_equal(x.best, 2);
    assert_true(x.rounds.items[0].cut_reward == 0);          /* the worst that stayed */
    for (int64_t i = 0; i < f.n; i++) f.partial[i][0] = NAN; /* all: by number */
    play(&x, &f, "n: 4\nalpha: 0.5\nrounds: at 8");
    assert_int_equal(x.best, 1);
    assert_true(isnan(x.rounds.items[0].cut_reward));
    replay_free(&x);
}

static void test_nan_at_the_end(void **state)
{
    (void)state;
    struct replay x = {0};
    static struct fake f;
    plain(&f, 4, 20);
    f.final[3] = NAN;
    play(&x, &f, "n: 4\nalpha: 0.5\nrounds: at 8"); /* 2 and 3 stay; 3 cannot win */
    assert_int_equal(x.best, 2);
    struct source_prompt p = filled(&x, &f);
    assert_int_equal(p.numbers.n_complete, 2);
    assert_true(p.numbers.best == 2 && p.numbers.min == 2 && p.numbers.mean == 2);
    free(p.complete);
    for (int64_t i = 0; i < f.n; i++) f.final[i] = NAN;
    play(&x, &f, "n: 4\nalpha: 0.5\nrounds: at 8");
    assert_int_equal(x.best, -1);
    p = filled(&x, &f);
    assert_string_equal(p.reason, "no answer has a finite reward");
    free(p.complete);
    replay_free(&x);
}

static void test_ties(void **state)
{
    (void)state;
    struct replay x = {0};
    static struct fake f;
    plain(&f, 6, 30);
    for (int64_t i = 0; i < f.n; i++) f.final[i] = f.partial[i][0] = f.partial[i][2] = 1;
    play(&x, &f, "n: 6\nalpha: 0.5\nrounds: at 8, 24");
    assert_int_equal(x.best, 0); /* lower numbers stay, and the lowest wins */
    for (int64_t i = 0; i < f.n; i++)
        assert_int_equal(x.candidates[i].rejected_round, i < 2 ? -1 : i < 3 ? 1 : 0);
    replay_free(&x);
}

/* The published code loses complete candidates below the cut: with the one that stays worthless,
 * nobody is left. */
static void test_all_lost(void **state)
{
    (void)state;
    struct replay x = {0};
    static struct fake f;
    plain(&f, 4, 5);
    f.n_tokens[0] = 40;
    f.partial[0][0] = 9;
    f.final[0] = NAN;
    play(&x, &f, "n: 4\nalpha: 0.99\nrounds: at 8\ncompat: paper_code_2024");
    assert_int_equal(x.best, -1);
    assert_int_equal(x.rounds.items[0].kept, 1);
    for (int64_t i = 1; i < f.n; i++) assert_int_equal(x.candidates[i].status, POLICY_REJECTED);
    struct source_prompt p = filled(&x, &f);
    assert_string_equal(p.reason, "no answer has a finite reward");
    free(p.complete);
    play(&x, &f, "n: 4\nalpha: 0.99\nrounds: at 8"); /* here they can still win */
    assert_int_equal(x.best, 3);
    replay_free(&x);
}

static void test_one_candidate(void **state)
{
    (void)state;
    struct replay x = {0};
    static struct fake f;
    plain(&f, 3, 40);
    f.partial[0][0] = NAN;
    static const char *const points[] = {"n: 1\nalpha: 0.999\nrounds: every 8",
                                         "n: 1\nalpha: 0.5\nrounds: memory\nbudget_tokens: 96",
                                         "n: 1\nmethod: best_of_n"};
    for (int k = 0; k < 3; k++) {
        play(&x, &f, points[k]);
        assert_int_equal(x.n, 1);
        assert_int_equal(x.best, 0);
        assert_int_equal(x.tokens_generated, 40);
        assert_int_equal(x.candidates[0].rejected_round, -1);
    }
    replay_free(&x);
}

/* Almost 0 drops nobody in scheduled rounds and ends as Best-of-N does; almost 1 keeps one. */
static void test_ends_of_alpha(void **state)
{
    (void)state;
    struct replay x = {0}, bon = {0};
    static struct fake f;
    plain(&f, 20, 50);
    f.partial[19][0] = -1;
    play(&bon, &f, "n: 20\nmethod: best_of_n");
    play(&x, &f, "n: 20\nalpha: 0.000001\nrounds: every 8");
    assert_int_equal(x.best, bon.best);
    assert_int_equal(x.tokens_generated, bon.tokens_generated);
    play(&x, &f, "n: 20\nalpha: 0.999999\nrounds: every 8");
    assert_int_equal(x.best, 18);
    assert_int_equal(x.tokens_generated, 50 + 19 * 8);
    /* in a memory round at least one goes */
    play(&x, &f, "n: 20\nalpha: 0.000001\nrounds: memory\nbudget_tokens: 608");
    assert_true(x.candidates[0].rejected_round == 0 && x.rounds.n > 1);
    replay_free(&bon);
    replay_free(&x);
}

/* ---- a file of one prompt ---- */

/* The job's n, its row's and the tokens of each response. */
struct numbers {
    const char *n;
    int64_t n_tokens;
};

static void make_numbers(const char *path, float reward, struct numbers numbers)
{
    enum { N = 4 };
    struct err e;
    char sets[96];
    snprintf(sets, sizeof sets, "n: %s\nmethod: best_of_n\nscore_at: every 8", numbers.n);
    struct job j = job_of(sets);
    char *yaml = job_to_yaml(&j);
    struct trace_meta meta = {
        .job_yaml = yaml, .budget_tokens = 1 << 16, .n = N, .reproducible = true};
    struct run_row run = {.ranks = 1, .tensor = 1, .groups = 1, .fingerprint = "f"};
    struct trace *t = trace_open(path, &meta, &run, false, &e);
    struct candidate_row c[N];
    struct partial_reward_row partials[N];
    if (!t) fail_msg("%s", e.text);
    for (int i = 0; i < N; i++) {
        c[i] = (struct candidate_row){.candidate = i,
                                      .status = CANDIDATE_FINISHED,
                                      .finish_reason = FINISH_END_TOKEN,
                                      .rejected_round = -1,
                                      .reward = reward * (float)i,
                                      .judge_reward = NAN,
                                      .tokens_offset = -1,
                                      .n_tokens = numbers.n_tokens,
                                      .text_offset = -1};
        partials[i] =
            (struct partial_reward_row){.candidate = i, .n_tokens = 8, .reward = reward * (float)i};
    }
    struct trace_record r = {.candidates = c,
                             .n_candidates = N,
                             .partial_rewards = partials,
                             .n_partial_rewards = N,
                             .prompt = {.key = "k",
                                        .status = PROMPT_OK,
                                        .prompt_tokens = PROMPT_TOKENS,
                                        .n = N,
                                        .best_candidate = 3,
                                        .best_reward = reward * 3,
                                        .wall_s = 1,
                                        .tokens_generated = 12 * N}};
    if (trace_commit(t, &r, &e) < 0) fail_msg("%s", e.text);
    trace_close(t);
    free(yaml);
    job_free(&j);
}

static void make_file(const char *path, float reward)
{
    make_numbers(path, reward, (struct numbers){"4", 12});
}

static char *replayed(const char *path, enum replay_form form, int64_t subsets, struct err *e)
{
    static const char *const set[] = {"sweep.alpha=[0.5, 0.9]", "rounds=at 8", "sweep.n=[1, 4]"};
    struct replay_options o = {.grid = {set, 3, false, subsets}, .form = form};
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    int rc = replay_file(path, &o, out, e);
    fclose(out);
    if (rc == 0) return text;
    free(text);
    return NULL;
}

static void test_one_prompt(void **state)
{
    (void)state;
    struct err e;
    char *folder = temp_folder(), *path = mem_printf("%s/one.h5", folder);
    make_file(path, 1);
    char *csv = replayed(path, REPLAY_CSV, 5, &e), *table = replayed(path, REPLAY_TABLE, 5, &e);
    if (!csv || !table) fail_msg("%s", e.text);
    int lines = 0;
    for (const char *c = csv; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 1 + 6); /* Best-of-1 and 4, two alphas of each */
    assert_non_null(strstr(table, "1 compared, 0 left out"));
    free(csv);
    free(table);
    temp_remove(folder);
    free(path);
    /* no reward at all */
    folder = temp_folder();
    path = mem_printf("%s/one.h5", folder);
    make_file(path, NAN);
    csv = replayed(path, REPLAY_CSV, 0, &e);
    assert_null(csv);
    assert_non_null(strstr(e.text, "no answer has a finite reward"));
    temp_remove(folder);
    free(path);
}

/* Numbers that no run writes are refused: a job that asks for more candidates than a row has, and
 * a response that a replay would never get to the end of. */
static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        struct numbers numbers;
        const char *says;
    } cases[] = {{{"5", 12}, "has 4 recorded candidates; 5 were asked for"},
                 {{"4", 4000000000000000000}, "within max_new_tokens"},
                 {{"4", MAX_NEW + 1}, "within max_new_tokens"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        char *folder = temp_folder(), *path = mem_printf("%s/one.h5", folder);
        make_numbers(path, 1, cases[i].numbers);
        assert_null(replayed(path, REPLAY_CSV, 0, &e));
        if (!strstr(e.text, cases[i].says)) fail_msg("no '%s': %s", cases[i].says, e.text);
        temp_remove(folder);
        free(path);
    }
}

/* ---- prices ---- */

/* What a GPU does: the weights are read whatever the number of rows, up to some that take longer.
 */
static void test_prices_of_flat_steps(void **state)
{
    (void)state;
    enum { STEPS = 500 };
    static struct timed steps[STEPS];
    double left_out;
    for (int i = 0; i < STEPS; i++) {
        double rows = 1 + (i * 13) % 256, keys = rows * (500 + i % 211);
        double s = 4e-3 + (rows > 64 ? (rows - 64) * 6e-5 : 0) + 3e-9 * keys;
        steps[i] = (struct timed){{1, rows, 0, keys}, s * (1 + 0.02 * ((i * 37) % 11 - 5) / 5.0)};
    }
    struct prices p = prices_fit(steps, STEPS, true, &left_out);
    for (double rows = 1; rows <= 256; rows *= 4) {
        struct amount_of_work w = {1, rows, 0, rows * 600};
        double s = 4e-3 + (rows > 64 ? (rows - 64) * 6e-5 : 0) + 3e-9 * w.keys;
        assert_true(fabs(prices_of(&p, &w) / s - 1) < 0.03);
    }
}

/* Steps whose keys cost more beyond what a cache holds come out exactly; a tenth that something
 * else disturbed does not change that. */
static void test_prices(void **state)
{
    (void)state;
    enum { STEPS = 600 };
    static struct timed steps[STEPS];
    double left_out, disturbed = 0, all = 0;
    for (int i = 0; i < STEPS; i++) {
        double live = 1 + (i * 7) % 64, keys = live * (40 + i % 300);
        double s = 3e-5 + 2e-5 * live + 1e-7 * keys;
        steps[i] = (struct timed){{1, live, 0, keys}, s};
    }
    struct prices p = prices_fit(steps, STEPS, true, &left_out);
    assert_true(fabs(p.price[0] / 3e-5 - 1) < 1e-3);
    assert_true(fabs(p.price[1] / 2e-5 - 1) < 1e-4);
    assert_true(fabs(left_out) < 1e-6);
    double knot = p.key_knot[1];
    for (int i = 0; i < STEPS; i++) {
        double keys = steps[i].work.keys;
        steps[i].seconds += keys > knot ? 4e-7 * (keys - knot) : 0;
    }
    struct timed clean[STEPS];
    memcpy(clean, steps, sizeof clean);
    for (int i = 0; i < STEPS; i += 10) {
        steps[i].seconds *= 3 + i % 7;
        disturbed += steps[i].seconds - clean[i].seconds;
    }
    p = prices_fit(steps, STEPS, true, &left_out);
    for (int i = 0; i < STEPS; i++) {
        all += steps[i].seconds;
        assert_true(fabs(prices_of(&p, &clean[i].work) / clean[i].seconds - 1) < 0.01);
    }
    assert_true(fabs(left_out - disturbed / all) < 0.01);
    p = prices_fit(steps, 0, true, &left_out); /* of nothing */
    assert_true(prices_of(&p, &clean[0].work) == 0 && left_out == 0);
}

int main(void)
{
    log_setup(0, LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),     cmocka_unit_test(test_nan_on_the_way),
        cmocka_unit_test(test_nan_at_the_end), cmocka_unit_test(test_ties),
        cmocka_unit_test(test_all_lost),       cmocka_unit_test(test_one_candidate),
        cmocka_unit_test(test_ends_of_alpha),  cmocka_unit_test(test_one_prompt),
        cmocka_unit_test(test_prices),         cmocka_unit_test(test_prices_of_flat_steps),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
