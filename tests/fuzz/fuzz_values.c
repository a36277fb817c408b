/* A result file that is whole, with rows of the fuzzer's: every reader of result files on it, from
 * inspect to replay.
 *
 * The input is the reader's number with the file's variant (result_rows.h), and a list of changes
 * of 12 bytes: the dataset, the row, the offset in it (2 bytes), and 8 bytes that are written
 * there.  Dataset 8 is the attributes, 9 cuts off rows. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "fuzz/result_rows.h"

#include <string.h>

enum { CHANGE_BYTES = 12, MAX_CHANGES = 32, ATTRIBUTES = TRACE_DATASETS, CUT };

static void change(struct result_rows *r, const uint8_t *c)
{
    int64_t value;
    memcpy(&value, c + 4, sizeof value);
    int what = c[0] % (CUT + 1);
    if (what == ATTRIBUTES) {
        *(c[1] & 1 ? &r->budget_tokens : &r->n_attribute) = value;
    } else if (what == CUT) {
        int64_t *n = &r->n[c[1] % TRACE_DATASETS];
        *n = *n < c[2] ? *n : c[2];
    } else if (r->n[what] > 0) {
        size_t row_bytes = types_row_bytes(what), all = row_bytes * (size_t)r->n[what];
        size_t at =
            row_bytes * (c[1] % (size_t)r->n[what]) + (c[2] | (size_t)c[3] << 8) % row_bytes;
        size_t n = all - at < sizeof value ? all - at : sizeof value;
        memcpy((char *)r->rows[what] + at, &value, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct result_rows r;
    if (n == 0) return 0;
    result_rows_make(&r, bytes[0]);
    for (size_t i = 0; i < MAX_CHANGES && 1 + (i + 1) * CHANGE_BYTES <= n; i++)
        change(&r, bytes + 1 + i * CHANGE_BYTES);
    result_rows_write(&r, fuzz_path("values.h5"));
    result_rows_free(&r);
    result_read(fuzz_path("values.h5"), bytes[0] & (ROWS_ONE_LENGTH - 1));
    return 0;
}
