/* The C library's calls that can fail.  Each asks, then does what the next library's does. */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* REAL(name): the function behind ours. */
#define REAL(name)                                                                                 \
    static typeof(&name) real;                                                                     \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

#define DUE(class, name) fault_due(FAULT_##class, #name, __builtin_return_address(0))

/* A whole wrapper: `failed` is what the call gives when it fails for `why`. */
#define WRAP(class, type, name, parameters, arguments, failed, why)                                \
    type name parameters                                                                           \
    {                                                                                              \
        REAL(name);                                                                                \
        if (DUE(class, name)) return errno = (why), (failed);                                      \
        return real arguments;                                                                     \
    }

/* ---- memory ---- */

/* What dlsym() itself asks for, above all for the words of an error, while it looks for these four.
 */
static char early[1 << 16];
static size_t early_used;
static _Thread_local volatile bool is_looking; /* dlsym() is declared not to call this file */

static void *early_take(size_t bytes)
{
    void *p = early + early_used;
    early_used += (bytes + 15) / 16 * 16;
    return early_used <= sizeof early ? p : NULL;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void *look(const char *name)
{
    is_looking = true;
    void *p = dlsym(RTLD_NEXT, name);
    is_looking = false;
    return p;
}

#define REAL_MEMORY(name, instead)                                                                 \
    static typeof(&name) real;                                                                     \
    if (!real && is_looking) return instead;                                                       \
    if (!real) *(void **)&real = look(#name)

void *malloc(size_t size)
{
    REAL_MEMORY(malloc, early_take(size));
    return DUE(ALLOC, malloc) ? errno = ENOMEM, NULL : real(size);
}

void *calloc(size_t n, size_t size)
{
    REAL_MEMORY(calloc, early_take(n * size));
    return DUE(ALLOC, calloc) ? errno = ENOMEM, NULL : real(n, size);
}

void *realloc(void *p, size_t size)
{
    REAL_MEMORY(realloc, p ? NULL : early_take(size));
    if (is_early(p)) return NULL;
    return DUE(ALLOC, realloc) ? errno = ENOMEM, NULL : real(p, size);
}

void free(void *p)
{
    if (is_early(p)) return;
    REAL_MEMORY(free, (void)0);
    real(p);
}

WRAP(ALLOC, void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size), NULL, ENOMEM)
WRAP(ALLOC, void *, aligned_alloc, (size_t align, size_t size), (align, size), NULL, ENOMEM)
WRAP(ALLOC, char *, strdup, (const char *s), (s), NULL, ENOMEM)
WRAP(ALLOC, char *, strndup, (const char *s, size_t n), (s, n), NULL, ENOMEM)
WRAP(ALLOC, int, vasprintf, (char **out, const char *f, va_list ap), (out, f, ap), -1, ENOMEM)
WRAP(ALLOC, char *, realpath, (const char *path, char *out), (path, out), NULL, ENOMEM)
WRAP(ALLOC, FILE *, open_memstream, (char **text, size_t *n), (text, n), NULL, ENOMEM)
WRAP(ALLOC, void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at), MAP_FAILED, ENOMEM)

int posix_memalign(void **p, size_t align, size_t size)
{
    REAL(posix_memalign);
    return DUE(ALLOC, posix_memalign) ? ENOMEM : real(p, align, size);
}

/* ---- files ---- */

#define MODE_OF(flags, last)                                                                       \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list ap;                                                                                \
        va_start(ap, last);                                                                        \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

#define WRAP_OPEN(name)                                                                            \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        REAL(name);                                                                                \
        MODE_OF(flags, flags)                                                                      \
        if (DUE(OPEN, name)) return errno = EMFILE, -1;                                            \
        return real(path, flags, mode);                                                            \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP(OPEN, FILE *, fopen, (const char *path, const char *how), (path, how), NULL, EMFILE)
WRAP(OPEN, FILE *, fopen64, (const char *path, const char *how), (path, how), NULL, EMFILE)
WRAP(OPEN, FILE *, fdopen, (int fd, const char *how), (fd, how), NULL, EMFILE)
WRAP(OPEN, DIR *, opendir, (const char *path), (path), NULL, EMFILE)

/* ---- reading and writing ---- */

/* The n-th of those that read or write 2 bytes or more does half. */
#define WRAP_TRANSFER(class, name, parameters, arguments, why)                                     \
    ssize_t name parameters                                                                        \
    {                                                                                              \
        REAL(name);                                                                                \
        if (DUE(class, name)) return errno = (why), -1;                                            \
        if (n > 1 && DUE(SHORT, name)) n /= 2;                                                     \
        return real arguments;                                                                     \
    }

WRAP_TRANSFER(READ, read, (int fd, void *to, size_t n), (fd, to, n), EIO)
WRAP_TRANSFER(READ, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), EIO)
WRAP_TRANSFER(READ, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at), EIO)
WRAP_TRANSFER(READ, recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags), EIO)
WRAP_TRANSFER(WRITE, write, (int fd, const void *from, size_t n), (fd, from, n), ENOSPC)
WRAP_TRANSFER(WRITE, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at),
              ENOSPC)
WRAP_TRANSFER(WRITE, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at),
              ENOSPC)
WRAP_TRANSFER(WRITE, send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags),
              EIO)

/* ---- streams: after an error the stream knows of it, as its owner may ask only at the end ---- */

static void set_error(FILE *f)
{
    f->_flags |= 0x20; /* glibc: what ferror() looks at */
}

#define WRAP_STREAM(class, type, name, parameters, arguments, failed, why)                         \
    type name parameters                                                                           \
    {                                                                                              \
        REAL(name);                                                                                \
        if (f != stderr && DUE(class, name)) {                                                     \
            set_error(f);                                                                          \
            return errno = (why), (failed);                                                        \
        }                                                                                          \
        return real arguments;                                                                     \
    }

WRAP_STREAM(READ, size_t, fread, (void *to, size_t size, size_t n, FILE *f), (to, size, n, f), 0,
            EIO)
WRAP_STREAM(READ, char *, fgets, (char *to, int n, FILE *f), (to, n, f), NULL, EIO)
WRAP_STREAM(READ, ssize_t, getline, (char **to, size_t *n, FILE *f), (to, n, f), -1, EIO)
WRAP_STREAM(WRITE, size_t, fwrite, (const void *from, size_t size, size_t n, FILE *f),
            (from, size, n, f), 0, ENOSPC)
WRAP_STREAM(WRITE, int, fputs, (const char *s, FILE *f), (s, f), EOF, ENOSPC)
WRAP_STREAM(WRITE, int, fputc, (int c, FILE *f), (c, f), EOF, ENOSPC)
WRAP_STREAM(WRITE, int, putc, (int c, FILE *f), (c, f), EOF, ENOSPC)
WRAP_STREAM(WRITE, int, fflush, (FILE * f), (f), EOF, ENOSPC)

int putchar(int c)
{
    REAL(putchar);
    if (!DUE(WRITE, putchar)) return real(c);
    set_error(stdout);
    return errno = ENOSPC, EOF;
}

int puts(const char *s)
{
    REAL(puts);
    if (!DUE(WRITE, puts)) return real(s);
    set_error(stdout);
    return errno = ENOSPC, EOF;
}

static int print(FILE *f, bool is_due, const char *format, va_list ap)
{
    REAL(vfprintf);
    if (f == stderr || !is_due) return real(f, format, ap);
    set_error(f);
    return errno = ENOSPC, -1;
}

int fprintf(FILE *f, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = print(f, f != stderr && DUE(WRITE, fprintf), format, ap);
    va_end(ap);
    return n;
}

int printf(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = print(stdout, DUE(WRITE, printf), format, ap);
    va_end(ap);
    return n;
}

/* ---- the end of a file ---- */

WRAP(SYNC, int, fsync, (int fd), (fd), -1, EIO)
WRAP(SYNC, int, fdatasync, (int fd), (fd), -1, EIO)

int close(int fd)
{
    REAL(close);
    bool due = DUE(CLOSE, close);
    int rc = real(fd);
    return due ? errno = EIO, -1 : rc;
}

int fclose(FILE *f)
{
    REAL(fclose);
    bool due = DUE(CLOSE, fclose);
    int rc = real(f);
    return due ? errno = EIO, EOF : rc;
}

/* ---- the rest of the system ---- */

WRAP(SYSTEM, int, access, (const char *path, int how), (path, how), -1, EIO)
WRAP(SYSTEM, int, stat, (const char *path, struct stat *to), (path, to), -1, EIO)
WRAP(SYSTEM, int, fstat, (int fd, struct stat *to), (fd, to), -1, EIO)
WRAP(SYSTEM, int, stat64, (const char *path, struct stat64 *to), (path, to), -1, EIO)
WRAP(SYSTEM, int, fstat64, (int fd, struct stat64 *to), (fd, to), -1, EIO)
WRAP(SYSTEM, int, statfs, (const char *path, struct statfs *to), (path, to), -1, EIO)
WRAP(SYSTEM, int, statvfs, (const char *path, struct statvfs *to), (path, to), -1, EIO)
WRAP(SYSTEM, ssize_t, readlink, (const char *path, char *to, size_t n), (path, to, n), -1, EIO)
WRAP(SYSTEM, int, rename, (const char *from, const char *to), (from, to), -1, EIO)
WRAP(SYSTEM, int, link, (const char *from, const char *to), (from, to), -1, EIO)
WRAP(SYSTEM, int, unlink, (const char *path), (path), -1, EIO)
WRAP(SYSTEM, int, mkdir, (const char *path, mode_t mode), (path, mode), -1, EIO)
WRAP(SYSTEM, int, flock, (int fd, int how), (fd, how), -1, EIO)
WRAP(SYSTEM, int, ftruncate, (int fd, off_t n), (fd, n), -1, EIO)
WRAP(SYSTEM, int, ftruncate64, (int fd, off64_t n), (fd, n), -1, EIO)
WRAP(SYSTEM, off_t, lseek, (int fd, off_t at, int from), (fd, at, from), -1, EIO)
WRAP(SYSTEM, off64_t, lseek64, (int fd, off64_t at, int from), (fd, at, from), -1, EIO)
WRAP(SYSTEM, int, dup3, (int from, int to, int flags), (from, to, flags), -1, EIO)
WRAP(SYSTEM, int, pipe2, (int fds[2], int flags), (fds, flags), -1, EMFILE)
WRAP(SYSTEM, int, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds), -1, EMFILE)

int fcntl(int fd, int command, ...)
{
    REAL(fcntl);
    va_list ap;
    va_start(ap, command);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    if (DUE(SYSTEM, fcntl)) return errno = EIO, -1;
    return real(fd, command, argument);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const *argv, char *const *environment)
{
    REAL(posix_spawnp);
    if (DUE(SYSTEM, posix_spawnp)) return EAGAIN;
    return real(pid, file, actions, attributes, argv, environment);
}
