/* Which call fails.
 *
 * The executable specrej_faults is the program with these files linked in.  Their malloc(), read(),
 * MPI_Send(), ... stand before those of all libraries, count the calls and let the n-th of a class
 * fail as the real one would, without making it:
 *
 *   SPECREJ_FAULT="CLASS N"     the N-th call of the class (from 1); "CLASS N+": from the N-th on
 *   SPECREJ_FAULT_RANK=R        on this rank alone
 *   SPECREJ_FAULT_LOG=FILE      appended: "fault CLASS N NAME OFFSET MODULE" when a call fails,
 * where MODULE+OFFSET is what addr2line wants; "count CLASS N" for each class when the process ends
 *
 * The classes, and how their calls fail:
 * - alloc: memory, also inside strdup(), vasprintf(), realpath(), ...: ENOMEM
 * - hdf5: the same, when HDF5 asks.  Release 1.10 does not look at every answer, so that a crash in
 *   it or its exit(-1) is expected, and is like a kill
 * - open: files, folders, streams: EMFILE
 * - read: read(), pread(), streams: EIO
 * - write: write(), pwrite(), streams but stderr: ENOSPC
 * - sync: fsync(), fdatasync(): EIO
 * - close: close(), fclose(), closed all the same: EIO
 * - system: access(), stat(), rename(), link(), mkdir(), ...: EIO
 * - mpi: what the program calls of MPI: MPI_ERR_OTHER
 * - short: read(), pread(), write(), pwrite() of 2 bytes or more: half of them, no error
 *
 * What counts: calls whose return address lies in the executable or in a library that works for it
 * and can hand an error back: HDF5, jansson, libcyaml, libyaml, PCRE2, utf8proc.  Not: Open
 * MPI and what it loads, OpenMP, the C++ library, libc inside a call that is itself counted, all
 * before main() (libraries' constructors).  How they bear faults is theirs; the program hears of it
 * through the status of the call, which is one of the classes. */
#include "faults.h"

#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const names[FAULT_CLASSES] = {"alloc", "hdf5",  "open",   "read", "write",
                                                 "sync",  "close", "system", "mpi",  "short"};
static const char *const counted[] = {"/libhdf5", "/libjansson", "/libcyaml",
                                      "/libyaml", "/libpcre2",   "/libutf8proc"};

static struct module {
    uintptr_t begin, end, base;
    const char *name;
} modules[64];
static int n_modules;
static atomic_long calls[FAULT_CLASSES];
static int chosen = -1; /* the class */
static long first;      /* the call */
static bool goes_on;    /* the later ones, too */
static int log_fd = -1;

static bool is_counted(const char *library)
{
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (strstr(library, counted[i])) return true;
    return false;
}

/* The loader names the executable "". */
static int add_module(struct dl_phdr_info *info, size_t size, void *none)
{
    (void)size;
    (void)none;
    if (info->dlpi_name[0] && !is_counted(info->dlpi_name)) return 0;
    for (int i = 0; i < info->dlpi_phnum && n_modules < 64; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        uintptr_t begin = info->dlpi_addr + p->p_vaddr;
        modules[n_modules++] =
            (struct module){begin, begin + p->p_memsz, info->dlpi_addr, info->dlpi_name};
    }
    return 0;
}

static const struct module *module_of(const void *address)
{
    for (int i = 0; i < n_modules; i++)
        if ((uintptr_t)address >= modules[i].begin && (uintptr_t)address < modules[i].end)
            return &modules[i];
    return NULL;
}

/* Without a buffer of a stream and without the wrappers. */
static void say(const char *text, int n)
{
    if (log_fd >= 0) syscall(SYS_write, log_fd, text, (size_t)n);
}

static bool is_my_rank(void)
{
    const char *want = getenv("SPECREJ_FAULT_RANK"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!rank) rank = getenv("PMIX_RANK");
    return !want || strcmp(want, rank ? rank : "0") == 0;
}

static void read_wish(const char *wish)
{
    size_t n = strcspn(wish, " ");
    char *end;
    for (int c = 0; c < FAULT_CLASSES; c++)
        if (strlen(names[c]) == n && strncmp(wish, names[c], n) == 0) chosen = c;
    first = strtol(wish + n, &end, 10);
    goes_on = *end == '+';
    if (chosen >= 0 && first > 0 && (!*end || strcmp(end, "+") == 0)) return;
    fprintf(stderr, "SPECREJ_FAULT=\"%s\" is not \"CLASS N\" or \"CLASS N+\"\n", wish);
    _exit(99);
}

__attribute__((constructor)) static void begin(void)
{
    if (!is_my_rank()) return;
    const char *wish = getenv("SPECREJ_FAULT"), *log = getenv("SPECREJ_FAULT_LOG");
    if (log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                              0666);
    if (wish) read_wish(wish);
    dl_iterate_phdr(add_module, NULL);
}

__attribute__((destructor)) static void end(void)
{
    char line[80];
    for (int c = 0; c < FAULT_CLASSES; c++)
        say(line, snprintf(line, sizeof line, "count %s %ld\n", names[c], atomic_load(&calls[c])));
}

bool fault_due(enum fault_class class, const char *name, const void *caller)
{
    const struct module *m = module_of(caller);
    if (!m) return false;
    if (class == FAULT_ALLOC && strstr(m->name, "/libhdf5")) class = FAULT_HDF5;
    long n = atomic_fetch_add(&calls[class], 1) + 1;
    if ((int)class != chosen || (goes_on ? n < first : n != first)) return false;
    if (n == first) {
        char line[512];
        int length =
            snprintf(line, sizeof line, "fault %s %ld %s %#lx %.300s\n", names[class], n, name,
                     (unsigned long)((uintptr_t)caller - m->base - 1), m->name[0] ? m->name : "-");
        say(line, length);
    }
    return true;
}
