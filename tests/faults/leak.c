/* Has MPI make one of each kind of handle, and gives all back but what the call named by the first
 * argument made: calls_mpi.c must notice (e2e/test_handles.sh). */
#include <mpi.h>
#include <stdbool.h>
#include <string.h>

static const char *kept;

static bool is_kept(const char *call)
{
    return strcmp(call, kept) == 0;
}

static void communicators(void)
{
    MPI_Comm copy, part, node, none;
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    MPI_Comm_split(MPI_COMM_WORLD, 1, 0, &part);
    MPI_Comm_split(MPI_COMM_WORLD, MPI_UNDEFINED, 0, &none); /* there is nothing to give back */
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (!is_kept("MPI_Comm_dup")) MPI_Comm_free(&copy);
    if (!is_kept("MPI_Comm_split")) MPI_Comm_free(&part);
    if (!is_kept("MPI_Comm_split_type")) MPI_Comm_free(&node);
}

static void types(void)
{
    MPI_Datatype pair, both;
    MPI_Type_contiguous(2, MPI_BYTE, &pair);
    MPI_Type_create_struct(1, &(int){3}, &(MPI_Aint){0}, &pair, &both);
    if (!is_kept("MPI_Type_contiguous")) MPI_Type_free(&pair);
    if (!is_kept("MPI_Type_create_struct")) MPI_Type_free(&both);
}

static void message(void)
{
    int me;
    char sent = 1, got;
    MPI_Request request;
    MPI_Message m;
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Isend(&sent, 1, MPI_BYTE, me, 7, MPI_COMM_WORLD, &request);
    MPI_Mprobe(me, 7, MPI_COMM_WORLD, &m, MPI_STATUS_IGNORE);
    if (!is_kept("MPI_Mprobe")) MPI_Mrecv(&got, 1, MPI_BYTE, &m, MPI_STATUS_IGNORE);
    if (!is_kept("MPI_Mprobe")) MPI_Wait(&request, MPI_STATUS_IGNORE);
}

int main(int argc, char **argv)
{
    int provided;
    kept = argc > 1 ? argv[1] : "";
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    communicators();
    types();
    message();
    return MPI_Finalize();
}
