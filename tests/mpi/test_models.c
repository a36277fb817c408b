/* Every family and reward head against transformers (tests/golden/make_models.py), split over
 * tensor = 1, 2, 4, 8 ranks: logits and rewards within 1e-4 relative of the reference, and of each
 * other within 1e-5 (f32); in fp8 where the backend has it. */
#include "base/mem.h"
#include "decode/reward_head.h"
#include "model/transformer.h"
#include "test_backend.h"
#include "test_support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_T 64

/* How far results may be from the reference: the worst of a sequence's numbers by the largest of
 * them, and all sequences' in norm; and those of a split model from the whole one's.
 *
 * fp8: rounding alone is 11 to 18 % of the logits' norm on these random models, 6 to 29 % of the
 * rewards' (measured); transformers with its linear layers' rows rounded the same way is off by 11
 * to 17 %, model for model the same within 2.  A reward near zero has no worst, and a split model
 * is rounded otherwise, since a rank's rows have scales of their own. */
struct bound {
    enum dtype dtype;
    double worst, norm, split;
};
static const struct bound bounds[] = {{DTYPE_ID_F32, 1e-4, 1e-4, 1e-5},
                                      {DTYPE_ID_FP8, HUGE_VAL, 0.35, HUGE_VAL}};

struct loaded {
    struct backend *backend;
    struct model model;
};

static void load(struct loaded *m, struct comm *tensor, const char *folder, enum dtype dtype)
{
    struct err e = {0};
    memset(m, 0, sizeof *m);
    m->backend = test_backend_open(tensor, dtype, 1, &e);
    REQUIRE(m->backend, "%s", e.text);
    m->model.backend = m->backend;
    REQUIRE(arch_open(&m->model.arch, folder, &e) == 0, "%s", e.text);
    REQUIRE(shard_make(&m->model.shard, &m->model.arch, comm_size(tensor), comm_rank(tensor), &e) ==
                0,
            "%s: %s", folder, e.text);
    REQUIRE(weights_open(&m->model.weights, m->backend, &m->model.arch, &m->model.shard, folder,
                         NULL, &e) == 0,
            "%s", e.text);
    REQUIRE(model_prepare(&m->model, MAX_T, MAX_T, 8, &e) == 0, "%s", e.text);
}

static void unload(struct loaded *m)
{
    model_close(&m->model);
    backend_destroy(m->backend);
}

/* Sequence of T ids, its first `split` tokens as a prefix and the rest as own tokens; hidden [T,
 * D]. */
static void forward(struct model *m, const int32_t *ids, int64_t T, int64_t split, float *hidden)
{
    int32_t position[MAX_T], prefix[4] = {0, 1, 2, 3}, own[4] = {4, 5, 6, 7};
    for (int32_t t = 0; t < T; t++) position[t] = t;
    struct segment s = {
        .prefix_pages = prefix, .prefix_len = split, .own_pages = own, .n_rows = split};
    struct segment rest = s;
    rest.first_position = rest.row = split;
    rest.n_rows = T - split;
    struct segment both[2] = {s, rest};
    struct batch batch = {ids, position, both, T, split < T ? 2 : 1};
    const void *device = model_run(m, &batch);
    enum dtype type = m->backend->activation;
    size_t n = (size_t)(T * m->arch.D);
    void *narrow = mem_calloc(n, dtype_bytes(type));
    m->backend->ops->download(m->backend, narrow, device, n * dtype_bytes(type));
    dtype_widen(hidden, narrow, type, n);
    free(narrow);
}

/* All columns of the logits on every rank: [T, V]. */
static float *all_logits(struct model *m, const float *hidden, int64_t T)
{
    int64_t V_local = m->shard.V_local, P = m->shard.P, V = m->arch.V;
    struct backend *b = m->backend;
    size_t n = (size_t)(T * m->arch.D), hidden_bytes = n * dtype_bytes(b->activation),
           bytes = (size_t)(T * V_local) * sizeof(float);
    void *on_device = b->ops->alloc(b, hidden_bytes), *logits = b->ops->alloc(b, bytes);
    REQUIRE(on_device && logits, "no memory");
    float *mine = mem_calloc((size_t)(T * V_local), sizeof *mine);
    float *all = mem_calloc((size_t)(T * V_local * P), sizeof *all),
          *out = mem_calloc((size_t)(T * V), sizeof *out);
    void *narrow = mem_calloc(1, hidden_bytes);
    dtype_narrow(narrow, hidden, b->activation, n); /* as they were: exact */
    b->ops->upload(b, on_device, narrow, hidden_bytes);
    free(narrow);
    model_logits(m, on_device, T, logits);
    b->ops->download(b, mine, logits, bytes);
    b->ops->free(b, on_device);
    b->ops->free(b, logits);
    comm_allgather(b->tensor, mine, bytes, all);
    for (int64_t t = 0; t < T; t++)
        for (int64_t v = 0; v < V; v++)
            out[t * V + v] = all[(v / V_local * T + t) * V_local + v % V_local];
    free(mine);
    free(all);
    return out;
}

static float reward_of(struct model *m, struct safetensors *golden, int i, const float *hidden,
                       int64_t T)
{
    float gate[64];
    const struct arch *a = &m->arch;
    if (a->head == HEAD_GATED) {
        char name[32];
        float row;
        struct err e;
        snprintf(name, sizeof name, "gate_row_%d", i);
        REQUIRE(safetensors_read(golden, safetensors_find(golden, name), 0, 1, 0, 1, &row, &e) == 0,
                "%s", e.text);
        REQUIRE(reward_head_gate(a, &m->weights.head, hidden + (int64_t)row * a->D, gate) == 0,
                "gate");
    }
    return reward_head_apply(a, &m->weights.head, hidden + (T - 1) * a->D, gate);
}

static double relative(const float *got, const float *want, int64_t n)
{
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        scale = fmax(scale, fabs((double)want[i]));
    }
    return worst / scale;
}

struct result {
    double worst, split;
    double error, size; /* sums of squares, against the reference */
};

static struct result compare(const float *got, const float *want, int64_t n)
{
    struct result r = {.worst = relative(got, want, n)};
    for (int64_t i = 0; i < n; i++) {
        double off = (double)got[i] - (double)want[i];
        r.error += off * off;
        r.size += (double)want[i] * (double)want[i];
    }
    return r;
}

/* One sequence through the split model and the whole one, which rank 0 has. */
static struct result one_sequence(struct loaded *m, struct loaded *whole, struct comm *tensor,
                                  struct safetensors *golden, int i)
{
    char name[32];
    struct err e;
    snprintf(name, sizeof name, "ids_%d", i);
    const struct tensor_info *info = safetensors_find(golden, name);
    if (!info) return (struct result){.worst = -1};
    int64_t T = info->shape[0], D = m->model.arch.D, V = m->model.arch.V;
    float idf[MAX_T];
    int32_t ids[MAX_T];
    REQUIRE(T <= MAX_T && safetensors_read(golden, info, 0, 1, 0, T, idf, &e) == 0, "%s", name);
    for (int64_t t = 0; t < T; t++) ids[t] = (int32_t)idf[t];
    float *h1 = mem_calloc((size_t)(T * D), sizeof *h1),
          *h2 = mem_calloc((size_t)(T * D), sizeof *h2);
    forward(&m->model, ids, T, T, h1);
    if (whole) forward(&whole->model, ids, T, T, h2);
    struct result r;
    if (m->model.arch.head == HEAD_CAUSAL_LM) {
        float *a = all_logits(&m->model, h1, T),
              *b =
                  whole ? all_logits(&whole->model, h2, T) : mem_calloc((size_t)(T * V), sizeof *b),
              *want = mem_calloc((size_t)(T * V), sizeof *want);
        snprintf(name, sizeof name, "logits_%d", i);
        REQUIRE(safetensors_read(golden, safetensors_find(golden, name), 0, T, 0, V, want, &e) == 0,
                "%s", e.text);
        comm_bcast(tensor, b, (size_t)(T * V) * sizeof *b, 0);
        r = compare(a, want, T * V);
        r.split = relative(a, b, T * V);
        free(a);
        free(b);
        free(want);
    } else {
        float want, a = reward_of(&m->model, golden, i, h1, T),
                    b = whole ? reward_of(&whole->model, golden, i, h2, T) : 0;
        comm_bcast(tensor, &b, sizeof b, 0);
        snprintf(name, sizeof name, "reward_%d", i);
        REQUIRE(safetensors_read(golden, safetensors_find(golden, name), 0, 1, 0, 1, &want, &e) ==
                    0,
                "%s", e.text);
        r = compare(&a, &want, 1);
        r.split = relative(&a, &b, 1);
    }
    /* The prompt as a shared prefix and the rest as own tokens: another order of tiles, the same
     * model. */
    forward(&m->model, ids, T, (T + 1) / 2, h2);
    r.split = fmax(r.split, relative(h2, h1, T * D));
    free(h1);
    free(h2);
    return r;
}

static int one_model(const char *folder, const char *name, const struct bound *bound,
                     struct comm *tensor, struct comm *alone)
{
    struct err e;
    struct arch a;
    struct shard s;
    REQUIRE(arch_open(&a, folder, &e) == 0, "%s", e.text);
    if (shard_make(&s, &a, comm_size(tensor), comm_rank(tensor), &e) < 0) {
        if (comm_rank(tensor) == 0)
            printf("%-14s not over %d ranks: %s\n", name, comm_size(tensor), e.text);
        return 0;
    }
    if (tests_cuda() && a.E % 8) {
        if (comm_rank(tensor) == 0)
            printf("%-14s not on cuda: heads of %lld numbers\n", name, (long long)a.E);
        return 0;
    }
    char *path = mem_printf("%s/golden.safetensors", folder);
    struct safetensors *golden = safetensors_open_file(path, &e);
    REQUIRE(golden, "%s", e.text);
    struct loaded m, whole;
    load(&m, tensor, folder, bound->dtype);
    bool has_whole = comm_rank(tensor) == 0;
    if (has_whole) load(&whole, alone, folder, bound->dtype);
    struct result all = {0};
    for (int i = 0;; i++) {
        struct result r = one_sequence(&m, has_whole ? &whole : NULL, tensor, golden, i);
        if (r.worst < 0) break;
        all.worst = fmax(all.worst, r.worst);
        all.split = fmax(all.split, r.split);
        all.error += r.error;
        all.size += r.size;
    }
    double norm = sqrt(all.error / all.size);
    if (comm_rank(tensor) == 0)
        printf("%-14s %s, tensor %d: %.2g from the reference, %.2g in norm; %.2g from one rank\n",
               name, dtype_name(bound->dtype), comm_size(tensor), all.worst, norm, all.split);
    REQUIRE(norm > 0 && norm <= bound->norm, "%s: %g in norm from the reference", name, norm);
    REQUIRE(all.worst <= bound->worst, "%s: %g from the reference", name, all.worst);
    REQUIRE(all.split <= bound->split, "%s: %g from one rank", name, all.split);
    unload(&m);
    if (has_whole) unload(&whole);
    safetensors_close(golden);
    free(path);
    return 1;
}

/* All fixtures; how many there were. */
static int all_models(const struct bound *bound, struct comm *tensor, struct comm *alone)
{
    struct dirent **list;
    int n = scandir(TESTS_DIR "/golden/models", &list, NULL, alphasort), done = 0;
    REQUIRE(n > 0, "no fixtures");
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.') {
            char *folder = mem_printf(TESTS_DIR "/golden/models/%s", list[i]->d_name);
            done += one_model(folder, list[i]->d_name, bound, tensor, alone);
            free(folder);
        }
        free(list[i]);
    }
    free(list);
    return done;
}

/* Where the backend does not compute in this type, it says why; f32 it always does. */
static bool has_dtype(enum dtype dtype, struct comm *world)
{
    struct err e = {0};
    struct backend *b = test_backend_open(world, dtype, 1, &e);
    backend_destroy(b);
    REQUIRE(b || dtype != DTYPE_ID_F32, "%s", e.text);
    if (!b && comm_rank(world) == 0) printf("skipped: %s\n", e.text);
    return b;
}

int main(int argc, char **argv)
{
    struct comm *world = comm_start(&argc, &argv);
    struct comm *alone = comm_split(world, comm_rank(world));
    int expected = tests_cuda() ? 16 : 17; /* without heads of 6 numbers */
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        if (!has_dtype(bounds[i].dtype, world)) continue;
        int done = all_models(&bounds[i], world, alone);
        REQUIRE(done >= (comm_size(world) <= 2 ? expected : 1), "only %d models", done);
        if (comm_rank(world) == 0) printf("%d passed, 0 failed\n", done);
    }
    comm_destroy(alone);
    comm_stop(world);
    return 0;
}
