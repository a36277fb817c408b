#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
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
