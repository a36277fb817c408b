/* Which algorithms of cuBLASLt give a row the same bits for every number of rows, at every place.
 *
 * Each candidate multiplies `rows` rows of noise at once: a hash of every row is its reference, and
 * equal references make a family.  Then, for each rung of the ladder, blocks of that many rows (and
 * of the rung's least number) from several places must give the reference's rows again.  A family
 * that has an algorithm for every rung is usable; of several, the one that the library's heuristic
 * ranks best over the ladder.  Times choose within the family, where bits do not depend on it. */
#include "gemm.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTED = 6, MOST_CANDIDATES = REQUESTED * GEMM_RUNGS, BLOCKS = 4, RUNS = 3 };
#define OUT_BYTES   ((int64_t)64 << 20) /* most of the trial's results */
#define NOISE       131071 /* numbers of noise, repeated: a prime, so that rows differ */
#define PADDED_ROWS 128    /* where no family covers the ladder */

/* What tells algorithms apart; the third number is that of a split sum's parts. */
enum { CONFIG_NUMBERS = 9, SPLITK = 2 };
struct config {
    uint32_t number[CONFIG_NUMBERS];
};

struct candidate {
    cublasLtMatmulAlgo_t algorithm;
    struct config config;
    int place[GEMM_RUNGS];  /* in the heuristic's list for a rung; REQUESTED: not in it */
    bool holds[GEMM_RUNGS]; /* gives the reference's bits there */
    int family;             /* the first candidate with the same reference; -1: has none */
    uint64_t *reference;    /* [rows] */
};

struct search {
    struct backend *b;
    struct gemm_shape *s;
    const void *w;
    char *x, *out;
    uint64_t *hash_device, *hash; /* [BLOCKS * rows] */
    int64_t rows;                 /* the ladder's end */
    struct candidate items[MOST_CANDIDATES];
    int n;
};

/* Numbers of either sign between 2^-12 and 1 (FP8: 2^-9 and 2^8, whose products have fewer digits),
 * spread over the powers of two: their products span 24 of them and more, so that every sum rounds
 * and another order shows. */
static void fill_noise(struct backend *b, enum dtype type, char *to, size_t numbers, uint32_t seed)
{
    int top = type == DTYPE_ID_FP8 ? 8 : 0, powers = type == DTYPE_ID_FP8 ? 17 : 12;
    size_t bytes = dtype_bytes(type), n = numbers < NOISE ? numbers : NOISE;
    float *wide = mem_calloc(n, sizeof *wide);
    char *narrow = mem_calloc(n, bytes);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        wide[i] = ldexpf((float)(int32_t)(seed | 1u), top - 31 - (int)(i * 7) % powers);
    }
    dtype_narrow(narrow, wide, type, n);
    cuda_upload(b, to, narrow, n * bytes);
    for (size_t at = n, more; at < numbers; at += more) {
        more = numbers - at < n ? numbers - at : n;
        CUDA_CHECK(cudaMemcpyAsync(to + at * bytes, to, more * bytes, cudaMemcpyDeviceToDevice,
                                   cuda_of(b)->stream));
    }
    free(wide);
    free(narrow);
}

static size_t x_row(const struct search *t)
{
    return (size_t)t->s->K * dtype_bytes(t->s->type);
}

static size_t out_row(const struct search *t)
{
    return (size_t)t->s->N * dtype_bytes(t->s->out_type);
}

/* The largest power of two that divides all places where a row may begin. */
static uint32_t alignment(size_t row_bytes)
{
    uint32_t a = 256;
    while (row_bytes % a) a /= 2;
    return a;
}

static cublasLtMatmulPreference_t preference_create(const struct search *t)
{
    cublasLtMatmulPreference_t p;
    uint64_t workspace = cuda_of(t->b)->gemm->workspace_bytes;
    uint32_t whole = CUBLASLT_REDUCTION_SCHEME_NONE, w = alignment(x_row(t)),
             out = alignment(out_row(t));
    CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&p));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &workspace, sizeof workspace));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &whole, sizeof whole));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                      &w, sizeof w));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                                      &out, sizeof out));
    CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                                                      &out, sizeof out));
    return p;
}

static struct config config_of(const cublasLtMatmulAlgo_t *algorithm)
{
    static const struct {
        cublasLtMatmulAlgoConfigAttributes_t name;
        size_t bytes; /* of the library's number, exactly */
    } all[CONFIG_NUMBERS] = {
        {CUBLASLT_ALGO_CONFIG_ID, 4},
        {CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
        {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
        {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
        {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
        {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
        {CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
        {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
        {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
    };
    struct config c = {{0}};
    for (int i = 0; i < CONFIG_NUMBERS; i++) {
        size_t written;
        if (cublasLtMatmulAlgoConfigGetAttribute(algorithm, all[i].name, &c.number[i], all[i].bytes,
                                                 &written) != CUBLAS_STATUS_SUCCESS)
            c.number[i] = 0; /* a library that does not know it */
    }
    return c;
}

static void add_candidate(struct search *t, const cublasLtMatmulAlgo_t *algorithm, int rung,
                          int place)
{
    struct config c = config_of(algorithm);
    int i = 0;
    if (c.number[SPLITK] > 1) return; /* parts of the sum over K, added afterwards */
    while (i < t->n && memcmp(&t->items[i].config, &c, sizeof c) != 0) i++;
    if (i == t->n) {
        t->items[t->n++] = (struct candidate){.algorithm = *algorithm, .config = c};
        for (int r = 0; r < GEMM_RUNGS; r++) t->items[i].place[r] = REQUESTED;
    }
    if (place < t->items[i].place[rung]) t->items[i].place[rung] = place;
}

static void collect(struct search *t)
{
    struct gemm_shape *s = t->s;
    cublasLtMatmulPreference_t preference = preference_create(t);
    for (int r = 0; r < s->rungs; r++) {
        cublasLtMatmulHeuristicResult_t found[REQUESTED];
        int n = 0;
        gemm_set_rows(s, gemm_ladder[r]);
        cublasStatus_t status =
            cublasLtMatmulAlgoGetHeuristic(cuda_of(t->b)->gemm->library, s->desc, s->w, s->x,
                                           s->out, s->out, preference, REQUESTED, found, &n);
        if (status != CUBLAS_STATUS_SUCCESS) n = 0; /* no algorithm for this shape */
        for (int i = 0; i < n; i++)
            if (found[i].state == CUBLAS_STATUS_SUCCESS) add_candidate(t, &found[i].algo, r, i);
    }
    CUBLAS_CHECK(cublasLtMatmulPreferenceDestroy(preference));
}

/* Rows [begin, begin + rows) computed together: their hashes go to t->hash_device from `at` on.
 * False: it cannot. */
static bool hash_block(struct search *t, const struct candidate *c, int64_t begin, int64_t rows,
                       int64_t at)
{
    if (!gemm_possible(t->b, t->s, &c->algorithm, rows)) return false;
    if (gemm_call(t->b, t->s, &c->algorithm, t->out, t->x + (size_t)begin * x_row(t), t->w, rows) !=
        CUBLAS_STATUS_SUCCESS)
        return false;
    CUDA_CHECK(k_hash_rows(t->hash_device + at, t->out, rows, out_row(t), cuda_of(t->b)->stream));
    return true;
}

static void fetch_hashes(struct search *t, int64_t n)
{
    cuda_download(t->b, t->hash, t->hash_device, (size_t)n * sizeof *t->hash);
}

static void classify(struct search *t, int i)
{
    struct candidate *c = &t->items[i];
    c->family = -1;
    if (!hash_block(t, c, 0, t->rows, 0)) return;
    fetch_hashes(t, t->rows);
    c->reference = mem_calloc((size_t)t->rows, sizeof *c->reference);
    memcpy(c->reference, t->hash, (size_t)t->rows * sizeof *t->hash);
    for (c->family = 0; c->family < i; c->family++) {
        const struct candidate *other = &t->items[c->family];
        if (other->reference &&
            memcmp(other->reference, c->reference, (size_t)t->rows * sizeof *c->reference) == 0)
            break;
    }
}

/* Blocks of so many rows from several places have the reference's bits.  One wait for all of them:
 * there are hundreds of blocks for a matrix, thousands where no family is proposed for all rungs.
 */
static bool block_holds(struct search *t, const struct candidate *c, int64_t rows)
{
    int64_t last = t->rows - rows, begin[BLOCKS];
    int n = 0;
    for (int k = 0; k < BLOCKS; k++) {
        begin[n] = last * k / (BLOCKS - 1);
        if (n > 0 && begin[n] == begin[n - 1]) continue;
        if (!hash_block(t, c, begin[n], rows, n * rows)) return false;
        n++;
    }
    fetch_hashes(t, n * rows);
    for (int i = 0; i < n; i++)
        if (memcmp(t->hash + i * rows, c->reference + begin[i], (size_t)rows * sizeof *t->hash) !=
            0)
            return false;
    return true;
}

/* At the rungs for which the heuristic proposed it, or at the others. */
static void try_rungs(struct search *t, struct candidate *c, bool proposed)
{
    if (c->family < 0) return;
    for (int r = 0; r < t->s->rungs; r++) {
        int64_t least = r > 0 ? gemm_ladder[r - 1] + 1 : 1;
        if (proposed != (c->place[r] < REQUESTED)) continue;
        c->holds[r] = block_holds(t, c, gemm_ladder[r]) &&
                      (least == gemm_ladder[r] || block_holds(t, c, least));
    }
}

/* The best place of a family's candidates at a rung; -1: it has none there. */
static int best_place(const struct search *t, int family, int rung)
{
    int best = -1;
    for (int i = 0; i < t->n; i++) {
        const struct candidate *c = &t->items[i];
        if (c->family == family && c->holds[rung] && (best < 0 || c->place[rung] < best))
            best = c->place[rung];
    }
    return best;
}

/* The family that covers the ladder with the least sum of places; -1: none does. */
static int choose_family(const struct search *t)
{
    int chosen = -1, least = 0;
    for (int family = 0; family < t->n; family++) {
        int sum = 0, r = 0;
        for (int place; r < t->s->rungs && (place = best_place(t, family, r)) >= 0; r++)
            sum += place;
        if (r < t->s->rungs || (chosen >= 0 && sum >= least)) continue;
        chosen = family;
        least = sum;
    }
    return chosen;
}

/* Milliseconds of some runs. */
static float time_of(struct search *t, const struct candidate *c, int64_t rows)
{
    cudaStream_t stream = cuda_of(t->b)->stream;
    cudaEvent_t begin, end;
    float ms = 0;
    CUDA_CHECK(cudaEventCreate(&begin));
    CUDA_CHECK(cudaEventCreate(&end));
    CUDA_CHECK(cudaEventRecord(begin, stream));
    for (int i = 0; i < RUNS; i++)
        CUBLAS_CHECK(gemm_call(t->b, t->s, &c->algorithm, t->out, t->x, t->w, rows));
    CUDA_CHECK(cudaEventRecord(end, stream));
    cuda_wait(t->b);
    CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
    CUDA_CHECK(cudaEventDestroy(begin));
    CUDA_CHECK(cudaEventDestroy(end));
    return ms;
}

static void take_fastest(struct search *t, int family)
{
    for (int r = 0; r < t->s->rungs; r++) {
        float least = 0;
        bool any = false;
        for (int i = 0; i < t->n; i++) {
            const struct candidate *c = &t->items[i];
            if (c->family != family || !c->holds[r]) continue;
            float ms = time_of(t, c, gemm_ladder[r]);
            if (any && ms >= least) continue;
            any = true;
            least = ms;
            t->s->algorithm[r] = c->algorithm;
        }
    }
}

/* One algorithm, one number of rows. */
static int take_padded(struct search *t, struct err *e)
{
    struct gemm_shape *s = t->s;
    int from = s->rungs - 1;
    while (from > 0 && gemm_ladder[from] > PADDED_ROWS) from--;
    for (int r = from; r >= 0; r--)
        for (int i = 0; i < t->n; i++) {
            if (!t->items[i].holds[r]) continue;
            s->fixed_rows = gemm_ladder[r];
            s->algorithm[0] = t->items[i].algorithm;
            log0(LOG_WARN,
                 "cuBLASLt, matrix %lld x %lld, %s to %s: no family of algorithms with equal bits "
                 "covers "
                 "all row counts; rows go in blocks of %lld, which is slow for few",
                 (long long)s->N, (long long)s->K, dtype_name(s->type), dtype_name(s->out_type),
                 (long long)s->fixed_rows);
            return 0;
        }
    return err_set(e,
                   "cuBLASLt has no algorithm for a matrix of %lld x %lld (%s to %s) that keeps a "
                   "row's bits",
                   (long long)s->N, (long long)s->K, dtype_name(s->type), dtype_name(s->out_type));
}

static int try_all(struct search *t, struct err *e)
{
    collect(t);
    for (int i = 0; i < t->n; i++) classify(t, i);
    for (int i = 0; i < t->n; i++) try_rungs(t, &t->items[i], true);
    int family = choose_family(t);
    if (family < 0) {
        for (int i = 0; i < t->n; i++) try_rungs(t, &t->items[i], false);
        family = choose_family(t);
    }
    if (family < 0) return take_padded(t, e);
    take_fastest(t, family);
    return 0;
}

int gemm_search(struct backend *b, struct gemm_shape *s, void *w, struct err *e)
{
    struct search *t = mem_calloc(1, sizeof *t);
    t->b = b;
    t->s = s;
    t->w = w;
    int64_t most = OUT_BYTES / (int64_t)out_row(t);
    if (most > GEMM_MOST_ROWS) most = GEMM_MOST_ROWS;
    for (s->rungs = 1; s->rungs < GEMM_RUNGS && gemm_ladder[s->rungs] <= most;) s->rungs++;
    t->rows = gemm_ladder[s->rungs - 1];
    t->x = cuda_alloc(b, (size_t)t->rows * x_row(t));
    t->out = cuda_alloc(b, (size_t)t->rows * out_row(t));
    t->hash_device = cuda_alloc(b, (size_t)(BLOCKS * t->rows) * sizeof *t->hash);
    t->hash = mem_calloc((size_t)(BLOCKS * t->rows), sizeof *t->hash);
    int rc = -1;
    if (t->x && t->out && t->hash_device) {
        fill_noise(b, s->type, t->x, (size_t)(t->rows * s->K), 1);
        fill_noise(b, s->type, w, (size_t)(s->N * s->K), 2);
        rc = try_all(t, e);
    } else {
        err_set(e, "no device memory to try cuBLASLt's algorithms for a matrix of %lld x %lld",
                (long long)s->N, (long long)s->K);
    }
    for (int i = 0; i < t->n; i++) free(t->items[i].reference);
    cuda_release(b, t->x);
    cuda_release(b, t->out);
    cuda_release(b, t->hash_device);
    free(t->hash);
    free(t);
    return rc;
}
