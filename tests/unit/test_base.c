/* base: error text, checked memory, JSON reading, hashes, messages, clock. */
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/span.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- err ---- */

static void err_text(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, "key '%s' is %d", "n", 7), -1);
    assert_string_equal(e.text, "key 'n' is 7");
    assert_int_equal(err_context(&e, "while reading %s: ", "job.yaml"), -1);
    assert_string_equal(e.text, "while reading job.yaml: key 'n' is 7");
}

/* Too long a text is cut at the end, never written beyond. */
/* A name out of somebody's file is neither a line of its own nor a command to the terminal. */
static void err_text_has_no_control_characters(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, "tensor '%s'", "a\nb\x1b[31m\x7f\t");
    assert_string_equal(e.text, "tensor 'a b?[31m? '");
    err_context(&e, "%s: ", "file\r");
    assert_string_equal(e.text, "file : tensor 'a b?[31m? '");
}

static void err_text_is_bounded(void **state)
{
    (void)state;
    struct {
        struct err e;
        char guard[8];
    } s = {.guard = "guarded"};
    char *text = mem_calloc(2000, 1);
    memset(text, 'x', 1999);
    err_set(&s.e, "%s", text);
    assert_int_equal(strlen(s.e.text), sizeof s.e.text - 1);
    err_context(&s.e, "file: ");
    assert_int_equal(strlen(s.e.text), sizeof s.e.text - 1);
    assert_memory_equal(s.e.text, "file: xxx", 9);
    err_context(&s.e, "%s", text);
    assert_int_equal(strlen(s.e.text), sizeof s.e.text - 1);
    assert_string_equal(s.guard, "guarded");
    free(text);
}

static int fail_on(int k, int *reached, struct err *e)
{
    *reached = 1;
    TRY(k == 1 ? err_set(e, "first") : 0);
    *reached = 2;
    int rc = -1;
    TRY_GOTO(k == 2 ? err_set(e, "second") : 0, done);
    *reached = 3;
    rc = 0;
done:
    return rc;
}

static void try_leaves_at_the_failure(void **state)
{
    (void)state;
    for (int k = 1; k <= 3; k++) {
        struct err e = {0};
        int reached = 0;
        assert_int_equal(fail_on(k, &reached, &e), k == 3 ? 0 : -1);
        assert_int_equal(reached, k);
        assert_string_equal(e.text, k == 1 ? "first" : k == 2 ? "second" : "");
    }
}

/* Run f in a child; what it wrote to stderr into text, its exit status returned (128 + signal). */
static int run_child(void (*f)(void), char *text, size_t size)
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        f();
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fds[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void hook(void)
{
    _exit(7);
}

static void dies_with_hook(void)
{
    log_setup(3, LOG_INFO);
    die_hook = hook;
    ENSURE(1 + 1 == 3);
}

static void dies_of_calloc(void)
{
    die_hook = hook;
    volatile size_t huge = SIZE_MAX / 2;
    free(mem_calloc(huge, 4));
}

static void dies_of_realloc(void)
{
    die_hook = hook;
    volatile size_t huge = SIZE_MAX / 2;
    free(mem_realloc(NULL, huge, 4));
}

static void dies_of_narrowing(void)
{
    die_hook = hook;
    volatile int64_t wide = (int64_t)INT32_MAX + 1;
    fprintf(stderr, "%d", to_i32(wide));
}

static void quits_without_hook(void)
{
    log_setup(2, LOG_INFO);
    mem_exhausted("a hash");
}

/* Nobody's fault: an error message and status 1, not a core. */
static void what_nobody_can_act_on_ends_the_job(void **state)
{
    (void)state;
    char text[1000];
    assert_int_equal(run_child(quits_without_hook, text, sizeof text), 1);
    assert_non_null(strstr(text, "specrej: error: [rank 2/"));
    assert_non_null(strstr(text, "out of memory: a hash"));
}

static void broken_promises_end_the_job(void **state)
{
    (void)state;
    char text[1000];
    assert_int_equal(run_child(dies_with_hook, text, sizeof text), 7);
    assert_non_null(strstr(text, "[rank 3/"));
    assert_non_null(strstr(text, "test_base.c:"));
    assert_non_null(strstr(text, "1 + 1 == 3 does not hold"));
    assert_int_equal(run_child(dies_of_calloc, text, sizeof text), 7);
    assert_non_null(strstr(text, "out of memory"));
    assert_int_equal(run_child(dies_of_realloc, text, sizeof text), 7);
    assert_non_null(strstr(text, "out of memory"));
    assert_int_equal(run_child(dies_of_narrowing, text, sizeof text), 7);
    assert_non_null(strstr(text, "does not hold"));
}

/* ---- log ---- */

static void speaks_as_rank_0(void)
{
    log_setup(0, LOG_INFO);
    log0(LOG_INFO, "plain %d", 1);
    log0(LOG_WARN, "careful");
    log0(LOG_DEBUG, "hidden");
}

static void speaks_as_rank_5(void)
{
    log_setup(5, LOG_WARN);
    log0(LOG_ERROR, "not mine");
    logr(LOG_INFO, "hidden");
    logr(LOG_ERROR, "broken");
}

static void messages_by_level_and_rank(void **state)
{
    (void)state;
    char text[1000];
    run_child(speaks_as_rank_0, text, sizeof text);
    assert_string_equal(text, "specrej: plain 1\nspecrej: warning: careful\n");
    run_child(speaks_as_rank_5, text, sizeof text);
    assert_memory_equal(text, "specrej: [5/", 12);
    assert_non_null(strstr(text, "] error: broken\n"));
    assert_null(strstr(text, "hidden"));
    assert_null(strstr(text, "not mine"));
}

/* ---- mem ---- */

static void memory(void **state)
{
    (void)state;
    char *empty = mem_calloc(0, 8), *s = mem_strndup("abcdef", 3), *t = mem_printf("%s-%03d", s, 7);
    assert_non_null(empty);
    assert_string_equal(s, "abc");
    assert_string_equal(t, "abc-007");
    free(empty);
    free(s);
    free(t);
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4097};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = mem_try_aligned(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(p[k], 0);
        free(p);
    }
    volatile size_t most = SIZE_MAX;
    assert_null(mem_try_aligned(most));
    assert_null(mem_try_aligned(most - 63));
    assert_int_equal(to_i32(INT32_MIN), INT32_MIN);
    assert_int_equal(to_int(INT32_MAX), INT32_MAX);
}

static void arrays_grow(void **state)
{
    (void)state;
    struct {
        int32_t *items;
        size_t n, cap;
    } a = {0};
    for (int32_t i = 0; i < 1000; i++) ARRAY_PUSH(a, i * i);
    assert_int_equal(a.n, 1000);
    assert_true(a.cap >= 1000);
    for (int32_t i = 0; i < 1000; i++) assert_int_equal(a.items[i], i * i);
    ARRAY_RESERVE(a, 5000);
    assert_true(a.cap >= 5000);
    assert_int_equal(a.items[999], 999 * 999);
    free(a.items);
}

/* ---- json ---- */

#define OBJECT                                                                                     \
    "{\"i\": -5, \"f\": 0.5, \"b\": true, \"s\": \"x\", \"n\": null, \"a\": [], \"o\": {}}"

static void json_values(void **state)
{
    (void)state;
    json_t *o = json_loads(OBJECT, 0, NULL);
    struct err e = {0};
    int64_t i;
    double f;
    bool b;
    const char *s;
    assert_int_equal(json_get_i64(o, "x.json", "i", &i, &e), 0);
    assert_int_equal(i, -5);
    assert_int_equal(json_get_i64_or(o, "x.json", "absent", 9, &i, &e), 0);
    assert_int_equal(i, 9);
    assert_int_equal(json_get_i64_or(o, "x.json", "n", 8, &i, &e), 0);
    assert_int_equal(i, 8);
    assert_int_equal(json_get_f64_or(o, "x.json", "f", 0, &f, &e), 0);
    assert_true(f == 0.5);
    assert_int_equal(json_get_f64_or(o, "x.json", "i", 0, &f, &e), 0);
    assert_true(f == -5.0);
    assert_int_equal(json_get_bool_or(o, "x.json", "b", false, &b, &e), 0);
    assert_true(b);
    assert_int_equal(json_get_bool_or(o, "x.json", "absent", true, &b, &e), 0);
    assert_true(b);
    assert_int_equal(json_get_str(o, "x.json", "s", &s, &e), 0);
    assert_string_equal(s, "x");
    assert_int_equal(json_get_str_or(o, "x.json", "absent", NULL, &s, &e), 0);
    assert_null(s);
    assert_string_equal(e.text, "");
    json_decref(o);
}

static void json_refusals(void **state)
{
    (void)state;
    json_t *o = json_loads(OBJECT, 0, NULL);
    struct err e = {0};
    int64_t i = 77;
    double f;
    bool b;
    const char *s;
    assert_int_equal(json_get_i64(o, "x.json", "absent", &i, &e), -1);
    assert_string_equal(e.text, "x.json: key 'absent' is missing");
    assert_int_equal(json_get_i64(o, "x.json", "n", &i, &e), -1);
    assert_string_equal(e.text, "x.json: key 'n' is missing");
    assert_int_equal(json_get_i64(o, "x.json", "f", &i, &e), -1);
    assert_string_equal(e.text, "x.json: key 'f' is a number, expected an integer");
    assert_int_equal(i, 77);
    assert_int_equal(json_get_i64_or(o, "x.json", "s", 1, &i, &e), -1);
    assert_string_equal(e.text, "x.json: key 's' is a string, expected an integer");
    assert_int_equal(json_get_f64_or(o, "x.json", "a", 1, &f, &e), -1);
    assert_string_equal(e.text, "x.json: key 'a' is an array, expected a number");
    assert_int_equal(json_get_bool_or(o, "x.json", "o", true, &b, &e), -1);
    assert_string_equal(e.text, "x.json: key 'o' is an object, expected true or false");
    assert_int_equal(json_get_str(o, "x.json", "b", &s, &e), -1);
    assert_string_equal(e.text, "x.json: key 'b' is a boolean, expected a string");
    assert_int_equal(json_get_str(NULL, "x.json", "s", &s, &e), -1);
    assert_string_equal(e.text, "x.json: key 's' is missing");
    json_decref(o);
}

static void refuses_file(const char *text, size_t n, const char *expected)
{
    char path[] = "/tmp/specrej-base-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
    struct err e = {0};
    assert_null(json_open(path, &e));
    unlink(path);
    assert_non_null(strstr(e.text, path));
    if (!strstr(e.text, expected)) fail_msg("'%s' does not contain '%s'", e.text, expected);
}

static void json_files(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(json_open("/nonexistent/x.json", &e));
    assert_non_null(strstr(e.text, "/nonexistent/x.json"));
    assert_non_null(strstr(e.text, "No such file"));
    refuses_file("{\n\"a\": 1,\n}", 11, ":3:");
    refuses_file("{\"a\": \"\xff\"}", 10, "decode byte 0xff");
    refuses_file("{\"a\": 1", 7, ":1:");
    refuses_file("{\"a\": 99999999999999999999}", 27, "too big integer");
    refuses_file("", 0, "not valid JSON");
}

/* ---- file ---- */

static void files_that_are_there(void **state)
{
    (void)state;
    struct err e = {0};
    bool exists;
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(file_exists("/dev/null", &exists, &e), 0);
    assert_true(exists);
    assert_int_equal(file_exists("/dev/null/x", &exists, &e), 0);
    assert_false(exists);
    assert_int_equal(file_exists_in("/tmp", "no such file", &exists, &e), 0);
    assert_false(exists);
    assert_int_equal(file_exists_in("/tmp", name, &exists, &e), -1);
    assert_non_null(strstr(e.text, "File name too long"));
    assert_int_equal(file_read_start(-1, name, 1), -1);
    assert_int_equal(file_write_all(-1, name, 1), -1);
}

/* ---- hash, clock, span ---- */

static void times_as_texts(void **state)
{
    (void)state;
    static const struct {
        double s;
        const char *text;
    } cases[] = {{0, "0 ms"},     {0.3504, "350 ms"},  {1, "1.00 s"},    {9.53, "9.53 s"},
                 {10, "10.0 s"},  {119, "119.0 s"},    {120, "2.0 min"}, {7199, "120.0 min"},
                 {7200, "2.0 h"}, {360000, "100.0 h"}, {NAN, "-"},       {INFINITY, "-"}};
    char text[24];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(clock_text(text, cases[i].s), cases[i].text);
    assert_string_equal(clock_date(text, 951782400), "2000-02-29 00:00 UTC");
    assert_string_equal(clock_date(text, 253402300799), "9999-12-31 23:59 UTC");
    const double none[] = {-1, 0, 253402300800, 2.17e179, INFINITY, NAN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_string_equal(clock_date(text, none[i]), "?");
}

static void hashes(void **state)
{
    (void)state;
    char whole[HASH_HEX], parts[HASH_HEX], other[HASH_HEX];
    hash_bytes("", 0, whole);
    assert_string_equal(whole,
                        "99aa06d3014798d86001c324468d497f"); /* XXH3-128 of nothing, seed 0 */
    char data[1000];
    for (int i = 0; i < 1000; i++) data[i] = (char)(i * 37);
    hash_bytes(data, sizeof data, whole);
    struct hash *h = hash_create();
    hash_add(h, data, 1);
    hash_add(h, data + 1, 500);
    hash_add(h, data + 501, 499);
    hash_finish(h, parts);
    assert_string_equal(whole, parts);
    h = hash_create();
    hash_add_text(h, "a");
    hash_add_text(h, "b");
    hash_finish(h, parts);
    h = hash_create();
    hash_add_text(h, "ab");
    hash_add_text(h, "");
    hash_finish(h, other);
    assert_string_not_equal(parts, other);
}

static void clocks_and_spans(void **state)
{
    (void)state;
    int64_t a = clock_ns(), b = clock_ns();
    assert_true(b >= a);
    assert_true(clock_unix_s() > 1.6e9);
    assert_string_equal(span_name(SPAN_LOAD), "load");
    assert_string_equal(span_name(SPAN_COMMIT), "commit");
    assert_string_equal(span_name(SPAN_PHASES), "?");
}

/* AddressSanitizer: sizes that cannot be had are what this test asks for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_text),
        cmocka_unit_test(err_text_is_bounded),
        cmocka_unit_test(err_text_has_no_control_characters),
        cmocka_unit_test(try_leaves_at_the_failure),
        cmocka_unit_test(broken_promises_end_the_job),
        cmocka_unit_test(what_nobody_can_act_on_ends_the_job),
        cmocka_unit_test(messages_by_level_and_rank),
        cmocka_unit_test(memory),
        cmocka_unit_test(arrays_grow),
        cmocka_unit_test(json_values),
        cmocka_unit_test(json_refusals),
        cmocka_unit_test(json_files),
        cmocka_unit_test(files_that_are_there),
        cmocka_unit_test(hashes),
        cmocka_unit_test(clocks_and_spans),
        cmocka_unit_test(times_as_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
