/* A whole *.safetensors file: header, then every tensor's bytes through the slicing reads. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "model/safetensors.h"

#include <stdlib.h>

enum { MAX_VALUES = 1 << 16 };

static void read_tensor(struct safetensors *s, const struct tensor_info *t)
{
    struct err e = {0};
    const struct tensor_info *found;
    ENSURE(safetensors_find(s, t->name) == t);
    fuzz_check(safetensors_get(s, t->name, t->n_dims, t->shape, &found, &e), &e);
    int64_t rows = t->n_dims == 2 ? t->shape[0] : 1;
    int64_t cols = t->n_dims ? t->shape[t->n_dims - 1] : 1;
    if (t->n_dims > 2 || t->dtype == DTYPE_NONE || rows < 1 || cols < 1) return;
    int64_t some = rows < 8 ? rows : 8;
    if (cols > MAX_VALUES / some) return;
    void *out = mem_calloc((size_t)(some * cols), dtype_bytes(t->dtype));
    e = (struct err){0};
    fuzz_check(safetensors_read(s, t, rows - some, some, 0, cols, out, &e), &e);
    e = (struct err){0};
    fuzz_check(safetensors_read(s, t, 0, some, cols / 2, cols - cols / 2, out, &e), &e);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct err e = {0};
    char hash[33];
    struct safetensors *s = safetensors_open_file(fuzz_write("model.safetensors", bytes, n), &e);
    fuzz_check(s ? 0 : -1, &e);
    if (!s) return 0;
    safetensors_hash(s, hash);
    for (size_t i = 0; i < safetensors_count(s); i++) read_tensor(s, safetensors_at(s, i));
    safetensors_close(s);
    return 0;
}
