/* Two result files against each other, or one against the rules.
 *
 *   compare_results paired BEST_OF_N OTHER   OTHER's candidates are those of BEST_OF_N: complete
 *       ones have the same ids, status and reward bits, rejected ones are a prefix
 *   compare_results same A B      the same candidates, rounds and partial rewards, but for times
 *   compare_results part A B      the same, where B may hold only some of A's prompts
 *   compare_results partials SCORED OTHER    every partial reward in OTHER has the bits of SCORED's
 *       (score_at) for the same candidate and length
 *   compare_results rounds FILE [memory]     every round starts exactly when it must, counts the
 *       pages that the lengths give, and drops whom the rule says; memory: at least one memory
 *       round is in the file
 *   compare_results work FILE COPIES         without evictions, a row of the generator for every
 * token that was read, each once: the prompt's (in each of the COPIES groups that share a prompt)
 * and the candidates'; for one copy also: the most KV in use holds the prompt's once
 *   compare_results verify FILE   every prompt's rows have the hash that they were committed with,
 *       no prompt is there twice; prints the number of prompts
 *   compare_results numerics SOUND BROKEN TOKEN    what is the same with and without a model whose
 *       numbers overflow where it reads TOKEN (numerics_models.py): the other candidates have the
 *       same bits, those with TOKEN end behind it with no reward, and do not win; a prompt that has
 *       no other is skipped; prints how many ended so, of all
 *   compare_results rewards SOUND BROKEN TOKEN     the same of a reward model: with TOKEN in the
 *       text the reward is NaN
 *   compare_results judged FILE CONTEXT      the judge was the reward model itself, held to CONTEXT
 *       tokens: a complete candidate has its reward twice, bit for bit, unless it is longer with
 *       its prompt; prints how many are
 *   compare_results evictions FILE           prints their number
 *   compare_results runs FILE     prints the status of every start of the program, one a line
 *
 * Status 0; 1: a difference, named on stderr; 2: usage, or a file that cannot be read. */
#include "base/mem.h"
#include "trace/reader.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 16 /* tokens; on purpose not the program's own constant */

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

/* All rows of one prompt. */
struct prompt {
    const struct prompt_row *row;
    struct candidate_row *candidates;
    struct round_row *rounds;
    struct partial_reward_row *partials;
    int32_t **tokens; /* [n_candidates] */
    int64_t n_candidates, n_rounds, n_partials;
};

static void must(int rc, const struct err *e)
{
    if (rc >= 0) return;
    fprintf(stderr, "%s\n", e->text);
    exit(2);
}

static struct trace_reader *open_file(const char *path)
{
    struct err e = {0};
    struct trace_reader *r = trace_reader_open(path, &e);
    must(r ? 0 : -1, &e);
    return r;
}

static int by_candidate(const void *a, const void *b)
{
    int32_t x = ((const struct candidate_row *)a)->candidate,
            y = ((const struct candidate_row *)b)->candidate;
    return (x > y) - (x < y);
}

static int by_round_and_candidate(const void *a, const void *b)
{
    const struct partial_reward_row *x = a, *y = b;
    if (x->round != y->round) return x->round < y->round ? -1 : 1;
    return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

static struct prompt read_prompt(struct trace_reader *r, int64_t at)
{
    struct err e = {0};
    struct prompt p = {.row = &trace_prompts(r)[at]};
    must(trace_reader_verify(r, at, &e), &e);
    must(trace_read_candidates(r, at, &p.candidates, &p.n_candidates, &e), &e);
    must(trace_read_rounds(r, at, &p.rounds, &p.n_rounds, &e), &e);
    must(trace_read_partial_rewards(r, at, &p.partials, &p.n_partials, &e), &e);
    qsort(p.candidates, (size_t)p.n_candidates, sizeof *p.candidates, by_candidate);
    qsort(p.partials, (size_t)p.n_partials, sizeof *p.partials, by_round_and_candidate);
    p.tokens = mem_calloc((size_t)p.n_candidates, sizeof *p.tokens);
    for (int64_t i = 0; i < p.n_candidates; i++) {
        const struct candidate_row *c = &p.candidates[i];
        p.tokens[i] = mem_calloc((size_t)c->n_tokens, sizeof(int32_t));
        must(trace_read_tokens(r, c->tokens_offset, c->n_tokens, p.tokens[i], &e), &e);
    }
    return p;
}

static void free_prompt(struct prompt *p)
{
    for (int64_t i = 0; i < p->n_candidates; i++) free(p->tokens[i]);
    free(p->tokens);
    free(p->candidates);
    free(p->rounds);
    free(p->partials);
}

/* Row of /prompts with this index, -1: none; twice is an error. */
static int64_t find_prompt(const struct trace_reader *r, int64_t prompt_index)
{
    int64_t found = -1;
    for (int64_t i = 0; i < trace_n_prompts(r); i++) {
        if (trace_prompts(r)[i].prompt_index != prompt_index) continue;
        if (found >= 0) FAIL("prompt %lld is in the file twice", (long long)prompt_index);
        found = i;
    }
    return found;
}

static bool is_complete(const struct candidate_row *c)
{
    return c->status != CANDIDATE_REJECTED;
}

/* Its logits were not finite: the last draw failed. */
static bool is_broken(const struct candidate_row *c)
{
    return c->finish_reason == FINISH_NUMERICS;
}

/* Tokens that were drawn for it, and that were not. */
static int64_t decoded(const struct candidate_row *c)
{
    return c->n_tokens + is_broken(c);
}

/* Equal bits; any two NaN are equal. */
static bool same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static bool same_ids(const struct prompt *a, const struct prompt *b, int64_t i, int64_t n)
{
    return memcmp(a->tokens[i], b->tokens[i], (size_t)n * sizeof(int32_t)) == 0;
}

/* ---- paired ---- */

static void check_pair(const struct prompt *all, const struct prompt *some)
{
    long long index = some->row->prompt_index;
    if (some->n_candidates > all->n_candidates)
        FAIL("prompt %lld: %lld candidates of %lld", index, (long long)some->n_candidates,
             (long long)all->n_candidates);
    for (int64_t i = 0; i < some->n_candidates; i++) {
        const struct candidate_row *a = &all->candidates[i], *b = &some->candidates[i];
        if (a->candidate != i || b->candidate != i)
            FAIL("prompt %lld: a candidate is missing", index);
        if (!is_complete(a) && !is_broken(a))
            FAIL("prompt %lld: Best-of-N did not complete candidate %d", index, a->candidate);
        bool has_ended = is_complete(b) || is_broken(b);
        if (b->n_tokens > a->n_tokens || (has_ended && b->n_tokens != a->n_tokens))
            FAIL("prompt %lld, candidate %d: %lld tokens of %lld", index, b->candidate,
                 (long long)b->n_tokens, (long long)a->n_tokens);
        if (!same_ids(all, some, i, b->n_tokens))
            FAIL("prompt %lld, candidate %d: other ids", index, b->candidate);
        if (!has_ended) continue;
        if (a->status != b->status || a->finish_reason != b->finish_reason)
            FAIL("prompt %lld, candidate %d: it ended in another way", index, b->candidate);
        if (!same_float(a->reward, b->reward) || a->logprob_sum != b->logprob_sum)
            FAIL(
                "prompt %lld, candidate %d: reward %.9g is not %.9g (log-probability %.17g, %.17g)",
                index, b->candidate, (double)b->reward, (double)a->reward, b->logprob_sum,
                a->logprob_sum);
    }
}

/* ---- same ---- */

static void check_same_candidates(const struct prompt *a, const struct prompt *b)
{
    long long index = a->row->prompt_index;
    if (a->n_candidates != b->n_candidates)
        FAIL("prompt %lld: another number of candidates", index);
    for (int64_t i = 0; i < a->n_candidates; i++) {
        const struct candidate_row *x = &a->candidates[i], *y = &b->candidates[i];
        if (x->candidate != y->candidate || x->status != y->status || x->n_tokens != y->n_tokens ||
            x->finish_reason != y->finish_reason || x->rejected_round != y->rejected_round)
            FAIL("prompt %lld, candidate %d: status %d, %lld tokens, cut in round %d; and %d, "
                 "%lld, %d",
                 index, x->candidate, x->status, (long long)x->n_tokens, x->rejected_round,
                 y->status, (long long)y->n_tokens, y->rejected_round);
        if (!same_ids(a, b, i, x->n_tokens))
            FAIL("prompt %lld, candidate %d: other ids", index, x->candidate);
        if (!same_float(x->reward, y->reward) || x->logprob_sum != y->logprob_sum)
            FAIL("prompt %lld, candidate %d: reward %.9g and %.9g", index, x->candidate,
                 (double)x->reward, (double)y->reward);
    }
}

static void check_same_rounds(const struct prompt *a, const struct prompt *b)
{
    long long index = a->row->prompt_index;
    if (a->n_rounds != b->n_rounds)
        FAIL("prompt %lld: %lld and %lld rounds", index, (long long)a->n_rounds,
             (long long)b->n_rounds);
    for (int64_t i = 0; i < a->n_rounds; i++) {
        const struct round_row *x = &a->rounds[i], *y = &b->rounds[i];
        if (x->round != y->round || x->trigger != y->trigger || x->step != y->step ||
            x->ranked != y->ranked || x->kept != y->kept || x->complete != y->complete ||
            !same_float(x->cut_reward, y->cut_reward) || x->live_tokens != y->live_tokens)
            FAIL("prompt %lld, round %lld differs", index, (long long)i);
    }
}

static void check_same_partials(const struct prompt *a, const struct prompt *b)
{
    long long index = a->row->prompt_index;
    if (a->n_partials != b->n_partials)
        FAIL("prompt %lld: %lld and %lld partial rewards", index, (long long)a->n_partials,
             (long long)b->n_partials);
    for (int64_t i = 0; i < a->n_partials; i++) {
        const struct partial_reward_row *x = &a->partials[i], *y = &b->partials[i];
        if (x->round != y->round || x->candidate != y->candidate || x->n_tokens != y->n_tokens ||
            !same_float(x->reward, y->reward))
            FAIL("prompt %lld, round %d, candidate %d: another partial reward", index, x->round,
                 x->candidate);
    }
}

static void check_same(const struct prompt *a, const struct prompt *b)
{
    if (a->row->status != b->row->status || strcmp(a->row->key, b->row->key) != 0 ||
        a->row->n != b->row->n || strcmp(a->row->reason, b->row->reason) != 0 ||
        a->row->best_candidate != b->row->best_candidate ||
        !same_float(a->row->best_reward, b->row->best_reward))
        FAIL("prompt %lld: another outcome (best candidate %lld and %lld)",
             (long long)a->row->prompt_index, (long long)a->row->best_candidate,
             (long long)b->row->best_candidate);
    check_same_candidates(a, b);
    check_same_rounds(a, b);
    check_same_partials(a, b);
}

/* ---- partials ---- */

static void check_partials(const struct prompt *scored, const struct prompt *other)
{
    long long index = other->row->prompt_index;
    int64_t compared = 0;
    for (int64_t i = 0; i < other->n_partials; i++) {
        const struct partial_reward_row *want = &other->partials[i];
        if (is_complete(&other->candidates[want->candidate]) &&
            other->candidates[want->candidate].n_tokens == want->n_tokens)
            continue; /* the final reward, which Best-of-N keeps in /candidates */
        bool found = false;
        for (int64_t k = 0; k < scored->n_partials && !found; k++) {
            const struct partial_reward_row *have = &scored->partials[k];
            if (have->candidate != want->candidate || have->n_tokens != want->n_tokens) continue;
            found = true;
            if (!same_float(have->reward, want->reward))
                FAIL("prompt %lld, candidate %d at %lld tokens: partial reward %.9g and %.9g",
                     index, want->candidate, (long long)want->n_tokens, (double)have->reward,
                     (double)want->reward);
        }
        if (!found)
            FAIL("prompt %lld, candidate %d was not scored at %lld tokens", index, want->candidate,
                 (long long)want->n_tokens);
        compared++;
    }
    if (compared == 0) FAIL("prompt %lld: no partial rewards", index);
}

typedef void (*check_fn)(const struct prompt *all, const struct prompt *some);

/* Every prompt of `some`, checked against the same prompt of `all`. */
static void compare_files(const char *all_path, const char *some_path, check_fn check,
                          bool same_prompts)
{
    struct trace_reader *all = open_file(all_path), *some = open_file(some_path);
    int64_t n = trace_n_prompts(some);
    for (int64_t i = 0; i < n; i++) {
        int64_t index = trace_prompts(some)[i].prompt_index, at = find_prompt(all, index);
        find_prompt(some, index);
        if (at < 0) FAIL("prompt %lld is not in %s", (long long)index, all_path);
        struct prompt a = read_prompt(all, at), b = read_prompt(some, i);
        check(&a, &b);
        free_prompt(&a);
        free_prompt(&b);
    }
    if (same_prompts && trace_n_prompts(all) != n)
        FAIL("%lld prompts in %s, %lld in %s", (long long)trace_n_prompts(all), all_path,
             (long long)n, some_path);
    trace_reader_close(all);
    trace_reader_close(some);
}

/* ---- rounds: design section 6 and 7, from the lengths alone ---- */

static int64_t pages(int64_t tokens)
{
    return (tokens + PAGE - 1) / PAGE;
}

/* Candidates that were live when they had `step` tokens, before a round at that step. */
static int64_t live_at(const struct prompt *p, int64_t step)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_candidates; i++) {
        const struct candidate_row *c = &p->candidates[i];
        n += c->n_tokens > step || (c->n_tokens == step && !is_complete(c));
    }
    return n;
}

/* The newest token's KV is written by the next step. */
static int64_t pages_at(const struct prompt *p, int64_t step, int64_t live)
{
    return pages(p->row->prompt_tokens) + live * pages(step - 1);
}

static const struct round_row *round_at(const struct prompt *p, int64_t step)
{
    for (int64_t i = 0; i < p->n_rounds; i++)
        if (p->rounds[i].step == step && p->rounds[i].trigger != TRIGGER_FINAL)
            return &p->rounds[i];
    return NULL;
}

/* At every page boundary: a round if and only if the live candidates need more than is free; a
 * round elsewhere is a scheduled one. */
static int64_t check_starts(const struct prompt *p)
{
    long long index = p->row->prompt_index;
    int64_t budget = p->n_rounds ? p->rounds[0].budget_tokens / PAGE : 0, memory = 0, longest = 0;
    for (int64_t i = 0; i < p->n_candidates; i++)
        if (p->candidates[i].n_tokens > longest) longest = p->candidates[i].n_tokens;
    for (int64_t step = 1; step <= longest; step++) {
        int64_t live = live_at(p, step), used = pages_at(p, step, live);
        int64_t need = (step - 1) % PAGE == 0 ? live : 0;
        bool must_start = budget > 0 && need > budget - used;
        const struct round_row *r = round_at(p, step);
        if (must_start && !r) FAIL("prompt %lld: no round at step %lld", index, (long long)step);
        if (!r) continue;
        if (r->live_tokens != used * PAGE)
            FAIL("prompt %lld, step %lld: %lld tokens in use, the lengths give %lld", index,
                 (long long)step, (long long)r->live_tokens, (long long)(used * PAGE));
        if (!must_start && r->trigger != TRIGGER_SCHEDULE)
            FAIL("prompt %lld: a round at step %lld, where %lld pages are free and %lld needed",
                 index, (long long)step, (long long)(budget - used), (long long)need);
        memory += r->trigger == TRIGGER_MEMORY;
    }
    return memory;
}

struct ranked {
    float reward;
    int32_t candidate;
    bool live;
};

static int better_first(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;
    if (isnan(a->reward) != isnan(b->reward)) return isnan(a->reward) ? 1 : -1;
    if (a->reward > b->reward) return -1;
    if (a->reward < b->reward) return 1;
    return a->candidate - b->candidate;
}

/* Those that count in a round, best first; live ones with the reward of their partial text. */
static int64_t rank(const struct prompt *p, const struct round_row *round, struct ranked *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_candidates; i++) {
        const struct candidate_row *c = &p->candidates[i];
        bool cut_before = c->rejected_round >= 0 && c->rejected_round < round->round;
        if (cut_before) continue;
        bool live = c->n_tokens > round->step || (c->n_tokens == round->step && !is_complete(c));
        out[n++] = (struct ranked){c->reward, c->candidate, live};
        if (!live) continue;
        out[n - 1].reward = NAN;
        for (int64_t k = 0; k < p->n_partials; k++)
            if (p->partials[k].round == round->round && p->partials[k].candidate == c->candidate)
                out[n - 1].reward = p->partials[k].reward;
    }
    qsort(out, (size_t)n, sizeof *out, better_first);
    return n;
}

/* Dropped: the last floor(alpha n), again and again until the live ones can take their next page.
 */
static void check_cut(const struct prompt *p, const struct round_row *round)
{
    struct ranked *order = mem_calloc((size_t)p->n_candidates, sizeof *order);
    int64_t n = rank(p, round, order), kept = n, live = 0, complete = 0;
    for (int64_t i = 0; i < n; i++) {
        live += order[i].live;
        complete += !order[i].live && is_complete(&p->candidates[order[i].candidate]);
    }
    int64_t boundary = (round->step - 1) % PAGE == 0;
    for (bool first = true; kept > 1; first = false) {
        bool fits = pages_at(p, round->step, live) + boundary * live <= round->budget_tokens / PAGE;
        if (!first && fits) break;
        int64_t dropped = (int64_t)floor(p->row->alpha * (double)kept + 1e-9);
        if (dropped == 0 && !fits) dropped = 1;
        for (; dropped > 0; dropped--) live -= order[--kept].live;
    }
    long long index = p->row->prompt_index, number = round->round;
    if (n != round->ranked || kept != round->kept || complete != round->complete ||
        !same_float(order[kept - 1].reward, round->cut_reward))
        FAIL("prompt %lld, round %lld: ranked %lld, kept %lld, complete %lld; by the rule %lld, "
             "%lld, %lld",
             index, number, (long long)round->ranked, (long long)round->kept,
             (long long)round->complete, (long long)n, (long long)kept, (long long)complete);
    for (int64_t i = 0; i < n; i++) {
        bool dropped = p->candidates[order[i].candidate].rejected_round == round->round;
        if (dropped != (i >= kept))
            FAIL("prompt %lld, round %lld: candidate %d has rank %lld of %lld kept", index, number,
                 order[i].candidate, (long long)i, (long long)kept);
    }
    free(order);
}

static void check_best(const struct prompt *p)
{
    int64_t best = -1;
    for (int64_t i = 0; i < p->n_candidates; i++) {
        const struct candidate_row *c = &p->candidates[i];
        if (!is_complete(c) || isnan(c->reward)) continue;
        if (best < 0 || c->reward > p->candidates[best].reward) best = i;
    }
    float reward = best < 0 ? NAN : p->candidates[best].reward;
    if (best != p->row->best_candidate || !same_float(reward, p->row->best_reward))
        FAIL("prompt %lld: the best candidate is %lld, not %lld", (long long)p->row->prompt_index,
             (long long)best, (long long)p->row->best_candidate);
}

static void check_rounds(const char *path, bool memory_wanted)
{
    struct trace_reader *r = open_file(path);
    int64_t memory = 0;
    for (int64_t i = 0; i < trace_n_prompts(r); i++) {
        struct prompt p = read_prompt(r, i);
        memory += check_starts(&p);
        for (int64_t k = 0; k < p.n_rounds; k++) {
            if (p.rounds[k].round != k)
                FAIL("prompt %lld: round %lld is missing", (long long)p.row->prompt_index,
                     (long long)k);
            if (p.rounds[k].trigger != TRIGGER_FINAL) check_cut(&p, &p.rounds[k]);
        }
        check_best(&p);
        free_prompt(&p);
    }
    if (memory_wanted && memory == 0) FAIL("%s: no memory round in it", path);
    trace_reader_close(r);
}

/* ---- work: what was computed and held follows the live set ---- */

/* Most pages in use at a time: before each step every candidate that goes on has room for its
 * newest token; the prompt is there once. */
static int64_t peak_pages(const struct prompt *p)
{
    int64_t prompt = pages(p->row->prompt_tokens), peak = prompt, longest = 0;
    for (int64_t i = 0; i < p->n_candidates; i++)
        if (decoded(&p->candidates[i]) > longest) longest = decoded(&p->candidates[i]);
    for (int64_t step = 1; step < longest; step++) {
        int64_t live = 0;
        for (int64_t i = 0; i < p->n_candidates; i++) live += decoded(&p->candidates[i]) > step;
        if (prompt + live * pages(step) > peak) peak = prompt + live * pages(step);
    }
    return peak;
}

static void check_work(const char *path, int64_t copies)
{
    struct trace_reader *r = open_file(path);
    if (copies < 1) FAIL("%lld copies", (long long)copies);
    for (int64_t k = 0; k < trace_n_prompts(r); k++) {
        if (trace_prompts(r)[k].status != PROMPT_OK) continue;
        struct prompt p = read_prompt(r, k);
        long long index = p.row->prompt_index;
        if (p.row->evictions > 0) FAIL("prompt %lld: with evictions, rows repeat", index);
        int64_t generated = 0, rows = copies * p.row->prompt_tokens;
        for (int64_t i = 0; i < p.n_candidates; i++) {
            generated += p.candidates[i].n_tokens;
            rows += decoded(&p.candidates[i]) - 1; /* the last token is never read */
        }
        if (p.row->tokens_generated != generated || p.row->rows_computed != rows)
            FAIL(
                "prompt %lld: %lld tokens generated in %lld rows, the candidates have %lld in %lld",
                index, (long long)p.row->tokens_generated, (long long)p.row->rows_computed,
                (long long)generated, (long long)rows);
        int64_t peak = peak_pages(&p) * PAGE;
        if (copies == 1 && p.row->kv_peak_tokens != peak)
            FAIL("prompt %lld: %lld tokens of KV at most, the lengths give %lld", index,
                 (long long)p.row->kv_peak_tokens, (long long)peak);
        free_prompt(&p);
    }
    trace_reader_close(r);
}

/* ---- numbers that are not finite ---- */

/* Where the token stands in a candidate's first n tokens, -1: nowhere. */
static int64_t find_token(const struct prompt *p, int64_t i, int64_t n, int32_t token)
{
    for (int64_t k = 0; k < n; k++)
        if (p->tokens[i][k] == token) return k;
    return -1;
}

/* Candidate i with a sound model (a) and one that breaks on the token (b); whether it broke. */
static bool check_broken(const struct prompt *sound, const struct prompt *broken, int64_t i,
                         int32_t token)
{
    const struct candidate_row *a = &sound->candidates[i], *b = &broken->candidates[i];
    int64_t at = find_token(sound, i, a->n_tokens - 1, token); /* the last one is never read */
    bool breaks = at >= 0, alike = breaks ? b->n_tokens == at + 1 && is_broken(b)
                                          : b->n_tokens == a->n_tokens && !is_broken(b);
    bool ended = breaks ? b->status == CANDIDATE_REJECTED && isnan(b->reward)
                        : b->status == a->status && same_float(a->reward, b->reward) &&
                              a->logprob_sum == b->logprob_sum;
    if (!alike || !ended || !same_ids(sound, broken, i, b->n_tokens))
        FAIL("prompt %lld, candidate %lld: %lld tokens, reason %d, status %d, reward %g; the token "
             "is at %lld of %lld",
             (long long)sound->row->prompt_index, (long long)i, (long long)b->n_tokens,
             b->finish_reason, b->status, (double)b->reward, (long long)at, (long long)a->n_tokens);
    return breaks;
}

/* The same of a reward model.  of_prompt: it holds the token, and no text has a reward. */
static bool check_unrewarded(const struct prompt *sound, const struct prompt *broken, int64_t i,
                             int32_t token)
{
    bool of_prompt = broken->row->best_candidate < 0;
    const struct candidate_row *a = &sound->candidates[i], *b = &broken->candidates[i];
    int64_t text = a->n_tokens - (a->status == CANDIDATE_FINISHED);
    bool breaks = of_prompt || find_token(sound, i, text, token) >= 0;
    if (a->n_tokens != b->n_tokens || !same_ids(sound, broken, i, a->n_tokens) ||
        a->status != b->status || !same_float(b->reward, breaks ? NAN : a->reward))
        FAIL("prompt %lld, candidate %lld: reward %g, with a sound model %g",
             (long long)sound->row->prompt_index, (long long)i, (double)b->reward,
             (double)a->reward);
    return breaks;
}

static void check_numerics(const char *sound_path, const char *broken_path, int32_t token,
                           bool of_rewards)
{
    struct trace_reader *sound = open_file(sound_path), *broken = open_file(broken_path);
    int64_t n = 0, all = 0;
    for (int64_t k = 0; k < trace_n_prompts(broken); k++) {
        int64_t at = find_prompt(sound, trace_prompts(broken)[k].prompt_index);
        if (at < 0) FAIL("a prompt is missing in %s", sound_path);
        struct prompt a = read_prompt(sound, at), b = read_prompt(broken, k);
        int64_t before = n;
        bool skipped = b.row->status == PROMPT_SKIPPED;
        for (int64_t i = 0; i < a.n_candidates && !skipped; i++)
            n += of_rewards ? check_unrewarded(&a, &b, i, token) : check_broken(&a, &b, i, token);
        if (!skipped) check_best(&b);
        if (skipped != (strncmp(b.row->reason, "no answer: ", 11) == 0) ||
            (n > before && b.row->reason[0] == 0))
            FAIL("prompt %lld: status %d, %s", (long long)b.row->prompt_index, b.row->status,
                 b.row->reason);
        all += a.n_candidates;
        free_prompt(&a);
        free_prompt(&b);
    }
    printf("%lld of %lld\n", (long long)n, (long long)all);
    trace_reader_close(sound);
    trace_reader_close(broken);
}

static void check_judged(const char *path, int64_t context)
{
    struct trace_reader *r = open_file(path);
    int64_t unread = 0;
    for (int64_t k = 0; k < trace_n_prompts(r); k++) {
        struct prompt p = read_prompt(r, k);
        for (int64_t i = 0; i < p.n_candidates; i++) {
            const struct candidate_row *c = &p.candidates[i];
            int64_t text = p.row->prompt_tokens + c->n_tokens - (c->status == CANDIDATE_FINISHED);
            bool is_read = is_complete(c) && text <= context;
            unread += is_complete(c) && !is_read;
            if (!same_float(c->judge_reward, is_read ? c->reward : NAN))
                FAIL("prompt %lld, candidate %lld (%lld tokens): reward %a, the judge's %a",
                     (long long)p.row->prompt_index, (long long)i, (long long)text,
                     (double)c->reward, (double)c->judge_reward);
        }
        free_prompt(&p);
    }
    printf("%lld\n", (long long)unread);
    trace_reader_close(r);
}

static void print_evictions(const char *path)
{
    struct trace_reader *r = open_file(path);
    int64_t n = 0;
    for (int64_t i = 0; i < trace_n_prompts(r); i++) n += trace_prompts(r)[i].evictions;
    printf("%lld\n", (long long)n);
    trace_reader_close(r);
}

static void print_runs(const char *path)
{
    struct trace_reader *r = open_file(path);
    for (int64_t i = 0; i < trace_n_runs(r); i++) printf("%d\n", trace_runs(r)[i].status);
    trace_reader_close(r);
}

static void verify(const char *path)
{
    struct trace_reader *r = open_file(path);
    for (int64_t i = 0; i < trace_n_prompts(r); i++) {
        find_prompt(r, trace_prompts(r)[i].prompt_index);
        struct prompt p = read_prompt(r, i);
        free_prompt(&p);
    }
    printf("%lld\n", (long long)trace_n_prompts(r));
    trace_reader_close(r);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "paired") == 0 && argc == 4)
        compare_files(argv[2], argv[3], check_pair, true);
    else if (strcmp(what, "same") == 0 && argc == 4)
        compare_files(argv[2], argv[3], check_same, true);
    else if (strcmp(what, "part") == 0 && argc == 4)
        compare_files(argv[2], argv[3], check_same, false);
    else if (strcmp(what, "partials") == 0 && argc == 4)
        compare_files(argv[2], argv[3], check_partials, true);
    else if (strcmp(what, "evictions") == 0)
        print_evictions(argv[2]);
    else if (strcmp(what, "runs") == 0)
        print_runs(argv[2]);
    else if (strcmp(what, "rounds") == 0)
        check_rounds(argv[2], argc > 3);
    else if (strcmp(what, "work") == 0 && argc == 4)
        check_work(argv[2], atoll(argv[3]));
    else if (strcmp(what, "numerics") == 0 && argc == 5)
        check_numerics(argv[2], argv[3], atoi(argv[4]), false);
    else if (strcmp(what, "rewards") == 0 && argc == 5)
        check_numerics(argv[2], argv[3], atoi(argv[4]), true);
    else if (strcmp(what, "judged") == 0 && argc == 4)
        check_judged(argv[2], atoll(argv[3]));
    else if (strcmp(what, "verify") == 0)
        verify(argv[2]);
    else {
        fprintf(stderr,
                "usage: compare_results paired|same|part|partials A B; rounds FILE "
                "[memory]; work FILE COPIES; numerics|rewards SOUND BROKEN TOKEN; judged FILE "
                "CONTEXT; evictions|runs|verify FILE\n");
        return 2;
    }
    return 0;
}
