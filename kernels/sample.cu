/* The order of sampling's stages, and where their records lie (sample.h, sample.cuh). */
#include "rows.cuh"
#include "sample.cuh"

enum stage_kind {
    STAGE_SCAN,
    STAGE_WEIGH,
    STAGE_DIGIT, /* of a search */
    STAGE_KEPT,  /* weight of what top-k left, for top-p */
    STAGE_RACE,  /* among what a search left */
    STAGE_CHOOSE
};

struct stage {
    enum stage_kind kind;
    enum sample_by by; /* STAGE_DIGIT */
    int digit;         /* STAGE_DIGIT: from the top */
};

struct plan {
    bool greedy, listed, by_count, by_weight; /* by_...: a search */
    int digits, id_bits;
};

static struct plan plan_of(const struct k_sample *k)
{
    struct plan p = {};
    while (p.id_bits < 31 && static_cast<int64_t>(1) << p.id_bits < k->V) p.id_bits++;
    p.digits = (32 + p.id_bits + SAMPLE_DIGIT_BITS - 1) / SAMPLE_DIGIT_BITS;
    p.greedy = !k->given && k->temperature < FLT_MIN;
    if (k->given || p.greedy) return p;
    bool top_k = k->top_k > 0 && k->top_k < k->V;
    p.listed = top_k && k->top_k <= K_SAMPLE_LIST;
    p.by_count = top_k && !p.listed;
    p.by_weight = k->top_p < 1.0f && !p.listed;
    return p;
}

/* How far the digits' shift is. The last digit begins at bit 0. */
static int shift_of(const struct plan *p, int digit)
{
    int shift = 32 + p->id_bits - SAMPLE_DIGIT_BITS * (digit + 1);
    return shift > 0 ? shift : 0;
}

/* The stage of that number; STAGE_CHOOSE is the last. */
static struct stage stage_at(const struct plan *p, int number)
{
    if (number == 0) return {STAGE_SCAN, SAMPLE_BY_COUNT, 0};
    if (number == 1) return {STAGE_WEIGH, SAMPLE_BY_COUNT, 0};
    number -= 2;
    if (p->by_count) {
        if (number < p->digits) return {STAGE_DIGIT, SAMPLE_BY_COUNT, number};
        number -= p->digits;
    }
    if (p->by_count && p->by_weight && number-- == 0) return {STAGE_KEPT, SAMPLE_BY_COUNT, 0};
    if (p->by_weight) {
        if (number < p->digits) return {STAGE_DIGIT, SAMPLE_BY_WEIGHT, number};
        number -= p->digits;
    }
    if ((p->by_count || p->by_weight) && number == 0) return {STAGE_RACE, SAMPLE_BY_COUNT, 0};
    return {STAGE_CHOOSE, SAMPLE_BY_COUNT, 0};
}

extern "C" int k_sample_stages(const struct k_sample *k)
{
    struct plan p = plan_of(k);
    int n = 1;
    while (stage_at(&p, n - 1).kind != STAGE_CHOOSE) n++;
    return n;
}

/* So many that the words of a block's histogram do not overflow. */
static size_t least_parts(const struct k_sample *k)
{
    return static_cast<size_t>(ceil_div(k->V_local, 1 << 19));
}

/* Blocks for a row: SAMPLE_BLOCKS in all, each with 4096 ids or more; so few that the lists
 * together are no longer than four of the longest. */
static int parts_of(const struct k_sample *k, const struct plan *p)
{
    int64_t parts = ceil_div(SAMPLE_BLOCKS, k->S), most = ceil_div(k->V_local, 4096);
    if (most > SAMPLE_PARTS) most = SAMPLE_PARTS;
    if (p->listed && most > 4 * K_SAMPLE_LIST / k->top_k) most = 4 * K_SAMPLE_LIST / k->top_k;
    if (parts > most) parts = most;
    int64_t least = static_cast<int64_t>(least_parts(k));
    return static_cast<int>(parts < least ? least : parts);
}

static int threads_of(const struct k_sample *k, int parts)
{
    int64_t threads = ceil_div(ceil_div(k->V_local, 4 * SAMPLE_TILE * parts), 32) * 32;
    return static_cast<int>(threads < 32               ? 32
                            : threads > SAMPLE_THREADS ? SAMPLE_THREADS
                                                       : threads);
}

/* The next `bytes` of the workspace. */
static void *take(uintptr_t *place, size_t bytes)
{
    uintptr_t taken = *place;
    *place += (bytes + 255) / 256 * 256;
    return reinterpret_cast<void *>(taken);
}

/* One rank's records lie where the others would be gathered. */
template <typename T>
static void take_records(uintptr_t *place, size_t bytes, int ranks, T **send, T **all)
{
    *all = static_cast<T *>(take(place, bytes * static_cast<size_t>(ranks)));
    *send = ranks == 1 ? *all : static_cast<T *>(take(place, bytes));
}

/* Lays S rows with this many records into the workspace at `place`; returns its end. */
static uintptr_t lay_out(struct sample *a, const struct plan *p, size_t S, size_t records,
                         uintptr_t place)
{
    size_t sums_bytes = records * sizeof *a->sums;
    a->max_bytes = records * (sizeof *a->max + static_cast<size_t>(a->listed) * sizeof(u64));
    take_records(&place, a->max_bytes, a->ranks, &a->max_send, &a->max);
    take_records(&place, sums_bytes, a->ranks, &a->sums_send, &a->sums);
    if (!p->by_count && !p->by_weight) return place;
    take_records(&place, sums_bytes, a->ranks, &a->kept_send, &a->kept);
    a->search = static_cast<struct sample_search *>(take(&place, S * sizeof *a->search));
    a->histogram = static_cast<u64 *>(take(&place, S * SAMPLE_BINS * 2 * sizeof *a->histogram));
    return place;
}

static struct sample sample_of(const struct k_sample *k, const struct plan *p)
{
    struct sample a = {};
    int64_t n = k->V - k->vocab_begin;
    a.logits = k->logits;
    a.S = static_cast<int>(k->S);
    a.V = static_cast<int>(k->V);
    a.V_local = static_cast<int>(k->V_local);
    a.begin = static_cast<int>(k->vocab_begin);
    a.n = static_cast<int>(n < 0 ? 0 : n > k->V_local ? k->V_local : n);
    a.parts = parts_of(k, p);
    a.ranks = k->ranks;
    a.listed = p->listed ? static_cast<int>(k->top_k) : 0;
    a.inverse_temperature = 1.0f / k->temperature;
    a.top_p = k->top_p;
    a.min_p = k->min_p;
    a.greedy = p->greedy;
    a.draws = k->draws;
    a.draw_position = k->draw_position;
    a.given = k->given;
    a.token = k->token;
    a.logprob = k->logprob;
    a.id_bits = p->id_bits;
    return a;
}

extern "C" size_t k_sample_workspace(const struct k_sample *k)
{
    struct plan p = plan_of(k);
    struct sample a = sample_of(k, &p);
    /* The most records of up to S rows: parts_of divides a row into ceil(SAMPLE_BLOCKS / rows) at
     * most, or into as many as the vocabulary needs. */
    size_t S = static_cast<size_t>(k->S), needed = S * least_parts(k);
    return lay_out(&a, &p, S, S + SAMPLE_BLOCKS > needed ? S + SAMPLE_BLOCKS : needed, 0);
}

/* Ends the search stage before `number`, if there is one. */
static void end_digit(const struct sample *a, const struct plan *p, int number, cudaStream_t stream)
{
    struct stage before = stage_at(p, number - 1);
    if (before.kind == STAGE_DIGIT)
        sample_search_descend(a, before.by, shift_of(p, before.digit), stream);
}

extern "C" cudaError_t k_sample_stage(const struct k_sample *k, int number,
                                      struct k_exchange *exchange, cudaStream_t stream)
{
    *exchange = {K_EXCHANGE_NONE, NULL, NULL, 0};
    if (k->S == 0) return cudaSuccess;
    struct plan p = plan_of(k);
    struct stage stage = stage_at(&p, number);
    struct sample a = sample_of(k, &p);
    size_t records = static_cast<size_t>(a.S) * static_cast<size_t>(a.parts);
    lay_out(&a, &p, static_cast<size_t>(a.S), records, reinterpret_cast<uintptr_t>(k->workspace));
    int threads = threads_of(k, a.parts);
    bool searches = p.by_count || p.by_weight;
    size_t sums_bytes = records * sizeof *a.sums;
    struct k_exchange after = *exchange;
    if (number > 0) end_digit(&a, &p, number, stream);
    switch (stage.kind) {
    case STAGE_SCAN:
        sample_scan(&a, threads, stream);
        after = {K_EXCHANGE_GATHER, a.max_send, a.max, a.max_bytes};
        break;
    case STAGE_WEIGH:
        sample_weigh(&a, !a.given && !p.greedy && !p.listed && !searches,
                     p.by_weight && !p.by_count, threads, stream);
        after = {K_EXCHANGE_GATHER, a.sums_send, a.sums, sums_bytes};
        break;
    case STAGE_DIGIT:
        if (stage.digit == 0)
            sample_search_begin(&a, stage.by, k->top_k, p.by_count && stage.by == SAMPLE_BY_WEIGHT,
                                stream);
        sample_search_fill(&a, stage.by, shift_of(&p, stage.digit), threads, stream);
        after = {K_EXCHANGE_SUM, a.histogram, a.histogram,
                 static_cast<size_t>(a.S) * SAMPLE_BINS * 2 * sizeof *a.histogram};
        break;
    case STAGE_KEPT:
    case STAGE_RACE:
        sample_weigh_kept(&a, stage.kind == STAGE_RACE, threads, stream);
        after = {K_EXCHANGE_GATHER, a.kept_send, a.kept, sums_bytes};
        break;
    case STAGE_CHOOSE:
        sample_choose(&a, searches ? a.kept : p.greedy || p.listed ? NULL : a.sums, stream);
        break;
    }
    if (k->ranks > 1) *exchange = after;
    return cudaGetLastError();
}
