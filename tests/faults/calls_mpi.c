/* The calls that comm_mpi.c makes of MPI.  These stand before MPI's own in specrej_faults, where
 * the n-th can be made to fail, and in the programs of tests/mpi.
 *
 * A call that is to fail is not made: the other ranks are left waiting, as by a rank whose network
 * is gone.
 *
 * What MPI was asked to make has to be given back before MPI_Finalize; else each thing is named on
 * stderr by the call that made it, and the process ends with status HANDLES_LEFT.  A message that
 * was matched and never received counts, too.  No other call is made: e2e/test_handles.sh.
 */
#include "faults.h"

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_HANDLES = 256, HANDLES_LEFT = 98 };

/* In the programs of tests/mpi no call fails. */
bool fault_due(enum fault_class class, const char *name, const void *caller) __attribute__((weak));

#define DUE(name) (fault_due && fault_due(FAULT_MPI, #name, __builtin_return_address(0)))

#define WRAP(name, parameters, arguments)                                                          \
    int name parameters                                                                            \
    {                                                                                              \
        return DUE(name) ? MPI_ERR_OTHER : P##name arguments;                                      \
    }

/* ---- what was made: pointers or numbers, by the MPI ---- */

static struct {
    uintptr_t handle;
    const char *maker;
} live[MOST_HANDLES];
static int n_live;

static int made(int rc, uintptr_t handle, uintptr_t none, const char *maker)
{
    if (rc != MPI_SUCCESS || handle == none) return rc;
    if (n_live == MOST_HANDLES) {
        fprintf(stderr, "more than %d handles of MPI\n", MOST_HANDLES);
        _exit(HANDLES_LEFT);
    }
    live[n_live].handle = handle;
    live[n_live++].maker = maker;
    return rc;
}

static int given_back(int rc, uintptr_t handle)
{
    int i = n_live - 1;
    while (i >= 0 && live[i].handle != handle) i--;
    if (rc == MPI_SUCCESS && i >= 0) live[i] = live[--n_live];
    return rc;
}

/* MAKES(name, ...): gives a handle of this type through `out`.  FREES: takes one from `in`. */
#define MAKES(name, out, none, parameters, arguments)                                              \
    int name parameters                                                                            \
    {                                                                                              \
        if (DUE(name)) return MPI_ERR_OTHER;                                                       \
        int rc = P##name arguments;                                                                \
        return made(rc, (uintptr_t)*out, (uintptr_t)none, #name);                                  \
    }
#define FREES(name, in, parameters, arguments)                                                     \
    int name parameters                                                                            \
    {                                                                                              \
        if (DUE(name)) return MPI_ERR_OTHER;                                                       \
        uintptr_t handle = (uintptr_t)*in;                                                         \
        return given_back(P##name arguments, handle);                                              \
    }

MAKES(MPI_Comm_dup, copy, MPI_COMM_NULL, (MPI_Comm c, MPI_Comm *copy), (c, copy))
MAKES(MPI_Comm_split, part, MPI_COMM_NULL, (MPI_Comm c, int colour, int key, MPI_Comm *part),
      (c, colour, key, part))
MAKES(MPI_Comm_split_type, part, MPI_COMM_NULL,
      (MPI_Comm c, int type, int key, MPI_Info info, MPI_Comm *part), (c, type, key, info, part))
FREES(MPI_Comm_free, c, (MPI_Comm * c), (c))
MAKES(MPI_Type_contiguous, type, MPI_DATATYPE_NULL, (int n, MPI_Datatype t, MPI_Datatype *type),
      (n, t, type))
MAKES(MPI_Type_create_struct, type, MPI_DATATYPE_NULL,
      (int n, const int *counts, const MPI_Aint *at, const MPI_Datatype *types, MPI_Datatype *type),
      (n, counts, at, types, type))
FREES(MPI_Type_free, t, (MPI_Datatype * t), (t))
MAKES(MPI_Mprobe, m, MPI_MESSAGE_NULL,
      (int from, int tag, MPI_Comm c, MPI_Message *m, MPI_Status *s), (from, tag, c, m, s))
FREES(MPI_Mrecv, m, (void *p, int n, MPI_Datatype t, MPI_Message *m, MPI_Status *s),
      (p, n, t, m, s))

int MPI_Finalize(void)
{
    if (DUE(MPI_Finalize)) return MPI_ERR_OTHER;
    int rc = PMPI_Finalize();
    if (n_live == 0) return rc;
    for (int i = 0; i < n_live; i++)
        fprintf(stderr, "what %s made was not given back\n", live[i].maker);
    _exit(HANDLES_LEFT);
}

/* ---- the others ---- */

WRAP(MPI_Init_thread, (int *argc, char ***argv, int want, int *got), (argc, argv, want, got))
WRAP(MPI_Comm_rank, (MPI_Comm c, int *rank), (c, rank))
WRAP(MPI_Comm_size, (MPI_Comm c, int *size), (c, size))
WRAP(MPI_Comm_set_errhandler, (MPI_Comm c, MPI_Errhandler handler), (c, handler))
WRAP(MPI_Barrier, (MPI_Comm c), (c))
WRAP(MPI_Bcast, (void *p, int n, MPI_Datatype t, int root, MPI_Comm c), (p, n, t, root, c))
WRAP(MPI_Allgather,
     (const void *p, int n, MPI_Datatype t, void *q, int m, MPI_Datatype u, MPI_Comm c),
     (p, n, t, q, m, u, c))
WRAP(MPI_Gather,
     (const void *p, int n, MPI_Datatype t, void *q, int m, MPI_Datatype u, int root, MPI_Comm c),
     (p, n, t, q, m, u, root, c))
WRAP(MPI_Allreduce, (const void *p, void *q, int n, MPI_Datatype t, MPI_Op op, MPI_Comm c),
     (p, q, n, t, op, c))
WRAP(MPI_Send, (const void *p, int n, MPI_Datatype t, int to, int tag, MPI_Comm c),
     (p, n, t, to, tag, c))
WRAP(MPI_Iprobe, (int from, int tag, MPI_Comm c, int *flag, MPI_Status *s), (from, tag, c, flag, s))
WRAP(MPI_Get_elements_x, (const MPI_Status *s, MPI_Datatype t, MPI_Count *n), (s, t, n))
WRAP(MPI_Type_commit, (MPI_Datatype * t), (t))
