#include "backend/cpu/vocab.h"

#include "base/fmath.h"

#include <math.h>
#include <string.h>

#define SPAN  VOCAB_SPAN
#define DRAWS SPAN /* ids drawn together; a multiple of 4, the words of one Philox block */

struct vocab_row vocab_row_at(const float *logits, int64_t s, const struct sample_params *p,
                              float *top)
{
    int64_t n = p->V - p->vocab_begin;
    n = n < 0 ? 0 : n > p->V_local ? p->V_local : n;
    return (struct vocab_row){logits + s * p->V_local, n, p->vocab_begin, top};
}

/* The largest of each span; returns how many numbers are NaN or +inf. */
CPU_CLONES static int64_t scan_spans(float *top, const float *x, int64_t n)
{
    int64_t bad = 0;
    for (; n > 0; n -= SPAN, x += SPAN) {
        float max = -INFINITY;
        int b = 0;
#pragma omp simd reduction(max : max) reduction(+ : b)
        for (int64_t i = 0; i < (n < SPAN ? n : SPAN); i++) {
            b += !(x[i] < INFINITY);
            max = x[i] > max ? x[i] : max;
        }
        *top++ = max;
        bad += b;
    }
    return bad;
}

struct vocab_max vocab_max(struct vocab_row r)
{
    struct vocab_max out = {.x = -INFINITY, .id = INT32_MAX};
    out.broken = scan_spans(r.top, r.x, r.n) > 0;
    int64_t at = 0; /* the first span that has the largest */
    for (int64_t i = 0; i < vocab_spans(r.n); i++)
        if (r.top[i] > out.x) out.x = r.top[i], at = i;
    for (int64_t i = at * SPAN; i < r.n && out.id == INT32_MAX; i++)
        if (r.x[i] == out.x) out.id = (int32_t)(r.begin + i);
    /* OpenMP lets a reduction begin at the least finite number, and clang does. */
    if (out.id == INT32_MAX) out.x = -INFINITY;
    return out;
}

/* Order of floats as unsigned integers (-0 below 0). */
FM_INLINE uint32_t ordered(float x)
{
    uint32_t u = fm_bits(x);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* May any id of span i be kept by a cut?  By the logits alone, ids being the low half of a key. */
static bool reaches(const struct vocab_row *r, int64_t i, uint64_t cut)
{
    return ordered(r->top[i] + 0.0f) >= (uint32_t)(cut >> 32);
}

uint64_t vocab_floor(struct vocab_row r, int64_t k)
{
    enum { MOST = 128 };
    float top[MOST]; /* the k largest maxima of spans, falling */
    if (k < 1 || k > MOST || r.n / SPAN < k) return 0;
    for (int64_t i = 0; i < k; i++) top[i] = -INFINITY;
    for (int64_t span = 0; span < vocab_spans(r.n); span++) {
        float max = r.top[span];
        if (!(max > top[k - 1])) continue;
        int64_t i = k - 1;
        for (; i > 0 && top[i - 1] < max; i--) top[i] = top[i - 1];
        top[i] = max;
    }
    return (uint64_t)ordered(top[k - 1] + 0.0f) << 32;
}

/* Weights in [0, 1]; x at or below max. */
FM_INLINE float weight_of(float x, float max, float inverse_temperature)
{
    return fm_exp((x - max) * inverse_temperature);
}

/* w * VOCAB_ONE to the nearest integer: adding 2^52 leaves it in the mantissa. */
FM_INLINE uint64_t fixed_of(float w)
{
    double d = (double)w * (double)VOCAB_ONE + 4503599627370496.0;
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u - 0x4330000000000000u;
}

FM_INLINE uint64_t key_of(float x, int64_t id)
{
    return (uint64_t)ordered(x + 0.0f) << 32 | (uint32_t) ~(uint32_t)id;
}

CPU_CLONES uint64_t vocab_sum(struct vocab_row r, float max, float inverse_temperature,
                              uint64_t cut)
{
    uint64_t sum = 0;
    if (cut == 0) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < r.n; i++)
            sum += fixed_of(weight_of(r.x[i], max, inverse_temperature));
    } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < r.n; i++) {
            uint64_t w = fixed_of(weight_of(r.x[i], max, inverse_temperature));
            sum += key_of(r.x[i], r.begin + i) >= cut ? w : 0;
        }
    }
    return sum;
}

/* Is any of x within the logits of [low, high]? */
CPU_CLONES static bool any_within(const float *x, int64_t n, uint64_t low, uint64_t high)
{
    uint32_t least = (uint32_t)(low >> 32), most = (uint32_t)(high >> 32);
    int hits = 0;
#pragma omp simd reduction(+ : hits)
    for (int64_t i = 0; i < n; i++)
        hits += ordered(x[i] + 0.0f) >= least && ordered(x[i] + 0.0f) <= most;
    return hits > 0;
}

/* The k-th largest of n: Hoare's FIND. */
static uint64_t kth_largest(uint64_t *key, int64_t n, int64_t k)
{
    for (int64_t low = 0, high = n - 1, at = k - 1; low < high;) {
        uint64_t pivot = key[at];
        int64_t i = low, j = high;
        while (i <= j) {
            while (key[i] > pivot) i++;
            while (key[j] < pivot) j--;
            if (i > j) break;
            uint64_t other = key[i];
            key[i++] = key[j];
            key[j--] = other;
        }
        if (j < at) low = i;
        if (at < i) high = j;
    }
    return key[k - 1];
}

uint64_t vocab_kth(struct vocab_row r, int64_t k, uint64_t floor)
{
    enum { MOST = 1024 };
    uint64_t key[MOST];
    int64_t n = 0;
    for (int64_t first = 0; first < r.n; first += SPAN) {
        int64_t past = r.n - first < SPAN ? r.n : first + SPAN;
        if (!reaches(&r, first / SPAN, floor)) continue;
        if (n + SPAN > MOST) return 0;
        for (int64_t i = first; i < past; i++) {
            key[n] = key_of(r.x[i], r.begin + i);
            n += key[n] >= floor;
        }
    }
    ENSURE(k >= 1 && k <= n);
    return kth_largest(key, n, k);
}

CPU_CLONES static void fixed_weights(uint64_t *weight, const float *x, int64_t n, float max,
                                     float inverse_temperature)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) weight[i] = fixed_of(weight_of(x[i], max, inverse_temperature));
}

CPU_CLONES static void digits_of(uint32_t *digit, const float *x, int64_t id, int64_t n,
                                 uint64_t low, uint64_t high, int shift)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = key_of(x[i], id + i);
        uint32_t d = (uint32_t)(key >> shift) & (DIGITS - 1);
        digit[i] = key >= low && key <= high ? d : DIGITS;
    }
}

void vocab_histogram(struct histogram *h, struct vocab_row r, bool weigh, float max,
                     float inverse_temperature, uint64_t low, uint64_t high, int shift)
{
    uint32_t digit[SPAN];
    uint64_t weight[SPAN];
    memset(h, 0, sizeof *h);
    for (int64_t first = 0; first < r.n; first += SPAN) {
        int64_t n = r.n - first < SPAN ? r.n - first : SPAN;
        const float *x = r.x + first;
        if (!reaches(&r, first / SPAN, low) || !any_within(x, n, low, high)) continue;
        digits_of(digit, x, r.begin + first, n, low, high, shift);
        for (int64_t i = 0; i < n; i++) h->bin[digit[i]].count++;
        if (!weigh) continue;
        fixed_weights(weight, x, n, max, inverse_temperature);
        for (int64_t i = 0; i < n; i++) h->bin[digit[i]].weight += weight[i];
    }
}

/* Words of ids [id, id + DRAWS); id a multiple of 4. */
CPU_CLONES static void draw_words(uint32_t *word, struct draw d, uint32_t id)
{
#pragma omp simd
    for (uint32_t i = 0; i < DRAWS / 4; i++) {
        struct philox x = philox4x32(d.seed, d.prompt, d.candidate, d.position, id / 4 + i);
        word[4 * i] = x.word[0];
        word[4 * i + 1] = x.word[1];
        word[4 * i + 2] = x.word[2];
        word[4 * i + 3] = x.word[3];
    }
}

/* Times of DRAWS ids; returns the least. */
CPU_CLONES static float race_times(float *time, const float *weight, const uint32_t *word)
{
    float least = INFINITY;
#pragma omp simd reduction(min : least)
    for (int i = 0; i < DRAWS; i++) {
        time[i] = draw_exponential(word[i]) / weight[i];
        least = time[i] < least ? time[i] : least;
    }
    return least;
}

/* Weights of DRAWS logits, 0 where the filters leave an id out.  Returns whether any takes part. */
CPU_CLONES static bool kept_weights(float *weight, const float *x, int64_t id, float max,
                                    float inverse_temperature, uint64_t cut, float min_weight)
{
    int kept = 0;
#pragma omp simd reduction(+ : kept)
    for (int i = 0; i < DRAWS; i++) {
        float w = weight_of(x[i], max, inverse_temperature);
        w = key_of(x[i], id + i) >= cut && w >= min_weight ? w : 0.0f;
        weight[i] = w;
        kept += w > 0.0f;
    }
    return kept > 0;
}

/* May any of the ids drawn together from `first` on (of x; up to 3 before it) be kept by a cut? */
static bool any_reaches(const struct vocab_row *r, int64_t first, uint64_t cut)
{
    int64_t i = first < 0 ? 0 : first / SPAN, next = i + 1;
    bool both = first % SPAN != 0 && next < vocab_spans(r->n);
    return reaches(r, i, cut) || (both && reaches(r, next, cut));
}

struct vocab_race vocab_race(struct vocab_row r, float max, float inverse_temperature, uint64_t cut,
                             float min_weight, struct draw draw)
{
    struct vocab_race best = {.time = INFINITY, .id = INT32_MAX, .x = -INFINITY};
    for (int64_t id = r.begin / 4 * 4; id < r.begin + r.n; id += DRAWS) {
        if (cut > 0 && !any_reaches(&r, id - r.begin, cut)) continue; /* most, by top-k */
        float edge[DRAWS], weight[DRAWS], time[DRAWS];
        uint32_t word[DRAWS];
        const float *x = r.x + (id - r.begin);
        if (id < r.begin || id + DRAWS > r.begin + r.n) { /* ids of other ranks weigh nothing */
            for (int64_t i = 0; i < DRAWS; i++)
                edge[i] =
                    id + i < r.begin || id + i >= r.begin + r.n ? -INFINITY : r.x[id + i - r.begin];
            x = edge;
        }
        if (!kept_weights(weight, x, id, max, inverse_temperature, cut, min_weight)) continue;
        draw_words(word, draw, (uint32_t)id);
        float least = race_times(time, weight, word);
        if (!(least < best.time)) continue;
        int i = 0;
        while (time[i] != least) i++;
        best = (struct vocab_race){least, (int32_t)(id + i), x[i]};
    }
    return best;
}
