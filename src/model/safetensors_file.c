#include "model/safetensors_file.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES    8
#define HEADER_MAX      100000000 /* the format's own limit */
#define READ_BLOCK      ((int64_t)16 << 20)
#define GIT_LFS_POINTER "version https://git-lfs"

/* Types that a header may name.  Those without a dtype can stand in a checkpoint, but are never a
 * weight. */
static const struct {
    const char *name;
    int bytes;
    enum dtype dtype;
} types[] = {
    {"F32", 4, DTYPE_ID_F32}, {"F16", 2, DTYPE_ID_F16},   {"BF16", 2, DTYPE_ID_BF16},
    {"F64", 8, DTYPE_NONE},   {"I64", 8, DTYPE_NONE},     {"U64", 8, DTYPE_NONE},
    {"I32", 4, DTYPE_NONE},   {"U32", 4, DTYPE_NONE},     {"I16", 2, DTYPE_NONE},
    {"U16", 2, DTYPE_NONE},   {"I8", 1, DTYPE_NONE},      {"U8", 1, DTYPE_NONE},
    {"BOOL", 1, DTYPE_NONE},  {"F8_E4M3", 1, DTYPE_NONE}, {"F8_E5M2", 1, DTYPE_NONE},
};
enum { N_TYPES = sizeof types / sizeof *types };

static int read_type(const char *path, const char *name, const json_t *desc, int64_t *bytes,
                     struct st_tensor *t, struct err *e)
{
    const char *type = json_string_value(json_object_get(desc, "dtype"));
    if (!type) return err_set(e, "%s: tensor '%s' has no dtype", path, name);
    for (int i = 0; i < N_TYPES; i++) {
        if (strcmp(type, types[i].name)) continue;
        t->type = types[i].name;
        t->info.dtype = types[i].dtype;
        *bytes = types[i].bytes;
        return 0;
    }
    return err_set(e, "%s: tensor '%s' has dtype '%.20s'; supported: F32, F16, BF16", path, name,
                   type);
}

/* The shape; *bytes, the element's size, becomes the tensor's. */
static int read_shape(const char *path, const char *name, const json_t *desc, int64_t *bytes,
                      struct st_tensor *t, struct err *e)
{
    const json_t *shape = json_object_get(desc, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > 4)
        return err_set(e, "%s: tensor '%s' needs a shape of at most 4 numbers", path, name);
    t->info.n_dims = (int)json_array_size(shape);
    for (int i = 0; i < t->info.n_dims; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        int64_t n = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (n < 0) return err_set(e, "%s: tensor '%s': dimension %d is not a count", path, name, i);
        if (__builtin_mul_overflow(*bytes, n, bytes))
            return err_set(e, "%s: tensor '%s': its shape overflows 64 bits", path, name);
        t->info.shape[i] = n;
    }
    return 0;
}

static int read_offsets(const struct st_file *f, const char *name, const json_t *desc,
                        int64_t bytes, struct st_tensor *t, struct err *e)
{
    const json_t *pair = json_object_get(desc, "data_offsets");
    const json_t *b = json_array_get(pair, 0), *d = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(b) || !json_is_integer(d))
        return err_set(e, "%s: tensor '%s' needs data_offsets [begin, end]", f->path, name);
    int64_t begin = json_integer_value(b), end = json_integer_value(d);
    if (begin < 0 || end < begin)
        return err_set(e, "%s: tensor '%s': data_offsets [%lld, %lld] run backwards", f->path, name,
                       (long long)begin, (long long)end);
    if (end > f->size - f->data_begin)
        return err_set(
            e,
            "%s: tensor '%s' ends at byte %lld of the data, the file holds %lld: truncated "
            "or incomplete download?",
            f->path, name, (long long)end, (long long)(f->size - f->data_begin));
    if (end - begin != bytes)
        return err_set(e, "%s: tensor '%s': its shape takes %lld bytes, its data_offsets hold %lld",
                       f->path, name, (long long)bytes, (long long)(end - begin));
    t->begin = f->data_begin + begin;
    t->end = f->data_begin + end;
    return 0;
}

static int by_offset(const void *pa, const void *pb)
{
    const struct st_tensor *a = pa, *b = pb;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* Sorted tensors follow each other without overlap or hole up to the end of the file. */
static int check_cover(const struct st_file *f, const struct st_tensor *t, size_t n, struct err *e)
{
    int64_t at = f->data_begin;
    for (size_t i = 0; i < n; i++) {
        if (t[i].begin < at)
            return err_set(e, "%s: tensors '%s' and '%s' overlap at byte %lld", f->path,
                           t[i - 1].name, t[i].name, (long long)t[i].begin);
        if (t[i].begin > at)
            return err_set(e, "%s: bytes %lld to %lld belong to no tensor (before '%s')", f->path,
                           (long long)at, (long long)t[i].begin, t[i].name);
        at = t[i].end;
    }
    if (at != f->size)
        return err_set(e, "%s: %lld bytes follow the last tensor", f->path,
                       (long long)(f->size - at));
    return 0;
}

static int add_tensors(const struct st_file *f, int number, json_t *root, struct st_tensors *all,
                       struct err *e)
{
    size_t first = all->n;
    const char *name;
    json_t *desc;
    json_object_foreach(root, name, desc)
    {
        if (!strcmp(name, "__metadata__")) continue;
        struct st_tensor t = {.file = number};
        int64_t bytes = 0;
        if (!json_is_object(desc))
            return err_set(e, "%s: tensor '%s' is not described by an object", f->path, name);
        TRY(read_type(f->path, name, desc, &bytes, &t, e));
        TRY(read_shape(f->path, name, desc, &bytes, &t, e));
        TRY(read_offsets(f, name, desc, bytes, &t, e));
        t.name = mem_strdup(name);
        t.info.name = t.name;
        ARRAY_PUSH(*all, t);
    }
    if (all->n == first) return check_cover(f, NULL, 0, e);
    qsort(all->items + first, all->n - first, sizeof *all->items, by_offset);
    return check_cover(f, all->items + first, all->n - first, e);
}

/* The header's length, checked against the file. */
static int read_length(const struct st_file *f, int64_t *length, struct err *e)
{
    unsigned char b[LENGTH_BYTES];
    if (f->size < LENGTH_BYTES)
        return err_set(e, "%s: %lld bytes are no safetensors file", f->path, (long long)f->size);
    TRY(st_file_read(f, 0, b, sizeof b, e));
    if (!memcmp(b, GIT_LFS_POINTER, sizeof b))
        return err_set(e, "%s: a Git LFS pointer, not the weights (run: git lfs pull)", f->path);
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | b[i];
    if (n < 2 || n > HEADER_MAX || n > (uint64_t)(f->size - LENGTH_BYTES))
        return err_set(e,
                       "%s: header of %llu bytes in a file of %lld: not safetensors, or truncated",
                       f->path, (unsigned long long)n, (long long)f->size);
    *length = (int64_t)n;
    return 0;
}

static int parse_header(struct st_file *f, int number, struct st_tensors *all, struct err *e)
{
    int64_t length = 0;
    TRY(read_length(f, &length, e));
    f->data_begin = LENGTH_BYTES + length;
    char *text = mem_calloc((size_t)length, 1);
    json_t *root = NULL;
    json_error_t je;
    int rc = st_file_read(f, LENGTH_BYTES, text, (size_t)length, e);
    if (rc < 0) goto done;
    root = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &je);
    if (!root)
        rc = err_set(e, "%s: header, byte %d: %s", f->path, je.position, je.text);
    else if (!json_is_object(root))
        rc = err_set(e, "%s: the header is not a JSON object", f->path);
    else
        rc = add_tensors(f, number, root, all, e);
done:
    json_decref(root);
    free(text);
    return rc;
}

int st_file_open(struct st_file *f, const char *path, int number, struct st_tensors *all,
                 struct err *e)
{
    f->path = mem_strdup(path);
    f->fd = file_open(path, &f->size, e);
    TRY(f->fd);
    posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice: its failure changes nothing */
    return parse_header(f, number, all, e);
}

void st_file_close(struct st_file *f)
{
    if (f->path && f->fd >= 0) close(f->fd);
    free(f->path);
    memset(f, 0, sizeof *f);
}

int st_file_read(const struct st_file *f, int64_t offset, void *out, size_t bytes, struct err *e)
{
    char *to = out;
    while (bytes > 0) {
        size_t n = (size_t)(READ_BLOCK - offset % READ_BLOCK);
        if (n > bytes) n = bytes;
        ssize_t got = pread(f->fd, to, n, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return err_set(e, "%s: reading at byte %lld: %s", f->path, (long long)offset,
                           strerror(errno));
        if (got == 0)
            return err_set(e, "%s: ends at byte %lld: was it changed while being read?", f->path,
                           (long long)offset);
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return 0;
}
