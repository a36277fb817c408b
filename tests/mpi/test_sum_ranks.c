/* Sums across ranks: in rank order, whatever the size of the message. */
#include "backend/fixture.h"

#include "base/mem.h"

static void test_order(void **state)
{
    (void)state;
    enum { N = 100003 };
    int ranks = comm_size(world);
    struct backend *b = backend_for_test(DTYPE_ID_F32, 1);
    float *x = device_memory(b, N, DTYPE_ID_F32), *got = mem_calloc(N, sizeof *got),
          *want = mem_calloc(N, sizeof *want), *term = mem_calloc(N, sizeof *term);
    static const int64_t sizes[] = {1, 7, 1000, 33333, N};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int r = 0; r < ranks; r++) {
            fill_random(term, N, 10 + (uint64_t)r);
            for (int64_t j = 0; j < N; j++) want[j] = r == 0 ? term[j] : want[j] + term[j];
        }
        fill_random(term, N, 10 + (uint64_t)comm_rank(world));
        put_at(b, x, 0, term, N, DTYPE_ID_F32);
        b->ops->sum_ranks(b, x, sizes[i]);
        get(b, got, x, sizes[i], DTYPE_ID_F32);
        assert_memory_equal(got, want, (size_t)sizes[i] * sizeof *got);
    }
    b->ops->free(b, x);
    free(got);
    free(want);
    free(term);
    backend_destroy(b);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
RUN_TESTS(tests)
