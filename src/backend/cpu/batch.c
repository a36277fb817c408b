/* The batch of a forward pass, and one that advances by itself. */
#include "backend/cpu/cpu.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* A copy of what the caller handed in, moved on by one token per step; memory that grows to the
 * largest need and stays. */
struct steps {
    struct batch batch;
    struct scratch numbers, segments, draws, drawn;
    int64_t step, steps;
};

void cpu_batch_begin(struct backend *b, struct kv_pool *kv, const struct batch *batch)
{
    (void)kv;
    cpu_of(b)->batch = batch;
}

static int32_t *tokens_of(const struct steps *s)
{
    return s->numbers.p;
}

static int32_t *positions_of(const struct steps *s)
{
    return tokens_of(s) + s->batch.S;
}

/* Drawn tokens [steps, S], then their log-probabilities [steps, S]. */
static int32_t *drawn_tokens(const struct steps *s)
{
    return s->drawn.p;
}

static float *drawn_logprobs(const struct steps *s)
{
    return (float *)s->drawn.p + s->steps * s->batch.S;
}

int64_t cpu_decode_begin(struct backend *b, struct kv_pool *kv, const struct decode *d)
{
    (void)kv;
    struct cpu *cpu = cpu_of(b);
    if (!cpu->steps) cpu->steps = mem_calloc(1, sizeof *cpu->steps);
    struct steps *s = cpu->steps;
    size_t S = (size_t)d->S, cells = (size_t)d->steps * S;
    s->step = 0;
    s->steps = d->steps;
    memcpy(scratch_need(&s->segments, S * sizeof *d->segments), d->segments,
           S * sizeof *d->segments);
    memcpy(scratch_need(&s->draws, S * sizeof *d->draws), d->draws, S * sizeof *d->draws);
    scratch_need(&s->numbers, 2 * S * sizeof(int32_t));
    scratch_need(&s->drawn, cells * (sizeof(int32_t) + sizeof(float)));
    s->batch = (struct batch){.segments = s->segments.p, .T = d->S, .S = d->S};
    s->batch.token = tokens_of(s);
    s->batch.position = positions_of(s);
    memcpy(tokens_of(s), d->token, S * sizeof *d->token);
    for (int64_t i = 0; i < d->S; i++) {
        ENSURE(d->segments[i].n_rows == 1 && d->segments[i].row == i);
        positions_of(s)[i] = (int32_t)d->segments[i].first_position;
    }
    cpu->batch = &s->batch;
    return d->S;
}

void cpu_decode_draw(struct backend *b, const float *logits, int64_t at, int64_t n,
                     const struct sample_params *p)
{
    struct steps *s = cpu_of(b)->steps;
    int64_t cell = s->step * s->batch.S + at;
    cpu_sample(b, logits, n, p, (struct draw *)s->draws.p + at, drawn_tokens(s) + cell,
               drawn_logprobs(s) + cell);
}

/* A broken row drew token -1: it goes on with any other, nobody looks at it again. */
void cpu_decode_advance(struct backend *b)
{
    struct steps *s = cpu_of(b)->steps;
    struct segment *segments = s->segments.p;
    struct draw *draws = s->draws.p;
    const int32_t *drawn = drawn_tokens(s) + s->step * s->batch.S;
    for (int64_t i = 0; i < s->batch.S; i++) {
        tokens_of(s)[i] = drawn[i] < 0 ? 0 : drawn[i];
        positions_of(s)[i]++;
        segments[i].first_position++;
        draws[i].position++;
    }
    s->step++;
}

void cpu_decode_end(struct backend *b, int32_t *token, float *logprob)
{
    struct steps *s = cpu_of(b)->steps;
    ENSURE(s->step == s->steps);
    size_t cells = (size_t)(s->steps * s->batch.S);
    memcpy(token, drawn_tokens(s), cells * sizeof *token);
    memcpy(logprob, drawn_logprobs(s), cells * sizeof *logprob);
}

void cpu_graph(struct backend *b, uint64_t key, void (*body)(void *), void *arg)
{
    (void)b;
    (void)key;
    body(arg);
}

void steps_free(struct steps *s)
{
    if (!s) return;
    free(s->numbers.p);
    free(s->segments.p);
    free(s->draws.p);
    free(s->drawn.p);
    free(s);
}
