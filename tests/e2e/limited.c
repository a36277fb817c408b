/* Runs a command and says what it took.
 *   limited REPORT MIB SECONDS COMMAND...
 * Exit status: the command's (128 + the signal that ended it).  Appends "MIB SECONDS COMMAND",
 * seconds of the processor, to REPORT; kills the command when it is not done after SECONDS.  97: it
 * took more memory than MIB, 98: or more time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t child;

static void on_alarm(int signal)
{
    (void)signal;
    kill(child, SIGKILL);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

int main(int argc, char **argv)
{
    if (argc < 5) return 99;
    double start = now_s(), limit_s = strtod(argv[3], NULL);
    child = fork();
    if (child == 0) {
        execvp(argv[4], argv + 4);
        _exit(127);
    }
    signal(SIGALRM, on_alarm);
    alarm((unsigned)limit_s);
    int status = 0;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0) continue;
    double took_s = now_s() - start, mib = (double)used.ru_maxrss / 1024;
    double cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime);
    FILE *report = fopen(argv[1], "a");
    if (!report) return 99;
    fprintf(report, "%.0f %.2f", mib, cpu_s);
    for (int i = 4; i < argc; i++) fprintf(report, " %s", argv[i]);
    fprintf(report, "\n");
    fclose(report);
    if (mib > strtod(argv[2], NULL)) return 97;
    if (took_s >= limit_s) return 98;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
