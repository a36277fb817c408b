/* Threads of a block: barriers, shuffles, votes, atomics, shared memory, and the orders they run
 * in. */
#include "test_emulation.h"

#include <algorithm>
#include <numeric>
#include <set>

/* ---- who is who ---- */

static __global__ void place_kernel(uint32_t *out)
{
    uint32_t block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    uint32_t thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    uint32_t at = block * blockDim.x * blockDim.y * blockDim.z + thread;
    atomicAdd(&out[at], at + 1);
}

static void test_places(void **)
{
    const dim3 grid(3, 2, 4), block(5, 3, 7);
    const size_t n = 24 * 105;
    device_array<uint32_t> out(std::vector<uint32_t>(n, 0));
    LAUNCH(place_kernel, grid, block, 0, nullptr, out.p);
    CHECK(cudaGetLastError());
    std::vector<uint32_t> got = out.get();
    for (size_t i = 0; i < n; i++) assert_int_equal(got[i], i + 1);
}

/* ---- barriers ---- */

/* Reverses blocks of 256 through shared memory; `waits` false plants the missing barrier. */
static __global__ void reverse_kernel(int *x, bool waits)
{
    __shared__ int tile[256];
    x += blockIdx.x * 256;
    tile[threadIdx.x] = x[threadIdx.x];
    if (waits) __syncthreads();
    x[threadIdx.x] = tile[255 - threadIdx.x];
}

static std::vector<int> reverse(int seed, bool waits)
{
    set_seed(seed);
    std::vector<int> x(1024);
    std::iota(x.begin(), x.end(), 0);
    device_array<int> on_device(x);
    LAUNCH(reverse_kernel, 4, 256, 0, nullptr, on_device.p, waits);
    CHECK(cudaGetLastError());
    return on_device.get();
}

static void test_barrier(void **)
{
    std::vector<int> expected(1024);
    for (int i = 0; i < 1024; i++) expected[static_cast<size_t>(i)] = i / 256 * 256 + 255 - i % 256;
    for (int seed = 0; seed < 20; seed++) assert_true(reverse(seed, true) == expected);
}

static void test_missing_barrier_shows(void **)
{
    std::set<std::vector<int>> results;
    for (int seed = 0; seed < 8; seed++) results.insert(reverse(seed, false));
    assert_true(results.size() > 1);
}

/* Sums of 8 warps through shared memory, twice with the same buffer: without the second barrier a
 * warp that runs ahead overwrites what another has not read yet. */
static __global__ void reuse_kernel(int *out, bool waits)
{
    __shared__ int part[8];
    int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    for (int round = 0; round < 4; round++) {
        if (lane == 0) part[warp] = warp + round * 100;
        __syncthreads();
        int sum = 0;
        for (int i = 0; i < 8; i++) sum += part[i];
        out[round * 256 + static_cast<int>(threadIdx.x)] = sum;
        if (waits) __syncthreads();
    }
}

static std::vector<int> reuse(int seed, bool waits)
{
    set_seed(seed);
    device_array<int> out(1024);
    LAUNCH(reuse_kernel, 1, 256, 0, nullptr, out.p, waits);
    CHECK(cudaGetLastError());
    return out.get();
}

static void test_reuse_without_barrier_shows(void **)
{
    std::vector<int> expected(1024);
    for (int i = 0; i < 1024; i++) expected[static_cast<size_t>(i)] = 28 + i / 256 * 800;
    bool is_found = false;
    for (int seed = 0; seed < 8; seed++) {
        assert_true(reuse(seed, true) == expected);
        is_found |= reuse(seed, false) != expected;
    }
    assert_true(is_found);
}

/* The same inside a warp. */
static __global__ void warp_reverse_kernel(int *x, bool waits)
{
    __shared__ int tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    if (waits) __syncwarp();
    x[threadIdx.x] = tile[31 - threadIdx.x];
}

static void test_missing_syncwarp_shows(void **)
{
    bool is_found = false;
    for (int seed = 0; seed < 8; seed++) {
        for (bool waits : {true, false}) {
            set_seed(seed);
            std::vector<int> x(32);
            std::iota(x.begin(), x.end(), 0);
            device_array<int> on_device(x);
            LAUNCH(warp_reverse_kernel, 1, 32, 0, nullptr, on_device.p, waits);
            std::reverse(x.begin(), x.end());
            bool is_right = on_device.get() == x;
            assert_true(is_right || !waits);
            is_found |= !is_right;
        }
    }
    assert_true(is_found);
}

static __global__ void barrier_votes_kernel(int *out)
{
    int i = static_cast<int>(threadIdx.x);
    int count = __syncthreads_count(i % 3 == 0);
    int any = __syncthreads_or(i == 99), none = __syncthreads_or(i == 1000);
    int all = __syncthreads_and(i < 100), not_all = __syncthreads_and(i != 50);
    out[i] = count * 10000 + any * 1000 + none * 100 + all * 10 + not_all;
}

static void test_barrier_votes(void **)
{
    device_array<int> out(100);
    LAUNCH(barrier_votes_kernel, 1, 100, 0, nullptr, out.p);
    for (int v : out.get()) assert_int_equal(v, 34 * 10000 + 1010);
}

/* ---- warps ---- */

static __global__ void shuffle_kernel(int *out, int width, int by)
{
    int lane = static_cast<int>(threadIdx.x), *row = out + lane * 4;
    row[0] = __shfl_sync(0xffffffff, lane, by, width);
    row[1] = __shfl_xor_sync(0xffffffff, lane, by, width);
    row[2] = __shfl_down_sync(0xffffffff, lane, static_cast<unsigned>(by), width);
    row[3] = __shfl_up_sync(0xffffffff, lane, static_cast<unsigned>(by), width);
}

/* By the programming guide's words, not by ours. */
static void test_shuffles(void **)
{
    for (int width : {1, 2, 4, 8, 16, 32})
        for (int by = 0; by < 32; by++) {
            device_array<int> out(128);
            LAUNCH(shuffle_kernel, 1, 32, 0, nullptr, out.p, width, by);
            std::vector<int> got = out.get();
            for (int lane = 0; lane < 32; lane++) {
                int logical = lane % width, begin = lane - logical;
                const int *row = &got[static_cast<size_t>(lane) * 4];
                assert_int_equal(row[0], begin + by % width);
                /* xor: lanes of earlier groups may be read, later groups give the own value */
                int other = lane ^ by;
                assert_int_equal(row[1], other / width <= lane / width ? other : lane);
                assert_int_equal(row[2], logical + by < width ? lane + by : lane);
                assert_int_equal(row[3], logical - by >= 0 ? lane - by : lane);
            }
        }
}

template <typename T> static __global__ void shuffle_type_kernel(T *x)
{
    x[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 5);
}

template <typename T> static void check_shuffle_type(T (*make)(int))
{
    std::vector<T> x;
    for (int i = 0; i < 32; i++) x.push_back(make(i));
    device_array<T> on_device(x);
    LAUNCH(shuffle_type_kernel<T>, 1, 32, 0, nullptr, on_device.p);
    std::vector<T> got = on_device.get();
    for (size_t i = 0; i < 32; i++) assert_memory_equal(&got[i], &x[i ^ 5], sizeof(T));
}

static void test_shuffle_types(void **)
{
    check_shuffle_type<float>([](int i) { return 0.1f * static_cast<float>(i); });
    check_shuffle_type<double>([](int i) { return 0.1 * i; });
    check_shuffle_type<long long>([](int i) { return (1LL << 40) * i; });
    check_shuffle_type<unsigned long long>([](int i) { return ~0ULL - static_cast<unsigned>(i); });
    check_shuffle_type<__nv_bfloat16>(
        [](int i) { return __float2bfloat16(static_cast<float>(i)); });
    check_shuffle_type<__half>([](int i) { return __float2half(static_cast<float>(i)); });
}

/* Halves of a warp on their own, at different places. */
static __global__ void half_warps_kernel(int *out)
{
    int lane = static_cast<int>(threadIdx.x), sum = lane;
    if (lane < 16) {
        for (int d = 8; d > 0; d /= 2) sum += __shfl_xor_sync(0x0000ffff, sum, d);
    } else {
        for (int d = 8; d > 0; d /= 2) sum += __shfl_xor_sync(0xffff0000, sum, d);
        sum = -sum;
    }
    out[lane] = sum;
}

static void test_half_warps(void **)
{
    for (int seed = 0; seed < 10; seed++) {
        set_seed(seed);
        device_array<int> out(32);
        LAUNCH(half_warps_kernel, 1, 32, 0, nullptr, out.p);
        std::vector<int> got = out.get();
        for (size_t i = 0; i < 32; i++) assert_int_equal(got[i], i < 16 ? 120 : -376);
    }
}

static __global__ void votes_kernel(unsigned *out)
{
    unsigned lane = threadIdx.x % 32, *row = out + threadIdx.x * 4;
    row[0] = __ballot_sync(0xffffffff, lane % 5 == 0);
    row[1] = static_cast<unsigned>(__any_sync(0xffffffff, lane == 31)) +
             2 * static_cast<unsigned>(__any_sync(0xffffffff, lane == 32));
    row[2] = static_cast<unsigned>(__all_sync(0xffffffff, lane < 32)) +
             2 * static_cast<unsigned>(__all_sync(0xffffffff, lane < 31));
    if (lane & 1) row[3] = __ballot_sync(0xaaaaaaaa, lane > 20) + (__all_sync(0xaaaaaaaa, 1) > 0);
}

static void test_votes(void **)
{
    device_array<unsigned> out(96 * 4);
    LAUNCH(votes_kernel, 1, 96, 0, nullptr, out.p);
    std::vector<unsigned> got = out.get();
    for (size_t i = 0; i < 96; i++) {
        assert_int_equal(got[i * 4], 0x42108421);
        assert_int_equal(got[i * 4 + 1], 1);
        assert_int_equal(got[i * 4 + 2], 1);
        if (i & 1) assert_int_equal(got[i * 4 + 3], 0xaaa00001);
    }
}

/* ---- atomics ---- */

struct totals {
    int sum, most, least, swapped;
    unsigned wrapped, any, common, odd;
    unsigned long long wide, best;
    float real;
};

static __global__ void atomics_kernel(totals *t, int *old)
{
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    unsigned u = static_cast<unsigned>(i);
    old[i] = atomicAdd(&t->sum, 1);
    atomicMax(&t->most, i);
    atomicMin(&t->least, -i);
    atomicCAS(&t->swapped, 0, i + 1);
    atomicInc(&t->wrapped, 6);
    atomicOr(&t->any, 1u << i % 32);
    atomicAnd(&t->common, u | 0x80000000u);
    atomicXor(&t->odd, u);
    atomicAdd(&t->wide, 1ULL << 33);
    atomicMax(&t->best, static_cast<unsigned long long>(i) << 32);
    atomicAdd(&t->real, 0.5f);
}

static void test_atomics(void **)
{
    const int n = 700;
    device_array<totals> t(std::vector<totals>(1, {0, 0, 0, 0, 0, 0, ~0u, 0, 0, 0, 0}));
    device_array<int> old(n);
    LAUNCH(atomics_kernel, 7, 100, 0, nullptr, t.p, old.p);
    totals got = t.get()[0];
    unsigned odd = 0;
    for (unsigned i = 0; i < n; i++) odd ^= i;
    assert_int_equal(got.sum, n);
    assert_int_equal(got.most, n - 1);
    assert_int_equal(got.least, -(n - 1));
    assert_in_range(got.swapped, 1, n);
    assert_int_equal(got.wrapped, n % 7);
    assert_int_equal(got.any, ~0u);
    assert_int_equal(got.common, 0x80000000u);
    assert_int_equal(got.odd, odd);
    assert_int_equal(got.wide, static_cast<unsigned long long>(n) << 33);
    assert_int_equal(got.best, static_cast<unsigned long long>(n - 1) << 32);
    assert_true(got.real == n * 0.5f);
    std::vector<int> order = old.get(); /* each old value once, and not in the threads' order */
    assert_false(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (int i = 0; i < n; i++) assert_int_equal(order[static_cast<size_t>(i)], i);
}

/* ---- memory that nobody wrote ---- */

static __global__ void unwritten_kernel(uint32_t *out, int blocks)
{
    __shared__ uint32_t fixed[33];
    DYNAMIC_SHARED(uint32_t, sized);
    uint32_t i = threadIdx.x, *row = out + (blockIdx.x * 32 + i) * 2;
    row[0] = fixed[i + 1];
    row[1] = sized[i];
    __syncthreads();
    fixed[i + 1] = sized[i] = static_cast<uint32_t>(blocks); /* the next block must not see it */
}

template <typename T> __global__ void unwritten_template_kernel(T *out)
{
    __shared__ T fixed[32];
    out[threadIdx.x] = fixed[threadIdx.x];
    __syncthreads();
    fixed[threadIdx.x] = 0;
}

static void test_unwritten_memory(void **)
{
    device_array<uint32_t> fresh(1000), out(5 * 64);
    for (uint32_t v : fresh.get()) assert_int_equal(v, ~0u);
    LAUNCH(unwritten_kernel, 5, 32, 128, nullptr, out.p, 5);
    for (uint32_t v : out.get()) assert_int_equal(v, ~0u);
    device_array<float> real(32);
    for (int i = 0; i < 2; i++) {
        LAUNCH((unwritten_template_kernel<float>), 1, 32, 0, nullptr, real.p);
        for (float v : real.get()) assert_true(v != v);
    }
}

/* ---- orders ---- */

static __global__ void order_kernel(int *out, int *next)
{
    out[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

static std::vector<int> order(int seed)
{
    set_seed(seed);
    device_array<int> out(512), next(std::vector<int>(1, 0));
    LAUNCH(order_kernel, 4, 128, 0, nullptr, out.p, next.p);
    return out.get();
}

/* Any order, each thread once.  A seed says it for the whole program: the n-th launch differs. */
static void test_orders(void **)
{
    std::set<std::vector<int>> seen;
    for (int seed = 0; seed < 5; seed++) {
        std::vector<int> got = order(seed);
        seen.insert(got);
        std::sort(got.begin(), got.end());
        for (int i = 0; i < 512; i++) assert_int_equal(got[static_cast<size_t>(i)], i);
    }
    assert_int_equal(seen.size(), 5);
}

/* ---- bits and numbers of one thread ---- */

static void test_intrinsics(void **)
{
    assert_int_equal(__ffs(0), 0);
    assert_int_equal(__ffs(8), 4);
    assert_int_equal(__clz(0), 32);
    assert_int_equal(__clz(1), 31);
    assert_int_equal(__clz(-1), 0);
    assert_int_equal(__clzll(1LL << 40), 23);
    assert_int_equal(__popc(0xf0f0u), 8);
    assert_int_equal(__umulhi(0x80000000u, 6), 3);
    assert_int_equal(__umul64hi(1ULL << 63, 10), 5);
    assert_int_equal(__float_as_uint(1.0f), 0x3f800000);
    assert_true(__uint_as_float(0xc0000000u) == -2.0f);
    assert_true(rsqrtf(16.0f) == 0.25f);
    assert_int_equal(__float2int_rn(2.5f), 2);
    assert_int_equal(__float2int_rz(-2.7f), -2);
    assert_int_equal(__float2int_rz(1e20f), INT32_MAX);
    assert_int_equal(__float2int_rz(NAN), 0);
    assert_true(max(1.0f, 2.0f) == 2.0f && min(3, -3) == -3);
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_missing_barrier_shows),
        cmocka_unit_test(test_reuse_without_barrier_shows),
        cmocka_unit_test(test_missing_syncwarp_shows),
        cmocka_unit_test(test_barrier_votes),
        cmocka_unit_test(test_shuffles),
        cmocka_unit_test(test_shuffle_types),
        cmocka_unit_test(test_half_warps),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_unwritten_memory),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_intrinsics),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
