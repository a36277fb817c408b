/* How many threads a rank computes with, and on which CPUs: those of a node are divided among its
 * ranks, so that none takes another's. */
#pragma once

#include "comm/comm.h"

#include <sched.h>
#include <stdbool.h>

#define THREADS_HOW 128

/* Collective over the world.  OMP_NUM_THREADS is obeyed; else a rank has as many threads as its
 * part of the CPUs that the launcher left it.
 *
 * Open MPI's mpirun binds two ranks of a node to one core each, and more to a socket, unless it is
 * told otherwise, and leaves the others idle: that default (no binding policy asked for, no PE=) is
 * replaced by an equal part, for each rank, of the CPUs that mpirun or its daemon on this node may
 * run on (a taskset holds); where no such process is seen above the rank the default stays.  Under
 * Slurm ranks that see the same CPUs get a part each, too, but not where no binding was asked for
 * (mpirun --bind-to none, srun --cpu-bind=none), and not where they see more CPUs than Slurm gave
 * the job on this node (SLURM_CPUS_ON_NODE: no cpuset): which are the job's cannot be known, so
 * nothing is pinned and the ranks have no more threads than that.  Elsewhere nothing is pinned:
 * other programs may run beside this one.  What a launcher other than mpirun was left, and a
 * job's limit that Slurm does not say, cannot be seen here.
 *
 * how [THREADS_HOW]: what was done, for the log; after a second call in one process as well. */
int threads_choose(struct comm *world, char *how);

/* ---- its parts ---- */

/* What the environment says of how this rank was started. */
struct threads_launch {
    int asked;       /* OMP_NUM_THREADS; 0: not set, and the rest counts */
    int most;        /* CPUs of this node that Slurm gave the job; 0: it does not say */
    bool is_default; /* bound by mpirun as it does by itself */
    bool may_pin;    /* ranks that see the same CPUs to a part each */
};
struct threads_launch threads_launch(void);

/* Threads of a rank where the node's ranks have mask [ranks]; is_widened: mpirun's default has been
 * undone.  part: its CPUs where it is to be pinned, else empty. */
int threads_decide(const struct threads_launch *l, const cpu_set_t *mask, int ranks, int rank,
                   bool is_widened, cpu_set_t *part, char *how);

/* Of a rank whose CPUs are mask[rank] where the node's ranks have mask [ranks]: those, each divided
 * by the number of ranks that may run on it; at least 1. */
int threads_of_masks(const cpu_set_t *mask, int ranks, int rank);

/* The rank's part of n CPUs in order; all of them where there are fewer than ranks. */
void threads_part(cpu_set_t *part, const int *cpu, int n, int ranks, int rank);
