#include "trace/h5.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* H5Pset_file_locking exists since 1.10.7 in the 1.10 series and since 1.12.1 in the 1.12 series.
 */
#define HAS_FILE_LOCKING                                                                           \
    (H5_VERSION_GE(1, 10, 7) && !(H5_VERSION_GE(1, 12, 0) && H5_VERSION_LE(1, 12, 0)))

enum {
    PAGE_BYTES = 4096,
    /* A reader tries a block whose checksum fails again, as it may just be being written, and waits
     * 1 ns, 2 ns, 4 ns, ... The library's 100 attempts would wait for ever on a damaged file; these
     * wait a quarter of a second, for what a writer does in far less than a millisecond. */
    READ_ATTEMPTS = 28
};

void h5_setup(void)
{
#if !HAS_FILE_LOCKING
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0); /* what h5_access() says to newer versions */
#endif
    /* Fails when the library is initialised already: then an earlier h5_setup() did it. */
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Without evictions metadata reaches the file at flushes only, children before parents and after
 * the raw data: a table's extent never shows rows whose bytes are not there.  The cache stays
 * small: a few bytes per chunk. */
static void hold_metadata(hid_t access)
{
    H5AC_cache_config_t c = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    H5_MUST(H5Pget_mdc_config(access, &c));
    c.incr_mode = H5C_incr__off;
    c.flash_incr_mode = H5C_flash_incr__off;
    c.decr_mode = H5C_decr__off;
    c.evictions_enabled = 0;
    H5_MUST(H5Pset_mdc_config(access, &c));
}

hid_t h5_access(void)
{
    hid_t p = H5_MUST(H5Pcreate(H5P_FILE_ACCESS));
    H5_MUST(H5Pset_fapl_sec2(p));
    H5_MUST(H5Pset_libver_bounds(p, H5F_LIBVER_V110, H5F_LIBVER_V110));
#if HAS_FILE_LOCKING
    /* FILE.lock keeps writers apart; HDF5's own locks would shut readers out and fail where NFS has
     * none. */
    H5_MUST(H5Pset_file_locking(p, 0, 1));
#endif
    H5_MUST(H5Pset_metadata_read_attempts(p, READ_ATTEMPTS));
    hold_metadata(p);
    return p;
}

hid_t h5_creation(void)
{
    hid_t p = H5_MUST(H5Pcreate(H5P_FILE_CREATE));
    /* Pages of the operating system's size: a small block is written in one page, which kill -9
     * does not tear. */
    H5_MUST(H5Pset_file_space_strategy(p, H5F_FSPACE_STRATEGY_PAGE, 0, 1));
    H5_MUST(H5Pset_file_space_page_size(p, PAGE_BYTES));
    /* Attributes in a heap from the first on: the job's YAML may exceed the 64 KiB of an object
     * header. */
    H5_MUST(H5Pset_attr_phase_change(p, 0, 0));
    return p;
}

/* Of an allocation that failed the library says in many ways what it was for; where it begins with
 * a copy of a part of a type that it cannot make, that was a name's. */
static herr_t innermost(unsigned n, const H5E_error2_t *error, void *out)
{
    bool no_memory = error->min_num == H5E_NOSPACE || error->min_num == H5E_CANTALLOC ||
                     (error->min_num == H5E_CANTCOPY && error->maj_num == H5E_DATATYPE);
    if (n == 0)
        snprintf(out, 256, "%s%s", no_memory ? "out of memory: " : "",
                 error->desc ? error->desc : "");
    return 0;
}

/* The innermost reason on the library's error stack, which is cleared; "" when it gives none.  A
 * failed system call hides errno's text in a long line: that text is what a person needs. */
static void take_reason(char reason[256])
{
    reason[0] = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    const char *start = strstr(reason, "error message = '");
    if (!start) return;
    start += strlen("error message = '");
    size_t n = strcspn(start, "'");
    memmove(reason, start, n);
    reason[n] = 0;
}

int h5_err(struct err *e, const char *fmt, ...)
{
    char reason[256], text[sizeof e->text];
    take_reason(reason);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, "%.*s%s%s", 250, text, reason[0] ? ": " : "", reason);
}

int64_t h5_must(int64_t value, const char *call)
{
    if (value >= 0) return value;
    char reason[256];
    take_reason(reason);
    quit("HDF5: %s failed: %s", call, reason[0] ? reason : "no memory?");
}

int h5_descriptor(hid_t file)
{
    int *fd = NULL;
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&fd) < 0 || !fd) return -1;
    return *fd;
}
