#include "policy/of_job.h"

#include "backend/backend.h"

#include <stdio.h>

static struct policy_schedule to_policy_schedule(const struct schedule *s)
{
    static const enum policy_when when[] = {
        [SCHEDULE_OFF] = WHEN_NEVER,   [SCHEDULE_MEMORY] = WHEN_NEVER,
        [SCHEDULE_EVERY] = WHEN_EVERY, [SCHEDULE_DOUBLING] = WHEN_DOUBLING,
        [SCHEDULE_PAGES] = WHEN_PAGES, [SCHEDULE_AT] = WHEN_AT};
    return (struct policy_schedule){
        .when = when[s->kind], .every = s->every, .at = s->at, .n_at = s->n_at};
}

struct policy policy_of_job(const struct job *j)
{
    bool rejects = j->method == METHOD_SPECULATIVE_REJECTION && j->alpha > 0;
    struct policy_config c = {.n = j->n, .alpha = j->alpha};
    c.schedule = to_policy_schedule(rejects ? &j->rounds : &j->score_at);
    enum policy_kind kind = !rejects                              ? POLICY_BEST_OF_N
                            : j->compat == COMPAT_PAPER_CODE_2024 ? POLICY_PAPER_CODE_2024
                                                                  : POLICY_SPECULATIVE_REJECTION;
    return policy_create(kind, &c);
}

const char *policy_rejects_nobody(const struct job *j, const char **why)
{
    bool by_memory = j->rounds.kind == SCHEDULE_MEMORY;
    *why = by_memory ? "within budget_tokens" : "before a round cut them";
    if (j->method != METHOD_SPECULATIVE_REJECTION || j->alpha <= 0 || j->n == 1) return NULL;
    return by_memory ? "lower budget_tokens, raise n, or set rounds: every K"
                     : "set earlier rounds";
}

/* Every share must hold one candidate. */
static int check_budget(const struct job *j, int64_t budget_pages, int64_t n_shares,
                        int64_t prompt_tokens, struct err *e)
{
    int64_t max_new = j->sampling.max_new_tokens;
    int64_t need = pages_of(prompt_tokens) + n_shares * pages_of(max_new);
    if (budget_pages >= need) return 0;
    char whose[64] = "";
    if (n_shares > 1)
        snprintf(whose, sizeof whose, " for each of the %lld groups", (long long)n_shares);
    return err_set(e,
                   "budget_tokens %lld cannot hold one candidate of %lld prompt + %lld new "
                   "tokens%s; raise it to %lld",
                   (long long)(budget_pages * PAGE_TOKENS), (long long)prompt_tokens,
                   (long long)max_new, whose, (long long)(need * PAGE_TOKENS));
}

int64_t policy_candidates(const struct job *j, int64_t budget_pages, int64_t n_shares,
                          int64_t prompt_tokens, struct err *e)
{
    int64_t max_new = j->sampling.max_new_tokens;
    int64_t room = budget_pages - pages_of(prompt_tokens);
    if (check_budget(j, budget_pages, n_shares, prompt_tokens, e) < 0) return 0;
    int64_t first = j->min_round_tokens < max_new ? j->min_round_tokens : max_new;
    int64_t most = room / pages_of(first);
    if (j->n == 0) return most < j->n_max ? most : j->n_max;
    if (policy_of_job(j).ops->lockstep && j->n > most) {
        err_set(e,
                "n %lld cannot reach min_round_tokens %lld within budget_tokens %lld; the largest "
                "n that does is %lld",
                (long long)j->n, (long long)first, (long long)(budget_pages * PAGE_TOKENS),
                (long long)most);
        return 0;
    }
    return j->n;
}

int64_t policy_expected_pages(const struct job *j, int64_t mean_complete, int64_t n_tokens)
{
    int64_t max_new = j->sampling.max_new_tokens;
    if (j->batching == BATCHING_STATIC) return pages_of(max_new);
    int64_t mean = mean_complete ? mean_complete : (max_new + 1) / 2;
    int64_t next = n_tokens + PAGE_TOKENS < max_new ? n_tokens + PAGE_TOKENS : max_new;
    return pages_of(mean > next ? mean : next);
}
