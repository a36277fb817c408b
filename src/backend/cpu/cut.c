#include "backend/cpu/cut.h"

#include <string.h>

/* From the top digit of the keys down: which bin holds the last id that is kept? */
struct search {
    size_t row;
    uint64_t low, high; /* keys of that bin, none below the cut found before */
    uint64_t before;    /* count or weight of all ids above */
};

static uint64_t measure(const struct histogram *h, enum cut_by by, int64_t digit)
{
    return by == CUT_COUNT ? h->bin[digit].count : h->bin[digit].weight;
}

/* One more digit.  Found: the bin holds one id, or all of it is kept. */
static bool descend(struct search *f, const struct histogram *h, enum cut_by by, uint64_t target,
                    int shift)
{
    int64_t digit = DIGITS - 1;
    while (digit > 0 && measure(h, by, digit) < target - f->before)
        f->before += measure(h, by, digit--);
    uint64_t known =
        shift + DIGIT_BITS < 64 ? f->high >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS) : 0;
    uint64_t low = known | (uint64_t)digit << shift;
    if (low > f->low) f->low = low;
    f->high = low | (((uint64_t)1 << shift) - 1);
    return shift == 0 || h->bin[digit].count <= 1 || measure(h, by, digit) == target - f->before;
}

/* Top-k: no cut is below a key that k ids reach, and where few do, the k-th is among them:
 * is_known.  For one rank: among several the bounds would have to be exchanged, which costs more
 * than they save. */
static void raise_to_floors(struct cpu *cpu, const struct cut_rows *rows, const uint64_t *target,
                            uint64_t *cut, bool *is_known)
{
    int threads = threads_for(cpu, rows->S * rows->row[0].n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t s = 0; s < rows->S; s++) {
        int64_t k = (int64_t)target[s];
        uint64_t floor = k ? vocab_floor(rows->row[s], k) : 0;
        uint64_t kth = floor ? vocab_kth(rows->row[s], k, floor) : 0;
        is_known[s] = kth > 0;
        if (kth > floor) floor = kth;
        if (floor > cut[s]) cut[s] = floor;
    }
}

void cut_search(struct cpu *cpu, struct comm *ranks, const struct cut_rows *rows, enum cut_by by,
                const uint64_t *target, uint64_t *cut)
{
    size_t S = (size_t)rows->S, search_bytes = (S * sizeof(struct search) + 63) / 64 * 64, n = 0;
    size_t histogram_bytes = S * sizeof(struct histogram);
    char *memory = scratch_need(&cpu->cut, search_bytes + histogram_bytes + S);
    struct search *search = (struct search *)(void *)memory;
    struct histogram *h = (struct histogram *)(void *)(memory + search_bytes);
    bool *is_known = memset(memory + search_bytes + histogram_bytes, false, S);
    if (by == CUT_COUNT && S > 0 && comm_size(ranks) == 1)
        raise_to_floors(cpu, rows, target, cut, is_known);
    for (size_t s = 0; s < S; s++)
        if (target[s] && !is_known[s])
            search[n++] = (struct search){.row = s, .low = cut[s], .high = UINT64_MAX};
    for (int shift = 64 - DIGIT_BITS; n > 0; shift = shift > DIGIT_BITS ? shift - DIGIT_BITS : 0) {
        int threads = threads_for(cpu, (int64_t)n * rows->row[0].n);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (size_t i = 0; i < n; i++)
            vocab_histogram(&h[i], rows->row[search[i].row], by == CUT_WEIGHT,
                            rows->max[search[i].row].x, rows->inverse_temperature, search[i].low,
                            search[i].high, shift);
        if (comm_size(ranks) > 1)
            comm_sum_u64_array(ranks, (uint64_t *)h, n * (sizeof *h / sizeof(uint64_t)));
        size_t open = 0;
        for (size_t i = 0; i < n; i++) {
            bool found = descend(&search[i], &h[i], by, target[search[i].row], shift);
            cut[search[i].row] = search[i].low;
            if (!found) search[open++] = search[i];
        }
        n = open;
    }
}
