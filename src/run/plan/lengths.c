#include "run/plan/lengths.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdlib.h>

#define DRAW_KEY 0x6c656e67746873u /* no seed of a job's candidates matters here */

static void start(struct lengths *l, int64_t max_new)
{
    l->max_new = max_new;
    l->survive = mem_calloc((size_t)max_new + 1, sizeof *l->survive);
    l->survive[0] = 1;
}

/* The same chance to end at every token. */
static void fill_geometric(struct lengths *l, double chance)
{
    for (int64_t t = 1; t < l->max_new; t++) l->survive[t] = l->survive[t - 1] * (1 - chance);
}

void lengths_bound(struct lengths *l, int64_t max_new)
{
    start(l, max_new);
    fill_geometric(l, 0);
}

int lengths_mean(struct lengths *l, int64_t max_new, double mean, struct err *e)
{
    *l = (struct lengths){0};
    if (!(mean >= 1 && mean <= (double)max_new))
        return err_set(e, "--mean-tokens %g is not between 1 and sampling.max_new_tokens %lld",
                       mean, (long long)max_new);
    double low = 0, high = 1;
    start(l, max_new);
    for (int i = 0; i < 60; i++) {
        double chance = (low + high) / 2;
        fill_geometric(l, chance);
        if (lengths_mean_of(l) > mean)
            low = chance;
        else
            high = chance;
    }
    return 0;
}

void lengths_seen(struct lengths *l, int64_t max_new, const int64_t *ended, const int64_t *seen,
                  int64_t seen_max)
{
    start(l, max_new);
    int64_t alive = 0, n_ended = 0;
    double lived = 0;
    for (int64_t t = 0; t <= seen_max; t++) {
        alive += seen[t];
        n_ended += ended[t];
        lived += (double)(t * seen[t]);
    }
    double chance_beyond = lived > 0 ? (double)n_ended / lived : 0;
    alive -= seen[0];
    for (int64_t t = 1; t < max_new; t++) {
        bool known = t <= seen_max && alive > 0;
        double chance = known ? (double)ended[t] / (double)alive : chance_beyond;
        l->survive[t] = l->survive[t - 1] * (1 - chance);
        if (known) alive -= seen[t];
    }
}

void lengths_free(struct lengths *l)
{
    free(l->survive);
    *l = (struct lengths){0};
}

double lengths_mean_of(const struct lengths *l)
{
    double mean = 0; /* sum over t of P(length > t) */
    for (int64_t t = 0; t < l->max_new; t++) mean += l->survive[t];
    return mean;
}

int64_t lengths_at(const struct lengths *l, double u)
{
    int64_t low = 1, high = l->max_new; /* the first t with survive[t] <= u */
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (l->survive[mid] <= u)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

int64_t lengths_draw(const struct lengths *l, int64_t prompt, int64_t candidate)
{
    struct philox x = philox4x32(DRAW_KEY, (uint32_t)prompt, (uint32_t)candidate, 0, 0);
    return lengths_at(l, ((double)x.word[0] + 0.5) / 0x1p32);
}
