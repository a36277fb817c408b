/* Kernels with planted faults: each runs in a child that must die, with the words that say why. */
#include "test_emulation.h"

#include <functional>
#include <sys/wait.h>
#include <unistd.h>

/* What the child printed; it must not have ended well. */
static std::string failing(const std::function<void()> &body)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        body();
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char part[4096];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;)
        text.append(part, static_cast<size_t>(n));
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return text;
}

/* Of words with a | between, one. */
static void expect(const std::function<void()> &body, const std::vector<std::string> &all_words)
{
    std::string text = failing(body);
    for (const std::string &words : all_words) {
        size_t bar = words.find('|');
        bool has_first = text.find(words.substr(0, bar)) != std::string::npos;
        bool has_second =
            bar != std::string::npos && text.find(words.substr(bar + 1)) != std::string::npos;
        if (!has_first && !has_second)
            fail_msg("\"%s\" is not in:\n%s", words.c_str(), text.c_str());
    }
}

/* ---- waits that never end ---- */

static __global__ void skipped_barrier_kernel()
{
    if (threadIdx.x < 40) __syncthreads();
}

static __global__ void two_barriers_kernel()
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void barrier_or_shuffle_kernel()
{
    if (threadIdx.x == 7)
        __syncthreads();
    else
        __shfl_sync(0xffffffff, 1, 0);
}

static __global__ void ended_lane_kernel()
{
    if (threadIdx.x == 3) return;
    __ballot_sync(0xffffffff, 1);
}

static __global__ void two_votes_kernel()
{
    if (threadIdx.x < 16)
        __any_sync(0xffffffff, 1);
    else
        __all_sync(0xffffffff, 1);
}

static __global__ void not_in_mask_kernel()
{
    __syncwarp(0x0000ffff);
}

static void test_waits(void **)
{
    expect([] { LAUNCH(skipped_barrier_kernel, 1, 64, 0, nullptr); },
           {"skipped_barrier_kernel", "block (0, 0, 0)", "no thread can go on",
            "threads 0-39 wait in __syncthreads", "test_faults.cu", "threads 40-63 have ended"});
    expect([] { LAUNCH(two_barriers_kernel, 1, 64, 0, nullptr); },
           {"threads meet at different barriers", "threads 0-31", "threads 32-63"});
    expect([] { LAUNCH(barrier_or_shuffle_kernel, 1, 32, 0, nullptr); },
           {"no thread can go on", "threads 0-6 wait in __shfl_sync, mask 0xffffffff",
            "threads 7-7 wait in __syncthreads"});
    expect([] { LAUNCH(ended_lane_kernel, 1, 32, 0, nullptr); },
           {"no thread can go on", "threads 3-3 have ended"});
    expect([] { LAUNCH(two_votes_kernel, 1, 32, 0, nullptr); },
           {"lanes of a warp meet in different collectives", "__any_sync", "__all_sync"});
    expect([] { LAUNCH(not_in_mask_kernel, 1, 32, 0, nullptr); },
           {"__syncwarp", "does not name the calling lane"});
    expect([] { LAUNCH(ended_lane_kernel, 1, 20, 0, nullptr); },
           {"names lanes that the block does not have"});
}

/* ---- wrong addresses ---- */

static __global__ void copy_misaligned_kernel(const char *x)
{
    DYNAMIC_SHARED(char, tile);
    cp_async_16(tile + 8, x);
}

static __global__ void copy_to_global_kernel(char *x)
{
    cp_async_16(x, x + 16);
}

static __global__ void ldmatrix_beyond_kernel()
{
    DYNAMIC_SHARED(char, tile);
    uint32_t r[4];
    ldmatrix_x4(r, tile + 16 * (threadIdx.x + 1));
}

static void test_shared_addresses(void **)
{
    device_array<char> x(256);
    expect([&] { LAUNCH(copy_misaligned_kernel, 1, 1, 64, nullptr, x.p); },
           {"copy_misaligned_kernel", "cp.async", "not aligned to 16"});
    expect([&] { LAUNCH(copy_to_global_kernel, 1, 1, 64, nullptr, x.p); },
           {"cp.async", "not in shared memory"});
    expect([] { LAUNCH(ldmatrix_beyond_kernel, 1, 32, 512, nullptr); },
           {"ldmatrix", "not in shared memory", "thread (31, 0, 0)"});
}

/* ---- what the address sanitizer sees ---- */

static __global__ void read_kernel(const int *x, int at, int *out)
{
    *out = x[at];
}

static __global__ void write_dynamic_kernel(int at)
{
    DYNAMIC_SHARED(int, tile);
    tile[at] = 1;
}

static __global__ void write_static_kernel(int at)
{
    __shared__ int tile[10];
    volatile int *p = tile;
    p[at] = 1;
}

template <typename T> static __global__ void write_template_kernel(int at)
{
    __shared__ T tile[10];
    volatile T *p = tile;
    p[at] = 1;
}

/* 10 integers and one beyond, in each kind of memory. */
static void test_out_of_bounds(void **)
{
    if (!HAS_ADDRESS_SANITIZER) {
        print_message("skipped: this build has no address sanitizer\n");
        skip();
    }
    device_array<int> x(10), out(1);
    expect([&] { LAUNCH(read_kernel, 1, 1, 0, nullptr, x.p, 10, out.p); },
           {"heap-buffer-overflow", "read_kernel"});
    expect([] { LAUNCH(write_dynamic_kernel, 1, 1, 40, nullptr, 10); },
           {"heap-buffer-overflow", "write_dynamic_kernel"});
    expect([] { LAUNCH(write_static_kernel, 1, 1, 0, nullptr, 10); },
           {"overflow|insufficient space", "test_faults.cu"});
    expect([] { LAUNCH((write_template_kernel<float>), 1, 1, 0, nullptr, 10); },
           {"overflow|insufficient space", "test_faults.cu"});
    expect(
        [&] {
            int *freed;
            CHECK(cudaMalloc(&freed, 40));
            CHECK(cudaFree(freed));
            LAUNCH(read_kernel, 1, 1, 0, nullptr, freed, 0, out.p);
        },
        {"heap-use-after-free"});
    /* and nothing where nothing is wrong */
    LAUNCH(read_kernel, 1, 1, 0, nullptr, x.p, 9, out.p);
    LAUNCH(write_dynamic_kernel, 1, 1, 40, nullptr, 9);
    LAUNCH(write_static_kernel, 1, 1, 0, nullptr, 9);
    LAUNCH((write_template_kernel<float>), 1, 1, 0, nullptr, 9);
    CHECK(cudaGetLastError());
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_shared_addresses),
        cmocka_unit_test(test_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
