/* One or many *.safetensors files of a checkpoint folder: parse, find, read slices.
 *
 * Every offset and size of the header is checked against the file in 64 bits; names in the index
 * may not leave the folder.  Data is read in large aligned reads, never mapped whole into memory.
 */
#pragma once

#include "backend/backend.h"

struct safetensors; /* opaque */

struct tensor_info {
    const char *name; /* borrowed from the safetensors */
    enum dtype dtype; /* DTYPE_NONE: a type that is no weight's (integers, fp8, ...); it can be
                         found, not read */
    int64_t shape[4];
    int n_dims;
};

/* FOLDER/model.safetensors, or the files that FOLDER/model.safetensors.index.json names.  A folder
 * with only pickle files (*.bin, *.pt) is refused with a message on how to convert. */
struct safetensors *safetensors_open(const char *folder, struct err *e);
/* Is there no file in the folder that may be weights, of whatever kind? */
int safetensors_is_bare(const char *folder, bool *is_bare, struct err *e);
/* One file by its own path. */
struct safetensors *safetensors_open_file(const char *path, struct err *e);
void safetensors_close(struct safetensors *s); /* accepts NULL */

/* What the messages call it: the folder or the file. */
const char *safetensors_path(const struct safetensors *s);
size_t safetensors_count(const struct safetensors *s);
const struct tensor_info *safetensors_at(const struct safetensors *s,
                                         size_t i); /* i < count, by file and offset */
/* NULL when there is none. */
const struct tensor_info *safetensors_find(const struct safetensors *s, const char *name);
/* Must exist with this shape (n_dims dims), else -1 with file, tensor, expected and found. */
int safetensors_get(const struct safetensors *s, const char *name, int n_dims, const int64_t *shape,
                    const struct tensor_info **out, struct err *e);
/* Rows [row, row + n_rows) of a 2-D tensor (a 1-D tensor is one row), columns [col, col + n_cols),
 * as stored, row-major into out.  Narrow column slices are cut out of whole rows, read through a
 * buffer of at most 16 MiB or one row; the range must lie inside the tensor. */
int safetensors_read(struct safetensors *s, const struct tensor_info *t, int64_t row,
                     int64_t n_rows, int64_t col, int64_t n_cols, void *out, struct err *e);
/* Hash of all names, types, shapes and file sizes: identity of a checkpoint without reading it
 * whole. */
void safetensors_hash(const struct safetensors *s, char out[33]);
