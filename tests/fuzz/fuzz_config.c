/* config.json and, as a second part, generation_config.json: read, priced, and shown as `specrej
 * inspect` does. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "model/cost.h"
#include "report/inspect.h"

#include <stdlib.h>

static void use(const struct arch *a)
{
    enum { POSITIONS = 4, MAX_TOKENS = 1000 };
    ENSURE(a->D > 0 && a->L > 0 && a->H > 0 && a->G > 0 && a->E > 0 && a->F > 0 && a->V > 0);
    ENSURE(arch_n_parameters(a) > 0);
    float *rope = mem_calloc((size_t)(POSITIONS * a->E), sizeof *rope);
    arch_rope_table(a, rope, POSITIONS);
    free(rope);
    for (int64_t ranks = 1; ranks <= 8; ranks *= 2) {
        struct shard s;
        struct err e = {0};
        if (shard_make(&s, a, ranks, ranks - 1, &e) < 0) continue;
        ENSURE(cost_weight_bytes(a, &s, DTYPE_ID_F32) > 0);
        ENSURE(cost_kv_token_bytes(a, &s, 4) > 0);
    }
    int64_t tokens = a->max_positions < MAX_TOKENS ? a->max_positions : MAX_TOKENS;
    cost_prefill(a, DTYPE_ID_BF16, 0, tokens, 1);
    cost_decode(a, DTYPE_ID_BF16, 64, tokens, 64 * tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t length;
    char *config = fuzz_part(bytes, n, 0, &length);
    fuzz_write("config.json", config, length);
    free(config);
    char *generation = fuzz_part(bytes, n, 1, &length);
    if (generation)
        fuzz_write("generation_config.json", generation, length);
    else
        fuzz_remove("generation_config.json");
    free(generation);
    struct err e = {0};
    struct arch a;
    int rc = arch_open(&a, fuzz_folder(), &e);
    fuzz_check(rc, &e);
    if (rc == 0) use(&a);
    for (int json = 0; json < 2; json++) {
        struct inspect_options o = {.json = json, .prompt = -1, .chat_template = "raw"};
        e = (struct err){0};
        fuzz_check(inspect(fuzz_folder(), &o, fuzz_null(), &e), &e);
    }
    return 0;
}
