/* The calls that comm_mpi.c makes of MPI.  One that is to fail is not made: the other ranks are
 * left waiting, as by a rank whose network is gone. */
#include "faults.h"

#include <mpi.h>

#define WRAP(name, parameters, arguments)                                                          \
    int name parameters                                                                            \
    {                                                                                              \
        bool due = fault_due(FAULT_MPI, #name, __builtin_return_address(0));                       \
        return due ? MPI_ERR_OTHER : P##name arguments;                                            \
    }

WRAP(MPI_Init_thread, (int *argc, char ***argv, int want, int *got), (argc, argv, want, got))
WRAP(MPI_Finalize, (void), ())
WRAP(MPI_Comm_rank, (MPI_Comm c, int *rank), (c, rank))
WRAP(MPI_Comm_size, (MPI_Comm c, int *size), (c, size))
WRAP(MPI_Comm_dup, (MPI_Comm c, MPI_Comm *copy), (c, copy))
WRAP(MPI_Comm_free, (MPI_Comm * c), (c))
WRAP(MPI_Comm_split, (MPI_Comm c, int colour, int key, MPI_Comm *part), (c, colour, key, part))
WRAP(MPI_Comm_split_type, (MPI_Comm c, int type, int key, MPI_Info info, MPI_Comm *part),
     (c, type, key, info, part))
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
WRAP(MPI_Mprobe, (int from, int tag, MPI_Comm c, MPI_Message *m, MPI_Status *s),
     (from, tag, c, m, s))
WRAP(MPI_Mrecv, (void *p, int n, MPI_Datatype t, MPI_Message *m, MPI_Status *s), (p, n, t, m, s))
WRAP(MPI_Iprobe, (int from, int tag, MPI_Comm c, int *flag, MPI_Status *s), (from, tag, c, flag, s))
WRAP(MPI_Get_elements_x, (const MPI_Status *s, MPI_Datatype t, MPI_Count *n), (s, t, n))
WRAP(MPI_Type_contiguous, (int n, MPI_Datatype t, MPI_Datatype *made), (n, t, made))
WRAP(MPI_Type_create_struct,
     (int n, const int *counts, const MPI_Aint *at, const MPI_Datatype *types, MPI_Datatype *made),
     (n, counts, at, types, made))
WRAP(MPI_Type_commit, (MPI_Datatype * t), (t))
WRAP(MPI_Type_free, (MPI_Datatype * t), (t))
