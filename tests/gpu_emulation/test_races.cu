/* Races are found whatever the order: kernels compiled with -fsanitize=thread, which calls
 * src/races.cpp. */
#include "test_emulation.h"

#include <functional>
#include <sys/wait.h>
#include <unistd.h>

/* Each thread writes one integer and reads another's. */
static __global__ void neighbour_kernel(int *out, int distance, bool waits)
{
    __shared__ int tile[128];
    tile[threadIdx.x] = static_cast<int>(threadIdx.x);
    if (waits) __syncthreads();
    out[threadIdx.x] = tile[(static_cast<int>(threadIdx.x) + distance) % 128];
}

/* The same inside warps; a shuffle orders nothing. */
static __global__ void warp_kernel(int *out, bool waits)
{
    __shared__ int tile[128];
    tile[threadIdx.x] = 1;
    if (waits)
        __syncwarp();
    else
        __shfl_sync(0xffffffff, 0, 0);
    out[threadIdx.x] = tile[threadIdx.x ^ 1];
}

/* Reads, then writes again in the next round. */
static __global__ void reuse_kernel(int *out, bool waits)
{
    __shared__ int value;
    for (int i = 0; i < 3; i++) {
        if (threadIdx.x == 0) value = i;
        __syncthreads();
        out[threadIdx.x] = value;
        if (waits) __syncthreads();
    }
}

static __global__ void lost_update_kernel(int *x, bool is_atomic)
{
    if (is_atomic)
        atomicAdd(x, 1);
    else
        *x += 1;
}

/* Neighbours' bytes are no race. */
static __global__ void bytes_kernel(char *x)
{
    x[threadIdx.x] = 1;
}

/* One thread writes an integer or one of its bytes, another reads that byte or the integer. */
static __global__ void part_kernel(int *x, bool writes_all, bool waits)
{
    char *bytes = reinterpret_cast<char *>(x);
    if (threadIdx.x == 0 && writes_all) x[0] = 1;
    if (threadIdx.x == 0 && !writes_all) bytes[2] = 1;
    if (waits) __syncthreads();
    if (threadIdx.x == 1) x[1] = writes_all ? bytes[2] : x[0];
}

/* Blocks share the array's first integer. */
static __global__ void blocks_kernel(int *x)
{
    if (threadIdx.x == 0) x[0] = 1;
}

/* Shared memory is each block's own. */
static __global__ void own_kernel(int *out)
{
    __shared__ int fixed;
    DYNAMIC_SHARED(int, sized);
    if (threadIdx.x == 0) fixed = sized[0] = 1;
    __syncthreads();
    out[blockIdx.x * 32 + threadIdx.x] = fixed + sized[0];
}

/* Overwrites a tile that others may still read. */
static __global__ void copy_kernel(uint4 *out, const uint4 *in, bool waits)
{
    __shared__ uint4 tile[64];
    for (int i = 0; i < 2; i++) {
        cp_async_16(&tile[threadIdx.x], &in[threadIdx.x]);
        cp_async_wait<0>();
        __syncthreads();
        out[threadIdx.x] = tile[63 - threadIdx.x];
        if (waits) __syncthreads();
    }
}

/* Whether a child that runs this dies of a race. */
static bool is_race(const std::function<void()> &body)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(cudaGetLastError() == cudaSuccess ? 0 : 1);
    }
    close(ends[1]);
    char text[4096] = "";
    for (size_t length = 0; length < sizeof text - 1;) {
        ssize_t n = read(ends[0], text + length, sizeof text - 1 - length);
        if (n <= 0) break;
        length += static_cast<size_t>(n);
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    if (!strstr(text, "race: ")) fail_msg("the child died of something else:\n%s", text);
    return true;
}

static void test_races(void **)
{
    device_array<int> x(std::vector<int>(128, 0));
    device_array<uint4> tiles(std::vector<uint4>(64, make_uint4(1, 2, 3, 4))), copied(64);
    for (int seed = 0; seed < 4; seed++) {
        set_seed(seed);
        for (bool waits : {true, false}) {
            assert_int_equal(!waits, is_race([&] {
                LAUNCH(neighbour_kernel, 1, 128, 0, nullptr, x.p, 40, waits);
            }));
            assert_int_equal(!waits,
                             is_race([&] { LAUNCH(warp_kernel, 1, 128, 0, nullptr, x.p, waits); }));
            assert_int_equal(!waits,
                             is_race([&] { LAUNCH(reuse_kernel, 1, 64, 0, nullptr, x.p, waits); }));
            assert_int_equal(
                !waits, is_race([&] { LAUNCH(lost_update_kernel, 1, 2, 0, nullptr, x.p, waits); }));
            for (bool writes_all : {true, false})
                assert_int_equal(!waits, is_race([&] {
                    LAUNCH(part_kernel, 1, 2, 0, nullptr, x.p, writes_all, waits);
                }));
            assert_int_equal(!waits, is_race([&] {
                LAUNCH(copy_kernel, 1, 64, 0, nullptr, copied.p, tiles.p, waits);
            }));
        }
        assert_false(is_race([&] { LAUNCH(neighbour_kernel, 1, 128, 0, nullptr, x.p, 0, false); }));
        assert_false(is_race(
            [&] { LAUNCH(bytes_kernel, 1, 128, 0, nullptr, reinterpret_cast<char *>(x.p)); }));
        assert_false(is_race([&] { LAUNCH(own_kernel, 4, 32, 4, nullptr, x.p); }));
        assert_true(is_race([&] { LAUNCH(blocks_kernel, 2, 32, 0, nullptr, x.p); }));
        assert_false(is_race([&] {
            LAUNCH(blocks_kernel, 1, 32, 0, nullptr, x.p); /* launches are ordered */
            LAUNCH(blocks_kernel, 1, 32, 0, nullptr, x.p);
        }));
    }
}

int main()
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_races)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
