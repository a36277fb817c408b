/* What is written down of a prompt: gathered from all ranks that shared it to the first of them, as
 * rows. */
#include "run/prompt_state.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every rank contributes; arrays follow: rows [n_rows], tokens, partial rewards, spans. */
struct share_head {
    int64_t n_rows, n_tokens, n_partials, n_spans, failed, ends_job;
    int64_t tokens_generated, tokens_scored, generator_rows, evictions, own_peak_pages;
    double energy_j; /* of this rank, leader or not */
    struct cost generator, reward;
    struct err error;
};

struct share_row {
    int64_t candidate, n_tokens;
    int32_t status, pad;
    struct policy_candidate state;
    struct model_place broken_at;
};

static struct cost cost_of(const struct model *m, const struct model_stats *s)
{
    return m->backend ? model_cost(m, s) : (struct cost){0};
}

static struct share_head make_head(struct prompt_state *st)
{
    struct worker *w = st->w;
    bool leader = w->grid.is_leader;
    struct share_head h = {
        .n_spans = (int64_t)st->spans.n, .failed = st->failed, .error = st->error};
    h.ends_job = st->ends_job;
    h.energy_j = st->energy_j;
    if (!leader || st->skipped) return h;
    h.n_partials = (int64_t)st->partials.n;
    h.tokens_generated = st->engine.tokens_sampled;
    h.tokens_scored = st->tokens_scored;
    h.generator_rows = st->engine.stats.rows;
    h.evictions = st->evictions;
    h.own_peak_pages = kvcache_peak(st->kv) - st->prompt_pages;
    h.generator = cost_of(&w->generator, &st->engine.stats);
    h.reward = cost_of(&w->reward, &st->reward_stats);
    for (int64_t i = 0; i < st->n; i++) {
        if (!OWNS(st, i)) continue;
        h.n_rows++;
        h.n_tokens += st->sequences[i].n_tokens;
    }
    return h;
}

static void *pack_share(struct prompt_state *st, size_t *bytes)
{
    struct share_head h = make_head(st);
    size_t rows = (size_t)h.n_rows * sizeof(struct share_row),
           tokens = (size_t)h.n_tokens * sizeof(int32_t),
           partials = (size_t)h.n_partials * sizeof(struct partial_reward_row),
           spans = (size_t)h.n_spans * sizeof(struct span);
    *bytes = sizeof h + rows + tokens + partials + spans;
    char *message = mem_calloc(*bytes, 1), *row_at = message + sizeof h, *token_at = row_at + rows;
    memcpy(message, &h, sizeof h);
    for (int64_t i = 0; i < st->n && h.n_rows > 0; i++) {
        const struct sequence *s = &st->sequences[i];
        if (!OWNS(st, i)) continue;
        struct share_row row = {.candidate = i,
                                .n_tokens = s->n_tokens,
                                .status = (int32_t)s->status,
                                .state = st->view[i],
                                .broken_at = s->broken_at};
        memcpy(row_at, &row, sizeof row);
        memcpy(token_at, s->tokens, (size_t)s->n_tokens * sizeof(int32_t));
        row_at += sizeof row;
        token_at += (size_t)s->n_tokens * sizeof(int32_t);
    }
    if (partials) memcpy(message + sizeof h + rows + tokens, st->partials.items, partials);
    if (spans) memcpy(message + sizeof h + rows + tokens + partials, st->spans.items, spans);
    return message;
}

struct gathered {
    struct share_row *rows; /* [n] by candidate */
    int32_t **tokens;       /* [n] into the messages */
    int64_t n;
};

static bool is_complete(const struct share_row *row)
{
    return row->status == SEQUENCE_FINISHED || row->status == SEQUENCE_TRUNCATED;
}

static bool wants_candidate(const struct job *j, const struct share_row *row, bool best)
{
    return j->record.candidates == RECORD_CANDIDATES_ALL || best ||
           (j->record.candidates == RECORD_CANDIDATES_COMPLETED && is_complete(row));
}

static struct candidate_row candidate_row(const struct prompt_state *st,
                                          const struct share_row *row)
{
    static const int32_t status[] = {
        [SEQUENCE_WAITING] = CANDIDATE_REJECTED,  [SEQUENCE_LIVE] = CANDIDATE_REJECTED,
        [SEQUENCE_FINISHED] = CANDIDATE_FINISHED, [SEQUENCE_TRUNCATED] = CANDIDATE_TRUNCATED,
        [SEQUENCE_REJECTED] = CANDIDATE_REJECTED, [SEQUENCE_BROKEN] = CANDIDATE_REJECTED};
    static const int32_t reason[] = {[CANDIDATE_FINISHED] = FINISH_END_TOKEN,
                                     [CANDIDATE_TRUNCATED] = FINISH_LENGTH,
                                     [CANDIDATE_REJECTED] = FINISH_REJECTED};
    int32_t s = status[row->status];
    return (struct candidate_row){.prompt_index = st->in->index,
                                  .candidate = to_i32(row->candidate),
                                  .status = s,
                                  .finish_reason =
                                      row->status == SEQUENCE_BROKEN ? FINISH_NUMERICS : reason[s],
                                  .rejected_round = row->state.rejected_round,
                                  .reward = row->state.reward,
                                  .judge_reward = NAN,
                                  .logprob_sum = row->state.logprob_sum,
                                  .n_tokens = row->n_tokens,
                                  .text_offset = -1};
}

/* The response as text, end token left out; an id that does not decode leaves the text empty. */
static void add_text(const struct prompt_state *st, const struct share_row *row,
                     const int32_t *tokens, struct candidate_row *out, struct bytes *pool)
{
    enum record_text choice = st->w->job->record.text;
    if (!st->w->tokenizer || choice == RECORD_TEXT_NONE ||
        (choice == RECORD_TEXT_COMPLETED && !is_complete(row)))
        return;
    struct bytes raw = {0};
    struct err e;
    int64_t n = row->n_tokens - (row->status == SEQUENCE_FINISHED);
    out->text_offset = (int64_t)pool->n;
    if (tokenizer_decode(st->w->tokenizer, tokens, (size_t)n, true, &raw, &e) == 0)
        utf8_repair(raw.items, raw.n, pool);
    out->text_length = (int64_t)pool->n - out->text_offset;
    free(raw.items);
}

static void record_candidates(const struct prompt_state *st, const struct gathered *g, int64_t best,
                              struct trace_record *r)
{
    struct {
        int32_t *items;
        size_t n, cap;
    } tokens = {0};
    struct bytes text = {0};
    r->candidates = mem_calloc((size_t)g->n, sizeof *r->candidates);
    for (int64_t i = 0; i < g->n; i++) {
        const struct share_row *row = &g->rows[i];
        if (!wants_candidate(st->w->job, row, i == best)) continue;
        struct candidate_row *out = &r->candidates[r->n_candidates++];
        *out = candidate_row(st, row);
        out->tokens_offset = (int64_t)tokens.n;
        ARRAY_RESERVE(tokens, tokens.n + (size_t)row->n_tokens);
        if (row->n_tokens)
            memcpy(tokens.items + tokens.n, g->tokens[i], (size_t)row->n_tokens * sizeof(int32_t));
        tokens.n += (size_t)row->n_tokens;
        add_text(st, row, g->tokens[i], out, &text);
    }
    r->tokens = tokens.items;
    r->n_tokens = (int64_t)tokens.n;
    r->text = (uint8_t *)text.items;
    r->n_text = (int64_t)text.n;
}

static void add_spans(struct trace_record *r, const char *at, int64_t n, int32_t rank)
{
    r->trace = mem_realloc(r->trace, (size_t)(r->n_trace + n), sizeof *r->trace);
    for (int64_t i = 0; i < n; i++) {
        struct span s;
        memcpy(&s, at + (size_t)i * sizeof s, sizeof s);
        r->trace[r->n_trace++] =
            (struct trace_row){rank,     s.phase,     s.prompt_index, s.step, s.start_ns,
                               s.end_ns, s.sequences, s.tokens,       s.bytes};
    }
}

static void add_partials(struct trace_record *r, const char *at, int64_t n)
{
    size_t size = sizeof *r->partial_rewards;
    r->partial_rewards = mem_realloc(r->partial_rewards, (size_t)(r->n_partial_rewards + n), size);
    if (n) memcpy(r->partial_rewards + r->n_partial_rewards, at, (size_t)n * size);
    r->n_partial_rewards += n;
}

/* One rank's message into the record and the list of candidates. */
static void unpack_share(const char *at, int32_t rank, struct gathered *g, struct share_head *sum,
                         struct trace_record *r)
{
    struct share_head h;
    memcpy(&h, at, sizeof h);
    const char *row_at = at + sizeof h,
               *token_at = row_at + (size_t)h.n_rows * sizeof(struct share_row);
    const char *rest = token_at + (size_t)h.n_tokens * sizeof(int32_t);
    for (int64_t i = 0; i < h.n_rows; i++) {
        struct share_row row;
        memcpy(&row, row_at + (size_t)i * sizeof row, sizeof row);
        g->rows[row.candidate] = row;
        g->tokens[row.candidate] = mem_calloc((size_t)row.n_tokens, sizeof(int32_t));
        memcpy(g->tokens[row.candidate], token_at, (size_t)row.n_tokens * sizeof(int32_t));
        token_at += (size_t)row.n_tokens * sizeof(int32_t);
    }
    add_partials(r, rest, h.n_partials);
    add_spans(r, rest + (size_t)h.n_partials * sizeof(struct partial_reward_row), h.n_spans, rank);
    if (h.failed && !sum->failed) sum->error = h.error;
    sum->failed |= h.failed;
    sum->ends_job |= h.ends_job;
    sum->tokens_generated += h.tokens_generated;
    sum->tokens_scored += h.tokens_scored;
    sum->generator_rows += h.generator_rows;
    sum->evictions += h.evictions;
    sum->own_peak_pages += h.own_peak_pages;
    sum->energy_j += h.energy_j;
    sum->generator.flops += h.generator.flops;
    sum->generator.bytes += h.generator.bytes;
    sum->reward.flops += h.reward.flops;
    sum->reward.bytes += h.reward.bytes;
}

static void put_reason(struct prompt_row *p, const char *text)
{
    int n = snprintf(p->reason, sizeof p->reason, "%.159s", text);
    p->reason[n < 159 ? n : 159 - (int)utf8_incomplete_tail(p->reason, 159)] = 0;
}

static void fill_prompt_row(const struct prompt_state *st, const struct share_head *sum,
                            int64_t since_ns, struct prompt_row *p)
{
    const struct phase_times *t = &st->times;
    p->prompt_index = st->in->index;
    snprintf(p->key, sizeof p->key, "%s", st->in->key);
    p->status = st->skipped ? PROMPT_SKIPPED : sum->failed ? PROMPT_FAILED : PROMPT_OK;
    if (p->status != PROMPT_OK) put_reason(p, sum->failed ? sum->error.text : st->error.text);
    p->group = st->w->grid.group_index;
    p->rounds = to_i32(st->round);
    p->prompt_tokens = st->in->n_ids;
    p->n = st->n;
    p->alpha = st->w->job->method == METHOD_SPECULATIVE_REJECTION ? st->w->job->alpha : 0;
    p->start_s = st->start_s;
    p->wall_s = st->wall_s + (double)(clock_ns() - since_ns) * 1e-9;
    p->prefill_s = t->prefill_s;
    p->generate_s = t->generate_s;
    p->score_s = t->score_s;
    p->comm_s = t->comm_s;
    p->wait_s = p->wall_s - t->prefill_s - t->generate_s - t->score_s - t->comm_s;
    p->tokens_generated = sum->tokens_generated;
    p->tokens_scored = sum->tokens_scored;
    p->rows_computed = sum->generator_rows;
    p->generator_flops = sum->generator.flops;
    p->reward_flops = sum->reward.flops;
    p->bytes = sum->generator.bytes + sum->reward.bytes;
    p->energy_j = sum->energy_j;
    p->kv_peak_tokens = st->skipped ? 0 : (st->prompt_pages + sum->own_peak_pages) * PAGE_TOKENS;
    p->evictions = sum->evictions;
}

/* What was not finite among the candidates, in words; without any answer for it, the prompt is one
 * that cannot be run. */
static void fill_numerics(const struct gathered *g, const struct policy_candidate *c,
                          struct prompt_row *p)
{
    struct err e = {0};
    char place[64] = "", rewards[80] = "";
    int64_t first = 0, n = 0;
    bool has_none = false, is_broken = policy_broken(c, g->n, &has_none, &e);
    while (is_broken && c[first].status != POLICY_BROKEN) first++;
    if (is_broken) model_place_text(g->rows[first].broken_at, place, sizeof place);
    for (int64_t i = 0; i < g->n; i++)
        n += c[i].status != POLICY_BROKEN && c[i].reward_tokens >= 0 && isnan(c[i].reward);
    if (n > 0)
        snprintf(rewards, sizeof rewards, "%srewards of %lld of %lld candidates not finite",
                 is_broken ? "; " : "", (long long)n, (long long)g->n);
    char *text = mem_printf("%s%s%s%s", e.text, is_broken ? ", " : "", place, rewards);
    put_reason(p, text);
    free(text);
    if (has_none) p->status = PROMPT_SKIPPED;
}

/* The winner among the gathered candidates. */
static void fill_best(const struct gathered *g, struct prompt_row *p)
{
    struct policy_candidate *c = mem_calloc((size_t)g->n, sizeof *c);
    for (int64_t i = 0; i < g->n; i++) {
        const struct share_row *row = &g->rows[i];
        c[i] = row->state;
        c[i].status = is_complete(row)                 ? POLICY_COMPLETE
                      : row->status == SEQUENCE_BROKEN ? POLICY_BROKEN
                                                       : POLICY_REJECTED;
    }
    p->best_candidate = policy_best(c, g->n);
    p->best_reward = p->best_candidate >= 0 ? c[p->best_candidate].reward : NAN;
    fill_numerics(g, c, p);
    free(c);
}

static void collect(struct prompt_state *st, int64_t since_ns, const char *all, const size_t *sizes,
                    struct trace_record *r)
{
    struct gathered g = {.n = st->n};
    struct share_head sum = {0};
    g.rows = mem_calloc((size_t)g.n, sizeof *g.rows);
    g.tokens = mem_calloc((size_t)g.n, sizeof *g.tokens);
    int first_rank = st->w->grid.group_index * comm_size(st->w->grid.group);
    for (int i = 0; i < comm_size(st->w->grid.share); all += sizes[i++])
        unpack_share(all, to_i32(first_rank + i), &g, &sum, r);
    fill_prompt_row(st, &sum, since_ns, &r->prompt);
    r->prompt.best_candidate = -1;
    r->prompt.best_reward = NAN;
    r->ends_job = sum.ends_job;
    if (r->prompt.status == PROMPT_OK) fill_best(&g, &r->prompt);
    if (r->prompt.status == PROMPT_OK) {
        record_candidates(st, &g, r->prompt.best_candidate, r);
        r->rounds = st->rounds.items;
        r->n_rounds = (int64_t)st->rounds.n;
        st->rounds.items = NULL;
    } else {
        r->n_partial_rewards = 0;
    }
    for (int64_t i = 0; i < g.n; i++) free(g.tokens[i]);
    free(g.tokens);
    free(g.rows);
}

void prompt_record(struct prompt_state *st, int64_t since_ns, struct trace_record *r)
{
    struct comm *share = st->w->grid.share;
    size_t bytes, *sizes = mem_calloc((size_t)comm_size(share), sizeof *sizes);
    void *mine = pack_share(st, &bytes), *all = NULL;
    comm_gatherv(share, mine, bytes, &all, sizes, 0);
    if (comm_rank(share) == 0) collect(st, since_ns, all, sizes, r);
    free(mine);
    free(all);
    free(sizes);
}

void prompt_record_free(struct trace_record *r)
{
    free(r->candidates);
    free(r->rounds);
    free(r->partial_rewards);
    free(r->tokens);
    free(r->text);
    free(r->trace);
    *r = (struct trace_record){0};
}
