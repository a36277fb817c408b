/* Passes over one row of logits, shared by sampling and log-probabilities (sample.c, cut.c).
 *
 * What ranks add up is fixed point in 64 bits, so that sums, and with them every decision, are the
 * same whatever the order and however the vocabulary is divided. */
#pragma once

#include "backend/cpu/cpu.h"

#define VOCAB_SPAN 64 /* logits with a maximum of their own */

/* This rank's part of one row. */
struct vocab_row {
    const float *x; /* [n] */
    int64_t n;      /* true columns; padding is left out */
    int64_t begin;  /* id of x[0] */
    float *top;     /* [vocab_spans(n)] the largest of each span, from vocab_max on */
};

static inline int64_t vocab_spans(int64_t n)
{
    return (n + VOCAB_SPAN - 1) / VOCAB_SPAN;
}

/* top: [vocab_spans(V_local)], the caller's. */
struct vocab_row vocab_row_at(const float *logits, int64_t s, const struct sample_params *p,
                              float *top);

/* The largest logit, its lowest id; broken: some logit is NaN or +inf, or none is finite.  Comes
 * before all else: by the spans' maxima the rest passes over what cannot count, which with top-k is
 * nearly all of the row. */
struct vocab_max {
    float x;
    int32_t id;
    int32_t broken;
};
struct vocab_max vocab_max(struct vocab_row r);

#define VOCAB_ONE ((uint64_t)1 << 44) /* a weight of 1 */

/* Each id of a row has a key of 64 bits: greater where the logit is greater, ties where the id is
 * lower. A cut is a key; it keeps the ids with keys at or above it. */

/* A key that at least k ids of this part reach, by the spans' maxima; 0 where that is not cheap to
 * say. */
uint64_t vocab_floor(struct vocab_row r, int64_t k);

/* The k-th largest key, where at least k ids reach `floor`; 0 where too many do. */
uint64_t vocab_kth(struct vocab_row r, int64_t k, uint64_t floor);

/* Total weight, in units of 1 / VOCAB_ONE, of the ids that `cut` keeps (0: all); an id weighs
 * exp((x - max) / temperature). */
uint64_t vocab_sum(struct vocab_row r, float max, float inverse_temperature, uint64_t cut);

/* Count and, where `weigh`, weight of the ids with keys in [low, high], by the DIGIT_BITS of the
 * key from `shift` up. */
#define DIGIT_BITS 6
#define DIGITS     (1 << DIGIT_BITS)
struct histogram {
    struct {
        uint64_t count, weight;
    } bin[DIGITS + 1]; /* the last takes all other ids */
};
void vocab_histogram(struct histogram *h, struct vocab_row r, bool weigh, float max,
                     float inverse_temperature, uint64_t low, uint64_t high, int shift);

/* The id of least E / weight among those that `cut` keeps and that weigh at least
 * min_weight. */
struct vocab_race {
    float time; /* inf: no id takes part */
    int32_t id;
    float x; /* its logit */
};
struct vocab_race vocab_race(struct vocab_row r, float max, float inverse_temperature, uint64_t cut,
                             float min_weight, struct draw draw);
