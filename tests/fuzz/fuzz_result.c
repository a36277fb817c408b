/* A result file with damaged bytes, among them HDF5's own: what our readers make of what the
 * library says, or does not say.
 *
 * The input is the reader's number and a list of changes of 12 bytes: offset in the file (4 bytes,
 * modulo its size), how many bytes (1), and up to 7 of them.  A change of 8 or more bytes cuts the
 * file off there. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "fuzz/result_rows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The library reads a block with a wrong checksum again and again, and sleeps in between: nobody
 * writes here, so that there is nothing to wait for. */
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)wanted, (void)left;
    return 0;
}

enum { CHANGE_BYTES = 12, MAX_CHANGES = 32 };

static struct {
    char *bytes;
    size_t n;
} whole;

static void make_whole(void)
{
    struct result_rows r;
    result_rows_make(&r, 0);
    result_rows_write(&r, fuzz_path("whole.h5"));
    result_rows_free(&r);
    FILE *f = fopen(fuzz_path("whole.h5"), "rb");
    ENSURE(f && fseek(f, 0, SEEK_END) == 0);
    whole.n = (size_t)ftell(f);
    whole.bytes = mem_calloc(whole.n, 1);
    rewind(f);
    ENSURE(fread(whole.bytes, 1, whole.n, f) == whole.n);
    fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) return 0;
    if (!whole.bytes) make_whole();
    size_t length = whole.n;
    char *copy = mem_calloc(length, 1);
    memcpy(copy, whole.bytes, length);
    for (size_t i = 0; i < MAX_CHANGES && 1 + (i + 1) * CHANGE_BYTES <= n; i++) {
        const uint8_t *c = bytes + 1 + i * CHANGE_BYTES;
        uint32_t at, count = c[4];
        memcpy(&at, c, sizeof at);
        at %= (uint32_t)whole.n;
        if (count > 7) length = at;
        for (uint32_t k = 0; k < count && count < 8 && at + k < whole.n; k++)
            copy[at + k] = (char)c[5 + k];
    }
    fuzz_write("damaged.h5", copy, length);
    free(copy);
    result_read(fuzz_path("damaged.h5"), bytes[0]);
    return 0;
}
