/* A dataset.  The first byte says of what form the rest is and which rows are asked for. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "job/dataset.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"d.jsonl", "d.json", "d.txt", "d.csv"};
    if (n == 0) return 0;
    uint8_t how = bytes[0];
    struct dataset_ref ref = {.field = "prompt",
                              .system = how & 4 ? "Be brief." : "",
                              .turn = how >> 3 & 1,
                              .shuffle = how & 16 ? 7 : -1,
                              .offset = how >> 5 & 1,
                              .limit = how & 64 ? 2 : -1};
    ref.path = (char *)(uintptr_t)fuzz_write(names[how & 3], bytes + 1, n - 1);
    ref.id = ref.path;
    struct dataset d;
    struct err e = {0};
    int rc = dataset_open(&d, &ref, &e);
    fuzz_check(rc, &e);
    if (rc < 0) return 0;
    for (int64_t i = 0; i < d.n; i++) {
        const struct prompt *p = &d.prompts[i];
        ENSURE(p->index >= 0 && p->index < d.n_rows);
        ENSURE((p->n_messages > 0) != (p->n_prompt_ids > 0));
    }
    dataset_free(&d);
    return 0;
}
