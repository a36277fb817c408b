/* The runtime's calls: memory, errors, streams, events, graphs. */
#include "test_emulation.h"

static __global__ void add_kernel(int *x, int n, int by)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) x[i] += by;
}

static __global__ void nothing_kernel() {}

struct stream {
    cudaStream_t s;
    explicit stream(unsigned flags = cudaStreamNonBlocking)
    {
        CHECK(cudaStreamCreateWithFlags(&s, flags));
    }
    ~stream() { cudaStreamDestroy(s); }
};

struct event {
    cudaEvent_t e;
    event() { CHECK(cudaEventCreate(&e)); }
    ~event() { cudaEventDestroy(e); }
};

/* Pinned memory of the host. */
struct pinned {
    int *p;
    explicit pinned(size_t n) { CHECK(cudaMallocHost(&p, n * sizeof(int))); }
    ~pinned() { cudaFreeHost(p); }
};

static void set_lazy(bool is_lazy)
{
    setenv("SPECREJ_EMULATION_LAZY", is_lazy ? "1" : "0", 1);
}

/* ---- devices ---- */

static void test_devices(void **)
{
    int count, device;
    cudaDeviceProp properties;
    CHECK(cudaGetDeviceCount(&count));
    assert_int_equal(count, 1);
    assert_int_equal(cudaSetDevice(1), cudaErrorInvalidDevice);
    CHECK(cudaGetDeviceProperties(&properties, 0));
    CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
    assert_int_equal(count, properties.multiProcessorCount);
    setenv("SPECREJ_EMULATION_DEVICES", "2", 1);
    CHECK(cudaSetDevice(1));
    CHECK(cudaGetDevice(&device));
    assert_int_equal(device, 1);
    CHECK(cudaSetDevice(0));
    setenv("SPECREJ_EMULATION_DEVICES", "0", 1);
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    assert_int_equal(count, 0);
    unsetenv("SPECREJ_EMULATION_DEVICES");
    cudaGetLastError();
}

/* ---- memory ---- */

static void test_memory(void **)
{
    size_t free_before, free_within, total;
    CHECK(cudaMemGetInfo(&free_before, &total));
    {
        device_array<char> x(1000);
        assert_int_equal(reinterpret_cast<uintptr_t>(x.p) % 256, 0);
        CHECK(cudaMemGetInfo(&free_within, &total));
        assert_int_equal(free_before - free_within, 1000);
        std::vector<char> host(1000, 5);
        CHECK(cudaMemcpy(x.p, host.data(), 1000, cudaMemcpyHostToDevice));
        CHECK(cudaMemset(x.p + 10, 7, 20));
        CHECK(cudaMemcpy2DAsync(x.p + 500, 100, x.p + 8, 10, 4, 2, cudaMemcpyDeviceToDevice,
                                nullptr));
        host = x.get();
        assert_int_equal(host[9], 5);
        assert_int_equal(host[10], 7);
        assert_int_equal(host[29], 7);
        assert_int_equal(host[502], 7);
        assert_int_equal(host[504], 5);
        assert_int_equal(host[600], 7);

        char *p = x.p, *h = host.data();
        assert_int_equal(cudaMemcpy(p + 1, h, 1000, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
        assert_int_equal(cudaMemcpy(p, h, 10, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
        assert_int_equal(cudaMemcpy(h, p, 10, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
        assert_int_equal(cudaMemset(p + 990, 0, 11), cudaErrorInvalidValue);
        assert_int_equal(cudaFree(p + 1), cudaErrorInvalidValue);
        assert_int_equal(cudaFreeHost(p), cudaErrorInvalidValue);
        CHECK(cudaMemcpy(h, p, 1000, cudaMemcpyDefault));
    }
    CHECK(cudaMemGetInfo(&free_within, &total));
    assert_int_equal(free_within, free_before);

    void *p;
    assert_int_equal(cudaMalloc(&p, total + 1), cudaErrorMemoryAllocation);
    assert_null(p);
    setenv("SPECREJ_EMULATION_MIB", "1", 1);
    assert_int_equal(cudaMalloc(&p, (1 << 20) + 1), cudaErrorMemoryAllocation);
    CHECK(cudaMalloc(&p, 1 << 20));
    CHECK(cudaFree(p));
    unsetenv("SPECREJ_EMULATION_MIB");
    cudaGetLastError();
}

/* ---- launches ---- */

static void expect_launch(dim3 grid, dim3 block, size_t shared, cudaError_t expected)
{
    LAUNCH(nothing_kernel, grid, block, shared, nullptr);
    assert_int_equal(cudaPeekAtLastError(), expected);
    assert_int_equal(cudaGetLastError(), expected);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
}

static void test_launch_errors(void **)
{
    expect_launch(1, 1024, 0, cudaSuccess);
    expect_launch(1, 1025, 0, cudaErrorInvalidConfiguration);
    expect_launch(1, dim3(32, 33), 0, cudaErrorInvalidConfiguration);
    expect_launch(1, dim3(1, 1, 65), 0, cudaErrorInvalidConfiguration);
    expect_launch(0, 32, 0, cudaErrorInvalidConfiguration);
    expect_launch(1, 0, 0, cudaErrorInvalidConfiguration);
    expect_launch(dim3(1, 65536), 32, 0, cudaErrorInvalidConfiguration);
    expect_launch(1, 32, 48 << 10, cudaSuccess);
    expect_launch(1, 32, (48 << 10) + 1, cudaErrorInvalidValue);
    auto attribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
    assert_int_equal(cudaFuncSetAttribute(nothing_kernel, attribute, (227 << 10) + 1),
                     cudaErrorInvalidValue);
    cudaGetLastError();
    CHECK(cudaFuncSetAttribute(nothing_kernel, attribute, 227 << 10));
    expect_launch(1, 32, 227 << 10, cudaSuccess);
    expect_launch(1, 32, (227 << 10) + 1, cudaErrorInvalidValue);
    assert_string_equal(cudaGetErrorName(cudaErrorInvalidConfiguration),
                        "cudaErrorInvalidConfiguration");
}

/* ---- streams and events ---- */

static void test_order_in_streams(void **)
{
    for (bool is_lazy : {false, true}) {
        set_lazy(is_lazy);
        stream a, b;
        event done;
        pinned host(4);
        device_array<int> x(std::vector<int>(4, 1));
        LAUNCH(add_kernel, 1, 4, 0, a.s, x.p, 4, 10);
        CHECK(cudaEventRecord(done.e, a.s));
        CHECK(cudaStreamWaitEvent(b.s, done.e, 0));
        LAUNCH(add_kernel, 1, 4, 0, b.s, x.p, 4, 100);
        host.p[0] = -1;
        CHECK(cudaMemcpyAsync(host.p, x.p, 16, cudaMemcpyDeviceToHost, b.s));
        /* without a wait the result is not there yet, where the device says so */
        if (is_lazy) assert_int_equal(host.p[0], -1);
        CHECK(cudaStreamSynchronize(b.s));
        assert_int_equal(host.p[0], 111);
        CHECK(cudaEventSynchronize(done.e));
    }
    set_lazy(false);
}

static void test_queries(void **)
{
    set_lazy(true);
    stream a;
    event never, start, end;
    CHECK(cudaEventQuery(never.e));
    device_array<int> x(std::vector<int>(4, 1));
    CHECK(cudaEventRecord(start.e, a.s));
    LAUNCH(add_kernel, 1, 4, 0, a.s, x.p, 4, 10);
    CHECK(cudaEventRecord(end.e, a.s));
    float ms = -1;
    assert_int_equal(cudaEventElapsedTime(&ms, start.e, end.e), cudaErrorNotReady);
    int n_asked = 0;
    while (cudaEventQuery(end.e) == cudaErrorNotReady) n_asked++;
    assert_in_range(n_asked, 1, 10);
    assert_int_equal(cudaGetLastError(), cudaErrorNotReady); /* as on the device */
    CHECK(cudaStreamQuery(a.s));
    CHECK(cudaEventElapsedTime(&ms, start.e, end.e));
    assert_true(ms >= 0);
    assert_int_equal(cudaEventElapsedTime(&ms, never.e, end.e), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(&ms)),
                     cudaErrorInvalidResourceHandle);
    cudaGetLastError();
    set_lazy(false);
}

/* The default stream comes after blocking streams and before their next work. */
static void test_legacy_stream(void **)
{
    set_lazy(true);
    stream blocking(cudaStreamDefault);
    device_array<int> x(std::vector<int>(4, 1));
    LAUNCH(add_kernel, 1, 4, 0, blocking.s, x.p, 4, 10);
    CHECK(cudaMemset(x.p, 0, 8)); /* asynchronous, in the default stream */
    LAUNCH(add_kernel, 1, 4, 0, blocking.s, x.p, 4, 5);
    CHECK(cudaStreamSynchronize(blocking.s));
    std::vector<int> got = x.get();
    assert_int_equal(got[0], 5);
    assert_int_equal(got[3], 16);
    set_lazy(false);
}

/* Pageable memory of the host is read before the call returns. */
static void test_pageable_copy(void **)
{
    set_lazy(true);
    stream a;
    device_array<int> x(2);
    std::vector<int> host(2, 3);
    pinned fixed(2);
    fixed.p[0] = fixed.p[1] = 4;
    CHECK(cudaMemcpyAsync(x.p, host.data(), 4, cudaMemcpyHostToDevice, a.s));
    CHECK(cudaMemcpyAsync(x.p + 1, fixed.p, 4, cudaMemcpyHostToDevice, a.s));
    host[0] = fixed.p[0] = 9; /* too early for the pinned one */
    CHECK(cudaStreamSynchronize(a.s));
    host = x.get();
    assert_int_equal(host[0], 3);
    assert_int_equal(host[1], 9);
    set_lazy(false);
}

/* ---- graphs ---- */

static void test_graph(void **)
{
    for (bool is_lazy : {false, true}) {
        set_lazy(is_lazy);
        stream a, b;
        event fork, join;
        device_array<int> x(std::vector<int>(4, 0)), y(std::vector<int>(4, 0));
        pinned host(4);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        cudaStreamCaptureStatus status;
        int by = 1;
        CHECK(cudaStreamBeginCapture(a.s, cudaStreamCaptureModeGlobal));
        CHECK(cudaStreamIsCapturing(a.s, &status));
        assert_int_equal(status, cudaStreamCaptureStatusActive);
        LAUNCH(add_kernel, 1, 4, 0, a.s, x.p, 4, by);
        by = 1000; /* arguments were copied */
        CHECK(cudaEventRecord(fork.e, a.s));
        CHECK(cudaStreamWaitEvent(b.s, fork.e, 0));
        CHECK(cudaMemcpyAsync(y.p, x.p, 16, cudaMemcpyDeviceToDevice, b.s));
        CHECK(cudaEventRecord(join.e, b.s));
        CHECK(cudaStreamWaitEvent(a.s, join.e, 0));
        CHECK(cudaMemcpyAsync(host.p, y.p, 16, cudaMemcpyDeviceToHost, a.s));
        CHECK(cudaStreamEndCapture(a.s, &graph));
        for (int v : x.get()) assert_int_equal(v, 0); /* nothing ran */
        CHECK(cudaGraphInstantiate(&exec, graph, 0));
        CHECK(cudaGraphDestroy(graph));
        for (int i = 0; i < 3; i++) CHECK(cudaGraphLaunch(exec, a.s));
        CHECK(cudaStreamSynchronize(a.s));
        CHECK(cudaGraphExecDestroy(exec));
        for (int v : x.get()) assert_int_equal(v, 3);
        for (int i = 0; i < 4; i++) assert_int_equal(host.p[i], 3);
    }
    set_lazy(false);
}

/* What must not be done meanwhile ends the capture. */
template <typename F> static void expect_broken(F call, cudaError_t expected, cudaError_t at_end)
{
    stream a;
    cudaGraph_t graph;
    CHECK(cudaStreamBeginCapture(a.s, cudaStreamCaptureModeGlobal));
    LAUNCH(nothing_kernel, 1, 1, 0, a.s);
    assert_int_equal(call(a.s), expected);
    assert_int_equal(cudaStreamEndCapture(a.s, &graph), at_end);
    assert_null(graph);
    cudaGetLastError();
    LAUNCH(nothing_kernel, 1, 1, 0, a.s); /* the stream is as before */
    CHECK(cudaStreamSynchronize(a.s));
    CHECK(cudaGetLastError());
}

static void test_broken_captures(void **)
{
    const cudaError_t unsupported = cudaErrorStreamCaptureUnsupported;
    const cudaError_t invalidated = cudaErrorStreamCaptureInvalidated;
    device_array<int> x(4);
    stream other;
    event before, within, forked;
    CHECK(cudaEventRecord(before.e, other.s));
    expect_broken([](cudaStream_t s) { return cudaStreamSynchronize(s); }, unsupported,
                  invalidated);
    expect_broken([](cudaStream_t s) { return cudaStreamQuery(s); }, unsupported, invalidated);
    expect_broken([](cudaStream_t) { return cudaDeviceSynchronize(); }, unsupported, invalidated);
    expect_broken(
        [](cudaStream_t) {
            void *p;
            return cudaMalloc(&p, 16);
        },
        unsupported, invalidated);
    expect_broken([&](cudaStream_t) { return cudaMemset(x.p, 0, 4); }, unsupported, invalidated);
    expect_broken([&](cudaStream_t) { return cudaMemcpy(x.p, x.p + 1, 4, cudaMemcpyDefault); },
                  unsupported, invalidated);
    expect_broken([&](cudaStream_t s) { return cudaStreamWaitEvent(s, before.e, 0); },
                  cudaErrorStreamCaptureIsolation, invalidated);
    expect_broken(
        [&](cudaStream_t s) {
            CHECK(cudaEventRecord(within.e, s));
            return cudaEventSynchronize(within.e);
        },
        cudaErrorCapturedEvent, invalidated);
    expect_broken(
        [&](cudaStream_t s) {
            CHECK(cudaEventRecord(forked.e, s));
            CHECK(cudaStreamWaitEvent(other.s, forked.e, 0));
            return cudaMemsetAsync(x.p, 0, 4, other.s);
        },
        cudaSuccess, cudaErrorStreamCaptureUnjoined);
    assert_int_equal(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), unsupported);
    cudaGetLastError();
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),         cmocka_unit_test(test_memory),
        cmocka_unit_test(test_launch_errors),   cmocka_unit_test(test_order_in_streams),
        cmocka_unit_test(test_queries),         cmocka_unit_test(test_legacy_stream),
        cmocka_unit_test(test_pageable_copy),   cmocka_unit_test(test_graph),
        cmocka_unit_test(test_broken_captures),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
