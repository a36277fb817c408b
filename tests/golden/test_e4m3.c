/* Numbers of e4m3: every number of f32 narrowed, every code widened, against torch (make_e4m3.py)
 * and against what the format's definition says. */
#include "backend/e4m3.h"

#include "backend/fixture.h"
#include "base/json.h"

enum { CODES = 127 }; /* without a sign and NaN */

/* By the definition: 4 bits of exponent, bias 7, 3 of fraction. */
static double value_of(int code)
{
    return code < 8 ? ldexp(code, -9) : ldexp(8 + code % 8, code / 8 - 10);
}

/* The bits of the smallest number that rounds to `code` or beyond: half way from the code below, or
 * just after where the tie goes there, to the even one. */
static uint32_t first_by_definition(int code)
{
    double middle = (value_of(code - 1) + value_of(code)) / 2;
    return fm_bits((float)middle) + (uint32_t)(code % 2);
}

struct golden {
    uint32_t first[CODES + 1]; /* of 0, 1, ... 126, and where NaN begins */
    json_t *value;             /* of the 256 codes, null: NaN */
    json_t *root;
};

static struct golden golden_open(void)
{
    struct err e = {{0}};
    struct golden g = {.root = json_open(TESTS_DIR "/golden/e4m3.json", &e)};
    if (!g.root) fail_msg("%s", e.text);
    json_t *first = json_object_get(g.root, "first");
    g.value = json_object_get(g.root, "value");
    assert_int_equal(json_array_size(first), CODES - 1);
    assert_int_equal(json_array_size(g.value), 256);
    for (size_t i = 1; i < CODES; i++)
        g.first[i] = (uint32_t)json_integer_value(json_array_get(first, i - 1));
    g.first[CODES] = 0x7f800001u;
    return g;
}

static void test_references_agree(void **state)
{
    (void)state;
    struct golden g = golden_open();
    for (int code = 1; code < CODES; code++)
        assert_int_equal(g.first[code], first_by_definition(code));
    json_decref(g.root);
}

/* Do all numbers of [begin, end) have `code`, and with a sign the same with a sign? */
static bool all_are(uint32_t begin, uint32_t end, uint32_t step, uint8_t code)
{
    uint32_t wrong = 0;
    for (uint32_t u = begin; u < end; u += step) {
        wrong |= (uint32_t)(e4m3_narrow(fm_from_bits(u)) ^ code);
        wrong |= (uint32_t)(e4m3_narrow(fm_from_bits(u | 0x80000000u)) ^ (code | 0x80));
    }
    return wrong == 0;
}

/* All numbers; every 257th and the ends where the build is slow. */
static void test_narrow(void **state)
{
    (void)state;
#if defined __OPTIMIZE__ && !defined __SANITIZE_ADDRESS__
    const uint32_t step = 1;
#else
    const uint32_t step = 257;
#endif
    struct golden g = golden_open();
    for (int code = 0; code < CODES; code++) {
        uint32_t begin = g.first[code], end = g.first[code + 1];
        assert_true(all_are(begin, end, step, (uint8_t)code));
        assert_true(all_are(end - 1, end, 1, (uint8_t)code));
    }
    for (uint32_t u = 0x7f800001u; u < 0x80000000u - 997; u += 997) {
        assert_int_equal(e4m3_narrow(fm_from_bits(u)), 0x7f);
        assert_int_equal(e4m3_narrow(fm_from_bits(u | 0x80000000u)), 0x7f);
    }
    json_decref(g.root);
}

static void test_widen(void **state)
{
    (void)state;
    struct golden g = golden_open();
    for (int code = 0; code < 256; code++) {
        uint8_t v = (uint8_t)code;
        float got;
        dtype_widen(&got, &v, DTYPE_ID_FP8, 1);
        json_t *want = json_array_get(g.value, (size_t)code);
        if ((code & 0x7f) == 0x7f) {
            assert_true(got != got && json_is_null(want));
            continue;
        }
        double defined = value_of(code & 0x7f);
        assert_true((double)got == json_number_value(want));
        assert_true((double)got == (code & 0x80 ? -defined : defined));
        assert_int_equal(signbit(got) != 0, code >= 0x80);
        uint8_t back;
        dtype_narrow(&back, &got, DTYPE_ID_FP8, 1);
        assert_int_equal(back, code);
    }
    json_decref(g.root);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_references_agree),
    cmocka_unit_test(test_narrow),
    cmocka_unit_test(test_widen),
};
RUN_TESTS(tests)
