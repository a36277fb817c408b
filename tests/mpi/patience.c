/* A library for LD_PRELOAD: a rank that waits sleeps.  Open MPI looks for messages again and again
 * and calls sched_yield in between (src/comm/comm_mpi.c asks it to), which costs all of a processor
 * and, where several tests share it, the time of those that have something to do.  Here such a wait
 * sleeps for a quarter of what it has lasted, a millisecond at most. */
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WORK_NS     20000 /* so long between two calls: it did not only look */
#define AT_ONCE_NS  30000 /* waits that are over so soon do not sleep */
#define LONGEST_NS  1000000
#define SHARE_SLEPT 4

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int sched_yield(void)
{
    static _Thread_local int64_t began, left; /* the wait; the last call */
    int64_t now = now_ns(), slept;
    if (now - left > WORK_NS) began = now;
    slept = (now - began) / SHARE_SLEPT;
    if (slept > LONGEST_NS) slept = LONGEST_NS;
    if (now - began < AT_ONCE_NS)
        syscall(SYS_sched_yield);
    else
        nanosleep(&(struct timespec){.tv_nsec = slept}, NULL);
    left = now_ns();
    return 0;
}
