/* From a job to its policy: which one decides, how many candidates a prompt starts with, and that
 * every number which a refusal names is the right one. */
#include "policy/of_job.h"

#include "decode/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct job rejection(void)
{
    return (struct job){.method = METHOD_SPECULATIVE_REJECTION,
                        .n = 8,
                        .n_max = 100,
                        .alpha = 0.5,
                        .min_round_tokens = 32,
                        .rounds.kind = SCHEDULE_MEMORY,
                        .sampling.max_new_tokens = 64};
}

/* The number that follows `word` in the text. */
static int64_t number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    assert_non_null(at);
    return strtoll(at + strlen(word), NULL, 10);
}

static void which_policy(void **state)
{
    (void)state;
    struct job j = rejection();
    assert_ptr_equal(policy_of_job(&j).ops, &policy_speculative_rejection);
    assert_int_equal(policy_of_job(&j).config.schedule.when, WHEN_NEVER);
    j.compat = COMPAT_PAPER_CODE_2024;
    assert_ptr_equal(policy_of_job(&j).ops, &policy_paper_code_2024);
    j.rounds = (struct schedule){.kind = SCHEDULE_EVERY, .every = 20};
    assert_int_equal(policy_next_point(&(struct policy){.config = policy_of_job(&j).config}, 17),
                     20);
    /* At alpha 0 nothing is ever cut: it is Best-of-N, and its rounds are none. */
    j.alpha = 0;
    assert_ptr_equal(policy_of_job(&j).ops, &policy_best_of_n);
    assert_int_equal(policy_of_job(&j).config.schedule.when, WHEN_NEVER);
    j.score_at.kind = SCHEDULE_DOUBLING;
    assert_int_equal(policy_of_job(&j).config.schedule.when, WHEN_DOUBLING);
}

/* Each candidate of rejection must reach min_round_tokens: n * 2 pages beside the prompt's. */
static void how_many_start(void **state)
{
    (void)state;
    struct err e;
    struct job j = rejection();
    int64_t prompt = 20, room = 2 * 8; /* pages */
    int64_t budget = pages_of(prompt) + room;
    assert_int_equal(policy_candidates(&j, budget, 1, prompt, &e), 8);
    j.n = 9;
    assert_int_equal(policy_candidates(&j, budget, 1, prompt, &e), 0);
    assert_int_equal(number_after(e.text, "the largest n that does is "), 8);
    j.n = 0; /* auto: that many, at most n_max */
    assert_int_equal(policy_candidates(&j, budget, 1, prompt, &e), 8);
    j.n_max = 5;
    assert_int_equal(policy_candidates(&j, budget, 1, prompt, &e), 5);
    j.n = 9;
    j.sampling.max_new_tokens = 10; /* no round that early: they need a page each */
    assert_int_equal(policy_candidates(&j, pages_of(prompt) + 9, 1, prompt, &e), 9);
    /* Best-of-N's wait for each other: any number can be started. */
    j = rejection();
    j.method = METHOD_BEST_OF_N;
    j.n = 1000000;
    assert_int_equal(policy_candidates(&j, budget, 1, prompt, &e), 1000000);
}

/* What a budget is to be raised to does, and a page less does not: for each share one candidate to
 * its end. */
static void least_budget(void **state)
{
    (void)state;
    for (int64_t shares = 1; shares <= 3; shares++) {
        struct err e;
        struct job j = rejection();
        j.n = 1;
        assert_int_equal(policy_candidates(&j, 1, shares, 33, &e), 0);
        int64_t least = number_after(e.text, "raise it to ");
        assert_int_equal(least, (3 + shares * 4) * PAGE_TOKENS);
        assert_int_equal(policy_candidates(&j, least / PAGE_TOKENS, shares, 33, &e), 1);
        assert_int_equal(policy_candidates(&j, least / PAGE_TOKENS - 1, shares, 33, &e), 0);
        assert_int_equal(strstr(e.text, "for each of the") != NULL, shares > 1);
    }
}

static void expected_pages(void **state)
{
    (void)state;
    struct job j = rejection();
    assert_int_equal(policy_expected_pages(&j, 0, 0), 2);   /* half of the limit */
    assert_int_equal(policy_expected_pages(&j, 40, 0), 3);  /* the mean */
    assert_int_equal(policy_expected_pages(&j, 40, 40), 4); /* beyond it a page more */
    assert_int_equal(policy_expected_pages(&j, 10, 63), 4); /* never beyond the limit */
    j.batching = BATCHING_STATIC;
    assert_int_equal(policy_expected_pages(&j, 10, 0), 4);
}

/* Who does not ask for rejection hears nothing; the others what would bring it about. */
static void nobody_rejected(void **state)
{
    (void)state;
    const char *why;
    struct job j = rejection();
    assert_non_null(strstr(policy_rejects_nobody(&j, &why), "budget_tokens"));
    assert_non_null(strstr(why, "budget_tokens"));
    j.rounds.kind = SCHEDULE_EVERY;
    assert_null(strstr(policy_rejects_nobody(&j, &why), "budget_tokens"));
    assert_non_null(strstr(why, "round"));
    j.n = 1;
    assert_null(policy_rejects_nobody(&j, &why));
    j.n = 0;
    assert_non_null(policy_rejects_nobody(&j, &why));
    j.alpha = 0;
    assert_null(policy_rejects_nobody(&j, &why));
    j.alpha = 0.5;
    j.method = METHOD_BEST_OF_N;
    assert_null(policy_rejects_nobody(&j, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_policy),    cmocka_unit_test(how_many_start),
        cmocka_unit_test(least_budget),    cmocka_unit_test(expected_pages),
        cmocka_unit_test(nobody_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
