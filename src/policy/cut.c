#include "policy/cut.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The order as whole numbers: the reward's bits, turned so that a better reward is a smaller number
 * and NaN the largest, above the candidate. */
static uint64_t rank_of(float reward, int64_t candidate)
{
    uint32_t bits = UINT32_MAX;
    if (!isnan(reward)) {
        reward += 0.0f; /* -0 is 0 */
        memcpy(&bits, &reward, sizeof bits);
        if (bits <= INT32_MAX) bits = INT32_MAX - bits;
    }
    return (uint64_t)bits << 32 | (uint64_t)candidate;
}

/* By the reward alone, a byte at a time from the lowest on; each pass leaves equals as they come,
 * so candidates stay in order.  Four passes: what is sorted is in `a` again.  A replay sorts at
 * every round of every prompt of every point. */
static void sort(uint64_t *a, uint64_t *scratch, int64_t n)
{
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t place[257] = {0};
        for (int64_t i = 0; i < n; i++) place[(a[i] >> shift & 255) + 1]++;
        for (int k = 0; k < 256; k++) place[k + 1] += place[k];
        for (int64_t i = 0; i < n; i++) scratch[place[a[i] >> shift & 255]++] = a[i];
        uint64_t *sorted = scratch;
        scratch = a;
        a = sorted;
    }
}

int64_t cut_rank(const struct policy_candidate *c, int64_t n, int32_t *order)
{
    uint64_t *r = mem_calloc(2 * (size_t)n, sizeof *r);
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
        if (policy_counts(&c[i])) r[m++] = rank_of(c[i].reward, i);
    sort(r, r + n, m);
    for (int64_t i = 0; i < m; i++) order[i] = (int32_t)(uint32_t)r[i];
    free(r);
    return m;
}

int64_t cut_drop_count(double alpha, int64_t n)
{
    return (int64_t)floor(alpha * (double)n + 1e-9);
}

int64_t cut_keep_count_2024(double alpha, int64_t n)
{
    return (int64_t)nearbyint((1.0 - alpha) * (double)n);
}
