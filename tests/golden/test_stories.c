/* A real trained model (stories260K, outside the project) against an independent float64 forward
 * pass: greedy ids equal, their log-probabilities within 1e-4.  Skips where the model is absent. */
#include "base/json.h"
#include "base/mem.h"
#include "decode/engine.h"
#include "test_backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER    SHARED_DATA_DIR "/models/stories260K"
#define TOLERANCE 1e-4

static struct comm *world;

static int32_t *read_ids(const json_t *root, const char *key, int64_t *n)
{
    const json_t *list = json_object_get(root, key);
    *n = (int64_t)json_array_size(list);
    int32_t *ids = mem_calloc((size_t)*n, sizeof *ids);
    for (int64_t i = 0; i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return ids;
}

/* Log-probability of each greedy token, as one sequence sees it: differences of the running sum. */
static void decode(struct engine *g, struct engine_prompt *p, struct sequence *s, double *logprob,
                   int64_t n)
{
    struct sequence *live[1] = {s};
    struct decoding part = {.prompt = p, .live = live, .n = 1};
    for (int64_t i = 0; i < n; i++) {
        double before = s->logprob_sum;
        engine_step(g, &part, 1, 1);
        assert_int_equal(part.n_broken, 0);
        logprob[i] = s->logprob_sum - before;
    }
}

static void greedy_matches_reference(void **state)
{
    (void)state;
    struct err e;
    json_t *root = json_open(FOLDER "/reference_numpy_f64.json", &e);
    assert_non_null(root);
    int64_t P, total;
    int32_t *prompt = read_ids(root, "prompt_ids", &P),
            *want = read_ids(root, "greedy_ids", &total);
    struct model m = {.backend = test_backend_open(world, DTYPE_ID_F32, 1, &e)};
    assert_non_null(m.backend);
    assert_int_equal(arch_open(&m.arch, FOLDER, &e), 0);
    assert_int_equal(shard_make(&m.shard, &m.arch, 1, 0, &e), 0);
    assert_int_equal(weights_open(&m.weights, m.backend, &m.arch, &m.shard, FOLDER, NULL, &e), 0);
    assert_int_equal(model_prepare(&m, total + 1, 64, 64, &e), 0);
    struct kvcache *k = kvcache_create(&m, 64);
    struct engine_config c = {.sample = {.temperature = 0, .top_p = 1},
                              .max_new_tokens = total - P + 1};
    struct engine *g = engine_create(&m, &c, &e);
    assert_non_null(g);
    struct engine_prompt p;
    assert_int_equal(engine_begin(g, &p, k, 0, prompt, P, &e), 0);
    struct sequence s;
    sequence_init(&s, 0, c.max_new_tokens);
    s.status = SEQUENCE_LIVE;
    double *logprob = mem_calloc((size_t)total, sizeof *logprob), worst = 0;
    decode(g, &p, &s, logprob, total - P);
    for (int64_t i = 0; i < total - P; i++) assert_int_equal(s.tokens[i], want[P + i]);
    const json_t *steps = json_object_get(root, "logprob_of_next_token");
    assert_int_equal(json_array_size(steps), total - 1);
    for (int64_t i = 0; i < total - P; i++) {
        double reference = json_number_value(json_array_get(steps, (size_t)(P - 1 + i)));
        worst = fmax(worst, fabs(logprob[i] - reference));
    }
    printf("%lld greedy ids equal; log-probabilities: %.2f %% of the tolerance\n",
           (long long)(total - P), 100 * worst / TOLERANCE);
    assert_true(worst <= TOLERANCE);
    sequence_free(&s, k);
    engine_end(g, &p);
    assert_int_equal(kvcache_used(k), 0);
    engine_destroy(g);
    kvcache_destroy(k);
    struct backend *b = m.backend;
    model_close(&m);
    backend_destroy(b);
    json_decref(root);
    free(prompt);
    free(want);
    free(logprob);
}

int main(int argc, char **argv)
{
    if (access(FOLDER "/config.json", R_OK) != 0) {
        printf("skipped: %s is absent\n", FOLDER);
        return 77;
    }
    world = comm_start(&argc, &argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy_matches_reference)};
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    comm_stop(world);
    return rc;
}
