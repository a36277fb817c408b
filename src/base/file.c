#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(const char *path, int64_t *size, struct err *e)
{
    struct stat st;
    /* O_NONBLOCK: opening a pipe without a writer does not wait for one; to ordinary files it means
     * nothing. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_set(e, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        err_set(e, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err_set(e, "%s: not a regular file", path);
    else {
        if (size) *size = st.st_size;
        return fd;
    }
    close(fd);
    return -1;
}

int file_exists(const char *path, bool *exists, struct err *e)
{
    *exists = access(path, F_OK) == 0;
    if (*exists || errno == ENOENT || errno == ENOTDIR) return 0;
    return err_set(e, "%s: %s", path, strerror(errno));
}

int file_exists_in(const char *folder, const char *name, bool *exists, struct err *e)
{
    char *path = mem_printf("%s/%s", folder, name);
    int rc = file_exists(path, exists, e);
    free(path);
    return rc;
}

int64_t file_read_start(int fd, void *out, size_t most)
{
    size_t done = 0;
    while (done < most) {
        ssize_t n = read(fd, (char *)out + done, most - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int file_write_all(int fd, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t written = write(fd, (const char *)bytes + done, n - done);
        if (written < 0 && errno != EINTR) return -1;
        if (written > 0) done += (size_t)written;
    }
    return 0;
}
