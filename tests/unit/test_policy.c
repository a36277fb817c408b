/* Policies: pure functions, asked here about made-up candidates. */
#include "base/mem.h"
#include "base/rng.h"
#include "policy/cut.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_N 64
#define PAGE  16

/* ---- the cut ---- */

static struct policy_candidate live(float reward)
{
    return (struct policy_candidate){.status = POLICY_LIVE,
                                     .n_tokens = 17,
                                     .pages = 1,
                                     .reward = reward,
                                     .reward_tokens = -1,
                                     .rejected_round = -1};
}

static struct policy_candidate complete(float reward)
{
    struct policy_candidate c = live(reward);
    c.status = POLICY_COMPLETE;
    c.n_tokens = c.reward_tokens = 9;
    c.pages = 0;
    return c;
}

static void order_of_a_cut(void **state)
{
    (void)state;
    struct policy_candidate c[] = {live(1),        live(NAN),     complete(3),    live(-INFINITY),
                                   live(3),        complete(NAN), live(-0.0f),    live(0.0f),
                                   live(INFINITY), complete(7),   complete(1e9f), live(2)};
    c[9].rejected_round = 0; /* cut before: counts no more */
    c[10].status = POLICY_REJECTED;
    c[11].status = POLICY_WAITING;
    static const int32_t want[] = {8, 2, 4, 0, 6, 7, 3, 1, 5};
    int32_t order[12];
    assert_int_equal(cut_rank(c, 12, order), 9);
    assert_memory_equal(order, want, sizeof want);
    assert_int_equal(cut_rank(c, 0, order), 0);
}

/* The order's definition, candidate by candidate: how many come before it. */
static int place_of(const struct policy_candidate *c, int n, int at)
{
    int before = 0;
    for (int i = 0; i < n; i++) {
        float a = c[i].reward, b = c[at].reward;
        bool equal = a == b || (isnan(a) && isnan(b));
        before += equal ? i < at : isnan(b) || a > b;
    }
    return before;
}

static void order_of_any_rewards(void **state)
{
    (void)state;
    enum { N = 700 };
    static struct policy_candidate c[N];
    static int32_t order[N];
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, FLT_MIN, -FLT_MIN};
    for (int n = 1; n <= N; n += 1 + n / 3) {
        for (int i = 0; i < n; i++) {
            struct philox u = philox4x32(1, (uint32_t)n, (uint32_t)i, 0, 0);
            float any;
            memcpy(&any, &u.word[1], sizeof any); /* any bits at all */
            c[i] = live(u.word[0] % 4 == 0   ? special[u.word[2] % 8]
                        : u.word[0] % 4 == 1 ? (float)(u.word[2] % 5) - 2 /* ties */
                                             : any);
        }
        assert_int_equal(cut_rank(c, n, order), n);
        for (int i = 0; i < n; i++) assert_int_equal(place_of(c, n, order[i]), i);
    }
}

static void how_many_are_dropped(void **state)
{
    (void)state;
    /* alpha = k / 1000 exactly, by whole numbers; 0.29 * 100 is 28.999999999999996 in doubles. */
    for (int64_t k = 0; k < 1000; k++)
        for (int64_t n = 0; n <= 4096; n += 1 + n / 64) {
            int64_t got = cut_drop_count((double)k / 1000, n);
            if (got != k * n / 1000) fail_msg("alpha %d/1000, n %d: %d", (int)k, (int)n, (int)got);
        }
    assert_int_equal(cut_drop_count(0.29, 100), 29);
    assert_int_equal(cut_drop_count(0.999999, 1), 0);
}

static void how_many_the_published_code_keeps(void **state)
{
    (void)state;
    /* Python: round((1 - alpha) * n). */
    static const struct {
        double alpha;
        int64_t n, kept;
    } cases[] = {{0.5, 1, 0},  {0.5, 3, 2},   {0.5, 5, 2},   {0.5, 7, 4},
                 {0.5, 9, 4},  {0.3, 5, 4},   {0.7, 5, 2},   {0.9, 5, 0},
                 {0.9, 15, 1}, {0.9, 25, 2},  {0.25, 10, 8}, {0.75, 10, 2},
                 {0.1, 5, 4},  {0.1, 15, 14}, {0.9, 1, 0},   {0.6, 1000, 400}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cut_keep_count_2024(cases[i].alpha, cases[i].n), cases[i].kept);
}

/* ---- schedules ---- */

static void schedules(void **state)
{
    (void)state;
    static const int64_t at[] = {5, 17, 40};
    const struct {
        struct policy_schedule s;
        int64_t steps[7]; /* the first ones; 0: no more */
    } cases[] = {{{.when = WHEN_NEVER}, {0}},
                 {{.when = WHEN_EVERY, .every = 1}, {1, 2, 3, 4, 5, 6, 7}},
                 {{.when = WHEN_EVERY, .every = 7}, {7, 14, 21, 28, 35, 42, 49}},
                 {{.when = WHEN_DOUBLING}, {16, 32, 64, 128, 256, 512, 1024}},
                 {{.when = WHEN_PAGES}, {17, 33, 49, 65, 81, 97, 113}},
                 {{.when = WHEN_AT, .at = at, .n_at = 3}, {5, 17, 40}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct policy_schedule *s = &cases[i].s;
        int64_t last = 0;
        for (int k = 0; k < 7; k++) {
            int64_t want = cases[i].steps[k] ? cases[i].steps[k] : INT64_MAX;
            for (int64_t step = last; step < want && step < last + 600; step++) {
                assert_int_equal(policy_schedule_next(s, step), want);
                assert_int_equal(policy_schedule_has(s, step), step == last && step > 0);
            }
            if (want == INT64_MAX) break;
            last = want;
        }
        assert_false(policy_schedule_has(s, 0));
    }
}

/* ---- a prompt that exists in numbers only ---- */

struct world {
    struct policy policy;
    struct policy_candidate c[MAX_N];
    int64_t n, step, round, budget; /* budget: pages for candidates */
    float rewards[MAX_N];           /* what a scoring gives */
    bool lost[MAX_N];
    struct policy_actions a;
};

static void world_begin(struct world *w, enum policy_kind kind, double alpha,
                        struct policy_schedule s, int64_t n, int64_t budget)
{
    struct policy_config config = {.n = n, .alpha = alpha, .schedule = s};
    *w = (struct world){.policy = policy_create(kind, &config), .budget = budget};
    policy_actions_init(&w->a, MAX_N);
    struct policy_view v = {.candidates = w->c};
    policy_decide(&w->policy, &v, &w->a);
    assert_int_equal(w->a.n_score + w->a.n_drop + w->a.n_fork, 0);
    assert_false(w->a.stop || w->a.is_round);
    for (w->n = 0; w->n < w->a.admit && w->n < MAX_N; w->n++) {
        w->c[w->n] = live(NAN);
        w->c[w->n].n_tokens = w->c[w->n].pages = 0;
        w->rewards[w->n] = (float)w->n;
    }
}

static void world_end(struct world *w)
{
    policy_actions_free(&w->a);
}

/* All live candidates have `step` tokens. */
static void world_at(struct world *w, int64_t step)
{
    w->step = step;
    for (int64_t i = 0; i < w->n; i++) {
        if (w->c[i].status != POLICY_LIVE) continue;
        w->c[i].n_tokens = step;
        w->c[i].pages = step > 0 ? (step - 1 + PAGE - 1) / PAGE : 0;
    }
}

static void world_complete(struct world *w, int64_t i, int64_t n_tokens)
{
    w->c[i].status = POLICY_COMPLETE;
    w->c[i].n_tokens = n_tokens;
    w->c[i].pages = 0;
}

static struct policy_view world_view(const struct world *w)
{
    struct policy_view v = {
        .candidates = w->c, .n = w->n, .step = w->step, .round = w->round, .free_pages = w->budget};
    for (int64_t i = 0; i < w->n; i++) {
        v.n_live += w->c[i].status == POLICY_LIVE;
        v.n_waiting += w->c[i].status == POLICY_WAITING;
        v.free_pages -= w->c[i].pages;
    }
    v.need_pages = w->step > 0 && (w->step - 1) % PAGE == 0 ? v.n_live : 0;
    return v;
}

/* Ask, score what is wanted, ask again, do what is said.  Returns how many were scored. */
static int64_t world_decide(struct world *w)
{
    struct policy_view v = world_view(w);
    policy_decide(&w->policy, &v, &w->a);
    int64_t scored = w->a.n_score;
    if (scored > 0) {
        assert_false(w->a.is_round || w->a.stop);
        assert_int_equal(w->a.n_drop, 0);
        for (int64_t i = 0; i < scored; i++) {
            struct policy_candidate *c = &w->c[w->a.score[i]];
            assert_true(c->reward_tokens != c->n_tokens);
            c->reward = w->rewards[w->a.score[i]];
            c->reward_tokens = c->n_tokens;
        }
        v = world_view(w);
        v.scored = true;
        policy_decide(&w->policy, &v, &w->a);
        assert_int_equal(w->a.n_score, 0);
    }
    for (int64_t i = 0; i < w->a.n_drop; i++) {
        struct policy_candidate *c = &w->c[w->a.drop[i]];
        assert_true(c->status == POLICY_LIVE ||
                    ((c->status == POLICY_COMPLETE || c->status == POLICY_BROKEN) &&
                     c->rejected_round < 0));
        c->rejected_round = to_i32(w->round);
        if (c->status == POLICY_BROKEN) continue;
        if (c->status != POLICY_LIVE && !w->a.complete_lost) continue;
        w->lost[w->a.drop[i]] = true;
        c->status = POLICY_REJECTED;
        c->pages = 0;
    }
    w->round += w->a.is_round;
    return scored;
}

static void expect_round(const struct world *w, enum policy_trigger trigger, int64_t ranked,
                         int64_t kept)
{
    assert_true(w->a.is_round);
    assert_int_equal(w->a.trigger, trigger);
    assert_int_equal(w->a.ranked, ranked);
    assert_int_equal(w->a.kept, kept);
}

static const struct policy_schedule never = {.when = WHEN_NEVER};

/* ---- speculative rejection ---- */

static void memory_round_starts_exactly_when_it_must(void **state)
{
    (void)state;
    for (int64_t budget = 16; budget <= 50; budget++) {
        struct world w;
        world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, never, 16, budget);
        assert_int_equal(w.n, 16);
        for (int64_t step = 1; step <= 48; step++) {
            world_at(&w, step);
            bool boundary = (step - 1) % PAGE == 0;
            int64_t n_live = world_view(&w).n_live;
            bool due = boundary && n_live * ((step - 1) / PAGE + 1) > budget;
            int64_t scored = world_decide(&w);
            assert_int_equal(scored, due ? n_live : 0);
            assert_int_equal(w.a.is_round, due);
            if (!due) continue;
            assert_int_equal(w.a.trigger, POLICY_MEMORY);
            struct policy_view v = world_view(&w);
            assert_true(v.need_pages <= v.free_pages);
        }
        world_end(&w);
    }
}

static void cut_again_until_all_fit(void **state)
{
    (void)state;
    static const struct {
        double alpha;
        int64_t budget, kept;
    } cases[] = {
        {0.5, 31, 8},   /* 16 need 32 */
        {0.5, 16, 8},   /* 8 need 16 */
        {0.5, 15, 4},   /* once more */
        {0.5, 2, 1},    /* 8, 4, 2, 1 */
        {0.25, 24, 12}, /* 12 need 24 */
        {0.25, 23, 9},  /* 12 - 3 */
        {0.25, 5, 2},   /* 12, 9, 7, 6, 5, 4, 3, then floor(0.75) = 0, but at least one: 2 */
        {0.01, 30, 15}, /* floor(0.16) = 0: at least one */
        {0.01, 20, 10}, /* one by one */
        {0.99, 31, 1},  /* floor(15.84) = 15 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        world_begin(&w, POLICY_SPECULATIVE_REJECTION, cases[i].alpha, never, 16, cases[i].budget);
        world_at(&w, 17);
        assert_int_equal(world_decide(&w), 16);
        expect_round(&w, POLICY_MEMORY, 16, cases[i].kept);
        assert_true(w.a.cut_reward == (float)(16 - cases[i].kept));
        assert_int_equal(w.a.n_drop, 16 - cases[i].kept);
        for (int64_t c = 0; c < 16; c++)
            assert_int_equal(w.c[c].status, c < 16 - cases[i].kept ? POLICY_REJECTED : POLICY_LIVE);
        world_end(&w);
    }
}

static void complete_ones_are_cut_and_can_win(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, never, 8, 7);
    world_complete(&w, 0, 3);
    world_complete(&w, 7, 12);
    world_complete(&w, 1, 9);
    world_at(&w, 17); /* 5 live hold 5 pages of 7 and need 5 */
    assert_int_equal(world_decide(&w), 8);
    /* 8: 0 1 2 3 dropped, 4 5 6 live: 6 pages of 7 are needed. */
    expect_round(&w, POLICY_MEMORY, 8, 4);
    assert_int_equal(w.a.complete, 3);
    assert_int_equal(w.c[0].status, POLICY_COMPLETE);
    assert_int_equal(w.c[0].rejected_round, 0);
    assert_int_equal(w.c[2].status, POLICY_REJECTED);
    assert_int_equal(w.c[7].rejected_round, -1);
    for (int64_t i = 4; i <= 6; i++) world_complete(&w, i, 20);
    for (int64_t i = 4; i <= 6; i++) w.rewards[i] = -5;
    w.rewards[0] = 1e6f; /* a complete candidate's reward is final: nobody may ask for it again */
    w.rewards[7] = -1e6f;
    world_at(&w, 33);
    assert_int_equal(world_decide(&w), 3);
    expect_round(&w, POLICY_FINAL, 4, 4);
    assert_int_equal(w.a.n_drop, 0);
    assert_true(w.a.stop);
    assert_int_equal(policy_best(w.c, w.n), 7);
    w.c[7].reward = NAN;
    w.c[1].reward = 3;
    assert_int_equal(policy_best(w.c, w.n), 1); /* cut in round 0 */
    world_end(&w);
}

/* Complete candidates hold no pages: cutting them alone does not help, so the cut goes on. */
static void cuts_that_free_nothing(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.25, never, 8, 6);
    for (int64_t i = 0; i < 4; i++) world_complete(&w, i, 2);
    world_at(&w, 17);
    world_decide(&w);
    /* 8 -> 6 -> 5 -> 4 -> 3: the last one is the first live one. */
    expect_round(&w, POLICY_MEMORY, 8, 3);
    assert_int_equal(w.c[4].status, POLICY_REJECTED);
    assert_int_equal(w.c[5].status, POLICY_LIVE);
    world_end(&w);
}

static void scheduled_rounds(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 10};
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, every, 16, 1000);
    for (int64_t step = 1, n = 16; step <= 60; step++) {
        world_at(&w, step);
        int64_t scored = world_decide(&w), left = n - n / 2;
        assert_int_equal(w.a.is_round, step % 10 == 0);
        if (step % 10 != 0) continue;
        assert_int_equal(scored, n);
        expect_round(&w, POLICY_SCHEDULE, n, left);
        n = left;
    }
    world_end(&w);
}

/* Memory before the schedule: the next scheduled round is made early and not held again. */
static void early_rounds(void **state)
{
    (void)state;
    static const int64_t at[] = {20, 40, 70};
    struct policy_schedule s = {.when = WHEN_AT, .at = at, .n_at = 3};
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.25, s, 16, 24);
    world_at(&w, 17);
    world_decide(&w);
    expect_round(&w, POLICY_EARLY, 16, 12);
    world_at(&w, 20); /* used up */
    assert_int_equal(world_decide(&w), 0);
    assert_false(w.a.is_round);
    world_at(&w, 33); /* 12 * 3 > 24: the one at 40 */
    world_decide(&w);
    expect_round(&w, POLICY_EARLY, 12, 7); /* 12, 9, 7 */
    world_at(&w, 40);
    assert_int_equal(world_decide(&w), 0);
    world_at(&w, 49); /* 7 * 4 > 24: the one at 70 */
    world_decide(&w);
    expect_round(&w, POLICY_EARLY, 7, 6);
    world_at(&w, 65); /* 6 * 5 > 24, and no scheduled round is left */
    world_decide(&w);
    expect_round(&w, POLICY_MEMORY, 6, 4); /* 6, 5, 4: 5 * 5 > 24 */
    world_at(&w, 70);
    assert_int_equal(world_decide(&w), 0);
    world_end(&w);
}

/* A scheduled round at a boundary that lacks memory is a scheduled one, cut until all fit. */
static void scheduled_where_memory_ends(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 17};
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, every, 16, 15);
    world_at(&w, 17);
    world_decide(&w);
    expect_round(&w, POLICY_SCHEDULE, 16, 4);
    world_end(&w);
}

static void one_candidate(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 4};
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.9, every, 1, 10);
    assert_int_equal(w.n, 1);
    world_at(&w, 4);
    world_decide(&w);
    expect_round(&w, POLICY_SCHEDULE, 1, 1);
    assert_int_equal(w.a.n_drop, 0);
    world_complete(&w, 0, 5);
    world_at(&w, 17);
    assert_int_equal(world_decide(&w), 1);
    expect_round(&w, POLICY_FINAL, 1, 1);
    assert_true(w.a.stop);
    world_end(&w);
}

static void nan_is_dropped_first(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 4};
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, every, 4, 10);
    w.rewards[0] = 1, w.rewards[1] = NAN, w.rewards[2] = -100, w.rewards[3] = NAN;
    world_at(&w, 4);
    world_decide(&w);
    assert_int_equal(w.a.n_drop, 2);
    assert_int_equal(w.c[1].status, POLICY_REJECTED);
    assert_int_equal(w.c[3].status, POLICY_REJECTED);
    assert_true(w.a.cut_reward == -100);
    world_end(&w);
}

static struct policy_candidate broken(int64_t n_tokens)
{
    struct policy_candidate c = complete(NAN);
    c.status = POLICY_BROKEN;
    c.n_tokens = c.reward_tokens = n_tokens;
    return c;
}

/* Who broke has the last place of the next round, is asked for nothing, and stays what it is. */
static void broken_ones_are_cut_first(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 4};
    for (int kind = POLICY_SPECULATIVE_REJECTION; kind <= POLICY_PAPER_CODE_2024; kind++) {
        struct world w;
        world_begin(&w, (enum policy_kind)kind, 0.25, every, 8, 100);
        w.c[5] = broken(2);
        w.rewards[0] = -100;
        world_at(&w, 4);
        assert_int_equal(world_decide(&w), 7);
        expect_round(&w, POLICY_SCHEDULE, 8, 6);
        assert_int_equal(w.a.complete, 0);
        assert_int_equal(w.c[5].status, POLICY_BROKEN);
        assert_int_equal(w.c[5].rejected_round, 0);
        assert_int_equal(w.c[0].status, POLICY_REJECTED);
        w.c[6] = broken(7);
        for (int64_t i = 1; i < 8; i++)
            if (w.c[i].status == POLICY_LIVE) world_complete(&w, i, 7);
        world_at(&w, 8);
        assert_int_equal(world_decide(&w), 5);
        expect_round(&w, POLICY_FINAL, 6, 6);
        assert_int_equal(w.a.complete, 5);
        assert_int_equal(policy_best(w.c, w.n), 7);
        world_end(&w);
    }
}

static void all_broken(void **state)
{
    (void)state;
    struct world w;
    struct err e = {0};
    bool has_none = true;
    for (int kind = POLICY_BEST_OF_N; kind <= POLICY_PAPER_CODE_2024; kind++) {
        world_begin(&w, (enum policy_kind)kind, 0.5, never, 3, 100);
        for (int i = 0; i < 3; i++) w.c[i] = broken(i);
        world_at(&w, 3);
        assert_int_equal(world_decide(&w), 0);
        assert_true(w.a.stop);
        assert_int_equal(w.a.complete, 0);
        assert_int_equal(policy_best(w.c, w.n), -1);
        assert_true(policy_broken(w.c, w.n, &has_none, &e) && has_none);
        assert_string_equal(
            e.text, "no answer: logits of 3 of 3 candidates not finite; candidate 0 at position 0");
        w.c[0] = complete(NAN); /* no reward, but an end */
        assert_true(policy_broken(w.c, w.n, &has_none, &e) && !has_none);
        assert_string_equal(e.text,
                            "logits of 2 of 3 candidates not finite; candidate 1 at position 1");
        for (int i = 1; i < 3; i++) w.c[i].status = POLICY_REJECTED;
        assert_false(policy_broken(w.c, w.n, &has_none, &e) || has_none);
        world_end(&w);
    }
}

/* Scores that the round before took at the same length are not taken again. */
static void scores_are_not_asked_for_twice(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, POLICY_SPECULATIVE_REJECTION, 0.5, never, 8, 12);
    world_at(&w, 17);
    for (int64_t i = 0; i < 8; i++) w.c[i].reward = (float)i, w.c[i].reward_tokens = 17;
    assert_int_equal(world_decide(&w), 0);
    expect_round(&w, POLICY_MEMORY, 8, 4);
    world_end(&w);
}

static void published_code(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, POLICY_PAPER_CODE_2024, 0.5, never, 5, 5);
    world_complete(&w, 0, 3);
    world_complete(&w, 4, 3);
    world_at(&w, 17);
    assert_int_equal(world_decide(&w), 5);
    expect_round(&w, POLICY_MEMORY, 5, 2); /* round(2.5) = 2: 4 and 3 */
    assert_true(w.lost[0]);                /* complete below the cut: lost */
    assert_false(w.lost[4]);
    world_complete(&w, 3, 18);
    world_at(&w, 33);
    world_decide(&w);
    expect_round(&w, POLICY_FINAL, 2, 2);
    assert_int_equal(policy_best(w.c, w.n), 4);
    world_end(&w);
    world_begin(&w, POLICY_PAPER_CODE_2024, 0.5, never, 3840, 9000);
    assert_int_equal(w.a.admit, 1000);
    world_end(&w);
    world_begin(&w, POLICY_PAPER_CODE_2024, 0.9, never, 2, 3);
    world_at(&w, 17);
    world_decide(&w);
    expect_round(&w, POLICY_MEMORY, 2, 1); /* round(0.2) = 0 would end the prompt: one stays */
    world_end(&w);
}

/* ---- best of n ---- */

static void best_of_n(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w, POLICY_BEST_OF_N, 0, never, 4, 10);
    assert_int_equal(w.n, 4);
    w.c[3].status = POLICY_WAITING;
    world_at(&w, 17);
    assert_int_equal(world_decide(&w), 0);
    for (int64_t i = 0; i < 3; i++) world_complete(&w, i, 20);
    assert_int_equal(world_decide(&w), 0); /* one waits */
    assert_false(w.a.stop);
    world_complete(&w, 3, 1);
    assert_int_equal(world_decide(&w), 4);
    assert_true(w.a.stop);
    assert_false(w.a.is_round);
    assert_int_equal(w.a.n_drop, 0);
    assert_int_equal(policy_best(w.c, w.n), 3);
    world_end(&w);
}

static void best_of_n_with_scores_on_the_way(void **state)
{
    (void)state;
    struct policy_schedule every = {.when = WHEN_EVERY, .every = 8};
    struct world w;
    world_begin(&w, POLICY_BEST_OF_N, 0, every, 4, 10);
    /* Not in lockstep: every candidate has its own length. */
    w.c[0].n_tokens = 8;
    w.c[1].n_tokens = 9;
    w.c[2].n_tokens = 16;
    w.c[3].status = POLICY_WAITING; /* evicted at a length that it was not scored at */
    w.c[3].n_tokens = 8;
    assert_int_equal(world_decide(&w), 2);
    assert_int_equal(w.a.n_drop, 0);
    assert_false(w.a.stop);
    assert_int_equal(w.c[0].reward_tokens, 8);
    assert_int_equal(w.c[1].reward_tokens, -1);
    assert_int_equal(w.c[2].reward_tokens, 16);
    assert_int_equal(world_decide(&w), 0); /* scored already */
    for (int64_t i = 0; i < 4; i++) world_complete(&w, i, 16);
    assert_int_equal(world_decide(&w), 3); /* candidate 2 has its reward at 16 tokens */
    assert_true(w.a.stop);
    world_end(&w);
}

static void the_best(void **state)
{
    (void)state;
    struct policy_candidate c[] = {live(9),     complete(NAN), complete(-3),
                                   complete(2), complete(2),   live(NAN)};
    assert_int_equal(policy_best(c, 6), 3);
    c[3].rejected_round = 1; /* cut later, complete: can win */
    assert_int_equal(policy_best(c, 6), 3);
    c[3].status = POLICY_REJECTED;
    assert_int_equal(policy_best(c, 6), 4);
    assert_int_equal(policy_best(c, 2), -1);
    assert_int_equal(policy_best(c, 0), -1);
    c[2].reward = -INFINITY;
    assert_int_equal(policy_best(c, 3), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_a_cut),
        cmocka_unit_test(order_of_any_rewards),
        cmocka_unit_test(how_many_are_dropped),
        cmocka_unit_test(how_many_the_published_code_keeps),
        cmocka_unit_test(schedules),
        cmocka_unit_test(memory_round_starts_exactly_when_it_must),
        cmocka_unit_test(cut_again_until_all_fit),
        cmocka_unit_test(complete_ones_are_cut_and_can_win),
        cmocka_unit_test(cuts_that_free_nothing),
        cmocka_unit_test(scheduled_rounds),
        cmocka_unit_test(early_rounds),
        cmocka_unit_test(scheduled_where_memory_ends),
        cmocka_unit_test(one_candidate),
        cmocka_unit_test(nan_is_dropped_first),
        cmocka_unit_test(broken_ones_are_cut_first),
        cmocka_unit_test(all_broken),
        cmocka_unit_test(scores_are_not_asked_for_twice),
        cmocka_unit_test(published_code),
        cmocka_unit_test(best_of_n),
        cmocka_unit_test(best_of_n_with_scores_on_the_way),
        cmocka_unit_test(the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
