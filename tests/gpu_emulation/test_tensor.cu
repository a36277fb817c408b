/* What kernels/ptx.cuh wraps, and the 16-bit types: against naive products and exact arithmetic. */
#include "test_emulation.h"

#include <cmath>

/* ---- 16-bit numbers ---- */

/* |x - n / 2^s| for all numbers of the type: a conversion must give the nearest, of two the even.
 */
template <typename T, uint16_t infinity> static void check_rounding(float x)
{
    auto value = [](uint16_t bits) {
        if (bits == infinity) return std::ldexp(1.0, infinity == 0x7c00 ? 16 : 128);
        T t;
        memcpy(&t, &bits, sizeof t);
        return static_cast<double>(static_cast<float>(t));
    };
    T converted(x);
    uint16_t got, magnitude;
    memcpy(&got, &converted, sizeof got);
    magnitude = got & 0x7fff;
    assert_int_equal(got >> 15, std::signbit(x));
    double exact = std::fabs(static_cast<double>(x)), off = std::fabs(value(magnitude) - exact);
    assert_true(magnitude <= infinity);
    if (magnitude > 0) {
        double below = std::fabs(value(static_cast<uint16_t>(magnitude - 1)) - exact);
        assert_true(off < below || (off == below && !(magnitude & 1)));
    }
    if (magnitude < infinity) {
        double above = std::fabs(value(static_cast<uint16_t>(magnitude + 1)) - exact);
        assert_true(off < above || (off == above && !(magnitude & 1)));
    }
}

static void test_conversions(void **)
{
    for (uint32_t bits = 0; bits < 0x10000;
         bits++) { /* every 16-bit number survives a round trip */
        __half h = __ushort_as_half(static_cast<uint16_t>(bits));
        __nv_bfloat16 b = __ushort_as_bfloat16(static_cast<uint16_t>(bits));
        bool is_half_nan = (bits & 0x7fff) > 0x7c00, is_nan = (bits & 0x7fff) > 0x7f80;
        assert_int_equal(__half_as_ushort(__float2half(__half2float(h))),
                         is_half_nan ? 0x7fff : bits);
        assert_int_equal(__bfloat16_as_ushort(__float2bfloat16(__bfloat162float(b))),
                         is_nan ? 0x7fff : bits);
    }
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t bits = i & 1 ? random : (random & 0xfffff000) | 0x1000; /* and ties */
        float x = __uint_as_float(bits);
        if (std::isfinite(x)) check_rounding<__nv_bfloat16, 0x7f80>(x);
        float small = std::ldexp(x, -((static_cast<int>(bits >> 23 & 255) - 127) * 7 / 8));
        if (std::isfinite(small)) check_rounding<__half, 0x7c00>(small);
    }
    for (float x :
         {65503.9f, 65504.0f, 65519.99f, 65520.0f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0.0f, -0.0f})
        check_rounding<__half, 0x7c00>(x);
}

/* ---- mma ---- */

/* a [16, 16], b [16, 8], d [16, 8], row-major, loaded as the PTX ISA's figures have it. */
template <typename T>
static __global__ void mma_kernel(float *d, const T *a, const T *b, const float *c)
{
    int row = static_cast<int>(threadIdx.x) / 4, pair = static_cast<int>(threadIdx.x) % 4 * 2;
    auto two = [](T low, T high) {
        uint16_t bits[2];
        memcpy(&bits[0], &low, 2);
        memcpy(&bits[1], &high, 2);
        return static_cast<uint32_t>(bits[0]) | static_cast<uint32_t>(bits[1]) << 16;
    };
    uint32_t fragment[4], b0, b1;
    for (int i = 0; i < 4; i++) {
        const T *at = a + (row + i % 2 * 8) * 16 + pair + i / 2 * 8;
        fragment[i] = two(at[0], at[1]);
    }
    b0 = two(b[pair * 8 + row], b[(pair + 1) * 8 + row]);
    b1 = two(b[(pair + 8) * 8 + row], b[(pair + 9) * 8 + row]);
    float sum[4];
    for (int i = 0; i < 4; i++) sum[i] = c[(row + i / 2 * 8) * 8 + pair + i % 2];
    mma_m16n8k16<T>(sum, fragment, b0, b1);
    for (int i = 0; i < 4; i++) d[(row + i / 2 * 8) * 8 + pair + i % 2] = sum[i];
}

template <typename T> static void check_mma()
{
    std::vector<T> a, b;
    std::vector<float> c;
    for (int i = 0; i < 256; i++) a.push_back(T(static_cast<float>((i * 37 + 11) % 64 - 32) / 8));
    for (int i = 0; i < 128; i++) b.push_back(T(static_cast<float>((i * 53 + 5) % 32 - 16) / 4));
    for (int i = 0; i < 128; i++) c.push_back(static_cast<float>(i));
    for (bool is_permuted : {false, true}) { /* a row's bits must not depend on its place */
        std::vector<T> rows = a;
        if (is_permuted)
            for (size_t i = 0; i < 256; i++) rows[i] = a[(15 - i / 16) * 16 + i % 16];
        device_array<T> a_on(rows), b_on(b);
        device_array<float> c_on(c), d(128);
        LAUNCH((mma_kernel<T>), 1, 32, 0, nullptr, d.p, a_on.p, b_on.p, c_on.p);
        CHECK(cudaGetLastError());
        std::vector<float> got = d.get();
        for (size_t m = 0; m < 16; m++)
            for (size_t n = 0; n < 8; n++) {
                float exact = c[m * 8 + n]; /* small integers over 32: no rounding anywhere */
                for (size_t k = 0; k < 16; k++)
                    exact +=
                        static_cast<float>(rows[m * 16 + k]) * static_cast<float>(b[k * 8 + n]);
                assert_true(got[m * 8 + n] == exact);
            }
    }
}

static void test_mma(void **)
{
    check_mma<__nv_bfloat16>();
    check_mma<__half>();
}

/* ---- ldmatrix ---- */

static __global__ void ldmatrix_kernel(uint32_t *out, bool is_transposed)
{
    DYNAMIC_SHARED(uint16_t, tile); /* [32, 8 + 8]: rows 32 bytes apart */
    for (unsigned i = threadIdx.x; i < 32 * 16; i += 32) tile[i] = static_cast<uint16_t>(i);
    __syncwarp();
    uint32_t r[4];
    if (is_transposed)
        ldmatrix_x4_trans(r, tile + threadIdx.x * 16);
    else
        ldmatrix_x4(r, tile + threadIdx.x * 16);
    for (int m = 0; m < 4; m++) out[threadIdx.x * 4 + static_cast<unsigned>(m)] = r[m];
}

static void test_ldmatrix(void **)
{
    for (bool is_transposed : {false, true}) {
        device_array<uint32_t> out(128);
        LAUNCH(ldmatrix_kernel, 1, 32, 1024, nullptr, out.p, is_transposed);
        CHECK(cudaGetLastError());
        std::vector<uint32_t> got = out.get();
        for (uint32_t lane = 0; lane < 32; lane++)
            for (uint32_t m = 0; m < 4; m++)
                for (uint32_t i = 0; i < 2; i++) {
                    uint32_t row = lane / 4, column = lane % 4 * 2 + i;
                    if (is_transposed) std::swap(row, column);
                    assert_int_equal(got[lane * 4 + m] >> (16 * i) & 0xffff,
                                     (m * 8 + row) * 16 + column);
                }
    }
}

/* ---- cp.async ---- */

/* Three groups; after a wait for all but `newest`, the first 3 - newest are there. */
template <int newest> static __global__ void copy_kernel(uint32_t *out, const uint4 *in)
{
    __shared__ uint4 tile[3];
    for (int i = 0; i < 3; i++) {
        cp_async_16_or_zero(&tile[i], &in[i], i != 1);
        cp_async_commit();
    }
    cp_async_wait<newest>();
    for (int i = 0; i < 3; i++) out[i] = tile[i].x;
    cp_async_wait<0>();
}

static std::vector<uint32_t> copy_groups(int newest)
{
    std::vector<uint4> in(3, make_uint4(7, 7, 7, 7));
    device_array<uint4> in_on(in);
    device_array<uint32_t> out(3);
    if (newest == 0)
        LAUNCH((copy_kernel<0>), 1, 1, 0, nullptr, out.p, in_on.p);
    else if (newest == 1)
        LAUNCH((copy_kernel<1>), 1, 1, 0, nullptr, out.p, in_on.p);
    else
        LAUNCH((copy_kernel<3>), 1, 1, 0, nullptr, out.p, in_on.p);
    CHECK(cudaGetLastError());
    return out.get();
}

static void test_copy_async(void **)
{
    bool has_late[3] = {};
    for (int seed = 0; seed < 16; seed++) {
        set_seed(seed);
        const uint32_t there[3] = {7, 0, 7};
        std::vector<uint32_t> all = copy_groups(0), two = copy_groups(1), none = copy_groups(3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(all[i], there[i]);
            if (i < 2) assert_int_equal(two[i], there[i]);
            has_late[i] |= none[i] == ~0u; /* a missing wait shows under some seeds */
        }
    }
    for (bool is_late : has_late) assert_true(is_late);
}

static __global__ void stream_kernel(uint4 *out, const uint4 *in)
{
    out[threadIdx.x] = load_streaming_16(&in[threadIdx.x]);
}

static void test_load_streaming(void **)
{
    std::vector<uint4> in;
    for (uint32_t i = 0; i < 8; i++) in.push_back(make_uint4(i, i + 100, i + 200, i + 300));
    device_array<uint4> in_on(in), out(8);
    LAUNCH(stream_kernel, 1, 8, 0, nullptr, out.p, in_on.p);
    assert_memory_equal(out.get().data(), in.data(), 8 * sizeof(uint4));
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions),    cmocka_unit_test(test_mma),
        cmocka_unit_test(test_ldmatrix),       cmocka_unit_test(test_copy_async),
        cmocka_unit_test(test_load_streaming),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
