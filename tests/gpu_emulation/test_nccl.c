/* NCCL's collectives on 1, 2 and 4 ranks, captured and not, and a peer that never answers. */
#include <nccl.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef SPECREJ_EMULATION_MPI
#include <mpi.h>
#endif

#define CHECK(call) assert_int_equal(call, 0)

enum { N = 1000 };

static int world_rank, world_size = 1;

/* From rank 0 of the world to all. */
static void share(void *p, size_t bytes)
{
#ifdef SPECREJ_EMULATION_MPI
    MPI_Bcast(p, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
#else
    (void)p, (void)bytes;
#endif
}

static ncclComm_t open_world(void)
{
    ncclUniqueId id;
    ncclComm_t comm;
    if (world_rank == 0) CHECK(ncclGetUniqueId(&id));
    share(&id, sizeof id);
    CHECK(ncclCommInitRank(&comm, world_size, id, world_rank));
    return comm;
}

static float *floats(size_t n)
{
    void *p;
    CHECK(cudaMalloc(&p, n * sizeof(float)));
    return p;
}

static void upload(float *to, const float *from, size_t n)
{
    CHECK(cudaMemcpy(to, from, n * sizeof *to, cudaMemcpyHostToDevice));
}

static void download(float *to, const float *from, size_t n)
{
    CHECK(cudaMemcpy(to, from, n * sizeof *to, cudaMemcpyDeviceToHost));
}

/* Of a rank: sums of these depend on the order of adding. */
static float value(int rank, int i)
{
    uint32_t h = ((uint32_t)(rank * 7919 + i) * 2654435761u) >> 8;
    return (float)h / 3e4f - 200.0f;
}

static void test_version(void **state)
{
    (void)state;
    int version, count, rank;
    ncclComm_t comm = open_world();
    CHECK(ncclGetVersion(&version));
    assert_int_equal(version, NCCL_VERSION_CODE);
    CHECK(ncclCommCount(comm, &count));
    CHECK(ncclCommUserRank(comm, &rank));
    assert_int_equal(count, world_size);
    assert_int_equal(rank, world_rank);
    assert_string_equal(ncclGetErrorString(ncclSuccess), "no error");
    CHECK(ncclCommDestroy(comm));
}

static void test_collectives(void **state)
{
    (void)state;
    ncclComm_t comm = open_world();
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    size_t all = (size_t)world_size * N;
    float *x = floats(N), *sum = floats(N), *gathered = floats(all), host[N],
          *host_all = malloc(all * sizeof *host_all);
    for (int i = 0; i < N; i++) host[i] = value(world_rank, i);
    upload(x, host, N);
    upload(gathered + world_rank * N, host, N);
    CHECK(ncclAllReduce(x, sum, N, ncclFloat32, ncclSum, comm, stream));
    CHECK(ncclAllGather(gathered + world_rank * N, gathered, N, ncclFloat32, comm, stream));
    CHECK(ncclBroadcast(x, x, N, ncclFloat32, world_size - 1, comm, stream));
    CHECK(cudaStreamSynchronize(stream));

    int n_unlike_rank_order = 0;
    download(host, sum, N);
    download(host_all, gathered, all);
    for (int i = 0; i < N; i++) {
        float in_order = 0;
        double exact = 0;
        for (int r = 0; r < world_size; r++) {
            assert_true(host_all[r * N + i] == value(r, i));
            in_order += value(r, i);
            exact += (double)value(r, i);
        }
        assert_true(fabs((double)host[i] - exact) < 1e-3);
        n_unlike_rank_order += host[i] != in_order;
    }
    if (world_size > 2) assert_in_range(n_unlike_rank_order, 10, N);
    download(host, x, N);
    for (int i = 0; i < N; i++) assert_true(host[i] == value(world_size - 1, i));

    /* integers are exact, largest and smallest as well */
    int64_t wide[2] = {1LL << 40, -world_rank}, *wide_p;
    CHECK(cudaMalloc((void **)&wide_p, sizeof wide));
    CHECK(cudaMemcpy(wide_p, wide, sizeof wide, cudaMemcpyHostToDevice));
    CHECK(ncclAllReduce(wide_p, wide_p, 1, ncclUint64, ncclSum, comm, stream));
    CHECK(ncclAllReduce(wide_p + 1, wide_p + 1, 1, ncclInt64, ncclMin, comm, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemcpy(wide, wide_p, sizeof wide, cudaMemcpyDeviceToHost));
    assert_int_equal(wide[0], (int64_t)world_size << 40);
    assert_int_equal(wide[1], 1 - world_size);

    CHECK(cudaFree(x));
    CHECK(cudaFree(sum));
    CHECK(cudaFree(gathered));
    CHECK(cudaFree(wide_p));
    free(host_all);
    CHECK(cudaStreamDestroy(stream));
    CHECK(ncclCommDestroy(comm));
}

/* Everyone to everyone, itself included, in one group; then by a graph, three times. */
static void test_send_and_receive(void **state)
{
    (void)state;
    ncclComm_t comm = open_world();
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    size_t n = (size_t)world_size;
    float *to = floats(n), *from = floats(n), host[16];
    for (int round = 0; round < 2; round++) {
        for (int r = 0; r < world_size; r++) host[r] = (float)(world_rank * 100 + r + round);
        upload(to, host, n);
        CHECK(cudaMemset(from, 0xff, n * sizeof *from));
        if (round == 1) CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
        CHECK(ncclGroupStart());
        for (int r = 0; r < world_size; r++) {
            CHECK(ncclSend(to + r, 1, ncclFloat32, r, comm, stream));
            CHECK(ncclRecv(from + r, 1, ncclFloat32, r, comm, stream));
        }
        CHECK(ncclGroupEnd());
        if (round == 1) {
            CHECK(cudaStreamEndCapture(stream, &graph));
            CHECK(cudaGraphInstantiate(&exec, graph, 0));
            for (int i = 0; i < 3; i++) CHECK(cudaGraphLaunch(exec, stream));
        }
        CHECK(cudaStreamSynchronize(stream));
        download(host, from, n);
        for (int r = 0; r < world_size; r++)
            assert_true(host[r] == (float)(r * 100 + world_rank + round));
    }
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaFree(to));
    CHECK(cudaFree(from));
    CHECK(cudaStreamDestroy(stream));
    CHECK(ncclCommDestroy(comm));
}

/* Pairs of ranks, each with a communicator of its own, in the other order than the world's. */
static void test_groups(void **state)
{
    (void)state;
    if (world_size < 4) skip();
#ifdef SPECREJ_EMULATION_MPI
    ncclUniqueId id;
    ncclComm_t comm;
    int pair = world_rank / 2, rank = 1 - world_rank % 2;
    if (rank == 0) CHECK(ncclGetUniqueId(&id));
    MPI_Comm two;
    MPI_Comm_split(MPI_COMM_WORLD, pair, rank, &two);
    MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, two);
    MPI_Comm_free(&two);
    CHECK(ncclCommInitRank(&comm, 2, id, rank));
    float host[2] = {0, 0}, *x = floats(2);
    host[0] = (float)world_rank;
    upload(x + rank, host, 1);
    CHECK(ncclAllGather(x + rank, x, 1, ncclFloat32, comm, NULL));
    download(host, x, 2);
    assert_true(host[0] == (float)(pair * 2 + 1) && host[1] == (float)(pair * 2));
    CHECK(cudaFree(x));
    CHECK(ncclCommDestroy(comm));
#endif
}

/* The last rank does not take part: the others' streams stay busy, their hosts do not, and an abort
 * sets them free. */
static void test_silent_peer(void **state)
{
    (void)state;
    if (world_size < 2) skip();
    ncclComm_t comm = open_world();
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    float *x = floats(N), *all = floats((size_t)world_size * N);
    if (world_rank != world_size - 1) {
        ncclResult_t error;
        CHECK(ncclAllGather(x, all, N, ncclFloat32, comm, stream));
        for (int i = 0; i < 100; i++) {
            assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
            CHECK(ncclCommGetAsyncError(comm, &error));
            assert_int_equal(error, ncclSuccess);
        }
        cudaGetLastError();
    }
    CHECK(ncclCommAbort(comm));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaStreamDestroy(stream));
    CHECK(cudaFree(x));
    CHECK(cudaFree(all));
#ifdef SPECREJ_EMULATION_MPI
    MPI_Barrier(MPI_COMM_WORLD);
#endif
}

/* One rank's network is gone: it is told so, the others' streams stay busy. */
static void test_fault(void **state)
{
    (void)state;
    if (world_size < 2) skip();
    ncclComm_t comm = open_world();
    float *x = floats(N), *all = floats((size_t)world_size * N);
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    if (world_rank == 1) setenv("SPECREJ_EMULATION_NCCL_FAULT", "0", 1);
    CHECK(ncclAllGather(x, all, N, ncclFloat32, comm, stream));
    for (int i = 0; i < 100; i++) {
        ncclResult_t error;
        assert_int_equal(cudaStreamQuery(stream), cudaErrorNotReady);
        CHECK(ncclCommGetAsyncError(comm, &error));
        assert_int_equal(error, world_rank == 1 ? ncclRemoteError : ncclSuccess);
    }
    cudaGetLastError();
    CHECK(ncclCommAbort(comm));
    CHECK(cudaStreamSynchronize(stream));
    unsetenv("SPECREJ_EMULATION_NCCL_FAULT");
    CHECK(cudaStreamDestroy(stream));
    CHECK(cudaFree(x));
    CHECK(cudaFree(all));
#ifdef SPECREJ_EMULATION_MPI
    MPI_Barrier(MPI_COMM_WORLD);
#endif
}

static void test_refusals(void **state)
{
    (void)state;
    ncclUniqueId id = {{0}};
    ncclComm_t comm;
    assert_int_equal(ncclCommInitRank(&comm, 2, id, 2), ncclInvalidArgument);
    comm = open_world();
    assert_int_equal(ncclSend(NULL, 1, ncclFloat32, world_size, comm, NULL), ncclInvalidArgument);
    assert_int_equal(ncclAllReduce(NULL, NULL, 1, ncclBfloat16, ncclSum, comm, NULL),
                     ncclInvalidArgument);
    assert_int_equal(ncclGroupEnd(), ncclInvalidUsage);
    CHECK(ncclCommDestroy(comm));
}

int main(int argc, char **argv)
{
#ifdef SPECREJ_EMULATION_MPI
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
#else
    (void)argc, (void)argv;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_collectives),
        cmocka_unit_test(test_send_and_receive),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_fault),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_silent_peer),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef SPECREJ_EMULATION_MPI
    MPI_Finalize();
#endif
    return failed;
}
