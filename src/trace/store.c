#include "trace/store.h"

#include "base/file.h"
#include "base/mem.h"
#include "trace/columns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_COMPRESSION = 1032 }; /* of gzip, for a file that went through h5repack */

static struct store *new_store(const char *path, bool is_writing)
{
    struct store *s = mem_calloc(1, sizeof *s);
    s->path = mem_strdup(path);
    s->is_writing = is_writing;
    s->file = H5I_INVALID_HID;
    for (int d = 0; d < TRACE_DATASETS; d++) {
        s->data[d] = H5I_INVALID_HID;
        s->type[d] = types_create(d);
    }
    return s;
}

/* Release everything; 0, or -1 with *e when HDF5 could not write the last of it. */
static int drop_store(struct store *s, struct err *e)
{
    int rc = 0;
    for (int d = 0; d < TRACE_DATASETS; d++) {
        if (s->data[d] >= 0 && H5Dclose(s->data[d]) < 0)
            rc = h5_err(e, "%s: cannot close %s", s->path, types_name(d));
        H5Tclose(s->type[d]);
    }
    if (s->file >= 0 && H5Fclose(s->file) < 0) rc = h5_err(e, "%s: cannot close it", s->path);
    free(s->path);
    free(s);
    return rc;
}

/* HDF5 forgets why a call failed at the next call: errors are put into words before anything is
 * released. */
static int create_dataset(struct store *s, int dataset, struct err *e)
{
    hsize_t none = 0, unlimited = H5S_UNLIMITED, chunk = types_chunk_rows(dataset);
    hid_t space = H5_MUST(H5Screate_simple(1, &none, &unlimited));
    hid_t create = H5_MUST(H5Pcreate(H5P_DATASET_CREATE));
    H5_MUST(H5Pset_chunk(create, 1, &chunk));
    H5_MUST(H5Pset_obj_track_times(create, 0));
    /* Attributes outside of the object header, which is written again with every append and should
     * stay within a page. */
    H5_MUST(H5Pset_attr_phase_change(create, 0, 0));
    int rc = 0;
    s->data[dataset] = H5Dcreate2(s->file, types_name(dataset), s->type[dataset], space,
                                  H5P_DEFAULT, create, H5P_DEFAULT);
    if (s->data[dataset] < 0)
        rc = h5_err(e, "%s: cannot create dataset %s", s->path, types_name(dataset));
    else
        rc = columns_write(s->data[dataset], dataset, s->path, e);
    H5Pclose(create);
    H5Sclose(space);
    return rc;
}

struct store *store_create(const char *path, const struct attrs *a, struct err *e)
{
    h5_setup();
    struct store *s = new_store(path, true);
    hid_t access = h5_access(), creation = h5_creation();
    s->file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    if (s->file < 0) h5_err(e, "cannot create %s", path);
    H5Pclose(access);
    H5Pclose(creation);
    if (s->file < 0) goto fail;
    TRY_GOTO(attrs_write(a, s->file, path, e), fail);
    for (int d = 0; d < TRACE_DATASETS; d++) TRY_GOTO(create_dataset(s, d, e), fail);
    return s;
fail:
    store_abandon(s);
    return NULL;
}

/* A dataset of ours lies in chunks of this very file, not in another one that it names (external
 * storage, virtual datasets, links). */
static int check_place(struct store *s, int dataset, struct err *e)
{
    hid_t data = s->data[dataset], create = H5Dget_create_plist(data);
    if (create < 0)
        return h5_err(e, "%s: cannot tell how %s is stored", s->path, types_name(dataset));
    bool in_chunks = H5Pget_layout(create) == H5D_CHUNKED;
    s->is_filtered[dataset] = in_chunks && H5Pget_nfilters(create) > 0;
    H5Pclose(create);
    char file[PATH_MAX] = "", own[PATH_MAX] = "";
    if (H5Fget_name(data, file, sizeof file) < 0 || H5Fget_name(s->file, own, sizeof own) < 0)
        return h5_err(e, "%s: cannot tell in which file %s is", s->path, types_name(dataset));
    if (in_chunks && file[0] && strcmp(file, own) == 0) return 0;
    return err_set(e, "%s: dataset %s does not lie in this file, in chunks: not made by specrej",
                   s->path, types_name(dataset));
}

/* 1 where the rows are ours, or, for reading, those of an older program; else 0, -1 with *e when
 * the library cannot tell. */
static htri_t has_rows(struct store *s, int dataset, struct err *e)
{
    hid_t stored = H5Dget_type(s->data[dataset]);
    htri_t same = stored >= 0 ? H5Tequal(stored, s->type[dataset]) : -1;
    if (same == 0 && !s->is_writing) {
        hid_t older = types_create_older(dataset);
        same = H5Tequal(stored, older);
        s->is_older |= same > 0;
        H5Tclose(older);
    }
    if (same < 0) h5_err(e, "%s: cannot read the type of %s", s->path, types_name(dataset));
    if (stored >= 0) H5Tclose(stored);
    return same;
}

/* A writer's rows go to the file as they are appended, not at the next flush: a flush whose raw
 * data cannot be written goes on to the metadata all the same, and would show rows that are not
 * there. */
static hid_t dataset_access(const struct store *s)
{
    hid_t access = H5_MUST(H5Pcreate(H5P_DATASET_ACCESS));
    if (s->is_writing)
        H5_MUST(H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, 0,
                                   H5D_CHUNK_CACHE_W0_DEFAULT));
    return access;
}

static int open_dataset(struct store *s, int dataset, struct err *e)
{
    hid_t access = dataset_access(s);
    s->data[dataset] = H5Dopen2(s->file, types_name(dataset), access);
    if (s->data[dataset] < 0) h5_err(e, "%s: cannot open dataset %s", s->path, types_name(dataset));
    H5Pclose(access);
    if (s->data[dataset] < 0) return -1;
    htri_t same = has_rows(s, dataset, e);
    TRY(same);
    hid_t space = H5Dget_space(s->data[dataset]);
    if (space < 0) return h5_err(e, "%s: cannot tell how long %s is", s->path, types_name(dataset));
    bool is_list = H5Sget_simple_extent_ndims(space) == 1;
    hssize_t n = is_list ? H5Sget_simple_extent_npoints(space) : -1;
    H5Sclose(space);
    if (n < 0 || !same)
        return err_set(e, "%s: dataset %s does not have the rows of format version %d", s->path,
                       types_name(dataset), TRACE_FORMAT_VERSION);
    s->rows[dataset] = n;
    return check_place(s, dataset, e);
}

static hid_t open_file(const char *path, unsigned flags, struct err *e)
{
    hid_t access = h5_access();
    hid_t file = H5Fopen(path, flags, access);
    if (file < 0)
        h5_err(e,
               "%s is an HDF5 file, but damaged or of another program (fetch it again, or move it "
               "away)",
               path);
    H5Pclose(access);
    return file;
}

/* When a file was not opened: say so in better words than HDF5, where there are any. */
static void explain(const char *path, enum store_mode mode, struct err *e)
{
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char start[8] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t n = fd >= 0 ? file_read_start(fd, start, sizeof start) : -1;
    if (n < 0)
        err_set(e, "cannot read %s: %s", path, strerror(errno));
    else if (n < 8 || memcmp(start, magic, 8) != 0)
        err_set(e, "%s is not an HDF5 file", path);
    else if (mode == STORE_APPEND && access(path, W_OK) != 0)
        err_set(e, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
}

bool store_was_closed(const char *path)
{
    h5_setup();
    hid_t file = open_file(path, H5F_ACC_RDONLY, &(struct err){0});
    if (file >= 0) H5Fclose(file);
    return file >= 0;
}

struct store *store_open(const char *path, enum store_mode mode, struct err *e)
{
    int fd = file_open(path, NULL, e); /* HDF5 would wait for a pipe's other end */
    if (fd < 0) return NULL;
    close(fd);
    h5_setup();
    struct store *s = new_store(path, mode == STORE_APPEND);
    /* SWMR reading also opens a closed file; a plain open is for files of others, which may be
     * older. */
    if (mode == STORE_APPEND)
        s->file = open_file(path, H5F_ACC_RDWR | H5F_ACC_SWMR_WRITE, e);
    else
        s->file = open_file(path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, e);
    struct err other; /* of a file that is not closed it would say so, whatever was wrong first */
    if (s->file < 0 && mode == STORE_READ) s->file = open_file(path, H5F_ACC_RDONLY, &other);
    if (s->file < 0) {
        explain(path, mode, e);
        goto fail;
    }
    struct attrs a; /* a file of another kind is recognised here */
    TRY_GOTO(attrs_read(&a, s->file, path, e), fail);
    attrs_free(&a);
    /* /prompts first: what its rows refer to was in the other tables before. */
    for (int d = TRACE_DATASETS - 1; d >= 0; d--) TRY_GOTO(open_dataset(s, d, e), fail);
    return s;
fail:
    store_abandon(s);
    return NULL;
}

enum transfer { TRANSFER_READ, TRANSFER_WRITE };

static int transfer(struct store *s, enum transfer what, int dataset, int64_t first, int64_t n,
                    void *bytes, struct err *e)
{
    if (n == 0) return 0;
    hsize_t start = (hsize_t)first, count = (hsize_t)n;
    hid_t in_memory = H5_MUST(H5Screate_simple(1, &count, NULL));
    hid_t in_file = H5_MUST(H5Dget_space(s->data[dataset]));
    herr_t done = H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &start, NULL, &count, NULL);
    if (done >= 0 && what == TRANSFER_READ)
        done = H5Dread(s->data[dataset], s->type[dataset], in_memory, in_file, H5P_DEFAULT, bytes);
    else if (done >= 0)
        done = H5Dwrite(s->data[dataset], s->type[dataset], in_memory, in_file, H5P_DEFAULT, bytes);
    int rc = 0;
    if (done < 0)
        rc = h5_err(e, "%s: cannot %s rows %lld to %lld of %s", s->path,
                    what == TRANSFER_READ ? "read" : "write", (long long)first,
                    (long long)(first + n - 1), types_name(dataset));
    H5Sclose(in_file);
    H5Sclose(in_memory);
    return rc;
}

int store_append(struct store *s, int dataset, const void *rows, int64_t n, struct err *e)
{
    if (n == 0) return 0;
    int64_t first = s->rows[dataset];
    hsize_t extent = (hsize_t)(first + n);
    if (H5Dset_extent(s->data[dataset], &extent) < 0)
        return h5_err(e, "%s: cannot extend %s", s->path, types_name(dataset));
    TRY(transfer(s, TRANSFER_WRITE, dataset, first, n, (void *)(uintptr_t)rows, e));
    s->rows[dataset] = first + n;
    return 0;
}

/* store_room; -1 with errno where it cannot be told. */
static int64_t find_room(const struct store *s, int dataset)
{
    struct stat st;
    if (fstat(h5_descriptor(s->file), &st) < 0) return -1;
    uint64_t bytes = (uint64_t)st.st_size * (s->is_filtered[dataset] ? MAX_COMPRESSION : 1);
    int64_t most = (int64_t)(bytes / types_row_bytes(dataset));
    return s->rows[dataset] < most ? s->rows[dataset] : most;
}

int64_t store_room(const struct store *s, int dataset)
{
    int64_t room = find_room(s, dataset);
    return room < 0 ? s->rows[dataset] : room; /* who then reads too much hears why */
}

int store_check_room(const struct store *s, int dataset, int64_t n, struct err *e)
{
    int64_t room = find_room(s, dataset);
    if (room < 0) return err_set(e, "%s: %s", s->path, strerror(errno));
    if (n <= room) return 0;
    return err_set(e, "%s: it has no room for %lld rows of %s (damaged file)", s->path,
                   (long long)n, types_name(dataset));
}

int store_read(struct store *s, int dataset, int64_t first, int64_t n, void *out, struct err *e)
{
    if (first < 0 || n < 0 || first > s->rows[dataset] || n > s->rows[dataset] - first)
        return err_set(e, "%s: rows %lld + %lld are outside of %s, which has %lld", s->path,
                       (long long)first, (long long)n, types_name(dataset),
                       (long long)s->rows[dataset]);
    return transfer(s, TRANSFER_READ, dataset, first, n, out, e);
}

int store_rewrite(struct store *s, int dataset, int64_t row, const void *bytes, struct err *e)
{
    ENSURE(row >= 0 && row < s->rows[dataset]);
    return transfer(s, TRANSFER_WRITE, dataset, row, 1, (void *)(uintptr_t)bytes, e);
}

int store_sync(struct store *s, struct err *e)
{
    if (H5Fflush(s->file, H5F_SCOPE_GLOBAL) < 0) return h5_err(e, "%s: cannot write", s->path);
    if (fsync(h5_descriptor(s->file)) < 0)
        return err_set(e, "%s: cannot write: %s", s->path, strerror(errno));
    return 0;
}

int store_close(struct store *s, struct err *e)
{
    if (!s) return 0;
    if (s->is_writing && store_sync(s, e) < 0) {
        store_abandon(s);
        return -1;
    }
    /* Closing writes, too: to fsync that, the file must stay open below. */
    int fd = s->is_writing ? fcntl(h5_descriptor(s->file), F_DUPFD_CLOEXEC, 0) : -1;
    char *path = mem_strdup(s->path);
    int rc = drop_store(s, e);
    if (rc == 0 && fd >= 0 && fsync(fd) < 0)
        rc = err_set(e, "%s: cannot write: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    free(path);
    return rc;
}

void store_abandon(struct store *s)
{
    if (!s) return;
    /* HDF5 has no call that drops a file with unwritten data: it would write when the file is
     * closed, at the latest in MPI_Finalize (a parallel HDF5 closes everything there), and after a
     * failed close it crashes there.  So its descriptor is pointed at a sink, and closing writes
     * into that. */
    int fd = s->is_writing && s->file >= 0 ? h5_descriptor(s->file) : -1;
    if (fd >= 0) {
        int sink = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (sink < 0 || dup3(sink, fd, O_CLOEXEC) < 0)
            quit("%s: its writer cannot be stopped: %s", s->path, strerror(errno));
        close(sink);
    }
    drop_store(s, &(struct err){0});
    H5Eclear2(H5E_DEFAULT);
}

int store_publish(const char *tmp, const char *path, struct err *e)
{
    if (rename(tmp, path) < 0)
        return err_set(e, "cannot rename %s to %s: %s", tmp, path, strerror(errno));
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder: then the rename is durable as far as they make it. */
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
    return 0;
}
