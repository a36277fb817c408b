/* What else is read line by line or as a small document: the input of `specrej score` (ids only,
 * as of a model without a tokenizer) and FILE.status.json. */
#include "fuzz/fuzz.h"
#include "report/score_input.h"
#include "run/status_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) return 0;
    struct err e = {0};
    if (bytes[0] & 1) {
        struct status_file s;
        fuzz_write("r.h5.status.json", bytes + 1, n - 1);
        fuzz_check(status_file_read(fuzz_path("r.h5"), &s, &e), &e);
        return 0;
    }
    struct score_input in = {0};
    FILE *f = fmemopen((void *)(uintptr_t)(bytes + 1), n - 1, "r");
    if (!f) return 0; /* of no bytes */
    fuzz_check(score_input_read(&in, f, NULL, NULL, 1024, 32000, &e), &e);
    score_input_free(&in);
    fclose(f);
    return 0;
}
