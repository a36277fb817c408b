#include "model/safetensors.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/safetensors_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES                                                                               \
    ((size_t)16 << 20) /* buffer for whole rows of which only a slice is wanted                    \
                        */
#define STRIDE_BYTES                                                                               \
    ((size_t)128 << 10) /* column slices from this width on are read one by one                    \
                         */

struct safetensors {
    char *path;
    struct st_file *files;
    int n_files;
    struct st_tensors tensors;
    uint32_t *table; /* [table_size] open addressing by name: tensor number + 1, 0: free */
    size_t table_size;
};

/* ---- names ---- */

static size_t name_slot(const struct safetensors *s, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = name; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32) & (s->table_size - 1);
}

static struct st_tensor *find(const struct safetensors *s, const char *name)
{
    if (!s->table_size) return NULL;
    for (size_t i = name_slot(s, name);; i = (i + 1) & (s->table_size - 1)) {
        uint32_t v = s->table[i];
        if (!v) return NULL;
        if (!strcmp(s->tensors.items[v - 1].name, name)) return &s->tensors.items[v - 1];
    }
}

/* Names are unique inside a file (the JSON parser refuses duplicates); here across files. */
static int build_table(struct safetensors *s, struct err *e)
{
    ENSURE(s->tensors.n < UINT32_MAX / 4);
    s->table_size = 64;
    while (s->table_size < 2 * s->tensors.n) s->table_size *= 2;
    s->table = mem_calloc(s->table_size, sizeof *s->table);
    for (size_t t = 0; t < s->tensors.n; t++) {
        const struct st_tensor *new = &s->tensors.items[t], *old = find(s, new->name);
        if (old)
            return err_set(e, "%s: tensor '%s' is in %s too", s->files[new->file].path, new->name,
                           s->files[old->file].path);
        size_t i = name_slot(s, new->name);
        while (s->table[i]) i = (i + 1) & (s->table_size - 1);
        s->table[i] = (uint32_t)t + 1;
    }
    return 0;
}

/* ---- the folder ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int add_file(struct safetensors *s, const char *path, struct err *e)
{
    s->files = mem_realloc(s->files, (size_t)s->n_files + 1, sizeof *s->files);
    memset(&s->files[s->n_files], 0, sizeof *s->files);
    int number = s->n_files++;
    return st_file_open(&s->files[number], path, number, &s->tensors, e);
}

static int find_file(const struct safetensors *s, const char *folder, const char *name)
{
    size_t skip = strlen(folder) + 1;
    for (int i = s->n_files - 1; i >= 0; i--)
        if (!strcmp(s->files[i].path + skip, name)) return i;
    return -1;
}

/* Every file that the index names, and every tensor where the index says. */
static int open_indexed(struct safetensors *s, const char *folder, const char *index, json_t *map,
                        struct err *e)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const char *file = json_string_value(value);
        if (!file || !*file || strchr(file, '/') || !strcmp(file, ".") || !strcmp(file, ".."))
            return err_set(e,
                           "%s: tensor '%s' is in '%.80s', not the name of a file of this folder",
                           index, tensor, file ? file : "?");
        if (!ends_with(file, ".safetensors"))
            return err_set(e, "%s: tensor '%s' is in '%.80s', which is no *.safetensors file",
                           index, tensor, file);
        if (find_file(s, folder, file) >= 0) continue;
        char *path = mem_printf("%s/%s", folder, file);
        bool exists;
        int rc = file_exists(path, &exists, e);
        if (rc == 0)
            rc = exists ? add_file(s, path, e)
                        : err_set(e, "%s names %s, which is missing: incomplete download?", index,
                                  file);
        free(path);
        TRY(rc);
    }
    TRY(build_table(s, e));
    json_object_foreach(map, tensor, value)
    {
        const struct st_tensor *t = find(s, tensor);
        int file = find_file(s, folder, json_string_value(value));
        if (!t || t->file != file)
            return err_set(e, "%s: tensor '%s' is not in %s, where %s places it", folder, tensor,
                           json_string_value(value), index);
    }
    return 0;
}

static int open_index(struct safetensors *s, const char *folder, const char *index, struct err *e)
{
    json_t *root = json_open(index, e);
    if (!root) return -1;
    json_t *map = json_object_get(root, "weight_map");
    int rc;
    if (json_is_object(map) && json_object_size(map) > 0)
        rc = open_indexed(s, folder, index, map, e);
    else
        rc = err_set(e, "%s: key 'weight_map' must map tensor names to files", index);
    json_decref(root);
    return rc;
}

/* What the folder holds that may be weights. */
static int look_for_weights(const char *folder, bool *pickled, bool *safetensors, struct err *e)
{
    DIR *d = opendir(folder);
    if (!d) return err_set(e, "%s: %s", folder, strerror(errno));
    *pickled = *safetensors = false;
    for (struct dirent *f; (f = readdir(d));) {
        *safetensors |= ends_with(f->d_name, ".safetensors");
        *pickled |= ends_with(f->d_name, ".bin") || ends_with(f->d_name, ".pt") ||
                    ends_with(f->d_name, ".pth");
    }
    closedir(d);
    return 0;
}

int safetensors_is_bare(const char *folder, bool *is_bare, struct err *e)
{
    bool pickled, safetensors;
    TRY(look_for_weights(folder, &pickled, &safetensors, e));
    *is_bare = !pickled && !safetensors;
    return 0;
}

/* The folder has none of the two files: say what it has. */
static int nothing_here(const char *folder, struct err *e)
{
    bool pickled, safetensors;
    TRY(look_for_weights(folder, &pickled, &safetensors, e));
    if (safetensors)
        return err_set(e,
                       "%s: there are *.safetensors, but neither model.safetensors nor "
                       "model.safetensors.index.json, which names their tensors",
                       folder);
    if (!pickled)
        return err_set(e, "%s: no model.safetensors and no model.safetensors.index.json", folder);
    return err_set(
        e,
        "%s: only pickled weights (*.bin, *.pt, *.pth), which are not read; convert with "
        "transformers: "
        "AutoModel...from_pretrained(FOLDER).save_pretrained(NEW, safe_serialization=True)",
        folder);
}

static int open_folder(struct safetensors *s, const char *folder, struct err *e)
{
    char *file = mem_printf("%s/model.safetensors", folder);
    char *index = mem_printf("%s/model.safetensors.index.json", folder);
    bool is_one = false, is_indexed = false;
    int rc = file_exists(file, &is_one, e);
    if (rc == 0 && !is_one) rc = file_exists(index, &is_indexed, e);
    if (rc == 0 && is_one) rc = add_file(s, file, e);
    if (rc == 0 && is_one) rc = build_table(s, e);
    if (rc == 0 && is_indexed) rc = open_index(s, folder, index, e);
    if (rc == 0 && !is_one && !is_indexed) rc = nothing_here(folder, e);
    free(file);
    free(index);
    return rc;
}

struct safetensors *safetensors_open(const char *folder, struct err *e)
{
    struct safetensors *s = mem_calloc(1, sizeof *s);
    s->path = mem_strdup(folder);
    if (open_folder(s, folder, e) == 0) return s;
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_open_file(const char *path, struct err *e)
{
    struct safetensors *s = mem_calloc(1, sizeof *s);
    s->path = mem_strdup(path);
    if (add_file(s, path, e) == 0 && build_table(s, e) == 0) return s;
    safetensors_close(s);
    return NULL;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_files; i++) st_file_close(&s->files[i]);
    for (size_t i = 0; i < s->tensors.n; i++) free(s->tensors.items[i].name);
    free(s->tensors.items);
    free(s->files);
    free(s->table);
    free(s->path);
    free(s);
}

/* ---- tensors ---- */

const char *safetensors_path(const struct safetensors *s)
{
    return s->path;
}
size_t safetensors_count(const struct safetensors *s)
{
    return s->tensors.n;
}

const struct tensor_info *safetensors_at(const struct safetensors *s, size_t i)
{
    ENSURE(i < s->tensors.n);
    return &s->tensors.items[i].info;
}

const struct tensor_info *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct st_tensor *t = find(s, name);
    return t ? &t->info : NULL;
}

static void shape_text(char out[96], int n_dims, const int64_t *shape)
{
    int at = snprintf(out, 96, "[");
    for (int i = 0; i < n_dims; i++)
        at += snprintf(out + at, (size_t)(96 - at), i ? ", %lld" : "%lld", (long long)shape[i]);
    snprintf(out + at, (size_t)(96 - at), "]");
}

int safetensors_get(const struct safetensors *s, const char *name, int n_dims, const int64_t *shape,
                    const struct tensor_info **out, struct err *e)
{
    char want[96], found[96];
    ENSURE(n_dims >= 0 && n_dims <= 4);
    shape_text(want, n_dims, shape);
    const struct st_tensor *t = find(s, name);
    if (!t)
        return err_set(e, "%s: tensor '%s' is missing, expected with shape %s", s->path, name,
                       want);
    const char *file = s->files[t->file].path;
    bool same = t->info.n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) same = t->info.shape[i] == shape[i];
    shape_text(found, t->info.n_dims, t->info.shape);
    if (!same)
        return err_set(e, "%s: tensor '%s' has shape %s, expected %s by config.json", file, name,
                       found, want);
    if (t->info.dtype == DTYPE_NONE)
        return err_set(e, "%s: tensor '%s' has dtype %s; supported: F32, F16, BF16", file, name,
                       t->type);
    *out = &t->info;
    return 0;
}

/* A narrow column slice: whole rows come in large reads, the slice is copied out. */
static int read_narrow(const struct st_file *f, int64_t begin, size_t row_bytes, size_t skip,
                       size_t bytes, int64_t n_rows, char *out, struct err *e)
{
    int64_t per = (int64_t)(GATHER_BYTES / row_bytes);
    if (per < 1) per = 1;
    if (per > n_rows) per = n_rows;
    char *rows = mem_try_aligned((size_t)per * row_bytes);
    if (!rows) return err_set(e, "%s: no memory for %zu bytes", f->path, (size_t)per * row_bytes);
    int rc = 0;
    for (int64_t r = 0; r < n_rows && rc == 0; r += per) {
        int64_t n = n_rows - r < per ? n_rows - r : per;
        rc = st_file_read(f, begin + r * (int64_t)row_bytes, rows, (size_t)n * row_bytes, e);
        for (int64_t i = 0; i < n && rc == 0; i++, out += bytes)
            memcpy(out, rows + (size_t)i * row_bytes + skip, bytes);
    }
    free(rows);
    return rc;
}

int safetensors_read(struct safetensors *s, const struct tensor_info *info, int64_t row,
                     int64_t n_rows, int64_t col, int64_t n_cols, void *out, struct err *e)
{
    const struct st_tensor *t = (const struct st_tensor *)info;
    const struct st_file *f = &s->files[t->file];
    if (info->n_dims > 2 || info->dtype == DTYPE_NONE)
        return err_set(e, "%s: tensor '%s' is no matrix of weights", f->path, info->name);
    int64_t rows = info->n_dims == 2 ? info->shape[0] : 1;
    int64_t cols = info->n_dims ? info->shape[info->n_dims - 1] : 1;
    ENSURE(row >= 0 && n_rows >= 0 && row <= rows - n_rows);
    ENSURE(col >= 0 && n_cols >= 0 && col <= cols - n_cols);
    if (!n_rows || !n_cols) return 0;
    size_t elem = dtype_bytes(info->dtype), row_bytes = (size_t)cols * elem;
    size_t skip = (size_t)col * elem, bytes = (size_t)n_cols * elem;
    int64_t begin = t->begin + row * (int64_t)row_bytes;
    if (n_cols == cols) return st_file_read(f, begin, out, (size_t)n_rows * row_bytes, e);
    if (bytes < STRIDE_BYTES) return read_narrow(f, begin, row_bytes, skip, bytes, n_rows, out, e);
    for (int64_t r = 0; r < n_rows; r++)
        TRY(st_file_read(f, begin + r * (int64_t)row_bytes + (int64_t)skip,
                         (char *)out + (size_t)r * bytes, bytes, e));
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorted, so that neither the order inside the files nor their names matter. */
void safetensors_hash(const struct safetensors *s, char out[33])
{
    struct hash *h = hash_create();
    const struct st_tensor **sorted = mem_calloc(s->tensors.n, sizeof *sorted);
    for (size_t i = 0; i < s->tensors.n; i++) sorted[i] = &s->tensors.items[i];
    if (s->tensors.n) qsort(sorted, s->tensors.n, sizeof *sorted, by_name);
    for (size_t i = 0; i < s->tensors.n; i++) {
        hash_add_text(h, sorted[i]->name);
        hash_add_text(h, sorted[i]->type);
        hash_add(h, sorted[i]->info.shape, sizeof sorted[i]->info.shape);
    }
    free(sorted);
    int64_t *sizes = mem_calloc((size_t)s->n_files, sizeof *sizes);
    for (int i = 0; i < s->n_files; i++) sizes[i] = s->files[i].size;
    qsort(sizes, (size_t)s->n_files, sizeof *sizes, by_size);
    hash_add(h, sizes, (size_t)s->n_files * sizeof *sizes);
    free(sizes);
    hash_finish(h, out);
}
