#include "base/log.h"
#include "base/mem.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NAMES = 32 };

static struct {
    char *folder;
    const char *names[MAX_NAMES];
    char *paths[MAX_NAMES];
    FILE *null;
} scratch;

static void clean(void)
{
    for (int i = 0; i < MAX_NAMES && scratch.names[i]; i++) {
        unlink(scratch.paths[i]);
        free(scratch.paths[i]);
    }
    rmdir(scratch.folder);
    free(scratch.folder);
    if (scratch.null) fclose(scratch.null);
}

/* In memory where the system has a place for that: a fuzzer writes thousands of files a second. */
const char *fuzz_folder(void)
{
    if (scratch.folder) return scratch.folder;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    scratch.folder = mem_printf("%s/specrej-fuzz-XXXXXX", base ? base : "/tmp");
    ENSURE(mkdtemp(scratch.folder));
    log_setup(1, LOG_ERROR); /* no rank 0: log0 says nothing */
    atexit(clean);
    return scratch.folder;
}

const char *fuzz_path(const char *name)
{
    int i = 0;
    while (i < MAX_NAMES && scratch.names[i] && strcmp(scratch.names[i], name) != 0) i++;
    ENSURE(i < MAX_NAMES);
    if (!scratch.names[i]) {
        scratch.paths[i] = mem_printf("%s/%s", fuzz_folder(), name);
        scratch.names[i] = name;
    }
    return scratch.paths[i];
}

const char *fuzz_write(const char *name, const void *bytes, size_t n)
{
    const char *path = fuzz_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ENSURE(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
    return path;
}

void fuzz_remove(const char *name)
{
    unlink(fuzz_path(name));
}

char *fuzz_part(const uint8_t *bytes, size_t n, int i, size_t *length)
{
    static const char mark[] = "\n%%\n";
    const char *at = (const char *)bytes, *end = at + n;
    for (;; i--) {
        const char *next = n ? memmem(at, (size_t)(end - at), mark, strlen(mark)) : NULL;
        *length = (size_t)((next ? next : end) - at);
        if (i == 0) {
            char *copy = mem_calloc(*length + 1, 1);
            if (*length) memcpy(copy, at, *length);
            return copy;
        }
        if (!next) return NULL;
        at = next + strlen(mark);
    }
}

FILE *fuzz_null(void)
{
    if (!scratch.null) scratch.null = fopen("/dev/null", "w");
    ENSURE(scratch.null);
    return scratch.null;
}

void fuzz_check(int rc, const struct err *e)
{
    ENSURE(rc >= 0 || e->text[0]);
    ENSURE(rc < 0 || !e->text[0]);
}
