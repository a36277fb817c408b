/* Result files that somebody else made: what HDF5 can say and no writer of ours says. */
#include "base/mem.h"
#include "fuzz/result_rows.h"
#include "ref/temp.h"
#include "trace/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char *folder, *path;

static int setup(void **state)
{
    (void)state;
    folder = temp_folder();
    path = mem_printf("%s/a.h5", folder);
    struct result_rows r;
    result_rows_make(&r, 0);
    result_rows_write(&r, path);
    result_rows_free(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(path);
    temp_remove(folder);
    return 0;
}

static void refused(const char *words)
{
    struct err e = {0};
    struct trace_reader *r = trace_reader_open(path, &e);
    if (r) fail_msg("not refused: %s", words);
    if (!strstr(e.text, words)) fail_msg("'%s' does not contain '%s'", e.text, words);
}

static hid_t open_for_change(void)
{
    hid_t access = h5_access(), file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    assert_true(file >= 0);
    return file;
}

/* A number of rows that costs the file nothing, and memory for them more than any machine has. */
static void rows_without_room(void **state)
{
    (void)state;
    hid_t file = open_for_change(), data = H5Dopen2(file, "/prompts", H5P_DEFAULT);
    hsize_t rows = (hsize_t)1 << 40;
    assert_true(H5Dset_extent(data, &rows) >= 0);
    H5Dclose(data);
    H5Fclose(file);
    refused("has no room for 1099511627776 rows of /prompts");
}

/* Replace /text by a dataset of `create`. */
static void replace_text(hid_t create)
{
    hid_t file = open_for_change();
    hsize_t n = 64;
    hid_t space = H5Screate_simple(1, &n, NULL);
    assert_true(H5Ldelete(file, "/text", H5P_DEFAULT) >= 0);
    hid_t data =
        H5Dcreate2(file, "/text", H5T_NATIVE_UINT8, space, H5P_DEFAULT, create, H5P_DEFAULT);
    assert_true(data >= 0);
    H5Dclose(data);
    H5Sclose(space);
    H5Fclose(file);
}

static void bytes_of_another_file(void **state)
{
    (void)state;
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_external(create, "/etc/passwd", 0, 64) >= 0);
    replace_text(create);
    H5Pclose(create);
    refused("/text does not lie in this file");
}

static void virtual_dataset(void **state)
{
    (void)state;
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t n = 64;
    hid_t space = H5Screate_simple(1, &n, NULL);
    assert_true(H5Pset_virtual(create, space, "/tmp/other.h5", "/text", space) >= 0);
    H5Sclose(space);
    replace_text(create);
    H5Pclose(create);
    refused("/text does not lie in this file");
}

static void link_into_another_file(void **state)
{
    (void)state;
    char *other = mem_printf("%s/b.h5", folder);
    struct result_rows r;
    result_rows_make(&r, 0);
    result_rows_write(&r, other);
    result_rows_free(&r);
    hid_t file = open_for_change();
    assert_true(H5Ldelete(file, "/tokens", H5P_DEFAULT) >= 0);
    assert_true(H5Lcreate_external(other, "/tokens", file, "/tokens", H5P_DEFAULT, H5P_DEFAULT) >=
                0);
    H5Fclose(file);
    free(other);
    refused("/tokens");
}

static void text_without_end(void **state)
{
    (void)state;
    struct result_rows r;
    result_rows_make(&r, 0);
    struct prompt_row *p = r.rows[D_PROMPTS];
    memset(p[1].key, 'k', sizeof p[1].key);
    result_rows_write(&r, path);
    result_rows_free(&r);
    refused("row 1 of /prompts: its key has no end");
}

/* Columns say what they are; files from before that, which do not, read all the same. */
static void without_units(void **state)
{
    (void)state;
    struct err e = {0};
    hid_t file = open_for_change();
    for (int d = 0; d < TRACE_DATASETS; d++) {
        assert_true(H5Adelete_by_name(file, types_name(d), "units", H5P_DEFAULT) >= 0);
        assert_true(H5Adelete_by_name(file, types_name(d), "description", H5P_DEFAULT) >= 0);
    }
    H5Fclose(file);
    struct trace_reader *r = trace_reader_open(path, &e);
    if (!r) fail_msg("%s", e.text);
    assert_true(trace_n_prompts(r) > 0);
    trace_reader_close(r);
}

static void a_pipe(void **state)
{
    (void)state;
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused("not a regular file");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(rows_without_room),
                                       TEST(bytes_of_another_file),
                                       TEST(virtual_dataset),
                                       TEST(link_into_another_file),
                                       TEST(text_without_end),
                                       TEST(without_units),
                                       TEST(a_pipe)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
