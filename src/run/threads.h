/* How many threads a rank computes with, and on which CPUs: those of a node are divided among its
 * ranks, so that none takes another's. */
#pragma once

#include "comm/comm.h"

#include <sched.h>

#define THREADS_HOW 128

/* Collective over the world.  OMP_NUM_THREADS is obeyed; else a rank has as many threads as its
 * part of the CPUs that the launcher left it.
 *
 * Open MPI's mpirun binds two ranks of a node to one core each, and more to a socket, unless it is
 * told otherwise, and leaves the others idle: that default (no binding policy asked for, no PE=) is
 * replaced by an equal part of the node for each rank.  Under Slurm ranks that see the same CPUs
 * get a part each, too.  Elsewhere nothing is pinned: other programs may run beside this one.
 *
 * how [THREADS_HOW]: what was done, for the log. */
int threads_choose(struct comm *world, char *how);

/* Of a rank whose CPUs are mask[rank] where the node's ranks have mask [ranks]: those, each divided
 * by the number of ranks that may run on it; at least 1. */
int threads_of_masks(const cpu_set_t *mask, int ranks, int rank);

/* The rank's part of n CPUs in order; all of them where there are fewer than ranks. */
void threads_part(cpu_set_t *part, const int *cpu, int n, int ranks, int rank);
