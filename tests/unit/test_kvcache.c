/* Pages: reference counts, budget, lists; random operations against a model that counts naively. */
#include "base/mem.h"
#include "base/rng.h"
#include "decode/kvcache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A backend that only notes which page was copied. */
static int32_t copied_to, copied_from;

static void note_copy(struct backend *b, struct kv_pool *kv, int32_t dst, int32_t src)
{
    (void)b;
    (void)kv;
    copied_to = dst;
    copied_from = src;
}

static const struct backend_ops ops = {.kv_copy = note_copy};
static struct backend backend = {.ops = &ops};
static struct model model = {.backend = &backend};

static void takes_and_gives_back(void **state)
{
    (void)state;
    struct kvcache *k = kvcache_create(&model, 3);
    assert_int_equal(kvcache_budget(k), 3);
    int32_t a = kvcache_take(k), b = kvcache_take(k), c = kvcache_take(k);
    assert_true(a >= 0 && b >= 0 && c >= 0 && a != b && b != c && a != c && a < 3 && b < 3 &&
                c < 3);
    assert_int_equal(kvcache_take(k), -1);
    assert_int_equal(kvcache_used(k), 3);
    assert_int_equal(kvcache_free(k), 0);
    kvcache_retain(k, b);
    kvcache_release(k, b);
    assert_int_equal(kvcache_used(k), 3); /* somebody else holds it */
    kvcache_release(k, b);
    assert_int_equal(kvcache_used(k), 2);
    assert_int_equal(kvcache_take(k), b);
    kvcache_release(k, a);
    kvcache_release(k, b);
    kvcache_release(k, c);
    assert_int_equal(kvcache_used(k), 0);
    assert_int_equal(kvcache_peak(k), 3);
    kvcache_destroy(k);
    kvcache_destroy(NULL);
}

static void budget(void **state)
{
    (void)state;
    struct kvcache *k = kvcache_create(&model, 8);
    kvcache_set_budget(k, 100); /* never more than the pool */
    assert_int_equal(kvcache_budget(k), 8);
    kvcache_set_budget(k, 2);
    int32_t a = kvcache_take(k), b = kvcache_take(k);
    assert_int_equal(kvcache_take(k), -1);
    assert_int_equal(kvcache_copy(k, a), -1);
    kvcache_retain(k, a); /* sharing costs nothing */
    assert_int_equal(kvcache_free(k), 0);
    kvcache_set_budget(k, 1);
    assert_int_equal(kvcache_free(k), -1);
    kvcache_release(k, b);
    assert_int_equal(kvcache_take(k), -1);
    kvcache_set_budget(k, 2);
    copied_to = copied_from = -1;
    int32_t c = kvcache_copy(k, a);
    assert_true(c >= 0 && c != a);
    assert_int_equal(copied_to, c);
    assert_int_equal(copied_from, a);
    kvcache_release(k, a);
    kvcache_release(k, a);
    kvcache_release(k, c);
    assert_int_equal(kvcache_used(k), 0);
    kvcache_destroy(k);
}

static void lists(void **state)
{
    (void)state;
    struct kvcache *k = kvcache_create(&model, 4);
    struct page_list l = {0}, other = {0};
    assert_int_equal(page_list_grow(&l, k, 0), 0);
    assert_int_equal(l.n, 0);
    assert_int_equal(page_list_grow(&l, k, 1), 0);
    assert_int_equal(page_list_grow(&l, k, PAGE_TOKENS), 0);
    assert_int_equal(l.n, 1);
    int32_t first = l.items[0];
    assert_int_equal(page_list_grow(&l, k, PAGE_TOKENS + 1), 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.items[0], first);
    assert_int_equal(page_list_grow(&l, k, 1), 0); /* growing never shrinks */
    assert_int_equal(l.n, 2);
    assert_int_equal(page_list_grow(&other, k, 3 * PAGE_TOKENS), -1); /* as far as it got */
    assert_int_equal(other.n, 2);
    assert_int_equal(kvcache_free(k), 0);
    page_list_shrink(&l, k, PAGE_TOKENS + 1);
    assert_int_equal(l.n, 2);
    page_list_shrink(&l, k, PAGE_TOKENS);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.items[0], first);
    page_list_shrink(&l, k, 0);
    assert_int_equal(kvcache_used(k), 2);
    page_list_free(&other, k);
    page_list_free(&l, k);
    page_list_free(&l, k);
    assert_int_equal(kvcache_used(k), 0);
    kvcache_destroy(k);
}

/* ---- random operations ---- */

#define PAGES 24
#define LISTS 7
#define STEPS 40000

struct naive {
    struct kvcache *k;
    struct page_list lists[LISTS];
    int64_t budget, peak;
    uint32_t draws;
};

static int64_t pick(struct naive *w, int64_t below)
{
    return philox4x32(5, w->draws++, 0, 0, 0).word[0] % below;
}

/* Pages that any list holds, counted anew. */
static int64_t count_used(const struct naive *w, int32_t refs[PAGES])
{
    int64_t used = 0;
    memset(refs, 0, PAGES * sizeof *refs);
    for (int i = 0; i < LISTS; i++)
        for (size_t p = 0; p < w->lists[i].n; p++) refs[w->lists[i].items[p]]++;
    for (int p = 0; p < PAGES; p++) used += refs[p] > 0;
    return used;
}

/* The list becomes a fork: full pages shared, the last one copied. */
static void fork_list(struct naive *w, struct page_list *child, const struct page_list *parent)
{
    page_list_shrink(child, w->k, 0);
    for (size_t p = 0; p + 1 < parent->n; p++) {
        kvcache_retain(w->k, parent->items[p]);
        ARRAY_PUSH(*child, parent->items[p]);
    }
    if (parent->n == 0) return;
    int32_t refs[PAGES];
    int64_t used = count_used(w, refs);
    int32_t page = kvcache_copy(w->k, parent->items[parent->n - 1]);
    assert_int_equal(page < 0, used >= w->budget);
    if (page < 0) return;
    assert_int_equal(refs[page], 0);
    ARRAY_PUSH(*child, page);
}

static void grow_list(struct naive *w, struct page_list *l, int64_t tokens)
{
    int32_t refs[PAGES];
    int64_t used = count_used(w, refs),
            want = (tokens + PAGE_TOKENS - 1) / PAGE_TOKENS - (int64_t)l->n;
    int64_t room = w->budget > used ? w->budget - used : 0;
    size_t before = l->n;
    assert_int_equal(page_list_grow(l, w->k, tokens), want > room ? -1 : 0);
    for (size_t p = before; p < l->n; p++)
        assert_int_equal(refs[l->items[p]], 0); /* nobody else's */
    if (want > 0) assert_int_equal(l->n - before, want > room ? room : want);
}

static void random_operations(void **state)
{
    (void)state;
    struct naive w = {.k = kvcache_create(&model, PAGES), .budget = PAGES};
    int32_t refs[PAGES];
    for (int step = 0; step < STEPS; step++) {
        struct page_list *l = &w.lists[pick(&w, LISTS)], *other = &w.lists[pick(&w, LISTS)];
        int64_t tokens = pick(&w, 8 * PAGE_TOKENS);
        switch (pick(&w, 5)) {
        case 0:
        case 1:
            grow_list(&w, l, tokens);
            break;
        case 2:
            page_list_shrink(l, w.k, tokens / 2);
            break;
        case 3:
            if (l != other) fork_list(&w, l, other);
            break;
        case 4:
            w.budget = pick(&w, PAGES + 1);
            kvcache_set_budget(w.k, w.budget);
            break;
        }
        int64_t used = count_used(&w, refs);
        assert_int_equal(kvcache_used(w.k), used);
        assert_int_equal(kvcache_free(w.k), w.budget - used);
        assert_true(kvcache_peak(w.k) >= used);
    }
    for (int i = 0; i < LISTS; i++) page_list_free(&w.lists[i], w.k);
    assert_int_equal(kvcache_used(w.k), 0);
    kvcache_set_budget(w.k, PAGES);
    assert_int_equal(page_list_grow(&w.lists[0], w.k, PAGES * PAGE_TOKENS), 0); /* none was lost */
    page_list_free(&w.lists[0], w.k);
    kvcache_destroy(w.k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_gives_back),
        cmocka_unit_test(budget),
        cmocka_unit_test(lists),
        cmocka_unit_test(random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
