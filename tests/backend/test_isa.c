/* SPECREJ_MAX_ISA holds the kernels to less than the processor has, and never to more. */
#include "backend/cpu/cpu.h"
#include "backend/fixture.h"
#include "backend/isa_here.h"

static void set(const char *value)
{
    assert_int_equal(value ? setenv(ISA_VARIABLE, value, 1) : unsetenv(ISA_VARIABLE), 0);
}

static void test_held_down(void **state)
{
    (void)state;
    set(NULL);
    enum isa most = isa_here();
    printf("%s\n", isa_name(most));
    for (enum isa asked = ISA_PORTABLE; asked <= ISA_AMX; asked++) {
        set(isa_name(asked));
        assert_int_equal(isa_here(), asked < most ? asked : most);
    }
    set(NULL);
}

static void test_kernels(void **state)
{
    (void)state;
    enum isa most = isa_here();
    for (enum isa isa = ISA_PORTABLE; isa <= most; isa++) {
        struct tiles t = tiles_choose(isa);
        assert_true(t.f32 && t.round && t.rows >= 1 && t.rows <= TILE_MOST_ROWS);
        assert_true((t.bf16 != NULL) == (isa >= ISA_AVX512_BF16));
        assert_true((t.chunk != NULL) == (isa >= ISA_AVX512_BF16));
        assert_true((t.deep != NULL) == (isa >= ISA_AMX));
    }
}

static void test_unknown(void **state)
{
    (void)state;
    struct err e = {{0}};
    enum isa isa;
    set("avx1024");
    assert_true(isa_most(&isa, &e) < 0);
    assert_string_equal(e.text, "SPECREJ_MAX_ISA is \"avx1024\"; set it to portable, avx2, avx512, "
                                "avx512-bf16 or amx");
    assert_null(backend_cpu_create(world, DTYPE_NONE, 1, &e));
    set(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_held_down),
    cmocka_unit_test(test_kernels),
    cmocka_unit_test(test_unknown),
};
RUN_TESTS(tests)
