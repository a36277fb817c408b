/* model.safetensors.index.json of a folder with two good files, a.safetensors and b.safetensors.
 * Whatever the index says, no file outside of the folder is opened: every file must be one of
 * these. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static void make_file(const char *name, const char *header, size_t data)
{
    size_t length = strlen(header);
    unsigned char *file = mem_calloc(8 + length + data, 1);
    file[0] = (unsigned char)length; /* below 256 */
    memcpy(file + 8, header, length);
    fuzz_write(name, file, 8 + length + data);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static bool is_made;
    if (!is_made) {
        make_file("a.safetensors",
                  "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16);
        make_file("b.safetensors",
                  "{\"y\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                  "\"z\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[6,8]}}",
                  8);
        is_made = true;
    }
    struct err e = {0};
    char hash[33];
    fuzz_write("model.safetensors.index.json", bytes, n);
    struct safetensors *s = safetensors_open(fuzz_folder(), &e);
    fuzz_check(s ? 0 : -1, &e);
    if (!s) return 0;
    ENSURE(safetensors_count(s) >= 1 && safetensors_count(s) <= 3);
    safetensors_hash(s, hash);
    safetensors_close(s);
    return 0;
}
